"""Scoped tools: the least that a model needs to be able to do, and nothing else."""

from langchain_guard.tool_scope.arg import Arg
from langchain_guard.tool_scope.guard import ToolScope
from langchain_guard.tool_scope.rule import ToolRule
from langchain_guard.tool_scope.safe_io import open_below, public_address
from langchain_guard.tool_scope.state import ScopeState
from langchain_guard.tool_scope.walls import postgres_reader_sql, readonly_sqlite
from langchain_guard.tool_scope.wrap import ScopedTool, scope_tools

__all__ = [
    "Arg",
    "ScopeState",
    "ScopedTool",
    "ToolRule",
    "ToolScope",
    "open_below",
    "postgres_reader_sql",
    "public_address",
    "readonly_sqlite",
    "scope_tools",
]
