"""`Guard`: the one class that knows LangChain's Runnable machinery.

Every guard is this class plus a policy. A slice implements a few hooks (`_check`, `_judge`, `_filter`, `_open`), which
are plain synchronous functions with optional asynchronous twins; this module turns them into a Runnable: invoke and
stream, sync and async, with a run of its own, events, fail-closed errors, and a source that is closed when the
consumer leaves or a guard refuses.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from contextlib import aclosing, contextmanager, nullcontext
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk
from langchain_core.runnables import ensure_config
from langchain_core.runnables.utils import ConfigurableFieldSpec
from pydantic import ConfigDict, ValidationError

from langchain_guard.around import ByTransform
from langchain_guard.errors import ConfigError, GuardError, GuardUnavailable
from langchain_guard.run import ARun, Call, Run, aclose, added, close
from langchain_guard.settings import Short, config_error, holds_callable
from langchain_guard.values import Unreadable
from langchain_guard.verdict import Finding, Verdict

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.runnables import Runnable, RunnableConfig

logger = logging.getLogger("langchain_guard")

T = TypeVar("T")

IDENTITY_SPECS = [
    ConfigurableFieldSpec(
        id="user_id", annotation=str, name="User", description="The account that calls.", default=None
    ),
    ConfigurableFieldSpec(id="client_ip", annotation=str, name="Address", description="The caller's IP.", default=None),
]


class ChunkFilter:
    """The streaming side of a guard: pure and incremental. This one hands everything on."""

    def feed(self, chunk: Any) -> Iterable[Any]:
        """What may go on now that `chunk` is known; raises a Refused to stop the stream."""
        return (chunk,)

    def end(self) -> Iterable[Any]:
        """What is left once the source has ended."""
        return ()

    async def aend(self) -> Iterable[Any]:
        """`end` for a guard that has to wait for something."""
        return self.end()


PASS = ChunkFilter()
"""The filter that hands every chunk on as it comes."""


class Session:
    """One call of what `Guard.wrap` wraps: the input to hand on, the answer to judge, the end to settle.

    Attributes:
        value: The input that the wrapped Runnable gets.
        callbacks: Handlers that are added to the wrapped Runnable's config.
    """

    def __init__(self, value: Any, callbacks: Sequence[BaseCallbackHandler] = ()) -> None:
        self.value, self.callbacks = value, callbacks

    def whole(self, output: Any) -> Any:
        """Judge a whole answer: the one to hand on, or a Refused."""
        return output

    async def awhole(self, output: Any) -> Any:
        """`whole` for a guard that has to wait for something."""
        return self.whole(output)

    def filter(self) -> ChunkFilter:
        """The filter for a streamed answer."""
        return PASS

    def answered(self, message: Any) -> None:
        """Told by a wrapped model: one raw answer, or one chunk of it, before any guard has judged it."""

    def close(self, error: BaseException | None) -> None:
        """Called exactly once, however the call ended: answer, error, early close, cancellation."""


@contextmanager
def opened(session: Session) -> Iterator[Session]:
    """Close `session` exactly once, telling it how the call ended."""
    error: BaseException | None = None
    try:
        yield session
    except BaseException as raised:
        error = raised
        raise
    finally:
        session.close(error)


class Guard(ByTransform):
    """A policy as a link of a chain.

    Args:
        name: Name of the guard's runs, of its node in graphs, and in its verdicts and errors.
        trace: ``"none"``: the guard's own run records the type and length of what it gets and returns;
            ``"full"``: the values themselves, to debug.

    Raises:
        ConfigError: An argument is unknown or cannot be worked with.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid", frozen=True)

    trace: Literal["none", "full"] = "none"

    sees_text: ClassVar[bool] = True
    """Whether `wrap` has to reach every model inside retries and fallbacks (else it stays outside of them)."""
    reads_identity: ClassVar[bool] = False
    """Whether the guard asks who is calling; then ``user_id`` and ``client_ip`` are in its config schema."""

    @property
    def cacheable(self) -> bool:
        """Whether a wrapped model's guarded answer may stand in LangChain's cache (else the copy does not cache)."""
        return True

    # -- what a slice implements

    def _check(self, value: Any, call: Call) -> Verdict:
        """Judge `value` and nothing else: raise nothing, hand nothing on, consume nothing."""
        raise NotImplementedError

    async def _acheck(self, value: Any, call: Call) -> Verdict:
        return self._check(value, call)

    def _judge(self, value: Any, call: Call) -> Any:
        """The value to hand on (the same object if it is unchanged), or a Refused."""
        raise NotImplementedError

    async def _ajudge(self, value: Any, call: Call) -> Any:
        return self._judge(value, call)

    def _filter(self, call: Call) -> ChunkFilter | None:  # noqa: ARG002
        """The filter for a stream, made before its first chunk is pulled; None: gather it and judge the whole."""
        return None

    async def _afilter(self, call: Call) -> ChunkFilter | None:
        return self._filter(call)

    def _open(self, value: Any, call: Call) -> Session:
        """The session around one call of a wrapped Runnable; a Refused keeps it from being called."""
        return Session(self._judge(value, call))

    async def _aopen(self, value: Any, call: Call) -> Session:
        return Session(await self._ajudge(value, call))

    def _batch(
        self,
        inputs: list[Any],  # noqa: ARG002
        configs: list[RunnableConfig],
    ) -> AbstractContextManager[list[RunnableConfig]]:
        """Around a batch of what is wrapped, unless its items may fail one by one: the configs to run them with."""
        return nullcontext(configs)

    def _abatch(
        self,
        inputs: list[Any],  # noqa: ARG002
        configs: list[RunnableConfig],
    ) -> AbstractAsyncContextManager[list[RunnableConfig]]:
        return nullcontext(configs)

    # -- the Runnable

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002
        """Judge a value and hand it on.

        Raises:
            Refused: The guard said no; which subclass depends on the guard.
            GuardUnavailable: The guard could not do its work.
        """
        with Run(self, config, input) as run:
            return run.returns(self._closed(self._judge, input, run.call))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Any:  # noqa: A002
        """As `invoke`."""
        async with ARun(self, config, input) as run:
            return run.returns(await self._aclosed(self._ajudge, input, run.call))

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **_: Any) -> Iterator[Any]:  # noqa: A002
        """Judge a stream as it comes; what was decided goes on at once, and leaving early closes the source."""
        with Run(self, config, input) as run:
            try:
                chunks = self._closed(self._filter, run.call) or Gathered(self, run.call)
                run.flush()
                yield from run.tap(self._filtered(input, chunks))
            finally:
                close(input)

    async def atransform(
        self,
        input: AsyncIterator[Any],  # noqa: A002
        config: RunnableConfig | None = None,
        **_: Any,
    ) -> AsyncIterator[Any]:
        """As `transform`."""
        async with ARun(self, config, input) as run:
            try:
                chunks = await self._aclosed(self._afilter, run.call) or Gathered(self, run.call)
                await run.flush()
                async with aclosing(run.tap(self._afiltered(input, chunks))) as released:
                    async for chunk in released:
                        yield chunk
            finally:
                await aclose(input)

    # -- beside the chain

    def check(self, value: Any, config: RunnableConfig | None = None) -> Verdict:
        """Judge `value` without raising, handing it on, or consuming anything (a limiter's check is a peek).

        A guard that cannot do its work says "block", with the reason in the verdict's finding.
        """
        try:
            return self._closed(self._check, value, Call(ensure_config(config)))
        except GuardUnavailable as error:
            return self._unavailable_verdict(error)

    async def acheck(self, value: Any, config: RunnableConfig | None = None) -> Verdict:
        """As `check`."""
        try:
            verdict: Verdict = await self._aclosed(self._acheck, value, Call(ensure_config(config)))
        except GuardUnavailable as error:
            return self._unavailable_verdict(error)
        return verdict

    def wrap(self, runnable: Any) -> Runnable[Any, Any]:
        """`runnable` with this guard around it, seeing what goes in and what comes out.

        Args:
            runnable: A chat model (or a bound or configured one), which comes back as a chat model whose own events
                and traces carry only guarded text; a completion model, a retriever or a tool, likewise; or any other
                Runnable, function or dict, which comes back as one guarded run around it.

        Raises:
            ConfigError: It is of a kind that would drop the guard.
        """
        from langchain_guard.wrap import wrap  # noqa: PLC0415  # wrap knows Guard, so Guard meets it late

        wrapped: Runnable[Any, Any] = wrap(self, runnable)
        return wrapped

    # -- streams

    def _filtered(self, source: Iterator[Any], chunks: ChunkFilter) -> Iterator[Any]:
        """The chunks that the filter lets go, as they come; never an empty stream for one that was not."""
        chunk = out = _NOTHING
        for chunk in source:
            try:
                for out in chunks.feed(chunk):
                    yield out
            except Exception as error:  # noqa: BLE001
                failure = self._failure(error)
            else:
                continue
            raise failure
        for out in self._closed(chunks.end):
            yield out
        if out is _NOTHING and chunk is not _NOTHING:
            yield from _empty(chunk)

    async def _afiltered(self, source: AsyncIterator[Any], chunks: ChunkFilter) -> AsyncGenerator[Any, None]:
        chunk = out = _NOTHING
        async for chunk in source:
            try:
                for out in chunks.feed(chunk):
                    yield out
            except Exception as error:  # noqa: BLE001
                failure = self._failure(error)
            else:
                continue
            raise failure
        for out in await self._aclosed(chunks.aend):
            yield out
        if out is _NOTHING and chunk is not _NOTHING:
            for out in _empty(chunk):
                yield out

    # -- failing closed

    def _closed(self, hook: Callable[..., T], *args: Any) -> T:
        """Run a hook; whatever it raises that is no answer of a guard becomes a GuardUnavailable."""
        try:
            return hook(*args)
        except Exception as error:  # noqa: BLE001  # fail closed: no detector's bug may let a value through
            failure = self._failure(error)
        raise failure  # outside of the handler: the cause may hold the text, so it is not chained

    async def _aclosed(self, hook: Callable[..., Any], *args: Any) -> Any:
        try:
            return await hook(*args)
        except Exception as error:  # noqa: BLE001
            failure = self._failure(error)
        raise failure

    def _failure(self, error: Exception) -> GuardError:
        if isinstance(error, GuardError):
            return error
        name, cause = self.get_name(), type(error).__name__
        rule = "unreadable" if isinstance(error, Unreadable) else getattr(error, "rule", "") or "internal"
        why = f"the value cannot be read ({error})" if isinstance(error, Unreadable) else f"it failed with {cause}"
        logger.warning("%s is unavailable: rule %s, cause %s", name, rule, cause)
        return GuardUnavailable(f"{name} let nothing through: {why}.", guard=name, rule=rule, cause=cause)

    def _unavailable_verdict(self, error: GuardUnavailable) -> Verdict:
        finding = Finding(rule=error.rule, kind="unavailable")
        return Verdict(self.get_name(), "block", (finding,), details={"cause": error.cause})

    # -- construction and dumps

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args:
            raise ConfigError(f"{type(self).__name__} takes no positional arguments")
        if held := kwargs.pop("holds_callables", None):
            raise ConfigError(
                f"this {type(self).__name__} was dumped with Python objects in {', '.join(held)}, which a dump cannot "
                "carry: build it in code, since loading it without them would protect less"
            )
        try:
            super().__init__(**kwargs)
        except ValidationError as error:
            failure = config_error(type(self), error)
        else:
            return
        raise failure

    def to_json(self) -> Any:
        """As LangChain's, and marked when a dump cannot carry a part of the guard."""
        dumped: Any = super().to_json()
        kwargs = dumped.get("kwargs", {})
        if held := sorted(name for name, value in kwargs.items() if holds_callable(value)):
            kwargs["holds_callables"] = held
        return dumped

    def _fingerprint(self) -> str:
        """What tells two guards apart in the key of a cache; it changes with the package, as the rules do."""
        said = hashlib.blake2b(dumps(self).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"langchain-guard-{_release()}:{said}"

    def __repr_args__(self) -> Any:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.repr and value != field.get_default(call_default_factory=True):
                text = repr(value)
                yield name, value if len(text) <= 80 and " at 0x" not in text else Short(type(value).__name__)

    @property
    def InputType(self) -> Any:  # noqa: N802
        """Any: a guard takes whatever runs through a chain."""
        return Any

    @property
    def OutputType(self) -> Any:  # noqa: N802
        """Any: a guard returns its input's type."""
        return Any

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """``user_id`` and ``client_ip`` for a guard that asks who is calling."""
        return list(IDENTITY_SPECS) if self.reads_identity else []


class Gathered(ChunkFilter):
    """Holds a stream until it has ended, judges the whole, and hands the chunks on if it is unchanged."""

    def __init__(self, guard: Guard, call: Call) -> None:
        self.guard, self.call = guard, call
        self.chunks: list[Any] = []

    def feed(self, chunk: Any) -> Iterable[Any]:
        """Nothing, until the end."""
        self.chunks.append(chunk)
        return ()

    def end(self) -> Iterable[Any]:
        """The chunks if the guard left their sum alone, else what it made of it."""
        if not self.chunks:
            return ()
        whole = added(self.chunks)
        return self._kept(whole, self.guard._judge(whole, self.call))

    async def aend(self) -> Iterable[Any]:
        """As `end`."""
        if not self.chunks:
            return ()
        whole = added(self.chunks)
        return self._kept(whole, await self.guard._ajudge(whole, self.call))

    def _kept(self, whole: Any, judged: Any) -> Iterable[Any]:
        return self.chunks if judged is whole else (judged,)


_NOTHING: Any = object()


def _empty(chunk: Any) -> Iterable[Any]:
    """One empty chunk, so that a stream of which everything was taken is still a stream (fallbacks refuse none)."""
    if isinstance(chunk, str):
        return ("",)
    if isinstance(chunk, AIMessageChunk):
        return (AIMessageChunk(content="", id=chunk.id),)
    return ()


@functools.cache
def _release() -> str:
    return version("langchain-guard")
