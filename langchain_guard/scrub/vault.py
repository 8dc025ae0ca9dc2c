"""`Vault`: values that the model must not see become placeholders before it, and values again after it.

    chain = prompt | vault.hide | model | vault.restore

A placeholder such as ``[EMAIL_1]`` stands for the same value as long as the vault remembers it, so a conversation goes on
with the same numbers. Values are kept per scope: the thread, else the caller, else the vault itself; what was hidden in
one scope is never restored in another.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import Field

from langchain_guard.errors import ConfigError, OutputBlocked, strict
from langchain_guard.identity import ANONYMOUS, identity_of
from langchain_guard.policy import Judged
from langchain_guard.scrub.finder import PatternFinder, Search
from langchain_guard.scrub.policy import ScrubPolicy, ScrubRule, TextScanner, plan
from langchain_guard.streaming import SpanScanner
from langchain_guard.text import TextGuard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from langchain_guard.errors import Refused
    from langchain_guard.policy import TextPolicy
    from langchain_guard.run import Call
    from langchain_guard.scrub.policy import Plan
    from langchain_guard.streaming import Scanner, Span
    from langchain_guard.verdict import Verdict

_PLACEHOLDER = r"\[[A-Z][A-Z0-9_-]{0,63}_[1-9][0-9]{0,8}\]"
_SHAPE = re.compile(_PLACEHOLDER)
_SHARED = ""


class _Book:
    """The placeholders of one scope."""

    def __init__(self) -> None:
        self.names: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()  # value -> placeholder, last use
        self.values: dict[str, tuple[str, str]] = {}  # placeholder -> value
        self.counters: dict[str, int] = {}


@strict
class Vault:
    """Remembers which placeholder stands for which value; safe to share between threads.

    Args:
        kinds: What `hide` looks for, as in `OutputScrubber`.
        rules: The application's own rules for `hide`.
        region: As in `OutputScrubber`.
        ttl: Seconds after its last use at which a value is forgotten.
        max_values: Values kept in all scopes together; beyond it the scope used longest ago is forgotten.
        clock: Returns seconds.

    Raises:
        ConfigError: A kind is unknown, or a number is not positive.

    Example:
        >>> from langchain_guard import Vault
        >>> vault = Vault()
        >>> vault.hide.invoke("write to bob@example.com")
        'write to [EMAIL_1]'
        >>> vault.restore.invoke("I wrote to [EMAIL_1].")
        'I wrote to bob@example.com.'
    """

    def __init__(
        self,
        *,
        kinds: str | Sequence[str] = "default",
        rules: Sequence[ScrubRule] = (),
        region: str | None = None,
        ttl: float = 86_400,
        max_values: int = 100_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not ttl > 0:
            raise ConfigError(f"Vault(ttl={ttl!r}) must be a positive number of seconds")
        if not isinstance(max_values, int) or max_values < 1:
            raise ConfigError(f"Vault(max_values={max_values!r}) must be a positive int")
        self._ttl, self._max_values, self._clock = ttl, max_values, clock
        self._plan = plan(kinds, {"*": "vault"}, tuple(rules), region)
        self._books: OrderedDict[str, _Book] = OrderedDict()
        self._size = 0
        self._lock = threading.RLock()
        self.hide = Hide(vault=self, name="vault.hide")
        self.restore = Restore(vault=self, name="vault.restore")

    def placeholder(self, kind: str, value: str, scope: str = _SHARED) -> str:
        """The placeholder of a value: the one it has, or the next number of its kind."""
        now, kind = self._clock(), kind.upper()
        with self._lock:
            book = self._book(scope, now)
            known = book.names.get((kind, value))
            if known is not None:
                book.names[kind, value] = known[0], now
                book.names.move_to_end((kind, value))
                return known[0]
            number = book.counters[kind] = book.counters.get(kind, 0) + 1
            name = f"[{kind}_{number}]"
            book.names[kind, value] = name, now
            book.values[name] = kind, value
            self._size += 1
            while self._size > self._max_values:
                self._forget_oldest(scope)
            return name

    def value(self, placeholder: str, scope: str = _SHARED) -> str | None:
        """The value behind a placeholder; None if this scope has none."""
        now = self._clock()
        with self._lock:
            book = self._book(scope, now)
            entry = book.values.get(placeholder)
            if entry is None:
                return None
            book.names[entry] = placeholder, now
            book.names.move_to_end(entry)
            return entry[1]

    def forget(self, scope: str | None = None) -> None:
        """Forget the values of one scope, or of all."""
        with self._lock:
            for name in [scope] if scope is not None else list(self._books):
                book = self._books.pop(name, None)
                self._size -= len(book.names) if book is not None else 0

    def __len__(self) -> int:
        """How many values are kept."""
        with self._lock:
            return self._size

    def _book(self, scope: str, now: float) -> _Book:
        book = self._books.setdefault(scope, _Book())
        self._books.move_to_end(scope)
        while book.names:
            entry, (name, used) = next(iter(book.names.items()))
            if now - used < self._ttl:
                break
            self._drop(book, entry, name)
        return book

    def _drop(self, book: _Book, entry: tuple[str, str], name: str) -> None:
        del book.names[entry]
        del book.values[name]
        self._size -= 1

    def _forget_oldest(self, current: str) -> None:
        """Make room: the scope used longest ago goes first, then the values used longest ago."""
        scope, book = next(iter(self._books.items()))
        if scope != current:
            self._size -= len(book.names)
            del self._books[scope]
        else:
            entry, (name, _) = next(iter(book.names.items()))
            self._drop(book, entry, name)

    def __repr__(self) -> str:
        return f"Vault({len(self)} values)"

    def __copy__(self) -> Vault:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Vault:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Vault holds the values it hides and is never pickled; build a new one where it is needed")


def scope_of(config: Mapping[str, Any]) -> str:
    """Whose values a call works with: its thread's, else its caller's, else the vault's own."""
    thread = (config.get("configurable") or {}).get("thread_id")
    if thread is not None:
        return f"thread:{thread}"
    key = identity_of(config).key
    return _SHARED if key == ANONYMOUS else f"caller:{key}"


class Hide(TextGuard):
    """Replaces values by placeholders, before a model.

    Text that looks like a placeholder and was not written by the model loses its brackets, so that nobody can ask for a
    value by guessing its name.
    """

    vault: Any = Field(exclude=True, repr=False)

    def _policy(self, call: Call) -> TextPolicy:
        return _Hiding(self.vault, self.vault._plan, scope_of(call.config))

    def _refusal(self, verdict: Verdict) -> Refused:
        return OutputBlocked(f"{self.get_name()} refused the value.", verdict=verdict)

    def __reduce__(self) -> NoReturn:
        self.vault.__reduce__()
        raise AssertionError

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """Not: its vault is state."""
        return False


class Restore(Hide):
    """Puts the values back in the place of their placeholders, after a model; streams."""

    def _policy(self, call: Call) -> TextPolicy:
        return _Restoring(self.vault, scope_of(call.config))


class _Hiding:
    """Judges texts: neutralises what looks like a placeholder, then hides values."""

    def __init__(self, vault: Vault, what: Plan, scope: str) -> None:
        self._policy = ScrubPolicy(what, vault=vault, scope=scope)

    def judge(self, text: str, source: str) -> Judged:
        plain = text if source == "ai" else _SHAPE.sub(lambda match: f"({match.group()[1:-1]})", text)
        judged = self._policy.judge(plain, source)
        if plain != text and judged.action == "allow":
            return Judged(judged.text, judged.findings, "redact")
        return judged

    def scanner(self, source: str) -> TextScanner | None:  # noqa: ARG002  # what goes into a model is whole
        return None


class _Restoring:
    """Judges texts: every placeholder that this scope knows becomes its value, in one pass."""

    def __init__(self, vault: Vault, scope: str) -> None:
        self._vault, self._scope = vault, scope

    def _render(self, text: str, span: Span, exact: bool) -> str:  # noqa: ARG002
        value = self._vault.value(text, self._scope)
        return text if value is None else value

    def judge(self, text: str, source: str) -> Judged:  # noqa: ARG002
        out = _Quiet(self._render).whole(text)
        return Judged(out if out != text else text)

    def scanner(self, source: str) -> Scanner | None:  # noqa: ARG002
        return _Quiet(self._render)


class _Quiet(SpanScanner):
    """Restoring is no finding: the verdict says allow."""

    def __init__(self, render: Callable[[str, Span, bool], str]) -> None:
        super().__init__(_placeholders(), render)


@lru_cache(maxsize=1)
def _placeholders() -> PatternFinder:
    return PatternFinder([Search("placeholder", "placeholder", "redact", _PLACEHOLDER)])
