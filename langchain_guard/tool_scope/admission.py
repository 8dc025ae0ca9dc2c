"""How one call of a scoped tool is judged: from the arguments that the tool would get to those that it does get.

The way is one generator for synchronous and asynchronous callers: it yields what has to be called on the way (whom to
ask, where to report to) and is sent the answers.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config
from langchain_core.tools import ToolException
from pydantic import BaseModel

from langchain_guard import events
from langchain_guard.errors import GuardUnavailable, ToolDenied
from langchain_guard.tool_scope.approval import asker, decision, pauses, question
from langchain_guard.tool_scope.arg import Violation, snapshot
from langchain_guard.tool_scope.json_schema import Validator
from langchain_guard.tool_scope.schema import argument_names, defaults_of, injected_names
from langchain_guard.tool_scope.scope import (
    Refusal,
    Request,
    Ruling,
    audit_record,
    count_repeat,
    denial,
    plain,
    refund,
    reserve,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping

    from langchain_core.runnables import RunnableConfig
    from langchain_core.tools import BaseTool

    from langchain_guard.tool_scope.guard import ToolScope

    Steps = Generator[Callable[[], Any], Any, "Admitted"]


class Denied(ToolException):
    """A denial on its way to the tool's error handler, inside of the tool's own run."""


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
        self.hidden = self.injected - set(self.ruled)

    def __deepcopy__(self, _: dict[int, Any]) -> Binding:
        return self

    def visible(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], given: frozenset[str]) -> dict[str, Any]:
        """The arguments that the scope judges: all that the tool gets but what LangChain and the application put in.

        Args:
            args: Positional arguments: the one of a tool that takes a single str.
            kwargs: Keyword arguments.
            given: Names that LangChain itself passes.
        """
        hidden = given | self.hidden
        out: dict[str, Any] = {}
        if args:
            names = [name for name in self.names if name not in hidden] or ["tool_input"]
            names += [f"arg{index}" for index in range(len(names), len(args))]
            out.update(zip(names, args, strict=False))
        out.update([(name, value) for name, value in kwargs.items() if name not in hidden])
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


def admission(
    binding: Binding, tool: BaseTool, args: tuple[Any, ...], kwargs: dict[str, Any], given: frozenset[str]
) -> Steps:
    """Judge one call: yields what has to be called on the way, returns what to run, raises what refuses it."""
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
        request, ruling, approved = yield from _approval(binding, tool, request, ruling)
    if not ruling.refusals and (spent := reserve(binding.policy.enforcing, request)) is not None:
        ruling = _with(ruling, (spent,))
    verdict = binding.scope.verdict(request, ruling._replace(approvals=()) if ruling.approvals else ruling)
    events.collect(verdict)
    if (manager := _listening(config)) is not None:
        yield functools.partial(manager.on_custom_event, events.EVENT, verdict.payload(), run_id=manager.parent_run_id)
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
            layer.state.taint(request.run())
    return _admitted(binding, request, ruling.args, args, kwargs)


def _with(ruling: Ruling, more: Iterable[Refusal]) -> Ruling:
    return ruling._replace(refusals=(*ruling.refusals, *more))


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
    binding: Binding, tool: BaseTool, request: Request, ruling: Ruling
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
            request, ruling = _edited(binding, tool, request, decided.args)
            if ruling.refusals:
                return request, ruling, False
    return request, ruling, True


def _edited(binding: Binding, tool: BaseTool, request: Request, args: dict[str, Any]) -> tuple[Request, Ruling]:
    """The call as a person changed it, validated and judged like one of the model's."""
    schema = tool.tool_call_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        try:
            validated = schema.model_validate(args)
        except ValueError:
            return request, Ruling(args, (Refusal("schema", "", "the edited arguments do not fit the tool"),))
        args = {**args, **{name: getattr(validated, name) for name in type(validated).model_fields}}
    changed = request._replace(args=args)
    ruling = binding.policy.judge(changed)
    if not ruling.refusals and binding.validator is not None:
        ruling = _with(ruling, binding.validator.refusals(ruling.args, binding.injected))
    return changed, ruling


def _refusal(binding: Binding, name: str, verdict: Any, refusals: tuple[Refusal, ...]) -> Exception:
    text = denial(name, refusals)
    if not binding.raises:
        return Denied(text)
    guard = binding.scope.get_name()
    broken = next((refusal for refusal in refusals if refusal.rule in ("unavailable", "audit")), None)
    if broken is not None:
        cause = broken.reason.rpartition("(")[2].rstrip(")")
        return GuardUnavailable(
            f"{guard} let {plain(name)!r} not run: {broken}.", guard=guard, rule=broken.rule, cause=cause
        )
    return ToolDenied(text, verdict=verdict, guard=guard)


def _listening(config: RunnableConfig | None) -> Any:
    """The callback manager of the tool's own run, if anyone listens."""
    manager: Any = config.get("callbacks") if config else None
    if getattr(manager, "handlers", None) and getattr(manager, "parent_run_id", None) is not None:
        return manager
    return None


def _run_id(config: RunnableConfig | None) -> str:
    run_id = getattr((config or {}).get("callbacks"), "parent_run_id", None)
    return str(run_id) if run_id is not None else ""


def drive(steps: Steps) -> Admitted:
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


async def adrive(steps: Steps) -> Admitted:
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
