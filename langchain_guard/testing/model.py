"""A chat model that says what it is told."""

from __future__ import annotations

import threading
from collections.abc import Sequence  # noqa: TC003  # with_fallbacks() reads the annotations of bind_tools
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable  # noqa: TC002
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field
from typing_extensions import override

from langchain_guard.testing.script import Reply, Script

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun

    from langchain_guard.testing.script import Answer


class _Log:
    """What happened to a model; its copies share it."""

    def __init__(self) -> None:
        self.requests: list[list[BaseMessage]] = []
        self.pieces = self.closes = 0
        self._lock = threading.Lock()

    def count(self, *, pieces: int = 0, closes: int = 0) -> None:
        with self._lock:
            self.pieces += pieces
            self.closes += closes

    def __deepcopy__(self, memo: dict[int, Any]) -> _Log:
        return self

    def __reduce__(self) -> tuple[type[_Log], tuple[()]]:
        return _Log, ()


class ScriptedChatModel(BaseChatModel):
    """A chat model with scripted answers, exact chunk boundaries, and counters; streams, sync and async, and calls tools.

    Args:
        replies: One answer for every call; a list of answers, one call each; or a function from the list of messages
            to an answer. An answer is a `Reply`, a str (streamed word by word) or an exception to raise.

    Example:
        >>> from langchain_guard.testing import Reply, ScriptedChatModel
        >>> model = ScriptedChatModel(Reply("4", "2"))
        >>> [chunk.content for chunk in model.stream("what is 6 times 7?") if chunk.content]
        ['4', '2']
        >>> model.calls
        1
    """

    # Fields, not private attributes: configurable_fields rebuilds a model from its fields, and a rebuilt one goes on
    # in the same script and the same count.
    replies: Script = Field(exclude=True, repr=False)
    log: _Log = Field(default_factory=_Log, exclude=True, repr=False)

    def __init__(
        self,
        replies: Script | Answer | Sequence[Answer] | Callable[[list[BaseMessage]], Answer] = "ok",
        **settings: Any,
    ) -> None:
        super().__init__(replies=replies if isinstance(replies, Script) else Script(replies), **settings)

    @property
    def calls(self) -> int:
        """How often the model was called."""
        return len(self.log.requests)

    @property
    def requests(self) -> list[list[BaseMessage]]:
        """The messages of each call."""
        return self.log.requests

    @property
    def pieces(self) -> int:
        """How many chunks with text or tool arguments have left the model."""
        return self.log.pieces

    @property
    def closes(self) -> int:
        """How many streams ended before their last chunk: left, cancelled, blocked or broken."""
        return self.log.closes

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: str | None = None, **kwargs: Any
    ) -> Runnable[Any, AIMessage]:
        """Offer tools; the script decides which one is called."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], tool_choice=tool_choice, **kwargs)

    def _reply(self, messages: list[BaseMessage]) -> Reply:
        self.log.requests.append(messages)
        reply = self.replies.answer(messages)
        if isinstance(reply, Exception):
            raise reply
        if reply.status != 200:
            raise ConnectionError(f"scripted status {reply.status}")
        return reply

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        whole: AIMessageChunk | None = None
        for chunk in _chunks(self._reply(messages)):
            self.log.count(pieces=_is_piece(chunk))
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        message = AIMessage(**whole.model_dump(exclude={"type", "tool_call_chunks", "chunk_position"}))
        return ChatResult(generations=[ChatGeneration(message=message)])

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        ended = False
        try:
            for chunk in _chunks(self._reply(messages)):
                self.log.count(pieces=_is_piece(chunk))
                generation = ChatGenerationChunk(message=chunk)
                if run_manager is not None:
                    run_manager.on_llm_new_token(generation.text, chunk=generation)
                ended = chunk.chunk_position == "last"
                yield generation
        finally:
            self.log.count(closes=not ended)

    @override
    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        ended = False
        try:
            for chunk in _chunks(self._reply(messages)):
                self.log.count(pieces=_is_piece(chunk))
                generation = ChatGenerationChunk(message=chunk)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(generation.text, chunk=generation)
                ended = chunk.chunk_position == "last"
                yield generation
        finally:
            self.log.count(closes=not ended)


def _is_piece(chunk: AIMessageChunk) -> int:
    return 1 if chunk.content or chunk.tool_call_chunks else 0


def _chunks(reply: Reply) -> Iterator[AIMessageChunk]:
    """A reply as a provider streams it: text, then each tool call, then usage and metadata in the last chunk."""
    pieces = [AIMessageChunk(content=piece) for piece in reply.pieces if isinstance(piece, str)]
    for index, call in enumerate(reply.tool_calls):
        for number, args in enumerate(call.pieces):
            first = number == 0
            part = {
                "name": call.name if first else None,
                "args": args,
                "id": call.id if first else None,
                "index": index,
            }
            pieces.append(AIMessageChunk(content="", tool_call_chunks=[{**part, "type": "tool_call_chunk"}]))
    for number, piece in enumerate(pieces):
        if number == reply.break_after:
            raise ConnectionError("scripted break of the stream")
        yield piece
    last = AIMessageChunk(
        content="",
        response_metadata={"model_name": "scripted", "finish_reason": reply.finish_reason},
        chunk_position="last",
    )
    if reply.refusal:
        last.additional_kwargs["refusal"] = reply.refusal
    if reply.usage is not None:
        read, written = reply.usage
        last.usage_metadata = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    yield last
