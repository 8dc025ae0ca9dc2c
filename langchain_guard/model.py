"""`guard.wrap(model)`: a copy of a model, of a subclass of its own class, guarded at the seam that class gives providers.

What ``_generate``, ``_stream`` and their asynchronous twins return is all that LangChain ever hands to callbacks,
caches, event streams and callers, so that is where the guards stand. Three rules make it tight:

1. The raw call runs on a *plain view*: the same state under the original class, so that a provider whose ``_generate``
   calls ``self._stream`` is not guarded twice.
2. The provider never gets the run manager, with which it would report raw tokens; the guarded ones are reported.
3. Each public call runs on a *call view*: the same state, knowing its `RunnableConfig`, so that the caller's identity
   needs no context variable.

The guards stand in a pydantic field, because ``configurable_fields`` rebuilds a model from its fields.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack, aclosing, closing
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.callbacks.manager import ahandle_event, handle_event
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.load import dumpd
from langchain_core.load.serializable import Serializable
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.runnables.config import get_async_callback_manager_for_config, get_callback_manager_for_config
from pydantic import Field

from langchain_guard import events
from langchain_guard.run import Call
from langchain_guard.runnable import Guard, Session, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.documents import Document
    from langchain_core.messages import BaseMessage

_STATE = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


def wrap_chat_model(guard: Guard, model: BaseChatModel) -> Any:
    """`model` with one more guard around it; see `Guard.wrap`."""
    return _guarded(model, _ChatSeam, (*_guards_of(model), guard))


def wrap_completion_model(guard: Guard, model: BaseLLM) -> Any:
    """`model` with one more guard around it; its prompts and answers are str."""
    return _guarded(model, _CompletionSeam, (*_guards_of(model), guard))


def wrap_retriever(guard: Guard, retriever: BaseRetriever) -> Any:
    """`retriever` with one more guard around it; its answers are lists of Documents."""
    return _guarded(retriever, _RetrieverSeam, (*_guards_of(retriever), guard))


class GuardedModel(Serializable):
    """What a guarded model dumps as, and what builds it again: ``GuardedModel(model=..., guards=[...])`` is the model.

    A class of its own, because providers give their models LangChain's own ids: under those a load would quietly
    give back the model without its guards.
    """

    def __new__(cls, *, model: Any, guards: list[Guard]) -> Any:
        """The guarded model."""
        for seam, root in _SEAMS:
            if isinstance(model, root):
                return _guarded(model, seam, tuple(guards))
        raise TypeError(
            f"GuardedModel takes a chat model, a completion model or a retriever, not {type(model).__name__}"
        )

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It dumps as the model and its guards."""
        return True


class _Sessions:
    """The sessions of one call of a guarded model, one per guard, from the innermost outwards."""

    def __init__(self, guards: tuple[Guard, ...], config: RunnableConfig, stack: ExitStack) -> None:
        self.guards, self.config, self.stack = guards, config, stack
        self.opened: list[tuple[Guard, Session]] = []
        self.calls: list[Call] = []

    def open(self, value: Any) -> Any:
        """What the model gets: the outermost guard sees the input first. A Refused keeps the model from being called."""
        for guard in reversed(self.guards):
            value = self._entered(guard, guard._closed(guard._open, value, self._call()))
        return value

    async def aopen(self, value: Any) -> Any:
        for guard in reversed(self.guards):
            value = self._entered(guard, await guard._aclosed(guard._aopen, value, self._call()))
        return value

    def _call(self) -> Call:
        self.calls.append(Call(self.config))
        return self.calls[-1]

    def _entered(self, guard: Guard, session: Session) -> Any:
        self.opened.insert(0, (guard, self.stack.enter_context(opened(session))))
        return session.value

    def answered(self, answer: Any) -> None:
        for _, session in self.opened:
            session.answered(answer)

    def whole(self, answer: Any) -> Any:
        for guard, session in self.opened:
            answer = guard._closed(session.whole, answer)
        return answer

    async def awhole(self, answer: Any) -> Any:
        for guard, session in self.opened:
            answer = await guard._aclosed(session.awhole, answer)
        return answer

    def chunks(self, source: Iterator[Any]) -> Iterator[Any]:
        for guard, session in self.opened:
            source = guard._filtered(source, guard._closed(session.filter))
        return source

    def achunks(self, source: AsyncIterator[Any]) -> AsyncIterator[Any]:
        for guard, session in self.opened:
            source = guard._afiltered(source, guard._closed(session.filter))
        return source

    # Verdicts are sent from the model's own run where LangChain shows it to the seam, else from the run it is part of.

    def report(self, run_manager: Any) -> None:
        for payload in self._waiting():
            if run_manager is not None:
                handle_event(run_manager.handlers, "on_custom_event", "ignore_custom_event", events.EVENT, payload,
                             run_id=run_manager.run_id, tags=run_manager.tags, metadata=run_manager.metadata)  # fmt: skip
                continue
            manager = get_callback_manager_for_config(self.config)
            if manager.parent_run_id is not None:
                manager.on_custom_event(events.EVENT, payload, run_id=manager.parent_run_id)

    async def areport(self, run_manager: Any) -> None:
        for payload in self._waiting():
            if run_manager is not None:
                await ahandle_event(run_manager.handlers, "on_custom_event", "ignore_custom_event", events.EVENT, payload,
                                    run_id=run_manager.run_id, tags=run_manager.tags, metadata=run_manager.metadata)  # fmt: skip
                continue
            manager = get_async_callback_manager_for_config(self.config)
            if manager.parent_run_id is not None:
                await manager.on_custom_event(events.EVENT, payload, run_id=manager.parent_run_id)

    def _waiting(self) -> list[dict[str, Any]]:
        waiting = [verdict.payload() for call in self.calls for verdict in call.pending]
        for call in self.calls:
            call.pending = []
        return waiting


class _Seam:
    """What stands before a model's own class in the order of method resolution of its guarded class."""

    _guarded_base: ClassVar[Any]
    langchain_guards: tuple[Guard, ...]

    def _guard_plain(self) -> Any:
        return _view(self, type(self)._guarded_base)

    def _guard_call(self, config: RunnableConfig | None) -> Any:
        call = _view(self, type(self))
        object.__setattr__(call, "_guard_config", ensure_config(config))
        return call

    def _guard_sessions(self, stack: ExitStack) -> _Sessions:
        config = getattr(self, "_guard_config", None) or ensure_config(None)
        return _Sessions(self.langchain_guards, config, stack)

    def _guard_fingerprint(self) -> str:
        return ";".join(guard._fingerprint() for guard in self.langchain_guards)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    def to_json(self) -> Any:
        kwargs = {"model": self._guard_plain(), "guards": list(self.langchain_guards)}
        return {"lc": 1, "type": "constructor", "id": [*__name__.split("."), "GuardedModel"], "kwargs": kwargs}

    def __repr_name__(self) -> str:
        return f"Guarded[{', '.join(guard.get_name() for guard in self.langchain_guards)}]{type(self).__name__}"

    def __reduce_ex__(self, _: Any) -> Any:
        return _rebuild, (self._guard_plain(), list(self.langchain_guards))


class _ChatSeam(_Seam):
    # -- the seam

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            stack.callback(lambda: sessions.report(run_manager))
            messages = sessions.open(messages)
            result = self._guard_plain()._generate(messages, stop=stop, **kwargs)
            return _with_answers(result, [sessions.whole(_told(sessions, g.message)) for g in result.generations])

    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            try:
                messages = await sessions.aopen(messages)
                result = await self._guard_plain()._agenerate(messages, stop=stop, **kwargs)
                answers = [await sessions.awhole(_told(sessions, g.message)) for g in result.generations]
            finally:
                await sessions.areport(run_manager)
            return _with_answers(result, answers)

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            stack.callback(lambda: sessions.report(run_manager))
            messages = sessions.open(messages)
            raw = self._guard_plain()._stream(messages, stop=stop, **kwargs)
            stack.enter_context(closing(raw))  # a block closes the connection at once, even while its error is held
            beside = _Beside()
            for message in sessions.chunks(_told(sessions, beside.take(chunk)) for chunk in raw):
                chunk = ChatGenerationChunk(message=message, generation_info=beside.give())
                if run_manager:
                    run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            try:
                messages = await sessions.aopen(messages)
                async with aclosing(self._guard_plain()._astream(messages, stop=stop, **kwargs)) as raw:
                    beside = _Beside()
                    async for message in sessions.achunks(_told(sessions, beside.take(chunk)) async for chunk in raw):
                        chunk = ChatGenerationChunk(message=message, generation_info=beside.give())
                        if run_manager:
                            await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                        yield chunk
            finally:
                await sessions.areport(run_manager)

    # -- every public way in goes through a call view

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return _up(_ChatSeam, self._guard_call(config)).invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return await _up(_ChatSeam, self._guard_call(config)).ainvoke(input, config, **kwargs)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        with closing(_up(_ChatSeam, self._guard_call(config)).stream(input, config, **kwargs)) as chunks:
            yield from chunks

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002
        call = _up(_ChatSeam, self._guard_call(config))
        async with aclosing(call.astream(input, config, **kwargs)) as chunks:
            async for chunk in chunks:
                yield chunk

    def _chat_model_stream_v3(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return _up(_ChatSeam, self._guard_call(config))._chat_model_stream_v3(input, config, **kwargs)

    async def _achat_model_stream_v3(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        call = _up(_ChatSeam, self._guard_call(config))
        return await call._achat_model_stream_v3(input, config, **kwargs)

    # -- what the copy is to others

    @functools.cached_property
    def _serialized(self) -> dict[str, Any]:
        return dumpd(self._guard_plain())  # type: ignore[no-any-return]  # traces show the model that they always showed

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """The cache key: guarded answers are cached, and never shared with the plain model or with other guards."""
        return f"{super()._get_llm_string(stop=stop, **kwargs)}---guards:{self._guard_fingerprint()}"  # type: ignore[misc]


class _CompletionSeam(_Seam):
    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        with ExitStack() as stack:
            every = [self._guard_sessions(stack) for _ in prompts]
            for sessions in every:
                stack.callback(sessions.report, run_manager)
            prompts = [sessions.open(prompt) for sessions, prompt in zip(every, prompts, strict=True)]
            result = self._guard_plain()._generate(prompts, stop=stop, **kwargs)
            answers = [[s.whole(g.text) for g in row] for s, row in zip(every, result.generations, strict=True)]
            return _with_texts(result, answers)

    async def _agenerate(
        self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> LLMResult:
        with ExitStack() as stack:
            every = [self._guard_sessions(stack) for _ in prompts]
            try:
                prompts = [await sessions.aopen(prompt) for sessions, prompt in zip(every, prompts, strict=True)]
                result = await self._guard_plain()._agenerate(prompts, stop=stop, **kwargs)
                rows = zip(every, result.generations, strict=True)
                answers = [[await sessions.awhole(g.text) for g in row] for sessions, row in rows]
            finally:
                for sessions in every:
                    await sessions.areport(run_manager)
            return _with_texts(result, answers)

    def _stream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            stack.callback(sessions.report, run_manager)
            prompt = sessions.open(prompt)
            raw = stack.enter_context(closing(self._guard_plain()._stream(prompt, stop=stop, **kwargs)))
            beside = _Beside()
            for text in sessions.chunks(beside.take_text(chunk) for chunk in raw):
                chunk = GenerationChunk(text=text, generation_info=beside.give())
                if run_manager:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            try:
                prompt = await sessions.aopen(prompt)
                async with aclosing(self._guard_plain()._astream(prompt, stop=stop, **kwargs)) as raw:
                    beside = _Beside()
                    async for text in sessions.achunks(beside.take_text(chunk) async for chunk in raw):
                        chunk = GenerationChunk(text=text, generation_info=beside.give())
                        if run_manager:
                            await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                        yield chunk
            finally:
                await sessions.areport(run_manager)

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return _up(_CompletionSeam, self._guard_call(config)).invoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return await _up(_CompletionSeam, self._guard_call(config)).ainvoke(input, config, **kwargs)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        with closing(_up(_CompletionSeam, self._guard_call(config)).stream(input, config, **kwargs)) as chunks:
            yield from chunks

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002
        call = _up(_CompletionSeam, self._guard_call(config))
        async with aclosing(call.astream(input, config, **kwargs)) as chunks:
            async for chunk in chunks:
                yield chunk

    # each item has a caller of its own, so a batch is its items
    def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        return Runnable.batch(self, inputs, config, **kwargs)  # type: ignore[arg-type]

    async def abatch(self, inputs: Any, config: Any = None, **kwargs: Any) -> Any:
        return await Runnable.abatch(self, inputs, config, **kwargs)  # type: ignore[arg-type]

    @property
    def _identifying_params(self) -> dict[str, Any]:
        """What BaseLLM makes its cache key of."""
        return {**self._guard_plain()._identifying_params, "guards": self._guard_fingerprint()}


class _RetrieverSeam(_Seam):
    def _get_relevant_documents(self, query: str, *, run_manager: Any, **kwargs: Any) -> list[Document]:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            stack.callback(sessions.report, run_manager)
            plain, query = self._guard_plain(), sessions.open(query)
            return sessions.whole(plain._get_relevant_documents(query, run_manager=run_manager, **kwargs))  # type: ignore[no-any-return]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any, **kwargs: Any) -> list[Document]:
        with ExitStack() as stack:
            sessions = self._guard_sessions(stack)
            try:
                plain, query = self._guard_plain(), await sessions.aopen(query)
                found = await plain._aget_relevant_documents(query, run_manager=run_manager, **kwargs)
                return await sessions.awhole(found)  # type: ignore[no-any-return]
            finally:
                await sessions.areport(run_manager)

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return _up(_RetrieverSeam, self._guard_call(config)).invoke(input, config, **kwargs)

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        return await _up(_RetrieverSeam, self._guard_call(config)).ainvoke(input, config, **kwargs)


_SEAMS: tuple[tuple[type[_Seam], type], ...] = (
    (_ChatSeam, BaseChatModel),
    (_CompletionSeam, BaseLLM),
    (_RetrieverSeam, BaseRetriever),
)


# -- views and classes


def _up(seam: type, call: Any) -> Any:
    """The methods that come after `seam`, on a call view."""
    return super(seam, call)


def _view(model: Any, cls: Any) -> Any:
    """Another object over the same state: the dicts are shared, so what one changes the other sees."""
    view = cls.__new__(cls)
    object.__setattr__(view, "__dict__", model.__dict__)
    for name in _STATE:
        object.__setattr__(view, name, getattr(model, name))
    return view


@functools.cache
def _guarded_class(base: Any, seam: Any) -> Any:
    """One subclass per model class: pydantic needs milliseconds to build it, and dashboards see the same name."""
    namespace: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__slots__": ("_guard_config",),
        "__annotations__": {"langchain_guards": tuple},
        "langchain_guards": Field(default=(), exclude=True, repr=False),
    }
    root: Any = next(root for known, root in _SEAMS if known is seam)
    # LangChain asks by identity whether a model streams: what the model does not implement must not look as if it did
    if root is not BaseRetriever and base._stream is root._stream:
        namespace["_stream"] = root._stream
        if base._astream is root._astream:
            namespace["_astream"] = root._astream
    for hook in ("_stream_chat_model_events", "_astream_chat_model_events"):
        if getattr(base, hook, None) is not None:
            namespace[hook] = None  # a native event producer would go round the seam
    cls = type(base)(base.__name__, (seam, base), namespace)
    cls._guarded_base = base
    return cls


def _guards_of(model: Any) -> tuple[Guard, ...]:
    return model.langchain_guards if isinstance(model, _Seam) else ()


def _guarded(model: Any, seam: Any, guards: tuple[Guard, ...]) -> Any:
    base: Any = getattr(type(model), "_guarded_base", type(model))
    copy = model.model_copy()
    guarded = _view(copy, _guarded_class(base, seam))
    guarded.__dict__.pop("_serialized", None)
    guarded.__dict__["langchain_guards"] = guards
    if not all(guard.cacheable for guard in guards):
        guarded.__dict__["cache"] = False
    return guarded


def _rebuild(model: Any, guards: list[Guard]) -> Any:
    return GuardedModel(model=model, guards=guards)


# -- results


def _told(sessions: _Sessions, message: BaseMessage) -> BaseMessage:
    sessions.answered(message)
    return message


def _with_answers(result: ChatResult, answers: list[Any]) -> ChatResult:
    """The result with other messages; a new generation each, since its ``text`` is derived when it is made."""
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


class _Beside:
    """What travels beside the chunks of a stream (finish_reason, headers): once, with the next chunk that goes out."""

    def __init__(self) -> None:
        self.waiting: dict[str, Any] = {}

    def take(self, chunk: ChatGenerationChunk) -> Any:
        self.waiting.update(_without_logprobs(chunk.generation_info) or {})
        return chunk.message

    def take_text(self, chunk: GenerationChunk) -> str:
        self.waiting.update(_without_logprobs(chunk.generation_info) or {})
        return chunk.text

    def give(self) -> dict[str, Any] | None:
        waiting, self.waiting = self.waiting, {}
        return waiting or None
