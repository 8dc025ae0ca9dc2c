"""The linear model and the encoder together, each where it is the better one.

Measured on sources that neither had seen (recall at 2 % false positives: linear model, encoder, mean of both):
documents .23, .44 and .56, prompts in other languages .26, .67 and .67, English prompts .59, .49 and .62.  So
documents and prompts in other languages are read by both, and the mean of logit and log-odds counts, on a scale of its
own.  So it does for English prompts, but there the encoder is only asked about what the linear model does not hold for
harmless already: that finds as much, and nearly all prompts cost what the linear model costs.  With thresholds that hold
in the worst left-out source, the mean finds .48 of attacks at .3 % false positives on the average source, the linear model
.46 at .3 %; at 5 % in the worst source it is .56 at .7 % against .53 at .9 %.  What the rules hold for certain stays
certain, and then the encoder is not asked.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cachetools import LRUCache

from langchain_guard.errors import ConfigError
from langchain_guard.injection.encoder.english import is_english
from langchain_guard.injection.encoder.runtime import EncoderDetector
from langchain_guard.injection.encoder.scale import MARKS, mean_of
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
        kinds = [_kind(text, source) for text in texts]
        asked = [i for i, kind in enumerate(kinds) if _matters(kind, linear[i])]
        if asked:
            read = self.encoder.read([texts[i] for i in asked], source)
            for i, reading in zip(asked, read, strict=True):
                readings[i] = reading
        judged = [
            _Judged(self._score(assessment, reading, source, kind), assessment, reading)
            for assessment, reading, kind in zip(linear, readings, kinds, strict=True)
        ]
        with self._lock:
            for text, one in zip(texts, judged, strict=True):
                self._judged[_key(text, source)] = one
        return judged

    def _score(self, assessment: Assessment, reading: Reading | None, source: str, kind: str) -> float:
        if reading is None:
            return assessment.score
        logit = self.encoder.scales[source].without_growth(reading.best.logit, reading.best.windows)
        score = self.encoder.paired[kind].score(mean_of(logit, assessment.score, kind))
        # A prompt that the encoder was asked about stays above those that it was not asked about.
        return max(_certain(assessment), score, MARKS[0] if kind == "english" else 0.0)


def _kind(text: str, source: str) -> str:
    """Which of `scale.SHARES` *text* is judged by."""
    if source == "document":
        return source
    return "english" if is_english(normalise(text)) else "other"  # disguised English is English


def _matters(kind: str, assessment: Assessment) -> bool:
    """Whether the encoder reads the text: it could change the verdict."""
    if _certain(assessment) >= MARKS[-1]:
        return False
    return kind != "english" or assessment.score >= MARKS[0]


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
