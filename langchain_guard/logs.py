"""Verdicts for whoever runs the application: one log line each, counters, and events in LangSmith's traces.

Nothing here holds a text: a verdict is rules, places and numbers. `collect_verdicts` is for code around one call; this
module is for a process that answers many.

Count what guards decide, in three lines::

    decisions = Counter()
    counting = VerdictHandler(lambda verdict: decisions.update([(verdict["guard"], verdict["action"])]))
    chain = chain.with_config(callbacks=[counting, VerdictHandler()])

What tracers record of everything else is theirs: a guard's own run has the type and length of its input, a wrapped
model's run has the guarded answer, but the input of the chain and of the model is recorded as it was given. LangSmith
leaves it out with ``LANGSMITH_HIDE_INPUTS=true``, or scrubs it with ``Client(anonymizer=...)`` or
``Client(hide_inputs=lambda inputs: scrubber.invoke(inputs))``.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers import LangChainTracer

from langchain_guard.errors import ConfigError
from langchain_guard.events import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

logger = logging.getLogger("langchain_guard")

LEVELS = {"allow": logging.DEBUG, "flag": logging.INFO, "redact": logging.INFO, "block": logging.WARNING}
"""The level at which `log_verdict` logs each action."""


def log_verdict(verdict: dict[str, Any]) -> None:
    """Write one line to the logger ``langchain_guard``: what a person needs to read it; the rest as ``record.verdict``.

    Args:
        verdict: The fields of a `Verdict` (see `Verdict.payload`) and ``run_id``.
    """
    level = LEVELS.get(verdict["action"], logging.WARNING)
    if not logger.isEnabledFor(level):
        return
    rules = sorted({finding["rule"] for finding in verdict["findings"]})
    logger.log(
        level,
        "%s: %s%s%s",
        verdict["guard"],
        verdict["action"],
        f", rules {' '.join(rules)}" if rules else "",
        "" if verdict["score"] is None else f", risk {verdict['score']:.2f}",
        extra={"verdict": verdict},
    )


class VerdictHandler(BaseCallbackHandler):
    """A callback handler that hands every verdict to a function.

    It hears guards that run inside of some run: links, `guard.wrap`, scoped tools, agents. An error in the function is
    logged by LangChain and stops no request.

    Args:
        hook: Called with the verdict's fields as a dict, and ``run_id``, the run it belongs to: the guard's own, or that
            of the wrapped model or the scoped tool. None: `log_verdict`.

    Raises:
        ConfigError: The hook cannot be called.

    Example:
        >>> from collections import Counter
        >>> from langchain_guard import OutputScrubber
        >>> decisions = Counter()
        >>> counting = VerdictHandler(lambda verdict: decisions.update([(verdict["guard"], verdict["action"])]))
        >>> OutputScrubber().invoke("write to bob@example.com", {"callbacks": [counting]})
        'write to [EMAIL]'
        >>> decisions
        Counter({('OutputScrubber', 'redact'): 1})
    """

    run_inline = True  # in the order of the decisions, and in the caller's context

    def __init__(self, hook: Callable[[dict[str, Any]], Any] | None = None) -> None:
        if hook is not None and not callable(hook):
            raise ConfigError(f"VerdictHandler(hook=...) must be a function of a dict, not {type(hook).__name__}")
        self.hook = hook or log_verdict

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        """Called by LangChain for every custom event."""
        if name == EVENT:
            self.hook({**data, "run_id": str(run_id)})


class VerdictTracer(LangChainTracer):
    """LangSmith's tracer, which also records each verdict as an event of the run that it belongs to.

    The one that ``LANGSMITH_TRACING`` installs leaves custom events out. Put this one into the callbacks and LangChain
    installs no other: ``chain.with_config(callbacks=[VerdictTracer()])``. Takes what LangChainTracer takes.
    """

    def on_custom_event(self, name: str, data: Any, *, run_id: UUID, **_: Any) -> None:
        """Called by LangChain for every custom event."""
        run = self.run_map.get(str(run_id))
        if name == EVENT and run is not None:
            run.events = [*(run.events or ()), {"name": EVENT, "time": datetime.now(UTC).isoformat(), "kwargs": data}]


__all__ = ["VerdictHandler", "VerdictTracer", "log_verdict"]
