"""The seams of retrievers and tools, whose answers go into a model's context."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from langchain_core.messages import ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig  # noqa: TC002  # LangChain reads the annotations of _run
from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools.base import _get_runnable_config_param

from langchain_guard.seam import Seam, Sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_core.documents import Document


class RetrieverSeam(Seam):
    """The seam of retrievers: a query goes in, a list of Documents comes out."""

    _guard_root = BaseRetriever

    def _get_relevant_documents(self, query: str, *, run_manager: Any, **kwargs: Any) -> list[Document]:
        with Sessions(self, run_manager) as sessions:
            query, plain = sessions.open(query), self._guard_plain()
            found = plain._get_relevant_documents(query, **_taken(plain, run_manager, kwargs))
            return sessions.whole(found)  # type: ignore[no-any-return]

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any, **kwargs: Any) -> list[Document]:
        async with Sessions(self, run_manager) as sessions:
            query, plain = await sessions.aopen(query), self._guard_plain()
            found = await plain._aget_relevant_documents(query, **_taken(plain, run_manager, kwargs))
            return await sessions.awhole(found)  # type: ignore[no-any-return]

    def invoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As the retriever's."""
        call = self._guard_call(config)
        return super(RetrieverSeam, call).invoke(input, call._guard_config, **kwargs)  # type: ignore[misc]

    async def ainvoke(self, input: str, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002
        """As the retriever's."""
        call = self._guard_call(config)
        return await super(RetrieverSeam, call).ainvoke(input, call._guard_config, **kwargs)  # type: ignore[misc]


def _taken(plain: Any, run_manager: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """What a retriever's own method takes of what LangChain offers; a run manager, since it may have children."""
    given = kwargs if plain._expects_other_args else {}
    return {**given, "run_manager": run_manager} if plain._new_arg_supported else given


class ToolSeam(Seam):
    """The seam of tools: validated arguments go in, what the tool answers comes out.

    The arguments that LangChain injects (state, stores, ids) are none of a guard's business.
    """

    _guard_root = BaseTool

    def _run(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
        plain, call = self._guard_plain(), self._guard_call(config)
        with Sessions(call, run_manager) as sessions:
            args, kwargs = _arguments(args, kwargs, sessions.open(_value(self._guard_arguments, args, kwargs)))
            try:
                answer = plain._run(*args, **kwargs, **_offered(plain._run, config, run_manager))
            except ToolException as error:
                told = sessions.whole(error.args)
                if told is error.args:
                    raise
                failure = type(error)(*told)
            else:
                return _unpacked(plain, answer, sessions.whole(_packed(plain, answer)))
            raise failure  # outside of the handler: the cause holds the text

    async def _arun(self, *args: Any, config: RunnableConfig, run_manager: Any = None, **kwargs: Any) -> Any:
        plain, call = self._guard_plain(), self._guard_call(config)
        async with Sessions(call, run_manager) as sessions:
            args, kwargs = _arguments(args, kwargs, await sessions.aopen(_value(self._guard_arguments, args, kwargs)))
            method = plain._run if type(plain)._arun is BaseTool._arun else plain._arun
            try:
                answer = await plain._arun(*args, **kwargs, **_offered(method, config, run_manager))
            except ToolException as error:
                told = await sessions.awhole(error.args)
                if told is error.args:
                    raise
                failure = type(error)(*told)
            else:
                return _unpacked(plain, answer, await sessions.awhole(_packed(plain, answer)))
            raise failure

    @functools.cached_property
    def _guard_arguments(self) -> frozenset[str]:
        """The names of the arguments that a model chooses."""
        return frozenset(self._guard_plain().args)

    def get_input_schema(self, config: RunnableConfig | None = None) -> Any:
        """The tool's own: LangChain reads it off the signature of ``_run``, which is the seam's."""
        return self._guard_plain().get_input_schema(config)


def _offered(method: Callable[..., Any], config: RunnableConfig, run_manager: Any) -> dict[str, Any]:
    """What a tool's own method takes of what LangChain offers."""
    offered: dict[str, Any] = {}
    if "run_manager" in inspect.signature(method).parameters:
        offered["run_manager"] = run_manager
    if name := _get_runnable_config_param(method):
        offered[name] = config
    return offered


def _value(names: frozenset[str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a guard sees of the arguments: those that the model chose, or the one text of a tool that takes a text."""
    return args[0] if args else {name: value for name, value in kwargs.items() if name in names}


def _arguments(args: tuple[Any, ...], kwargs: dict[str, Any], value: Any) -> Any:
    """The arguments as the guards left them."""
    return ((value, *args[1:]), kwargs) if args else (args, {**kwargs, **value})


def _packed(plain: Any, answer: Any) -> Any:
    """A tool's answer as guards judge it: by a tool, if it has texts in the form of a message."""
    content, artifact = answer if _in_two_parts(plain, answer) else (answer, None)
    if isinstance(content, str) or (isinstance(content, list) and all(isinstance(b, (str, dict)) for b in content)):
        return ToolMessage(content=content, artifact=artifact, tool_call_id="", name=plain.name)
    return answer


def _unpacked(plain: Any, answer: Any, judged: Any) -> Any:
    if not isinstance(judged, ToolMessage) or isinstance(answer, ToolMessage):
        return judged
    if _in_two_parts(plain, answer):
        return judged.content, judged.artifact
    return judged.content


def _in_two_parts(plain: Any, answer: Any) -> bool:
    return plain.response_format == "content_and_artifact" and isinstance(answer, tuple) and len(answer) == 2
