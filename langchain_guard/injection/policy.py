"""The judgement of texts: detectors, their combination, thresholds, the cache. Plain Python, no LangChain.

Every text is scored by each detector that is for its source and language, in one call per detector; the highest score
counts. What was found out about a text is kept by the hash of the text, so that of a growing conversation only the new
messages are scored.
"""

from __future__ import annotations

import asyncio
import hashlib
import threading
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cachetools import LRUCache

from langchain_guard.errors import ConfigError, GuardUnavailable
from langchain_guard.injection.card import read_card
from langchain_guard.injection.detector import SOURCES, Detector, as_detector, name_of
from langchain_guard.injection.rules import CERTAIN, DOCUMENT, USER, hits
from langchain_guard.injection.views import read
from langchain_guard.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_guard.injection.linear import Linear

PROFILES = {"strict": 0.3, "balanced": 0.5, "quiet": 0.7}
"""Thresholds aimed at 5, 2 and 1 % false positives on harmless texts of sources that no model was trained on."""

KIND = "injection"

_SIGNALS = {"tag_characters": 0.8, "variation_selectors": 0.8, "bidi_override": 0.4, "hidden_html": 0.2}
"""What the spelling alone is worth; below `CERTAIN` it is only reported beside something else."""


class Assessment(NamedTuple):
    """What is known of one text.

    Attributes:
        score: Risk, 0 to 1.
        findings: The places that speak for it, in the text's own code points; where the text is harmless, none.
        view: Name of the reading in which the evidence was found.
    """

    score: float
    findings: tuple[Finding, ...] = ()
    view: str = "canonical"


@dataclass(frozen=True)
class BuiltIn:
    """The detector inside the package: every view of the text, the rules, the linear model.

    Args:
        model: Path of a trained model's card; "" for the built-in model.
    """

    model: str = ""
    name: str = "builtin"

    @cached_property
    def linear(self) -> Linear:
        """The model, loaded at the first score."""
        from langchain_guard.injection import linear  # noqa: PLC0415  # numpy is loaded here and no earlier

        return linear.load(self.model) if self.model else linear.load()

    def assess(self, text: str, source: str) -> Assessment:
        """Score and evidence for one text."""
        reading = read(text)
        findings: list[Finding] = []
        score, view_name = 0.0, "canonical"
        for rule, start, end in reading.signals:
            worth = _SIGNALS[rule]
            score = max(score, worth if worth >= CERTAIN else 0.0)
            findings.append(Finding(rule, "hidden", start, end, worth))
        head = self.linear.heads[source]
        for view in reading.views:
            found = hits(view.text, source)
            for hit in found:
                findings.append(Finding(hit.rule.name, hit.rule.kind, *view.origin(hit.start, hit.end), hit.rule.score))
                if hit.rule.score >= CERTAIN and hit.rule.score > score:
                    score, view_name = hit.rule.score, view.name
            best = head.best(view, found)
            if best is None:
                continue
            risk = head.calibrated(best.margin)
            if risk > score:
                score, view_name = risk, view.name
            if risk >= PROFILES["strict"]:
                findings.append(Finding("model", KIND, *view.origin(best.start, best.end), risk))
        return Assessment(score, tuple(findings), view_name)

    def score(self, texts: Sequence[str], source: str) -> list[float]:
        """The risk of each text."""
        return [self.assess(text, source).score for text in texts]


def detectors_of(given: Sequence[Any], model: str = "") -> tuple[Detector, ...]:
    """The detectors that a configuration names.

    Args:
        given: ``"builtin"`` and whatever `as_detector` takes.
        model: Path of the model's card for ``"builtin"``.

    Raises:
        ConfigError: There is none, one of them is no detector, or `model` is no model's card.
    """
    if isinstance(given, str) or not given:
        raise ConfigError('detectors must be a non-empty list, such as ["builtin", mine]')
    found = []
    for one in given:
        if isinstance(one, str) and one != "builtin":
            raise ConfigError('detectors: the only detector with a name is "builtin"')
        found.append(BuiltIn(_model(model)) if one == "builtin" else as_detector(one))
    return tuple(found)


def _model(path: str) -> str:
    if path:
        try:
            read_card(Path(path))
        except ConfigError as error:
            raise ConfigError(f"model={path!r}: {error}") from None
    return path


class Same:
    """Stands for an object in a key: equal to itself only, and keeping it alive so that its identity is not reused."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and other.it is self.it

    def __hash__(self) -> int:
        return id(self.it)


class Cache:
    """What is known of texts, by the hash of each: bounded, shared by threads, never holding a text.

    Copies share it; pickles and dumps start empty.
    """

    def __init__(self, size: int = 8192) -> None:
        self._entries: LRUCache[tuple[Any, ...], Any] = LRUCache(size)
        self._lock = threading.Lock()

    @staticmethod
    def key(text: str, *more: Any) -> tuple[Any, ...]:
        """BLAKE2b of a text (RFC 7693), and what else its judgement depends on."""
        return (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), *more)

    def get(self, key: tuple[Any, ...]) -> Any:
        """What is known, None if nothing is."""
        with self._lock:
            return self._entries.get(key)

    def put(self, key: tuple[Any, ...], known: Any) -> None:
        """Remember `known`."""
        with self._lock:
            self._entries[key] = known

    def __len__(self) -> int:
        return len(self._entries)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Cache], tuple[int]]:
        return type(self), (int(self._entries.maxsize),)


@dataclass(frozen=True)
class InjectionPolicy:
    """Judges texts for prompt injection.

    Args:
        detectors: The highest of their scores counts.
        threshold: Risk from which on a text counts as detected, 0 to 1.
        max_chars: Longest text that is read, code points; a longer one counts as detected, by the rule ``truncated``.
        guard: Name in errors.
        cache: Where assessments are kept.
    """

    detectors: tuple[Detector, ...] = (BuiltIn(),)
    threshold: float = PROFILES["balanced"]
    max_chars: int = 1_000_000
    guard: str = "InjectionDetector"
    cache: Cache = field(default_factory=Cache)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @cached_property
    def _depends(self) -> tuple[Any, ...]:
        asked = tuple(one if isinstance(one, BuiltIn) else Same(one) for one in self.detectors)
        return (asked, self.max_chars, min(self.threshold, PROFILES["strict"]))

    def _key(self, text: str, source: str) -> tuple[Any, ...]:
        return Cache.key(text, source, *self._depends)

    def assess(self, texts: Sequence[str], source: str) -> list[Assessment]:
        """What is known of each of `texts`, which are all prompts ("user") or all documents ("document")."""
        known, missing = self._known(texts, source)
        if missing:
            results = [self._scored(detector, chosen, source) for detector, chosen in self._asked(missing, source)]
            self._learn(missing, source, results, known)
        return [known[text] for text in texts]

    async def aassess(self, texts: Sequence[str], source: str) -> list[Assessment]:
        """As `assess`; detectors other than the built-in one do not hold up the event loop."""
        known, missing = self._known(texts, source)
        if missing:
            asked = self._asked(missing, source)
            results = [await self._ascored(detector, chosen, source) for detector, chosen in asked]
            self._learn(missing, source, results, known)
        return [known[text] for text in texts]

    def detected(self, assessment: Assessment) -> bool:
        """Whether a text counts as an attack."""
        return assessment.score >= self.threshold

    # -- inside

    def _known(self, texts: Sequence[str], source: str) -> tuple[dict[str, Assessment], list[str]]:
        known: dict[str, Assessment] = {}
        missing: list[str] = []
        for text in dict.fromkeys(texts):
            found = self.cache.get(self._key(text, source))
            if found is None:
                missing.append(text)
            else:
                known[text] = found
        return known, missing

    def _asked(self, texts: Sequence[str], source: str) -> list[tuple[Detector, list[str]]]:
        asked = []
        for detector in self.detectors:
            if source not in getattr(detector, "sources", SOURCES):
                continue
            languages = frozenset(getattr(detector, "languages", ()) or ())
            chosen = [text[: self.max_chars] for text in texts]
            if languages:
                from langchain_guard.injection.languages import language_of  # noqa: PLC0415  # only if one declares them

                chosen = [text for text in chosen if (language_of(text) or next(iter(languages))) in languages]
            if chosen:
                asked.append((detector, chosen))
        return asked

    def _scored(self, detector: Detector, texts: list[str], source: str) -> dict[str, Assessment]:
        try:
            if isinstance(detector, BuiltIn):
                return {text: detector.assess(text, source) for text in texts}
            return self._told(detector, texts, source, detector.score(texts, source))
        except Exception as error:  # noqa: BLE001  # fail closed, whatever a detector does
            failure = self._failure(detector, error)
        raise failure

    async def _ascored(self, detector: Detector, texts: list[str], source: str) -> dict[str, Assessment]:
        try:
            if isinstance(detector, BuiltIn):
                return {text: detector.assess(text, source) for text in texts}
            ascore = getattr(detector, "ascore", None)
            scores = await (ascore(texts, source) if ascore else asyncio.to_thread(detector.score, texts, source))
            return self._told(detector, texts, source, scores)
        except Exception as error:  # noqa: BLE001
            failure = self._failure(detector, error)
        raise failure

    def _failure(self, detector: Detector, error: Exception) -> GuardUnavailable:
        if isinstance(error, GuardUnavailable):
            return error
        name, cause = name_of(detector), type(error).__name__
        return GuardUnavailable(
            f"{self.guard} let nothing through: its detector {name} failed with {cause}.",
            guard=self.guard, rule=name, cause=cause,
        )  # fmt: skip

    def _told(
        self, detector: Detector, texts: list[str], source: str, scores: Sequence[float]
    ) -> dict[str, Assessment]:
        from langchain_guard.injection.detector import DetectorError, as_score  # noqa: PLC0415

        scores = list(scores)
        if len(scores) != len(texts):
            raise DetectorError(f"a detector gave {len(scores)} scores for {len(texts)} texts")
        name, find = name_of(detector), getattr(detector, "find", None)
        told = {}
        for text, given in zip(texts, scores, strict=True):
            score = as_score(given)
            findings: tuple[Finding, ...] = ()
            if score >= min(self.threshold, PROFILES["strict"]):
                findings = tuple(find(text, source)) if find else (Finding(name, KIND, 0, len(text), score),)
            told[text] = Assessment(score, findings)
        return told

    def _learn(
        self, texts: Sequence[str], source: str, results: Sequence[dict[str, Assessment]], known: dict[str, Assessment]
    ) -> None:
        for text in texts:
            seen = text[: self.max_chars]
            parts = [result[seen] for result in results if seen in result]
            best = max(parts, key=lambda part: part.score, default=Assessment(0.0))
            findings = tuple(finding for part in parts for finding in part.findings)
            score = best.score
            if len(text) > self.max_chars:
                score = max(score, 1.0)
                findings += (Finding("truncated", "unread", self.max_chars, len(text), 1.0),)
            known[text] = Assessment(score, findings, best.view)
            self.cache.put(self._key(text, source), known[text])


def source_of(role: str, source: str) -> str:
    """For which head a text is, given who wrote it and the guard's ``source``."""
    if source != "auto":
        return source
    return DOCUMENT if role in ("tool", "document") else USER
