"""A small pretrained encoder as a second detector (extra ``encoder``).

Six layers of multilingual-e5-small, fine-tuned on the labelled prompts and documents whose licences let a
model be shipped.  It reads documents and languages other than English far better than n-grams do; of English prompts
it reads those that the linear model is in doubt about (see ``paired``).  Everything it needs is in the package: nothing
is ever downloaded.
"""

from __future__ import annotations

from langchain_guard.injection.encoder.runtime import EncoderDetector

__all__ = ["EncoderDetector"]
