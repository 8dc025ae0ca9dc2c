"""LangChain's own test suite for tools, run on tools that carry a scope."""

from __future__ import annotations

from typing import Any

from langchain_core.tools import BaseTool, StructuredTool
from langchain_tests.unit_tests import ToolsUnitTests
from pydantic import BaseModel

from langchain_guard import Arg, ToolRule, ToolScope, scope_tools


class Pair(BaseModel):
    """Two numbers."""

    first: int
    second: int = 2


def _add(first: int, second: int) -> str:
    return str(first + second)


class Multiply(BaseTool):
    """A tool class of one's own."""

    name: str = "multiply"
    description: str = "Multiplies."
    args_schema: Any = Pair

    def _run(self, first: int, second: int) -> str:
        return str(first * second)


def _scoped(tool: BaseTool, rule: ToolRule) -> BaseTool:
    return scope_tools([tool], ToolScope({tool.name: rule}))[0]


class TestScopedFunction(ToolsUnitTests):
    @property
    def tool_constructor(self) -> BaseTool:
        add = StructuredTool(name="add", description="Adds.", args_schema=Pair, func=_add)
        return _scoped(add, ToolRule(args={"first": Arg.range(0, 9), "second": Arg.any()}))

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"first": 1, "second": 3}


class TestScopedClassWithAFixedArgument(ToolsUnitTests):
    @property
    def tool_constructor(self) -> BaseTool:
        return _scoped(Multiply(), ToolRule(args={"first": Arg.any(), "second": Arg.fixed(7)}))

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"first": 6}
