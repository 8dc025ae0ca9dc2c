"""`GuardMiddleware`: guards and limits in an agent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NotRequired, cast

from langchain.agents.middleware import AgentMiddleware, AgentState, ExtendedModelResponse, ModelResponse, hook_config
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.callbacks import adispatch_custom_event, dispatch_custom_event
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, RemoveMessage, ToolMessage
from langgraph.channels.untracked_value import UntrackedValue
from langgraph.types import Command, TracePolicy, omit_payload

from langchain_guard import events
from langchain_guard.agents.results import ResultJudge, seen
from langchain_guard.agents.tally import Measure, RunLimits, Tally, around, within
from langchain_guard.errors import ConfigError, IdentityRequired, RateLimitExceeded, Refused, ToolDenied
from langchain_guard.rate_limit.guard import RateLimiter
from langchain_guard.refusal import MARK
from langchain_guard.runnable import Guard
from langchain_guard.text import TextGuard
from langchain_guard.tool_scope.guard import ToolScope
from langchain_guard.verdict import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from langchain.agents.middleware import ModelCallResult, ModelRequest, ToolCallRequest
    from langchain_core.tools import BaseTool

ExitBehavior = Literal["error", "end", "continue"]


class GuardState(AgentState[Any]):
    """The agent's state with what this run has used, per middleware; never in a checkpoint, nor in input or output."""

    guard_run: NotRequired[Annotated[dict[str, Any], UntrackedValue, PrivateStateAttr]]


class GuardMiddleware(AgentMiddleware[GuardState, Any, Any]):
    """Applies guards to what goes into an agent and to what its tools answer, and counts limits per run and per user.

    * Text guards judge every message of the input at the start of a run, and every tool result inside of the tool's
      own run, so that callbacks, events and streams have the guarded one too.
    * Guards on answers (`OutputScrubber`) also wrap the model of each call, whoever chose it; a model that was wrapped
      with the same guard already is left as it is.
    * A `RateLimiter` counts each run once, for the caller in the config. A limit on tokens or cost belongs to
      ``limiter.wrap(model)``, one on concurrency to ``limiter.wrap(agent)``.

    Args:
        guards: The guards; limiters first, the others in order. A `ToolScope` is none of them: ``create_agent(tools=scope_tools(tools, scope))``.
        per_run: Limits of one run: ``{"model_calls": 10, "tool_calls": 20, "tokens": 50_000}``. Agents that run as
            tools count too, if they have a `GuardMiddleware`. A run that was interrupted and goes on counts anew.
        exit_behavior: What a refusal does. ``"error"`` raises the `Refused`. ``"end"`` ends the run with `reply` as an
            AIMessage with ``response_metadata={"langchain_guard": "refused"}``, and leaves nothing of a refused message
            in the thread. ``"continue"`` answers a refused tool call (or its result) with an error to the model, which goes
            on; refused input or answers end the run.
        reply: The text for the user: a str, or a function of the `Refused`.
        apply_to_input: Whether to judge the input.
        apply_to_output: Whether to judge the model's answers.
        apply_to_tool_results: Whether to judge what tools answer.
        name: The middleware's name; needed where two in one agent hold the same guards.

    Raises:
        ConfigError: An argument cannot be worked with.

    Example:
        ```python
        from langchain.agents import create_agent
        from langchain_guard import Identity, InjectionDetector, OutputScrubber, RateLimiter
        from langchain_guard.agents import GuardMiddleware

        guards = [RateLimiter("20/minute"), InjectionDetector(), OutputScrubber()]
        agent = create_agent(
            model, middleware=[GuardMiddleware(guards, per_run={"model_calls": 10}, exit_behavior="end")]
        )
        agent.invoke({"messages": [("user", "How long does a refund take?")]}, Identity(user="u1").config())
        ```
    """

    state_schema = GuardState
    tools: Sequence[BaseTool] = ()
    trace_policy: ClassVar[TracePolicy] = TracePolicy(process_inputs=omit_payload, process_outputs=omit_payload)  # type: ignore[misc]

    def __init__(
        self,
        guards: Sequence[Guard] = (),
        *,
        per_run: RunLimits | None = None,
        exit_behavior: ExitBehavior = "error",
        reply: str | Callable[[Refused], str] | None = None,
        apply_to_input: bool = True,
        apply_to_output: bool = True,
        apply_to_tool_results: bool = True,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.guards = _checked_guards(guards)
        self.per_run = _checked_limits(per_run)
        if exit_behavior not in {"error", "end", "continue"}:
            raise ConfigError(f"GuardMiddleware(exit_behavior={exit_behavior!r}): must be 'error', 'end' or 'continue'")
        if reply is not None and not isinstance(reply, str) and not callable(reply):
            raise ConfigError(
                f"GuardMiddleware(reply=...) must be a str or a function of the Refused, not {type(reply).__name__}"
            )
        places = {
            "apply_to_input": apply_to_input,
            "apply_to_output": apply_to_output,
            "apply_to_tool_results": apply_to_tool_results,
        }
        if wrong := next((place for place, on in places.items() if not isinstance(on, bool)), None):
            raise ConfigError(f"GuardMiddleware({wrong}={places[wrong]!r}): must be True or False")
        self.exit_behavior, self.reply = exit_behavior, reply
        self.apply_to_input, self.apply_to_output = apply_to_input, apply_to_output
        self.apply_to_tool_results = apply_to_tool_results
        self._limiters = [guard for guard in self.guards if not guard.sees_text]
        self._texts = [guard for guard in self.guards if guard.sees_text]
        names = ",".join(guard.get_name() for guard in self.guards)
        self._name = name or (f"GuardMiddleware[{names}]" if names else "GuardMiddleware")

    @property
    def name(self) -> str:
        """``GuardMiddleware[<guards>]``, unless it was named otherwise."""
        return self._name

    # -- the beginning of a run

    @hook_config(can_jump_to=["end"])
    def before_agent(self, state: GuardState, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """Count the run; judge the messages that it starts with."""
        update, messages = self._begun(state), state["messages"]
        try:
            for limiter in self._counted(update):
                limiter.invoke(messages)
            judged = self._judged(messages) if self.apply_to_input else messages
        except Refused as refused:
            return self._ended(refused, messages, update)
        return _changed(messages, judged, update)

    @hook_config(can_jump_to=["end"])
    async def abefore_agent(self, state: GuardState, runtime: Any) -> dict[str, Any] | None:  # noqa: ARG002
        """As `before_agent`."""
        update, messages = self._begun(state), state["messages"]
        try:
            for limiter in self._counted(update):
                await limiter.ainvoke(messages)
            judged = await self._ajudged(messages) if self.apply_to_input else messages
        except Refused as refused:
            return self._ended(refused, messages, update)
        return _changed(messages, judged, update)

    def _begun(self, state: GuardState) -> dict[str, Any]:
        """The state's update that starts this middleware's tally."""
        others = state.get("guard_run") or {}
        # several in one agent: the first of them tells the agents around it, so that nothing is counted twice
        above = () if others else around()
        return {"guard_run": {**others, self.name: Tally(self.per_run, self._limiters, above)}}

    def _counted(self, update: dict[str, Any]) -> list[Guard]:
        """The limiters that have not yet counted a run around this one."""
        tally = update["guard_run"][self.name]
        known = [limiter for outer in tally.above for limiter in outer.limiters]
        return [limiter for limiter in self._limiters if not any(limiter is one for one in known)]

    def _ended(self, refused: Refused, messages: list[Any], update: dict[str, Any]) -> dict[str, Any]:
        if self.exit_behavior == "error":
            raise refused
        gone = [_emptied(message, refused.guard) for message in _refused_messages(refused, messages)]
        return {**update, "messages": [*gone, self._answer(refused)], "jump_to": "end"}

    # -- the model

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelCallResult[Any]:
        """Count the call, guard its model, answer a refusal."""
        tally, update = self._tally_of(request.state)
        if (ending := self._ending(request.messages)) is not None:
            return ending
        try:
            if (exceeded := self._take(tally, "model_calls")) is not None:
                dispatch_custom_event(events.EVENT, exceeded.verdict.payload())
                raise exceeded
            response = handler(self._guarded(request))
        except Refused as refused:
            if self.exit_behavior == "error":
                raise
            return self._answer(refused)
        return _counted(response, tally, update)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelCallResult[Any]:
        """As `wrap_model_call`."""
        tally, update = self._tally_of(request.state)
        if (ending := self._ending(request.messages)) is not None:
            return ending
        try:
            if (exceeded := self._take(tally, "model_calls")) is not None:
                await adispatch_custom_event(events.EVENT, exceeded.verdict.payload())
                raise exceeded
            response = await handler(self._guarded(request))
        except Refused as refused:
            if self.exit_behavior == "error":
                raise
            return self._answer(refused)
        return _counted(response, tally, update)

    def _guarded(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        """The request with its model behind the guards that judge answers and do not stand around it yet."""
        model: Any = request.model
        if self.apply_to_output:
            for guard in self._texts:
                if isinstance(guard, TextGuard) and guard not in getattr(model, "langchain_guards", ()):
                    model = guard.wrap(model)
        return request if model is request.model else request.override(model=model)

    def _ending(self, messages: Sequence[Any]) -> AIMessage | None:
        """The run's last message, if a tool call was refused and that is to end the run."""
        if self.exit_behavior != "end":
            return None
        for message in reversed(messages):
            if not isinstance(message, ToolMessage):
                return None
            if message.response_metadata.get("langchain_guard") == "refused":
                return AIMessage(content=message.content, response_metadata=dict(MARK))
        return None

    # -- tools

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        """Count the call; judge what the tool answers, in the tool's own run."""
        tally, _ = self._tally_of(request.state)
        judge = ResultJudge(self._judged, self._ajudged) if self.apply_to_tool_results and self._texts else None
        try:
            if (exceeded := self._take(tally, "tool_calls")) is not None:
                dispatch_custom_event(events.EVENT, exceeded.verdict.payload())
                raise exceeded
            with within(tally):
                result = handler(seen(request, judge))
            # what LangChain or another middleware made of it (a handled error, say) did not come through the tool's run
            return result if judge is None or judge.knows(result) else judge.message(result)
        except Refused as refused:
            if self.exit_behavior == "error":
                raise
            return self._withheld(refused, request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[Any]]
    ) -> Any:
        """As `wrap_tool_call`."""
        tally, _ = self._tally_of(request.state)
        judge = ResultJudge(self._judged, self._ajudged) if self.apply_to_tool_results and self._texts else None
        try:
            if (exceeded := self._take(tally, "tool_calls")) is not None:
                await adispatch_custom_event(events.EVENT, exceeded.verdict.payload())
                raise exceeded
            with within(tally):
                result = await handler(seen(request, judge))
            return result if judge is None or judge.knows(result) else await judge.amessage(result)
        except Refused as refused:
            if self.exit_behavior == "error":
                raise
            return self._withheld(refused, request)

    def _withheld(self, refused: Refused, request: ToolCallRequest) -> ToolMessage:
        if self.exit_behavior == "end":
            content = self._said(refused)
        elif isinstance(refused, RateLimitExceeded):
            content = f"{refused} Answer with what is there."
        elif isinstance(refused, ToolDenied):
            content = str(refused)
        else:
            content = f"{refused.guard} withheld the result of this call. Go on without it."
        call = request.tool_call
        return ToolMessage(
            content, tool_call_id=call["id"], name=call["name"], status="error", response_metadata=dict(MARK)
        )

    # -- judgements and answers

    def _judged(self, value: Any) -> Any:
        for guard in self._texts:
            value = guard.invoke(value)
        return value

    async def _ajudged(self, value: Any) -> Any:
        for guard in self._texts:
            value = await guard.ainvoke(value)
        return value

    def _tally_of(self, state: Any) -> tuple[Tally, dict[str, Any]]:
        """This run's tally, and the update that puts it into a state that lost it: an interrupted run that goes on."""
        tallies = state.get("guard_run") or {}
        if self.name in tallies:
            return tallies[self.name], {}
        update = self._begun(state)
        return update["guard_run"][self.name], update

    def _take(self, tally: Tally, what: Measure) -> RateLimitExceeded | None:
        """Count one more call, or say which limit of the run is used up."""
        used = tally.take(what)
        if used is None:
            return None
        verdict = Verdict(self.name, "block", (Finding(rule=used, kind="rate_limit"),), details={"limit": used})
        events.collect(verdict)
        return RateLimitExceeded(f"The limit {used} is used up.", verdict=verdict, limit=used)

    def _answer(self, refused: Refused) -> AIMessage:
        return AIMessage(content=self._said(refused), response_metadata=dict(MARK))

    def _said(self, refused: Refused) -> str:
        if isinstance(self.reply, str):
            return self.reply
        if self.reply is not None:
            return self.reply(refused)
        # which rule fired is for the log, not for whoever is probing for a way around it
        return (
            str(refused) if isinstance(refused, RateLimitExceeded) else f"This request was refused by {refused.guard}."
        )


def _counted(response: Any, tally: Tally, update: dict[str, Any]) -> ModelCallResult[Any]:
    messages = [response] if isinstance(response, AIMessage) else getattr(response, "result", [])
    usage = [message.usage_metadata for message in messages if isinstance(message, AIMessage)]
    tally.spend(sum(used["total_tokens"] for used in usage if used))
    if update and isinstance(response, ModelResponse):
        return ExtendedModelResponse(response, Command(update=update))
    return cast("ModelCallResult[Any]", response)


# -- messages


def _changed(old: list[Any], new: Any, update: dict[str, Any]) -> dict[str, Any]:
    """The state's update for judged messages: those that changed, and the removal of those that are gone."""
    if new is old:
        return update
    kept = {message.id for message in new}
    known = {id(message) for message in old}
    gone = [RemoveMessage(id=message.id) for message in old if message.id not in kept]
    return {**update, "messages": [*gone, *(message for message in new if id(message) not in known)]}


def _refused_messages(refused: Refused, messages: list[Any]) -> list[BaseMessage]:
    """The messages that a text guard objected to; all that the user has just said if it does not tell."""
    if isinstance(refused, RateLimitExceeded | IdentityRequired):
        return []
    places = {int(found[1]) for f in refused.verdict.findings if (found := re.match(r"\[(\d+)\]", f.where))}
    if places:
        return [messages[place] for place in sorted(places)]
    new: list[BaseMessage] = []
    for message in reversed(messages):
        if isinstance(message, AIMessage):
            break
        if isinstance(message, HumanMessage):
            new.append(message)
    return new


def _emptied(message: BaseMessage, guard: str) -> BaseMessage:
    """What takes the place of a refused message, so that the next turn does not read it and turns still alternate."""
    if isinstance(message, HumanMessage):
        return HumanMessage(f"[refused by {guard}]", id=message.id)
    return RemoveMessage(id=str(message.id))


# -- construction


def _checked_guards(guards: Any) -> list[Guard]:
    if isinstance(guards, Guard) or not isinstance(guards, Iterable):
        raise ConfigError("GuardMiddleware(guards=...) must be a list of guards: GuardMiddleware([guard])")
    checked = []
    for guard in guards:
        if isinstance(guard, ToolScope):
            raise ConfigError(
                "GuardMiddleware takes no ToolScope: a scope belongs to the tools, "
                "create_agent(model, tools=scope_tools(tools, scope))"
            )
        if not isinstance(guard, Guard):
            raise ConfigError(f"GuardMiddleware(guards=[...]) must hold guards, not {type(guard).__name__}")
        if isinstance(guard, RateLimiter):
            guard._must_wrap()
        checked.append(guard)
    return checked


def _checked_limits(limits: Any) -> RunLimits:
    known = ", ".join(RunLimits.__annotations__)
    if limits is not None and not isinstance(limits, Mapping):
        raise ConfigError(f"GuardMiddleware(per_run=...) must be a dict of {known}, not {type(limits).__name__}")
    for measure, amount in dict(limits or {}).items():
        if measure not in RunLimits.__annotations__:
            raise ConfigError(f"GuardMiddleware(per_run={{{measure!r}: ...}}): must be one of {known}")
        if not isinstance(amount, int) or isinstance(amount, bool) or amount < 1:
            raise ConfigError(f"GuardMiddleware(per_run={{{measure!r}: {amount!r}}}): must be a whole number from 1 on")
    return cast("RunLimits", dict(limits or {}))
