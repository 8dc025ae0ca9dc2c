"""What to do while a remote store is away: the circuit breaker, and remembered refusals. Imports no LangChain."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from cachetools import LRUCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_guard.rate_limit.decision import Decision
    from langchain_guard.rate_limit.limits import Costs
    from langchain_guard.rate_limit.protocol import Subject


class Away(Exception):  # never leaves the store
    """The server does not answer, or is not asked because it did not a moment ago."""


class Breaker:
    """Lets one call through every `interval` seconds while the server is away, and all of them when it is not.

    (The circuit breaker of M. Nygard, "Release It!".)
    """

    def __init__(self, interval: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.interval, self.clock = interval, clock
        self._away_until = 0.0
        self._lock = threading.Lock()

    def enter(self) -> None:
        """Raise `Away` unless the server may be asked."""
        if not self._away_until:
            return
        with self._lock:
            now = self.clock()
            if now < self._away_until:
                raise Away
            self._away_until = now + self.interval  # this call is the probe, others wait for its outcome

    def answered(self) -> None:
        """The server is there."""
        if self._away_until:
            with self._lock:
                self._away_until = 0.0

    def failed(self) -> None:
        """The server is away."""
        with self._lock:
            self._away_until = self.clock() + self.interval

    def left(self) -> float:
        """Seconds until it is asked again."""
        return max(0.0, self._away_until - self.clock())


class _Refusal(NamedTuple):
    until: float
    subjects: tuple[Subject, ...]
    costs: Costs
    decision: Decision


class Refusals:
    """Refusals that hold for a while, so that a caller who hammers costs no round trips.

    One is remembered for at most `longest` seconds: what another process gives back, or an `unban` elsewhere, is seen
    that much later. What this process gives back is seen at once.
    """

    def __init__(self, longest: float = 1.0, clock: Callable[[], float] = time.monotonic, most: int = 10_000) -> None:
        self.longest, self.clock = longest, clock
        self._known: LRUCache[str, _Refusal] = LRUCache(most)
        self._lock = threading.Lock()

    def add(self, subjects: tuple[Subject, ...], costs: Costs, decision: Decision) -> None:
        """Remember a refusal."""
        wait = decision.retry_after
        if wait:
            with self._lock:
                until = self.clock() + (min(self.longest, wait))
                self._known[subjects[0][0]] = _Refusal(until, subjects, costs, decision)

    def find(self, subjects: tuple[Subject, ...], costs: Costs) -> Decision | None:
        """The refusal that holds for this call, too: of the same callers and limits, and at least as large."""
        if not self._known:
            return None
        with self._lock:
            known = self._known.get(subjects[0][0])
            if known is None:
                return None
            now = self.clock()
            if known.until <= now:
                del self._known[subjects[0][0]]
                return None
        if known.subjects != subjects or any(cost < least for cost, least in zip(costs, known.costs, strict=True)):
            return None
        held = min(self.longest, known.decision.retry_after or 0.0) - (known.until - now)
        wait = (known.decision.retry_after or 0.0) - held
        return known.decision._replace(retry_after=max(wait, 0.0), source="cache")

    def forget(self, key: str) -> None:
        """Ask the server again about this key; a refusal by a key that others share is found under theirs."""
        with self._lock:
            self._known.pop(key, None)
            if key.startswith("ip:") or key in {"global", "anonymous"}:
                self._known.clear()
