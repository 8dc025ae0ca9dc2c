"""The gate that a limiter's calls pass: ask the store, wait for one's turn or give up, count strikes.

Everything twice, for threads and for coroutines, with the decisions in between shared. This module imports nothing of
LangChain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.waiting import Lines, TaskWaiter, ThreadWaiter

if TYPE_CHECKING:
    from langchain_guard.rate_limit.limits import Costs
    from langchain_guard.rate_limit.penalty import Penalty
    from langchain_guard.rate_limit.protocol import Store, Subject, Terms, Ticket
    from langchain_guard.rate_limit.store import Teller

Admission = tuple[Decision, "Ticket | None"]

_POLL = 0.05
"""How often, in seconds, the head of a line asks a server for a place that another process may have freed."""
_GLANCE = 0.005
"""How often, in real seconds, a waiter looks at a clock that is moved by hand."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One limiter's way of asking its store.

    Attributes:
        store: Who counts.
        terms: What the store is told with every call.
        waits: Whether a refused call waits for its turn.
        max_wait: Most seconds that it waits.
        max_waiters: Most callers that wait for one key at a time.
        penalty: What becomes of those who do not stop.
        teller: The store's short cut for one subject, where the limits allow it.
    """

    store: Store
    terms: Terms
    waits: bool = False
    max_wait: float = 60.0
    max_waiters: int = 1000
    penalty: Penalty | None = None
    teller: Teller | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Gate:
        return self

    def waiting(self, seconds: float) -> Gate:
        """The same gate for callers who wait up to so many seconds."""
        return replace(self, waits=True, max_wait=seconds)

    # -- threads

    def ask(self, subjects: tuple[Subject, ...], costs: Costs, *, hold: bool, run: object | None = None) -> Admission:
        """Decide about one call, waiting if that is the limiter's way.

        Args:
            subjects: Whose limits apply.
            costs: What the call takes.
            hold: Whether it is settled later, so that it needs a ticket.
            run: What the refusals of one logical call have in common: together they are one strike.
        """
        decision, ticket = (
            self._wait(subjects, costs, hold=hold) if self.waits else self._try(subjects, costs, hold=hold)
        )
        if not decision.allowed and self.penalty is not None and self._strikes(decision, subjects[0][0], run):
            length = self.store.strike(subjects[0][0], self.penalty, self.terms)
            decision = _struck(decision, subjects[0][0], length)
        return decision, ticket

    def _try(self, subjects: tuple[Subject, ...], costs: Costs, *, hold: bool) -> Admission:
        if hold:
            return self.store.reserve(subjects, costs, self.terms)
        return self._told(subjects, costs) or (self.store.hit(subjects, costs, self.terms), None)

    def _told(self, subjects: tuple[Subject, ...], costs: Costs) -> Admission | None:
        told = None if self.teller is None else self.teller(subjects[0][0], costs)
        return None if told is None else (told, None)

    def _wait(self, subjects: tuple[Subject, ...], costs: Costs, *, hold: bool) -> Admission:
        turn = _Turn(self, subjects)
        line = turn.occupied()
        if line is None:
            admission = self._try(subjects, costs, hold=hold)
            line = turn.line(admission[0])
            if line is None:
                return admission
        waiter = ThreadWaiter()
        sleep = getattr(self.terms.clock, "sleep", None)
        lines = turn.lines
        while True:
            if not lines.join(line, waiter, self.max_waiters):
                return self.store.peek(subjects, costs, self.terms)._replace(allowed=False), None
            try:
                while True:
                    pause = turn.left()
                    if lines.heads(line, waiter):
                        admission = self._try(subjects, costs, hold=hold)
                        other = turn.line(admission[0])
                        if other is None:
                            return admission
                        if other != line:
                            break
                        pause = turn.pause(admission[0])
                        if sleep is not None:
                            sleep(pause)
                            continue
                    elif pause <= 0:
                        return turn.late(self.store.peek(subjects, costs, self.terms)), None
                    waiter.sleep(pause if sleep is None else _GLANCE)
            finally:
                lines.leave(line, waiter)
            line = other

    # -- coroutines

    async def aask(
        self, subjects: tuple[Subject, ...], costs: Costs, *, hold: bool, run: object | None = None
    ) -> Admission:
        """As `ask`; while it waits, the loop runs on."""
        if self.waits:
            decision, ticket = await self._await(subjects, costs, hold=hold)
        else:
            decision, ticket = await self._atry(subjects, costs, hold=hold)
        if not decision.allowed and self.penalty is not None and self._strikes(decision, subjects[0][0], run):
            length = await self.store.astrike(subjects[0][0], self.penalty, self.terms)
            decision = _struck(decision, subjects[0][0], length)
        return decision, ticket

    async def _atry(self, subjects: tuple[Subject, ...], costs: Costs, *, hold: bool) -> Admission:
        if hold:
            return await self.store.areserve(subjects, costs, self.terms)
        return self._told(subjects, costs) or (await self.store.ahit(subjects, costs, self.terms), None)

    async def _await(self, subjects: tuple[Subject, ...], costs: Costs, *, hold: bool) -> Admission:
        turn = _Turn(self, subjects)
        line = turn.occupied()
        if line is None:
            admission = await self._atry(subjects, costs, hold=hold)
            line = turn.line(admission[0])
            if line is None:
                return admission
        waiter = TaskWaiter()
        sleep = getattr(self.terms.clock, "asleep", None)
        lines = turn.lines
        while True:
            if not lines.join(line, waiter, self.max_waiters):
                return (await self.store.apeek(subjects, costs, self.terms))._replace(allowed=False), None
            try:
                while True:
                    pause = turn.left()
                    if lines.heads(line, waiter):
                        admission = await self._atry(subjects, costs, hold=hold)
                        other = turn.line(admission[0])
                        if other is None:
                            return admission
                        if other != line:
                            break
                        pause = turn.pause(admission[0])
                        if sleep is not None:
                            await sleep(pause)
                            continue
                    elif pause <= 0:
                        return turn.late(await self.store.apeek(subjects, costs, self.terms)), None
                    await waiter.sleep(pause if sleep is None else _GLANCE)
            finally:
                lines.leave(line, waiter)
            line = other

    def _strikes(self, decision: Decision, key: str, run: object | None) -> bool:
        return not decision.banned and decision.limit is not None and self.store.local.strikes(key, run)


class _Turn:
    """One caller's patience."""

    def __init__(self, gate: Gate, subjects: tuple[Subject, ...]) -> None:
        self.gate, self.subjects = gate, subjects
        self.lines: Lines = gate.store.local.lines
        self.end = gate.terms.clock() + gate.max_wait

    def left(self) -> float:
        """Seconds that it will still wait."""
        return self.end - self.gate.terms.clock()

    def occupied(self) -> str | None:
        """The line that a newcomer has to stand in because others wait already."""
        return next((key for key, _ in self.subjects if self.lines.waits(key)), None)

    def line(self, decision: Decision) -> str | None:
        """The line to wait in after a refusal; None if there is nothing to wait for or too long to go."""
        if decision.allowed or decision.retry_after is None or decision.banned or decision.limit is None:
            return None
        left = self.left()
        if left <= 0 or (decision.retry_after > left and not self._running(decision)):
            return None
        return decision.key

    def pause(self, decision: Decision) -> float:
        """How long the head of the line sleeps."""
        pause = min(decision.retry_after or 0.0, self.left())
        return min(pause, _POLL) if self.gate.store.remote and self._running(decision) else pause

    def late(self, decision: Decision) -> Decision:
        """The answer for one whose patience ended before its turn came."""
        return decision._replace(allowed=False)

    def _running(self, decision: Decision) -> bool:
        """Whether a running call is in the way, which may end any moment."""
        return any(plan.spelled == decision.limit for _, plan in self.subjects if plan.spelled)


def _struck(decision: Decision, key: str, length: float) -> Decision:
    """The refusal that completed the strikes is the first of the time-out, and says how long that is."""
    if not length:
        return decision
    return decision._replace(retry_after=length, remaining=0.0, key=key, limit=None, banned=True)
