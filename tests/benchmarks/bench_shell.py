"""What a guard costs in a chain, apart from its policy: ``python tests/benchmarks/bench_shell.py``.

CPU time (`time.process_time`, all threads), every variant in turn within one round, the least of the rounds: on a
loaded machine the minimum of interleaved rounds is what repeats. Figures are microseconds over the bare chain of the
same round, so compare rows of one run and not runs of two machines. The policy is the test's own (one small regular
expression), the guards of the package stand below it with their default rules. A peer is measured when it is installed.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import contextlib
import gc
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

import langchain_guard
from contract.small_guards import Redact
from langchain_guard import InjectionDetector, OutputBlocked, OutputScrubber, RateLimiter, ToolScope
from langchain_guard.testing import Reply, ScriptedChatModel, ScriptedServer

TEXT = "The order has left our house on Monday and should arrive by the end of the week; write to us if it does not."
CHUNKS = 500


def same(value: Any) -> Any:
    """The bare link."""
    return value


GUARDS: dict[str, Callable[[], Runnable[Any, Any]]] = {
    "shell (small text policy)": Redact,
    "RateLimiter": lambda: RateLimiter("1000000/minute"),
    "InjectionDetector": lambda: InjectionDetector(trusted=("system", "ai")),
    "OutputScrubber": OutputScrubber,
    "ToolScope": lambda: ToolScope({}),
}


def least(variants: dict[str, Callable[[], object]], rounds: int, number: int) -> dict[str, float]:
    """The least CPU seconds of one call of each variant, measured in turn."""
    best = dict.fromkeys(variants, float("inf"))
    for variant in variants.values():
        variant()  # caches of types, compiled rules
    for _ in range(rounds):
        for name, variant in variants.items():
            gc.collect()
            gc.disable()
            begin = time.process_time()
            for _ in range(number):
                variant()
            best[name] = min(best[name], (time.process_time() - begin) / number)
            gc.enable()
    return best


def per_call(rounds: int, number: int) -> list[tuple[str, float, float]]:
    """Rows (name, microseconds more per invoke, per ainvoke) over ``RunnableLambda | RunnableLambda``."""
    message = AIMessage(TEXT)
    loop = asyncio.Runner()
    bare = RunnableLambda(same) | RunnableLambda(same)
    chains = {"bare": bare, **{name: bare | make() for name, make in GUARDS.items()}}
    chains["RunnableLambda (a bare link more)"] = bare | RunnableLambda(same)

    async def awaited(chain: Runnable[Any, Any]) -> None:
        for _ in range(number):
            await chain.ainvoke(message)

    def sync(chain: Runnable[Any, Any]) -> Callable[[], object]:
        return lambda: chain.invoke(message)

    def concurrent(chain: Runnable[Any, Any]) -> Callable[[], object]:
        return lambda: loop.run(awaited(chain))

    whole = least({name: sync(chain) for name, chain in chains.items()}, rounds, number)
    async_ = least({name: concurrent(chain) for name, chain in chains.items()}, rounds, 1)
    loop.close()
    rows = [(n, (whole[n] - whole["bare"]) * 1e6, (async_[n] - async_["bare"]) / number * 1e6) for n in chains]
    return [row for row in rows if row[0] != "bare"]


def per_chunk(rounds: int) -> list[tuple[str, float, float, int]]:
    """Rows (name, microseconds per chunk, milliseconds to the first of 500, chunks out) of a guard's transform."""
    pieces = [TEXT[i : i + 5] for i in range(0, len(TEXT), 5)]
    chunks = [AIMessageChunk(pieces[n % len(pieces)], id="m") for n in range(CHUNKS)]

    def source() -> Iterator[AIMessageChunk]:
        yield from chunks

    def drain(guard: Runnable[Any, Any]) -> Callable[[], object]:
        def run() -> None:
            for _ in guard.transform(source()):
                pass

        return run

    def first(guard: Runnable[Any, Any]) -> Callable[[], object]:
        def run() -> None:
            stream = guard.transform(source())
            next(stream)
            stream.close()

        return run

    guards = {name: make() for name, make in GUARDS.items()}
    whole = least({name: drain(guard) for name, guard in guards.items()}, rounds, 2)
    begin = least({name: first(guard) for name, guard in guards.items()}, rounds, 5)
    return [
        (n, whole[n] / CHUNKS * 1e6, begin[n] * 1e3, sum(1 for _ in guard.transform(source())))
        for n, guard in guards.items()
    ]


def wrapped_model(rounds: int, number: int) -> tuple[float, float]:
    """Microseconds more per invoke and per chunk of ``guard.wrap(model)`` over the plain model."""
    plain = ScriptedChatModel(Reply(*[TEXT[:5]] * CHUNKS))
    short = ScriptedChatModel(Reply(TEXT))
    wrapped_short, wrapped_plain = Redact().wrap(short), Redact().wrap(plain)
    calls: dict[str, Callable[[], object]] = {
        "plain": lambda: short.invoke("x"),
        "guarded": lambda: wrapped_short.invoke("x"),
    }
    streams: dict[str, Callable[[], object]] = {
        "plain": lambda: [None for _ in plain.stream("x")],
        "guarded": lambda: [None for _ in wrapped_plain.stream("x")],
    }
    call, stream = least(calls, rounds, number), least(streams, rounds, 1)
    return (call["guarded"] - call["plain"]) * 1e6, (stream["guarded"] - stream["plain"]) / CHUNKS * 1e6


def early_close(rounds: int) -> list[tuple[str, float, int]]:
    """Rows (what ends a stream over HTTP, most milliseconds until the server sees it, most events sent of 2,000)."""
    reply = Reply("All is well. ", "My card is 4242 4242 4242 4242, ", *["and more "] * 2_000, delay=0.001)
    scrubbers = {
        "consumer leaves": OutputScrubber(),
        "answer is blocked": OutputScrubber(actions={"credit_card": "block"}),
    }
    rows = []
    for name, scrubber in scrubbers.items():
        seen, sent = [], []
        for _ in range(rounds):
            with ScriptedServer(reply) as server:
                model = ChatOpenAI(model="scripted", base_url=server.url, api_key=SecretStr("unused"), max_retries=0)
                stream = (model | scrubber).stream("x")
                with contextlib.suppress(OutputBlocked):
                    for number, _ in enumerate(stream):
                        if number == 3:
                            break
                begin = time.perf_counter()
                stream.close()
                server.join()
                seen.append((time.perf_counter() - begin) * 1e3)
                sent.append(server.sent)
        rows.append((name, max(seen), max(sent)))
    return rows


def import_cost(rounds: int) -> tuple[float, float, float]:
    """Milliseconds of CPU: what the guards need of others, the package on top of it, and all its guards on top."""
    floor = "\n".join(["import time", *_imports_of_others(), ""])
    code = (
        f"{floor}a = time.process_time()\nimport langchain_guard\nb = time.process_time()\n"
        "from langchain_guard import *\nc = time.process_time()\nprint(a * 1e3, (b - a) * 1e3, (c - a) * 1e3)"
    )
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as cache:  # compiled modules, as after a user's first import
        command, env["PYTHONPYCACHEPREFIX"] = [sys.executable, "-c", code], cache
        outs = [
            subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
            for _ in range(rounds + 1)
        ]
    floor_ms, package, guards = (
        min(column) for column in zip(*[map(float, out.split()) for out in outs[1:]], strict=True)
    )
    return floor_ms, package, guards


def _imports_of_others() -> list[str]:
    """The import lines for LangChain and pydantic at the top of every module of the package that is loaded here."""
    lines = set()
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "langchain_guard" and getattr(module, "__file__", None):
            for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith(("langchain_core", "pydantic")):
                    lines.add(ast.unparse(node))
    return sorted(lines)


def peers(rounds: int, number: int) -> list[tuple[str, float]]:
    """Rows (name, microseconds more per invoke) of what else is installed."""
    rows = []
    if importlib.util.find_spec("langchain"):
        from langchain.agents import create_agent
        from langchain.agents.middleware import PIIMiddleware

        value = {"messages": [HumanMessage("hi")]}
        model = ScriptedChatModel(Reply(TEXT))
        bare = create_agent(model, [])
        guarded = create_agent(model, [], middleware=[PIIMiddleware("email", apply_to_output=True)])
        wrapped = create_agent(OutputScrubber(kinds=["email"]).wrap(model), [])
        cost = least(
            {
                "bare": lambda: bare.invoke(value),
                "guarded": lambda: guarded.invoke(value),
                "wrapped": lambda: wrapped.invoke(value),
            },
            rounds,
            max(1, number // 10),
        )
        rows.append(("langchain PIIMiddleware(email) in create_agent", (cost["guarded"] - cost["bare"]) * 1e6))
        rows.append(("OutputScrubber(email).wrap(model) in create_agent", (cost["wrapped"] - cost["bare"]) * 1e6))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds; the least of them counts")
    parser.add_argument("--number", type=int, default=200, help="calls per round")
    options = parser.parse_args()
    rounds, number = options.rounds, options.number

    print(f"langchain_guard at {Path(langchain_guard.__file__).parent.name}/, Python {sys.version.split()[0]}")
    print(f"\n{'CPU microseconds over the bare chain':42} {'invoke':>8} {'ainvoke':>8}")
    for name, sync, async_ in per_call(rounds, number):
        print(f"{name:42} {sync:8.1f} {async_:8.1f}")
    print(f"\n{'stream of 500 chunks of 5 characters':42} {'us/chunk':>8} {'first ms':>8} {'out':>5}")
    for name, chunk, first, out in per_chunk(rounds):
        print(f"{name:42} {chunk:8.1f} {first:8.2f} {out:5d}")
    call, chunk = wrapped_model(rounds, number)
    print(f"\n{'guard.wrap(model) over the plain model':42} {call:8.1f} us/invoke {chunk:8.1f} us/chunk")
    for name, cost in peers(rounds, number):
        print(f"{name:50} {cost:8.1f} us/invoke")
    print()
    for name, seen, sent in early_close(max(2, rounds // 3)):
        print(f"{name + ', over HTTP':42} {seen:8.1f} ms until the server sees it, {sent} of 2,000 events sent")
    floor, package, guards = import_cost(max(3, rounds // 2))
    print(f"\nimport langchain_guard: {package:.0f} ms CPU; with every guard {guards:.0f} ms")
    print(f"(on top of {floor:.0f} ms for what the guards need of langchain_core and pydantic)")


if __name__ == "__main__":
    main()
