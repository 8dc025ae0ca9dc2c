"""`InjectionDetector`: the policy as a link of a chain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from pydantic import Field, PrivateAttr, field_validator, model_validator

from langchain_guard.errors import InjectionDetected
from langchain_guard.injection.judge import Judge, judge_of
from langchain_guard.injection.policy import PROFILES, Assessment, Cache, InjectionPolicy, detectors_of, source_of
from langchain_guard.injection.spotlight import Spotlight
from langchain_guard.runnable import ChunkFilter, Gathered, Guard
from langchain_guard.values import Segment, rewrite, role_of
from langchain_guard.verdict import Action, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from langchain_guard.run import Call

_ACTIONS: dict[str, Action] = {"raise": "block", "flag": "flag", "drop": "redact", "spotlight": "redact"}
NOTICE = "[removed by InjectionDetector]"
"""What stands in the place of a text that was dropped and cannot leave a list."""

_Key = tuple[str, str]  # text, source
_Known = dict[_Key, Assessment]


class InjectionDetector(Guard):
    """Refuses, flags, drops or marks text that tries to take over the model.

    Put one before the prompt template for each source of text::

        {"context": retriever | InjectionDetector(source="document", on_detect="drop"), "question": InjectionDetector()}
        | prompt
        | model

    It knows what overrides, leaks or replaces instructions. It cannot know what your application must not do: a
    harmful wish that overrides nothing, and an order in a document that reads like an ordinary request, are for scoped
    tools, `Spotlight` and a judge.

    Args:
        profile: ``"strict"``, ``"balanced"`` or ``"quiet"``: aimed at 5, 2 and 1 % false positives.
        threshold: Risk from which on a text counts as detected, 0 to 1, instead of a profile.
        source: ``"auto"``: tool messages and Documents are documents, the rest prompts; ``"user"`` or ``"document"``.
        on_detect: ``"raise"`` InjectionDetected; ``"flag"`` and hand on; ``"drop"``: Documents and texts leave the list
            in which they stand, any other text is replaced by a notice; ``"spotlight"``: mark the text, keep it.
        detectors: Replaces the default ``["builtin"]``; the highest score counts. See `injection.Detector`.
        judge: A chat model, a decision model, or the name of one, asked about texts in the grey band.
        purpose: What the application is for, told to the judge, such as ``"answer questions about our docs"``.
        grey: Risk from which on the judge is asked, 0 to 1; above the threshold it is not.
        on_undecided: What becomes of a text on which the judge fails to decide: ``"flag"`` it or ``"detect"`` it.
        trusted: Roles whose texts are not judged and pass as they come.
        max_chars: Longest text that is read, code points; a longer one counts as detected, by the rule ``truncated``.
        encoder: Ask the pretrained encoder too, which reads documents and other languages better (extra ``encoder``).
        threads: Threads of one call of the encoder.
        model: Path of a model trained with ``python -m langchain_guard train``; "" for the built-in one.
        on_unreadable: What to do with a value that cannot be read: ``"refuse"`` or ``"pass"``.
        cache: Where scores and rulings are kept by the hash of the text; copies of the guard share it.

    Raises:
        ConfigError: An argument cannot be worked with.
    """

    profile: Literal["strict", "balanced", "quiet"] = "balanced"
    threshold: float | None = Field(default=None, ge=0, le=1)
    source: Literal["auto", "user", "document"] = "auto"
    on_detect: Literal["raise", "flag", "drop", "spotlight"] = "raise"
    detectors: Any = Field(default=("builtin",), json_schema_extra={"callable": True})
    judge: Any = Field(default=None, json_schema_extra={"callable": True})
    purpose: str = ""
    grey: float = Field(default=0.1, ge=0, le=1)
    on_undecided: Literal["flag", "detect"] = "flag"
    trusted: tuple[str, ...] = ("system", "ai")
    max_chars: int = Field(default=1_000_000, gt=0)
    encoder: bool = False
    threads: int = Field(default=1, ge=1)
    model: str = ""
    on_unreadable: Literal["refuse", "pass"] = "refuse"

    cache: Any = Field(default_factory=Cache, exclude=True, repr=False)
    _built: tuple[InjectionPolicy, Judge | None] | None = PrivateAttr(default=None)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            kwargs = {"profile": args[0], **kwargs}
        super().__init__(*args[1:], **kwargs)

    @field_validator("trusted", mode="before")
    @classmethod
    def _roles(cls, value: Any) -> Any:
        known = {"system", "ai", "user", "tool", "document"}
        if isinstance(value, str) or not set(value) <= known:
            raise ValueError(f"must be a list of roles out of {sorted(known)}")
        return tuple(value)

    @model_validator(mode="after")
    def _buildable(self) -> Self:
        self._parts()
        return self

    def _given(self) -> list[Any]:
        return list(self.detectors) if isinstance(self.detectors, (list, tuple)) else [self.detectors]

    def _parts(self) -> tuple[InjectionPolicy, Judge | None]:
        if self._built is None:
            threshold = PROFILES[self.profile] if self.threshold is None else self.threshold
            detectors = detectors_of(self._given(), self.model)
            if self.encoder:
                from langchain_guard.injection.encoder.paired import with_encoder  # noqa: PLC0415  # an extra

                detectors = with_encoder(detectors, self.threads)
            policy = InjectionPolicy(detectors, threshold, self.max_chars, self.get_name(), self.cache)
            self._built = policy, judge_of(self.judge, self.purpose, str(threshold), cache=self.cache)
        return self._built

    def to_json(self) -> Any:
        """As LangChain's, and marked when a dump cannot carry a detector or a judge."""
        dumped: Any = super().to_json()
        kwargs = dumped.get("kwargs", {})
        held = set(kwargs.get("holds_callables", ()))
        if any(not isinstance(one, str) for one in self._given()):
            held.add("detectors")
        if self.judge is not None and not isinstance(self.judge, str):
            held.add("judge")
        if held:
            kwargs["holds_callables"] = sorted(held)
        return dumped

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        return {**state, "__pydantic_private__": {"_built": None}}  # derived; a judge holds threads and connections

    # -- scores

    @property
    def cutoff(self) -> float:
        """Risk from which on a text counts as detected: `threshold`, or the profile's."""
        return self._parts()[0].threshold

    def score(self, text: str, source: str | None = None) -> float:
        """The risk of one text, 0 to 1: 0.5 is the threshold of the balanced profile.

        Args:
            text: The text.
            source: ``"user"`` or ``"document"``; default: the guard's, where ``"auto"`` means ``"user"``.

        Raises:
            GuardUnavailable: A detector failed.
        """
        kind = source or ("user" if self.source == "auto" else self.source)
        return self._parts()[0].assess([text], kind)[0].score

    # -- the hooks of Guard

    def _check(self, value: Any, call: Call) -> Verdict:
        return self._verdict(*self._assessed(value, call))

    async def _acheck(self, value: Any, call: Call) -> Verdict:
        return self._verdict(*await self._aassessed(value, call))

    def _judge(self, value: Any, call: Call) -> Any:
        return self._decided(value, *self._assessed(value, call), call)

    async def _ajudge(self, value: Any, call: Call) -> Any:
        return self._decided(value, *await self._aassessed(value, call), call)

    def _filter(self, call: Call) -> ChunkFilter | None:
        return _Untrusted(self, call)

    # -- inside

    def _segments(self, value: Any, known: _Known | None = None) -> list[Segment]:
        """The texts that are judged; with `known`, no path shows a key that was detected."""
        found: list[Segment] = []
        policy = self._parts()[0]

        def keep(segment: Segment) -> str:
            if segment.role in self.trusted:
                return segment.text
            found.append(segment)
            return "" if known is not None and policy.detected(known[self._key(segment)]) else segment.text

        rewrite(value, keep, lenient=self.on_unreadable == "pass")
        return found

    def _key(self, segment: Segment) -> _Key:
        return segment.text, source_of(segment.role, self.source)

    def _grouped(self, segments: Sequence[Segment]) -> dict[str, list[str]]:
        groups: dict[str, list[str]] = {}
        for text, source in map(self._key, segments):
            groups.setdefault(source, []).append(text)
        return groups

    def _assessed(self, value: Any, call: Call) -> tuple[list[Segment], _Known, dict[str, Any]]:
        policy, judge = self._parts()
        segments, known = self._segments(value), _Known()
        for source, texts in self._grouped(segments).items():
            known.update(zip(((text, source) for text in texts), policy.assess(texts, source), strict=True))
        details: dict[str, Any] = {}
        if judge is not None:
            for (text, source), assessment in self._grey(known, policy):
                ruling = judge.ask(text, source, call.child())
                known[text, source] = self._ruled(assessment, ruling, len(text), details)
        return self._placed(value, segments, known), known, details

    async def _aassessed(self, value: Any, call: Call) -> tuple[list[Segment], _Known, dict[str, Any]]:
        policy, judge = self._parts()
        segments, known = self._segments(value), _Known()
        for source, texts in self._grouped(segments).items():
            known.update(zip(((text, source) for text in texts), await policy.aassess(texts, source), strict=True))
        details: dict[str, Any] = {}
        if judge is not None:
            for (text, source), assessment in self._grey(known, policy):
                ruling = await judge.aask(text, source, call.child())
                known[text, source] = self._ruled(assessment, ruling, len(text), details)
        return self._placed(value, segments, known), known, details

    def _placed(self, value: Any, segments: list[Segment], known: _Known) -> list[Segment]:
        detected = self._parts()[0].detected
        keys = any(segment.path.endswith("[*]") and detected(known[self._key(segment)]) for segment in segments)
        return self._segments(value, known) if keys else segments

    def _grey(self, known: _Known, policy: InjectionPolicy) -> list[tuple[_Key, Assessment]]:
        return [(key, one) for key, one in known.items() if self.grey <= one.score < policy.threshold]

    def _ruled(self, assessment: Assessment, ruling: Any, length: int, details: dict[str, Any]) -> Assessment:
        told = details.setdefault("judge", {"asked": 0, "undecided": 0, "seconds": 0.0, "tokens": 0})
        told["asked"] += 0 if ruling.cached else 1
        told["seconds"] = round(told["seconds"] + ruling.seconds, 6)
        told["tokens"] += ruling.tokens
        threshold = self._parts()[0].threshold
        if ruling.risk is None:
            told["undecided"] += 1
            finding = Finding("judge_undecided", "unread", 0, length, assessment.score)
            score = max(assessment.score, threshold) if self.on_undecided == "detect" else assessment.score
            return replace_assessment(assessment, score, finding)
        if ruling.risk < threshold:
            return assessment
        return replace_assessment(assessment, ruling.risk, Finding("judge", ruling.kind, 0, length, ruling.risk))

    def _verdict(self, segments: list[Segment], known: _Known, details: dict[str, Any]) -> Verdict:
        policy = self._parts()[0]
        findings: list[Finding] = []
        views: list[str] = []
        worst, action = 0.0, "allow"
        for segment in segments:
            assessment = known[self._key(segment)]
            worst = max(worst, assessment.score)
            if policy.detected(assessment):
                action = _ACTIONS[self.on_detect]
                views.append(assessment.view)
                findings += [replace(f, where=segment.path) for f in assessment.findings]
            elif any(f.rule == "judge_undecided" for f in assessment.findings):
                action = "flag" if action == "allow" else action
                findings += [replace(f, where=segment.path) for f in assessment.findings]
        more: dict[str, Any] = dict(details)
        if views:
            more["views"] = sorted(set(views))
        if any(f.rule == "truncated" for f in findings):
            more["truncated"] = True
        return Verdict(self.get_name(), action, tuple(findings), worst, more)  # type: ignore[arg-type]

    def _decided(self, value: Any, segments: list[Segment], known: _Known, details: dict[str, Any], call: Call) -> Any:
        verdict = self._verdict(segments, known, details)
        call.decided(verdict)
        if verdict.action == "block":
            raise self._refusal(verdict)
        if verdict.action != "redact":
            return value
        policy = self._parts()[0]

        def bad(segment: Segment) -> bool:
            if segment.role in self.trusted:
                return False
            one = known.get(self._key(segment))
            return one is None or policy.detected(one)

        lenient = self.on_unreadable == "pass"
        if self.on_detect == "spotlight":
            spotlight = Spotlight()
            return rewrite(value, lambda s: spotlight.mark(s.text) if bad(s) else s.text, lenient=lenient)
        return _Dropper(bad, lenient=lenient).value(value, "user")

    def _refusal(self, verdict: Verdict) -> InjectionDetected:
        strongest = max(verdict.findings, key=lambda finding: finding.score, default=None)
        why = "" if strongest is None else f", rule {strongest.rule}"
        place = f" at {strongest.where}" if strongest is not None and strongest.where else ""
        return InjectionDetected(
            f"{verdict.guard} refused the input: it reads like a prompt injection (risk {verdict.score:.2f}{why}{place}).",
            verdict=verdict,
            guard=verdict.guard,
            advice="If it is harmless, raise threshold, choose profile='quiet', or train on rows of your own.",
        )


def replace_assessment(assessment: Assessment, score: float, finding: Finding) -> Assessment:
    """`assessment` with another score and one more finding."""
    return assessment._replace(score=score, findings=(*assessment.findings, finding))


class _Untrusted(ChunkFilter):
    """Lets chunks of trusted roles pass as they come; holds everything else until it is whole."""

    def __init__(self, guard: InjectionDetector, call: Call) -> None:
        self.trusted = guard.trusted
        self.held = Gathered(guard, call)

    def feed(self, chunk: Any) -> Iterable[Any]:
        if isinstance(chunk, BaseMessage) and role_of(chunk) in self.trusted and not self.held.chunks:
            return (chunk,)
        return self.held.feed(chunk)

    def end(self) -> Iterable[Any]:
        return self.held.end()

    async def aend(self) -> Iterable[Any]:
        return await self.held.aend()


class _Dropper:
    """Takes what is bad out of the lists in which it stands."""

    def __init__(self, bad: Any, *, lenient: bool) -> None:
        self.bad, self.lenient = bad, lenient

    def value(self, value: Any, role: str) -> Any:
        """The value without it; texts that stand in no list are replaced by a notice."""
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            kept = [self.value(one, role) for one in value if not self._leaves(one, role)]
            same = len(kept) == len(value) and all(new is old for new, old in zip(kept, value, strict=True))
            return value if same else type(value)(kept)
        if isinstance(value, Mapping) and type(value) is dict:
            changed = {key: self.value(one, role) for key, one in value.items()}
            return value if all(changed[key] is value[key] for key in value) else changed
        return rewrite(value, lambda s: NOTICE if self.bad(s) else s.text, lenient=self.lenient)

    def _leaves(self, one: Any, role: str) -> bool:
        if isinstance(one, Document):
            return any(map(self.bad, self._read(one)))
        return isinstance(one, str) and self.bad(Segment("", one, role))

    def _read(self, value: Any) -> list[Segment]:
        found: list[Segment] = []

        def keep(segment: Segment) -> str:
            found.append(segment)
            return segment.text

        rewrite(value, keep, lenient=self.lenient)
        return found
