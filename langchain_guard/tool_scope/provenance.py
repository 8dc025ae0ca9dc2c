"""Which run a call belongs to, for rules that remember what the run has read.

A run is a LangGraph thread if there is one, else one execution of a graph, else whatever the caller does: a scope that
cannot tell runs apart remembers longer, never shorter.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from langchain_guard.identity import Identity


def thread_of(config: Mapping[str, Any] | None) -> str:
    """LangGraph's thread id, "" if there is none."""
    thread = ((config or {}).get("configurable") or {}).get("thread_id")
    return str(thread) if isinstance(thread, str | int) and thread != "" else ""


def run_of(config: Mapping[str, Any] | None, who: Identity) -> Hashable:
    """What identifies the run."""
    if thread := thread_of(config):
        return ("thread", thread)
    if "langgraph.runtime" in sys.modules and "checkpoint_ns" in ((config or {}).get("configurable") or {}):
        return _graph_run(who)
    return ("caller", who.key)


def _graph_run(who: Identity) -> Hashable:
    """One execution of a graph without a thread: the function it made to write its custom stream is its own."""
    from langgraph.runtime import get_runtime  # noqa: PLC0415  # only where LangGraph is running anyway

    try:
        writer = get_runtime().stream_writer
    except (RuntimeError, KeyError):
        return ("caller", who.key)
    # held weakly: the function ends with the run, and with it what is remembered of the run
    return weakref.ref(writer) if "<locals>" in getattr(writer, "__qualname__", "") else ("caller", who.key)
