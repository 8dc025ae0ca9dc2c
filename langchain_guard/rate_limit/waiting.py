"""Lines of callers who wait for their turn: first come, first served, per key.

Only the head of a line sleeps, exactly as long as the store said, and then asks again; the others sleep until it is
their turn. So a thousand waiters cost one question per admission, and none overtakes another. Whoever leaves (admitted,
out of patience, cancelled) wakes the next. Threads and coroutines of any event loop stand in the same line. This module
imports nothing of LangChain.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Any, Protocol


class Waiter(Protocol):
    """Somebody in a line."""

    def wake(self) -> None:
        """Tell it to look again; may be called from any thread, more than once."""


class ThreadWaiter:
    """A thread in a line."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wake(self) -> None:
        """Tell it to look again."""
        self._event.set()

    def sleep(self, seconds: float) -> None:
        """Sleep until woken, or so long."""
        self._event.wait(seconds)
        self._event.clear()


class TaskWaiter:
    """A coroutine in a line."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def wake(self) -> None:
        """Tell it to look again."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._event.set)

    async def sleep(self, seconds: float) -> None:
        """Sleep until woken, or so long; the loop runs on."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return
        self._event.clear()


class Lines:
    """The lines of one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, deque[Waiter]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> Lines:
        return self

    def join(self, key: str, waiter: Waiter, longest: int) -> bool:
        """Stand at the end of a line; False if `longest` wait already."""
        with self._lock:
            line = self._lines.get(key)
            if line is None:
                if longest < 1:
                    return False
                line = self._lines[key] = deque()
            elif len(line) >= longest:
                return False
            line.append(waiter)
            return True

    def leave(self, key: str, waiter: Waiter) -> None:
        """Leave a line, wherever one stands in it; whoever is the head then is woken."""
        with self._lock:
            line = self._lines[key]
            line.remove(waiter)
            if not line:
                del self._lines[key]
                return
            head = line[0]
        head.wake()

    def heads(self, key: str, waiter: Waiter) -> bool:
        """Whether it is this one's turn."""
        with self._lock:
            return self._lines[key][0] is waiter

    def waiting(self, key: str) -> int:
        """How many wait for a key."""
        with self._lock:
            return len(self._lines.get(key, ()))

    def waits(self, key: str) -> bool:
        """Whether anybody waits, so that a newcomer has to stand behind."""
        return key in self._lines

    def wake(self, key: str) -> None:
        """Something became free: the head is to look again."""
        if key not in self._lines:
            return
        with self._lock:
            line = self._lines.get(key)
            head = line[0] if line else None
        if head is not None:
            head.wake()
