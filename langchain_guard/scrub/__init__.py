"""Scrubbing what leaves: secrets and personal data, exact while the text streams."""
