"""What one argument of a tool may be: `Arg` and its kinds.

A constraint gets the value that the tool would get (validated, coerced, with defaults) and hands back the canonical
value, which is what runs: the regenerated SQL, the real path, the normalised URL. Constraints are immutable, hold no
state, and are combined with ``&`` and ``|``. The kinds know this module (`kinds`, `sql`, `path`, `url`), so its methods
import them late. It imports nothing of LangChain.

A value fails closed: a bool is no number, NaN and infinities are in no range, a pattern matches from end to end, a list
needs `Arg.each`, and a constrained argument that is missing is refused unless its rule says otherwise
(``Arg.absent() | ...``).
"""

from __future__ import annotations

import copy
import enum
import inspect
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from langchain_guard.errors import ConfigError
from langchain_guard.identity import Identity
from langchain_guard.verdict import Finding, Verdict

if TYPE_CHECKING:
    import os
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


class Asked(NamedTuple):
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
        from langchain_guard.tool_scope.kinds import AnyValue  # noqa: PLC0415

        return AnyValue()

    @staticmethod
    def enum(*values: Any) -> Arg:
        """One of `values` (str, numbers, bool, None); ``1`` does not allow ``True``. One list is taken apart.

        Raises:
            ConfigError: There is no value.
        """
        if len(values) == 1 and isinstance(values[0], list | tuple | set | frozenset):
            values = tuple(values[0])
        from langchain_guard.tool_scope.kinds import OneOf  # noqa: PLC0415

        return OneOf(values)

    @staticmethod
    def range(lo: float | None = None, hi: float | None = None) -> Arg:
        """A finite number from `lo` to `hi`, both included; None leaves a side open.

        Raises:
            ConfigError: Both sides are open, a bound is no finite number, or `lo` is above `hi`.
        """
        from langchain_guard.tool_scope.kinds import Between  # noqa: PLC0415

        return Between(lo, hi)

    @staticmethod
    def regex(pattern: str, *, max_chars: int = 10_000) -> Arg:
        """A str that `pattern` matches from end to end, of at most `max_chars` code points.

        Raises:
            ConfigError: The pattern is invalid, or could take more than linear time.
        """
        from langchain_guard.tool_scope.kinds import Matches  # noqa: PLC0415

        return Matches(pattern, max_chars)

    @staticmethod
    def fixed(value: Any) -> Arg:
        """Always `value`, or what ``value(identity)`` returns; the model does not see the argument.

        A callable that returns None or ``""`` (a caller without an account) refuses the call.
        """
        from langchain_guard.tool_scope.kinds import Fixed  # noqa: PLC0415

        return Fixed(value)

    @staticmethod
    def absent() -> Arg:
        """Not given: the tool's own default runs. ``Arg.absent() | rule`` makes an argument optional."""
        from langchain_guard.tool_scope.kinds import Absent  # noqa: PLC0415

        return Absent()

    @staticmethod
    def each(rule: Arg, *, max_items: int = 1000) -> Arg:
        """A list of at most `max_items`, every element of which passes `rule`.

        Raises:
            ConfigError: `rule` is no Arg, or can never hold for an element.
        """
        from langchain_guard.tool_scope.kinds import Each  # noqa: PLC0415

        return Each(rule, max_items)

    @staticmethod
    def text(max_chars: int) -> Arg:
        """Any str of at most `max_chars` code points.

        Raises:
            ConfigError: `max_chars` is not positive.
        """
        from langchain_guard.tool_scope.kinds import Text  # noqa: PLC0415

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
        from langchain_guard.tool_scope.kinds import Where  # noqa: PLC0415

        return Where(fn, describe)

    @staticmethod
    def sql(
        dialect: str,
        tables: Mapping[str, Sequence[str]],
        max_rows: int = 1000,
        row_filter: Mapping[str, Any] | None = None,
    ) -> Arg:
        """One read-only query over `tables`; see `langchain_guard.tool_scope.sql.Sql`. Needs the extra ``sql``."""
        from langchain_guard.tool_scope.sql import Sql  # noqa: PLC0415

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
        from langchain_guard.tool_scope.kinds import Both, joined, parts  # noqa: PLC0415

        return joined([*parts(self, Both), *parts(other, Both)])

    def __or__(self, other: Arg) -> Arg:
        """One holds; the first that does hands back the canonical value."""
        if not isinstance(other, Arg):
            return NotImplemented
        from langchain_guard.tool_scope.kinds import Either, parts  # noqa: PLC0415

        return Either((*parts(self, Either), *parts(other, Either)))

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
