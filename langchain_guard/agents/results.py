"""What tools answer, judged where LangChain has told nobody of it yet: inside of the tool's own run."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.types import Command

from langchain_guard.values import Unreadable, read

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from langchain.agents.middleware.types import ToolCallRequest


class ResultJudge:
    """Judges the result of one tool call, once, on whichever way it came."""

    def __init__(self, judge: Callable[[Any], Any], ajudge: Callable[[Any], Awaitable[Any]]) -> None:
        self.judge, self.ajudge = judge, ajudge
        self.done = False  # whether the result of the attempt that runs was judged
        self.passed: Any = None  # what was handed to LangChain: content of a message, a message, or a command

    def raw(self, tool: BaseTool, result: Any) -> Any:
        """What the tool's own function returned."""
        self.done = True
        if _ready(result):
            self.passed = self.message(result)
            return self.passed
        message = _as_message(tool, result)
        return self._handed_on(result, message, self.judge(message))

    async def araw(self, tool: BaseTool, result: Any) -> Any:
        """As `raw`."""
        self.done = True
        if _ready(result):
            self.passed = await self.amessage(result)
            return self.passed
        message = _as_message(tool, result)
        return self._handed_on(result, message, await self.ajudge(message))

    def error(self, error: ToolException) -> None:
        """An error whose text is meant for the model: its text is guarded in place."""
        if message := self._error(error):
            self._told(error, message, self.judge(message))

    async def aerror(self, error: ToolException) -> None:
        """As `error`."""
        if message := self._error(error):
            self._told(error, message, await self.ajudge(message))

    def _error(self, error: ToolException) -> ToolMessage | None:
        self.done = True
        return ToolMessage(error.args[0], tool_call_id="") if error.args and isinstance(error.args[0], str) else None

    def _told(self, error: ToolException, message: ToolMessage, judged: ToolMessage) -> None:
        self.passed = judged.content
        if judged is not message:
            error.args = (judged.content, *error.args[1:])

    def _handed_on(self, result: Any, message: ToolMessage, judged: ToolMessage) -> Any:
        """The tool's result with what became of its message; the same object if nothing did."""
        self.passed = judged.content
        if judged is message:
            return result
        with_artifact = isinstance(result, tuple) and message.artifact is not None
        return (judged.content, judged.artifact) if with_artifact else judged.content

    def knows(self, result: Any) -> bool:
        """Whether this is what was judged inside of the tool's run, and nothing that somebody made of it."""
        if not self.done:
            return False
        if isinstance(result, ToolMessage) and not isinstance(self.passed, ToolMessage):
            return bool(result.content == self.passed)
        return _written(result) == _written(self.passed)  # ToolNode copies what comes in the state's own form

    def message(self, result: Any) -> Any:
        """A ToolMessage, a Command, or a list of them."""
        if isinstance(result, list):
            return [self.message(one) for one in result]
        if not isinstance(result, Command):
            return self.judge(result)
        return _updated(result, {key: self.judge(value) for key, value in _texts_of(result).items()})

    async def amessage(self, result: Any) -> Any:
        """As `message`."""
        if isinstance(result, list):
            return [await self.amessage(one) for one in result]
        if not isinstance(result, Command):
            return await self.ajudge(result)
        return _updated(result, {key: await self.ajudge(value) for key, value in _texts_of(result).items()})


def seen(request: ToolCallRequest, judge: ResultJudge | None) -> ToolCallRequest:
    """The request for a copy of its tool that hands its result to `judge` before LangChain tells anybody of it."""
    if judge is None or request.tool is None:
        return request
    tool = request.tool.model_copy()
    object.__setattr__(tool, "__class__", _judging_class(type(tool)))
    object.__setattr__(tool, "_guard_judge", judge)
    return request.override(tool=tool)


@functools.cache
def _judging_class(base: Any) -> Any:
    """The subclass of a tool's class whose result is judged; one per class, and only ever of copies made for one call."""
    # BaseTool._arun leaves run manager and config to _run, so there our _arun has to look like _run
    like = base._run if base._arun is BaseTool._arun else base._arun

    @functools.wraps(base._run)
    def _run(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._guard_judge.done = False
        try:
            result = base._run(self, *args, **kwargs)
        except ToolException as error:
            failed = error
        else:
            return self._guard_judge.raw(self, result)
        self._guard_judge.error(failed)  # outside of the handler: a refusal must not be chained to the text it refuses
        raise failed

    @functools.wraps(like)
    async def _arun(self: Any, *args: Any, **kwargs: Any) -> Any:
        self._guard_judge.done = False
        try:
            result = await base._arun(self, *args, **kwargs)
        except ToolException as error:
            failed = error
        else:
            return result if self._guard_judge.done else await self._guard_judge.araw(self, result)
        if not self._guard_judge.done:
            await self._guard_judge.aerror(failed)
        raise failed

    namespace = {"_run": _run, "_arun": _arun, "__module__": base.__module__, "__qualname__": base.__qualname__}
    return type(base)(base.__name__, (base,), namespace)


def _ready(result: Any) -> bool:
    """Whether a tool answered in the form in which its answer goes into the state."""
    if isinstance(result, list):
        return bool(result) and all(isinstance(one, ToolMessage | Command) for one in result)
    return isinstance(result, ToolMessage | Command)


def _as_message(tool: BaseTool, result: Any) -> ToolMessage:
    """The message that LangChain will make of a tool's result."""
    content, artifact = result, None
    if tool.response_format == "content_and_artifact" and isinstance(result, tuple) and len(result) == 2:
        content, artifact = result
    if not isinstance(content, str) and not (
        isinstance(content, list) and all(isinstance(block, str | dict) for block in content)
    ):
        try:
            content = json.dumps(content, ensure_ascii=False)
        except (TypeError, ValueError):
            content = str(content)
    return ToolMessage(content, artifact=artifact, tool_call_id="", name=tool.name)


def _texts_of(command: Command[Any]) -> dict[str, Any]:
    """What a command writes into the state, where there is text in it; the application's own objects are left alone."""
    readable = {}
    for key, value in command.update.items() if isinstance(command.update, dict) else ():
        try:
            read(value)
        except Unreadable:
            continue
        readable[key] = value
    return readable


def _written(result: Any) -> list[str]:
    """Every text that a result will put into the state."""
    if isinstance(result, list):
        return [text for one in result for text in _written(one)]
    values = _texts_of(result).values() if isinstance(result, Command) else [result]
    return [segment.text for value in values for segment in read(value)]


def _updated(command: Command[Any], judged: dict[str, Any]) -> Command[Any]:
    if all(command.update[key] is value for key, value in judged.items()):  # type: ignore[index]
        return command
    return replace(command, update={**command.update, **judged})  # type: ignore[dict-item]
