"""Tools and callers that the tests of scoped tools share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from langchain_guard import Identity, ToolRule, ToolScope, scope_tools

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

ANN = Identity(user="ann", scopes={"orders:read"})
BOB = Identity(user="bob")


def tool_call(name: str, call_id: str = "c1", /, **args: Any) -> dict[str, Any]:
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def scoped(tool: BaseTool, rule: ToolRule, **settings: Any) -> Any:
    """One tool with one rule."""
    [made] = scope_tools([tool], ToolScope({tool.name: rule}, **settings))
    return made


def outcome(tool: Any, args: dict[str, Any], config: Any = None) -> tuple[str, str]:
    """What a ToolCall of a scoped tool gives: its status and content."""
    message = tool.invoke(tool_call(tool.name, **args), config)
    assert isinstance(message, ToolMessage)
    assert message.tool_call_id == "c1"
    return message.status, str(message.content)


def denied(tool: Any, args: dict[str, Any], config: Any = None) -> bool:
    return outcome(tool, args, config)[0] == "error"


def node_graph(tools: list[Any], checkpointer: Any = None) -> Any:
    graph = StateGraph(MessagesState)
    graph.add_node("tools", ToolNode(tools))
    graph.add_edge(START, "tools")
    graph.add_edge("tools", END)
    return graph.compile(checkpointer=checkpointer)


def run_node(tools: list[Any], *calls: dict[str, Any], config: Any = None) -> list[Any]:
    """The messages that the default ToolNode answers an AIMessage with."""
    state = node_graph(tools).invoke({"messages": [AIMessage("", tool_calls=list(calls))]}, config)
    return state["messages"][1:]
