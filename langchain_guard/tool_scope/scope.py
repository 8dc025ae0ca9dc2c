"""The policy: which tool may be called, with which arguments, by whom, until when and how often.

Pure: a `Request` goes in, a `Ruling` comes out; time is a number in the request. The wrapper (`wrap.py`) and the link
(`guard.py`) put it into LangChain. Several scopes on one call (`ToolScope.narrow`) are layers: a call needs the yes of
each, and each argument passes the rules of all, so that adding a layer never allows more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from langchain_guard.identity import Identity, hashed
from langchain_guard.tool_scope.arg import MISSING, NOBODY, Arg, Asked, Violation, snapshot, yes
from langchain_guard.tool_scope.kinds import UNLISTED, AnyValue, joined
from langchain_guard.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from langchain_guard.tool_scope.rule import Taint, ToolRule
    from langchain_guard.tool_scope.state import ScopeState


class Layer(Protocol):
    """One scope, as the policy sees it; its settings mean what `ToolScope`'s of the same name do."""

    @property
    def rules(self) -> Mapping[str, ToolRule]:
        """A rule for each tool that may be called."""

    @property
    def expires_at(self) -> float | None:
        """Seconds since the epoch."""

    @property
    def dry_run(self) -> bool:
        """Whether the layer only observes."""

    @property
    def taint(self) -> Taint:
        """What happens to calls that write after untrusted content was read."""

    @property
    def approve(self) -> Any:
        """Who approves."""

    @property
    def state(self) -> ScopeState:
        """What the layer remembers."""


class Request(NamedTuple):
    """One call to judge.

    Attributes:
        tool: Name of the tool.
        args: The arguments that the tool would get, without injected ones.
        who: The caller.
        now: Seconds since the epoch.
        run: Returns what identifies the run for `ScopeState.tainted`; called only if a rule asks for it.
        thread: LangGraph's thread, "" if there is none.
        defaults: The tool's own defaults, as far as they are known.
        verbatim: Whether the arguments run as they are written.
    """

    tool: str
    args: Mapping[str, Any]
    who: Identity = NOBODY
    now: float = 0.0
    run: Callable[[], Hashable] = str
    thread: str = ""
    defaults: Mapping[str, Any] = MappingProxyType({})
    verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason against a call: the rule, where it stands in the call, and words that may go to the model."""

    rule: str
    where: str
    reason: str

    @property
    def finding(self) -> Finding:
        """The refusal as a verdict shows it."""
        return Finding(self.rule, "tool_call", where=self.where)

    def __str__(self) -> str:
        name = self.where.removeprefix("args.")
        return f"argument {name!r} {self.reason}" if self.where else self.reason


class Ruling(NamedTuple):
    """What the policy says.

    Attributes:
        args: The canonical arguments, which run.
        refusals: Why the call is refused; empty if it is not.
        warnings: What scopes in dry run would have refused.
        approvals: Whom to ask before the call may run, and why.
    """

    args: dict[str, Any]
    refusals: tuple[Refusal, ...] = ()
    warnings: tuple[Refusal, ...] = ()
    approvals: tuple[tuple[Any, str], ...] = ()


class Policy:
    """Judges calls against one or more layers."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers = tuple(layers)
        self.enforcing = tuple(layer for layer in layers if not layer.dry_run)
        self.observing = tuple(layer for layer in layers if layer.dry_run)
        self._rules: dict[str, dict[str, Arg]] = {}

    def tools(self) -> list[str]:
        """The tools that every enforcing layer has a rule for."""
        return [tool for tool in (self.enforcing[0].rules if self.enforcing else ()) if self.knows(tool)]

    def knows(self, tool: str) -> bool:
        """Whether every enforcing layer has a rule for the tool."""
        return all(tool in layer.rules for layer in self.enforcing)

    def rule_for(self, tool: str, argument: str) -> Arg:
        """The conjunction of what all enforcing layers say about one argument."""
        rules = self._ruled(tool)
        return rules[argument] if argument in rules else self._combined(tool, argument)

    def named_args(self, tool: str) -> list[str]:
        """The arguments of a tool that some enforcing layer has a rule for, in the order of the rules."""
        return list(self._ruled(tool))

    def _ruled(self, tool: str) -> dict[str, Arg]:
        """The arguments that have a rule; names that a model made up are never kept."""
        rules = self._rules.get(tool)
        if rules is None:
            names = dict.fromkeys(name for layer in self.enforcing for name in layer.rules[tool].args)
            rules = self._rules[tool] = {name: self._combined(tool, name) for name in names}
        return rules

    def _combined(self, tool: str, argument: str) -> Arg:
        return joined([_arg_of(layer, tool, argument) for layer in self.enforcing])

    def judge(self, request: Request) -> Ruling:
        """Whether a call may run, with which arguments, and who has to approve it."""
        refusals = [found for layer in self.enforcing if (found := _entry(layer, request)) is not None]
        args: dict[str, Any] = dict(request.args)
        approvals: list[tuple[Any, str]] = []
        if not refusals:
            args, refusals = self._arguments(request)
        if not refusals:
            refusals, approvals = _conditions(self.enforcing, request, args)
        warnings: list[Refusal] = []
        for layer in self.observing:
            warnings += Policy([_Enforced(layer)]).judge(request).refusals
        return Ruling(args, tuple(refusals), tuple(warnings), tuple(approvals))

    def _arguments(self, request: Request) -> tuple[dict[str, Any], list[Refusal]]:
        canonical: dict[str, Any] = {}
        refusals: list[Refusal] = []
        rules = self._ruled(request.tool)
        for name in dict.fromkeys((*request.args, *rules)):
            asked = Asked(request.who, request.defaults.get(name, MISSING), request.verbatim)
            rule = rules[name] if name in rules else self._combined(request.tool, name)
            try:
                value = rule.judge(request.args.get(name, MISSING), asked)
            except Violation as violation:
                refusals.append(Refusal(violation.rule, f"args.{plain(name)}", violation.reason))
                continue
            if value is not MISSING:
                canonical[name] = value
        return canonical, refusals


@dataclass(frozen=True, slots=True)
class _Enforced:
    """A layer in dry run, judged as if it were not."""

    layer: Layer
    dry_run: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.layer, name)


def _arg_of(layer: Layer, tool: str, argument: str) -> Arg:
    rule = layer.rules[tool]
    found = rule.args.get(argument)
    if found is not None:
        return found
    return AnyValue() if rule.other_args == "allow" else UNLISTED


def _entry(layer: Layer, request: Request) -> Refusal | None:
    """What one layer has against a call, whatever its arguments are."""
    rule = layer.rules.get(request.tool)
    if rule is None:
        return Refusal("tool", "", "this tool is not allowed")
    if layer.expires_at is not None and request.now >= layer.expires_at:
        return Refusal("expires_at", "", "the permission has expired")
    if any(scope not in request.who.scopes for scope in rule.requires):
        return Refusal("requires", "", "the caller lacks a permission that this tool needs")
    return None


def _conditions(
    layers: Iterable[Layer], request: Request, args: dict[str, Any]
) -> tuple[list[Refusal], list[tuple[Any, str]]]:
    """What holds for the call as a whole: `when`, provenance, approval."""
    refusals: list[Refusal] = []
    approvals: list[tuple[Any, str]] = []
    for layer in layers:
        rule = layer.rules[request.tool]
        if rule.when is not None:
            try:
                if not yes(rule.when, {name: snapshot(value) for name, value in args.items()}, request.who):
                    refusals.append(Refusal("when", "", "this call is not allowed"))
            except Violation as violation:
                refusals.append(Refusal(violation.rule, "", f"the call {violation.reason}"))
        tainted = rule.writes and layer.taint != "allow" and layer.state.tainted(request.run())
        if tainted and layer.taint == "deny":
            refusals.append(Refusal("taint", "", "untrusted content was read before, and this tool has effects"))
        asks = rule.approve is not None and rule.approve is not False
        if asks or (tainted and layer.taint == "ask"):
            approver = layer.approve if isinstance(rule.approve, bool | None) else rule.approve
            approvals.append((approver, "approve" if asks else "taint"))
    return refusals, approvals


_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def plain(name: Any) -> str:
    """A name that a model wrote, fit for a verdict: itself if it is a plain identifier, else ``[*]``."""
    return name if isinstance(name, str) and _PLAIN.fullmatch(name) else "[*]"


def audit_record(
    request: Request, ruling: Ruling, *, approved: bool | None, with_args: bool, run: str
) -> dict[str, Any]:
    """What an audit trail gets of one call: names, rules and a hashed caller; values only if asked for."""
    found = ruling.refusals or ruling.warnings
    record: dict[str, Any] = {
        "time": request.now,
        "tool": plain(request.tool),
        "action": "block" if ruling.refusals else "flag" if ruling.warnings else "allow",
        "rules": [refusal.rule for refusal in found],
        "reasons": [str(refusal) for refusal in found],
        "arg_names": sorted(plain(name) for name in request.args),
        "caller": hashed(request.who.key),
        "thread": request.thread,
        "run_id": run,
        "approved": approved,
    }
    if with_args:
        record["args"] = dict(ruling.args)
    return record


def budget_key(rule: ToolRule, request: Request) -> str:
    """Whose budget a call counts against."""
    if rule.per == "global":
        return ""
    if rule.per == "thread" and request.thread:
        return f"thread:{request.thread}"
    return request.who.key


def reserve(layers: Iterable[Layer], request: Request) -> Refusal | None:
    """Reserve one call in every layer's budget, or in none."""
    taken: list[tuple[Layer, ToolRule, str]] = []
    for layer in layers:
        rule = layer.rules[request.tool]
        if rule.budget is None:
            continue
        key = budget_key(rule, request)
        if not layer.state.reserve(request.tool, rule, key):
            for earlier, earlier_rule, earlier_key in taken:
                earlier.state.refund(request.tool, earlier_rule, earlier_key)
            return Refusal("budget", "", "the number of calls allowed is used up")
        taken.append((layer, rule, key))
    return None


def refund(layers: Iterable[Layer], request: Request) -> None:
    """Take the reservation of `reserve` back."""
    for layer in layers:
        rule = layer.rules[request.tool]
        layer.state.refund(request.tool, rule, budget_key(rule, request))


def count_repeat(layers: Iterable[Layer], request: Request) -> None:
    """Let a refused call that comes again, unchanged, use up the budget: a model must not try for ever."""
    budgeted = [layer for layer in layers if (rule := layer.rules.get(request.tool)) and rule.budget is not None]
    if not budgeted:
        return
    try:
        call = hash((request.who.key, request.thread, request.tool, repr(sorted(request.args.items(), key=str))))
    except Exception:  # noqa: BLE001  # a value whose repr fails cannot be recognised when it comes again
        return
    for layer in budgeted:
        if layer.state.repeated(call):
            rule = layer.rules[request.tool]
            layer.state.reserve(request.tool, rule, budget_key(rule, request))


def denial(tool: str, found: Sequence[Refusal]) -> str:
    """What the model is told: which argument and which kind of rule, never the rule's content."""
    why = "; ".join(map(str, found))
    return f"The call of {plain(tool)!r} was refused: {why}. This is final: do not send the same call again."
