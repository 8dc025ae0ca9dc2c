"""What several test files need and pytest has no fixture for."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
from typing import TYPE_CHECKING, TypeVar

from langchain_openai import ChatOpenAI

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from langchain_guard.testing import ScriptedServer

T = TypeVar("T")

_runner = asyncio.Runner()
atexit.register(_runner.close)


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine on the one event loop of the test process.

    langchain-openai shares one async HTTP client per process and binds it to the first loop that it sees, so a second
    ``asyncio.run`` meets "Event loop is closed". One loop is also what an application has.
    """
    return _runner.run(work, context=contextvars.copy_context())  # else that of the first call, for ever


async def collect(stream: AsyncIterator[T]) -> list[T]:
    """Everything that an async iterator gives."""
    return [item async for item in stream]


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something has happened: an async generator that was left is closed in a later turn.

    Raises:
        AssertionError: It has not happened within many turns.
    """
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not happen")


def chat_openai(server: ScriptedServer, **settings: object) -> ChatOpenAI:
    """A real ChatOpenAI that talks to a scripted server: no retries, usage also in streams."""
    defaults = {"model": "scripted", "api_key": "unused", "max_retries": 0, "stream_usage": True}
    return ChatOpenAI(**{**defaults, "base_url": server.url, **settings})
