"""The linear model and the encoder together, each where it is the better one.

Measured on sources that neither had seen (recall at 2 % false positives, linear model and encoder): documents .18 and
.53, prompts in other languages .26 and .43, prompts too short to tell their language .44 and .60, English prompts .42
and .33, their mean .36.  So the encoder reads documents and whatever is not recognised as English; English prompts stay
with the linear model, which is a hundred times faster.  What the rules hold for certain stays certain, and then the
encoder is not asked.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachetools import LRUCache

from langchain_guard.errors import ConfigError
from langchain_guard.injection.encoder.english import is_english
from langchain_guard.injection.encoder.runtime import EncoderDetector
from langchain_guard.injection.encoder.scale import MARKS
from langchain_guard.injection.encoder.text import normalise
from langchain_guard.injection.policy import BuiltIn
from langchain_guard.injection.rules import CERTAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_guard.injection.detector import Detector
    from langchain_guard.injection.encoder.runtime import Reading
    from langchain_guard.injection.policy import Assessment
    from langchain_guard.verdict import Finding

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
        readings: list[Reading | None] = [None] * len(texts)
        for kind, asked in self._asked(texts, source, linear).items():
            read = self.encoder.read([texts[i] for i in asked], kind)
            for i, reading in zip(asked, read, strict=True):
                readings[i] = reading
        judged = [
            _Judged(_score(assessment, reading), assessment, reading)
            for assessment, reading in zip(linear, readings, strict=True)
        ]
        with self._lock:
            for text, one in zip(texts, judged, strict=True):
                self._judged[_key(text, source)] = one
        return judged

    def _asked(self, texts: Sequence[str], source: str, linear: Sequence[Assessment]) -> dict[str, list[int]]:
        """Which texts the encoder reads, by the scale that they are put on; none whose verdict it cannot change."""
        asked: dict[str, list[int]] = {}
        for i, (text, assessment) in enumerate(zip(texts, linear, strict=True)):
            if _certain(assessment) >= MARKS[-1]:
                continue
            if source == "document":
                asked.setdefault("document", []).append(i)
            elif not is_english(normalise(text)):  # disguised English is English
                asked.setdefault("foreign", []).append(i)
        return asked


def _score(assessment: Assessment, reading: Reading | None) -> float:
    return assessment.score if reading is None else max(_certain(assessment), reading.score)


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
