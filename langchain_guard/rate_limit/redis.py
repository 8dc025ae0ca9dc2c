"""`RedisStore`: counts that many processes share, in Redis or Valkey.

One Lua script decides about all windows of a call, by the server's clock, in one round trip. Nothing waits for the
server longer than the time-out; while it is away, a circuit breaker keeps calls from waiting at all, and every decision
says that the server did not make it. This module imports nothing of LangChain, and redis at the first call.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import os
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic import SecretStr

from langchain_guard.errors import ConfigError, strict
from langchain_guard.rate_limit import scripts
from langchain_guard.rate_limit.breaker import Away, Breaker, Refusals
from langchain_guard.rate_limit.connection import Connection
from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.limits import Costs, Limit, costs
from langchain_guard.rate_limit.local import Local
from langchain_guard.rate_limit.protocol import Plan, Subject, Terms, Ticket, Use
from langchain_guard.rate_limit.scripts import CHARGE, KEEP, LOOK, MICRO, Command, Names
from langchain_guard.rate_limit.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_guard.rate_limit.penalty import Penalty


@strict
class RedisStore:
    """Counts on a Redis or Valkey server, exactly, for all processes that name the same server and namespace.

    In any window at most the limit is admitted while the server answers. After a restart that lost its data, counts
    begin anew; a fail-over to a replica can lose the last writes, as replication is asynchronous. On a cluster the
    limits of one subject are decided in one step, and several subjects (user, address, everybody) one after the other:
    what was taken is given back if a later one refuses.

    A limiter with such a store dumps without its address; ``load`` is told it by
    ``secrets_map={"LANGCHAIN_GUARD_REDIS_URL": "redis://..."}``. Pickles carry it.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, as redis-py reads it.
        timeout: Most seconds to wait for the server, for a connection and for an answer.
        namespace: Keeps applications apart that share a server.
        cluster: Whether the server is a cluster.

    Raises:
        ConfigError: A value is out of range, or the package redis is missing.
    """

    remote = True

    def __init__(
        self,
        url: str | SecretStr,
        timeout: float = 0.25,
        namespace: str = "langchain_guard",
        cluster: bool = False,
    ) -> None:
        secret = url if isinstance(url, SecretStr) else SecretStr(url) if isinstance(url, str) else SecretStr("")
        if not secret.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ConfigError("RedisStore(url=...): must begin with redis://, rediss:// or unix://")
        _check_address(secret)
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            raise ConfigError(f"RedisStore(timeout={timeout!r}): must be a positive number of seconds")
        if not isinstance(namespace, str) or not namespace or "{" in namespace:
            raise ConfigError(f"RedisStore(namespace={namespace!r}): must be a non-empty str without braces")
        self.url, self.timeout, self.namespace, self.cluster = secret, float(timeout), namespace, cluster
        self.local = Local()
        self.refusals = Refusals()
        self._names = Names(namespace)
        self._connection = Connection(secret, self.timeout, cluster=cluster)
        self._fallback = MemoryStore()
        self._ids = itertools.count(1)
        if importlib.util.find_spec("redis") is None:
            raise ConfigError("RedisStore needs the package redis: pip install 'langchain-guard[redis]'")

    def __repr__(self) -> str:
        return f"RedisStore(url=SecretStr('**********'), timeout={self.timeout}, namespace={self.namespace!r})"

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __copy__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[type[RedisStore], tuple[Any, ...]]:
        return type(self), (self.url, self.timeout, self.namespace, self.cluster)

    def settings(self) -> dict[str, Any]:
        """What builds a store like this one, but for the address."""
        return {"timeout": self.timeout, "namespace": self.namespace, "cluster": self.cluster}

    @property
    def breaker(self) -> Breaker:
        """Keeps calls from waiting for a server that is away."""
        return self._connection.breaker

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._connection.aclose()

    # -- the protocol

    def plan(self, limits: tuple[Limit, ...]) -> Plan:
        """Compile the limits of one scope."""
        return scripts.plan(limits)

    def hit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """Decide, and charge what is admitted; running calls are counted but not added."""
        return self._connection.run(self._deciding(CHARGE, subjects, costs, terms))[0]

    def reserve(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> tuple[Decision, Ticket | None]:
        """As `hit`, and take a lease on running; the ticket is to be settled."""
        return self._connection.run(self._deciding(KEEP, subjects, costs, terms))

    def peek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """What `hit` would decide; `remaining` is what is left now."""
        return self._connection.run(self._deciding(LOOK, subjects, costs, terms))[0]

    def settle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """Replace what was charged by what was used, and end the lease; only the first call does something."""
        self._connection.run(self._settling(ticket, actual, terms))

    def use(self, subject: Subject, terms: Terms) -> list[Use]:
        """How far each limit is used up; as far as this process knows while the server is away."""
        return self._connection.run(self._using(subject, terms))

    def strike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """Count a strike; the seconds of the time-out or ban that follows, 0.0 if none."""
        return self._connection.run(self._striking(key, penalty, terms))

    def ban(self, key: str, seconds: float, terms: Terms) -> None:
        """Keep a caller out; for this process even if the server is away."""
        self._connection.run(self._banning(key, seconds, terms))

    def unban(self, key: str, terms: Terms) -> None:
        """Let a caller in again and forget its strikes."""
        self._connection.run(self._forgetting(key, terms, used=False))

    def reset(self, key: str, terms: Terms) -> None:
        """Forget what a caller used, its strikes and bans; calls that run keep their leases."""
        self._connection.run(self._forgetting(key, terms, used=True))

    async def ahit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `hit`."""
        return (await self._connection.arun(self._deciding(CHARGE, subjects, costs, terms)))[0]

    async def areserve(
        self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> tuple[Decision, Ticket | None]:
        """As `reserve`."""
        return await self._connection.arun(self._deciding(KEEP, subjects, costs, terms))

    async def apeek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `peek`."""
        return (await self._connection.arun(self._deciding(LOOK, subjects, costs, terms)))[0]

    async def asettle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """As `settle`."""
        await self._connection.arun(self._settling(ticket, actual, terms))

    async def astrike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """As `strike`."""
        return await self._connection.arun(self._striking(key, penalty, terms))

    async def ause(self, subject: Subject, terms: Terms) -> list[Use]:
        """As `use`."""
        return await self._connection.arun(self._using(subject, terms))

    async def aban(self, key: str, seconds: float, terms: Terms) -> None:
        """As `ban`."""
        await self._connection.arun(self._banning(key, seconds, terms))

    async def aunban(self, key: str, terms: Terms) -> None:
        """As `unban`."""
        await self._connection.arun(self._forgetting(key, terms, used=False))

    async def areset(self, key: str, terms: Terms) -> None:
        """As `reset`."""
        await self._connection.arun(self._forgetting(key, terms, used=True))

    # -- what is sent and what comes back, for threads and coroutines alike

    def _deciding(
        self, mode: int, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> Generator[Command, Any, tuple[Decision, Ticket | None]]:
        if mode != LOOK and (known := self.refusals.find(subjects, costs)) is not None:
            return known, None
        groups = [(subject,) for subject in subjects] if self.cluster else [subjects]
        sent = KEEP if mode == CHARGE and len(groups) > 1 else mode  # what may have to be given back needs its slots
        lease = self._lease(subjects) if mode == KEEP else ""
        taken: list[Ticket] = []
        best: Decision | None = None
        try:
            for group in groups:
                reply = yield scripts.deciding(sent, self._names, group, costs, lease, terms.lease)
                decision, slots = scripts.decided(group, reply)
                if not decision.allowed:
                    for ticket in taken if mode != LOOK else ():
                        yield from self._settling(ticket, _NOTHING, terms)
                    if mode != LOOK and not _waits_for_lease(decision, group):
                        self.refusals.add(subjects, costs, decision)
                    return decision, None
                taken.append(Ticket(group, costs, slots, lease, "redis"))
                if best is None or decision.remaining < best.remaining:
                    best = decision
        except Away:
            return self._alone(mode, subjects, costs, terms)
        assert best is not None  # there is always the caller
        if mode != KEEP:
            return best, None
        return best, Ticket(
            subjects, costs, tuple(itertools.chain.from_iterable(t.stamps for t in taken)), lease, "redis"
        )

    def _settling(self, ticket: Ticket, actual: Costs, terms: Terms) -> Generator[Command, Any, None]:
        if not ticket.open:
            return
        if ticket.source != "redis":
            self._fallback.settle(ticket, actual, terms)
            for key, _ in ticket.subjects:
                self.local.lines.wake(key)
            return
        ticket.open = False
        if actual == ticket.charged and not ticket.lease:
            return
        size = 1 if self.cluster else len(ticket.subjects)
        for first in range(0, len(ticket.subjects), size):
            part = slice(first, first + size)
            try:
                yield scripts.settling(self._names, ticket.subjects[part], ticket.stamps[part], ticket, actual)
            except Away:  # the reservation stands, and the lease ends by itself
                continue
        for key, _ in ticket.subjects:
            self.refusals.forget(key)
            self.local.lines.wake(key)

    def _using(self, subject: Subject, terms: Terms) -> Generator[Command, Any, list[Use]]:
        key, plan = subject
        fields = [str(row[0]) for row in plan.rows]
        running = self._names.running(key, plan.scope)
        logs: list[Any] = []
        leases: list[Any] = []
        try:
            seconds, micros = yield scripts.plain("TIME")
            now = float(seconds) * MICRO + float(micros)
            if fields:
                logs = yield scripts.plain("HMGET", self._names.used(key), *fields)
            if plan.spelled:
                leases = yield scripts.plain("ZRANGE", running, 0, -1, "WITHSCORES")
        except Away:
            return self._fallback.use((key, self._shared(plan, terms)), terms)
        ends = [(float(score) - now) / MICRO for score in leases[1::2] if float(score) > now]
        windows = iter(logs)
        return [
            Use(limit, float(len(ends)), max(ends, default=0.0))
            if limit.measure == "concurrent"
            else scripts.window_use(limit, next(windows), now)
            for limit in plan.limits
        ]

    def _striking(self, key: str, penalty: Penalty, terms: Terms) -> Generator[Command, Any, float]:
        try:
            reply = yield scripts.striking(self._names, key, penalty)
        except Away:
            return self._fallback.strike(key, penalty, terms)
        if float(reply):
            self.refusals.forget(key)
        return float(reply) / MICRO

    def _banning(self, key: str, seconds: float, terms: Terms) -> Generator[Command, Any, None]:
        self._fallback.ban(key, seconds, terms)
        self.refusals.forget(key)
        try:
            yield scripts.banning(self._names, key, seconds)
        except Away:
            return

    def _forgetting(self, key: str, terms: Terms, *, used: bool) -> Generator[Command, Any, None]:
        name, record = self._names.used(key), self._names.record(key)
        forgotten = self._fallback.reset if used else self._fallback.unban
        forgotten(key, terms)
        self.refusals.forget(key)
        try:
            yield scripts.plain("DEL", name, record) if used else scripts.plain("HDEL", name, "b")
            if not used:
                yield scripts.plain("DEL", record)
        except Away:
            return
        self.local.lines.wake(key)

    # -- without the server

    def _alone(
        self, mode: int, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> tuple[Decision, Ticket | None]:
        """Decide while the server is away."""
        key = subjects[0][0]
        if terms.on_store_error == "open":
            return Decision(True, 0.0, math.inf, None, key, "local"), None
        if terms.on_store_error == "closed":
            return Decision(False, self.breaker.left(), 0.0, None, key, "local"), None
        shared = tuple((key, self._shared(plan, terms)) for key, plan in subjects)
        ticket = None
        if mode == KEEP:
            decision, ticket = self._fallback.reserve(shared, costs, terms)
        elif mode == CHARGE:
            decision = self._fallback.hit(shared, costs, terms)
        else:
            decision = self._fallback.peek(shared, costs, terms)
        if ticket is not None:
            ticket.source = "local"
        if decision.retry_after is None and _fits(subjects, costs):
            decision = decision._replace(retry_after=self.breaker.left())  # it fits the limit, not the share of it
        return decision._replace(source="local"), ticket

    def _shared(self, plan: Plan, terms: Terms) -> Plan:
        return self._fallback.plan(plan.limits, terms.local_share)

    def _lease(self, subjects: tuple[Subject, ...]) -> str:
        if all(plan.leases == math.inf for _, plan in subjects):
            return ""
        return f"{os.getpid():x}-{next(self._ids):x}-{os.urandom(6).hex()}"


_NOTHING = costs()


def _check_address(url: SecretStr) -> None:
    try:
        _ = urlsplit(url.get_secret_value()).port
    except ValueError:  # whose text quotes the URL
        wrong = True
    else:
        wrong = False
    if wrong:
        raise ConfigError("RedisStore(url=...): its host or port cannot be read")


def _waits_for_lease(decision: Decision, group: tuple[Subject, ...]) -> bool:
    return any(plan.spelled == decision.limit for _, plan in group if plan.spelled)


def _fits(subjects: tuple[Subject, ...], costs: Costs) -> bool:
    return all(costs[row[5]] <= row[2] for _, plan in subjects for row in plan.rows)
