"""What guards decided, for whoever watches: custom events for tracers, `collect_verdicts` for code.

A guard queues its verdicts on the call; the shell sends them from the guard's own run, so that they appear in
``astream_events`` (``on_custom_event``) and in every callback handler. The payload is `Verdict.payload`: rules, places
and numbers, never texts.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_guard.verdict import Verdict

EVENT = "langchain_guard.verdict"
"""Name of the custom event that carries a verdict's fields."""

_collectors: ContextVar[tuple[list[Verdict], ...]] = ContextVar("langchain_guard_collectors", default=())


@contextlib.contextmanager
def collect_verdicts() -> Iterator[list[Verdict]]:
    """Gather what every guard decides inside the block, in the order of the decisions.

    Works for sync and async calls, and for the threads of ``batch``, which inherit the block's context.

    Example:
        ```python
        with collect_verdicts() as verdicts:
            chain.invoke({"question": "..."})
        [verdict.action for verdict in verdicts]
        ```
    """
    verdicts: list[Verdict] = []
    token = _collectors.set((*_collectors.get(), verdicts))
    try:
        yield verdicts
    finally:
        _collectors.reset(token)


def collect(verdict: Verdict) -> None:
    """Hand a verdict to every open `collect_verdicts` block."""
    for verdicts in _collectors.get():
        verdicts.append(verdict)
