"""The linear model and the encoder together, each where it is the better one.

Measured on sources that neither had seen: documents and other languages are for the encoder; on English prompts the
mean of both is better than either.  What the rules hold for certain stays certain.  On an English prompt the linear
model answers first, and the encoder is asked only if its answer could still bring the mean to a profile's threshold.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachetools import LRUCache

from langchain_guard.errors import ConfigError
from langchain_guard.injection.encoder.runtime import EncoderDetector
from langchain_guard.injection.encoder.scale import MARKS, log_odds
from langchain_guard.injection.languages import language_of
from langchain_guard.injection.policy import BuiltIn
from langchain_guard.injection.rules import CERTAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_guard.injection.detector import Detector
    from langchain_guard.injection.encoder.runtime import Reading
    from langchain_guard.injection.policy import Assessment
    from langchain_guard.verdict import Finding

CAP: Final = 2.5
"""Log odds beyond which the encoder's answer counts no more: bounds what it can change."""

_REMEMBERED: Final = 512


class _Judged(NamedTuple):
    score: float
    linear: Assessment
    reading: Reading | None


class PairedDetector:
    """A `Detector`: the built-in linear model and the encoder.

    Args:
        linear: The linear detector.
        encoder: The encoder.
    """

    name: Final = "builtin"

    def __init__(self, linear: BuiltIn, encoder: EncoderDetector) -> None:
        self.linear, self.encoder = linear, encoder
        self._judged: LRUCache[tuple[bytes, str], _Judged] = LRUCache(_REMEMBERED)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"PairedDetector({self.linear!r}, {self.encoder!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.linear, self.encoder)

    def __deepcopy__(self, memo: dict[int, Any]) -> PairedDetector:
        return self

    def score(self, texts: Sequence[str], source: str) -> list[float]:
        """Risks in [0, 1]; 0.5 is the threshold of the profile "balanced".  The encoder reads all texts in one batch."""
        return [one.score for one in self._judge(texts, source)]

    def find(self, text: str, source: str) -> list[Finding]:
        """What speaks for the score: rules, the linear model's window, the encoder's."""
        key = _key(text, source)
        with self._lock:
            judged = self._judged.get(key)
        if judged is None:
            judged = self._judge([text], source)[0]
        findings = list(judged.linear.findings)
        if judged.reading is not None and judged.reading.score >= MARKS[1]:
            findings.append(self.encoder.finding(text, judged.reading))
        return findings

    def _judge(self, texts: Sequence[str], source: str) -> list[_Judged]:
        linear = [self.linear.assess(text, source) for text in texts]
        alone = [source == "document" or language_of(text) not in {None, "en"} for text in texts]
        asked = [
            i for i, assessment in enumerate(linear) if self._matters(assessment, alone=alone[i])
        ]  # fmt: skip
        readings: list[Reading | None] = [None] * len(texts)
        if asked:
            for i, reading in zip(asked, self.encoder.read([texts[i] for i in asked], source), strict=True):
                readings[i] = reading
        judged = [
            _Judged(self._score(assessment, reading, alone=by_itself), assessment, reading)
            for assessment, reading, by_itself in zip(linear, readings, alone, strict=True)
        ]
        with self._lock:
            for text, one in zip(texts, judged, strict=True):
                self._judged[_key(text, source)] = one
        return judged

    def _matters(self, assessment: Assessment, *, alone: bool) -> bool:
        """Whether the encoder can change the verdict of any profile."""
        if _certain(assessment) >= MARKS[-1]:
            return False
        return alone or self._mean(assessment.score, CAP) >= MARKS[1]

    def _score(self, assessment: Assessment, reading: Reading | None, *, alone: bool) -> float:
        certain = _certain(assessment)
        if reading is None:
            return max(certain, min(assessment.score, self._mean(assessment.score, CAP)))
        if alone:
            return max(certain, reading.score)
        return max(certain, self._mean(assessment.score, log_odds(reading.score)))

    def _mean(self, linear: float, encoder: float) -> float:
        return self.encoder.scales["mean"].score((log_odds(linear) + min(encoder, CAP)) / 2)


def _certain(assessment: Assessment) -> float:
    """The highest score of a rule or a sign in the spelling that counts by itself."""
    return max(
        (f.score or 0.0 for f in assessment.findings if f.rule != "model" and (f.score or 0.0) >= CERTAIN), default=0.0
    )


def _key(text: str, source: str) -> tuple[bytes, str]:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), source


def with_encoder(detectors: Sequence[Detector], threads: int) -> tuple[Detector, ...]:
    """*detectors*, the built-in one among them joined by the encoder.

    Raises:
        ConfigError: There is no built-in detector among them, or the extra ``encoder`` is not installed.
    """
    if not any(isinstance(one, BuiltIn) for one in detectors):
        raise ConfigError('encoder=True joins the detector "builtin", which is not among detectors')
    encoder = EncoderDetector(threads=threads)
    return tuple(PairedDetector(one, encoder) if isinstance(one, BuiltIn) else one for one in detectors)
