"""Prompt injection: reading a text as a model would, judging it, and keeping untrusted text apart."""

from langchain_guard.injection.detector import Detector
from langchain_guard.injection.guard import InjectionDetector
from langchain_guard.injection.spotlight import Spotlight

__all__ = ["Detector", "InjectionDetector", "Spotlight"]
