"""What a limiter and its store tell each other. This module imports nothing of LangChain."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_guard.rate_limit.decision import Decision, Source
    from langchain_guard.rate_limit.limits import Costs, Limit, Scope
    from langchain_guard.rate_limit.local import Local
    from langchain_guard.rate_limit.penalty import Penalty
    from langchain_guard.rate_limit.policy import Row

OnStoreError = Literal["local", "closed", "open"]


class Terms(NamedTuple):
    """What a limiter tells its store with every call.

    Attributes:
        clock: Gives seconds that never run backwards. (A server uses its own clock for what it counts.)
        lease: Seconds after which a running call is taken for dead and its place is free again.
        on_store_error: What is decided while a remote store is away.
        local_share: Which part of every limit this process admits then, 0 to 1.
    """

    clock: Callable[[], float] = time.monotonic
    lease: float = 600.0
    on_store_error: OnStoreError = "local"
    local_share: float = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """The limits of one subject, compiled for a store.

    Attributes:
        limits: What was compiled, all of one scope.
        scope: That scope.
        rows: The windows, as the store's engine reads them.
        width: Length that an entry must have for these rows.
        leases: Most calls that may run at a time; ``math.inf`` if there is no such limit.
        spelled: The spelling of that limit.
        simple: Whether there are windows and nothing else.
    """

    limits: tuple[Limit, ...]
    scope: Scope
    rows: tuple[Row, ...]
    width: int
    leases: float
    spelled: str
    simple: bool


Subject = tuple[str, Plan]
"""A key and the limits that apply to it."""


@dataclass(slots=True)
class Ticket:
    """What an admitted call holds until it is settled.

    Attributes:
        subjects: Whose windows were charged.
        charged: With how much.
        stamps: Names of the slots that were charged, per subject.
        lease: Name of the running call; 0 or "" if no limit counts running calls.
        source: Who admitted it; the settlement goes there too.
    """

    subjects: tuple[Subject, ...]
    charged: Costs
    stamps: tuple[tuple[Any, ...], ...] = ()
    lease: int | str = 0
    source: Source = "memory"
    open: bool = True


class Use(NamedTuple):
    """How far one limit is used up: `reset_after` is in seconds, until all of it is free again."""

    limit: Limit
    used: float
    reset_after: float


class Store(Protocol):
    """What a `RateLimiter` asks of its store; methods with an ``a`` are for coroutines."""

    local: Local
    remote: bool

    def plan(self, limits: tuple[Limit, ...]) -> Plan:
        """Compile the limits of one scope."""

    def hit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """Decide, and charge what is admitted; running calls are counted but not added."""

    def reserve(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> tuple[Decision, Ticket | None]:
        """As `hit`, and take a lease on running; the ticket is to be settled."""

    def peek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """What `hit` would decide; `remaining` is what is left now."""

    def settle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """Replace what was charged by what was used, and end the lease; only the first call does something."""

    def use(self, subject: Subject, terms: Terms) -> list[Use]:
        """How far each limit is used up."""

    def strike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """Count a strike; the seconds of the time-out or ban that follows, 0.0 if none."""

    def ban(self, key: str, seconds: float, terms: Terms) -> None:
        """Keep a caller out."""

    def unban(self, key: str, terms: Terms) -> None:
        """Let a caller in again and forget its strikes."""

    def reset(self, key: str, terms: Terms) -> None:
        """Forget what a caller used, its strikes and bans; calls that run keep their leases."""

    async def ahit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `hit`."""

    async def areserve(
        self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> tuple[Decision, Ticket | None]:
        """As `reserve`."""

    async def apeek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `peek`."""

    async def asettle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """As `settle`."""

    async def astrike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """As `strike`."""

    async def ause(self, subject: Subject, terms: Terms) -> list[Use]:
        """As `use`."""

    async def aban(self, key: str, seconds: float, terms: Terms) -> None:
        """As `ban`."""

    async def aunban(self, key: str, terms: Terms) -> None:
        """As `unban`."""

    async def areset(self, key: str, terms: Terms) -> None:
        """As `reset`."""
