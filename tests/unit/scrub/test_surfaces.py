"""Every place in which a value can stand: gone from the whole answer and from the stream, and all else as it was."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.prompt_values import ChatPromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables.history import RunnableWithMessageHistory
from pydantic import BaseModel

from langchain_guard import OutputScrubber
from langchain_guard.testing import Call, Reply, ScriptedChatModel

MAIL = "bob@example.com"
SCRUBBER = OutputScrubber()


class Model(BaseModel):
    to: str
    n: int = 3


@dataclasses.dataclass
class Data:
    to: str
    n: int = 3


def logprobs(text: str) -> dict[str, Any]:
    return {"logprobs": {"content": [{"token": part, "logprob": -0.1} for part in text.split("@")]}, "model_name": "m"}


VALUES: dict[str, tuple[Any, Any]] = {
    "str": (f"to {MAIL}", "to [EMAIL]"),
    "list": (["x", MAIL], ["x", "[EMAIL]"]),
    "tuple": (("x", MAIL), ("x", "[EMAIL]")),
    "dict": ({"a": {"b": [MAIL]}, "n": 3}, {"a": {"b": ["[EMAIL]"]}, "n": 3}),
    "dict key": ({MAIL: 1}, {"[EMAIL]": 1}),
    "number": ({"card": 4111111111111111, "n": 41}, {"card": "[CREDIT_CARD]", "n": 41}),
    "pydantic": (Model(to=MAIL), Model(to="[EMAIL]")),
    "dataclass": (Data(MAIL), Data("[EMAIL]")),
    "document": (
        Document(f"x {MAIL}", metadata={"author": MAIL, "page": 2}),
        Document("x [EMAIL]", metadata={"author": "[EMAIL]", "page": 2}),
    ),
    "documents": ([Document("x"), Document(MAIL)], [Document("x"), Document("[EMAIL]")]),
    "human message": (HumanMessage(MAIL, id="1"), HumanMessage("[EMAIL]", id="1")),
    "content": (AIMessage(f"to {MAIL}", id="1"), AIMessage("to [EMAIL]", id="1")),
    "prompt value": (
        ChatPromptValue(messages=[HumanMessage(MAIL)]),
        ChatPromptValue(messages=[HumanMessage("[EMAIL]")]),
    ),
    "text block": (
        AIMessage(
            [
                {
                    "type": "text",
                    "text": MAIL,
                    "annotations": [{"type": "citation", "cited_text": MAIL, "start_index": 0}],
                }
            ]
        ),
        AIMessage(
            [
                {
                    "type": "text",
                    "text": "[EMAIL]",
                    "annotations": [{"type": "citation", "cited_text": "[EMAIL]", "start_index": 0}],
                }
            ]
        ),
    ),
    "reasoning block": (
        AIMessage([{"type": "reasoning", "reasoning": MAIL}]),
        AIMessage([{"type": "reasoning", "reasoning": "[EMAIL]"}]),
    ),
    "thinking block": (
        AIMessage([{"type": "thinking", "thinking": MAIL, "signature": "sig"}]),
        AIMessage([{"type": "thinking", "thinking": "[EMAIL]", "signature": "sig"}]),
    ),
    "tool use block": (
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {"to": MAIL}}]),
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {"to": "[EMAIL]"}}]),
    ),
    "tool calls": (
        AIMessage("", tool_calls=[{"name": "f", "args": {"to": MAIL, "l": [MAIL]}, "id": "1"}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {"to": "[EMAIL]", "l": ["[EMAIL]"]}, "id": "1"}]),
    ),
    "invalid tool calls": (
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": f"{{to: {MAIL}", "id": "1", "error": f"bad {MAIL}"}]),
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{to: [EMAIL]", "id": "1", "error": "bad [EMAIL]"}]),
    ),
    "refusal": (
        AIMessage("", additional_kwargs={"refusal": MAIL}),
        AIMessage("", additional_kwargs={"refusal": "[EMAIL]"}),
    ),
    "reasoning_content": (
        AIMessage("", additional_kwargs={"reasoning_content": MAIL}),
        AIMessage("", additional_kwargs={"reasoning_content": "[EMAIL]"}),
    ),
    "function call": (
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": json.dumps({"to": MAIL})}}),
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": json.dumps({"to": "[EMAIL]"})}}),
    ),
    "raw tool calls": (
        AIMessage(
            "",
            additional_kwargs={
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"to": "bob\\u0040example.com"}'},
                    }
                ]
            },
        ),
        AIMessage(
            "",
            additional_kwargs={
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "[EMAIL]"}'}}
                ]
            },
        ),
    ),
    "logprobs": (
        AIMessage(MAIL, response_metadata=logprobs(MAIL)),
        AIMessage("[EMAIL]", response_metadata={"logprobs": None, "model_name": "m"}),
    ),
    "tool message": (
        ToolMessage(MAIL, tool_call_id="1", artifact={"to": MAIL, "n": 1}),
        ToolMessage("[EMAIL]", tool_call_id="1", artifact={"to": "[EMAIL]", "n": 1}),
    ),
}


def raw(value: Any) -> str:
    if isinstance(value, BaseModel):
        return value.model_dump_json()
    return repr(value)


@pytest.mark.parametrize("name", VALUES)
def test_a_whole_value(name: str) -> None:
    value, expected = VALUES[name]
    before = raw(value)
    out = SCRUBBER.invoke(value)
    assert out == expected
    assert type(out) is type(value)
    assert "bob" not in raw(out)
    assert "4111" not in raw(out)
    assert raw(value) == before, "the caller's own value was changed"
    pieces = list(SCRUBBER.stream(value))
    assert ("".join(pieces) if isinstance(value, str) else pieces) == (
        expected if isinstance(value, str) else [expected]
    )
    verdict = SCRUBBER.check(value)
    assert verdict.action == "redact"
    assert all("bob" not in finding.where for finding in verdict.findings)


@pytest.mark.parametrize("name", VALUES)
def test_a_clean_value_goes_on_by_identity(name: str) -> None:
    clean = VALUES[name][1]
    assert SCRUBBER.invoke(clean) is clean


def test_where_a_find_stands() -> None:
    message = AIMessage("", tool_calls=[{"name": "f", "args": {"to": MAIL}, "id": "1"}])
    (finding,) = SCRUBBER.check([message]).findings
    assert finding.where.endswith("tool_calls[0].args.to")


def chunk(content: Any = "", **fields: Any) -> AIMessageChunk:
    return AIMessageChunk(content, id="run-1", **fields)


def block(key: str, index: int = 0, **fields: Any) -> Any:
    return lambda part: chunk([{"type": fields.get("type", "text"), key: part, "index": index}])


STREAMS: dict[str, Any] = {
    "content": chunk,
    "text block": block("text"),
    "reasoning block": block("reasoning", type="reasoning"),
    "thinking block": block("thinking", type="thinking"),
    "tool call": lambda part: chunk("", tool_call_chunks=[{"name": None, "args": part, "id": None, "index": 0}]),
    "reasoning_content": lambda part: chunk("", additional_kwargs={"reasoning_content": part}),
    "refusal": lambda part: chunk("", additional_kwargs={"refusal": part}),
    "function call": lambda part: chunk("", additional_kwargs={"function_call": {"arguments": part}}),
}


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("name", STREAMS)
def test_a_streamed_value(name: str, size: int) -> None:
    text = f'{{"to": "{MAIL}", "n": 12}}'
    parts = [text[i : i + size] for i in range(0, len(text), size)]
    out = list(SCRUBBER.transform(iter([STREAMS[name](part) for part in parts])))
    assert all("bob" not in raw(piece) for piece in out)
    whole = out[0]
    for piece in out[1:]:
        whole = whole + piece
    expected = STREAMS[name](text.replace(MAIL, "[EMAIL]"))
    assert whole.content == expected.content
    assert whole.additional_kwargs == expected.additional_kwargs
    assert [call["args"] for call in whole.tool_call_chunks] == [call["args"] for call in expected.tool_call_chunks]
    assert whole.id == "run-1"


def test_several_blocks_and_calls_at_once_are_channels_of_their_own() -> None:
    """The halves of two values interleave; a scanner for both would join what does not belong together."""
    source = [
        chunk([{"type": "text", "text": "a bob@exa", "index": 0}, {"type": "text", "text": "b eve@exa", "index": 1}]),
        chunk([{"type": "text", "text": "mple.com.", "index": 0}, {"type": "text", "text": "mple.org!", "index": 1}]),
        chunk(
            "",
            tool_call_chunks=[
                {"name": "f", "args": '{"x": "4111 1111', "id": "1", "index": 0},
                {"name": "g", "args": '{"y": "10.20.', "id": "2", "index": 1},
            ],
        ),
        chunk(
            "",
            tool_call_chunks=[
                {"name": None, "args": ' 1111 1111"}', "id": None, "index": 0},
                {"name": None, "args": '30.40"}', "id": None, "index": 1},
            ],
        ),
    ]
    out = list(SCRUBBER.transform(iter(source)))
    whole = out[0]
    for piece in out[1:]:
        whole = whole + piece
    texts = {b["index"]: b["text"] for b in whole.content if isinstance(b, dict)}
    assert texts == {0: "a [EMAIL].", 1: "b [EMAIL]!"}
    assert [call["args"] for call in whole.tool_calls] == [{"x": "[CREDIT_CARD]"}, {"y": "[IPV4]"}]


def test_logprobs_of_a_stream_are_dropped_with_the_text_they_spell() -> None:
    source = [
        chunk("bob@exa", response_metadata=logprobs("bob@exa")),
        chunk("mple.com", response_metadata=logprobs("x")),
    ]
    assert all("bob" not in raw(piece) for piece in SCRUBBER.transform(iter(source)))


@pytest.mark.parametrize("how", ["link", "wrapped"])
def test_a_model_with_a_tool_call(how: str) -> None:
    model = ScriptedChatModel(Reply("I mail bob@exa", "mple.com", tool_calls=[Call("send", {"to": MAIL, "n": 2})]))
    chain = model | SCRUBBER if how == "link" else SCRUBBER.wrap(model)
    message = chain.invoke("x")
    assert message.content == "I mail [EMAIL]"
    assert message.tool_calls[0]["args"] == {"to": "[EMAIL]", "n": 2}
    pieces = list(chain.stream("x"))
    assert all("bob" not in raw(piece) for piece in pieces)
    whole = pieces[0]
    for piece in pieces[1:]:
        whole = whole + piece
    assert whole.content == "I mail [EMAIL]"
    assert whole.tool_calls[0]["args"] == {"to": "[EMAIL]", "n": 2}


@pytest.mark.filterwarnings("ignore::langchain_core._api.deprecation.LangChainDeprecationWarning")
def test_the_store_of_a_chat_history_holds_scrubbed_text() -> None:
    store: dict[str, InMemoryChatMessageHistory] = {}
    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{q}")])
    chain = OutputScrubber() | prompt | ScriptedChatModel(Reply("your mail is bob@exa", "mple.com.")) | OutputScrubber()
    talk = RunnableWithMessageHistory(
        chain,
        lambda session_id: store.setdefault(session_id, InMemoryChatMessageHistory()),
        input_messages_key="q",
        history_messages_key="history",
    )
    config = {"configurable": {"session_id": "1"}}
    assert talk.invoke({"q": "hello"}, config).content == "your mail is [EMAIL]."
    assert "".join(piece.content for piece in talk.stream({"q": "again"}, config)) == "your mail is [EMAIL]."
    stored = [message.content for message in store["1"].messages]
    assert stored == ["hello", "your mail is [EMAIL].", "again", "your mail is [EMAIL]."]


def test_a_parsed_answer() -> None:
    model = ScriptedChatModel(Reply("to bob@exa", "mple.com ok"))
    assert "".join((model | StrOutputParser() | SCRUBBER).stream("x")) == "to [EMAIL] ok"
    assert "".join((model | SCRUBBER | StrOutputParser()).stream("x")) == "to [EMAIL] ok"


def test_several_choices() -> None:
    result = LLMResult(generations=[[ChatGeneration(message=AIMessage(MAIL)), ChatGeneration(message=AIMessage("b"))]])
    out = SCRUBBER.invoke([[generation.message for generation in choices] for choices in result.generations])
    assert [[message.content for message in choices] for choices in out] == [["[EMAIL]", "b"]]
