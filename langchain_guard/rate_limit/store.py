"""`MemoryStore`: use is counted in this process.

A store decides about one call for several *subjects* at once (the caller, its address, everybody), each with the plan
of the limits that apply to it: all windows of all subjects are charged, or none is. This module imports nothing of
LangChain.
"""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_guard.errors import ConfigError, strict
from langchain_guard.identity import ANONYMOUS, GLOBAL
from langchain_guard.rate_limit import policy
from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.entries import Entries
from langchain_guard.rate_limit.limits import MEASURES, ONE, Costs, Limit, Scope
from langchain_guard.rate_limit.local import Local
from langchain_guard.rate_limit.penalty import Book, Penalty
from langchain_guard.rate_limit.protocol import Plan, Subject, Terms, Ticket, Use
from langchain_guard.rate_limit.spells import Spell

if TYPE_CHECKING:
    from collections.abc import Sequence

Teller = Callable[[str, Costs], Decision | None]
"""From a key and what a call costs to the decision, if that is simple."""

_FEW = 3
"""A spell pays for callers who call more often than that within a slot."""

_new = tuple.__new__
_stores: weakref.WeakSet[MemoryStore] = weakref.WeakSet()
_RESERVED = frozenset({ANONYMOUS, GLOBAL})


@strict
class MemoryStore:
    """Counts in this process, exactly; the default.

    Copies of a limiter share its store by reference; pickled and dumped limiters start with an empty one. Limiters that
    are given the same store share what a key used of the same measure, period and scope. Idle callers are dropped as
    new ones come, a few for each, so that no call ever pays for a million; no thread is started.

    Args:
        max_keys: Most callers that are remembered at a time.
        when_full: ``"refuse_new"``: callers beyond that are refused until an idle one can be dropped;
            ``"evict_oldest"``: whoever called least recently is forgotten, with what it used.

    Raises:
        ConfigError: A value is out of range.
    """

    remote = False

    def __init__(
        self, max_keys: int = 1_000_000, when_full: Literal["refuse_new", "evict_oldest"] = "refuse_new"
    ) -> None:
        if isinstance(max_keys, bool) or not isinstance(max_keys, int) or max_keys < 1:
            raise ConfigError(f"MemoryStore(max_keys={max_keys!r}): must be an int, at least 1")
        if when_full not in {"refuse_new", "evict_oldest"}:
            raise ConfigError(f"MemoryStore(when_full={when_full!r}): must be 'refuse_new' or 'evict_oldest'")
        self.max_keys, self.when_full = max_keys, when_full
        self.local = Local()
        self._lock = threading.Lock()
        self._entries = Entries(max_keys, evict=when_full == "evict_oldest")
        self._columns: dict[tuple[str, str, float], int] = {}
        self._leases: dict[tuple[str, Scope], dict[int | str, float]] = {}
        self._book = Book(max_keys)
        self._banned = self._book.until
        self._ids = itertools.count(1)
        self._horizon = 0.0
        self._now = -math.inf
        self._skew = 0.0
        _stores.add(self)

    def __repr__(self) -> str:
        return f"MemoryStore(max_keys={self.max_keys}, when_full={self.when_full!r})"

    def __len__(self) -> int:
        """How many callers are remembered."""
        return self._entries.count

    def __bool__(self) -> bool:
        return True

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __copy__(self) -> Self:
        return self

    def settings(self) -> dict[str, int | str]:
        """What builds an empty store like this one."""
        return {"max_keys": self.max_keys, "when_full": self.when_full}

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[int, str]]:
        return type(self), (self.max_keys, self.when_full)

    def plan(self, limits: tuple[Limit, ...], share: float = 1.0) -> Plan:
        """Compile the limits of one scope, or that share of them, rounded down to what can be counted."""
        rows: list[policy.Row] = []
        leases, spelled = math.inf, ""
        with self._lock:
            for limit in limits:
                amount = limit.amount if share == 1.0 else limit.amount * share
                if limit.measure != "cost":
                    amount = float(math.floor(amount))
                if limit.measure == "concurrent":
                    leases, spelled = amount, str(limit)
                    continue
                period = float(limit.period or 0.0)
                at = self._columns.setdefault((limit.scope, limit.measure, period), len(self._columns))
                self._horizon = max(self._horizon, period * (1 + 1 / policy.RESOLUTION))
                rows.append(policy.row(at, amount, period, MEASURES.index(limit.measure), str(limit)))
        width = max((at + 1 for at, *_ in rows), default=0)
        scope = limits[0].scope if limits else "user"
        return Plan(limits, scope, tuple(rows), width, leases, spelled, bool(rows) and leases == math.inf)

    def hit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """Decide, and charge what is admitted; running calls are counted but not added."""
        with self._lock:
            now = self._time(terms)
            refused = self._refusal(subjects, costs, now)
            return self._charge(subjects, costs, now) if refused is None else refused

    def teller(self, plan: Plan, terms: Terms, *, refuses: bool) -> Teller:
        """`hit` for one subject with windows and nothing else: the usual case, and quick for that reason.

        The teller returns None, having changed nothing, where there is more to look at than windows: new callers, bans.

        Args:
            plan: The windows.
            terms: As for `hit`.
            refuses: Whether it tells of refusals, too; else it leaves them to `hit`.
        """
        clock, rows, width, lock, banned = terms.clock, plan.rows, plan.width, self._lock, self._banned
        entries, parts, mask, spells = self._entries, self._entries.parts, self._entries.mask, self._entries.spells
        decide = policy.decider(rows)
        counts = all(MEASURES[row[5]] == "requests" for row in rows)

        def tell(key: str, costs: Costs) -> Decision | None:
            with lock:
                now = clock() + self._skew
                if now < self._now:
                    now = self._stepped_back(now)
                self._now = now
                spell = spells.get(key)
                if spell is not None:
                    if now < spell.until and spell.rows is rows and costs is ONE:
                        left = spell.left
                        if left >= 1.0:
                            spell.left = left = left - 1.0
                            spell.taken += 1
                            spell.latest = now
                            return _new(Decision, (True, 0.0, left, spell.limit, key, "memory", False))
                        if spell.refuses:
                            return _new(Decision, (False, spell.wait(now), left, spell.limit, key, "memory", False))
                    entries.end(key)
                part = parts[hash(key) & mask]  # as Entries.part
                entry = part.get(key)
                if entry is None or len(entry) < width or banned or key == GLOBAL:
                    return None
                wait, left, limit = decide(entry, costs, now)
                countable = counts and costs is ONE
                if wait == 0.0:
                    part.move_to_end(key)
                    if countable and entry[rows[0][0]][-2] > _FEW:
                        entries.begin(key, Spell(entry, rows, left, limit, now))
                    return _new(Decision, (True, 0.0, left, limit, key, "memory", False))
                if not refuses:
                    return None
                if countable and wait < math.inf:
                    entries.begin(key, Spell(entry, rows, left, limit, now, wait))
                return _new(Decision, (False, None if wait == math.inf else wait, left, limit, key, "memory", False))

        return tell

    def reserve(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> tuple[Decision, Ticket | None]:
        """As `hit`, and take a lease on running; the ticket is to be settled."""
        with self._lock:
            now = self._time(terms)
            refused = self._refusal(subjects, costs, now)
            if refused is not None:
                return refused, None
            ticket = Ticket(subjects, costs)
            for key, plan in subjects:
                if plan.leases < math.inf:
                    ticket.lease = ticket.lease or next(self._ids)
                    self._leases.setdefault((key, plan.scope), {})[ticket.lease] = now + terms.lease
            decision = self._charge(subjects, costs, now)
            ticket.stamps = tuple(
                policy.stamps(self._entries.get(key) or (), plan.rows, costs) for key, plan in subjects
            )
            return decision, ticket

    def peek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """What `hit` would decide; `remaining` is what is left now."""
        with self._lock:
            now = self._time(terms)
            refused = self._refusal(subjects, costs, now, create=False)
            return self._charge(subjects, costs, now, take=False) if refused is None else refused

    def settle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """Replace what was charged by what was used, and end the lease; only the first call does something."""
        if not ticket.open:
            return
        ticket.open = False
        with self._lock:
            now = self._time(terms)
            for (key, plan), stamps in zip(ticket.subjects, ticket.stamps, strict=True):
                if actual != ticket.charged:
                    entry = self._entry(key, plan) or self._put(key, (), plan)
                    policy.settle(entry, plan.rows, ticket.charged, actual, stamps, now)
                if ticket.lease and (leases := self._leases.get((key, plan.scope))) is not None:
                    leases.pop(ticket.lease, None)
                    if not leases:
                        del self._leases[key, plan.scope]
        for key, _ in ticket.subjects:
            self.local.lines.wake(key)

    def use(self, subject: Subject, terms: Terms) -> list[Use]:
        """How far each limit is used up."""
        key, plan = subject
        with self._lock:
            now = self._time(terms)
            entry = self._entry(key, plan) or policy.entry(plan.width)
            policy.age(entry, plan.rows, now)
            windows = iter(plan.rows)
            uses = []
            for limit in plan.limits:
                if limit.measure == "concurrent":
                    leases = self._running(key, plan.scope, now)
                    uses.append(Use(limit, float(len(leases)), max(leases.values(), default=now) - now))
                else:
                    row = next(windows)
                    uses.append(Use(limit, entry[row[0]][0], policy.reset_after(entry, row, now)))
            return uses

    def strike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """Count a strike; the seconds of the time-out or ban that follows, 0.0 if none."""
        with self._lock:
            self._entries.end(key)
            return self._book.strike(key, penalty, self._time(terms))

    def ban(self, key: str, seconds: float, terms: Terms) -> None:
        """Keep a caller out."""
        with self._lock:
            self._entries.end(key)
            self._book.ban(key, seconds, self._time(terms))

    def unban(self, key: str, terms: Terms) -> None:  # noqa: ARG002  # the protocol's signature
        """Let a caller in again and forget its strikes."""
        with self._lock:
            self._book.unban(key)
        self.local.lines.wake(key)

    def reset(self, key: str, terms: Terms) -> None:  # noqa: ARG002
        """Forget what a caller used, its strikes and bans; calls that run keep their leases."""
        with self._lock:
            self._entries.drop(key)
            self._book.unban(key)
        self.local.lines.wake(key)

    async def ahit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `hit`; nothing is waited for."""
        return self.hit(subjects, costs, terms)

    async def areserve(
        self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> tuple[Decision, Ticket | None]:
        """As `reserve`; nothing is waited for."""
        return self.reserve(subjects, costs, terms)

    async def apeek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `peek`; nothing is waited for."""
        return self.peek(subjects, costs, terms)

    async def asettle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """As `settle`; nothing is waited for."""
        self.settle(ticket, actual, terms)

    async def astrike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """As `strike`; nothing is waited for."""
        return self.strike(key, penalty, terms)

    async def ause(self, subject: Subject, terms: Terms) -> list[Use]:
        """As `use`; nothing is waited for."""
        return self.use(subject, terms)

    async def aban(self, key: str, seconds: float, terms: Terms) -> None:
        """As `ban`; nothing is waited for."""
        self.ban(key, seconds, terms)

    async def aunban(self, key: str, terms: Terms) -> None:
        """As `unban`; nothing is waited for."""
        self.unban(key, terms)

    async def areset(self, key: str, terms: Terms) -> None:
        """As `reset`; nothing is waited for."""
        self.reset(key, terms)

    # -- under the lock

    def _time(self, terms: Terms) -> float:
        now = terms.clock() + self._skew
        if now < self._now:
            now = self._stepped_back(now)
        self._now = now
        return now

    def _stepped_back(self, now: float) -> float:
        """A clock was set back: time stands still for that moment and runs on from there."""
        self._skew += self._now - now
        return self._now

    def _refusal(
        self, subjects: Sequence[Subject], costs: Costs, now: float, *, create: bool = True
    ) -> Decision | None:
        worst: Decision | None = None
        for key, plan in subjects:
            if self._book.until and (left := self._book.left(key, now)):
                return Decision(False, left, 0.0, None, key, "memory", True)
            entry = self._entry(key, plan)
            if entry is None and plan.rows:
                if create and key not in _RESERVED and not self._entries.admits(key, now - self._horizon):
                    wait = self._entries.idle_since() + self._horizon - now
                    return Decision(False, max(0.0, wait), 0.0, None, key, "memory")
                entry = policy.entry(plan.width)
            refused = policy.refusal(entry or (), plan.rows, costs, now)
            if refused is not None and (worst is None or refused[0] > (worst.retry_after or 0.0)):
                wait, left, spelled = refused
                if wait == math.inf:
                    return Decision(False, None, left, spelled, key, "memory")
                worst = Decision(False, wait, left, spelled, key, "memory")
            if plan.leases < math.inf and len(leases := self._running(key, plan.scope, now)) >= plan.leases:
                wait = min(leases.values(), default=math.inf) - now
                if wait == math.inf:  # a share of the limit that allows none
                    return Decision(False, None, 0.0, plan.spelled, key, "memory")
                if worst is None or wait > (worst.retry_after or 0.0):
                    worst = Decision(False, wait, 0.0, plan.spelled, key, "memory")
        return worst

    def _charge(self, subjects: Sequence[Subject], costs: Costs, now: float, *, take: bool = True) -> Decision:
        fewest, left, limit, whose = math.inf, math.inf, None, subjects[0][0] if subjects else ""
        for key, plan in subjects:
            if plan.rows:
                if take:
                    entry = self._entry(key, plan) or self._put(key, (), plan)
                    more, remaining, spelled = policy.charge(entry, plan.rows, costs, now)
                    self._entries.touch(key)
                else:
                    entry = self._entry(key, plan) or policy.entry(plan.width)
                    more, remaining, spelled = policy.room(entry, plan.rows, costs)
                if more < fewest:
                    fewest, left, limit, whose = more, remaining, spelled, key
            if plan.leases < math.inf:
                free = plan.leases - len(self._leases.get((key, plan.scope), ()))
                if free < fewest:
                    fewest, left, limit, whose = free, free, plan.spelled, key
        return Decision(True, 0.0, left, limit, whose, "memory")

    def _entry(self, key: str, plan: Plan) -> policy.Entry | None:
        """What a caller used, with a window for every limit of the plan; None for a new caller."""
        entry = self._entries.get(key)
        return self._put(key, entry, plan) if entry is not None and len(entry) < plan.width else entry

    def _put(self, key: str, entry: policy.Entry, plan: Plan) -> policy.Entry:
        """The entry, wide enough for the plan, remembered."""
        wide = entry + policy.entry(plan.width - len(entry))
        self._entries.put(key, wide)
        return wide

    def _running(self, key: str, scope: Scope, now: float) -> dict[int | str, float]:
        """The leases of `key` in this scope that have not run out."""
        leases = self._leases.get((key, scope))
        if leases is None:
            return {}
        for lease in [lease for lease, deadline in leases.items() if deadline <= now]:
            del leases[lease]
        return leases


def _before_fork() -> None:
    _forking.extend(_stores)
    for store in _forking:
        store._lock.acquire()


def _after_fork() -> None:
    for store in _forking:
        store._lock.release()
    _forking.clear()


_forking: list[MemoryStore] = []
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)
