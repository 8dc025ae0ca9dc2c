"""The seams of chat models and completion models: guarded where LangChain takes what the provider answers."""

from __future__ import annotations

import functools
from contextlib import AsyncExitStack, ExitStack, aclosing, closing
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list

from langchain_guard.run import aclose, close
from langchain_guard.seam import Seam, Sessions
from langchain_guard.values import PROVIDER_KEYS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

    from langchain_core.messages import BaseMessage


class _Beside:
    """What travels beside the messages of a stream (finish_reason, headers): once, with the next one that goes out."""

    part = "message"

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.waiting: dict[str, Any] = {}
        self.chunk: Any = None

    def parts(self, raw: Iterator[Any]) -> Iterator[Any]:
        """The messages of a model's chunks."""
        for chunk in raw:
            yield self._taken(chunk)

    async def aparts(self, raw: AsyncIterator[Any]) -> AsyncGenerator[Any, None]:
        """As `parts`."""
        async for chunk in raw:
            yield self._taken(chunk)

    def _taken(self, chunk: Any) -> Any:
        self.chunk = chunk = self.informed(chunk)
        if chunk.generation_info:
            self.waiting.update(_without_logprobs(chunk.generation_info) or {})
        part = getattr(chunk, self.part)
        if self.sessions.told:
            self.sessions.answered(self.message(part))
        return part

    def again(self, part: Any) -> Any:
        """A chunk around what may go on: the model's own chunk if nothing in it changed."""
        waiting, self.waiting, chunk = self.waiting, {}, self.chunk
        if part is getattr(chunk, self.part) and waiting == (chunk.generation_info or {}):
            return chunk
        return self.made(part, waiting or None)

    def informed(self, chunk: Any) -> Any:
        """The chunk with all that guards judge in its part."""
        return _informed(chunk)

    def message(self, part: Any) -> BaseMessage:
        """The part as sessions are told it."""
        return part  # type: ignore[no-any-return]

    def made(self, part: Any, info: dict[str, Any] | None) -> Any:
        """A chunk."""
        return ChatGenerationChunk(message=part, generation_info=info)


class _BesideText(_Beside):
    part = "text"

    def informed(self, chunk: Any) -> Any:
        return chunk

    def message(self, part: Any) -> BaseMessage:
        return AIMessageChunk(content=part)

    def made(self, part: Any, info: dict[str, Any] | None) -> Any:
        return GenerationChunk(text=part, generation_info=info)


class _ModelSeam(Seam):
    """What the seams of chat models and of completion models share; every way in goes through a call view."""

    _guard_beside: type[_Beside]

    def _guard_up(self, config: RunnableConfig | None) -> tuple[Any, RunnableConfig]:
        """The methods of the model's own class, on a call view, and the config for them."""
        call = self._guard_call(config)
        return super(_ModelSeam, call), call._guard_config

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        up, config = self._guard_up(config)
        return up.invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        up, config = self._guard_up(config)
        return await up.ainvoke(input, config, **kwargs)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        up, config = self._guard_up(config)
        with closing(up.stream(input, config, **kwargs)) as chunks:
            yield from chunks

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002
        up, config = self._guard_up(config)
        async with aclosing(up.astream(input, config, **kwargs)) as chunks:
            async for chunk in chunks:
                yield chunk

    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """Each item has a caller of its own, so a batch is its items; guards may have a word about all of them first."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        with ExitStack() as stack:
            for guard in () if return_exceptions or not inputs else reversed(self.langchain_guards):
                configs = stack.enter_context(guard._batch(inputs, configs))
            return Runnable.batch(self, inputs, configs, return_exceptions=return_exceptions, **kwargs)  # type: ignore[arg-type]

    async def abatch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """As `batch`."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        async with AsyncExitStack() as stack:
            for guard in () if return_exceptions or not inputs else reversed(self.langchain_guards):
                configs = await stack.enter_async_context(guard._abatch(inputs, configs))
            return await Runnable.abatch(self, inputs, configs, return_exceptions=return_exceptions, **kwargs)  # type: ignore[arg-type]

    def _stream(self, value: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Iterator[Any]:
        with Sessions(self, run_manager) as sessions:
            value = sessions.open(value)
            raw = self._guard_plain()._stream(value, stop=stop, **kwargs)
            sessions.stack.callback(close, raw)  # a block closes the connection at once, even while its error is held
            beside = self._guard_beside(sessions)
            for part in sessions.chunks(beside.parts(raw)):
                chunk = beside.again(part)
                if run_manager:
                    run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk

    async def _astream(
        self, value: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        async with Sessions(self, run_manager) as sessions:
            value = await sessions.aopen(value)
            raw = self._guard_plain()._astream(value, stop=stop, **kwargs)
            beside = self._guard_beside(sessions)
            try:
                async with aclosing(sessions.achunks(beside.aparts(raw))) as parts:
                    async for part in parts:
                        chunk = beside.again(part)
                        if run_manager:
                            await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                        yield chunk
            finally:
                await aclose(raw)

    @functools.cached_property
    def _serialized(self) -> dict[str, Any]:
        return dumpd(self._guard_plain())  # type: ignore[no-any-return]  # traces show the model that they always showed


class ChatSeam(_ModelSeam):
    """The seam of chat models."""

    _guard_root = BaseChatModel
    _guard_bypasses = ("_stream_chat_model_events", "_astream_chat_model_events")
    _guard_beside = _Beside

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        with Sessions(self, run_manager) as sessions:
            messages = sessions.open(messages)
            result = _informed_result(self._guard_plain()._generate(messages, stop=stop, **kwargs))
            return _with_messages(result, [sessions.whole(sessions.answered(g.message)) for g in result.generations])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        async with Sessions(self, run_manager) as sessions:
            messages = await sessions.aopen(messages)
            result = _informed_result(await self._guard_plain()._agenerate(messages, stop=stop, **kwargs))
            answers = [await sessions.awhole(sessions.answered(g.message)) for g in result.generations]
            return _with_messages(result, answers)

    def _chat_model_stream_v3(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        up, config = self._guard_up(config)
        return up._chat_model_stream_v3(input, config, **kwargs)

    async def _achat_model_stream_v3(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        up, config = self._guard_up(config)
        return await up._achat_model_stream_v3(input, config, **kwargs)

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The cache key: guarded answers are cached, and never shared with the plain model or with other guards."""
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---guards:{self._guard_fingerprint()}"  # type: ignore[misc]


class CompletionSeam(_ModelSeam):
    """The seam of completion models: prompts and answers are str, and one call may carry several prompts."""

    _guard_root = BaseLLM
    _guard_beside = _BesideText

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        with ExitStack() as stack:
            every = [stack.enter_context(Sessions(self, run_manager)) for _ in prompts]
            prompts = [sessions.open(prompt) for sessions, prompt in zip(every, prompts, strict=True)]
            result = self._guard_plain()._generate(prompts, stop=stop, **kwargs)
            _tell(every, result)
            answers = [[s.whole(g.text) for g in row] for s, row in zip(every, result.generations, strict=True)]
            return _with_texts(result, answers)

    async def _agenerate(
        self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> LLMResult:
        async with AsyncExitStack() as stack:
            every = [await stack.enter_async_context(Sessions(self, run_manager)) for _ in prompts]
            prompts = [await sessions.aopen(prompt) for sessions, prompt in zip(every, prompts, strict=True)]
            result = await self._guard_plain()._agenerate(prompts, stop=stop, **kwargs)
            _tell(every, result)
            rows = zip(every, result.generations, strict=True)
            return _with_texts(result, [[await s.awhole(g.text) for g in row] for s, row in rows])

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What BaseLLM makes its cache key of."""
        return {**self._guard_plain()._identifying_params, "guards": self._guard_fingerprint()}


# -- results


def _informed(generation: Any, beside: dict[str, Any] | None = None) -> Any:
    """A generation whose message holds what was told beside it, where guards read it; the same object if nothing was.

    Providers repeat the answer there (grounding, citations), and LangChain puts it into response_metadata in the end.
    """
    info = generation.generation_info or {}
    told = {key: value for key, value in {**(beside or {}), **info}.items() if key not in PROVIDER_KEYS}
    if not told:
        return generation
    message = generation.message
    message = message.model_copy(update={"response_metadata": {**told, **message.response_metadata}})
    rest = {key: value for key, value in info.items() if key not in told}
    return type(generation)(message=message, generation_info=rest or None)


def _informed_result(result: ChatResult) -> ChatResult:
    # of several answers LangChain merges llm_output into none
    output = result.llm_output if len(result.generations) == 1 else None
    generations = [_informed(generation, output) for generation in result.generations]
    if all(old is new for old, new in zip(result.generations, generations, strict=True)):
        return result
    rest = {key: value for key, value in (output or {}).items() if key in PROVIDER_KEYS}
    return ChatResult(generations=generations, llm_output=result.llm_output if output is None else rest)


def _with_messages(result: ChatResult, answers: list[Any]) -> ChatResult:
    """The result with other messages; a new generation each, since its ``text`` is derived when it is made."""
    if all(old.message is new for old, new in zip(result.generations, answers, strict=True)):
        return result
    generations = [
        old if old.message is new else type(old)(message=new, generation_info=_without_logprobs(old.generation_info))
        for old, new in zip(result.generations, answers, strict=True)
    ]
    return ChatResult(generations=generations, llm_output=result.llm_output)


def _with_texts(result: LLMResult, answers: list[list[str]]) -> LLMResult:
    rows: list[Any] = [
        [
            old if old.text is new else type(old)(text=new, generation_info=_without_logprobs(old.generation_info))
            for old, new in zip(row, new_row, strict=True)
        ]
        for row, new_row in zip(result.generations, answers, strict=True)
    ]
    return LLMResult(generations=rows, llm_output=result.llm_output)


def _without_logprobs(info: dict[str, Any] | None) -> dict[str, Any] | None:
    """Generation info without the raw text's tokens."""
    return info and {key: None if key == "logprobs" else value for key, value in info.items()}


def _tell(every: list[Sessions], result: LLMResult) -> None:
    """Tell the sessions of a completion what came, as messages; a provider gives the usage of all prompts as one."""
    told = result.llm_output or {}
    usage = told.get("token_usage") or {}
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    for number, (sessions, row) in enumerate(zip(every, result.generations, strict=True)):
        if not sessions.told:
            continue
        message = AIMessage(row[0].text if row else "", response_metadata={"model_name": told.get("model_name")})
        if number == 0 and isinstance(read, int) and isinstance(written, int):
            message.usage_metadata = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
        sessions.answered(message)
