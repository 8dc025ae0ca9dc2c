"""What one run of an agent uses, counted together with the agents that run inside it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Measure = Literal["model_calls", "tool_calls"]


class RunLimits(TypedDict, total=False):
    """What one run of an agent may use, the agents among its tools included."""

    model_calls: int
    tool_calls: int
    tokens: int


class Tally(dict[str, int]):
    """What a run has used: plain counts in the state, changed in place, shared with the agents that run inside it."""

    def __init__(self, limits: RunLimits, limiters: Sequence[object] = (), above: tuple[Tally, ...] = ()) -> None:
        super().__init__(model_calls=0, tool_calls=0, tokens=0)
        self.limits, self.limiters, self.above = limits, limiters, above

    def take(self, what: Measure) -> str | None:
        """Count one more call here and in every run around this one; or count nothing and say which limit is used up."""
        with _counting:
            for tally in (self, *self.above):
                for measure in (what, "tokens"):
                    limit: Any = tally.limits.get(measure)
                    if limit is not None and tally[measure] >= limit:
                        return f"{limit} {measure}/run"
            for tally in (self, *self.above):
                tally[what] += 1
        return None

    def spend(self, tokens: int) -> None:
        """Count tokens that were used."""
        with _counting:
            for tally in (self, *self.above):
                tally["tokens"] += tokens


_counting = threading.Lock()  # held for a few additions: one for all runs is simpler than an order of many
_running: ContextVar[tuple[Tally, ...]] = ContextVar("langchain_guard_running_agents", default=())


@contextmanager
def within(tally: Tally) -> Iterator[None]:
    """Let agents that run inside this tool call count on `tally` as well."""
    outer = _running.get()
    token = _running.set((*outer, *(one for one in (tally, *tally.above) if not any(one is known for known in outer))))
    try:
        yield
    finally:
        _running.reset(token)


def around() -> tuple[Tally, ...]:
    """The tallies of the runs around the one that begins here."""
    return _running.get()
