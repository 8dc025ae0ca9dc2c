"""What a limiter decided about one call. This module imports nothing of LangChain."""

from __future__ import annotations

from typing import Literal, NamedTuple

Source = Literal["memory", "redis", "local", "cache"]
"""Who decided: the store in memory, the Redis server, this process while the server is away, a remembered refusal."""


class Decision(NamedTuple):
    """One decision; true if the call is admitted.

    Attributes:
        allowed: Whether the call is admitted.
        retry_after: Seconds until the same call would be admitted (0.0 if it is); None if it can never fit.
        remaining: What is left of the binding limit: the one that can take the fewest more calls like this.
        limit: The binding limit, spelled as configured; None where no limit decided (a ban, a full store).
        key: The caller whose limit it is, such as ``"u1"``, ``"ip:203.0.113.9"``, ``"anonymous"`` or ``"global"``.
        source: Who decided. "local": the store is away and a share of the limit is used; "cache": the server refused
            this key a moment ago.
        banned: Whether a time-out or a ban is what keeps the caller out.
    """

    allowed: bool
    retry_after: float | None
    remaining: float
    limit: str | None
    key: str
    source: Source
    banned: bool = False

    def __bool__(self) -> bool:
        return self.allowed
