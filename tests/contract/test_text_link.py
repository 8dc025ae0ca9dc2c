"""The contract of guards that judge the text of an answer: by every way in the same judgement, and nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, HumanMessageChunk, SystemMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.runnables import AddableDict, RunnableGenerator, RunnableLambda, RunnablePassthrough
from pydantic import BaseModel
from small_guards import Redact
from subjects import OUTPUT, named
from test_link import Listener, Source, acollect, total

from langchain_guard import GuardUnavailable, OutputBlocked, Refused, collect_verdicts
from langchain_guard.testing import Reply, ScriptedChatModel
from langchain_guard.values import read

every = pytest.mark.parametrize("subject", OUTPUT, ids=named)
blocking = pytest.mark.parametrize("subject", [s for s in OUTPUT if s.does == "block"], ids=named)
redacting = pytest.mark.parametrize("subject", [s for s in OUTPUT if s.does == "redact"], ids=named)


class Note(BaseModel):
    text: str


def outcome(work: Any) -> Any:
    """What a call gives: a value, or the type of the refusal."""
    try:
        return work()
    except Refused as refused:
        return type(refused)


def joined(chunks: Any) -> str:
    return "".join(chunk if isinstance(chunk, str) else str(chunk.text) for chunk in chunks)


@every
def test_every_way_in_gives_the_same_judgement(subject):
    guard, text = subject.make(), f"see {subject.bad} ok"
    wanted = outcome(lambda: guard.invoke(text))
    assert wanted is OutputBlocked if subject.does == "block" else subject.raw not in wanted
    assert outcome(lambda: asyncio.run(guard.ainvoke(text))) == wanted
    assert outcome(lambda: guard.batch([text])[0]) == wanted
    assert outcome(lambda: asyncio.run(guard.abatch([text]))[0]) == wanted
    assert outcome(lambda: "".join(guard.stream(text))) == wanted
    assert outcome(lambda: "".join(asyncio.run(acollect(guard.astream(text))))) == wanted
    assert outcome(lambda: "".join(guard.transform(iter(text)))) == wanted


@every
def test_check_says_what_invoke_does(subject):
    guard, text = subject.make(), f"see {subject.bad} ok"
    with collect_verdicts() as verdicts:
        outcome(lambda: guard.invoke(text))
    verdict = guard.check(text)
    assert [verdict] == verdicts
    assert verdict.action == subject.does
    assert asyncio.run(guard.acheck(text)) == verdict
    finding = verdict.findings[0]
    assert text[finding.start : finding.end] == subject.bad
    assert subject.raw not in repr(verdict)


@every
def test_one_bad_item_of_a_batch_does_not_spoil_the_others(subject):
    results = subject.make().batch(["good one", f"see {subject.bad}", "good two"], return_exceptions=True)
    assert (results[0], results[2]) == ("good one", "good two")
    assert isinstance(results[1], OutputBlocked) or subject.raw not in results[1]


def secret_message(bad: str) -> AIMessage:
    args = {"body": f"hello {bad} bye", "n": 1}
    return AIMessage(
        content=[{"type": "reasoning", "reasoning": f"hmm {bad} hmm"}, {"type": "text", "text": f"see {bad} ok"}],
        id="m1",
        tool_calls=[{"name": "send", "args": args, "id": "c1", "type": "tool_call"}],
        additional_kwargs={"tool_calls": [{"id": "c1", "function": {"name": "send", "arguments": json.dumps(args)}}]},
    )


@every
def test_a_value_is_guarded_in_every_place_of_a_message(subject):
    result = outcome(lambda: subject.make().invoke(secret_message(subject.bad)))
    if subject.does == "block":
        assert result is OutputBlocked
        return
    assert subject.raw not in repr(result.model_dump())
    assert [block["type"] for block in result.content] == ["reasoning", "text"]
    assert result.tool_calls[0]["args"]["n"] == 1
    assert len(read(result)) == len(read(secret_message(subject.bad)))


def chunks_of(bad: str, cut: int) -> list[AIMessageChunk]:
    """A message with reasoning, text and a tool call, streamed in pieces of `cut` characters."""

    def parts(text: str) -> list[str]:
        return [text[i : i + cut] for i in range(0, len(text), cut)]

    message = secret_message(bad)
    out = []
    for index, block in enumerate(message.content):
        field = "reasoning" if block["type"] == "reasoning" else "text"
        out += [
            AIMessageChunk(content=[{"type": block["type"], field: part, "index": index}], id="m1")
            for part in parts(block[field])
        ]
    for i, part in enumerate(parts(json.dumps(message.tool_calls[0]["args"]))):
        first = {"name": "send", "id": "c1"} if not i else {"name": None, "id": None}
        call = {**first, "args": part, "index": 0, "type": "tool_call_chunk"}
        out.append(AIMessageChunk(content="", tool_call_chunks=[call], id="m1"))
    return [*out, AIMessageChunk(content="", id="m1", chunk_position="last")]


@every
@pytest.mark.parametrize("cut", [1, 2, 3, 5, 8, 100])
def test_a_streamed_message_is_guarded_in_every_channel(subject, cut):
    got: list[Any] = []
    try:
        for chunk in subject.make().transform(iter(chunks_of(subject.bad, cut))):
            assert not got or got[-1].chunk_position != "last"
            got.append(chunk)
    except OutputBlocked:
        assert subject.does == "block"
    flat = "".join(s.text for s in read(got)) + repr([c.model_dump() for c in got])
    assert subject.raw not in flat
    assert subject.raw not in repr(total(got).model_dump())
    if subject.does == "redact":
        whole = total(got)
        wanted = subject.make().invoke(secret_message(subject.bad))
        assert [dict(b, index=i) for i, b in enumerate(wanted.content)] == whole.content
        assert whole.tool_calls[0]["args"] == wanted.tool_calls[0]["args"]
        assert (whole.tool_calls[0]["name"], whole.tool_calls[0]["id"], whole.id) == ("send", "c1", "m1")


@every
@pytest.mark.parametrize(
    "place",
    [
        lambda bad: {"response_metadata": {"said": {"text": bad}}},
        lambda bad: {"response_metadata": {f"a {bad} b": 1}},
        lambda bad: {"additional_kwargs": {f"a {bad} b": "x"}},
        lambda bad: {"additional_kwargs": {"seen": {f"a {bad} b": [{"index": 0, "text": "x"}]}}},
        lambda bad: {"content": [{"type": "text", "text": "x", "index": 0, f"a {bad} b": 1}]},
        lambda bad: {"unknown": f"a {bad} b"},
        lambda bad: {f"a {bad} b": 1},
        lambda bad: {"unknown": bad, "tool_call_chunks": [{"name": "f", "args": "{}", "id": "1", "index": 0}]},
    ],
)
def test_a_streamed_message_is_guarded_beside_its_texts(subject, place):
    guard, chunks = subject.make(), [AIMessageChunk(**{"content": "", **place(subject.bad)}, id="m") for _ in range(2)]
    with collect_verdicts() as verdicts:
        shown = outcome(lambda: list(guard.transform(iter(chunks))))
    assert shown is OutputBlocked if subject.does == "block" else shown
    assert subject.raw not in repr(shown) + repr(verdicts)
    assert verdicts[-1].action == subject.does
    assert all("[*]" in f.where or subject.raw not in f.where for f in verdicts[-1].findings)


@every
@given(data=st.data())
def test_a_text_is_judged_the_same_however_it_is_cut(subject, data):
    parts = st.lists(st.sampled_from([subject.bad, subject.bad[:4], "a", " ", "\n", subject.raw[-3:]]), max_size=8)
    text = "".join(data.draw(parts))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    guard = subject.make()
    wanted = outcome(lambda: guard.invoke(text))
    assert outcome(lambda: "".join(guard.transform(iter(pieces)))) == wanted
    messages = [AIMessageChunk(content=piece, id="m") for piece in pieces]
    assert outcome(lambda: joined(guard.transform(iter(messages)))) == wanted


@every
def test_what_is_decided_leaves_at_once(subject):
    source = Source([AIMessageChunk(content=c, id="m") for c in f"good day {subject.bad}!"])
    got = ""
    for chunk in subject.make().transform(source.sync()):
        got += chunk.text
        if got == "good ":  # the word before the value may be held: it could be a part of it
            break
    assert got == "good "
    assert source.pulled <= len("good day") + 1


@blocking
def test_a_block_closes_the_source_even_while_its_error_is_held(subject):
    source = Source([AIMessageChunk(content=f"{c}", id="m") for c in f"ok {subject.bad} " + "more " * 50])
    stream = subject.make().transform(source.sync())
    with pytest.raises(OutputBlocked) as held:
        list(stream)
    assert source.closed
    assert source.pulled < 30
    assert subject.raw not in str(held.value)

    async def go() -> Source:
        source = Source([AIMessageChunk(content=f"{c}", id="m") for c in f"ok {subject.bad} " + "more " * 50])
        with pytest.raises(OutputBlocked):
            await acollect(subject.make().atransform(source.asynchronous()))
        return source

    assert asyncio.run(go()).closed


@every
def test_nothing_of_it_is_in_the_guards_own_trace(subject):
    listener = Listener()
    guard = subject.make()
    outcome(lambda: guard.invoke(f"see {subject.bad}", {"callbacks": [listener]}))
    outcome(lambda: list(guard.stream(f"see {subject.bad}", {"callbacks": [listener]})))
    assert len(listener.started) == 2
    assert len(listener.ended) + len(listener.failed) == 2
    assert subject.raw not in repr(listener.started) + "".join(listener.seen)
    assert {data["action"] for _, data, _ in listener.events} == {subject.does}


@blocking
def test_a_refusal_is_typed_and_survives_pickling(subject):
    with pytest.raises(OutputBlocked) as caught:
        subject.make().invoke(f"see {subject.bad}")
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.guard, error.verdict) == (subject.make().get_name(), subject.make().check(f"see {subject.bad}"))
    assert error.advice
    assert subject.raw not in repr(error) + str(error) + repr(vars(error))


@blocking
def test_a_fallback_takes_over_from_a_refusal(subject):
    chain = RunnableLambda(lambda _: subject.bad) | subject.make()
    assert chain.with_fallbacks([RunnableLambda(lambda _: "other")]).invoke("x") == "other"


@every
def test_what_it_cannot_read_it_refuses_unless_told_to_pass(subject):
    guard, value = subject.make(), {"f": io.BytesIO(), "t": f"see {subject.bad}"}
    with pytest.raises(GuardUnavailable) as caught:
        guard.invoke(value)
    assert (caught.value.rule, caught.value.guard) == ("unreadable", guard.get_name())
    verdict = guard.check(value)
    assert (verdict.action, verdict.findings[0].rule) == ("block", "unreadable")
    lenient = guard.model_copy(update={"on_unreadable": "pass"})
    result = outcome(lambda: lenient.invoke(value))
    assert result is OutputBlocked if subject.does == "block" else subject.raw not in result["t"]
    assert lenient.invoke({"f": value["f"]})["f"] is value["f"]


@every
def test_a_guard_that_crashes_lets_nothing_through_and_tells_no_text(subject):
    class Crashing(type(subject.make())):
        def _policy(self, call: Any) -> Any:
            raise KeyError(subject.bad)

    guard = Crashing(**{name: getattr(subject.make(), name) for name in (subject.field[0],)})
    for work in (
        lambda: guard.invoke("x"),
        lambda: asyncio.run(guard.ainvoke("x")),
        lambda: list(guard.stream("x")),
        lambda: asyncio.run(acollect(guard.astream("x"))),
        lambda: guard.wrap(RunnableLambda(lambda x: x)).invoke("x"),
    ):
        with pytest.raises(GuardUnavailable) as caught:
            work()
        assert caught.value.cause == "KeyError"
        assert subject.raw not in str(caught.value)
        assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    assert guard.check("x").blocked


@every
def test_streamed_dicts_are_guarded_key_by_key(subject):
    def stream(_: Any) -> Any:
        for c in f"a b {subject.bad} b":
            yield AddableDict({"answer": c})
        yield AddableDict({"source": f"{subject.bad}"})

    got: list[Any] = []
    try:
        for chunk in (RunnableGenerator(stream) | subject.make()).stream("x"):
            got.append(chunk)
    except OutputBlocked:
        assert subject.does == "block"
    assert subject.raw not in repr(total(got))
    assert len(got) >= 2


def as_it_grows(text: str) -> list[str]:
    return [text[:length] for length in range(1, len(text) + 1)]


@every
@pytest.mark.parametrize(
    ("made", "text_of"),
    [
        (lambda text: {"n": 1, "to": text}, lambda value: value["to"]),
        (lambda text: [{"type": "t", "args": {"to": text}}], lambda value: value[0]["args"]["to"]),
        (lambda text: Note(text=text), lambda value: value.text),
        (lambda text: AddableDict(a=(text,)), lambda value: value["a"][0]),
    ],
    ids=["dict", "tool calls", "pydantic", "below a key"],
)
def test_a_value_that_grows_is_shown_as_far_as_it_is_decided(subject, made, text_of):
    """Parsers of JSON and of tool calls stream each value again with a little more of its text."""
    guard, text = subject.make(), f"see {subject.bad} ok"
    wanted = outcome(lambda: guard.invoke(text))
    shown = []

    def read_on() -> None:
        for value in guard.transform(made(part) for part in as_it_grows(text)):
            shown.append(text_of(value))

    assert outcome(read_on) == (wanted if subject.does == "block" else None)
    if subject.does == "block":
        assert all("see ".startswith(part) for part in shown)
    else:
        assert shown[-1] == wanted
        assert all(wanted.startswith(part) for part in shown)
        assert len(shown) == len(text)


@every
def test_values_that_do_not_grow_are_each_judged_whole(subject):
    values = [{"q": "ends with S"}, {"q": "another"}, "a text. ", {"q": "S"}, 7, None, {"q": "S"}]
    assert list(subject.make().transform(iter(values))) == values


@every
def test_parsed_json_streams_guarded(subject):
    guard, text = subject.make(), json.dumps({"to": f"a {subject.bad} b", "n": 1})
    chain = ScriptedChatModel(Reply.every(2, text)) | JsonOutputParser() | guard
    shown: list[Any] = []
    result = outcome(lambda: shown.extend(chain.stream("x")))
    later = outcome(lambda: asyncio.run(acollect(chain.astream("x"))))
    if subject.does == "block":
        assert (result, later) == (OutputBlocked, OutputBlocked)
    else:
        assert shown[-1] == guard.invoke(json.loads(text))
        assert later == shown
        assert all(shown[-1]["to"].startswith(value.get("to", "")) for value in shown)


@redacting
def test_an_emptied_stream_is_still_a_stream(subject):
    assert list(subject.make().transform(iter([""]))) == [""]
    assert [c.content for c in subject.make().transform(iter([AIMessageChunk(content="", id="m")]))] == [""]


@every
def test_the_wrapped_form_sees_what_comes_out(subject):
    wrapped = subject.make().wrap(RunnableLambda(lambda x: f"{x} {subject.bad}"))
    result = outcome(lambda: wrapped.invoke("see"))
    assert result is OutputBlocked if subject.does == "block" else subject.raw not in result
    assert outcome(lambda: asyncio.run(wrapped.ainvoke("see"))) == result
    assert outcome(lambda: wrapped.batch(["see"])[0]) == result
    assert outcome(lambda: "".join(wrapped.stream("see"))) == result


@blocking
@pytest.mark.parametrize("around", ["chain", "model"])
def test_what_it_blocks_does_not_go_into_what_it_wraps(subject, around):
    """A refusal costs no call; what the application and the model wrote before is no news to the model."""
    model = ScriptedChatModel("fine")
    wrapped = subject.make().wrap(model if around == "model" else RunnablePassthrough() | model)
    for work in (
        lambda: wrapped.invoke(f"keep {subject.bad}"),
        lambda: asyncio.run(wrapped.ainvoke(f"keep {subject.bad}")),
        lambda: list(wrapped.stream([("system", "be kind"), ("user", f"keep {subject.bad}")])),
        lambda: asyncio.run(acollect(wrapped.astream(f"keep {subject.bad}"))),
    ):
        with collect_verdicts() as verdicts, pytest.raises(OutputBlocked):
            work()
        assert [verdict.action for verdict in verdicts] == ["block"]
    assert model.calls == 0
    before = [SystemMessage(f"never say {subject.bad}"), AIMessage(f"{subject.bad}"), HumanMessage("go on")]
    assert wrapped.invoke(before).content == "fine"


@redacting
def test_what_it_redacts_goes_in_as_it_is(subject):
    model = ScriptedChatModel("fine")
    subject.make().wrap(model).invoke(f"keep {subject.bad}")
    assert model.requests[0][0].content == f"keep {subject.bad}"


@every
def test_collected_garbage_raises_nothing(subject):
    stream = subject.make().transform(iter([AIMessageChunk(content="one ", id="m")] * 3))
    next(stream)
    del stream
    assert gc.collect() >= 0


@every
def test_two_guards_in_a_row_stream_what_invoke_gives(subject):
    def speak(_: Any) -> Any:
        yield from f"a {subject.bad} SECRET-9999 b"

    chain = RunnableGenerator(speak) | subject.make() | Redact()
    wanted = outcome(lambda: chain.invoke("x"))
    assert outcome(lambda: "".join(chain.stream("x"))) == wanted


@every
def test_message_chunks_of_other_kinds_are_judged_whole(subject):
    pieces = [HumanMessageChunk(content=c) for c in f"see {subject.bad}"]
    result = outcome(lambda: total(subject.make().transform(iter(pieces))).content)
    assert result is OutputBlocked if subject.does == "block" else subject.raw not in result


@redacting
@given(data=st.data())
def test_interleaved_channels_are_judged_each_on_its_own(subject, data):
    """However the pieces of several channels are cut and mixed, each channel reads as if it had been judged whole."""
    texts = st.lists(st.sampled_from([subject.bad, subject.bad[:5], "a ", "b"]), max_size=4).map("".join)
    channels = {
        ("text", 0): data.draw(texts), ("reasoning", 1): data.draw(texts), ("text", 2): data.draw(texts),
        ("args", 0): json.dumps({"to": data.draw(texts), "n": 1}), ("args", 1): json.dumps({"to": data.draw(texts)}),
        ("kwargs", 0): data.draw(texts),
    }  # fmt: skip
    wanted = {key: text and subject.make().invoke(text) for key, text in channels.items()}
    chunks = []
    while channels:
        key = data.draw(st.sampled_from(sorted(channels)))
        cut = data.draw(st.integers(1, 7))
        piece, rest = channels[key][:cut], channels[key][cut:]
        kind, index = key
        if kind == "args":
            call = {"name": None, "args": piece, "id": None, "index": index, "type": "tool_call_chunk"}
            chunks.append(AIMessageChunk(content=[], tool_call_chunks=[call]))
        elif kind == "kwargs":
            chunks.append(AIMessageChunk(content=[], additional_kwargs={"reasoning_content": piece}))
        elif piece:
            chunks.append(AIMessageChunk(content=[{"type": kind, kind: piece, "index": index}]))
        channels[key] = rest
        if not rest:
            del channels[key]
    last = [AIMessageChunk(content=[], chunk_position="last")] if data.draw(st.booleans()) else []
    whole = total(subject.make().transform(iter([*chunks, *last])))
    got = {(block["type"], block["index"]): block[block["type"]] for block in whole.content}
    got |= {("args", call["index"]): call["args"] for call in whole.tool_call_chunks}
    got[("kwargs", 0)] = whole.additional_kwargs.get("reasoning_content", "")
    assert {key: text for key, text in got.items() if text} == {key: text for key, text in wanted.items() if text}
