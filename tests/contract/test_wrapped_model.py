"""``guard.wrap(chat model)``: whoever calls it in whatever way, and whoever listens, gets the guarded text and no other."""

from __future__ import annotations

import contextlib
import io
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from kit import (
    CALLS,
    EVERY_CALL,
    GUARDED,
    MODELS,
    OPENAI,
    STREAMING,
    TEXT,
    USAGE,
    WAYS,
    Listener,
    assert_untold,
    build,
    holds,
    served,
    texts,
)
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.globals import set_debug
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.base import BaseTracer
from langchain_core.tracers.context import register_configure_hook
from small_guards import Block, Redact

from langchain_guard import OutputBlocked
from langchain_guard.testing import Reply, ScriptedServer
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


every_model = pytest.mark.parametrize("name", MODELS)
every_call = pytest.mark.parametrize(("name", "way"), EVERY_CALL)


# -- 1. what the caller gets


@every_call
def test_the_caller_gets_the_guarded_text(server, name, way):
    def check(model: Any) -> None:
        seen, answer = WAYS[way](model, "hi", {})
        assert texts(answer) == GUARDED
        assert_untold(*seen)

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@every_call
def test_the_answer_is_what_the_plain_model_answers_but_for_its_text(server, name, way):
    plain = build(name, server)
    _, expected = WAYS[way](plain, "hi", {})
    _, answer = WAYS[way](Redact().wrap(plain), "hi", {})
    assert type(answer) is type(expected)
    assert answer.usage_metadata == expected.usage_metadata
    assert answer.usage_metadata["total_tokens"] == USAGE
    assert answer.response_metadata.keys() == expected.response_metadata.keys()
    for key in ("finish_reason", "model_name", "model_provider", "status"):
        assert answer.response_metadata.get(key) == expected.response_metadata.get(key)


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("way", WAYS)
def test_the_standard_content_blocks_are_guarded(server, name, way):
    def check(model: Any) -> None:
        listener = Listener()
        seen, answer = WAYS[way](model, "hi", {"callbacks": [listener]})
        assert [block["text"] for block in answer.content_blocks] == [GUARDED]
        assert_untold(*seen, *listener.heard())

    plain = build(name, server, output_version="v1")
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("chat", "invoke"),  # langchain-openai does not stream a refusal of chat completions
        ("chat", "ainvoke"),
        *(("responses", way) for way in ("invoke", "ainvoke", "stream", "astream", "stream_events_v3")),
    ],
)
def test_the_text_of_a_models_refusal_is_guarded(name, way):
    with ScriptedServer(Reply(refusal="I cannot say SECRET-1234.")) as server:

        def check(model: Any) -> None:
            seen, _ = WAYS[way](model, "hi", {})
            assert "I cannot say [X]." in repr(seen)
            assert_untold(*seen)

        plain = build(name, server)
        holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_stream_stays_a_stream(server, name, way):
    """Text goes on as it is decided: all of the chunks but those with a piece of a secret."""
    plain = build(name, server)
    raw, _ = WAYS[way](plain, "hi", {})
    chunks, _ = WAYS[way](Redact().wrap(plain), "hi", {})
    assert all(type(chunk) is AIMessageChunk for chunk in chunks)
    assert len({chunk.id for chunk in chunks}) == len({chunk.id for chunk in raw})
    assert len(chunks) > len(raw) - 10
    assert [c.chunk_position for c in chunks].count("last") == 1
    assert chunks[-1].chunk_position == "last"
    assert [c.text for c in chunks][:3] == [c.text for c in raw][:3]


def test_a_model_that_does_not_stream_answers_in_one_chunk(server):
    plain = build("whole", server)
    for way in ("stream", "astream"):
        chunks, _ = WAYS[way](Redact().wrap(plain), "hi", {})
        assert [type(chunk) for chunk in chunks] == [AIMessage]


@every_call
def test_a_blocked_answer_is_a_typed_error_and_nothing_else(server, name, way):
    model, listener = Block().wrap(build(name, server)), Listener()
    with pytest.raises(OutputBlocked) as caught:
        WAYS[way](model, "hi", {"callbacks": [listener]})
    assert_untold([caught.value], *listener.heard())
    if way not in CALLS:
        assert [type(error) for error in listener.errors] == [OutputBlocked]
        assert listener.ends == []


# -- 2. what listeners are told


@every_call
def test_a_handler_in_the_config_is_told_the_guarded_text_and_one_run(server, name, way):
    def check(model: Any) -> None:
        listener = Listener()
        WAYS[way](model, "hi", {"callbacks": [listener]})
        assert len(listener.started) == CALLS.get(way, 1)
        assert len(listener.ends) == CALLS.get(way, 1)
        assert_untold(*listener.heard())

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@every_call
def test_a_handler_of_the_model_is_told_the_guarded_text_and_one_run(server, name, way):
    def check(wrap: Any) -> None:
        listener = Listener()
        WAYS[way](wrap(build(name, server, callbacks=[listener])), "hi", {})
        assert len(listener.started) == len(listener.ends) == CALLS.get(way, 1)
        assert_untold(*listener.heard())

    holds(check, Redact().wrap, lambda model: model)


_global_listener: ContextVar[Listener | None] = ContextVar("global_listener", default=None)


@pytest.fixture
def hooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("langchain_core.tracers.context._configure_hooks", [])
    register_configure_hook(_global_listener, inheritable=True)


@every_call
@pytest.mark.usefixtures("hooked")
def test_a_handler_of_the_process_is_told_the_guarded_text_and_one_run(server, name, way):
    """Tracing set by the environment, usage callbacks and observability packages come this way."""

    def check(model: Any) -> None:
        listener = Listener()
        token = _global_listener.set(listener)
        try:
            WAYS[way](model, "hi", {})
        finally:
            _global_listener.reset(token)
        assert len(listener.started) == CALLS.get(way, 1)
        assert_untold(*listener.heard())

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


class Tracer(BaseTracer):
    """Keeps root runs."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


@every_model
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "generate"])
def test_a_tracer_keeps_one_run_under_the_models_name(server, name, way):
    def check(model: Any) -> None:
        tracer = Tracer()
        WAYS[way](model, "hi", {"callbacks": [tracer]})
        (root,) = tracer.roots
        assert root.name == type(model).__name__
        assert root.child_runs == []
        assert_untold([root.outputs], [root.events])

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@every_model
@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_debug_output_has_the_guarded_text(server, name, way):
    def check(model: Any) -> None:
        printed = io.StringIO()
        set_debug(True)
        try:
            with contextlib.redirect_stdout(printed):
                WAYS[way](model, "hi", {})
        finally:
            set_debug(False)
        assert printed.getvalue()
        assert "SECRET-" not in printed.getvalue()

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize(("name", "way"), [call for call in EVERY_CALL if "generate" not in call[1]])
def test_the_verdict_is_an_event_of_the_models_own_run(server, name, way):
    listener = Listener()
    WAYS[way](Redact().wrap(build(name, server)), "hi", {"callbacks": [listener]})
    assert sorted(listener.custom_runs) == sorted(start["run_id"] for start in listener.started)
    assert {(v["guard"], v["action"], len(v["findings"])) for v in listener.customs} == {("Redact", "redact", 2)}


def test_the_verdict_of_a_model_in_a_chain_is_in_its_events(server):
    chain = ChatPromptTemplate.from_template("{text}") | Redact().wrap(build("chat", server))
    events = run(collect(chain.astream_events({"text": "hi"}, version="v2")))
    (verdict,) = [event for event in events if event["event"] == "on_custom_event"]
    (start,) = [event for event in events if event["event"] == "on_chat_model_start"]
    assert verdict["name"] == "langchain_guard.verdict"
    assert (verdict["run_id"], verdict["parent_ids"]) == (start["run_id"], start["parent_ids"])


def test_a_run_id_of_the_caller_is_the_models(server):
    for way in ("invoke", "ainvoke", "stream", "astream"):
        listener, run_id = Listener(), uuid4()
        WAYS[way](Redact().wrap(build("streams", server)), "hi", {"callbacks": [listener], "run_id": run_id})
        assert [start["run_id"] for start in listener.started] == listener.custom_runs == [run_id]


# -- 3. what the model tells beside its text


@every_model
def test_usage_is_counted_once(server, name):
    model = Redact().wrap(build(name, server))
    with get_usage_metadata_callback() as usage:
        WAYS["invoke"](model, "hi", {})
        WAYS["stream"](model, "hi", {})
        WAYS["astream"](model, "hi", {})
    assert sum(counted["total_tokens"] for counted in usage.usage_metadata.values()) == 3 * USAGE


@every_model
def test_a_result_keeps_what_the_model_tells_of_it(server, name):
    plain = build(name, server)
    expected = plain.generate([[HumanMessage("hi")]])
    result = Redact().wrap(plain).generate([[HumanMessage("hi")]])
    assert (result.llm_output or {}).keys() == (expected.llm_output or {}).keys()
    (old,), (new,) = expected.generations[0], result.generations[0]
    assert new.text == GUARDED
    assert old.text == TEXT
    assert (new.generation_info or {}).keys() == (old.generation_info or {}).keys()
