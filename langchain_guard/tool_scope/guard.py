"""`ToolScope`: what tools a model may call, as configuration and as a link after the model."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.tools import BaseTool
from pydantic import Field, field_validator

from langchain_guard.errors import ConfigError, GuardUnavailable, ToolDenied
from langchain_guard.identity import Identity, hashed, identity_of
from langchain_guard.runnable import ChunkFilter, Guard, Session
from langchain_guard.tool_scope.calls import ToolCallAt, calls_in
from langchain_guard.tool_scope.data import rule_from, scope_from
from langchain_guard.tool_scope.link import AnswerSession, CallFilter
from langchain_guard.tool_scope.provenance import DetectionWatch, run_of, thread_of
from langchain_guard.tool_scope.rule import ToolRule, require_approver
from langchain_guard.tool_scope.schema import defaults_of, require_known
from langchain_guard.tool_scope.scope import Policy, Refusal, Request, Ruling, denial, plain
from langchain_guard.tool_scope.state import ScopeState
from langchain_guard.verdict import Action, Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_core.callbacks import BaseCallbackHandler

    from langchain_guard.run import Call


class ToolScope(Guard):
    """Least privilege for what a model may do: every tool and every argument that no rule allows is refused.

    Give it to `scope_tools`, which enforces it in the tools themselves. As a link after a model
    (``model.bind_tools(tools) | scope``) it refuses messages with out-of-scope calls before any executor sees them; a
    link judges the arguments as they are written and changes nothing.

    Args:
        rules: A `ToolRule` for each tool that may be called, by the tool's name.
        expires_at: When every permission ends: an aware datetime, its ISO 8601 form, or seconds since the epoch.
        on_denied: What a scoped tool does with a refused call: ``"message"``: answers it with an error (a
            ``ToolMessage(status="error")`` for a ToolCall); ``"raise"``: raises ToolDenied.
        approve: Who approves calls of rules that ask for it: a callable that gets a request (``tool``, ``args``,
            ``reason``, ``caller``) and returns True, False, or a decision such as ``{"type": "edit", "args": {...}}``;
            or ``"interrupt"`` (or LangGraph's `interrupt` itself), which pauses the graph. None: such calls are refused.
        audit: Called with a dict for every judged call of a scoped tool, before it runs; if it fails, nothing runs.
        audit_args: Whether audit records hold the arguments' values.
        dry_run: Judge and report, but let every call run, with the arguments and the schema unchanged.
        describe: Add a sentence about each rule to the argument's description that the model sees.
        taint: What happens to calls of tools that write, once a tool that reads untrusted content ran in the same run.
        identify: Tells the caller from the config instead of `identity_of`.
        tools: Tools to check the rules against; their defaults let the link judge arguments that are left out.
        clock: Returns seconds since the epoch; None for `time.time`.
        state: Used budgets and tainted runs.

    Raises:
        ConfigError: A rule is of the wrong kind, or (if `tools` are given) names a tool or an argument that none has.

    Example:
        ```python
        from langchain_core.tools import tool
        from langchain_guard import Arg, ToolRule, ToolScope, scope_tools

        @tool
        def read_orders(customer: str, limit: int = 10) -> str:
            "Read a customer's orders."
            return f"{limit} orders of {customer}"

        scope = ToolScope({"read_orders": ToolRule(args={
            "customer": Arg.fixed(lambda who: who.id), "limit": Arg.range(1, 50)})})
        [read_orders] = scope_tools([read_orders], scope)
        ```
    """

    rules: dict[str, Any] = Field(json_schema_extra={"callable": True})
    expires_at: float | None = None
    on_denied: Literal["message", "raise"] = "message"
    approve: Any = Field(default=None, json_schema_extra={"callable": True})
    audit: Callable[[dict[str, Any]], Any] | None = Field(default=None, json_schema_extra={"callable": True})
    audit_args: bool = False
    dry_run: bool = False
    describe: bool = False
    taint: Literal["allow", "ask", "deny"] = "allow"
    identify: Callable[[RunnableConfig], Identity] | None = Field(default=None, json_schema_extra={"callable": True})
    defaults: dict[str, dict[str, Any]] = Field(default_factory=dict, repr=False)
    clock: Callable[[], float] | None = Field(default=None, json_schema_extra={"callable": True})
    narrowed_by: tuple[Any, ...] = ()
    state: ScopeState = Field(default_factory=ScopeState, exclude=True, repr=False)

    reads_identity: ClassVar[bool] = True

    def __init__(
        self, rules: Mapping[str, ToolRule] | None = None, *, tools: Iterable[Any] | None = None, **kwargs: Any
    ) -> None:
        given = kwargs if rules is None else {**kwargs, "rules": rules}
        super().__init__(**given)
        if tools is not None:
            known = [tool for tool in tools if isinstance(tool, BaseTool)]
            require_known(self.rules, known)
            self.defaults.update({tool.name: defaults_of(tool) for tool in known})

    @field_validator("rules", mode="before")
    @classmethod
    def _rules(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("must map tool names to ToolRules")  # noqa: TRY004  # pydantic reads ValueErrors only
        rules = {}
        for tool, rule in value.items():
            if not isinstance(tool, str) or not tool:
                raise ValueError(f"the name of a tool must be a non-empty str, not {tool!r}")
            if isinstance(rule, Mapping):  # a dump's form
                rules[tool] = rule_from(tool, rule)
            elif isinstance(rule, ToolRule):
                rules[tool] = rule
            else:
                raise ValueError(f"the rule of {tool!r} must be a ToolRule, not {type(rule).__name__}")  # noqa: TRY004
        return rules

    @field_validator("expires_at", mode="before")
    @classmethod
    def _expires_at(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = datetime.fromisoformat(value)
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise ValueError("a datetime needs a time zone, such as datetime.UTC")
            return value.timestamp()
        if isinstance(value, bool) or (isinstance(value, int | float) and not math.isfinite(value)):
            raise ValueError("must be seconds since the epoch or an aware datetime")
        return value

    @field_validator("approve")
    @classmethod
    def _approve(cls, value: Any) -> Any:
        if value is not None:
            require_approver(value, "approve")
        return value

    @field_validator("narrowed_by", mode="before")
    @classmethod
    def _narrowed_by(cls, value: Any) -> Any:
        if not isinstance(value, Sequence) or not all(isinstance(scope, ToolScope) for scope in value):
            raise ValueError("must be ToolScopes")
        return tuple(value)

    # -- scopes as values

    @classmethod
    def from_data(cls, mapping: Mapping[str, Any], *, tools: Iterable[Any] | None = None, **kwargs: Any) -> ToolScope:
        """A scope from plain data, such as a YAML file.

        Args:
            mapping: ``{"tools": {"query_db": {"args": {"limit": {"range": {"lo": 1, "hi": 50}}}}}}``, and the other
                settings of a scope that are no callables beside ``"tools"``.
            tools: Tools to check the rules against.
            **kwargs: Settings that have no data form, such as `audit`.

        Raises:
            ConfigError: A key is unknown, a value of the wrong type, or a rule names what no tool has.
        """
        return cls(**{**scope_from(mapping), **kwargs}, tools=tools)

    def narrow(self, other: ToolScope) -> ToolScope:
        """The conjunction: a call needs the yes of both, and what runs passes both; it never allows more than either.

        Budgets stay those of the scopes that they come from, so that narrowing refills none.

        Raises:
            ConfigError: The two contradict each other in a way that allows nothing (SQL scopes of two dialects).
        """
        if not isinstance(other, ToolScope):
            raise ConfigError(f"ToolScope.narrow(other) needs a ToolScope, not {type(other).__name__}")
        both = self.model_copy(update={"narrowed_by": (*self.narrowed_by, other)})
        for tool in both.policy.tools():
            for argument in both.policy.named_args(tool):
                both.policy.rule_for(tool, argument)  # fails here rather than in a call
        return both

    @property
    def layers(self) -> tuple[ToolScope, ...]:
        """This scope and every scope that narrowed it."""
        return (self, *(layer for scope in self.narrowed_by for layer in scope.layers))

    @property
    def policy(self) -> Policy:
        """The pure part."""
        return Policy(self.layers)

    def to_json(self) -> Any:
        """As LangChain's, with the rules as plain data; marked if they hold callables, which no dump can carry."""
        dumped: Any = super().to_json()
        kwargs = dumped["kwargs"]
        try:
            kwargs["rules"] = {tool: rule.data() for tool, rule in self.rules.items()}
        except ConfigError:
            kwargs["rules"] = {}
            kwargs["holds_callables"] = sorted({*kwargs.get("holds_callables", ()), "rules"})
        return dumped

    # -- judging

    def caller(self, config: RunnableConfig | None) -> Identity:
        """Who is calling."""
        if self.identify is None:
            return identity_of(config)
        try:
            who: Any = self.identify(config or RunnableConfig())
        except Exception as error:  # noqa: BLE001  # the application's callable may raise anything
            who = type(error)
        if isinstance(who, Identity):
            return who
        cause = (who if isinstance(who, type) else type(who)).__name__
        raise GuardUnavailable(
            f"{self.get_name()}: identify did not return an Identity",
            guard=self.get_name(),
            rule="identify",
            cause=cause,
        )

    def request(self, tool: str, args: Mapping[str, Any], config: RunnableConfig | None, **known: Any) -> Request:
        """A call as the policy judges it."""
        known.setdefault("defaults", self.defaults.get(tool, {}))
        now = (self.clock or time.time)()
        who = self.caller(config)
        return Request(tool, args, who, now, partial(run_of, config, who), thread_of(config), **known)

    def explain(self, tool: str | BaseTool, args: Mapping[str, Any], config: RunnableConfig | None = None) -> Verdict:
        """What this scope says about one call, without running, counting or asking anything.

        Args:
            tool: The tool or its name; a tool's own defaults stand in for arguments that are left out.
            args: The arguments as the tool would get them.
            config: Who is calling, in which thread.

        Returns:
            A verdict: "redact" if other arguments than those given would run, "flag" if only scopes in dry run object
            or a person would be asked first (``details["approval"]``).
        """
        if isinstance(tool, BaseTool):
            defaults = defaults_of(tool)
            request = self.request(tool.name, {**defaults, **args}, ensure_config(config), defaults=defaults)
        else:
            request = self.request(tool, args, ensure_config(config))
        return self.verdict(request, self.policy.judge(request))

    def verdict(self, request: Request, ruling: Ruling) -> Verdict:
        """A ruling as a verdict."""
        found = ruling.refusals or ruling.warnings
        details: dict[str, Any] = {"tool": plain(request.tool), "key": hashed(request.who.key)}
        changed = not ruling.refusals and any(
            name not in request.args or value is not request.args[name] for name, value in ruling.args.items()
        )
        action: Action = "block" if ruling.refusals else "redact" if changed else "flag" if found else "allow"
        if ruling.approvals and not ruling.refusals:
            action = "flag"
        if found:
            details["reasons"] = [str(refusal) for refusal in found]
        if ruling.approvals:
            details["approval"] = [reason for _, reason in ruling.approvals]
        return Verdict(self.get_name(), action, tuple(refusal.finding for refusal in found), details=details)

    def mark_untrusted(self, config: RunnableConfig | None = None) -> None:
        """Remember that the run has read something untrusted, as after a tool with ``reads="untrusted"``."""
        run = run_of(config, self.caller(config))
        for layer in self.layers:
            layer.state.taint(run)

    def watch(self) -> BaseCallbackHandler:
        """A callback handler that marks a run as soon as InjectionDetector flags a text in it and hands it on.

        Give it to the chain or the agent: ``agent.invoke(value, {"callbacks": [scope.watch()], ...})``.
        """
        return DetectionWatch(self)

    # -- the link

    def refusals(self, message: Any, config: RunnableConfig | None = None) -> list[ToolMessage]:
        """An error ToolMessage for each call in `message` that is out of scope, to answer the model with."""
        config = ensure_config(config)
        return [
            ToolMessage(denial(call.name, found), name=plain(call.name), tool_call_id=call.id or "", status="error")
            for call in calls_in(message)
            if (found := self._against(call, config)[0])
        ]

    def _against(self, call: ToolCallAt, config: RunnableConfig) -> tuple[Sequence[Refusal], Sequence[Refusal]]:
        """What there is against one call: refusals, and warnings of scopes in dry run."""
        if call.args is None:
            unreadable = (Refusal("unreadable", "", "its arguments are no JSON object"),)
            return ((), unreadable) if all(layer.dry_run for layer in self.layers) else (unreadable, ())
        ruling = self.policy.judge(self.request(call.name, call.args, config, verbatim=True))
        return ruling.refusals, ruling.warnings

    def _read(self, value: Any, call: Call) -> tuple[Verdict, list[str]]:
        findings: list[Finding] = []
        reasons: list[str] = []
        blocked = False
        for found in calls_in(value):
            refusals, warnings = self._against(found, call.config)
            blocked = blocked or bool(refusals)
            for refusal in refusals or warnings:
                where = f"{found.path}.{refusal.where}" if refusal.where else found.path
                findings.append(Finding(refusal.rule, "tool_call", where=where))
                reasons.append(f"{plain(found.name)}: {refusal}")
        action: Action = "block" if blocked else "flag" if findings else "allow"
        return Verdict(
            self.get_name(), action, tuple(findings), details={"reasons": reasons} if reasons else {}
        ), reasons

    def _check(self, value: Any, call: Call) -> Verdict:
        return self._read(value, call)[0]

    def _judge(self, value: Any, call: Call) -> Any:
        verdict, reasons = self._read(value, call)
        call.decided(verdict)
        if verdict.blocked:
            raise ToolDenied(
                f"{self.get_name()} refused a tool call: {'; '.join(reasons)}.",
                verdict=verdict,
                advice="Allow it with a ToolRule, or answer the model with scope.refusals(message).",
            )
        return value

    def _filter(self, call: Call) -> ChunkFilter:
        return CallFilter(self, call)

    def _open(self, value: Any, call: Call) -> Session:
        return AnswerSession(self, value, call)

    async def _aopen(self, value: Any, call: Call) -> Session:
        return AnswerSession(self, value, call)
