"""What whoever watches an agent gets to see: in every stream mode, of every listener, and of agents inside of agents.

The same script runs under LangChain's own PIIMiddleware with the same rule, whose leaks are part of the test: a check
that finds none there could find none here either.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import PIIMiddleware
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from langchain_core.tracers.base import BaseTracer
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_stream_writer

from contract.kit import assert_untold
from contract.small_guards import MARK, Redact
from langchain_guard.agents import GuardMiddleware
from langchain_guard.events import EVENT
from langchain_guard.testing import Call, Reply, ScriptedChatModel
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Iterable

ASK = {"messages": [("user", "what is the code?")]}
ANSWER, GUARDED = "The code is SECRET-1234. Bye.", f"The code is {MARK}. Bye."


@tool
def look(q: str) -> str:
    """Look something up."""
    get_stream_writer()({"progress": "half way"})
    return f"it is SECRET-5678, {q}"


def said(messages: list[Any]) -> Reply:
    if messages[-1].type == "tool":
        return Reply.every(3, ANSWER)
    return Reply("Let me see SECRET-1111. ", tool_calls=[Call("look", {"q": "for SECRET-2222"}, piece=4)])


def guarded(**settings: Any) -> Any:
    return create_agent(ScriptedChatModel(said), [look], middleware=[GuardMiddleware([Redact()])], **settings)


def langchains(**settings: Any) -> Any:
    pii = PIIMiddleware("secret", detector=r"SECRET-\d{4}", apply_to_output=True, apply_to_tool_results=True)
    return create_agent(ScriptedChatModel(said), [look], middleware=[pii], **settings)


def stream(agent: Any, mode: Any, **settings: Any) -> list[Any]:
    return list(agent.stream(ASK, stream_mode=mode, **settings))


def astream(agent: Any, mode: Any, **settings: Any) -> list[Any]:
    return run(collect(agent.astream(ASK, stream_mode=mode, **settings)))


pytestmark = pytest.mark.filterwarnings("ignore:.*v3:langchain_core._api.LangChainBetaWarning")
both = pytest.mark.parametrize("watch", [stream, astream])


@both
@pytest.mark.parametrize("mode", ["messages", "updates", "values"])
def test_no_mode_shows_a_raw_value_where_langchains_own_middleware_does(watch, mode):
    assert_untold(watch(guarded(), mode))
    with pytest.raises(AssertionError):
        assert_untold(watch(langchains(), mode))


@both
def test_messages_come_in_pieces_and_say_everything_but_the_secret(watch):
    chunks = [message for message, _ in watch(guarded(), "messages")]
    answer = [chunk for chunk in chunks if isinstance(chunk, AIMessageChunk)]
    assert "".join(chunk.text for chunk in answer) == f"Let me see {MARK}. {GUARDED}"
    assert len([chunk for chunk in answer if chunk.text]) > 5
    assert [chunk.content for chunk in chunks if chunk.type == "tool"] == [f"it is {MARK}, for {MARK}"]


@both
def test_several_modes_at_once_and_the_tools_own_stream(watch):
    shown = watch(guarded(), ["messages", "updates", "values", "custom"])
    assert_untold(*_by_first(shown))
    assert [value for mode, value in shown if mode == "custom"] == [{"progress": "half way"}]


def _by_first(pairs: Iterable[tuple[Any, ...]]) -> list[Any]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for first, *rest in pairs:
        groups[first].append(rest)
    return list(groups.values())


def events_v3(agent: Any) -> list[Any]:
    async def work() -> list[Any]:
        return [event async for event in await agent.astream_events(ASK, version="v3")]

    return run(work())


def sync_events_v3(agent: Any) -> list[Any]:
    return list(agent.stream_events(ASK, version="v3"))


@pytest.mark.parametrize("events", [events_v3, sync_events_v3])
def test_events_v3(events):
    shown = events(guarded())
    assert_untold(*_by_first((event["method"], event["params"]) for event in shown))
    assert MARK in repr(shown)


def test_events_v2_name_the_verdicts():
    events = run(collect(guarded().astream_events(ASK, version="v2")))
    groups = _by_first(((event["run_id"], event["event"]), event["data"]) for event in events)
    assert_untold(*groups)
    verdicts = [event["data"] for event in events if event["event"] == "on_custom_event" and event["name"] == EVENT]
    assert [verdict["action"] for verdict in verdicts] == ["allow", "redact", "redact", "redact"]


class Tracer(BaseTracer):
    """Keeps root runs, as LangSmith's tracer sends them."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
def test_a_tracer_has_the_guarded_tool_result_in_the_tools_own_run(call):
    tracer = Tracer()
    if call == "invoke":
        guarded().invoke(ASK, {"callbacks": [tracer]})
    else:
        run(guarded().ainvoke(ASK, {"callbacks": [tracer]}))
    runs = list(_walk(tracer.roots[0]))
    (tools,) = [one for one in runs if one.run_type == "tool"]
    assert tools.outputs["output"].content == f"it is {MARK}, for {MARK}"
    assert_untold([(one.inputs, one.outputs, one.events, one.extra) for one in runs])


@pytest.mark.parametrize("where", ["the tool's run", "the state"])
def test_langchains_own_middleware_leaves_tool_results_to_tracers_and_arguments_as_they_are(where):
    """What the README says of it."""
    tracer = Tracer()
    state = langchains().invoke(ASK, {"callbacks": [tracer]})
    if where == "the state":
        assert "SECRET-2222" in repr(state["messages"][1].tool_calls)
    else:
        (tools,) = [one for one in _walk(tracer.roots[0]) if one.run_type == "tool"]
        assert "SECRET-5678" in repr(tools.outputs)


def _walk(one: Any) -> Iterable[Any]:
    yield one
    for child in one.child_runs:
        yield from _walk(child)


# -- the thread


@pytest.mark.parametrize("call", ["invoke", "ainvoke"])
def test_no_checkpoint_holds_a_raw_answer_or_tool_result(call):
    saver = InMemorySaver()
    agent = guarded(checkpointer=saver)
    thread = {"configurable": {"thread_id": "1"}}
    for _ in range(2):
        if call == "invoke":
            agent.invoke(ASK, thread)
        else:
            run(agent.ainvoke(ASK, thread))
    history = list(agent.get_state_history(thread))
    assert len(history) > 10
    assert_untold([(snapshot.values, snapshot.metadata, snapshot.tasks) for snapshot in history])
    assert_untold(list(saver.list(thread)))
    stored = repr([dict(saver.blobs), {key: dict(writes) for key, writes in saver.writes.items()}])
    assert "SECRET-" not in stored
    assert "model_calls" not in stored  # what a run has used is nobody's history
    assert [type(m) for m in agent.get_state(thread).values["messages"]].count(AIMessage) == 4


def test_the_users_own_words_stand_in_the_first_checkpoint_unless_they_are_guarded_before_the_agent():
    """LangGraph stores and shows the input before any middleware runs; a guard in front of the agent is the remedy."""
    value = {"messages": [("user", "my code is SECRET-1234")]}
    thread = {"configurable": {"thread_id": "1"}}
    behind = guarded(checkpointer=InMemorySaver())
    behind.invoke(value, thread)
    texts = [snapshot.values["messages"][0].text for snapshot in behind.get_state_history(thread) if _begun(snapshot)]
    assert texts[0] == f"my code is {MARK}"
    assert "SECRET-1234" in texts[-1]
    agent = guarded(checkpointer=InMemorySaver())
    (Redact() | agent).invoke(value, thread)
    assert_untold([snapshot.values for snapshot in agent.get_state_history(thread)])


def _begun(snapshot: Any) -> bool:
    return bool(snapshot.values.get("messages"))


# -- agents inside of agents


def supervisor(inner: Any) -> Any:
    @tool
    def ask(q: str) -> str:
        """Ask the other agent."""
        return str(inner.invoke({"messages": [("user", q)]})["messages"][-1].text)

    async def ask_async(q: str) -> str:
        return str((await inner.ainvoke({"messages": [("user", q)]}))["messages"][-1].text)

    ask.coroutine = ask_async

    def answer(messages: list[Any]) -> Reply:
        if messages[-1].type == "tool":
            return Reply.every(3, f"It says: {messages[-1].text} And SECRET-3333.")
        return Reply(tool_calls=[Call("ask", {"q": "the code?"})])

    return create_agent(ScriptedChatModel(answer), [ask], middleware=[GuardMiddleware([Redact()])])


@both
@pytest.mark.parametrize("mode", ["messages", "updates", "values"])
def test_an_agent_that_is_a_tool_shows_nothing_raw(watch, mode):
    shown = watch(supervisor(guarded()), mode, subgraphs=True)
    assert_untold(*_by_first((repr(namespace), value) for namespace, value in shown))
    assert len({namespace for namespace, _ in shown}) == 2
    assert GUARDED in repr(shown) or mode == "messages"


def test_an_agent_that_is_a_tool_in_events_v3():
    shown = events_v3(supervisor(guarded()))
    assert_untold(
        *_by_first(((event["method"], repr(event["params"]["namespace"])), event["params"]) for event in shown)
    )


@both
def test_an_unguarded_agent_that_is_a_tool_still_answers_guarded(watch):
    plain = create_agent(ScriptedChatModel(ANSWER))
    values = watch(supervisor(plain), "values")[-1]
    assert [m.text for m in values["messages"] if m.type == "tool"] == [GUARDED]
    assert values["messages"][-1].text == f"It says: {GUARDED} And {MARK}."
