"""Prompt injection: reading a text as a model would, judging it, and keeping untrusted text apart.

`Detector` is the protocol for one's own detectors. Nothing here is imported before it is used.
"""
