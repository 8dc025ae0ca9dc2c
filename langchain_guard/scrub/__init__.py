"""Scrubbing what leaves: secrets and personal data, exact while the text streams."""

from langchain_guard.scrub.canary import Canary
from langchain_guard.scrub.guard import OutputScrubber
from langchain_guard.scrub.policy import ScrubRule
from langchain_guard.scrub.vault import Vault

__all__ = ["Canary", "OutputScrubber", "ScrubRule", "Vault"]
