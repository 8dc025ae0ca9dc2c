"""What one argument of a tool may be: `Arg` and its kinds.

A constraint gets the value that the tool would get (validated, coerced, with defaults) and hands back the canonical
value, which is what runs: the regenerated SQL, the real path, the normalised URL. Constraints are immutable, hold no
state, and are combined with ``&`` and ``|``. This module imports nothing of LangChain.

A value fails closed: a bool is no number, NaN and infinities are in no range, a pattern matches from end to end, a list
needs `Arg.each`, and a constrained argument that is missing is refused unless its rule says otherwise
(``Arg.absent() | ...``).
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
from langchain_guard.identity import Identity
from langchain_guard.patterns import compile_pattern
from langchain_guard.verdict import Finding, Verdict

if TYPE_CHECKING:
    import os
    import re
    from collections.abc import Callable, Iterable, Mapping, Sequence


class _Missing(enum.Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing.MISSING
"""Stands for an argument that was not given."""

NOBODY = Identity()


class Violation(Exception):
    """A value broke a rule.

    Args:
        rule: Which one, such as ``"enum"``.
        reason: Why, in words that may go to the model: never the value, never the allowed set.
    """

    def __init__(self, rule: str, reason: str) -> None:
        super().__init__(reason)
        self.rule, self.reason = rule, reason


@dataclass(frozen=True, slots=True)
class Asked:
    """What a constraint knows besides the value.

    Attributes:
        who: The caller.
        default: The tool's own default for the argument; MISSING if it has none or it is not known.
        verbatim: Whether the value runs as it is written, so that replacing it is no way out.
    """

    who: Identity = NOBODY
    default: Any = MISSING
    verbatim: bool = False


_ANYONE = Asked()


class Arg:
    r"""A constraint on one argument of a tool; built by its static methods.

    Example:
        ```python
        Arg.each(Arg.regex(r"[a-z.]+@corp\.example")) & Arg.where(lambda people: len(people) <= 3)
        ```
    """

    __slots__ = ()

    kind: ClassVar[str] = ""
    hides: ClassVar[bool] = False
    """Whether the argument leaves the schema that the model sees, because its value comes from the scope."""

    # -- the kinds

    @staticmethod
    def any() -> Arg:
        """Every value, and none."""
        return AnyValue()

    @staticmethod
    def enum(*values: Any) -> Arg:
        """One of `values` (str, numbers, bool, None); ``1`` does not allow ``True``. One list is taken apart.

        Raises:
            ConfigError: There is no value.
        """
        if len(values) == 1 and isinstance(values[0], list | tuple | set | frozenset):
            values = tuple(values[0])
        return OneOf(values)

    @staticmethod
    def range(lo: float | None = None, hi: float | None = None) -> Arg:
        """A finite number from `lo` to `hi`, both included; None leaves a side open.

        Raises:
            ConfigError: Both sides are open, a bound is no finite number, or `lo` is above `hi`.
        """
        return Between(lo, hi)

    @staticmethod
    def regex(pattern: str, *, max_chars: int = 10_000) -> Arg:
        """A str that `pattern` matches from end to end, of at most `max_chars` code points.

        Raises:
            ConfigError: The pattern is invalid, or could take more than linear time.
        """
        return Matches(pattern, max_chars)

    @staticmethod
    def fixed(value: Any) -> Arg:
        """Always `value`, or what ``value(identity)`` returns; the model does not see the argument.

        A callable that returns None or ``""`` (a caller without an account) refuses the call.
        """
        return Fixed(value)

    @staticmethod
    def absent() -> Arg:
        """Not given: the tool's own default runs. ``Arg.absent() | rule`` makes an argument optional."""
        return Absent()

    @staticmethod
    def each(rule: Arg, *, max_items: int = 1000) -> Arg:
        """A list of at most `max_items`, every element of which passes `rule`.

        Raises:
            ConfigError: `rule` is no Arg, or can never hold for an element.
        """
        return Each(rule, max_items)

    @staticmethod
    def text(max_chars: int) -> Arg:
        """Any str of at most `max_chars` code points.

        Raises:
            ConfigError: `max_chars` is not positive.
        """
        return Text(max_chars)

    @staticmethod
    def where(fn: Callable[[Any], Any], *, describe: str = "") -> Arg:
        """A value that ``fn(value)`` says yes to; one that raises has said no.

        Args:
            fn: A synchronous predicate; it gets a copy of a mutable value.
            describe: A sentence for the model, used by ``ToolScope(describe=True)``.

        Raises:
            ConfigError: `fn` is not callable, or is a coroutine function (whose result is always true).
        """
        return Where(fn, describe)

    @staticmethod
    def sql(
        *,
        dialect: str,
        tables: Mapping[str, Sequence[str]],
        max_rows: int = 1000,
        row_filter: Mapping[str, Any] | None = None,
    ) -> Arg:
        """One read-only query over `tables`; see `langchain_guard.tool_scope.sql.Sql`. Needs the extra ``sql``."""
        from langchain_guard.tool_scope.sql import Sql  # noqa: PLC0415  # the kinds with tables of their own know Arg

        return Sql(dialect, tables, max_rows, row_filter or {})

    @staticmethod
    def path(root: str | os.PathLike[str]) -> Arg:
        """A path below the folder `root`; see `langchain_guard.tool_scope.path.Below`."""
        from langchain_guard.tool_scope.path import Below  # noqa: PLC0415

        return Below(root)

    @staticmethod
    def url(hosts: Iterable[str], *, schemes: Iterable[str] = ("https",), ports: Iterable[int] | None = None) -> Arg:
        """A URL on one of `hosts`; see `langchain_guard.tool_scope.url.OnHost`."""
        from langchain_guard.tool_scope.url import OnHost  # noqa: PLC0415

        return OnHost(hosts, schemes, ports)

    # -- combination

    def __and__(self, other: Arg) -> Arg:
        """Both hold; the second judges what the first hands back."""
        if not isinstance(other, Arg):
            return NotImplemented
        return joined([*_parts(self, Both), *_parts(other, Both)])

    def __or__(self, other: Arg) -> Arg:
        """One holds; the first that does hands back the canonical value."""
        if not isinstance(other, Arg):
            return NotImplemented
        return Either((*_parts(self, Either), *_parts(other, Either)))

    # -- judging

    def check(self, value: Any, who: Identity | None = None) -> tuple[Verdict, Any]:
        """Judge one value.

        Args:
            value: The value as the tool would get it.
            who: The caller, for rules that depend on it.

        Returns:
            The verdict, and the canonical value to run: `value` itself where nothing had to change, None if blocked.
        """
        try:
            canonical = self.judge(value, _ANYONE if who is None else Asked(who))
        except Violation as violation:
            finding = Finding(violation.rule, "tool_call")
            return Verdict("Arg", "block", (finding,), details={"reason": violation.reason}), None
        action = "allow" if canonical is value or canonical == value else "redact"
        return Verdict("Arg", action), canonical  # type: ignore[arg-type]

    def judge(self, value: Any, asked: Asked) -> Any:
        """The canonical value.

        Raises:
            Violation: The value is out of scope.
        """
        if value is MISSING:
            raise Violation("missing", "is required")
        return self.canonical(value, asked)

    def canonical(self, value: Any, asked: Asked) -> Any:
        """`judge` for a value that was given."""
        raise NotImplementedError

    # -- what the model is shown, and data

    def narrowed(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The argument's JSON schema, narrowed as far as JSON Schema can say it in one keyword."""
        return schema

    def sentence(self) -> str:
        """One sentence for the model about what JSON Schema does not say, or ""."""
        return ""

    def data(self) -> dict[str, Any]:
        """The constraint as plain data, the form of `ToolScope.from_data`.

        Raises:
            ConfigError: It holds a callable, which has no data form.
        """
        raise NotImplementedError


def _parts(arg: Arg, combination: type[Both | Either]) -> tuple[Arg, ...]:
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


def callable_data(what: str) -> ConfigError:
    """The error for a rule that holds a Python callable and is asked for its data form."""
    return ConfigError(f"{what} holds a Python callable, which has no data form: build this scope in code")


def same(left: Any, right: Any) -> bool:
    """Equality that keeps booleans and numbers apart, at every depth."""
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    return bool(left == right)


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
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and math.isfinite(value)


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


def yes(fn: Callable[..., Any], *args: Any) -> bool:
    """Whether a user's predicate said yes; a predicate that raises or returns an awaitable has not.

    Raises:
        Violation: It raised; the rule is ``unavailable`` and the reason names the error's type.
    """
    try:
        answer = fn(*args)
        if inspect.isawaitable(answer):
            getattr(answer, "close", lambda: None)()
            return False
        return bool(answer)
    except Exception as error:  # noqa: BLE001  # a user's callable, a value's __deepcopy__ may raise anything
        raise Violation("unavailable", f"could not be checked ({type(error).__name__})") from None


_SCALARS = (str, int, float, bool, type(None), bytes)


def snapshot(value: Any) -> Any:
    """A copy that nobody else can change under our feet.

    Raises:
        Violation: The value cannot be copied (it holds a lock or a connection).
    """
    if type(value) in _SCALARS:
        return value
    try:
        return copy.deepcopy(value)
    except Exception as error:  # noqa: BLE001  # a user's callable, a value's __deepcopy__ may raise anything
        raise Violation("unreadable", f"cannot be copied ({type(error).__name__})") from None


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
