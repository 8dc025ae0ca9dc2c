"""What a caller may do while nothing else happens to it: calls that are only counted. Imports no LangChain.

Between two moments at which a slot leaves one of its windows or becomes too old to be added to, nothing but its own
calls changes what a caller may still do. So after the log of policy.py has decided about a call, the next ones within
such a *spell* are as good as decided: each takes one from what is left, or is refused until the same moment. What was
taken is written to the windows when the spell ends, which is as soon as anybody else asks for them (see `Entries.get`).
A spell lasts at most 1/64 of the shortest period, unless the caller is refused.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_guard.rate_limit.policy import Entry, Row


class Spell:
    """A spell of one caller under limits that all count requests.

    Args:
        entry: What the caller used, aged and charged up to now.
        rows: The limits.
        left: What is left of the binding limit.
        limit: Its spelling.
        now: The time in seconds.
        wait: For how many seconds from now a call is refused; 0.0 if the last one was admitted.

    Attributes:
        until: When the spell is over.
        refuses: Whether it is a spell of refusals.
        taken: How many calls were admitted in it.
        latest: When the last of them was.
    """

    __slots__ = ("_frees", "entry", "latest", "left", "limit", "refuses", "rows", "taken", "until")

    def __init__(
        self, entry: Entry, rows: Sequence[Row], left: float, limit: str, now: float, wait: float = 0.0
    ) -> None:
        self.entry, self.rows, self.left, self.limit = entry, rows, left, limit
        self.latest, self.taken = now, 0
        self.refuses, self._frees = wait > 0, now + wait
        until = math.inf
        for at, _, _, period, quantum, _, _ in rows:
            window = entry[at]
            until = min(until, window[1] + period, math.inf if wait else window[-1] + quantum)
        self.until = until

    def wait(self, now: float) -> float:
        """Seconds until a call is admitted again; never a rounding error short of it."""
        wait = self._frees - now
        while now + wait < self._frees:
            wait += math.ulp(self._frees)
        return wait

    def end(self) -> None:
        """Write what was taken to the windows."""
        if self.taken:
            for at, *_ in self.rows:
                window = self.entry[at]
                window[0] += self.taken
                window[-3] = self.latest
                window[-2] += self.taken
            self.taken = 0
