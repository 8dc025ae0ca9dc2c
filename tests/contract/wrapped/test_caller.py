"""A guard around a model knows who is calling, in whatever way the model is called."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from kit import (
    EVERY_CALL,
    GUARDED,
    MARK,
    MODELS,
    OPENAI,
    WAYS,
    WITH_CONFIG,
    beta_allowed,
    build,
    save,
    served,
)
from langchain_core.prompts import ChatPromptTemplate
from watching import Asks

from langchain_guard.testing import ScriptedServer
from support import run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


USER = {"configurable": {"user_id": "u1"}}


@pytest.mark.parametrize(("name", "way"), [call for call in EVERY_CALL if call[1] in WITH_CONFIG])
@pytest.mark.parametrize("form", ["itself", "bound", "after a prompt", "with_config", "with_retry"])
def test_the_guard_knows_the_caller(server, name, way, form):
    guard = Asks()
    model, asked, config = guard.wrap(build(name, server)), "hi", USER
    if form == "bound":
        model = model.bind_tools([save])
    elif form == "with_config":
        model, config = model.with_config(USER), {}
    elif form == "with_retry":
        if "v3" in way:
            return  # a binding without a chat model's events
        model = model.with_retry()
    elif form == "after a prompt":
        if "v3" in way:
            return  # a chain's events of protocol v3 come from graphs only
        model, asked = ChatPromptTemplate.from_template("{text}") | model, {"text": "hi"}
    WAYS[way](model, asked, config)
    assert guard.callers == ["u1"] * (3 if "batch" in way else 1)


@pytest.mark.parametrize("name", MODELS)
def test_an_agents_guard_knows_the_caller(server, name):
    from langchain.agents import create_agent

    guard = Asks()
    agent = create_agent(guard.wrap(build(name, server)), tools=[save])
    call = {"messages": [("user", "call save")]}
    agent.invoke(call, USER)
    run(agent.ainvoke(call, USER))
    list(agent.stream(call, USER, stream_mode="messages"))
    assert guard.callers == ["u1"] * 6


@pytest.mark.parametrize("name", ["streams", "whole"])
@pytest.mark.parametrize("stream", [False, True])
def test_callers_in_many_threads_stay_apart(server, name, stream):
    guard = Asks()
    model = guard.wrap(build(name, server))

    def ask(number: int) -> str:
        config = {"configurable": {"user_id": f"u{number}"}}
        return "".join(c.text for c in model.stream("hi", config)) if stream else model.invoke("hi", config).text

    with ThreadPoolExecutor(40) as pool:
        assert set(pool.map(ask, range(40))) == {GUARDED}
    assert sorted(guard.callers) == sorted(f"u{n}" for n in range(40))


@pytest.mark.parametrize("name", [*OPENAI, "streams", "whole"])
def test_callers_in_many_tasks_stay_apart(server, name):
    guard = Asks()
    model = guard.wrap(build(name, server))

    async def work() -> list[str]:
        configs = [{"configurable": {"user_id": f"u{number}"}} for number in range(40)]
        return [message.text for message in await asyncio.gather(*(model.ainvoke("hi", c) for c in configs))]

    assert run(work()) == [GUARDED] * 40
    assert sorted(guard.callers) == sorted(f"u{n}" for n in range(40))


@beta_allowed
def test_events_v3_name_the_caller_even_when_started_late(server):
    """The stream of protocol v3 starts when it is read; the call view must live on until then."""
    guard = Asks()
    stream = guard.wrap(build("streams", server)).stream_events("hi", USER, version="v3")
    assert guard.callers == []
    assert MARK in str(stream.output.text)
    assert guard.callers == ["u1"]
