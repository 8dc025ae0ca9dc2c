"""The errors of this package, one tree.

    Exception
    └── GuardError
        ├── ConfigError(ValueError)          a guard was built with something it cannot work with
        ├── GuardUnavailable(RuntimeError)   a detector, rule or store failed, or a value could not be read
        └── Refused(RuntimeError)            a guard did its work and said no
            ├── IdentityRequired             nobody (or nobody verified) is calling
            ├── RateLimitExceeded            too much in the last X minutes
            │   └── Banned                   in a time-out or banned
            ├── InjectionDetected            the input tries to take over the model
            ├── OutputBlocked                the answer holds what must not leave
            └── ToolDenied                   a tool call is out of scope

Every error can be pickled, and none holds or prints the text that was found. ``Refused`` is a ``RuntimeError`` so
that LangGraph's ``RetryPolicy`` does not try a refused call again.

This module imports nothing of LangChain.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_guard.verdict import Verdict


def _rebuild(cls: type[GuardError], state: dict[str, Any], args: tuple[Any, ...]) -> GuardError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class GuardError(Exception):
    """Base of every error that this package raises on purpose."""

    def __reduce__(self) -> tuple[Callable[..., GuardError], tuple[Any, ...]]:
        return _rebuild, (type(self), dict(self.__dict__), self.args)


class ConfigError(GuardError, ValueError):
    """A guard was given an argument that it cannot work with; raised when it is built, never in a request."""


class GuardUnavailable(GuardError, RuntimeError):
    """A guard could not do its work, so the value was not let through.

    Args:
        message: What failed, without any text of the value.
        guard: Name of the guard.
        rule: The rule, detector or store that failed; ``"unreadable"`` for a value that cannot be read.
        cause: Name of the type of the underlying error, never its text.
    """

    def __init__(self, message: str, *, guard: str = "", rule: str = "", cause: str = "") -> None:
        super().__init__(message)
        self.guard, self.rule, self.cause = guard, rule, cause


class Refused(GuardError, RuntimeError):
    """A guard refused a value, a call or a caller.

    Args:
        message: Who refused and why; safe to show and to log.
        verdict: The judgement behind it, without texts.
        guard: Name of the guard that refused.
        advice: What the caller or the developer can do next.
    """

    def __init__(self, message: str, *, verdict: Verdict, guard: str = "", advice: str = "") -> None:
        super().__init__(message)
        self.verdict, self.guard, self.advice = verdict, guard or verdict.guard, advice

    def __str__(self) -> str:
        return f"{self.args[0]} {self.advice}".rstrip() if self.advice else str(self.args[0])


class IdentityRequired(Refused):
    """The limiter was told to serve known (or verified) callers only, and this one is not."""


class RateLimitExceeded(Refused):
    """A limit is used up.

    Args:
        message: Who refused and why.
        verdict: The judgement behind it.
        guard: Name of the limiter.
        advice: What to do next.
        retry_after: Seconds until the same call would be admitted; None if it can never fit.
        limit: The limit that refused, in the spelling of its configuration.
        key: The caller, hashed, as it appears in events.
    """

    def __init__(
        self,
        message: str,
        *,
        verdict: Verdict,
        guard: str = "",
        advice: str = "",
        retry_after: float | None = None,
        limit: Any = None,
        key: str = "",
    ) -> None:
        super().__init__(message, verdict=verdict, guard=guard, advice=advice)
        self.retry_after, self.limit, self.key = retry_after, limit, key


class Banned(RateLimitExceeded):
    """The caller is in a time-out or banned; ``retry_after`` seconds are left of it."""


class InjectionDetected(Refused):
    """The input reads like an attempt to take over the model."""


class OutputBlocked(Refused):
    """The answer holds something that must not leave."""


class ToolDenied(Refused):
    """A tool call is out of scope."""


_Settings = TypeVar("_Settings", bound=type[Any])


def strict(cls: _Settings) -> _Settings:
    """Class decorator for settings: a keyword that the class does not have is a `ConfigError`, as it is for guards."""
    build = cls.__init__
    known = frozenset(inspect.signature(cls).parameters)

    @functools.wraps(build)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        if unknown := kwargs.keys() - known:
            names = ", ".join(sorted(name for name in known if not name.startswith("_")))
            raise ConfigError(f"{cls.__name__} has no argument {min(unknown)!r}; it has {names}")
        build(self, *args, **kwargs)

    cls.__init__ = checked
    return cls
