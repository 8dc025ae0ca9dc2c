"""What a scope remembers between calls: `ScopeState`, used budgets and tainted runs. Imports nothing of LangChain."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from langchain_guard.tool_scope.rule import ToolRule


class ScopeState:
    """What a scope remembers between calls: used budgets, and the runs that read something untrusted.

    Thread-safe, shared by every copy of a scope, left out of pickles and dumps.

    Args:
        max_keys: Most counters kept; when it is full, callers without one are refused.
        max_runs: Most tainted runs kept; the oldest ones are forgotten.
    """

    def __init__(self, max_keys: int = 1_000_000, max_runs: int = 100_000) -> None:
        self.max_keys, self.max_runs = max_keys, max_runs
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], int] = {}
        self._denied: OrderedDict[int, None] = OrderedDict()
        self._tainted: OrderedDict[Hashable, None] = OrderedDict()

    def reserve(self, tool: str, rule: ToolRule, key: str) -> bool:
        """Count one call of `key` if the rule's budget has room for it; checking and counting are one step."""
        if rule.budget is None:
            return True
        with self._lock:
            used = self._used.get((tool, key), 0)
            if used >= rule.budget or (not used and len(self._used) >= self.max_keys):
                return False
            self._used[tool, key] = used + 1
            return True

    def refund(self, tool: str, rule: ToolRule, key: str) -> None:
        """Take a reservation back: the call was paused and will come again."""
        if rule.budget is None:
            return
        with self._lock:
            self._used[tool, key] = max(0, self._used.get((tool, key), 0) - 1)

    def repeated(self, call: int) -> bool:
        """Remember a refused call by its hash; whether the same one was refused before."""
        with self._lock:
            known = call in self._denied
            self._denied[call] = None
            self._denied.move_to_end(call)
            if len(self._denied) > 10_000:
                self._denied.popitem(last=False)
            return known

    def used(self, tool: str, key: str = "") -> int:
        """Calls of a tool that were admitted for a key (`Identity.key`, a thread, or "" for ``per="global"``)."""
        with self._lock:
            return self._used.get((tool, key), 0)

    def reset(self, tool: str | None = None, key: str | None = None) -> None:
        """Forget used budgets: all, those of a tool, those of a key, or one."""
        with self._lock:
            for known in [k for k in self._used if tool in (None, k[0]) and key in (None, k[1])]:
                del self._used[known]

    def taint(self, run: Hashable) -> None:
        """Remember that a run has read something untrusted."""
        with self._lock:
            self._tainted[run] = None
            self._tainted.move_to_end(run)
            if len(self._tainted) > self.max_runs:
                self._tainted.popitem(last=False)

    def tainted(self, run: Hashable) -> bool:
        """Whether a run has read something untrusted."""
        with self._lock:
            return run in self._tainted

    def untaint(self, run: Hashable) -> None:
        """A run starts afresh."""
        with self._lock:
            self._tainted.pop(run, None)

    def __copy__(self) -> ScopeState:
        return self

    def __deepcopy__(self, _: dict[int, Any]) -> ScopeState:
        return self

    def __reduce__(self) -> tuple[type[ScopeState], tuple[int, int]]:
        return ScopeState, (self.max_keys, self.max_runs)
