"""What a detector is, and how everything that can score a text becomes one.

A `Detector` scores several texts at once. `as_detector` adapts a callable, a LangChain Runnable, or a Hugging Face
text-classification pipeline. Scores are risks from 0 to 1 on the scale on which 0.5 is the threshold of the balanced
profile; whoever calibrates a detector of their own puts 5, 2 and 1 % of harmless texts above 0.3, 0.5 and 0.7.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from langchain_guard.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

SOURCES = ("user", "document")


@runtime_checkable
class Detector(Protocol):
    """Scores texts for prompt injection.

    A detector may also have these attributes:

    * ``name``: how it is called in verdicts and errors; default: its class name;
    * ``sources``: the texts that it is for, of ``"user"`` (prompts) and ``"document"`` (retrieved and tool text);
    * ``languages``: ISO 639-1 codes of the languages that it is for; a text whose language is unknown is always scored;
    * ``ascore``: `score` as a coroutine function;
    * ``find(text, source)``: `langchain_guard.Finding`s, the places that speak for its score.
    """

    def score(self, texts: Sequence[str], source: str) -> Sequence[float]:
        """The risk of each text, 0 to 1.

        Args:
            texts: At least one text.
            source: ``"user"`` or ``"document"``.
        """


class DetectorError(RuntimeError):
    """A detector gave something that is no score; its text is not in the message."""


class Adapter:
    """A callable or Runnable as a `Detector`.

    Args:
        judge: Called with one text.
        ajudge: The same as a coroutine function; None: `judge` runs in a thread.
        name: Name in verdicts and errors.
    """

    def __init__(
        self,
        judge: Callable[[str], Any],
        ajudge: Callable[[str], Any] | None = None,
        *,
        name: str,
        sources: Collection[str] = SOURCES,
        languages: Collection[str] = (),
    ) -> None:
        self.judge, self.ajudge, self.name = judge, ajudge, name
        self.sources, self.languages = frozenset(sources), frozenset(languages)

    def score(self, texts: Sequence[str], source: str) -> list[float]:  # noqa: ARG002
        """The risk of each text."""
        return [as_score(self.judge(text)) for text in texts]

    async def ascore(self, texts: Sequence[str], source: str) -> list[float]:
        """As `score`."""
        if self.ajudge is None:
            return await asyncio.to_thread(self.score, texts, source)
        return [as_score(await self.ajudge(text)) for text in texts]


def as_detector(given: Any) -> Detector:
    """`given` as a `Detector`.

    Args:
        given: A Detector; a Runnable whose ``invoke(text)`` gives a score; a callable ``(text) -> score``, among them
            Hugging Face pipelines. A score is a number from 0 to 1, a bool, ``{"score": number}``, or
            ``{"label": ..., "score": ...}``, also in a list.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(given, type):
        raise ConfigError(f"detectors: {given.__name__} is a class; give an object of it")
    if callable(getattr(given, "score", None)):
        _check_declared(given)
        return given  # type: ignore[no-any-return]
    declared: dict[str, Any] = {
        "sources": getattr(given, "sources", SOURCES),
        "languages": getattr(given, "languages", ()),
        "name": str(getattr(given, "__name__", "") or type(given).__name__),
    }
    if callable(getattr(given, "invoke", None)):
        ainvoke = getattr(given, "ainvoke", None)
        return Adapter(given.invoke, ainvoke, **declared)
    if callable(given):
        return Adapter(given, given if asyncio.iscoroutinefunction(given) else None, **declared)
    raise ConfigError(
        f'detectors: a {type(given).__name__} is no detector; allowed are "builtin", objects with '
        "score(texts, source), Runnables, and callables (text) -> float"
    )


def _check_declared(given: Any) -> None:
    unknown = set(getattr(given, "sources", SOURCES)) - set(SOURCES)
    if unknown:
        raise ConfigError(f"detectors: {name_of(given)}.sources may hold 'user' and 'document' only")


def name_of(detector: Any) -> str:
    """How a detector is called in verdicts and errors."""
    name = getattr(detector, "name", None)
    return name if isinstance(name, str) and name else type(detector).__name__


# Labels of public classifiers: deepset and ProtectAI (INJECTION, SAFE), Prompt Guard (JAILBREAK, BENIGN, LABEL_n), PIGuard
_HARMFUL = frozenset(
    {
        "injection",
        "jailbreak",
        "malicious",
        "unsafe",
        "attack",
        "label_1",
        "label_2",
        "1",
        "true",
        "positive",
        "harmful",
        "prompt_injection",
        "indirect",
    }
)
_HARMLESS = frozenset({"safe", "benign", "legit", "legitimate", "normal", "clean", "label_0", "0", "false", "negative", "harmless", "no_injection", "ok"})  # fmt: skip


def as_score(result: Any) -> float:
    """What a callable, Runnable or pipeline gave, as a risk from 0 to 1.

    Raises:
        DetectorError: It is no score: the guard then fails closed.
    """
    if hasattr(result, "item") and not isinstance(result, (str, bytes)) and not isinstance(result, Mapping):
        result = result.item() if getattr(result, "size", 1) == 1 else result  # a scalar of numpy or torch
    if isinstance(result, (bool, int, float)):
        value = float(result)
        if not math.isfinite(value) or not 0 <= value <= 1:
            raise DetectorError("a detector's score must lie between 0 and 1")
        return value
    if isinstance(result, Mapping):
        return _labelled(result)
    if isinstance(result, Sequence) and not isinstance(result, (str, bytes)) and len(result):
        if len(result) == 1:
            return as_score(result[0])
        # all labels of one text (top_k=None): what the harmful ones have together
        total = sum(_labelled(part) for part in result if _is_harmful(part))
        return as_score(min(total, 1.0))
    raise DetectorError(f"a detector gave a {type(result).__name__}, which is no score")


def _is_harmful(part: Any) -> bool:
    if not isinstance(part, Mapping) or "label" not in part:
        raise DetectorError("a detector gave several results of which one has no label")
    label = str(part["label"]).strip().lower().replace("-", "_").replace(" ", "_")
    if label not in _HARMFUL | _HARMLESS:
        raise DetectorError("a detector gave a label that is not known; wrap it in a function that returns a float")
    return label in _HARMFUL


def _labelled(part: Mapping[Any, Any]) -> float:
    if "score" not in part:
        raise DetectorError("a detector gave a mapping without 'score'")
    value = as_score(part["score"])
    return value if "label" not in part or _is_harmful(part) else 1 - value
