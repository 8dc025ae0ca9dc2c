"""Tools that carry their scope: `scope_tools` and the type it returns, `ScopedTool`.

A scoped tool is a copy of the tool, of a subclass of the tool's own class that overrides ``_run`` and ``_arun`` and
nothing else. Both are called after LangChain has validated and coerced the arguments, filled in defaults and put in
injected ones, so what the scope judges is what runs, on every way into the tool: invoke, run, batch, ToolNode, sync and
async. A denial is raised inside of the tool's run; ``on_denied="message"`` answers it there, before LangGraph's ToolNode
would let it end the agent.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as as_tool
from langchain_core.tools.base import _get_runnable_config_param
from pydantic import PrivateAttr

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.admission import Admitted, Binding, Denied, admission, adrive, drive
from langchain_guard.tool_scope.guard import ToolScope
from langchain_guard.tool_scope.schema import narrowed_schema, require_known

if TYPE_CHECKING:
    from collections.abc import Callable


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
    if not isinstance(tools, Iterable):
        raise ConfigError(f"scope_tools(tools, scope) needs a list of tools, not {type(tools).__name__}")
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


_judged: ContextVar[tuple[ScopedTool, Admitted] | None] = ContextVar("langchain_guard_judged", default=None)


class _Answer:
    """A tool's ``handle_tool_error`` that also answers denials, and is what it was for every other error."""

    def __init__(self, before: Any) -> None:
        self.before = before

    def __bool__(self) -> bool:
        # BaseTool asks `if not self.handle_tool_error` while it handles the error: the tool's own answer stands for
        # the tool's own errors, so that an unhandled one still reaches callbacks as an error
        return isinstance(sys.exception(), Denied) or bool(self.before)

    def __call__(self, error: ToolException) -> Any:
        if isinstance(error, Denied) or self.before is True:
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
        admitted = drive(admission(self._binding, self, args, kwargs, given_sync))
        try:
            return base._run(self, *admitted.args, **admitted.kwargs)
        except BaseException as error:
            admitted.paused(error)
            raise

    @functools.wraps(like)
    async def _arun(self: ScopedTool, *args: Any, **kwargs: Any) -> Any:
        admitted = await adrive(admission(self._binding, self, args, kwargs, given_async))
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
