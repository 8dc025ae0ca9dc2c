"""``guard.wrap(tool)``: the same tool, whose answers are guarded for the agent and for everyone who listens."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from kit import GUARDED, MARK, SECRET, assert_untold, holds
from langchain.agents import create_agent
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolArg, StructuredTool, Tool, ToolException, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.prebuilt import InjectedState, ToolNode
from pydantic import BaseModel, PrivateAttr
from small_guards import Block, Redact
from watching import Asks, Watch

from langchain_guard import OutputBlocked, Refused
from langchain_guard.runnable import Guard, Session
from langchain_guard.testing import Call, Reply, ScriptedChatModel
from langchain_guard.tool_scope import ToolRule, ToolScope
from langchain_guard.tool_scope.wrap import ScopedTool, scope_tools
from support import run

if TYPE_CHECKING:
    from collections.abc import Callable


@tool
def find(query: str, limit: int = 3) -> str:
    """Find something."""
    return f"{query}: {SECRET}, {limit}"


@tool
async def afind(query: str, limit: int = 3) -> str:
    """Find something."""
    return f"{query}: {SECRET}, {limit}"


@tool(response_format="content_and_artifact")
def both(query: str) -> Any:
    """Find something, and its source."""
    return f"{query}: {SECRET}, 3", {"source": SECRET}


class Own(BaseTool):
    """A class of its own without a schema: LangChain reads the schema off the signature of ``_run``."""

    name: str = "own"
    description: str = "Find something."
    runs: int = 0

    def _run(self, query: str, limit: int = 3) -> str:
        self.runs += 1
        return f"{query}: {SECRET}, {limit}"


class Listens(Own):
    """As `Own`, and it takes the run manager and the config, sync and async."""

    def _run(self, query: str, config: RunnableConfig, limit: int = 3, run_manager: Any = None) -> str:
        assert run_manager is not None
        return f"{query}: {SECRET}, {config['configurable'].get('user_id', limit)}"

    async def _arun(self, query: str, config: RunnableConfig, limit: int = 3, run_manager: Any = None) -> str:
        return self._run(query, config, limit, run_manager)


TOOLS: dict[str, BaseTool] = {
    "a function": find,
    "an async function": afind,
    "two parts": both,
    "a class": Own(),
    "a class that listens": Listens(),
    "one text": Tool(name="one", description="Find something.", func=lambda query: f"{query}: {SECRET}, 3"),
}
SYNC = [name for name in TOOLS if name != "an async function"]
ANSWER = "x: [X], 3"


class Hears(BaseCallbackHandler):
    """Keeps what tools answer."""

    raise_error = True

    def __init__(self) -> None:
        self.starts: list[Any] = []
        self.ends: list[Any] = []
        self.errors: list[BaseException] = []
        self.customs: list[Any] = []

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: Any, **kwargs: Any) -> None:
        self.starts.append(run_id)

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.ends.append(output)

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **kwargs: Any) -> None:
        self.customs.append((data["action"], run_id))


def _call(given: BaseTool, way: str, config: Any) -> Any:
    call = {"name": given.name, "args": {"__arg1" if isinstance(given, Tool) else "query": "x"}, "id": "c1"}
    call["type"] = "tool_call"
    return given.invoke(call, config) if way == "invoke" else run(given.ainvoke(call, config))


CALLS = [(name, way) for name in TOOLS for way in ("invoke", "ainvoke") if way == "ainvoke" or name in SYNC]


@pytest.mark.parametrize(("name", "way"), CALLS)
def test_a_tools_answer_is_guarded_for_caller_and_listeners(name, way):
    def check(given: BaseTool) -> None:
        hears = Hears()
        message = _call(given, way, {"callbacks": [hears]})
        assert isinstance(message, ToolMessage)
        assert (message.content, message.tool_call_id, message.name) == (ANSWER, "c1", given.name)
        assert message.artifact == ({"source": MARK} if name == "two parts" else None)
        assert [(action, run_id) for action, run_id in hears.customs] == [("redact", hears.starts[0])]
        assert_untold([message], hears.ends)

    holds(check, Redact().wrap(TOOLS[name]), TOOLS[name])


@pytest.mark.parametrize(("name", "way"), CALLS)
def test_a_tools_blocked_answer_is_an_error(name, way):
    hears = Hears()
    with pytest.raises(OutputBlocked):
        _call(Block().wrap(TOOLS[name]), way, {"callbacks": [hears]})
    assert [type(error) for error in hears.errors] == [OutputBlocked]
    assert hears.ends == []


@pytest.mark.parametrize("name", TOOLS)
def test_a_guarded_tool_is_the_tool_that_it_was(name):
    plain = TOOLS[name]
    guarded = Redact().wrap(plain)
    assert isinstance(guarded, type(plain))
    assert (guarded.name, guarded.description, guarded.args) == (plain.name, plain.description, plain.args)
    assert guarded.args_schema is plain.args_schema
    assert convert_to_openai_tool(guarded) == convert_to_openai_tool(plain)
    assert guarded.get_input_jsonschema() == plain.get_input_jsonschema()
    assert guarded.response_format == plain.response_format
    assert repr(guarded).startswith("Guarded[Redact]")
    for copied in (copy.copy(guarded), guarded.model_copy(), Block().wrap(guarded)):
        assert copied.langchain_guards[0] == Redact()


def test_plain_inputs_give_plain_answers():
    assert Redact().wrap(find).invoke({"query": "x"}) == ANSWER
    assert Redact().wrap(TOOLS["one text"]).invoke("x") == ANSWER
    assert run(Redact().wrap(afind).ainvoke({"query": "x", "limit": 4})) == "x: [X], 4"
    assert find.invoke({"query": "x"}) == f"x: {SECRET}, 3"


class Row(BaseModel):
    text: str


@pytest.mark.parametrize(("answer", "expected"), [
    ({"a": [SECRET]}, {"a": [MARK]}), ([SECRET, "b"], [MARK, "b"]), (7, 7), (None, None), ([], []),
    (Row(text=SECRET), Row(text=MARK)), ([{"type": "text", "text": SECRET}], [{"type": "text", "text": MARK}]),
    (ToolMessage(SECRET, tool_call_id="z"), ToolMessage(MARK, tool_call_id="z")),
])  # fmt: skip
def test_answers_of_other_types_keep_them(answer, expected):
    given = StructuredTool.from_function(lambda: answer, name="any", description="any")
    judged = Redact().wrap(given).invoke({})
    assert judged == expected
    assert type(judged) is type(expected)


def test_the_text_of_a_tools_error_is_guarded():
    @tool
    def fails() -> str:
        """Fail."""
        raise ToolException(f"no {SECRET}")

    fails.handle_tool_error = True
    assert Redact().wrap(fails).invoke({}) == "no [X]"
    assert run(Redact().wrap(fails).ainvoke({})) == "no [X]"
    fails.handle_tool_error = False
    with pytest.raises(ToolException) as caught:
        Redact().wrap(fails).invoke({})
    assert_untold([caught.value])
    assert caught.value.__context__ is None


def test_an_error_of_the_tool_itself_stays_what_it_is():
    @tool
    def breaks() -> str:
        """Break."""
        raise ConnectionError("gone")

    guard = Watch()
    with pytest.raises(ConnectionError):
        guard.wrap(breaks).invoke({})
    assert guard.log == ["open", "close ConnectionError"]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_refused_call_does_not_run_the_tool(way):
    own = Own()
    guarded = Watch().wrap(own)
    with pytest.raises(Refused):
        guarded.invoke({"query": "BAD"}) if way == "invoke" else run(guarded.ainvoke({"query": "BAD"}))
    assert guarded.runs == 0


class Trims(Guard):
    """Changes what goes in."""

    _seen: list[Any] = PrivateAttr(default_factory=list)

    def _open(self, value: Any, call: Any) -> Session:
        self._seen.append(value)
        return Session({**value, "query": "y"})

    async def _aopen(self, value: Any, call: Any) -> Session:
        return self._open(value, call)


def test_a_guard_may_change_what_goes_in_and_sees_what_the_model_chose():
    @tool
    def injected(query: str, secret: Annotated[str, InjectedToolArg], state: Annotated[dict, InjectedState]) -> str:
        """Find something."""
        return f"{query} {secret} {state}"

    guard = Trims()
    assert guard.wrap(injected).invoke({"query": "x", "secret": "s", "state": {"a": 1}}) == "y s {'a': 1}"
    assert guard._seen == [{"query": "x"}]


def test_the_guard_of_a_tool_knows_the_caller():
    guard = Asks()
    config = {"configurable": {"user_id": "u1"}}
    assert guard.wrap(Listens()).invoke({"query": "x"}, config) == "x: [X], u1"
    run(guard.wrap(afind).ainvoke({"query": "x"}, config))
    model = ScriptedChatModel([Reply(tool_calls=[Call("find", {"query": "x"})]), "done"])
    agent = create_agent(model, tools=[guard.wrap(find)])
    result = agent.invoke({"messages": [("user", "hi")]}, config)
    assert guard.callers == ["u1"] * 3
    assert result["messages"][-2].content == ANSWER


@pytest.mark.parametrize("mode", ["messages", "updates", "values"])
def test_an_agent_shows_the_guarded_answer(mode: str):
    def check(given: BaseTool) -> None:
        model = ScriptedChatModel([Reply(tool_calls=[Call("find", {"query": "x"})]), "done"])
        out = list(create_agent(model, tools=[given]).stream({"messages": [("user", "hi")]}, stream_mode=mode))
        assert MARK in repr(out)
        assert_untold(out)

    holds(check, Redact().wrap(find), find)


def test_a_tool_node_runs_it():
    call = {"name": "find", "args": {"query": "x"}, "id": "c1", "type": "tool_call"}
    node: Callable[..., Any] = ToolNode([Redact().wrap(find)])
    assert node  # it takes the tool as it is
    from langchain_core.messages import AIMessage
    from langgraph.graph import MessagesState, StateGraph

    graph = StateGraph(MessagesState)
    graph.add_node("tools", node)
    graph.set_entry_point("tools")
    result = graph.compile().invoke({"messages": [AIMessage("", tool_calls=[call])]})
    assert result["messages"][-1].content == ANSWER


def test_a_scoped_tool_can_be_guarded():
    (scoped,) = scope_tools([find], ToolScope({"find": ToolRule(other_args="allow")}))
    guarded = Redact().wrap(scoped)
    assert isinstance(guarded, ScopedTool)
    assert guarded.invoke({"query": "x"}) == ANSWER


def test_guards_of_a_tool_stack():
    watch = Watch()
    assert Redact().wrap(watch.wrap(find)).invoke({"query": GUARDED}) == f"{GUARDED}: [X], 3"
    assert watch.log == ["open", "whole", "close NoneType"]
