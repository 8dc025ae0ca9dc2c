"""`Guard.wrap`: the same kind of thing back wherever there is a seam, else one guarded run around it."""

from __future__ import annotations

from contextlib import ExitStack, aclosing
from typing import TYPE_CHECKING, Any

from langchain_core.load.serializable import Serializable
from langchain_core.runnables import Runnable, RunnableBinding, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase, coerce_to_runnable
from langchain_core.runnables.config import get_config_list, merge_configs, patch_config
from langchain_core.runnables.configurable import RunnableConfigurableAlternatives, RunnableConfigurableFields
from langchain_core.runnables.utils import get_unique_config_specs
from pydantic import SerializeAsAny

from langchain_guard.around import Around
from langchain_guard.errors import ConfigError
from langchain_guard.model import ChatSeam, CompletionSeam
from langchain_guard.run import ARun, Call, Run, aclose, added, close
from langchain_guard.runnable import Guard, opened
from langchain_guard.seam import Seam, guarded
from langchain_guard.sources import RetrieverSeam, ToolSeam

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.utils import ConfigurableFieldSpec

    from langchain_guard.runnable import Session


_SEAMS: tuple[type[Seam], ...] = (ChatSeam, CompletionSeam, RetrieverSeam, ToolSeam)


def wrap(guard: Guard, runnable: Any) -> Any:
    """`runnable` with `guard` around it; see `Guard.wrap`."""
    if seam := _seam_of(runnable):
        return guarded(seam, runnable, (guard,))
    # one call of a retried or falling-back Runnable is one call for a limiter; a guard on texts must reach every model
    if isinstance(runnable, RunnableBindingBase if guard.sees_text else RunnableBinding):
        return runnable.model_copy(update={"bound": wrap(guard, runnable.bound)})
    if guard.sees_text and isinstance(runnable, RunnableWithFallbacks):
        fallbacks = [wrap(guard, fallback) for fallback in runnable.fallbacks]
        return runnable.model_copy(update={"runnable": wrap(guard, runnable.runnable), "fallbacks": fallbacks})
    if isinstance(runnable, RunnableConfigurableFields):
        return runnable.model_copy(update={"default": wrap(guard, runnable.default)})
    if isinstance(runnable, RunnableConfigurableAlternatives):
        alternatives = {
            key: wrap(guard, made if isinstance(made, Runnable) else made())
            for key, made in runnable.alternatives.items()
        }
        return runnable.model_copy(update={"default": wrap(guard, runnable.default), "alternatives": alternatives})
    if type(runnable).__name__ == "_ConfigurableModel":
        raise ConfigError(
            f"{guard.get_name()}.wrap: init_chat_model(configurable_fields=...) builds its model anew for each call and "
            "would drop the guard; wrap init_chat_model('provider:name') and call .configurable_fields() on the result"
        )
    try:
        bound = coerce_to_runnable(runnable) if not isinstance(runnable, type) else None
    except TypeError:
        bound = None
    if bound is None:
        given = f"the class {runnable.__name__}" if isinstance(runnable, type) else type(runnable).__name__
        raise ConfigError(f"{guard.get_name()}.wrap takes a Runnable, a function or a dict of them, not {given}")
    return Wrapped(guard=guard, bound=bound)


def _seam_of(runnable: Any) -> type[Seam] | None:
    return next((seam for seam in _SEAMS if isinstance(runnable, seam._guard_root)), None)


class GuardedModel(Serializable):
    """What a guarded model (or retriever, or tool) dumps as: ``GuardedModel(model=..., guards=[...])`` is the model.

    A class of its own, because providers give their models LangChain's own ids: under those a load would quietly
    give back the model without its guards.
    """

    def __new__(cls, *, model: Any, guards: list[Guard]) -> Any:
        """The guarded model."""
        if seam := _seam_of(model):
            return guarded(seam, model, tuple(guards))
        raise TypeError(f"GuardedModel takes a model, a retriever or a tool, not {type(model).__name__}")

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It dumps as the model and its guards."""
        return True


class Wrapped(Around):
    """One run, named ``<guard>.wrap``, around a Runnable that has no seam of its own.

    Listeners still see what models inside of it say: wrap the model itself where that matters.

    It is no RunnableBinding, because LangChain sends ``astream_events``, ``batch`` and ``transform`` of a binding
    straight to what is bound, past the guard; and no RunnableSequence, because ``prompt | it`` would flatten it away.
    """

    guard: SerializeAsAny[Guard]

    @property
    def trace(self) -> str:
        """The guard's setting."""
        return self.guard.trace

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """Open the guard's session, call what is bound, judge its answer."""
        closed = self.guard._closed
        with Run(self, config, input) as run, opened(closed(self.guard._open, input, run.call)) as session:
            run.flush()
            answer = self.bound.invoke(session.value, _config(session, run.call), **kwargs)
            return run.returns(closed(session.whole, answer))

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As `invoke`."""
        closed = self.guard._aclosed
        async with ARun(self, config, input) as run:
            with opened(await closed(self.guard._aopen, input, run.call)) as session:
                await run.flush()
                answer = await self.bound.ainvoke(session.value, _config(session, run.call), **kwargs)
                return run.returns(await closed(session.awhole, answer))

    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """A batch is its items; the guard may have a word about all of them first."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        if return_exceptions or not inputs:
            return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)
        with self.guard._batch(inputs, configs) as configs:
            return super().batch(inputs, configs, **kwargs)

    async def abatch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """As `batch`."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        if return_exceptions or not inputs:
            return await super().abatch(inputs, configs, return_exceptions=return_exceptions, **kwargs)
        async with self.guard._abatch(inputs, configs) as configs:
            return await super().abatch(inputs, configs, **kwargs)

    def transform(self, input: Iterator[Any], config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        """Gather the input, open the guard's session, judge the answer as it streams."""
        guard, closed = self.guard, self.guard._closed
        with Run(self, config, input) as run, ExitStack() as stack:
            stack.callback(close, input)
            values = list(input)
            if not values:
                return
            session = stack.enter_context(opened(closed(guard._open, added(values), run.call)))
            run.flush()
            source = self.bound.stream(session.value, _config(session, run.call), **kwargs)
            stack.callback(close, source)
            yield from run.tap(guard._filtered(source, closed(session.filter)))

    async def atransform(
        self,
        input: AsyncIterator[Any],  # noqa: A002
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        """As `transform`."""
        guard = self.guard
        async with ARun(self, config, input) as run:
            try:
                values = [value async for value in input]
            finally:
                await aclose(input)
            if not values:
                return
            with opened(await guard._aclosed(guard._aopen, added(values), run.call)) as session:
                await run.flush()
                source = self.bound.astream(session.value, _config(session, run.call), **kwargs)
                try:
                    chunks = run.tap(guard._afiltered(source, guard._closed(session.filter)))
                    async with aclosing(chunks):
                        async for chunk in chunks:
                            yield chunk
                finally:
                    await aclose(source)

    def get_name(self, suffix: str | None = None, *, name: str | None = None) -> str:
        """``<guard>.wrap``, unless it was named otherwise."""
        return super().get_name(suffix, name=name or self.name or f"{self.guard.get_name()}.wrap")

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """Those of the guard and of what is bound."""
        return get_unique_config_specs([*self.guard.config_specs, *self.bound.config_specs])


def _config(session: Session, call: Call) -> RunnableConfig:
    """The config for what is wrapped: a child of the guard's run, with the session's handlers."""
    config = call.child()
    if not session.callbacks:
        return config
    return merge_configs(patch_config(config), {"callbacks": list(session.callbacks)})
