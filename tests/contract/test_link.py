"""The contract of every guard as a link of a chain: one body, run over all of them.

What it costs when broken: a request that fails, a stream that stalls, a message without its id, a trace with a secret.
"""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.runnables import (
    ConfigurableField,
    RunnableGenerator,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
    RunnableSequence,
)
from pydantic import Field
from subjects import SUBJECTS, named

from langchain_guard import ConfigError, Identity, collect_verdicts
from langchain_guard.runnable import Guard

pytestmark = pytest.mark.parametrize("subject", SUBJECTS, ids=named)

USAGE = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
CLEAN = "the quick brown fox jumps over the lazy dog and sleeps all day"


def answer() -> AIMessage:
    return AIMessage(
        CLEAN,
        id="m1",
        name="bot",
        usage_metadata=USAGE,
        response_metadata={"finish_reason": "stop"},
        additional_kwargs={"k": "v"},
        tool_calls=[],
    )


def pieces(text: str = CLEAN) -> list[AIMessageChunk]:
    words = [AIMessageChunk(content=f"{word} ", id="m1") for word in text.split(" ")]
    last = AIMessageChunk(
        content="", id="m1", usage_metadata=USAGE, response_metadata={"finish_reason": "stop"}, chunk_position="last"
    )
    return [*words, last]


def total(chunks: Any) -> Any:
    chunks = list(chunks)
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole = whole + chunk
    return whole


async def acollect(stream: Any) -> list[Any]:
    return [chunk async for chunk in stream]


class Source:
    """An iterator that counts what was pulled and knows whether it was closed."""

    def __init__(self, chunks: list[Any]) -> None:
        self.chunks, self.pulled, self.closed = chunks, 0, False

    def sync(self) -> Any:
        try:
            for chunk in self.chunks:
                self.pulled += 1
                yield chunk
        finally:
            self.closed = True

    async def asynchronous(self) -> Any:
        try:
            for chunk in self.chunks:
                self.pulled += 1
                yield chunk
        finally:
            self.closed = True


class Listener(BaseCallbackHandler):
    raise_error = True

    def __init__(self) -> None:
        self.started: list[dict[str, Any]] = []
        self.ended: list[Any] = []
        self.failed: list[Any] = []
        self.events: list[Any] = []
        self.seen: list[str] = []

    def on_chain_start(
        self, serialized, inputs, *, run_id, parent_run_id=None, name=None, tags=None, metadata=None, **_
    ):
        self.started.append(
            {"name": name, "id": run_id, "parent": parent_run_id, "tags": tags, "metadata": metadata, "inputs": inputs}
        )

    def on_chain_end(self, outputs, *, run_id, **_):
        self.ended.append(run_id)
        self.seen.append(repr(outputs))

    def on_chain_error(self, error, *, run_id, **_):
        self.failed.append(run_id)
        self.seen.append(repr(error))

    def on_custom_event(self, name, data, *, run_id, **_):
        self.events.append((name, data, run_id))
        self.seen.append(repr(data))

    def run(self, name: str) -> dict[str, Any]:
        (run,) = [started for started in self.started if started["name"] == name]
        return run


VALUES = [
    "hello there",
    {"question": "hello there", "k": 3, "history": [HumanMessage("hi")]},
    ChatPromptValue(messages=[SystemMessage("s"), HumanMessage("hello", id="h1")]),
    StringPromptValue(text="hello"),
    [SystemMessage("s"), HumanMessage("hello", id="h1")],
    HumanMessage(content=[{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]),
    [Document(page_content="hello", metadata={"source": "a"}), Document(page_content="world")],
    answer(),
    AIMessage("", tool_calls=[{"name": "search", "args": {"q": "weather"}, "id": "c1", "type": "tool_call"}]),
    "",
    [],
    {},
    None,
    7,
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_clean_goes_on_as_the_same_object_by_every_way_in(subject, value):
    guard = subject.make()
    assert guard.invoke(value) is value
    assert asyncio.run(guard.ainvoke(value)) is value
    assert all(a is value for a in guard.batch([value, value]))
    assert all(a is value for a in asyncio.run(guard.abatch([value, value])))
    streamed = [total(guard.stream(value)), total(asyncio.run(acollect(guard.astream(value))))]
    assert all(whole == value if isinstance(value, str) else whole is value for whole in streamed)
    assert guard.check(value).action == "allow"


def test_messages_keep_everything(subject):
    message = (RunnableLambda(lambda _: answer()) | subject.make()).invoke("x")
    assert message.model_dump() == answer().model_dump()


def test_a_stream_flows_chunk_by_chunk_and_adds_up(subject):
    if subject.judges == "input":  # it judges what the user says; a model's chunks run through
        assert subject.make().invoke(answer()) == answer()
    guard, source = subject.make(), Source(pieces())
    stream = guard.transform(source.sync())
    first = next(stream)
    assert source.pulled <= 2
    whole = total([first, *stream])
    assert whole == total(pieces())
    assert (whole.id, whole.usage_metadata, whole.chunk_position) == ("m1", USAGE, "last")
    assert len(list(guard.transform(iter(pieces())))) >= len(pieces()) - 2


def test_an_asynchronous_stream_flows_chunk_by_chunk(subject):
    async def go() -> Any:
        source = Source(pieces())
        stream = subject.make().atransform(source.asynchronous())
        first = await anext(stream)
        pulled = source.pulled
        return pulled, total([first, *await acollect(stream)])

    pulled, whole = asyncio.run(go())
    assert pulled <= 2
    assert whole == total(pieces())


def test_tool_call_pieces_stay_pieces(subject):
    call = {"query": "weather in Paris", "n": 3}
    raw = json.dumps(call)
    cut = [raw[i : i + 5] for i in range(0, len(raw), 5)]
    chunks = [
        AIMessageChunk(
            content="",
            id="m1",
            tool_call_chunks=[
                {
                    "name": "search" if not i else None,
                    "args": part,
                    "id": "c1" if not i else None,
                    "index": 0,
                    "type": "tool_call_chunk",
                }
            ],
        )
        for i, part in enumerate(cut)
    ]
    out = list(subject.make().transform(iter([*chunks, AIMessageChunk(content="", id="m1", chunk_position="last")])))
    assert [(c["name"], c["args"], c["id"]) for c in total(out).tool_calls] == [("search", call, "c1")]
    if subject.judges != "calls":  # which holds a call until it has judged the whole of it
        assert len([chunk for chunk in out if chunk.tool_call_chunks]) > 1


def test_leaving_a_stream_closes_its_source(subject):
    source = Source(pieces())
    stream = subject.make().transform(source.sync())
    next(stream)
    stream.close()
    assert source.closed
    assert source.pulled <= 3


def test_leaving_an_asynchronous_stream_closes_its_source(subject):
    async def go() -> Source:
        source = Source(pieces())
        stream = subject.make().atransform(source.asynchronous())
        await anext(stream)
        await stream.aclose()
        return source

    source = asyncio.run(go())
    assert source.closed
    assert source.pulled <= 3


def test_cancelling_a_task_closes_the_source(subject):
    async def go() -> bool:
        closed = False

        async def endless() -> Any:
            nonlocal closed
            try:
                yield AIMessageChunk(content="one ", id="m1")
                await asyncio.Event().wait()
            finally:
                closed = True

        task = asyncio.create_task(acollect(subject.make().atransform(endless())))
        for _ in range(20):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return closed

    assert asyncio.run(go())


def test_a_models_error_keeps_its_type(subject):
    class Overloaded(Exception):
        pass

    def fail(_: Any) -> Any:
        raise Overloaded("busy")

    def fail_midway(_: Any) -> Any:
        yield AIMessageChunk(content="one ")
        raise Overloaded("busy")

    with pytest.raises(Overloaded):
        (RunnableLambda(fail) | subject.make()).invoke("x")
    with pytest.raises(Overloaded):
        list((RunnableGenerator(fail_midway) | subject.make()).stream("x"))


def test_it_has_a_run_of_its_own_under_its_name(subject):
    guard, listener = subject.make(), Listener()
    chain = RunnableLambda(lambda x: x) | guard
    chain.invoke("hello", {"callbacks": [listener], "tags": ["T"], "metadata": {"k": 1}})
    run = listener.run(guard.get_name())
    root = next(started for started in listener.started if started["parent"] is None)
    assert run["parent"] == root["id"]
    assert "T" in run["tags"]
    assert run["metadata"]["k"] == 1
    assert listener.ended.count(run["id"]) == 1
    assert run["inputs"] == {"type": "str", "length": 5}


def test_its_run_ends_once_in_streams_and_when_left(subject):
    for consume in (list, lambda stream: (next(stream), stream.close())):
        guard, listener = subject.make(), Listener()
        consume(guard.transform(iter(pieces()), {"callbacks": [listener]}))
        assert (len(listener.started), len(listener.ended), listener.failed) == (1, 1, [])


def test_full_traces_are_a_choice(subject):
    guard, listener = subject.make().model_copy(update={"trace": "full"}), Listener()
    guard.invoke("hello", {"callbacks": [listener]})
    assert listener.started[0]["inputs"] == "hello"


def test_run_name_and_bind(subject):
    listener = Listener()
    subject.make().bind().with_config(run_name="door").invoke("hello", {"callbacks": [listener]})
    assert [started["name"] for started in listener.started] == ["door"]


def test_every_decision_is_an_event_of_its_own_run_and_collected(subject):
    guard, listener = subject.make(), Listener()
    with collect_verdicts() as verdicts:
        guard.invoke("hello", {"callbacks": [listener]})
    assert [verdict.action for verdict in verdicts] == ["allow"]
    assert [(name, data["guard"], run) for name, data, run in listener.events] == [
        ("langchain_guard.verdict", guard.get_name(), listener.started[0]["id"])
    ]
    assert listener.events[0][1] == verdicts[0].payload()


def test_verdicts_are_collected_from_batches_tasks_and_streams(subject):
    guard = subject.make()
    with collect_verdicts() as verdicts:
        guard.batch(["a", "b", "c"])
        asyncio.run(guard.abatch(["a", "b"]))
        list(guard.stream("a"))
    assert len(verdicts) == 6
    guard.invoke("outside")
    assert len(verdicts) == 6


def test_events_arrive_in_astream_events(subject):
    async def go() -> list[Any]:
        chain = RunnableLambda(lambda x: x) | subject.make()
        return [event async for event in chain.astream_events("hello", version="v2")]

    events = asyncio.run(go())
    assert [e["name"] for e in events if e["event"] == "on_custom_event"] == ["langchain_guard.verdict"]
    assert subject.make().get_name() in {e["name"] for e in events if e["event"] == "on_chain_start"}


def test_it_composes_like_any_runnable(subject):
    guard = subject.make()
    before = dict(vars(guard))
    chain = (lambda x: f"{x}!") | guard | RunnableLambda(lambda x: x.upper())
    assert isinstance(chain, RunnableSequence)
    assert vars(guard) == before
    assert chain.invoke("hello") == "HELLO!"
    assert RunnableParallel(a=guard, b=RunnablePassthrough()).invoke("hi") == {"a": "hi", "b": "hi"}
    assert guard.map().invoke(["one", "two"]) == ["one", "two"]
    assert RunnablePassthrough.assign(y=(lambda d: d["q"]) | guard).invoke({"q": "hi"}) == {"q": "hi", "y": "hi"}
    assert guard.with_retry().invoke("hi") == "hi"
    assert guard.with_fallbacks([RunnableLambda(lambda _: "other")]).invoke("hi") == "hi"
    assert guard.get_name() in chain.get_graph().draw_mermaid()
    for schema in (chain.get_input_jsonschema(), chain.get_output_jsonschema(), guard.get_config_jsonschema()):
        assert schema


def test_dicts_stream_key_by_key(subject):
    def speak(_: Any) -> Any:
        yield "one "
        yield "two"

    chain = RunnablePassthrough.assign(answer=RunnableGenerator(speak)) | subject.make()
    assert total(chain.stream({"q": "hi"})) == {"q": "hi", "answer": "one two"}


def test_it_is_configurable_and_keeps_its_setting(subject):
    name, other = subject.field
    guard = subject.make()
    configurable = guard.configurable_fields(**{name: ConfigurableField(id="setting")})
    assert configurable.with_config(configurable={"setting": other}).invoke("hello") == "hello"
    alternatives = guard.configurable_alternatives(
        ConfigurableField(id="g"), default_key="on", off=RunnablePassthrough()
    )
    assert alternatives.with_config(configurable={"g": "off"}).invoke("hello") == "hello"


def test_a_wrong_setting_is_a_config_error_wherever_it_comes_from(subject):
    name, _ = subject.field
    wrong = object()
    with pytest.raises(ConfigError, match=name):
        type(subject.make())(**{name: wrong})
    configurable = subject.make().configurable_fields(**{name: ConfigurableField(id="setting")})
    with pytest.raises(ConfigError, match=name):
        configurable.with_config(configurable={"setting": wrong}).invoke("hello")


def test_an_unknown_keyword_is_a_config_error_that_names_the_known_ones(subject):
    with pytest.raises(ConfigError, match=rf"no argument 'colour'; it has .*{subject.field[0]}"):
        type(subject.make())(colour="red")


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_copies_behave_alike(subject):
    guard = subject.make()
    copies = [
        copy.copy(guard),
        copy.deepcopy(guard),
        guard.model_copy(),
        pickle.loads(pickle.dumps(guard)),
        load(dumpd(guard), allowed_objects=[type(guard)], valid_namespaces=[dumpd(guard)["id"][0]]),
    ]
    for again in copies:
        assert type(again) is type(guard)
        assert again.invoke("hello") == "hello"
        assert getattr(again, subject.field[0]) == getattr(guard, subject.field[0])
        if subject.bad:
            assert again.check(subject.bad).action == guard.check(subject.bad).action


def test_its_repr_is_short_and_stable(subject):
    shown = repr(subject.make())
    assert shown.startswith(type(subject.make()).__name__)
    assert len(shown) < 400
    assert " at 0x" not in shown


def test_its_repr_keeps_what_a_field_keeps(subject):
    class Quiet(type(subject.make())):
        whisper: str = Field(default="", repr=False)

    given = {name: getattr(subject.make(), name) for name in type(subject.make()).model_fields}
    assert "psst" not in repr(Quiet(**given, whisper="psst"))


def test_threads_and_tasks_do_not_mix(subject):
    guard = subject.make()
    texts = [f"user {i} says hello" for i in range(32)]
    assert guard.batch(texts, {"max_concurrency": 8}) == texts
    assert asyncio.run(guard.abatch(texts)) == texts
    listeners = [Listener() for _ in texts]
    guard.batch(texts, [{"callbacks": [listener], "metadata": {"i": i}} for i, listener in enumerate(listeners)])
    assert [[s["metadata"]["i"] for s in listener.started] for listener in listeners] == [[i] for i in range(32)]


def test_guards_of_one_kind_are_equal_when_configured_alike(subject):
    assert isinstance(subject.make(), Guard)
    assert dumpd(subject.make()) == dumpd(subject.make())


@pytest.mark.parametrize("form", ["link", "wrap"])
def test_who_calls_is_in_no_trace(subject, form):
    """LangChain copies plain values of ``configurable`` into the metadata of every run; an Identity is none."""
    guard, listener = subject.make(), Listener()
    caller = Identity(user="who-calls-7", ip="198.51.100.77", tier="pro", scopes={"orders:read"}).config()
    chain = guard if form == "link" else guard.wrap(RunnableLambda(lambda x: x))
    chain.invoke(CLEAN, {**caller, "callbacks": [listener]})
    list(chain.stream(CLEAN, {**caller, "callbacks": [listener]}))
    assert len(listener.started) >= 2
    told = repr((listener.started, listener.seen))
    assert [name for name in ("who-calls-7", "198.51.100.77", "orders:read") if name in told] == []
