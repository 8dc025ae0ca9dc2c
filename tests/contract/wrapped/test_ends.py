"""How a call ends: early, blocked or refused, the model stops at once, and what was opened is closed once."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from kit import (
    EVERY_CALL,
    FAKES,
    MARK,
    MODELS,
    OPENAI,
    STREAMING,
    WAYS,
    Listener,
    assert_untold,
    beta_allowed,
    build,
    save,
    served,
)
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda
from small_guards import Block, Redact
from watching import Watch

from langchain_guard import OutputBlocked, Refused
from langchain_guard.runnable import Guard
from langchain_guard.testing import Reply, ScriptedChatModel, ScriptedServer
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = ["word "] * 8
LEFT = 5.0  # seconds after which a connection counts as left open; it is closed within milliseconds


@pytest.fixture
def held() -> Iterator[ScriptedServer]:
    """A server that says a few words, then nothing more until its client leaves."""
    with ScriptedServer(Reply(*WORDS, threading.Event(), "never said")) as server:
        yield server


@pytest.fixture
def held_at_a_secret() -> Iterator[ScriptedServer]:
    """As `held`, after a secret."""
    with ScriptedServer(Reply(*WORDS, "SECRET-", "1234", " and", threading.Event(), "never said")) as server:
        yield server


def assert_left(server: ScriptedServer) -> None:
    server.join(LEFT)
    assert server.aborted == 1


@pytest.mark.parametrize("name", OPENAI)
def test_an_early_close_closes_the_connection(held, name):
    stream = Redact().wrap(build(name, held)).stream("hi")
    assert any(chunk.text for chunk in stream)
    stream.close()
    assert_left(held)


@pytest.mark.parametrize("name", OPENAI)
def test_an_early_aclose_closes_the_connection(held, name):
    async def work() -> None:
        stream = Redact().wrap(build(name, held)).astream("hi")
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()
        await asyncio.to_thread(assert_left, held)

    run(work())


@pytest.mark.parametrize("name", OPENAI)
def test_an_abandoned_stream_closes_the_connection(held, name):
    stream = Redact().wrap(build(name, held)).stream("hi")
    next(stream)
    del stream
    gc.collect()
    assert_left(held)


@pytest.mark.parametrize("name", OPENAI)
@beta_allowed
def test_an_abandoned_stream_of_events_v3_closes_the_connection(held, name):
    stream = Redact().wrap(build(name, held)).stream_events("hi", version="v3")
    events = iter(stream)
    for _ in range(4):
        next(events)
    del stream, events
    gc.collect()
    assert_left(held)


@pytest.mark.parametrize("name", OPENAI)
def test_a_block_closes_the_connection_while_its_error_is_held(held_at_a_secret, name):
    listener, seen = Listener(), []
    with pytest.raises(OutputBlocked) as caught:
        seen.extend(Block().wrap(build(name, held_at_a_secret)).stream("hi", {"callbacks": [listener]}))
    assert_left(held_at_a_secret)
    assert caught.value.verdict.blocked
    assert listener.errors == [caught.value]
    assert_untold(*listener.heard())
    assert "".join(g.text for partial in listener.partials for row in partial.generations for g in row) == "".join(
        WORDS
    )


@pytest.mark.parametrize("name", OPENAI)
def test_a_block_closes_the_connection_while_its_error_is_held_async(held_at_a_secret, name):
    async def work() -> None:
        listener = Listener()
        with pytest.raises(OutputBlocked) as caught:
            async for _ in Block().wrap(build(name, held_at_a_secret)).astream("hi", {"callbacks": [listener]}):
                pass
        await asyncio.to_thread(assert_left, held_at_a_secret)
        assert listener.errors == [caught.value]

    run(work())


@pytest.mark.parametrize("name", OPENAI)
def test_a_chain_with_a_guard_around_it_closes_the_connection(held, held_at_a_secret, name):
    """`Wrapped`, the form for what has no seam of its own."""

    def chain(guard: Guard, server: ScriptedServer) -> Any:
        wrapped = guard.wrap(RunnableLambda(lambda value: value) | build(name, server))
        assert type(wrapped).__name__ == "Wrapped"
        return wrapped

    stream = chain(Redact(), held).stream("hi")
    assert any(chunk.text for chunk in stream)
    stream.close()
    assert_left(held)
    with pytest.raises(OutputBlocked):
        list(chain(Block(), held_at_a_secret).stream("hi"))
    assert_left(held_at_a_secret)


@pytest.mark.parametrize("name", OPENAI)
def test_an_async_chain_with_a_guard_around_it_closes_the_connection(held, held_at_a_secret, name):
    async def work() -> None:
        stream = Redact().wrap(RunnableLambda(_same) | build(name, held)).astream("hi")
        async for chunk in stream:
            if chunk.text:
                break
        await stream.aclose()
        await asyncio.to_thread(assert_left, held)
        with pytest.raises(OutputBlocked):
            async for _ in Block().wrap(RunnableLambda(_same) | build(name, held_at_a_secret)).astream("hi"):
                pass
        await asyncio.to_thread(assert_left, held_at_a_secret)

    run(work())


async def _same(value: Any) -> Any:
    return value


@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_block_stops_a_model_in_this_process(way):
    model = ScriptedChatModel(Reply("a ", "SECRET-1234", *["word "] * 500))
    with pytest.raises(OutputBlocked):
        WAYS[way](Block().wrap(model), "hi", {})
    assert model.pieces <= 4
    assert model.closes == 1


# -- sessions


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


@pytest.mark.parametrize(("name", "way"), EVERY_CALL)
def test_a_call_is_one_session(server, name, way):
    """Also where ``_generate`` streams, and where LangChain makes the asynchronous twin out of the synchronous one."""
    guard = Watch()
    WAYS[way](guard.wrap(build(name, server)), "hi", {})
    calls = 3 if "batch" in way else 1
    assert guard.log.count("open") == guard.log.count("close NoneType") == calls
    assert guard.log.count("filter") + guard.log.count("whole") == calls
    assert guard.log.count("answered") >= calls


@pytest.mark.parametrize("name", STREAMING)
@pytest.mark.parametrize("way", ["sync", "async"])
def test_an_early_close_closes_the_session(server, name, way):
    guard = Watch()
    model = guard.wrap(build(name, server))
    if way == "sync":
        stream = model.stream("hi")
        next(stream)
        stream.close()
    else:

        async def work() -> None:
            stream = model.astream("hi")
            await anext(stream)
            await stream.aclose()
            await asyncio.sleep(0)

        run(work())
        run(asyncio.sleep(0.01))
    assert guard.log[-1] == "close GeneratorExit"
    assert sum(entry.startswith("close") for entry in guard.log) == 1


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_models_error_closes_the_session_and_stays_what_it_is(way):
    guard = Watch()
    with pytest.raises(ConnectionError):
        WAYS[way](guard.wrap(ScriptedChatModel(ConnectionError("gone"))), "hi", {})
    assert guard.log[-1] == "close ConnectionError"


def test_a_cancelled_task_closes_the_session():
    guard, started = Watch(), asyncio.Event()

    class Slow(ScriptedChatModel):
        async def _astream(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
            async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
                yield chunk
                started.set()
                await asyncio.Event().wait()

    async def work() -> None:
        task = asyncio.create_task(collect(guard.wrap(Slow(Reply("a", "b"))).astream("hi")))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())
    assert guard.log[-1] == "close CancelledError"


# -- refusing the input


@pytest.mark.parametrize(("name", "way"), [call for call in EVERY_CALL if "generate" not in call[1]])
def test_a_refused_input_costs_nothing(name, way):
    with ScriptedServer(served) as server:
        plain = build(name, server)
        model, listener = Watch().wrap(plain), Listener()
        for each in (model, model.bind_tools([save])):
            with pytest.raises(Refused):
                WAYS[way](each, "BAD", {"callbacks": [listener]})
        assert server.requests == []
        if name in FAKES:
            assert not plain.calls
    assert {type(error) for error in listener.errors} == {Refused}


# -- around the model


@pytest.mark.parametrize("name", MODELS)
def test_a_blocked_answer_falls_back(server, name):
    other = ScriptedChatModel("another answer")
    chain = Block().wrap(build(name, server)).with_fallbacks([other])
    assert chain.invoke("hi").text == run(chain.ainvoke("hi")).text == "another answer"


def test_a_blocked_answer_is_retried_only_when_asked_for(server):
    model = ScriptedChatModel([Reply("SECRET-1234"), Reply("fine")])
    chain = Block().wrap(model).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    assert chain.invoke("hi").text == "fine"
    once = ScriptedChatModel([Reply("SECRET-1234"), Reply("fine")])
    chain = Block().wrap(once).with_retry(retry_if_exception_type=(ConnectionError,), wait_exponential_jitter=False)
    with pytest.raises(OutputBlocked):
        chain.invoke("hi")
    assert once.calls == 1


def test_redaction_goes_on_through_retries_and_fallbacks(server):
    model = Redact().wrap(build("streams", server))
    for chain in (model.with_retry(), model.with_fallbacks([model]), model.with_fallbacks([model]).bind_tools([save])):
        assert MARK in chain.invoke([HumanMessage("hi")]).text
