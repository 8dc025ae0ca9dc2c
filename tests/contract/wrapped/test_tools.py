"""A wrapped model that calls tools or answers in a schema: the arguments are guarded, whole, and valid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kit import (
    EVERY_CALL,
    GUARDED_NOTE,
    MODELS,
    NOTE,
    OPENAI,
    USAGE,
    WAYS,
    Answer,
    Listener,
    Whole,
    assert_untold,
    build,
    holds,
    save,
    served,
)
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from small_guards import Block, Redact
from typing_extensions import override

from langchain_guard import OutputBlocked
from langchain_guard.testing import Call, Reply, ScriptedChatModel, ScriptedServer
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


BOUND_CALLS = [(name, way) for name, way in EVERY_CALL if "generate" not in way]


@pytest.mark.parametrize(("name", "way"), BOUND_CALLS)
def test_a_tool_call_has_guarded_arguments_and_its_own_name_and_id(server, name, way):
    def check(model: Any) -> None:
        listener = Listener()
        seen, message = WAYS[way](model.bind_tools([save]), "call save", {"callbacks": [listener]})
        assert message.tool_calls == [
            {"name": "save", "args": {"note": GUARDED_NOTE}, "id": "call_1", "type": "tool_call"}
        ]
        assert message.invalid_tool_calls == []
        assert message.usage_metadata["total_tokens"] == USAGE
        assert_untold(*seen, *listener.heard())

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize(("name", "way"), BOUND_CALLS)
def test_a_blocked_tool_call_reaches_nobody(server, name, way):
    listener = Listener()
    with pytest.raises(OutputBlocked):
        WAYS[way](Block().wrap(build(name, server)).bind_tools([save]), "call save", {"callbacks": [listener]})
    assert_untold(*listener.heard())


@pytest.mark.parametrize("name", MODELS)
def test_tools_may_be_bound_before_the_model_is_wrapped(server, name):
    bound = Redact().wrap(build(name, server).bind_tools([save]))
    assert bound.invoke("call save").tool_calls[0]["args"] == {"note": GUARDED_NOTE}


@pytest.mark.parametrize("name", MODELS)
def test_streamed_arguments_end_before_the_last_chunk(server, name):
    """LangChain makes a call final with the chunk that says "last": what comes in it is too late."""
    chunks = list(Redact().wrap(build(name, server)).bind_tools([save]).stream("call save"))
    if name == "whole":
        return
    last = next(n for n, chunk in enumerate(chunks) if chunk.chunk_position == "last")
    assert "".join(piece["args"] or "" for chunk in chunks[:last] for piece in chunk.tool_call_chunks) == (
        f'{{"note": "{GUARDED_NOTE}"}}'
    )
    assert not any(chunk.tool_call_chunks for chunk in chunks[last:])


def _calls(*calls: Call) -> Reply:
    return Reply(tool_calls=calls)


@pytest.mark.parametrize("name", ["chat", "responses", "streams"])
@pytest.mark.parametrize("way", ["invoke", "stream", "astream", "stream_events_v3", "astream_events_v3"])
def test_several_calls_stay_apart(name, way):
    """Each call's arguments are a text of their own: half a secret in each is none."""
    reply = _calls(
        Call("save", {"note": "SECRET-"}, id="a", piece=3),
        Call("save", {"note": f"1234 {NOTE}"}, id="b", piece=3),
        Call("save", {}, id="c"),
    )
    with ScriptedServer(reply) as server:
        plain = ScriptedChatModel(reply) if name == "streams" else build(name, server)
        _, message = WAYS[way](Redact().wrap(plain).bind_tools([save]), "hi", {})
    assert [(call["id"], call["args"]) for call in message.tool_calls] == [
        ("a", {"note": "SECRET-"}),
        ("b", {"note": f"1234 {GUARDED_NOTE}"}),
        ("c", {}),
    ]


@pytest.mark.parametrize("name", ["chat", "responses", "streams"])
@pytest.mark.parametrize("way", ["invoke", "stream", "astream", "stream_events_v3"])
@pytest.mark.parametrize("note", ["SECRET\\u002d1234", "\\u0053ECRET-1234", "a\\nSECRET-1234\\t"])
def test_escapes_in_arguments_hide_nothing(name, way, note):
    reply = _calls(Call("save", f'{{"note": "{note}"}}', piece=3))
    with ScriptedServer(reply) as server:
        plain = ScriptedChatModel([reply, reply]) if name == "streams" else build(name, server)

        def check(model: Any) -> None:
            seen, message = WAYS[way](model.bind_tools([save]), "hi", {})
            assert "[X]" in message.tool_calls[0]["args"]["note"]
            assert_untold(*seen)

        holds(check, Redact().wrap(plain), plain)


# -- schemas


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("include_raw", [False, True])
@pytest.mark.parametrize(("method", "asked"), [("json_schema", "as json"), ("function_calling", "call Answer"),
                                              ("json_mode", "as json")])  # fmt: skip
def test_a_structured_answer_is_guarded_and_so_is_the_raw_one(server, name, method, asked, include_raw):
    def check(model: Any) -> None:
        listener = Listener()
        chain = model.with_structured_output(Answer, method=method, include_raw=include_raw)
        config = {"callbacks": [listener]}
        for answer in (chain.invoke(asked, config), run(chain.ainvoke(asked, config))):
            parsed = answer["parsed"] if include_raw else answer
            assert parsed == Answer(answer=GUARDED_NOTE, n=1)
            assert_untold([answer])
        assert_untold(*listener.heard())

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize(("name", "method", "asked"), [
    ("chat", "json_schema", "as json"), ("chat", "function_calling", "call Answer"),
    ("responses", "function_calling", "call Answer"),
])  # fmt: skip
def test_a_structured_answer_streams_guarded(server, name, method, asked):
    def check(model: Any) -> None:
        chain = model.with_structured_output(Answer, method=method)
        answers = list(chain.stream(asked))
        assert answers[-1] == Answer(answer=GUARDED_NOTE, n=1)
        assert_untold(answers)
        assert run(collect(chain.astream(asked)))[-1] == answers[-1]

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize("name", ["streams", "whole", "generate-streams"])
def test_a_fakes_structured_answer_is_guarded(server, name):
    chain = Redact().wrap(build(name, server)).with_structured_output(Answer)
    assert chain.invoke("call Answer") == Answer(answer=GUARDED_NOTE, n=1)


# -- what a provider puts beside the text


def test_the_parsed_object_beside_the_text_is_guarded():
    """langchain-openai keeps the parsed answer as a pydantic object in additional_kwargs."""
    raw = Answer(answer=NOTE, n=1)
    message = AIMessage(raw.model_dump_json(), additional_kwargs={"parsed": raw})
    (answer,) = Redact().wrap(_Says(message=message)).batch(["hi"])
    assert answer.additional_kwargs["parsed"] == Answer(answer=GUARDED_NOTE, n=1)
    assert raw.answer == NOTE


class _Says(ScriptedChatModel):
    """Answers with a message as it stands, or streams chunks as they stand."""

    message: Any = None
    chunks: Any = ()

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        from langchain_core.outputs import ChatGeneration, ChatResult

        return ChatResult(generations=[ChatGeneration(message=self.message)])

    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        from langchain_core.outputs import ChatGenerationChunk

        for chunk in self.chunks:
            yield ChatGenerationChunk(message=chunk.model_copy(deep=True))

    async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        for chunk in self._stream(messages):
            yield chunk


BLOCKS: dict[str, list[dict[str, Any]]] = {
    "text": [
        {"type": "text", "text": "", "index": 0, "id": "b0"},
        {"type": "text", "text": "it is SEC", "index": 0},
        {"type": "text", "text": "RET-1234", "index": 0},
        {"type": "text", "text": " ok", "index": 0},
    ],
    "reasoning": [
        {"type": "reasoning", "reasoning": "it is SEC", "index": 0, "id": "r0"},
        {"type": "reasoning", "reasoning": "RET-1234", "index": 0},
        {"type": "reasoning", "reasoning": " ok", "index": 0},
    ],
    "thinking": [
        {"type": "thinking", "thinking": "it is SEC", "index": 0},
        {"type": "thinking", "thinking": "RET-1234 ok", "index": 0},
        {"type": "thinking", "signature": "sig", "index": 0},
    ],
    "summary": [
        {"type": "reasoning", "id": "r0", "summary": [], "index": 0},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "it is SEC", "index": 0}], "index": 0},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "RET-1234 ok", "index": 0}], "index": 0},
    ],
    "refusal": [
        {"type": "refusal", "refusal": "it is SEC", "index": 0},
        {"type": "refusal", "refusal": "RET-1234 ok", "index": 0},
    ],
    "custom tool": [
        {"type": "custom_tool_call", "name": "run", "call_id": "c", "input": "it is SEC", "index": 0},
        {"type": "custom_tool_call", "input": "RET-1234 ok", "index": 0},
    ],
    "arguments": [
        {"type": "function_call", "name": "save", "call_id": "c", "arguments": "", "index": 0},
        {"type": "function_call", "arguments": '{"note": "it is SEC', "index": 0},
        {"type": "function_call", "arguments": 'RET-1234 ok"}', "index": 0},
    ],
    "tool_use": [
        {"type": "tool_use", "name": "save", "id": "t", "input": {}, "index": 0},
        {"type": "input_json_delta", "partial_json": '{"note": "it is SEC', "index": 0},
        {"type": "input_json_delta", "partial_json": 'RET-1234 ok"}', "index": 0},
    ],
}


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_each_kind_of_block_streams_guarded(kind, way):
    """The blocks of Anthropic's, OpenAI's and LangChain's own format; what names a block comes with its first piece."""
    chunks = [AIMessageChunk(content=[block]) for block in BLOCKS[kind]]
    chunks.append(AIMessageChunk(content=[], chunk_position="last"))
    plain = _Says(chunks=chunks)

    def check(model: Any) -> None:
        seen, message = WAYS[way](model, "hi", {})
        assert "it is [X] ok" in repr(message.content)
        assert_untold(seen, [message])
        first = next(block for chunk in seen for block in chunk.content)
        assert {key: first.get(key) for key in BLOCKS[kind][0] if key not in _PIECES} == {
            key: value for key, value in BLOCKS[kind][0].items() if key not in _PIECES
        }

    holds(check, Redact().wrap(plain), plain)


_PIECES = {"text", "reasoning", "thinking", "summary", "refusal", "input", "arguments", "partial_json"}


def test_the_start_of_a_block_is_not_held_back():
    """A start has no text yet but carries the name of the call: consumers show it at once."""
    chunks = [AIMessageChunk(content=[block]) for block in BLOCKS["arguments"]]
    stream = Redact().wrap(_Says(chunks=chunks)).stream("hi")
    first = next(stream)
    assert first.content[0]["name"] == "save"
    stream.close()


@pytest.mark.parametrize("kwargs", [
    {"reasoning_content": ["it is SEC", "RET-1234 ok"]},
    {"refusal": ["it is SEC", "RET-1234 ok"]},
])  # fmt: skip
def test_texts_in_additional_kwargs_stream_guarded(kwargs):
    ((key, pieces),) = kwargs.items()
    chunks = [AIMessageChunk(content="", additional_kwargs={key: piece}) for piece in pieces]
    plain = _Says(chunks=[*chunks, AIMessageChunk(content="", chunk_position="last")])

    def check(model: Any) -> None:
        seen, message = WAYS["stream"](model, "hi", {})
        assert message.additional_kwargs[key] == "it is [X] ok"
        assert_untold(seen)

    holds(check, Redact().wrap(plain), plain)


# -- several answers, and the probabilities that spell them


def test_every_one_of_n_answers_is_guarded(server):
    def check(model: Any) -> None:
        result = model.generate([[HumanMessage("hi")]])
        assert len(result.generations[0]) == 2
        assert_untold([result])
        assert_untold([run(model.agenerate([[HumanMessage("hi")]]))])

    plain = build("chat", server, n=2)
    holds(check, Redact().wrap(plain), plain)


def _spelled(message: Any) -> str:
    return "".join(token["token"] for token in (message.response_metadata.get("logprobs") or {}).get("content") or [])


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_logprobs_do_not_spell_the_raw_text(server, way):
    def check(model: Any) -> None:
        listener = Listener()
        seen, message = WAYS[way](model, "hi", {"callbacks": [listener]})
        assert "SECRET-" not in _spelled(message)
        assert_untold(seen, *listener.heard())
        assert all("SECRET-" not in _spelled(g.message) for end in listener.ends for (g,) in end.generations)

    plain = build("chat", server, logprobs=True)
    holds(check, Redact().wrap(plain), plain)


# -- what a provider tells beside the answer, and LangChain puts into response_metadata


class Grounded(Whole):
    """A model that repeats its answer beside it, as Gemini does with what its answer stands on."""

    @override
    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        message = AIMessage("hello")
        info = {"finish_reason": "STOP", "grounding_metadata": {"segment": {"text": NOTE}}}
        generation = ChatGeneration(message=message, generation_info=info)
        return ChatResult(generations=[generation], llm_output={"model_name": "g", "echo": NOTE})

    @override
    def _stream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        yield ChatGenerationChunk(message=AIMessageChunk("hel"))
        info = {"finish_reason": "STOP", "grounding_metadata": {"segment": {"text": NOTE}}, "echo": NOTE}
        yield ChatGenerationChunk(message=AIMessageChunk("lo"), generation_info=info)


@pytest.mark.parametrize("way", WAYS)
def test_what_is_told_beside_an_answer_is_guarded(way):
    def check(model: Any) -> None:
        listener = Listener()
        seen, message = WAYS[way](model, "hi", {"callbacks": [listener]})
        assert_untold(seen, *listener.heard())
        assert message.text == "hello"
        if "v3" not in way and "generate" not in way:
            assert message.response_metadata["finish_reason"] == "STOP"
            assert message.response_metadata["grounding_metadata"] == {"segment": {"text": GUARDED_NOTE}}

    plain = Grounded()
    holds(check, Redact().wrap(plain), plain)


def test_a_secret_beside_an_answer_is_blocked():
    for way in ("invoke", "ainvoke", "stream", "astream"):
        with pytest.raises(OutputBlocked):
            WAYS[way](Block().wrap(Grounded()), "hi", {})
