"""Asking a person before a call runs: the request that goes out, the decision that comes back."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_guard.tool_scope.scope import Request


class Decision(NamedTuple):
    """What a person decided: whether the call may run, and with which arguments if they were edited."""

    approved: bool
    args: dict[str, Any] | None = None


REFUSED = Decision(approved=False)
APPROVED = Decision(approved=True)
_YES = ("approve", "accept", "yes")


def asker(approver: Any) -> Callable[[dict[str, Any]], Any] | None:
    """The function to ask with; None if there is none, so that the call is refused."""
    if approver == "interrupt":
        from langgraph.types import interrupt  # noqa: PLC0415  # an extra, and only where LangGraph is running

        return interrupt
    return approver if callable(approver) else None


def question(request: Request, args: dict[str, Any], reason: str) -> dict[str, Any]:
    """What the person is shown: the canonical arguments, which are what would run."""
    return {"tool": request.tool, "args": args, "reason": reason, "caller": request.who.key}


def decision(answer: Any, tool: str) -> Decision:
    """Read an answer; whatever is not a clear yes is a no.

    Args:
        answer: True or ``"approve"``; a dict with ``"type"`` ``"approve"``, or ``"edit"`` and ``"args"``; or the answer
            of LangChain's HumanInTheLoopMiddleware, ``{"decisions": [...]}``.
        tool: The tool that was asked about: an answer may change the arguments, not the tool.
    """
    if answer is True or (isinstance(answer, str) and answer.lower() in _YES):
        return APPROVED
    if not isinstance(answer, dict):
        return REFUSED
    if isinstance(answer.get("decisions"), list):
        [*decisions] = answer["decisions"]
        return decision(decisions[0], tool) if len(decisions) == 1 else REFUSED
    kind = answer.get("type")
    if kind in _YES:
        return APPROVED
    edited = answer.get("edited_action", answer)
    if kind == "edit" and isinstance(edited, dict) and edited.get("name", tool) == tool:
        args = edited.get("args")
        return Decision(approved=True, args=dict(args)) if isinstance(args, dict) else REFUSED
    return REFUSED


def pauses(error: BaseException) -> bool:
    """Whether an error is LangGraph's way to pause or leave a graph, which no one may catch."""
    errors = sys.modules.get("langgraph.errors")
    return errors is not None and isinstance(error, errors.GraphBubbleUp)
