"""A decision as the world hears of it: verdicts and errors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from langchain_guard.errors import Banned, GuardError, GuardUnavailable, RateLimitExceeded
from langchain_guard.identity import hashed
from langchain_guard.verdict import Finding, Verdict

if TYPE_CHECKING:
    from langchain_guard.rate_limit.decision import Decision
    from langchain_guard.verdict import Action


def verdict_of(guard: str, decision: Decision, action: Action) -> Verdict:
    """The verdict of a decision: the limit, how long, what is left, and the caller's key, hashed."""
    details = {
        "limit": decision.limit,
        "retry_after": decision.retry_after,
        "remaining": decision.remaining if decision.remaining < math.inf else None,
        "key": hashed(decision.key),
        "source": decision.source,
    }
    if decision.allowed:
        return Verdict(guard, action, details=details)
    if decision.banned:
        finding = Finding(rule="ban", kind="ban")
    else:
        finding = Finding(rule=decision.limit or "store", kind="rate_limit")
    return Verdict(guard, action, (finding,), details=details)


def nobody(guard: str, missing: str) -> Verdict:
    """The verdict on a caller who is less known than required."""
    return Verdict(guard, "block", (Finding(rule="identity", kind="identity"),), details={"requires": missing})


def refusal(guard: str, decision: Decision, verdict: Verdict) -> GuardError:
    """The error that a refused call gets."""
    if decision.limit is None and decision.source == "local" and not decision.banned:
        message = f"{guard} let nothing through: its store is away."
        return GuardUnavailable(message, guard=guard, rule="store", cause="StoreAway")
    wait = decision.retry_after
    kind: type[RateLimitExceeded] = RateLimitExceeded
    if decision.banned:
        kind = Banned
        message, advice = f"{guard}: this caller is kept out for {_duration(wait)}.", "Stop calling until then."
    elif wait is None:
        message = f"{guard}: this call is larger than the limit {decision.limit} ever admits."
        advice = "Make it smaller; waiting does not help."
    elif decision.limit is None:
        message, advice = f"{guard}: too many callers at a time.", f"Try again in {_duration(wait)}."
    else:
        message, advice = f"{guard}: the limit {decision.limit} is used up.", f"Try again in {_duration(wait)}."
    return kind(
        message,
        verdict=verdict,
        guard=guard,
        advice=advice,
        retry_after=wait,
        limit=decision.limit,
        key=hashed(decision.key),
    )


def _duration(seconds: float | None) -> str:
    """Seconds as people say them, never less than they are."""
    seconds = math.ceil((seconds or 0.0) * 100) / 100
    if seconds < 120:
        return f"{seconds:g} s"
    if seconds < 7200:
        return f"{math.ceil(seconds / 60)} minutes"
    return f"{math.ceil(seconds / 360) / 10:g} hours"
