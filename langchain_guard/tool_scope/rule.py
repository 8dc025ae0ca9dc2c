"""What one tool may be called with, by whom, how often: `ToolRule`. Imports nothing of LangChain."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_guard.errors import ConfigError, strict
from langchain_guard.tool_scope.arg import Arg, callable_data

if TYPE_CHECKING:
    from langchain_guard.identity import Identity

Per = Literal["principal", "thread", "global"]
Taint = Literal["allow", "ask", "deny"]
OtherArgs = Literal["deny", "allow"]
Reads = Literal["trusted", "untrusted"]
Approver = Callable[[dict[str, Any]], Any] | Literal["interrupt"]
"""Gets a request for approval and answers it; ``"interrupt"`` is LangGraph's `interrupt`."""


def one_of(value: Any, allowed: Any, what: str) -> None:
    """Check a member of a closed set.

    Raises:
        ConfigError: It is none.
    """
    if value not in get_args(allowed):
        raise ConfigError(f"{what}={value!r} must be one of {', '.join(map(repr, get_args(allowed)))}")


@strict
@dataclass(frozen=True, slots=True)
class ToolRule:
    """What one tool may be called with, by whom, and how often.

    Args:
        args: A constraint for each argument, by the tool's own argument names.
        other_args: ``"deny"``: an argument without a constraint has to keep the tool's own default.
        budget: Most calls that are admitted, None for no limit; a call that fails has been used.
        per: Whose calls a budget counts: each ``"principal"``'s, each ``"thread"``'s (LangGraph's ``thread_id``), or
            ``"global"``, everybody's.
        requires: Scopes that the caller's `Identity` must have, all of them.
        when: ``when(args, who)`` has to say yes; it gets a copy of the canonical arguments.
        approve: True: a person has to approve each call, asked through ``ToolScope(approve=...)``; or whom to ask for
            this tool: a callable that gets the request, or ``"interrupt"``.
        reads: ``"untrusted"``: what this tool returns was written by others (web pages, mail), see
            ``ToolScope(taint=...)``.
        writes: Whether the tool has an effect outside of the conversation (sends, pays, deletes).

    Raises:
        ConfigError: An argument is of the wrong kind.
    """

    args: Mapping[str, Arg] = field(default_factory=dict)
    other_args: OtherArgs = "deny"
    budget: int | None = None
    per: Per = "principal"
    requires: Collection[str] = ()
    when: Callable[[dict[str, Any], Identity], Any] | None = None
    approve: bool | Approver | None = None
    reads: Reads = "trusted"
    writes: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.args, Mapping):
            raise ConfigError(f"ToolRule(args=...) must map argument names to Args, not {type(self.args).__name__}")
        for name, rule in self.args.items():
            if not isinstance(name, str) or not isinstance(rule, Arg):
                raise ConfigError(
                    f"ToolRule(args={{{name!r}: ...}}) must be an Arg, such as Arg.text(200), not {type(rule).__name__}"
                )
        one_of(self.other_args, OtherArgs, "ToolRule(other_args)")
        one_of(self.per, Per, "ToolRule(per)")
        one_of(self.reads, Reads, "ToolRule(reads)")
        if self.budget is not None and (
            not isinstance(self.budget, int) or isinstance(self.budget, bool) or self.budget < 0
        ):
            raise ConfigError(f"ToolRule(budget={self.budget!r}) must be a number of calls, 0 or more, or None")
        if isinstance(self.requires, str) or not isinstance(self.requires, Collection):
            raise ConfigError(
                "ToolRule(requires=...) must be several scopes, such as ('orders:read',), "
                f"not one {type(self.requires).__name__}"
            )
        requires = tuple(sorted(self.requires) if isinstance(self.requires, set | frozenset) else self.requires)
        if not all(isinstance(scope, str) and scope for scope in requires):
            raise ConfigError("ToolRule(requires=...) must be names of scopes, such as ('orders:read',)")
        object.__setattr__(self, "requires", requires)
        if self.when is not None and (not callable(self.when) or inspect.iscoroutinefunction(self.when)):
            raise ConfigError("ToolRule(when=...) must be a synchronous callable(args, who) or None")
        if not (self.approve is None or isinstance(self.approve, bool)):
            require_approver(self.approve, "ToolRule(approve)")
        if not isinstance(self.writes, bool):
            raise ConfigError(f"ToolRule(writes={self.writes!r}) must be True or False")

    def data(self) -> dict[str, Any]:
        """The rule as plain data, without what has its default.

        Raises:
            ConfigError: It holds a callable.
        """
        if self.when is not None or callable(self.approve):
            raise callable_data("ToolRule(when=... or approve=...)")
        out: dict[str, Any] = {"args": {name: rule.data() for name, rule in self.args.items()}}
        for name, default in _DEFAULTS.items():
            value = getattr(self, name)
            if value != default:
                out[name] = list(value) if isinstance(value, tuple) else value
        return out


_DEFAULTS: dict[str, Any] = {
    "other_args": "deny",
    "budget": None,
    "per": "principal",
    "requires": (),
    "approve": None,
    "reads": "trusted",
    "writes": False,
}


def require_approver(value: Any, what: str) -> None:
    """Check whom to ask for approval.

    Raises:
        ConfigError: It is neither a callable nor "interrupt".
    """
    if value != "interrupt" and not callable(value):
        raise ConfigError(f"{what}={value!r} must be a callable that gets the request, or 'interrupt'")
