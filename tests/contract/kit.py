"""What the tests of wrapped models share: the models, what they say, every way to call one, and who listens.

A check that finds no leak proves nothing until it has found one: `holds` runs each check on the plain model too and
demands that it fails there. A secret is streamed in pieces of three characters, so nothing finds it that does not join
the pieces of each text first; `told` does.
"""

from __future__ import annotations

import functools
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models._compat_bridge import chunks_to_events
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from typing_extensions import override

from langchain_guard.testing import Call, Reply, ScriptedChatModel, ScriptedServer
from support import chat_openai, collect, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

SECRET, MARK = "SECRET-1234", "[X]"
TEXT = f"Hello there, the code is {SECRET} and the other one is SECRET-5678. Bye."
GUARDED = "Hello there, the code is [X] and the other one is [X]. Bye."
NOTE, GUARDED_NOTE = f"it is {SECRET} ok", "it is [X] ok"
USAGE = 12


class Answer(BaseModel):
    """An answer."""

    answer: str
    n: int


@tool
def save(note: str) -> str:
    """Save a note."""
    return f"saved {note}"


# -- what the models say


def reply(asked: str) -> Reply:
    """The answer to a question, by a word in it; a tool's result is answered with the text."""
    if "call save" in asked:
        return Reply(tool_calls=[Call("save", {"note": NOTE}, piece=4)])
    if "call Answer" in asked:
        return Reply(tool_calls=[Call("Answer", {"answer": NOTE, "n": 1}, piece=4)])
    if "as json" in asked:
        return Reply.every(3, f'{{"answer": "{NOTE}", "n": 1}}')
    return Reply.every(3, TEXT)


def served(request: Any) -> Reply:
    """`reply` for a server's request."""
    return reply(request.text)


def said(messages: list[Any]) -> Reply:
    """`reply` for a model's messages."""
    return reply(messages[-1].text)


# -- the models


class Whole(BaseChatModel):
    """A model that does not stream."""

    answers: Any = said
    calls: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return "whole"

    @override
    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[convert_to_openai_tool(each) for each in tools], **kwargs)

    @override
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        self.calls.append(messages)
        message = ScriptedChatModel(self.answers)._generate(messages).generations[0].message
        return ChatResult(generations=[ChatGeneration(message=message)])


class GenerateStreams(ScriptedChatModel):
    """A model whose ``_generate`` calls its own ``_stream``, as Groq's and Ollama's do."""

    @override
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, run_manager, **kwargs))

    @override
    async def _agenerate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return self._generate(messages, stop, run_manager and run_manager.get_sync(), **kwargs)


class NativeEvents(ScriptedChatModel):
    """A model that makes the events of protocol v3 itself, past its ``_stream``."""

    def _stream_chat_model_events(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[Any]:
        yield from chunks_to_events(super()._stream(messages, stop, **kwargs), message_id="m1")

    async def _astream_chat_model_events(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Any:
        for event in chunks_to_events(super()._stream(messages, stop, **kwargs), message_id="m1"):
            yield event


FAKES: dict[str, Callable[..., Any]] = {
    "streams": functools.partial(ScriptedChatModel, said),
    "whole": Whole,
    "generate-streams": functools.partial(GenerateStreams, said),
    "native-events": functools.partial(NativeEvents, said),
}
OPENAI: dict[str, dict[str, Any]] = {"chat": {}, "responses": {"use_responses_api": True}}
MODELS = (*OPENAI, *FAKES)
STREAMING = tuple(name for name in MODELS if name != "whole")


def build(name: str, server: ScriptedServer, **settings: Any) -> Any:
    """A model of one of the `MODELS`."""
    if name in OPENAI:
        return chat_openai(server, **OPENAI[name], **settings)
    return FAKES[name](**settings)


# -- every way to call a model; each gives everything that its caller sees, and the text of the answer


def beta_allowed(way: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(way)
    def quiet(*args: Any, **kwargs: Any) -> Any:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".*v3|.*`load`", LangChainBetaWarning)
            return way(*args, **kwargs)

    return quiet


def _added(chunks: list[Any]) -> Any:
    return functools.reduce(lambda a, b: a + b, chunks)


def _invoke(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    message = model.invoke(asked, config)
    return [message], message


def _ainvoke(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    message = run(model.ainvoke(asked, config))
    return [message], message


def _batch(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    messages = model.batch([asked, asked, asked], {**config, "max_concurrency": 2})
    return messages, messages[-1]


def _abatch(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    messages = run(model.abatch([asked, asked, asked], {**config, "max_concurrency": 2}))
    return messages, messages[-1]


def _stream(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    chunks = list(model.stream(asked, config))
    return chunks, _added(chunks)


def _astream(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    chunks = run(collect(model.astream(asked, config)))
    return chunks, _added(chunks)


def _generate(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    result = model.generate([[HumanMessage(asked)]], callbacks=config.get("callbacks"))
    return [result], result.generations[0][0].message


def _agenerate(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    result = run(model.agenerate([[HumanMessage(asked)]], callbacks=config.get("callbacks")))
    return [result], result.generations[0][0].message


@beta_allowed
def stream_events_v3(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    stream = model.stream_events(asked, config, version="v3")
    return list(stream), stream.output


@beta_allowed
def astream_events_v3(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    async def work() -> tuple[list[Any], Any]:
        stream = await model.astream_events(asked, config, version="v3")
        return [event async for event in stream], await stream.output

    return run(work())


def astream_events_v2(model: Any, asked: Any, config: Any) -> tuple[list[Any], Any]:
    events = run(collect(model.astream_events(asked, config, version="v2")))
    return by_run(events), [e for e in events if e["event"] == "on_chat_model_end"][-1]["data"]["output"]


WAYS: dict[str, Callable[[Any, Any, Any], tuple[list[Any], Any]]] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "batch": _batch,
    "abatch": _abatch,
    "stream": _stream,
    "astream": _astream,
    "generate": _generate,
    "agenerate": _agenerate,
    "stream_events_v3": stream_events_v3,
    "astream_events_v3": astream_events_v3,
    "astream_events_v2": astream_events_v2,
}
WITH_CONFIG = tuple(way for way in WAYS if "generate" not in way)
"""The ways that take a config; ``generate`` takes callbacks only."""
EVERY_CALL = [(name, way) for name in MODELS for way in WAYS if name != "whole" or "v3" not in way]
"""A model that does not stream has no events of protocol v3, wrapped or not."""
CALLS = {"batch": 3, "abatch": 3}
"""How often a way calls the model, when that is not once."""


def by_run(events: Iterable[Any]) -> list[Any]:
    """Events of ``astream_events`` v2 in an order that keeps the chunks of each run together."""
    groups: dict[Any, list[Any]] = defaultdict(list)
    for event in events:
        groups[event["run_id"], event["event"]].append(event["data"])
    return list(groups.values())


# -- who listens


class Listener(BaseCallbackHandler):
    """Keeps everything that a callback handler is told of a model's answers; an error in it is an error of the test."""

    raise_error = True
    run_inline = True

    def __init__(self) -> None:
        self.tokens: list[Any] = []
        self.chunks: list[Any] = []
        self.ends: list[Any] = []
        self.events: list[Any] = []
        self.customs: list[Any] = []
        self.custom_runs: list[Any] = []
        self.errors: list[BaseException] = []
        self.partials: list[Any] = []
        self.started: list[dict[str, Any]] = []
        self.inputs: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        self.started.append({"serialized": serialized, **kwargs})
        self.inputs.append(messages)

    def on_llm_start(self, serialized: Any, prompts: Any, **kwargs: Any) -> None:
        self.started.append({"serialized": serialized, **kwargs})
        self.inputs.append(prompts)

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.tokens.append({"token": token})
        self.chunks.append(chunk)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.ends.append(response)

    def on_llm_error(self, error: BaseException, *, response: Any = None, **kwargs: Any) -> None:
        self.errors.append(error)
        self.partials.append(response)

    def on_stream_event(self, event: Any, **kwargs: Any) -> None:
        self.events.append(event)

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.customs.append(data)
        self.custom_runs.append(run_id)

    def heard(self) -> list[list[Any]]:
        """Everything, in groups that can be joined."""
        return [self.tokens, self.chunks, self.ends, self.events, self.customs, self.errors, self.partials]


# -- what was told


def told(values: Any) -> dict[str, str]:
    """The texts in values, joined by the name of the field that they stand in, in order."""
    joined: dict[str, str] = defaultdict(str)

    def walk(value: Any, name: str) -> None:
        if isinstance(value, BaseModel):
            # `text` of a generation is a copy made when it was built, so it is a field like the others
            value = {**value.__dict__, **(value.__pydantic_extra__ or {})}
        if isinstance(value, str):
            joined[name] += value
        elif isinstance(value, dict):
            for key, item in value.items():
                walk(key, f"{name}:keys")
                walk(item, str(key))
        elif isinstance(value, (list, tuple, set)):
            for item in value:
                walk(item, name)
        elif isinstance(value, BaseException):
            joined["error"] += f"{value!r} {value.__dict__!r}"

    walk(values, "")
    return joined


def assert_untold(*groups: Any) -> None:
    """No text of any group holds a secret, joined or printed."""
    for group in groups:
        leaks = {name for name, text in told(group).items() if "SECRET-" in text}
        assert not leaks, f"a secret stands in {leaks}"
        assert "SECRET-" not in repr(group)


def holds(check: Callable[[Any], None], guarded: Any, plain: Any) -> None:
    """`check` passes on the guarded model, and finds something on the plain one: so it can find something."""
    check(guarded)
    with pytest.raises(AssertionError):
        check(plain)


def texts(message: AIMessage) -> str:
    """The text of a message."""
    return str(message.text)
