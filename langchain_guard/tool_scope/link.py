"""The streaming side of `ToolScope` as a link, and its side around a wrapped model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessageChunk
from typing_extensions import override

from langchain_guard.run import added
from langchain_guard.runnable import ChunkFilter, Guard, Session
from langchain_guard.tool_scope.calls import calls_in, carries_calls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_guard.run import Call


class AnswerSession(Session):
    """Judges the answer of a wrapped model."""

    def __init__(self, guard: Guard, value: Any, call: Call) -> None:
        super().__init__(value)
        self.guard, self.call = guard, call

    @override
    def whole(self, output: Any) -> Any:
        return self.guard._judge(output, self.call)

    @override
    def filter(self) -> ChunkFilter:
        return CallFilter(self.guard, self.call)


class CallFilter(ChunkFilter):
    """Hands text on as it comes; from the first piece of a tool call on it holds the stream, until the calls are whole."""

    def __init__(self, guard: Guard, call: Call) -> None:
        self.guard, self.call = guard, call
        self.held: list[Any] = []
        self.judged = False

    @override
    def feed(self, chunk: Any) -> Iterable[Any]:
        if isinstance(chunk, AIMessageChunk):
            if self.held or carries_calls(chunk):
                self.held.append(chunk)
                return self._release() if chunk.chunk_position == "last" else ()
            return (chunk,)
        if calls_in(chunk):
            self.judged = True
            return (self.guard._judge(chunk, self.call),)
        return (chunk,)

    @override
    def end(self) -> Iterable[Any]:
        if self.held:
            return self._release()
        if not self.judged:
            self.guard._judge(None, self.call)  # reports that there was nothing to refuse
        return ()

    def _release(self) -> list[Any]:
        held, self.held, self.judged = self.held, [], True
        self.guard._judge(added(held), self.call)
        return held
