"""What the package's Runnables share: streaming by transforming, and standing around another Runnable."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import Runnable, RunnableSerializable
from pydantic import ConfigDict, SerializeAsAny

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.runnables import RunnableConfig
    from langchain_core.runnables.graph import Graph
    from langchain_core.runnables.utils import ConfigurableFieldSpec


class ByTransform(RunnableSerializable[Any, Any]):
    """A Runnable that streams one value as it transforms a stream of one."""

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002
        """As `transform` of one value."""
        yield from self.transform(iter((input,)), config, **kwargs)

    async def astream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002
        """As `atransform` of one value."""

        async def one() -> AsyncIterator[Any]:
            yield input

        async with aclosing(self.atransform(one(), config, **kwargs)) as chunks:  # type: ignore[type-var]
            async for chunk in chunks:
                yield chunk

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It dumps as its fields; load it with ``allowed_objects=[...], valid_namespaces=["langchain_guard"]``."""
        return True


class Around(ByTransform):
    """A Runnable around another, which describes itself as what it stands around."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    bound: SerializeAsAny[Runnable[Any, Any]]

    @property
    def InputType(self) -> Any:  # noqa: N802
        """What is bound takes it."""
        return self.bound.InputType

    @property
    def OutputType(self) -> Any:  # noqa: N802
        """What is bound returns it."""
        return self.bound.OutputType

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        """The schema of what is bound."""
        return self.bound.get_input_schema(config)

    def get_output_schema(self, config: RunnableConfig | None = None) -> Any:
        """The schema of what is bound."""
        return self.bound.get_output_schema(config)

    def get_graph(self, config: RunnableConfig | None = None) -> Graph:
        """The graph of what is bound."""
        return self.bound.get_graph(config)

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """Those of what is bound."""
        return self.bound.config_specs
