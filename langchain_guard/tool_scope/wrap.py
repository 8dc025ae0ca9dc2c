"""Tools that carry their scope: `scope_tools` and the type it returns, `ScopedTool`.

A scoped tool is a copy of the tool, of a subclass of the tool's own class that overrides ``_run`` and ``_arun`` and
nothing else. Both are called after LangChain has validated and coerced the arguments, filled in defaults and put in
injected ones, so what the scope judges is what runs, on every way into the tool: invoke, run, batch, ToolNode, sync and
async. A denial is raised inside of the tool's run; ``on_denied="message"`` answers it there, before LangGraph's ToolNode
would let it end the agent.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as as_tool
from langchain_core.tools.base import _get_runnable_config_param
from pydantic import BaseModel, PrivateAttr

from langchain_guard import events
from langchain_guard.errors import ConfigError, GuardUnavailable, ToolDenied
from langchain_guard.tool_scope.approval import asker, decision, pauses, question
from langchain_guard.tool_scope.arg import Violation, snapshot
from langchain_guard.tool_scope.guard import ToolScope, denial, require_known
from langchain_guard.tool_scope.json_schema import Validator
from langchain_guard.tool_scope.schema import argument_names, defaults_of, injected_names, narrowed_schema
from langchain_guard.tool_scope.scope import (
    Refusal,
    Request,
    Ruling,
    audit_record,
    count_repeat,
    plain,
    refund,
    reserve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from langchain_core.runnables import RunnableConfig

    Steps = Generator[Callable[[], Any], Any, "Admitted"]


def scope_tools(tools: Iterable[Any], scope: ToolScope) -> list[ScopedTool]:
    """Tools that can do what `scope` allows and nothing else; a tool that has no rule is left out.

    Args:
        tools: BaseTools, or functions, which become tools. A tool that has a scope already gets the conjunction.
        scope: The scope.

    Returns:
        Copies of the tools: same name, description, class and behaviour; their schema without what the scope fixes.
        The tools given are left as they are.

    Raises:
        ConfigError: Something is no tool, two tools have one name, or a rule names an argument that its tool lacks.
    """
    if not isinstance(scope, ToolScope):
        raise ConfigError(f"scope_tools(tools, scope) needs a ToolScope, not {type(scope).__name__}")
    made = [_as_tool(tool) for tool in tools]
    names = [tool.name for tool in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"two tools are named {twice[0]!r}: a rule could not tell them apart")
    for layer in scope.layers:
        require_known(layer.rules, [_unscoped(tool) for tool in made], every=False)
    policy = scope.policy
    return [_scoped(tool, scope) for tool in made if policy.knows(tool.name)]


def _as_tool(value: Any) -> BaseTool:
    if isinstance(value, BaseTool):
        return value
    if inspect.isfunction(value):
        return as_tool(value)
    raise ConfigError(
        f"scope_tools cannot scope a {type(value).__name__}: it takes BaseTools and functions; a tool that the model's "
        "provider runs is out of its reach"
    )


class ScopedTool(BaseTool):
    """A tool that carries its scope; made by `scope_tools`, and the type to test for."""

    _binding: Binding = PrivateAttr()

    @property
    def scope(self) -> ToolScope:
        """The scope that every call of this tool passes."""
        return self._binding.scope


class Binding:
    """What a scoped tool knows of its scope and of the tool that it was made from; immutable, shared by copies."""

    def __init__(self, scope: ToolScope, tool: BaseTool) -> None:
        self.scope = scope
        self.schema = tool.args_schema
        self.answer = tool.handle_tool_error
        self.injected = injected_names(tool)
        self.names = argument_names(tool)
        self.defaults = defaults_of(tool)
        self.validator = Validator(self.schema, tool.name) if isinstance(self.schema, dict) else None
        self.layers = scope.layers
        self.policy = scope.policy
        self.raises = any(layer.on_denied == "raise" for layer in scope.layers if not layer.dry_run)
        self.ruled = self.policy.named_args(tool.name) if self.policy.knows(tool.name) else []

    def __deepcopy__(self, _: dict[int, Any]) -> Binding:
        return self

    def visible(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: frozenset[str]) -> dict[str, Any]:
        """The arguments that the scope judges: all that the tool gets but what LangChain and the application put in.

        Args:
            args: Positional arguments: the one of a tool that takes a single str.
            kwargs: Keyword arguments.
            given: Names that LangChain itself passes.
        """
        hidden = given | (self.injected - set(self.ruled))
        names = [name for name in self.names if name not in hidden] or ["tool_input"]
        names += [f"arg{index}" for index in range(len(names), len(args))]
        out = dict(zip(names, args, strict=False))
        out.update((name, value) for name, value in kwargs.items() if name not in hidden)
        if isinstance(self.schema, dict):  # nobody filled in defaults: a rule must see what the tool would assume
            out.update((name, self.defaults[name]) for name in self.ruled if name in self.defaults and name not in out)
        return {name: snapshot(value) for name, value in out.items()}


class Admitted:
    """A call that passed: what to run it with."""

    def __init__(self, request: Request, binding: Binding, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.request, self.binding, self.args, self.kwargs = request, binding, args, kwargs
        self.fresh = True

    def paused(self, error: BaseException) -> None:
        """The tool paused the graph: it will be called again for the same call, which must not count twice."""
        if pauses(error):
            refund(self.binding.policy.enforcing, self.request)

    def is_this(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Whether ``_run`` was called by ``_arun`` for this very call, which has been judged; true once."""
        if not self.fresh or len(args) != len(self.args):
            return False
        mine = {name: value for name, value in self.kwargs.items() if name != "run_manager"}
        theirs = {name: value for name, value in kwargs.items() if name != "run_manager"}
        same = mine.keys() == theirs.keys() and all(theirs[name] is value for name, value in mine.items())
        self.fresh = not (same and all(map(_is, args, self.args)))
        return not self.fresh


def _is(left: Any, right: Any) -> bool:
    return left is right


_judged: ContextVar[tuple[ScopedTool, Admitted] | None] = ContextVar("langchain_guard_judged", default=None)


class _Denied(ToolException):  # an answer to the model
    """A denial on its way to `_Answer`, inside of the tool's own run."""


class _Answer:
    """A tool's ``handle_tool_error`` that also answers denials, and is what it was for every other error."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def __bool__(self) -> bool:
        # BaseTool asks `if not self.handle_tool_error` while it handles the error: the tool's own answer stands for
        # the tool's own errors, so that an unhandled one still reaches callbacks as an error
        return isinstance(sys.exception(), _Denied) or bool(self.before)

    def __call__(self, error: ToolException) -> Any:
        if isinstance(error, _Denied) or self.before is True:
            return error.args[0] if error.args else "Tool execution error"
        return self.before(error) if callable(self.before) else self.before

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Answer) and other.before == self.before

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.before)


def _unscoped(tool: BaseTool) -> BaseTool:
    """The tool before it got its scope."""
    if not isinstance(tool, ScopedTool):
        return tool
    binding, base = tool._binding, type(tool).__bases__[0]
    plain_tool = tool.model_copy(update={"args_schema": binding.schema, "handle_tool_error": binding.answer})
    object.__setattr__(plain_tool, "__class__", base)
    (plain_tool.__pydantic_private__ or {}).pop("_binding", None)
    return plain_tool


def _scoped(tool: BaseTool, scope: ToolScope) -> ScopedTool:
    if isinstance(tool, ScopedTool):
        scope = tool.scope.narrow(scope)
        tool = _unscoped(tool)
    binding = Binding(scope, tool)
    rules = {name: binding.policy.rule_for(tool.name, name) for name in binding.ruled}
    describe = any(layer.describe for layer in scope.layers if not layer.dry_run)
    update: dict[str, Any] = {}
    schema = narrowed_schema(tool, rules, describe=describe)
    if schema is not tool.args_schema:
        update["args_schema"] = schema
    if not binding.raises:
        update["handle_tool_error"] = _Answer(tool.handle_tool_error)
    scoped = tool.model_copy(update=update)
    object.__setattr__(scoped, "__class__", _scoped_class(type(tool)))
    private = scoped.__pydantic_private__ or {}
    object.__setattr__(scoped, "__pydantic_private__", {**private, "_binding": binding})
    assert isinstance(scoped, ScopedTool)
    return scoped


def _restored(base: type[BaseTool], state: dict[str, Any], scope: ToolScope) -> ScopedTool:
    """A scoped tool out of a pickle."""
    tool = base.__new__(base)
    tool.__setstate__(state)
    return _scoped(tool, scope)


@functools.cache
def _scoped_class(base: type[BaseTool]) -> type[ScopedTool]:
    """The subclass of a tool's class that asks the scope first; one per class."""
    # LangChain looks at the signatures of _run and _arun for a run manager and a config; BaseTool._arun leaves both to
    # _run, so there our _arun has to look like _run.
    like = base._run if base._arun is BaseTool._arun else base._arun
    given_sync, given_async = _given(base._run), _given(like)

    @functools.wraps(base._run)
    def _run(self: ScopedTool, *args: Any, **kwargs: Any) -> Any:
        judged = _judged.get()
        if judged is not None and judged[0] is self and judged[1].is_this(args, kwargs):
            return base._run(self, *args, **kwargs)
        admitted = _drive(_admission(self, args, kwargs, given_sync))
        try:
            return base._run(self, *admitted.args, **admitted.kwargs)
        except BaseException as error:
            admitted.paused(error)
            raise

    @functools.wraps(like)
    async def _arun(self: ScopedTool, *args: Any, **kwargs: Any) -> Any:
        admitted = await _adrive(_admission(self, args, kwargs, given_async))
        token = _judged.set((self, admitted))
        try:
            return await base._arun(self, *admitted.args, **admitted.kwargs)
        except BaseException as error:
            admitted.paused(error)
            raise
        finally:
            _judged.reset(token)

    def __reduce__(self: ScopedTool) -> Any:  # noqa: N807  # pickle cannot find a class that is made here
        tool = _unscoped(self)
        return _restored, (type(tool), tool.__getstate__(), self.scope)

    namespace = {
        "_run": _run,
        "_arun": _arun,
        "__reduce__": __reduce__,
        "__module__": base.__module__,
        "__qualname__": f"Scoped{base.__qualname__}",
        "__doc__": base.__doc__,
    }
    made: type[ScopedTool] = type(base)(f"Scoped{base.__name__}", (base, ScopedTool), namespace)  # type: ignore[misc]
    return made


def _given(method: Callable[..., Any]) -> frozenset[str]:
    """The names under which LangChain itself passes something to ``_run``."""
    names = {name for name in inspect.signature(method).parameters if name == "run_manager"}
    if (config := _get_runnable_config_param(method)) is not None:
        names.add(config)
    return frozenset(names)


def _admission(tool: ScopedTool, args: tuple[Any, ...], kwargs: dict[str, Any], given: frozenset[str]) -> Steps:
    """Judge one call: yields what has to be called on the way, returns what to run, raises what refuses it."""
    binding = tool._binding
    config = var_child_runnable_config.get()
    try:
        shown = binding.visible(args, kwargs, given)
    except Violation as violation:
        unread = Refusal(violation.rule, "", f"an argument {violation.reason}")
        request, ruling = binding.scope.request(tool.name, {}, config), Ruling({}, (unread,))
    else:
        request = binding.scope.request(tool.name, shown, config, defaults=binding.defaults)
        ruling = binding.policy.judge(request)
        if not ruling.refusals and binding.policy.enforcing and binding.validator is not None:
            ruling = _with(ruling, binding.validator.refusals(ruling.args, binding.injected))
    approved: bool | None = None
    if ruling.approvals and not ruling.refusals:
        request, ruling, approved = yield from _approval(tool, request, ruling)
    if not ruling.refusals and (spent := reserve(binding.policy.enforcing, request)) is not None:
        ruling = _with(ruling, (spent,))
    verdict = binding.scope.verdict(request, Ruling(ruling.args, ruling.refusals, ruling.warnings))
    events.collect(verdict)
    yield functools.partial(_send, config, verdict.payload())
    for layer in binding.layers:
        if layer.audit is not None:
            record = audit_record(request, ruling, approved=approved, with_args=layer.audit_args, run=_run_id(config))
            try:
                yield functools.partial(layer.audit, record)
            except Exception as error:  # noqa: BLE001
                unseen = Refusal("audit", "", f"it could not be recorded ({type(error).__name__})")
                if not ruling.refusals:
                    refund(binding.policy.enforcing, request)
                ruling = _with(ruling, (unseen,))
    if ruling.refusals:
        count_repeat(binding.policy.enforcing, request)
        raise _refusal(binding, tool.name, verdict, ruling.refusals)
    for layer in binding.layers:
        rule = layer.rules.get(tool.name)
        if rule is not None and rule.reads == "untrusted":
            layer.state.taint(request.run)
    return _admitted(binding, request, ruling.args, args, kwargs)


def _with(ruling: Ruling, more: Iterable[Refusal]) -> Ruling:
    return Ruling(ruling.args, (*ruling.refusals, *more), ruling.warnings, ruling.approvals)


def _admitted(
    binding: Binding, request: Request, canonical: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Admitted:
    """The call with the canonical arguments in place of those given."""
    if not binding.policy.enforcing:
        return Admitted(request, binding, args, kwargs)
    rest = dict(canonical)
    names = list(request.args)[: len(args)]
    positional = tuple(rest.pop(name) for name in names if name in rest)
    untouched = {name: value for name, value in kwargs.items() if name not in request.args}
    return Admitted(request, binding, positional, {**untouched, **rest})


def _approval(
    tool: ScopedTool, request: Request, ruling: Ruling
) -> Generator[Callable[[], Any], Any, tuple[Request, Ruling, bool]]:
    """Ask everyone who has to approve the call; an edited call is judged anew."""
    asked: list[Any] = []
    for approver, reason in ruling.approvals:
        if any(approver is earlier for earlier in asked):
            continue
        asked.append(approver)
        ask = asker(approver)
        if ask is None:
            return request, _with(ruling, (Refusal("approve", "", "nobody is there to approve it"),)), False
        try:
            answer = yield functools.partial(ask, question(request, snapshot(ruling.args), reason))
        except Exception as error:
            if pauses(error):
                raise
            failed = Refusal("unavailable", "", f"it could not be approved ({type(error).__name__})")
            return request, _with(ruling, (failed,)), False
        decided = decision(answer, tool.name)
        if not decided.approved:
            return request, _with(ruling, (Refusal("approve", "", "a person refused it"),)), False
        if decided.args is not None:
            request, ruling = _edited(tool, request, decided.args)
            if ruling.refusals:
                return request, ruling, False
    return request, ruling, True


def _edited(tool: ScopedTool, request: Request, args: dict[str, Any]) -> tuple[Request, Ruling]:
    """The call as a person changed it, validated and judged like one of the model's."""
    binding = tool._binding
    schema = tool.tool_call_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            validated = schema.model_validate(args)
        except ValueError:
            return request, Ruling(args, (Refusal("schema", "", "the edited arguments do not fit the tool"),))
        args = {**args, **{name: getattr(validated, name) for name in type(validated).model_fields}}
    changed = Request(
        request.tool, args, request.who, request.now, request.run, request.thread, request.defaults, request.verbatim
    )
    ruling = binding.policy.judge(changed)
    if not ruling.refusals and binding.validator is not None:
        ruling = _with(ruling, binding.validator.refusals(ruling.args, binding.injected))
    return changed, ruling


def _refusal(binding: Binding, name: str, verdict: Any, refusals: tuple[Refusal, ...]) -> Exception:
    text = denial(name, refusals)
    if not binding.raises:
        return _Denied(text)
    guard = binding.scope.get_name()
    broken = next((refusal for refusal in refusals if refusal.rule in ("unavailable", "audit")), None)
    if broken is not None:
        cause = broken.reason.rpartition("(")[2].rstrip(")")
        return GuardUnavailable(
            f"{guard} let {plain(name)!r} not run: {broken}.", guard=guard, rule=broken.rule, cause=cause
        )
    return ToolDenied(text, verdict=verdict, guard=guard)


def _send(config: RunnableConfig | None, payload: dict[str, Any]) -> Any:
    """Report a verdict as an event of the tool's own run."""
    manager: Any = (config or {}).get("callbacks")
    run_id = getattr(manager, "parent_run_id", None)
    if run_id is None or not getattr(manager, "handlers", None):
        return None
    return manager.on_custom_event(events.EVENT, payload, run_id=run_id)


def _run_id(config: RunnableConfig | None) -> str:
    run_id = getattr((config or {}).get("callbacks"), "parent_run_id", None)
    return str(run_id) if run_id is not None else ""


def _drive(steps: Steps) -> Admitted:
    """Take the steps of an admission one after the other."""
    step = functools.partial(steps.send, None)
    try:
        while True:
            call = step()
            try:
                answer = call()
                if inspect.isawaitable(answer):
                    answer = _waited(answer)
            except BaseException as error:  # noqa: BLE001  # the admission decides what an error means
                step = functools.partial(steps.throw, error)
            else:
                step = functools.partial(steps.send, answer)
    except StopIteration as stop:
        admitted: Admitted = stop.value
        return admitted


def _waited(answer: Any) -> Any:
    """The answer of an asynchronous callback of a synchronous tool, in a loop of its own.

    Raises:
        RuntimeError: This thread runs a loop already, so that waiting would block it.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_awaited(answer))
    getattr(answer, "close", lambda: None)()
    raise RuntimeError("an asynchronous callback needs ainvoke where a loop is running")


async def _awaited(answer: Any) -> Any:
    return await answer


async def _adrive(steps: Steps) -> Admitted:
    """As `_drive`, awaiting what can be awaited."""
    step = functools.partial(steps.send, None)
    while True:
        try:
            call = step()
        except StopIteration as stop:
            admitted: Admitted = stop.value
            return admitted
        try:
            answer = call()
            if inspect.isawaitable(answer):
                answer = await answer
        except BaseException as error:  # noqa: BLE001
            step = functools.partial(steps.throw, error)
        else:
            step = functools.partial(steps.send, answer)
