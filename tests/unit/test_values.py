"""Values: every text is found where it stands, replaced in a copy, and everything else is handed on by identity."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import io
import json
from collections import OrderedDict, namedtuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from pydantic import BaseModel, ConfigDict, SecretStr

from langchain_guard.values import MAX_DEPTH, Unreadable, describe, read, rewrite

BAD, GOOD = "secret", "[X]"


def clean(value: Any, **options: Any) -> Any:
    return rewrite(value, lambda s: s.text.replace(BAD, GOOD) if BAD in s.text else s.text, **options)


class Answer(BaseModel):
    text: str
    n: int = 3
    inner: dict[str, Any] = {}


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    text: str = "t"


@dataclasses.dataclass(frozen=True)
class Order:
    note: str
    count: int = 1


Pair = namedtuple("Pair", "a b")  # noqa: PYI024  # the untyped kind is a value of chains, too
CALL = {"name": "send", "args": {"to": "a secret", "n": 1}, "id": "c1", "type": "tool_call"}
CLEAN_CALL = {"name": "send", "args": {"to": "a [X]", "n": 1}, "id": "c1", "type": "tool_call"}

CASES = [
    pytest.param("a secret", "a [X]", [""], id="str"),
    pytest.param({"q": "a secret", "k": 3}, {"q": "a [X]", "k": 3}, ["[*]", "q", "[*]"], id="dict"),
    pytest.param({"a b": {"c": "secret"}}, {"a b": {"c": "[X]"}}, ["[*]", "[*][*]", "[*].c"], id="key that is no name"),
    pytest.param(["x", ("secret",)], ["x", ("[X]",)], ["[0]", "[1][0]"], id="list of tuple"),
    pytest.param({"secret"}, {"[X]"}, ["[0]"], id="set"),
    pytest.param(Pair("secret", 1), Pair("[X]", 1), ["[0]"], id="namedtuple"),
    pytest.param(OrderedDict(a="secret"), OrderedDict(a="[X]"), ["[*]", "a"], id="OrderedDict"),
    pytest.param(b"a secret", b"a [X]", [""], id="bytes that are text"),
    pytest.param(Answer(text="secret"), Answer(text="[X]"), ["text"], id="pydantic"),
    pytest.param(Order("secret"), Order("[X]"), ["note"], id="dataclass"),
    pytest.param(StringPromptValue(text="secret"), StringPromptValue(text="[X]"), ["text"], id="StringPromptValue"),
    pytest.param(
        ChatPromptValue(messages=[SystemMessage("s"), HumanMessage("secret", id="h")]),
        ChatPromptValue(messages=[SystemMessage("s"), HumanMessage("[X]", id="h")]),
        ["messages[0].content", "messages[1].content"],
        id="ChatPromptValue",
    ),
    pytest.param(
        [Document(page_content="secret", metadata={"source": "a secret"}, id="d1")],
        [Document(page_content="[X]", metadata={"source": "a [X]"}, id="d1")],
        ["[0].page_content", "[0].metadata[*]", "[0].metadata.source"],
        id="documents",
    ),
    pytest.param(
        AIMessage("a", tool_calls=[CALL]),
        AIMessage("a", tool_calls=[CLEAN_CALL]),
        ["content", "tool_calls[0].args[*]", "tool_calls[0].args.to", "tool_calls[0].args[*]"],
        id="tool call",
    ),
    pytest.param(
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": '{"a": "secret', "id": "1", "error": "secret"}]),
        AIMessage("", invalid_tool_calls=[{"name": "f", "args": '{"a": "[X]', "id": "1", "error": "[X]"}]),
        ["invalid_tool_calls[0].args", "invalid_tool_calls[0].error"],
        id="invalid tool call",
    ),
    pytest.param(
        AIMessage("", additional_kwargs={"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a":"secret"}'}}]}),
        AIMessage("", additional_kwargs={"tool_calls": [{"id": "1", "function": {"name": "f", "arguments": '{"a": "[X]"}'}}]}),
        ["tool_calls[0].args[*]",
            "tool_calls[0].args.a",
            "additional_kwargs.tool_calls[0].function.arguments[*]", "additional_kwargs.tool_calls[0].function.arguments.a"],
        id="the provider's copy of a tool call",
    ),
    pytest.param(
        AIMessage("", additional_kwargs={"a secret": {"n": 1}}, response_metadata={"a secret": "secret", "model_name": "m"}),
        AIMessage("", additional_kwargs={"a [X]": {"n": 1}}, response_metadata={"a [X]": "[X]", "model_name": "m"}),
        ["additional_kwargs[*]", "additional_kwargs[*][*]", "response_metadata[*]", "response_metadata[*]"],
        id="keys beside a message that no provider uses",
    ),
    pytest.param(
        AIMessage([{"type": "non_standard", "value": {"a secret": "x"}}]),
        AIMessage([{"type": "non_standard", "value": {"a [X]": "x"}}]),
        ["content[0].value[*]", "content[0].value[*]"],
        id="keys in a content block",
    ),
    pytest.param(
        AIMessage("a", note="secret", secret=1),
        AIMessage("a", **{"note": "[X]", "[X]": 1}),
        ["content", "[*]", "note", "[*]"],
        id="fields of a message that LangChain does not know",
    ),
    pytest.param(Loose(**{"a secret": "secret"}), Loose(**{"a [X]": "[X]"}), ["text", "[*]", "[*]"], id="extra fields of a pydantic model"),
    pytest.param(
        {("secret", 1): "a", b"secret": "b", 4111111111111111: "c", 7: "d"},
        {("[X]", 1): "a", b"[X]": "b", 4111111111111111: "c", 7: "d"},
        ["[*][0]", "[*]", "[*]", "[*]", "[*]", "[*]", "[*]"],
        id="keys that are no str",
    ),
    pytest.param(
        AIMessage("", additional_kwargs={"reasoning_content": "secret", "parsed": Answer(text="secret")}),
        AIMessage("", additional_kwargs={"reasoning_content": "[X]", "parsed": Answer(text="[X]")}),
        ["additional_kwargs.reasoning_content", "additional_kwargs.parsed.text"],
        id="reasoning and parsed output beside",
    ),
    pytest.param(
        AIMessage([{"type": "reasoning", "reasoning": "secret"}, {"type": "text", "text": "secret", "id": "secret"}]),
        AIMessage([{"type": "reasoning", "reasoning": "[X]"}, {"type": "text", "text": "[X]", "id": "secret"}]),
        ["content[0].reasoning", "content[1].text"],
        id="content blocks",
    ),
    pytest.param(
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {"a": "secret"}}, {"type": "thinking", "thinking": "secret", "signature": "secret"}]),
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {"a": "[X]"}}, {"type": "thinking", "thinking": "[X]", "signature": "secret"}]),
        ["content[0].input[*]", "content[0].input.a", "content[1].thinking"],
        id="Anthropic's blocks",
    ),
    pytest.param(
        AIMessage([{"type": "function_call", "call_id": "1", "arguments": '{"a": "secret"}'}, {"type": "refusal", "refusal": "secret"}]),
        AIMessage([{"type": "function_call", "call_id": "1", "arguments": '{"a": "[X]"}'}, {"type": "refusal", "refusal": "[X]"}]),
        ["content[0].arguments[*]", "content[0].arguments.a", "content[1].refusal"],
        id="OpenAI's blocks",
    ),
    pytest.param(
        AIMessage([{"type": "text", "text": "t", "annotations": [{"type": "citation", "cited_text": "secret"}]}]),
        AIMessage([{"type": "text", "text": "t", "annotations": [{"type": "citation", "cited_text": "[X]"}]}]),
        ["content[0].text", "content[0].annotations[0].cited_text"],
        id="citations",
    ),
    pytest.param(
        ToolMessage("secret", tool_call_id="secret", artifact={"raw": "secret"}),
        ToolMessage("[X]", tool_call_id="secret", artifact={"raw": "[X]"}),
        ["content", "artifact[*]", "artifact.raw"],
        id="tool message with artifact",
    ),
    pytest.param({"card": 4111111111111111, "n": 12}, {"card": 4111111111111111, "n": 12}, ["[*]", "card", "[*]"], id="long number"),
]  # fmt: skip


@pytest.mark.parametrize(("value", "wanted", "paths"), CASES)
def test_texts_are_found_with_their_path_and_replaced_in_a_copy(value, wanted, paths):
    before = copy.deepcopy(value)
    changed = clean(value)
    assert (changed, value) == (wanted, before)
    assert type(changed) is type(value)
    assert [segment.path for segment in read(value)] == paths


@pytest.mark.parametrize(("value", "wanted", "paths"), CASES)
def test_a_clean_value_is_handed_on_by_identity(value, wanted, paths):
    assert clean(wanted) is wanted


def test_numbers_that_a_rule_replaces_become_text():
    assert rewrite({"card": 4111111111111111}, lambda s: "[CARD]" if s.text == "4111111111111111" else s.text) == {
        "card": "[CARD]"
    }


def test_unchanged_parts_are_shared_with_the_original():
    image = {"type": "image", "base64": "secret"}
    message = AIMessage([image, {"type": "text", "text": "secret"}], id="m", usage_metadata=None)
    assert clean(message).content[0] is message.content[0]


def test_logprobs_go_with_a_changed_text_only():
    spelled = {"logprobs": {"content": [{"token": "secret"}]}, "model_name": "m"}
    assert clean(AIMessage("secret", response_metadata=spelled)).response_metadata == {**spelled, "logprobs": None}
    untouched = AIMessage("fine", response_metadata=spelled)
    assert clean(untouched) is untouched


def test_a_chunk_keeps_its_pieces_and_its_parsed_calls_in_step():
    piece = {"name": "f", "args": json.dumps({"a": "secret"}), "id": "1", "index": 0, "type": "tool_call_chunk"}
    changed = clean(AIMessageChunk("", tool_call_chunks=[piece]))
    assert changed.tool_calls[0]["args"] == {"a": "[X]"}
    assert json.loads(changed.tool_call_chunks[0]["args"]) == {"a": "[X]"}


def test_escapes_in_raw_json_hide_nothing():
    raw = '{"to": "s\\u0065cret", "line": "a\\nsecret"}'
    changed = clean(AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": raw}}))
    arguments = changed.additional_kwargs["function_call"]["arguments"]
    assert json.loads(arguments) == {"to": "[X]", "line": "a\n[X]"}


def test_keys_that_become_one_do_not_swallow_each_other():
    values = rewrite({"k1": "a", "k2": "b"}, lambda s: "[X]" if s.text in {"k1", "k2"} else s.text)
    assert values == {"[X]": "a", "[X]_2": "b"}


def test_a_key_that_was_replaced_is_in_no_path():
    paths = []

    def visit(segment):
        paths.append(segment.path)
        return "[X]" if segment.text == "ghp_key" else segment.text

    rewrite({"ghp_key": {"inner": "text"}}, visit)
    assert paths == ["[*]", "[*][*]", "[*].inner"]


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (HumanMessage("t"), "user"), (AIMessage("t"), "ai"), (AIMessageChunk("t"), "ai"), (SystemMessage("t"), "system"),
        (ToolMessage("t", tool_call_id="1"), "tool"), (FunctionMessage("t", name="f"), "tool"),
        (ChatMessage("t", role="assistant"), "ai"), (ChatMessage("t", role="developer"), "system"),
        (ChatMessage("t", role="wizard"), "user"),
    ],
)  # fmt: skip
def test_roles(message, role):
    assert [segment.role for segment in read(message)] == [role]


def test_documents_are_documents_wherever_they_stand():
    found = read({"context": [Document(page_content="t", metadata={"k": "v"})], "question": "q"})
    assert [(s.text, s.role) for s in found if s.text in "tvq"] == [("t", "document"), ("v", "document"), ("q", "user")]


@pytest.mark.parametrize("leaf", [None, True, 3, 2.5, dt.date(2026, 1, 1), SecretStr("secret")])
def test_leaves_without_text_pass(leaf):
    assert read(leaf) == []
    assert clean({"k": leaf})["k"] is leaf


@pytest.mark.parametrize(
    "value",
    [b"\xff\xfe", io.StringIO("secret"), object(), len, (x for x in "ab"), {"k": [io.BytesIO()]}],
    ids=["bytes", "file", "object", "function", "generator", "deep"],
)
def test_what_cannot_be_read_says_so_and_passes_only_when_lenient(value):
    with pytest.raises(Unreadable):
        read(value)
    assert clean(value, lenient=True) is value


def test_a_value_that_holds_itself_is_unreadable():
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(Unreadable, match=f"deeper than {MAX_DEPTH}"):
        read(loop)


def test_an_artifact_may_be_any_object_and_its_readable_parts_are_still_judged():
    frame = object()
    changed = clean(ToolMessage("t", tool_call_id="1", artifact={"frame": frame, "note": "secret"}))
    assert changed.artifact == {"frame": frame, "note": "[X]"}


def test_a_trace_may_know_the_kind_and_the_amount():
    assert describe("abc") == {"type": "str", "length": 3}
    assert describe(HumanMessage("abcd")) == {"type": "HumanMessage", "length": 4}
    assert describe(object()) == {"type": "object"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON)
def test_whatever_changes_nothing_returns_the_same_object(value):
    assert rewrite(value, lambda segment: segment.text) is value


@given(JSON)
def test_what_was_rewritten_holds_no_trace_and_the_original_is_left_alone(value):
    before = copy.deepcopy(value)
    changed = rewrite(value, lambda s: "" if s.text.strip() else s.text)
    assert value == before
    assert not [s for s in read(changed) if s.text.strip() and not s.text.startswith("_")]
