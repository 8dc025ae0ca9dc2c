"""`on_refusal`: answer a caller politely where a guard said no."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.runnables import Runnable, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase, coerce_to_runnable
from pydantic import SerializeAsAny

from langchain_guard.around import Around
from langchain_guard.errors import ConfigError, Refused
from langchain_guard.run import ARun, Run, aclose, close

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from langchain_core.runnables import RunnableConfig

MARK = {"langchain_guard": "refused"}
"""``response_metadata`` of an answer that stands for a refusal."""


def on_refusal(
    chain: Any,
    reply: str | Callable[[Refused], Any] | Runnable[Any, Any],
    as_: Literal["auto", "message", "str"] = "auto",
) -> Runnable[Any, Any]:
    """`chain`, answering with `reply` where one of its guards refuses; every other error passes.

    Args:
        chain: The chain to answer for.
        reply: The answer: a str, a function of the `Refused`, or a Runnable that gets the `Refused`.
        as_: ``"message"``: an AIMessage with ``response_metadata={"langchain_guard": "refused"}``; ``"str"``: a str;
            ``"auto"``: as the chain answers, a message where that cannot be told. In a stream that has begun, the
            reply is one more chunk.

    Raises:
        ConfigError: `chain` is no Runnable, `reply` is none of the three, or `as_` is unknown.

    Example:
        ```python
        polite = on_refusal(chain, lambda refused: f"Sorry: {refused.advice}")
        ```
    """
    if not isinstance(reply, (str, Runnable)) and not callable(reply):
        raise ConfigError(f"on_refusal(reply=...) must be a str, a callable or a Runnable, not {type(reply).__name__}")
    if as_ not in {"auto", "message", "str"}:
        raise ConfigError(f"on_refusal(as_={as_!r}): must be 'auto', 'message' or 'str'")
    answer = reply if isinstance(reply, str) else coerce_to_runnable(reply)
    try:
        bound: Runnable[Any, Any] = coerce_to_runnable(chain)
    except TypeError:
        kind = type(chain).__name__
        raise ConfigError(
            f"on_refusal(chain=...) must be a Runnable, a function or a dict of them, not {kind}"
        ) from None
    return OnRefusal(bound=bound, reply=answer, as_=as_)


class OnRefusal(Around):
    """What `on_refusal` returns."""

    reply: str | SerializeAsAny[Runnable[Any, Any]]
    as_: str = "auto"

    trace: str = "none"

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """The chain's answer, or the reply."""
        with Run(self, config, input) as run:
            try:
                return run.returns(self.bound.invoke(input, run.call.child(), **kwargs))
            except Refused as error:
                refused = error
            return run.returns(self._answer(self._said(refused, run.call.child()), chunk=False, like=None))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As `invoke`."""
        async with ARun(self, config, input) as run:
            try:
                return run.returns(await self.bound.ainvoke(input, run.call.child(), **kwargs))
            except Refused as error:
                refused = error
            return run.returns(self._answer(await self._asaid(refused, run.call.child()), chunk=False, like=None))

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        """The chain's chunks; where a guard refuses, the reply as one more."""
        with Run(self, config, input) as run:
            yield from run.tap(self._chunks(input, run.call.child(), **kwargs))

    def _chunks(self, values: Iterator[Any], config: RunnableConfig, **kwargs: Any) -> Iterator[Any]:
        like, source = None, self.bound.transform(values, config, **kwargs)
        try:
            for like in source:
                yield like
        except Refused as error:
            refused = error
        else:
            return
        finally:
            close(source)
        yield self._answer(self._said(refused, config), chunk=True, like=like)

    async def atransform(
        self,
        input: AsyncIterator[Any],  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """As `transform`."""
        async with (
            ARun(self, config, input) as run,
            aclosing(run.tap(self._achunks(input, run.call.child(), **kwargs))) as chunks,
        ):
            async for chunk in chunks:
                yield chunk

    async def _achunks(self, values: AsyncIterator[Any], config: RunnableConfig, **kwargs: Any) -> Any:
        like, source = None, self.bound.atransform(values, config, **kwargs)
        try:
            async for like in source:
                yield like
        except Refused as error:
            refused = error
        else:
            return
        finally:
            await aclose(source)
        yield self._answer(await self._asaid(refused, config), chunk=True, like=like)

    # -- the reply

    def _said(self, refused: Refused, config: RunnableConfig) -> Any:
        return self.reply if isinstance(self.reply, str) else self.reply.invoke(refused, config)

    async def _asaid(self, refused: Refused, config: RunnableConfig) -> Any:
        return self.reply if isinstance(self.reply, str) else await self.reply.ainvoke(refused, config)

    def _answer(self, said: Any, *, chunk: bool, like: Any) -> Any:
        """The reply as the chain would have answered: `like` the last chunk of a stream that has begun."""
        if isinstance(like, str):
            as_ = "str"
        elif isinstance(like, AIMessageChunk):
            as_ = "message"
        else:
            as_ = _answers(self.bound) if self.as_ == "auto" else self.as_
        if not isinstance(said, (str, BaseMessage)):
            return said
        if as_ == "str":
            return str(said.text) if isinstance(said, BaseMessage) else said
        kind = AIMessageChunk if chunk else AIMessage
        if isinstance(said, BaseMessage):
            metadata = {**said.response_metadata, **MARK}
            return kind(content=said.content, id=said.id, response_metadata=metadata)
        last = {"chunk_position": "last"} if chunk and getattr(like, "chunk_position", None) != "last" else {}
        return kind(content=said, id=getattr(like, "id", None), response_metadata=dict(MARK), **last)


def _answers(chain: Runnable[Any, Any]) -> str:
    """Whether a chain answers with "str" or "message", told by the last step that says so."""
    if isinstance(chain, RunnableSequence):
        for step in reversed(chain.steps):
            if (kind := _answers(step)) != "":
                return kind
        return "message"
    if isinstance(chain, RunnableBindingBase):
        return _answers(chain.bound)
    try:
        output = chain.OutputType
    except TypeError:  # a Runnable that does not say
        return ""
    if output is Any:
        return ""
    return "str" if isinstance(output, type) and issubclass(output, str) else "message"
