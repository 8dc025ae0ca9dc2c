"""Which run a call belongs to, for rules that remember what the run has read.

A run is a LangGraph thread if there is one, else one execution of a graph, else whatever the caller does: a scope that
cannot tell runs apart remembers longer, never shorter.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables.config import var_child_runnable_config
from typing_extensions import override

from langchain_guard.events import EVENT

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping
    from uuid import UUID

    from langchain_guard.identity import Identity
    from langchain_guard.tool_scope.guard import ToolScope


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


class DetectionWatch(BaseCallbackHandler):
    """Marks a run as tainted when a detector lets a text through that it has flagged; made by `ToolScope.watch`."""

    run_inline = True  # in the context of the guard's run, which knows the caller and the graph

    def __init__(self, scope: ToolScope) -> None:
        self.scope = scope

    @override
    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **kwargs: Any) -> None:
        # a score is what tells a detector's verdict from those of other guards
        if name == EVENT and data.get("score") is not None and data.get("action") in ("flag", "redact"):
            self.scope.mark_untrusted(var_child_runnable_config.get())
