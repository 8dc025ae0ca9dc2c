"""Waiting as long as a refusal says: `wait_retry_after` for tenacity."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tenacity import wait_exponential_jitter
from tenacity.wait import wait_base

from langchain_guard.errors import RateLimitExceeded

if TYPE_CHECKING:
    from tenacity import RetryCallState


class wait_retry_after(wait_base):  # noqa: N801  # tenacity's strategies are spelled so
    """Wait for what the error names: ``retry_after`` of a `RateLimitExceeded`, or a provider's Retry-After header.

    Args:
        fallback: The strategy for errors that name no time; exponential with jitter by default.
        cap: Longest wait, in seconds. An error that names a longer one is raised at once: to sleep less would fail
            again, and to sleep for a day helps nobody. So is a refusal that waiting does not help.

    Example:
        ```python
        from tenacity import retry, retry_if_exception_type, stop_after_attempt

        @retry(retry=retry_if_exception_type(RateLimitExceeded), wait=wait_retry_after(), stop=stop_after_attempt(3))
        def ask(question): ...
        ```
    """

    def __init__(self, fallback: wait_base | None = None, cap: float = 60.0) -> None:
        self.fallback: wait_base = wait_exponential_jitter() if fallback is None else fallback
        self.cap = cap

    def __call__(self, retry_state: RetryCallState) -> float:
        """Seconds to wait before the next attempt."""
        error = retry_state.outcome.exception() if retry_state.outcome is not None else None
        if isinstance(error, RateLimitExceeded) and error.retry_after is None:
            raise error  # it can never fit
        seconds = _named(error)
        if seconds is None:
            return float(self.fallback(retry_state))
        if error is not None and seconds > self.cap:
            raise error
        return seconds


def _named(error: Any) -> float | None:
    """The seconds that an error asks for."""
    seconds = getattr(error, "retry_after", None)
    if seconds is None:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
        seconds = headers.get("retry-after")
    if seconds is None:
        return None
    try:
        wait = float(seconds)
    except (TypeError, ValueError):  # a date, which RFC 9110 allows, too: the fallback's business
        return None
    return wait if 0 <= wait < math.inf else None
