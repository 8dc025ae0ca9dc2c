"""What guarded models, retrievers and tools share: a copy of the thing, of a subclass of its own class, and its sessions.

What a provider's own methods return (``_generate``, ``_stream``, ``_get_relevant_documents``, ``_run`` and their
asynchronous twins) is all that LangChain ever hands to callbacks, caches, event streams and callers, so that is where
the guards stand. Three rules make it tight:

1. The raw call runs on a *plain view*: the same state under the original class, so that a provider whose ``_generate``
   calls ``self._stream`` is not guarded twice.
2. A provider of a model never gets the run manager, with which it would report raw tokens; the guarded ones are
   reported.
3. Each public call of a model runs on a *call view*: the same state, knowing its `RunnableConfig`, so that the caller's
   identity needs no context variable.

The guards stand in a pydantic field, because ``configurable_fields`` rebuilds a model from its fields.
"""

from __future__ import annotations

import functools
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from langchain_core.callbacks.manager import AsyncCallbackManager, CallbackManager, ahandle_event, handle_event
from langchain_core.runnables import RunnableConfig, ensure_config
from langchain_core.utils.uuid import uuid7
from pydantic import Field

from langchain_guard import events
from langchain_guard.run import Call
from langchain_guard.runnable import PASS, Guard, Session, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from types import TracebackType

_STATE = ("__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")


class Sessions:
    """The sessions of one call of a guarded thing, one per guard; closed, and their verdicts sent, when it is left."""

    def __init__(self, thing: Seam, run_manager: Any = None) -> None:
        self.thing, self.run_manager = thing, run_manager
        self.guards = thing.langchain_guards
        self.config: RunnableConfig = getattr(thing, "_guard_config", None) or ensure_config(None)
        self.stack = ExitStack()
        self.opened: list[tuple[Guard, Session]] = []  # from the innermost outwards
        self.told: list[tuple[Guard, Callable[[Any], None]]] = []
        self.calls: list[Call] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stack.__exit__(kind, error, traceback)
        finally:
            self._report()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stack.__exit__(kind, error, traceback)
        finally:
            await self._areport()

    # -- the call

    def open(self, value: Any) -> Any:
        """What the thing gets: the outermost guard sees the input first. A Refused keeps the thing from being called."""
        for guard in reversed(self.guards):
            value = self._entered(guard, guard._closed(guard._open, value, self._call()))
        return value

    async def aopen(self, value: Any) -> Any:
        """As `open`."""
        for guard in reversed(self.guards):
            value = self._entered(guard, await guard._aclosed(guard._aopen, value, self._call()))
        return value

    def _call(self) -> Call:
        child = self.config.copy()  # a guard's own calls are not this run
        child.pop("run_id", None)
        child.pop("run_name", None)
        self.calls.append(Call(self.config, child))
        return self.calls[-1]

    def _entered(self, guard: Guard, session: Session) -> Any:
        self.opened.insert(0, (guard, self.stack.enter_context(opened(session))))
        if type(session).answered is not Session.answered:
            self.told.append((guard, session.answered))
        return session.value

    def answered(self, answer: Any) -> Any:
        """Tell the sessions that asked for it what came, before any guard has judged it."""
        for guard, tell in self.told:
            guard._closed(tell, answer)
        return answer

    def whole(self, answer: Any) -> Any:
        """The answer as it may go on: the innermost guard sees it first."""
        for guard, session in self.opened:
            answer = guard._closed(session.whole, answer)
        return answer

    async def awhole(self, answer: Any) -> Any:
        """As `whole`."""
        for guard, session in self.opened:
            answer = await guard._aclosed(session.awhole, answer)
        return answer

    def chunks(self, source: Iterator[Any]) -> Iterator[Any]:
        """A streamed answer as it may go on."""
        for guard, session in self.opened:
            chunks = guard._closed(session.filter)
            source = source if chunks is PASS else guard._filtered(source, chunks)
        return source

    def achunks(self, source: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
        """As `chunks`."""
        for guard, session in self.opened:
            chunks = guard._closed(session.filter)
            source = source if chunks is PASS else guard._afiltered(source, chunks)
        return source

    # -- verdicts are events of the thing's own run

    def _report(self) -> None:
        for payload in self._waiting():
            handlers, run = self._run(CallbackManager)
            if run["run_id"] is not None:
                handle_event(handlers, "on_custom_event", "ignore_custom_event", events.EVENT, payload, **run)

    async def _areport(self) -> None:
        for payload in self._waiting():
            handlers, run = self._run(AsyncCallbackManager)
            if run["run_id"] is not None:
                await ahandle_event(handlers, "on_custom_event", "ignore_custom_event", events.EVENT, payload, **run)

    def _waiting(self) -> list[dict[str, Any]]:
        waiting = [verdict.payload() for call in self.calls for verdict in call.pending]
        for call in self.calls:
            call.pending = []
        return waiting

    def _run(self, managers: type[CallbackManager | AsyncCallbackManager]) -> tuple[list[Any], dict[str, Any]]:
        """Who listens to the run, and its id: LangChain does not show the run to a model that streams."""
        manager, run_id = self.run_manager, getattr(self.run_manager, "run_id", None)
        if manager is None:
            thing, config = cast("Any", self.thing), self.config
            manager = managers.configure(config.get("callbacks"), thing.callbacks, bool(thing.verbose),
                                         config.get("tags"), thing.tags, config.get("metadata"), thing.metadata)  # fmt: skip
            run_id = config.get("run_id") or manager.parent_run_id
        return manager.handlers, {"run_id": run_id, "tags": manager.tags, "metadata": manager.metadata}


class Seam:
    """What stands before a thing's own class in the order of method resolution of its guarded class."""

    # prefixed, since the names in a model's class belong to its provider
    _guard_root: ClassVar[Any]
    """The class of LangChain whose methods the seam overrides."""
    _guard_bypasses: ClassVar[tuple[str, ...]] = ()
    """Methods with which a class would answer past the seam; without them LangChain comes to the seam."""

    _guarded_base: ClassVar[Any]
    langchain_guards: tuple[Guard, ...]

    def _guard_plain(self) -> Any:
        return view(self, type(self)._guarded_base)

    def _guard_call(self, config: RunnableConfig | None) -> Any:
        call = view(self, type(self))
        config = ensure_config(config)
        if config.get("run_id") is None:
            config["run_id"] = uuid7()  # known beforehand, so that verdicts are events of this run
        object.__setattr__(call, "_guard_config", config)
        return call

    def _guard_fingerprint(self) -> str:
        return ";".join(guard._fingerprint() for guard in self.langchain_guards)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It dumps as a `langchain_guard.wrap.GuardedModel`."""
        return True

    def to_json(self) -> Any:
        """The dump: what is guarded, and its guards."""
        kwargs = {"model": self._guard_plain(), "guards": list(self.langchain_guards)}
        return {"lc": 1, "type": "constructor", "id": ["langchain_guard", "wrap", "GuardedModel"], "kwargs": kwargs}

    def __repr_name__(self) -> str:
        return f"Guarded[{', '.join(guard.get_name() for guard in self.langchain_guards)}]{type(self).__name__}"

    def __reduce_ex__(self, _: Any) -> Any:
        seam = next(cls for cls in type(self).__mro__ if "_guard_root" in vars(cls))
        return guarded, (seam, self._guard_plain(), self.langchain_guards)


def guarded(seam: type[Seam], thing: Any, guards: tuple[Guard, ...]) -> Any:
    """A copy of `thing` with `guards` around it, innermost first; what is guarded already keeps its guards inside."""
    inner = thing.langchain_guards if isinstance(thing, Seam) else ()
    base: Any = getattr(type(thing), "_guarded_base", type(thing))
    kind: Any = seam
    made = view(thing.model_copy(), guarded_class(base, kind))
    made.__dict__["langchain_guards"] = (*inner, *guards)
    if "cache" in type(made).model_fields and not all(guard.cacheable for guard in guards):
        made.__dict__["cache"] = False
    return made


def view(thing: Any, cls: Any) -> Any:
    """Another object over the same state: the dicts are shared, so what one changes the other sees."""
    made = cls.__new__(cls)
    object.__setattr__(made, "__dict__", thing.__dict__)
    for name in _STATE:
        object.__setattr__(made, name, getattr(thing, name))
    return made


@functools.cache
def guarded_class(base: Any, seam: Any) -> Any:
    """One subclass per class: pydantic needs milliseconds to build it, and dashboards see the same name."""
    namespace: dict[str, Any] = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__slots__": ("_guard_config",),
        "__annotations__": {"langchain_guards": tuple},
        "langchain_guards": Field(default=(), exclude=True, repr=False),
    }
    root: Any = seam._guard_root
    # LangChain asks by identity whether a model streams: what the model does not implement must not look as if it did
    if hasattr(root, "_stream") and base._stream is root._stream:
        namespace["_stream"] = root._stream
        if base._astream is root._astream:
            namespace["_astream"] = root._astream
    cls = type(base)(base.__name__, (seam, base), namespace)
    # set afterwards: in the namespace pydantic would take these for private attributes, and the base's methods would stay
    cls._guarded_base = base
    for name in seam._guard_bypasses:
        setattr(cls, name, None)
    return cls
