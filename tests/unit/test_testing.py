"""langchain_guard.testing: the scripted model, and the scripted server against the real ChatOpenAI over HTTP."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
import urllib.error
import urllib.request

import httpx
import openai
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_guard.testing import (
    Call,
    ManualClock,
    Reply,
    ScriptedChatModel,
    ScriptedServer,
    assert_chunking_invariant,
)
from support import chat_openai, collect, run


@tool
def weather(city: str, days: int = 1) -> str:
    """Forecast for a city."""
    return f"{days} sunny days in {city}"


class Answer(BaseModel):
    """An answer with a number."""

    text: str
    n: int


PIECES = ("mail ja", "ne@exa", "mple.c", "om now")
ARGS = {"city": "Oslo", "days": 3}


class TestManualClock:
    def test_moves_only_when_told(self) -> None:
        clock = ManualClock(10.0)
        assert clock() == clock() == 10.0
        clock.advance(2.5)
        clock.sleep(1)
        run(clock.asleep(0.5))
        clock.sleep(-1)
        assert clock() == 14.0
        clock.advance(-4)
        assert clock() == 10.0

    def test_copies_live_in_the_same_time(self) -> None:
        clock = ManualClock()
        copies = [copy.copy(clock), copy.deepcopy(clock)]
        clock.advance(3)
        assert [c() for c in copies] == [3.0, 3.0]
        assert pickle.loads(pickle.dumps(clock))() == 3.0


class TestScriptedChatModel:
    def test_chunks_are_the_pieces(self) -> None:
        model = ScriptedChatModel(Reply(*PIECES))
        assert [c.content for c in model.stream("x") if c.content] == list(PIECES)
        assert [c.content for c in run(collect(model.astream("x"))) if c.content] == list(PIECES)
        assert (model.calls, model.pieces, model.closes) == (2, 8, 0)

    def test_whole_answer_equals_the_summed_stream(self) -> None:
        model = ScriptedChatModel(Reply(*PIECES, tool_calls=[Call("weather", ARGS)], usage=(3, 4)))
        whole, first, *rest = model.invoke("x"), *model.stream("x")
        for chunk in rest:
            first += chunk
        assert type(whole) is AIMessage
        assert whole.content == first.content == "".join(PIECES)
        assert whole.tool_calls == first.tool_calls
        assert whole.tool_calls == [{"name": "weather", "args": ARGS, "id": "call_1", "type": "tool_call"}]
        assert (
            whole.usage_metadata == first.usage_metadata == {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        )
        assert whole.response_metadata["finish_reason"] == "tool_calls"
        assert run(model.ainvoke("x")).tool_calls == whole.tool_calls

    def test_early_close_is_counted(self) -> None:
        model = ScriptedChatModel("one two three four five")
        stream = model.stream("x")
        next(stream)
        stream.close()
        assert (model.pieces, model.closes) == (1, 1)

        async def leave() -> None:
            stream = model.astream("x")
            await anext(stream)
            await stream.aclose()

        run(leave())
        assert (model.pieces, model.closes) == (2, 2)

    def test_list_is_answered_in_order_then_refuses(self) -> None:
        model = ScriptedChatModel(["a", ValueError("told to"), "b"])
        assert model.invoke("x").content == "a"
        with pytest.raises(ValueError, match="told to"):
            model.invoke("x")
        assert model.invoke("x").content == "b"
        with pytest.raises(RuntimeError, match="3 replies and was called once more"):
            model.invoke("x")
        assert model.calls == 4

    def test_function_sees_the_messages(self) -> None:
        model = ScriptedChatModel(lambda messages: messages[-1].text.upper())
        assert model.invoke("hello").content == "HELLO"
        assert model.requests == [[HumanMessage("hello")]]

    def test_stream_breaks_where_told(self) -> None:
        model, got = ScriptedChatModel(Reply("a", "b", "c", break_after=2)), []
        with pytest.raises(ConnectionError, match="scripted break"):
            got.extend(chunk.content for chunk in model.stream("x"))
        assert got == ["a", "b"]

    def test_copies_and_rebuilt_models_share_script_and_count(self) -> None:
        model = ScriptedChatModel(["a", "b", "c"], disable_streaming=False)
        rebuilt = model.configurable_fields(disable_streaming=ConfigurableField("off"))
        assert rebuilt.with_config(configurable={"off": True}).invoke("x").content == "a"
        assert copy.deepcopy(model).invoke("x").content == "b"
        assert model.bind_tools([weather]).invoke("x").content == "c"
        assert model.calls == 3
        assert pickle.loads(pickle.dumps(model)).calls == 0

    def test_structured_output_comes_from_a_scripted_call(self) -> None:
        model = ScriptedChatModel(Reply(tool_calls=[Call("Answer", {"text": "t", "n": 3})]))
        assert model.with_structured_output(Answer).invoke("x") == Answer(text="t", n=3)


@pytest.fixture(params=[False, True], ids=["chat", "responses"])
def responses(request: pytest.FixtureRequest) -> bool:
    return request.param


class TestScriptedServer:
    def test_invoke(self, responses: bool) -> None:
        with ScriptedServer(Reply(*PIECES)) as server:
            model = chat_openai(server, use_responses_api=responses)
            answers = [model.invoke("hi"), *model.batch(["a", "b"]), run(model.ainvoke("c"))]
        assert [a.text for a in answers] == ["".join(PIECES)] * 4
        assert answers[0].usage_metadata["input_tokens"] == 7
        assert answers[0].usage_metadata["output_tokens"] == 5
        assert {r.path for r in server.requests} == {"/v1/responses" if responses else "/v1/chat/completions"}
        assert server.requests[0].text == "hi"
        assert server.requests[0].body["model"] == "scripted"

    def test_stream_keeps_the_pieces(self, responses: bool) -> None:
        with ScriptedServer(Reply(*PIECES)) as server:
            model = chat_openai(server, use_responses_api=responses)
            chunks = list(model.stream("hi"))
            achunks = run(collect(model.astream("hi")))
        for got in (chunks, achunks):
            assert [c.text for c in got if c.text] == list(PIECES)
            usage = [c.usage_metadata for c in got if c.usage_metadata]
            assert [(u["input_tokens"], u["output_tokens"]) for u in usage] == [(7, 5)]
        assert [e.outcome for e in server.exchanges] == ["done", "done"]

    def test_usage_in_a_stream_only_when_asked_for(self) -> None:
        with ScriptedServer("hi") as server:
            chunks = list(chat_openai(server, stream_usage=False).stream("x"))
        assert not any(c.usage_metadata for c in chunks)

    def test_tool_calls(self, responses: bool) -> None:
        reply = Reply("I look. ", tool_calls=[Call("weather", ARGS, "c1"), Call("weather", {"city": "Rome"}, "c2")])
        with ScriptedServer([reply, reply, "sunny"]) as server:
            model = chat_openai(server, use_responses_api=responses).bind_tools([weather])
            whole, first, *rest = model.invoke("x"), *model.stream("x")
            for chunk in rest:
                first += chunk
            results = [ToolMessage("sunny", tool_call_id=call["id"]) for call in whole.tool_calls]
            last = model.invoke([HumanMessage("x"), whole, *results])
        assert [(c["name"], c["args"], c["id"]) for c in whole.tool_calls] == [
            ("weather", ARGS, "c1"),
            ("weather", {"city": "Rome"}, "c2"),
        ]
        assert first.tool_calls == whole.tool_calls
        assert whole.text == first.text == "I look. "
        assert server.requests[0].tools == ["weather"]
        assert last.text == "sunny"

    def test_broken_arguments_are_sent_as_they_stand(self) -> None:
        with ScriptedServer(Reply(tool_calls=[Call("weather", ('{"city": ', '"Os'))])) as server:
            whole = chat_openai(server).bind_tools([weather]).invoke("x")
        assert whole.tool_calls == []
        assert whole.invalid_tool_calls[0]["args"] == '{"city": "Os'

    @pytest.mark.parametrize("method", ["json_schema", "function_calling"])
    def test_structured_output(self, method: str, responses: bool) -> None:
        value = {"text": "t", "n": 3}
        reply = Reply.every(4, json.dumps(value))
        if method == "function_calling":
            reply = Reply(tool_calls=[Call("Answer", value)])
        with ScriptedServer(reply) as server:
            model = chat_openai(server, use_responses_api=responses).with_structured_output(Answer, method=method)
            assert model.invoke("x") == Answer(text="t", n=3)
            assert list(model.stream("x"))[-1] == Answer(text="t", n=3)

    def test_choices_and_logprobs(self) -> None:
        with ScriptedServer(Reply(*PIECES)) as server:
            result = chat_openai(server, n=2, logprobs=True).generate([[HumanMessage("x")]])
            streamed = list(chat_openai(server, logprobs=True).stream("x"))
        assert [g.text for g in result.generations[0]] == ["".join(PIECES)] * 2
        tokens = result.generations[0][0].message.response_metadata["logprobs"]["content"]
        assert [t["token"] for t in tokens] == list(PIECES)
        spelled = [t["token"] for c in streamed for t in (c.response_metadata.get("logprobs") or {}).get("content", [])]
        assert spelled == list(PIECES)

    def test_refusal(self, responses: bool) -> None:
        with ScriptedServer(Reply(refusal="I cannot")) as server:
            model = chat_openai(server, use_responses_api=responses)
            whole = model.invoke("x")
            list(model.stream("x"))
        if responses:
            assert whole.content[0]["refusal"] == "I cannot"
        else:
            assert whole.additional_kwargs["refusal"] == "I cannot"

    def test_429_with_retry_after(self) -> None:
        with ScriptedServer([Reply.error(429, retry_after=2), Reply.error(429, retry_after=0), "ok"]) as server:
            with pytest.raises(openai.RateLimitError) as caught:
                chat_openai(server).invoke("x")
            assert caught.value.response.headers["retry-after"] == "2"
            assert chat_openai(server, max_retries=1).invoke("x").content == "ok"
        assert len(server.requests) == 3

    def test_mistake_in_the_script_is_a_500_that_names_it(self) -> None:
        with ScriptedServer(["one"]) as server:
            chat_openai(server).invoke("x")
            with pytest.raises(openai.InternalServerError, match="1 replies and was called once more"):
                chat_openai(server).invoke("x")

    def test_broken_stream_is_an_error_after_its_pieces(self, responses: bool) -> None:
        got = []
        with ScriptedServer(Reply("a", "b", "c", break_after=2)) as server:
            with pytest.raises((openai.APIConnectionError, httpx.TransportError)):  # bare before openai 3
                got.extend(c.text for c in chat_openai(server, use_responses_api=responses).stream("x") if c.text)
            server.join()
        assert got == ["a", "b"]
        assert server.exchanges[0].outcome == "broken"

    def test_broken_whole_answer_is_a_connection_error(self) -> None:
        with ScriptedServer(Reply("abc", break_after=0)) as server, pytest.raises(openai.APIConnectionError):
            chat_openai(server).invoke("x")

    def test_held_stream_has_given_what_stands_before(self) -> None:
        go = threading.Event()
        with ScriptedServer(Reply("first ", go, "second")) as server:
            stream = (c.text for c in chat_openai(server).stream("x") if c.text)
            assert next(stream) == "first "
            assert server.exchanges[0].outcome == "running"
            with pytest.raises(TimeoutError, match="still being written"):
                server.join(timeout=0)
            go.set()
            assert list(stream) == ["second"]
            server.join()
        assert server.exchanges[0].outcome == "done"

    @pytest.mark.parametrize("held", [True, False], ids=["held", "flowing"])
    def test_client_that_leaves_is_noticed(self, held: bool, responses: bool) -> None:
        rest = (threading.Event(),) if held else ("tok ",) * 5_000
        with ScriptedServer(Reply("first ", *rest, delay=0 if held else 0.001)) as server:
            model = chat_openai(server, use_responses_api=responses)
            stream = model.stream("x")
            next(stream)
            stream.close()
            server.join()

            async def leave() -> None:
                stream = model.astream("x")
                await anext(stream)
                await stream.aclose()
                await asyncio.to_thread(server.join)

            run(leave())
        assert [e.outcome for e in server.exchanges] == ["aborted", "aborted"]
        assert server.aborted == 2
        assert server.sent < 5_000

    def test_closing_ends_a_held_stream(self) -> None:
        server = ScriptedServer(Reply("first ", threading.Event()))
        stream = chat_openai(server).stream("x")
        next(stream)
        server.close()
        server.join()
        assert server.exchanges[0].outcome == "broken"
        stream.close()

    def test_models_and_unknown_paths(self) -> None:
        with ScriptedServer(model="m7") as server:
            with urllib.request.urlopen(server.url + "/models") as answer:
                assert json.load(answer)["data"][0]["id"] == "m7"
            for method in ("GET", "POST"):
                request = urllib.request.Request(server.url + "/files", data=b"{}" if method == "POST" else None)
                with pytest.raises(urllib.error.HTTPError, match="404") as caught:
                    urllib.request.urlopen(request)
                caught.value.close()
            request = urllib.request.Request(server.url + "/responses", data=b"not json")
            with pytest.raises(urllib.error.HTTPError, match="400") as caught:
                urllib.request.urlopen(request)
            caught.value.close()
        assert server.requests == []


class _Blank:
    """Masks the word ``key``; holds what may become it. With `hold=False` it looks at one piece at a time."""

    def __init__(self, hold: bool) -> None:
        self.hold, self.kept = hold, ""

    def feed(self, text: str) -> str:
        text = (self.kept + text).replace("key", "***")
        keep = next((n for n in (2, 1) if text.endswith("key"[:n])), 0) if self.hold else 0
        self.kept = text[len(text) - keep :]
        return text[: len(text) - keep]

    def close(self) -> str:
        kept, self.kept = self.kept, ""
        return kept


class TestChunkingInvariant:
    TEXT, EXPECTED = "a key, keys and ke", "a ***, ***s and ke"

    def test_a_scanner_that_holds_passes(self) -> None:
        assert_chunking_invariant(lambda: _Blank(hold=True), self.TEXT, self.EXPECTED)

    def test_a_scanner_that_looks_at_pieces_is_caught(self) -> None:
        with pytest.raises(AssertionError, match=r"pieces \[1, 1"):
            assert_chunking_invariant(lambda: _Blank(hold=False), self.TEXT, self.EXPECTED)

    def test_a_wrong_result_is_caught(self) -> None:
        with pytest.raises(AssertionError, match="expected"):
            assert_chunking_invariant(lambda: _Blank(hold=True), self.TEXT, self.EXPECTED + "!")


@pytest.mark.parametrize(
    ("reply", "pieces"),
    [
        (Reply.words("one two  three\n"), ("one", " two", "  three", "\n")),
        (Reply.words(" a b"), (" a", " b")),
        (Reply.words(""), ()),
        (Reply.every(3, "abcdefgh"), ("abc", "def", "gh")),
    ],
)
def test_cutting_loses_nothing(reply: Reply, pieces: tuple[str, ...]) -> None:
    assert reply.pieces == pieces
