"""One call of a guard: what it knows (`Call`), and the run that callback handlers see (`Run`, `ARun`).

Written on LangChain's callback managers rather than on its ``_call_with_config`` helpers, for three reasons: the run
must record the type and length of a value instead of its text, it must start before the first chunk is pulled, and a
consumer that leaves must not cause the source to be drained.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, Self

from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import ensure_config
from langchain_core.runnables.config import (
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
    patch_config,
)
from langchain_core.tracers._streaming import _StreamingCallbackHandler

from langchain_guard import events
from langchain_guard.identity import Identity, identity_of
from langchain_guard.values import describe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from types import TracebackType

    from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
    from langchain_core.runnables import RunnableConfig

    from langchain_guard.verdict import Verdict


class Call:
    """What a guard knows about one call: its config, its caller, and where to report to."""

    __slots__ = ("_child", "_identity", "config", "pending")

    def __init__(self, config: RunnableConfig, child: RunnableConfig | None = None) -> None:
        self.config = config
        self.pending: list[Verdict] = []
        self._child = child
        self._identity: Identity | None = None

    @property
    def identity(self) -> Identity:
        """Who is calling."""
        if self._identity is None:
            self._identity = identity_of(self.config)
        return self._identity

    def child(self) -> RunnableConfig:
        """The config for a Runnable that the guard itself calls: its run is a child of the guard's."""
        return self.config if self._child is None else self._child

    def decided(self, verdict: Verdict) -> None:
        """Report a verdict: to `collect_verdicts` at once, as an event when the shell gets to it."""
        events.collect(verdict)
        self.pending.append(verdict)


class Traced(Protocol):
    """What a run needs to know of the Runnable it belongs to."""

    @property
    def trace(self) -> str:
        """Whether the run records values ("full") or only what they are ("none")."""

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """The name of the run."""


class _Run:
    """What synchronous and asynchronous runs share."""

    def __init__(self, runnable: Traced, config: RunnableConfig | None, value: Any) -> None:
        self.runnable, self.value = runnable, value
        self.config = ensure_config(config)
        self.output: Any = None
        self.streamed: list[Any] = []  # the chunks, or one description of them all
        self.call = Call(self.config)

    def returns(self, output: Any) -> Any:
        """Remember the result for the end of the run, and return it."""
        self.output = output
        return output

    def _named(self) -> dict[str, Any]:
        return {
            "name": self.config.get("run_name") or self.runnable.get_name(),
            "run_id": self.config.pop("run_id", None),
        }

    def _recorded(self, value: Any) -> Any:
        return value if self.runnable.trace == "full" else describe(value)

    def _noted(self, chunk: Any) -> None:
        """Remember a chunk of a streamed result, as much of it as the run may record."""
        recorded = self._recorded(chunk)
        if self.runnable.trace == "full" or not self.streamed:
            self.streamed.append(recorded)
        elif "length" in recorded:
            self.streamed[0]["length"] = self.streamed[0].get("length", 0) + recorded["length"]

    def _result(self) -> Any:
        """The result as the run records it."""
        return added(self.streamed) if self.streamed else self._recorded(self.output)

    def _waiting(self) -> list[Verdict]:
        waiting, self.call.pending = self.call.pending, []
        return waiting


class Run(_Run):
    """A run: started before the guard works, ended or failed exactly once, with the verdicts sent from inside it.

    When nobody listens there is nothing to start.
    """

    manager: CallbackManagerForChainRun | None = None

    def __enter__(self) -> Self:
        named = self._named()
        manager = get_callback_manager_for_config(self.config)
        if manager.handlers:
            self.manager = manager.on_chain_start(None, self._recorded(self.value), **named)
            self.call = Call(self.config, patch_config(self.config, callbacks=self.manager.get_child()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()
        if self.manager is None:
            return
        if error is None or isinstance(error, GeneratorExit):
            self.manager.on_chain_end(self._result())
        else:
            self.manager.on_chain_error(error)

    def flush(self) -> None:
        """Send the verdicts that are waiting."""
        if self.call.pending and self.manager is not None:
            child = self.manager.get_child()
            for verdict in self._waiting():
                child.on_custom_event(events.EVENT, verdict.payload(), run_id=self.manager.run_id)

    def tap(self, chunks: Iterator[Any]) -> Iterator[Any]:
        """Let ``astream_log`` and ``astream_events`` see the chunks of this run, and the end of the run know them."""
        if self.manager is None:
            return chunks
        chunks = self._kept(chunks)
        for handler in self.manager.handlers:
            if isinstance(handler, _StreamingCallbackHandler):
                return handler.tap_output_iter(self.manager.run_id, chunks)
        return chunks

    def _kept(self, chunks: Iterator[Any]) -> Iterator[Any]:
        try:
            for chunk in chunks:
                self._noted(chunk)
                yield chunk
        finally:
            close(chunks)


class ARun(_Run):
    """`Run` for asynchronous callers."""

    manager: AsyncCallbackManagerForChainRun | None = None

    async def __aenter__(self) -> Self:
        named = self._named()
        manager = get_async_callback_manager_for_config(self.config)
        if manager.handlers:
            self.manager = await manager.on_chain_start(None, self._recorded(self.value), **named)
            self.call = Call(self.config, patch_config(self.config, callbacks=self.manager.get_child()))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.flush()
        if self.manager is None:
            return
        if error is None or isinstance(error, GeneratorExit):
            await self.manager.on_chain_end(self._result())
        else:
            await self.manager.on_chain_error(error)

    async def flush(self) -> None:
        """Send the verdicts that are waiting."""
        if self.call.pending and self.manager is not None:
            child = self.manager.get_child()
            for verdict in self._waiting():
                await child.on_custom_event(events.EVENT, verdict.payload(), run_id=self.manager.run_id)

    def tap(self, chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """As `Run.tap`."""
        if self.manager is None:
            return chunks
        chunks = self._kept(chunks)
        for handler in self.manager.handlers:
            if isinstance(handler, _StreamingCallbackHandler):
                return handler.tap_output_aiter(self.manager.run_id, chunks)  # type: ignore[return-value]
        return chunks

    async def _kept(self, chunks: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        async with aclosing(chunks):
            async for chunk in chunks:
                self._noted(chunk)
                yield chunk


def close(source: Any) -> None:
    """Close an iterator that can be closed: a model that streams stops, its connection with it."""
    if (method := getattr(source, "close", None)) is not None:
        method()


async def aclose(source: Any) -> None:
    """As `close`."""
    if (method := getattr(source, "aclose", None)) is not None:
        closing = method()
        if inspect.isawaitable(closing):
            await closing


def added(chunks: Sequence[Any]) -> Any:
    """The sum of a stream's chunks, as LangChain forms it: the last one where they cannot be added."""
    first, rest = chunks[0], chunks[1:]
    if isinstance(first, str):
        return "".join(chunks) if rest else first
    if rest and all(isinstance(chunk, AIMessageChunk) for chunk in chunks):
        return first + rest
    for chunk in rest:
        try:
            first = first + chunk
        except TypeError:
            first = chunk
    return first
