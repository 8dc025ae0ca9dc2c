"""A wrapped model in LangGraph: nodes, agents and retries show and keep the guarded text only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from kit import (
    GUARDED,
    GUARDED_NOTE,
    MARK,
    MODELS,
    OPENAI,
    STREAMING,
    Answer,
    Listener,
    assert_untold,
    beta_allowed,
    build,
    holds,
    save,
    served,
)
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.graph import MessagesState, StateGraph
from langgraph.types import RetryPolicy
from small_guards import Block, Redact

from langchain_guard import OutputBlocked
from langchain_guard.testing import ScriptedServer
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Iterator

MODES = ("messages", "updates", "values")
HI = {"messages": [("user", "hi")]}
CALL = {"messages": [("user", "call save")]}


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


def graph(model: Any, **node: Any) -> Any:
    """One node that calls the model; sync or async as the graph is called."""

    def call(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    async def acall(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    from langchain_core.runnables import RunnableLambda

    built = StateGraph(MessagesState)
    built.add_node("model", RunnableLambda(call, acall), **node)
    built.set_entry_point("model")
    built.set_finish_point("model")
    return built.compile()


@beta_allowed
def _v3(runnable: Any, value: Any) -> list[Any]:
    async def work() -> list[Any]:
        stream = await runnable.astream_events(value, version="v3")
        return [event async for event in stream]

    return run(work())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_a_node_streams_the_guarded_text(server, name, mode, way):
    def check(model: Any) -> None:
        runnable = graph(model)
        if way == "stream":
            out = list(runnable.stream(HI, stream_mode=mode))
        else:
            out = run(collect(runnable.astream(HI, stream_mode=mode)))
        assert_untold(out)
        if mode == "messages":
            assert "".join(str(message.text) for message, _ in out) == GUARDED
            assert len(out) > 5 or name == "whole"
        else:
            assert MARK in repr(out)

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize("name", STREAMING)
def test_a_node_in_events_v3(server, name):
    def check(model: Any) -> None:
        events = _v3(graph(model), HI)
        assert_untold(*_by_namespace(events))
        assert MARK in repr(events)

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


def _by_namespace(events: list[Any]) -> list[Any]:
    """Graph events of protocol v3 in groups whose pieces can be joined."""
    groups: dict[Any, list[Any]] = {}
    for event in events:
        groups.setdefault(event["method"], []).append(event["params"])
    return list(groups.values())


@pytest.mark.parametrize("name", [*OPENAI, "streams", "whole"])
@pytest.mark.parametrize("mode", MODES)
def test_an_agent_with_a_tool_streams_guarded_texts_and_arguments(server, name, mode):
    def check(model: Any) -> None:
        out = list(create_agent(model, tools=[save]).stream(CALL, stream_mode=mode))
        assert_untold(out)
        assert MARK in repr(out)

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize("name", [*OPENAI, "streams"])
def test_an_agents_events_v3(server, name):
    def check(model: Any) -> None:
        events = _v3(create_agent(model, tools=[save]), CALL)
        assert_untold(*_by_namespace(events))
        assert MARK in repr(events)

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize("name", [*OPENAI, "streams", "whole"])
def test_an_agent_runs_its_tool_with_the_guarded_arguments(server, name):
    def check(model: Any) -> None:
        notes = []

        @tool
        def save(note: str) -> str:
            """Save a note."""
            notes.append(note)
            return "saved"

        listener = Listener()
        agent = create_agent(model, tools=[save])
        result = agent.invoke(CALL, {"callbacks": [listener]})
        assert notes == [GUARDED_NOTE]
        assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
        assert result["messages"][-1].text == GUARDED
        assert len(listener.started) == 2
        assert_untold(result["messages"], *listener.heard())
        assert run(agent.ainvoke(CALL))["messages"][-1].text == GUARDED
        assert notes == [GUARDED_NOTE] * 2

    plain = build(name, server)
    holds(check, Redact().wrap(plain), plain)


@pytest.mark.parametrize(("name", "asked"), [("chat", "call Answer"), ("responses", "call Answer"),
                                            ("streams", "call Answer")])  # fmt: skip
def test_an_agents_structured_response(server, name, asked):
    from langchain.agents.structured_output import ToolStrategy

    agent = create_agent(Redact().wrap(build(name, server)), tools=[], response_format=ToolStrategy(Answer))
    result = agent.invoke({"messages": [("user", asked)]})
    assert result["structured_response"] == Answer(answer=GUARDED_NOTE, n=1)
    assert_untold(result["messages"])


@pytest.mark.parametrize("name", OPENAI)
def test_an_agents_structured_response_of_the_provider(server, name):
    from langchain.agents.structured_output import ProviderStrategy

    agent = create_agent(Redact().wrap(build(name, server)), tools=[], response_format=ProviderStrategy(Answer))
    result = agent.invoke({"messages": [("user", "as json")]})
    assert result["structured_response"] == Answer(answer=GUARDED_NOTE, n=1)
    assert_untold(result["messages"])


# -- refusals


@pytest.mark.parametrize("name", MODELS)
def test_a_blocked_answer_ends_the_graph_with_its_own_error(server, name):
    out: list[Any] = []
    with pytest.raises(OutputBlocked):
        out.extend(graph(Block().wrap(build(name, server))).stream(HI, stream_mode="messages"))
    assert_untold(out)


def test_langgraph_does_not_retry_a_blocked_answer():
    with ScriptedServer(served) as server:
        runnable = graph(Block().wrap(build("chat", server)), retry_policy=RetryPolicy())
        with pytest.raises(OutputBlocked):
            runnable.invoke(HI)
        with pytest.raises(OutputBlocked):
            run(runnable.ainvoke(HI))
        assert len(server.requests) == 2
