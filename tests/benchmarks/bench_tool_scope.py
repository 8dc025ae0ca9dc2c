"""What a scope costs per tool call: ``python tests/benchmarks/bench_tool_scope.py``.

CPU time (`time.process_time`), every variant in turn within one round, the least of the rounds. Each figure is what the
scoped tool takes on top of the same tool without a scope, called with a ToolCall, in microseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage
from langchain_core.tools import StructuredTool
from pydantic import BaseModel

from langchain_guard import Arg, Identity, ToolRule, ToolScope, scope_tools

if TYPE_CHECKING:
    from collections.abc import Callable

TABLES = {"customers": ["id", "name", "city", "email"], "orders": ["id", "customer_id", "total", "created_at"]}
QUERIES = {
    "sql, short": "SELECT id, name FROM customers WHERE city = 'Oslo'",
    "sql, join and aggregate": (
        "SELECT c.city, SUM(o.total) AS t FROM customers c JOIN orders o ON o.customer_id = c.id "
        "GROUP BY c.city ORDER BY t DESC LIMIT 5"
    ),
    "sql, CTEs and windows": (
        "WITH a AS (SELECT customer_id, SUM(total) AS t FROM orders GROUP BY customer_id), b AS (SELECT AVG(t) AS m FROM a) "
        "SELECT c.name, a.t, RANK() OVER (ORDER BY a.t DESC) AS r FROM a JOIN customers c ON c.id = a.customer_id, b "
        "WHERE a.t > b.m AND c.name LIKE 'A%' AND c.id IN (SELECT customer_id FROM orders WHERE total > 10) LIMIT 20"
    ),
}


class Args(BaseModel):
    """Two arguments."""

    value: str
    count: int = 3


def _run(value: str, count: int) -> str:
    return f"{value}{count}"


def variants(root: str) -> dict[str, tuple[ToolRule, str, dict[str, Any]]]:
    """Name: rule, value, settings of the scope."""
    any_count = {"count": Arg.any()}
    return {
        "any": (ToolRule(other_args="allow"), "a", {}),
        "enum and range": (ToolRule({"value": Arg.enum("a", "b"), "count": Arg.range(1, 9)}), "a", {}),
        "regex": (ToolRule({"value": Arg.regex(r"[a-z]+@corp\.example"), **any_count}), "ann@corp.example", {}),
        "fixed, requires, when, budget": (
            ToolRule(
                {"value": Arg.text(50), "count": Arg.fixed(lambda who: len(who.id))},
                requires=("read",),
                when=lambda args, who: who.id == "ann",
                budget=10**9,
            ),
            "a",
            {},
        ),
        "audit": (ToolRule({"value": Arg.text(50), **any_count}), "a", {"audit": lambda record: None}),
        "path": (ToolRule({"value": Arg.path(root), **any_count}), "sub/b.txt", {}),
        "url": (ToolRule({"value": Arg.url(["api.example.com"]), **any_count}), "https://api.example.com/v1?id=3", {}),
        **{
            name: (ToolRule({"value": Arg.sql(dialect="sqlite", tables=TABLES), **any_count}), sql, {})
            for name, sql in QUERIES.items()
        },
    }


def least(calls: dict[str, Callable[[], object]], rounds: int, number: int) -> dict[str, float]:
    """The least CPU seconds of one call."""
    best = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            gc.collect()
            gc.disable()
            begin = time.process_time()
            for _ in range(number):
                call()
            best[name] = min(best[name], (time.process_time() - begin) / number)
            gc.enable()
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--number", type=int, default=200)
    options = parser.parse_args()
    plain = StructuredTool(name="t", description="x", args_schema=Args, func=_run)
    config: Any = Identity(user="ann", scopes=frozenset({"read"})).config()
    loop = asyncio.Runner()
    with tempfile.TemporaryDirectory() as root:
        (Path(root) / "sub").mkdir()
        (Path(root) / "sub" / "b.txt").write_text("b")
        sync: dict[str, Callable[[], object]] = {}
        links: dict[str, Callable[[], object]] = {}
        async_: dict[str, Callable[[], object]] = {}

        def add(name: str, tool: Any, scope: ToolScope | None, value: str) -> None:
            call = {"name": "t", "args": {"value": value}, "id": "c", "type": "tool_call"}
            message = AIMessage("", tool_calls=[{**call, "args": {"value": value, "count": 3}}])

            async def awaited() -> None:
                for _ in range(options.number):
                    await tool.ainvoke(dict(call), config)

            sync[name] = lambda: tool.invoke(dict(call), config)
            async_[name] = lambda: loop.run(awaited())
            if scope is not None:
                links[name] = lambda: scope.check(message, config)

        async def coroutine(value: str, count: int) -> str:
            return _run(value, count)

        plain.coroutine = coroutine
        add("no scope", plain, None, "a")
        for name, (rule, value, settings) in variants(root).items():
            scope = ToolScope({"t": rule}, **settings)
            add(name, scope_tools([plain], scope)[0], scope, value)
        invoke = least(sync, options.rounds, options.number)
        ainvoke = least(async_, options.rounds, 1)
        link = least(links, options.rounds, options.number)
    loop.close()
    print(f"{'rule':32} {'invoke':>10} {'ainvoke':>10} {'link check':>11}   us")
    print(
        f"{'(the tool itself)':32} {invoke['no scope'] * 1e6:10.1f} {ainvoke['no scope'] / options.number * 1e6:10.1f}"
    )
    for name in links:
        more = (invoke[name] - invoke["no scope"]) * 1e6
        amore = (ainvoke[name] - ainvoke["no scope"]) / options.number * 1e6
        print(f"{name:32} {more:10.1f} {amore:10.1f} {link[name] * 1e6:11.1f}")


if __name__ == "__main__":
    main()
