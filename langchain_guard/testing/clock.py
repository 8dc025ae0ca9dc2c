"""Time as a parameter."""

from __future__ import annotations

import threading
from typing import Any


class ManualClock:
    """A clock that stands still until it is told to move; a callable that returns seconds, safe across threads.

    Copies and deep copies are the same clock, as a guard and its copies live in the same time.

    Args:
        start: Seconds that the clock shows at first.

    Example:
        >>> from langchain_guard.testing import ManualClock
        >>> clock = ManualClock()
        >>> clock.advance(1.5)
        >>> clock()
        1.5
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """The time, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move on by `seconds`; a negative number is a clock that was set back."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float) -> None:
        """Stands in for ``time.sleep``: moves on at once."""
        self.advance(max(0.0, seconds))

    async def asleep(self, seconds: float) -> None:
        """Stands in for ``asyncio.sleep``: moves on at once."""
        self.advance(max(0.0, seconds))

    def __repr__(self) -> str:
        return f"ManualClock({self._now!r})"

    def __copy__(self) -> ManualClock:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> ManualClock:
        return self

    def __reduce__(self) -> tuple[type[ManualClock], tuple[float]]:
        return ManualClock, (self._now,)
