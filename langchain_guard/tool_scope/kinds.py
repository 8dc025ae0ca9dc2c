"""The kinds of `Arg` that need no tables of their own, and how constraints combine.

Imports nothing of LangChain.
"""

from __future__ import annotations

import copy
import enum
import inspect
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from typing_extensions import override

from langchain_guard.errors import ConfigError
from langchain_guard.patterns import compile_pattern
from langchain_guard.tool_scope.arg import MISSING, Arg, Asked, Violation, callable_data, same, snapshot, yes

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from langchain_guard.identity import Identity


@dataclass(frozen=True, slots=True)
class AnyValue(Arg):
    """`Arg.any`."""

    kind: ClassVar[str] = "any"

    @override
    def judge(self, value: Any, asked: Asked) -> Any:
        return value

    @override
    def data(self) -> dict[str, Any]:
        return {"any": {}}


@dataclass(frozen=True, slots=True)
class OneOf(Arg):
    """`Arg.enum`."""

    values: tuple[Any, ...]
    kind: ClassVar[str] = "enum"

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigError("Arg.enum() needs at least one value: use Arg.absent() to allow none")

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        plain = value.value if isinstance(value, enum.Enum) else value
        if not any(same(plain, allowed) for allowed in self.values):
            raise Violation("enum", "is not one of the allowed values")
        return value

    @override
    def narrowed(self, schema: dict[str, Any]) -> dict[str, Any]:
        listed = schema.get("enum")
        values = [v for v in self.values if listed is None or any(same(v, other) for other in listed)]
        return {**schema, "enum": values}

    @override
    def data(self) -> dict[str, Any]:
        return {"enum": list(self.values)}


@dataclass(frozen=True, slots=True)
class Between(Arg):
    """`Arg.range`."""

    lo: float | None
    hi: float | None
    kind: ClassVar[str] = "range"

    def __post_init__(self) -> None:
        if self.lo is None and self.hi is None:
            raise ConfigError("Arg.range(lo, hi) needs at least one bound")
        for name, bound in (("lo", self.lo), ("hi", self.hi)):
            if bound is not None and not _finite(bound):
                raise ConfigError(f"Arg.range({name}={bound!r}) must be a finite number or None")
        if self.lo is not None and self.hi is not None and self.lo > self.hi:
            raise ConfigError(f"Arg.range(lo={self.lo!r}, hi={self.hi!r}): lo must not be above hi")

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not _finite(value):
            raise Violation("range", "must be a finite number")
        if (self.lo is not None and value < self.lo) or (self.hi is not None and value > self.hi):
            raise Violation("range", "is outside of the allowed range")
        return value

    @override
    def narrowed(self, schema: dict[str, Any]) -> dict[str, Any]:
        out = dict(schema)
        if self.lo is not None:
            out["minimum"] = max(self.lo, schema.get("minimum", self.lo))
        if self.hi is not None:
            out["maximum"] = min(self.hi, schema.get("maximum", self.hi))
        return out

    @override
    def data(self) -> dict[str, Any]:
        return {"range": {"lo": self.lo, "hi": self.hi}}


def _finite(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_finite()  # math.isfinite raises for a signalling NaN
    if isinstance(value, float):
        return math.isfinite(value)  # and for an int beyond the floats
    return isinstance(value, int) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Matches(Arg):
    """`Arg.regex`."""

    pattern: str
    max_chars: int = 10_000
    compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)
    kind: ClassVar[str] = "regex"

    def __post_init__(self) -> None:
        compiled = compile_pattern(self.pattern, what="Arg.regex(pattern)", streamed=False)
        _positive(self.max_chars, "Arg.regex(max_chars)")
        object.__setattr__(self, "compiled", compiled)

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not isinstance(value, str):
            raise Violation("regex", "must be a string")
        if len(value) > self.max_chars or self.compiled.fullmatch(value) is None:
            raise Violation("regex", "does not have the allowed form")
        return value

    @override
    def sentence(self) -> str:
        return f"The whole value must match the regular expression {self.pattern}"

    @override
    def data(self) -> dict[str, Any]:
        return {"regex": {"pattern": self.pattern, "max_chars": self.max_chars}}


@dataclass(frozen=True, slots=True)
class Fixed(Arg):
    """`Arg.fixed`."""

    value: Any
    kind: ClassVar[str] = "fixed"
    hides: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if inspect.iscoroutinefunction(self.value):
            raise ConfigError("Arg.fixed(value): a callable must be synchronous")

    def of(self, who: Identity) -> Any:
        """The value for one caller."""
        if not callable(self.value):
            return copy.deepcopy(self.value)
        try:
            value = self.value(who)
        except Exception as error:  # noqa: BLE001  # a user's callable may raise anything
            raise Violation("fixed", f"could not be determined ({type(error).__name__})") from None
        if value is None or value == "":
            raise Violation("fixed", "needs a known caller")
        return value

    @override
    def judge(self, value: Any, asked: Asked) -> Any:
        pinned = self.of(asked.who)
        if asked.verbatim and value is not MISSING and not same(value, pinned):
            raise Violation("fixed", "must be left out")
        return pinned

    @override
    def data(self) -> dict[str, Any]:
        if callable(self.value):
            raise callable_data("Arg.fixed")
        return {"fixed": self.value}


@dataclass(frozen=True, slots=True)
class Absent(Arg):
    """`Arg.absent`; also what an argument without a rule is held to."""

    rule: str = "absent"
    kind: ClassVar[str] = "absent"

    @override
    def judge(self, value: Any, asked: Asked) -> Any:
        if value is MISSING:
            return value
        if same(value, asked.default) if asked.default is not MISSING else value is None:
            return value
        raise Violation(self.rule, "must be left out" if self.rule == "absent" else "has no rule that allows it")

    @override
    def sentence(self) -> str:
        return "Leave this out."

    @override
    def data(self) -> dict[str, Any]:
        return {"absent": {}}


UNLISTED = Absent("other_args")
"""What ``other_args="deny"`` means for an argument without a rule."""


@dataclass(frozen=True, slots=True)
class Each(Arg):
    """`Arg.each`."""

    rule: Arg
    max_items: int = 1000
    kind: ClassVar[str] = "each"

    def __post_init__(self) -> None:
        _require_arg(self.rule, "Arg.each(rule)")
        if isinstance(self.rule, Absent | Fixed):
            raise ConfigError(f"Arg.each(Arg.{self.rule.kind}()) makes no sense: an element is always given")
        _positive(self.max_items, "Arg.each(max_items)")

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not isinstance(value, list | tuple | set | frozenset):
            raise Violation("each", "must be a list")
        if len(value) > self.max_items:
            raise Violation("each", "has too many elements")
        element = Asked(asked.who, verbatim=asked.verbatim)
        judged = [self.rule.judge(item, element) for item in value]
        return value if all(map(_identical, judged, value)) else type(value)(judged)

    @override
    def narrowed(self, schema: dict[str, Any]) -> dict[str, Any]:
        items = schema.get("items")
        return {**schema, "items": self.rule.narrowed(items)} if isinstance(items, dict) else schema

    @override
    def sentence(self) -> str:
        inner = self.rule.sentence()
        return f"For each element: {inner}" if inner else ""

    @override
    def data(self) -> dict[str, Any]:
        return {"each": {"rule": self.rule.data(), "max_items": self.max_items}}


def _identical(left: Any, right: Any) -> bool:
    return left is right


@dataclass(frozen=True, slots=True)
class Text(Arg):
    """`Arg.text`."""

    max_chars: int
    kind: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        _positive(self.max_chars, "Arg.text(max_chars)")

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not isinstance(value, str):
            raise Violation("text", "must be a string")
        if len(value) > self.max_chars:
            raise Violation("text", "is too long")
        return value

    @override
    def sentence(self) -> str:
        return f"At most {self.max_chars} characters."

    @override
    def data(self) -> dict[str, Any]:
        return {"text": {"max_chars": self.max_chars}}


def _positive(number: Any, what: str) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
        raise ConfigError(f"{what}={number!r} must be a positive int")


@dataclass(frozen=True, slots=True)
class Where(Arg):
    """`Arg.where`."""

    fn: Callable[[Any], Any]
    describe: str = ""
    kind: ClassVar[str] = "where"

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise ConfigError(f"Arg.where(fn) must be callable, not {type(self.fn).__name__}")
        if inspect.iscoroutinefunction(self.fn):
            raise ConfigError("Arg.where(fn) must be synchronous: a coroutine is always true")

    @override
    def canonical(self, value: Any, asked: Asked) -> Any:
        if not yes(self.fn, snapshot(value)):
            raise Violation("where", "is not allowed")
        return value

    @override
    def sentence(self) -> str:
        return self.describe

    @override
    def data(self) -> dict[str, Any]:
        raise callable_data("Arg.where")


@dataclass(frozen=True, slots=True)
class Both(Arg):
    """A conjunction."""

    parts: tuple[Arg, ...]
    kind: ClassVar[str] = "all_of"

    @property
    @override
    def hides(self) -> bool:  # type: ignore[override]
        return any(part.hides for part in self.parts)

    @override
    def judge(self, value: Any, asked: Asked) -> Any:
        final, changed = value, 0
        for index, part in enumerate(self.parts):
            before, final = final, part.judge(final, asked)
            if final is not before:
                changed = index
        if changed:  # what runs has to pass every part, not only those after the last one that changed it
            verbatim = Asked(asked.who, asked.default, verbatim=True)
            for part in self.parts[:changed]:
                part.judge(final, verbatim)
        return final

    @override
    def narrowed(self, schema: dict[str, Any]) -> dict[str, Any]:
        for part in self.parts:
            schema = part.narrowed(schema)
        return schema

    @override
    def sentence(self) -> str:
        return " ".join(filter(None, (part.sentence() for part in self.parts)))

    @override
    def data(self) -> dict[str, Any]:
        return {"all_of": [part.data() for part in self.parts]}


@dataclass(frozen=True, slots=True)
class Either(Arg):
    """An alternative."""

    parts: tuple[Arg, ...]
    kind: ClassVar[str] = "any_of"

    def __post_init__(self) -> None:
        if any(part.hides for part in self.parts):
            raise ConfigError(
                "Arg.fixed() cannot be one of several alternatives: its value does not come from the call"
            )

    @override
    def judge(self, value: Any, asked: Asked) -> Any:
        first: Violation | None = None
        for part in self.parts:
            try:
                return part.judge(value, asked)
            except Violation as violation:
                # the reason of the alternative that the value was meant for, not that it was given at all
                if first is None or first.rule in ("absent", "missing"):
                    first = violation
        assert first is not None
        raise Violation(first.rule, first.reason)

    @override
    def narrowed(self, schema: dict[str, Any]) -> dict[str, Any]:
        given = [part for part in self.parts if not isinstance(part, Absent)]
        if not given or not all(isinstance(part, OneOf) for part in given):
            return schema
        values = [value for part in given if isinstance(part, OneOf) for value in part.values]
        if len(given) < len(self.parts) and "default" in schema:
            values.append(schema["default"])
        return OneOf(tuple(values)).narrowed(schema)

    @override
    def sentence(self) -> str:
        return " Or: ".join(filter(None, (part.sentence() for part in self.parts if not isinstance(part, Absent))))

    @override
    def data(self) -> dict[str, Any]:
        return {"any_of": [part.data() for part in self.parts]}


def parts(arg: Arg, combination: type[Both | Either]) -> tuple[Arg, ...]:
    """The constraints that a combination consists of; a constraint that is none consists of itself."""
    return arg.parts if isinstance(arg, combination) else (arg,)


def joined(parts: Sequence[Arg]) -> Arg:
    """The conjunction of several constraints; those that can say it in one (SQL scopes) become one."""
    if len(parts) == 1:
        return parts[0]
    merged: list[Arg] = []
    for part in parts:
        if isinstance(part, AnyValue):
            continue
        for index, earlier in enumerate(merged):
            both = getattr(earlier, "merged", lambda _: None)(part)
            if both is not None:
                merged[index] = both
                break
        else:
            merged.append(part)
    if not merged:
        return AnyValue()
    return merged[0] if len(merged) == 1 else Both(tuple(merged))


def _require_arg(rule: Any, what: str) -> Arg:
    if not isinstance(rule, Arg):
        raise ConfigError(f"{what} must be an Arg, such as Arg.text(200), not {type(rule).__name__}")
    return rule
