"""`RedisStore`: counts that many processes share, in Redis or Valkey.

One Lua script decides about all windows of a call, by the server's clock, in one round trip. Nothing waits for the
server longer than the time-out; while it is away, a circuit breaker keeps calls from waiting at all, and every decision
says that the server did not make it. This module imports nothing of LangChain, and redis at the first call.
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import itertools
import logging
import math
import os
import struct
import time
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from pydantic import SecretStr

from langchain_guard.errors import ConfigError
from langchain_guard.rate_limit.breaker import Away, Breaker, Refusals
from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.limits import MEASURES, Costs, Limit, costs
from langchain_guard.rate_limit.local import Local
from langchain_guard.rate_limit.policy import RESOLUTION, TOLERANCE
from langchain_guard.rate_limit.protocol import Plan, Subject, Terms, Ticket, Use
from langchain_guard.rate_limit.store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Generator

    from langchain_guard.rate_limit.penalty import Penalty

logger = logging.getLogger("langchain_guard")

T = TypeVar("T")

_SECONDS = 1e6
"""Microseconds: the server's scripts count in them."""
_AT_A_TIME = 16
"""Most calls of one event loop that are under way at a time; the others wait for a free connection."""


class _Script(NamedTuple):
    source: str
    digest: str


def _script(name: str) -> _Script:
    source = (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")
    return _Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


DECIDE, SETTLE, STRIKE, BAN = map(_script, ("decide", "settle", "strike", "ban"))


class _Loop(NamedTuple):
    """What belongs to one event loop."""

    client: Any
    turns: asyncio.Semaphore


class _Command(NamedTuple):
    """Something to send: a script, or a plain command (without a script)."""

    script: _Script | None
    keys: tuple[str, ...]
    args: tuple[Any, ...]


class RedisStore:
    """Counts on a Redis or Valkey server, exactly, for all processes that name the same server and namespace.

    In any window at most the limit is admitted while the server answers. After a restart that lost its data, counts
    begin anew; a fail-over to a replica can lose the last writes, as replication is asynchronous. On a cluster the
    limits of one subject are decided in one step, and several subjects (user, address, everybody) one after the other:
    what was taken is given back if a later one refuses.

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
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout < math.inf:
            raise ConfigError(f"RedisStore(timeout={timeout!r}): must be a positive number of seconds")
        if not isinstance(namespace, str) or not namespace or "{" in namespace:
            raise ConfigError(f"RedisStore(namespace={namespace!r}): must be a non-empty str without braces")
        self.url, self.timeout, self.namespace, self.cluster = secret, float(timeout), namespace, cluster
        self.local = Local()
        self.breaker = Breaker()
        self.refusals = Refusals()
        self._fallback = MemoryStore()
        self._client: Any = None
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = weakref.WeakKeyDictionary()
        self._ids = itertools.count(1)
        self._complained = -math.inf
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

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        known = self._clients.pop(asyncio.get_running_loop(), None)
        if known is not None:
            await known.client.aclose()

    # -- the protocol

    def plan(self, limits: tuple[Limit, ...]) -> Plan:
        """Compile the limits of one scope: the rows are what the script reads, but for what a call costs."""
        rows: list[Any] = []
        leases, spelled, horizon = math.inf, "", 0.0
        for limit in limits:
            if limit.measure == "concurrent":
                leases, spelled = limit.amount, str(limit)
                continue
            period = float(limit.period or 0.0) * _SECONDS
            horizon = max(horizon, period * (1 + 1 / RESOLUTION))
            field = f"{limit.scope}:{limit.measure}:{limit.period!r}"
            ceiling = limit.amount * (1 + TOLERANCE)
            measure = MEASURES.index(limit.measure)
            rows.append((field, limit.amount, ceiling, period, period / RESOLUTION, measure, str(limit)))
        return Plan(limits, tuple(rows), int(horizon), leases, spelled, False)

    def hit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """Decide, and charge what is admitted; running calls are counted but not added."""
        return self._run(self._deciding("h", subjects, costs, terms))[0]

    def reserve(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> tuple[Decision, Ticket | None]:
        """As `hit`, and take a lease on running; the ticket is to be settled."""
        return self._run(self._deciding("r", subjects, costs, terms))

    def peek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """What `hit` would decide; `remaining` is what is left now."""
        return self._run(self._deciding("p", subjects, costs, terms))[0]

    def settle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """Replace what was charged by what was used, and end the lease; only the first call does something."""
        self._run(self._settling(ticket, actual, terms))

    def use(self, subject: Subject, terms: Terms) -> list[Use]:
        """How far each limit is used up; as far as this process knows while the server is away."""
        return self._run(self._using(subject, terms))

    def strike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """Count a strike; the seconds of the time-out or ban that follows, 0.0 if none."""
        return self._run(self._striking(key, penalty, terms))

    def ban(self, key: str, seconds: float, terms: Terms) -> None:
        """Keep a caller out; for this process even if the server is away."""
        self._run(self._banning(key, seconds, terms))

    def unban(self, key: str, terms: Terms) -> None:
        """Let a caller in again and forget its strikes."""
        self._run(self._forgetting(key, terms, used=False))

    def reset(self, key: str, terms: Terms) -> None:
        """Forget what a caller used, its strikes and bans; calls that run keep their leases."""
        self._run(self._forgetting(key, terms, used=True))

    async def ahit(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `hit`."""
        return (await self._arun(self._deciding("h", subjects, costs, terms)))[0]

    async def areserve(
        self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> tuple[Decision, Ticket | None]:
        """As `reserve`."""
        return await self._arun(self._deciding("r", subjects, costs, terms))

    async def apeek(self, subjects: tuple[Subject, ...], costs: Costs, terms: Terms) -> Decision:
        """As `peek`."""
        return (await self._arun(self._deciding("p", subjects, costs, terms)))[0]

    async def asettle(self, ticket: Ticket, actual: Costs, terms: Terms) -> None:
        """As `settle`."""
        await self._arun(self._settling(ticket, actual, terms))

    async def astrike(self, key: str, penalty: Penalty, terms: Terms) -> float:
        """As `strike`."""
        return await self._arun(self._striking(key, penalty, terms))

    # -- what is sent and what comes back, for threads and coroutines alike

    def _deciding(
        self, mode: str, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> Generator[_Command, Any, tuple[Decision, Ticket | None]]:
        if mode != "p" and (known := self.refusals.find(subjects, costs)) is not None:
            return known, None
        groups = [(subject,) for subject in subjects] if self.cluster and len(subjects) > 1 else [subjects]
        sent = "r" if mode == "h" and len(groups) > 1 else mode  # what may have to be given back needs its slots
        taken: list[Ticket] = []
        best: Decision | None = None
        try:
            for group in groups:
                lease = self._lease(group) if mode == "r" else ""
                reply = yield _Command(DECIDE, self._keys(group), self._asked(sent, group, costs, terms, lease))
                decision = self._answer(group, reply)
                if not decision.allowed:
                    for ticket in taken if mode != "p" else ():
                        yield from self._settling(ticket, _NOTHING, terms)
                    if mode != "p" and not _waits_for_lease(decision, group):
                        self.refusals.add(subjects, costs, decision)
                    return decision, None
                stamps = self._slots(group, reply) if sent == "r" else ()
                taken.append(Ticket(group, costs, stamps, lease, "redis"))
                if best is None or decision.remaining < best.remaining:
                    best = decision
        except Away:
            return self._alone(mode, subjects, costs, terms)
        if best is None:
            return Decision(True, 0.0, math.inf, None, "", "redis"), None
        if mode != "r":
            return best, None
        ticket = taken[0]
        if len(taken) > 1:
            every = tuple(itertools.chain.from_iterable(t.stamps for t in taken))
            ticket = Ticket(subjects, costs, every, ticket.lease, "redis")
        return best, ticket

    def _asked(self, mode: str, group: tuple[Subject, ...], costs: Costs, terms: Terms, lease: str) -> tuple[Any, ...]:
        args: list[Any] = [mode, lease, terms.lease * _SECONDS, len(group)]
        for _, plan in group:
            args += (len(plan.rows), -1 if plan.leases == math.inf else plan.leases, plan.width)
            for field, amount, ceiling, period, quantum, measure, _ in plan.rows:
                args += (field, struct.pack("<5d", amount, ceiling, period, quantum, costs[measure]))
        return tuple(args)

    def _answer(self, group: tuple[Subject, ...], reply: Any) -> Decision:
        outcome, wait, left = reply[0], float(reply[1]) / _SECONDS, float(reply[2])
        key, plan = group[int(reply[3]) - 1]
        window = int(reply[4])
        limit = plan.rows[window - 1][6] if window else plan.spelled or None
        if outcome == b"1":
            return Decision(True, 0.0, left, limit, key, "redis")
        if outcome == b"b":
            return Decision(False, wait, 0.0, None, key, "redis", True)
        return Decision(False, None if outcome == b"n" else wait, left, limit, key, "redis")

    @staticmethod
    def _slots(group: tuple[Subject, ...], reply: Any) -> tuple[tuple[Any, ...], ...]:
        slots = iter(reply[5:])
        return tuple(tuple(next(slots) for _ in plan.rows) for _, plan in group)

    def _settling(self, ticket: Ticket, actual: Costs, terms: Terms) -> Generator[_Command, Any, None]:
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
        groups = zip(ticket.subjects, ticket.stamps, strict=True)
        batches = [[pair] for pair in groups] if self.cluster else [list(groups)]
        for batch in batches:
            args: list[Any] = [ticket.lease or "", len(batch)]
            for (_, plan), stamps in batch:
                args += (len(plan.rows), plan.width)
                for (field, _, _, period, quantum, measure, _), slot in zip(plan.rows, stamps, strict=True):
                    args += (field, slot, actual[measure] - ticket.charged[measure], period, quantum)
            try:
                yield _Command(SETTLE, self._keys(tuple(subject for subject, _ in batch)), tuple(args))
            except Away:  # the reservation stands, and the lease ends by itself
                continue
        for key, _ in ticket.subjects:
            self.refusals.forget(key)
            self.local.lines.wake(key)

    def _using(self, subject: Subject, terms: Terms) -> Generator[_Command, Any, list[Use]]:
        key, plan = subject
        fields = [row[0] for row in plan.rows]
        hash_, leases = self._keys((subject,))
        try:
            seconds, micros = yield _Command(None, (), ("TIME",))
            now = float(seconds) * _SECONDS + float(micros)
            logs = (yield _Command(None, (), ("HMGET", hash_, *fields))) if fields else []
            running = (yield _Command(None, (), ("ZRANGE", leases, 0, -1, "WITHSCORES"))) if plan.spelled else []
        except Away:
            return self._fallback.use((key, self._shared(plan, terms)), terms)
        deadlines = [float(score) for score in running[1::2] if float(score) > now]
        windows = iter(zip(plan.rows, logs, strict=True))
        uses = []
        for limit in plan.limits:
            if limit.measure == "concurrent":
                after = max((deadline - now) / _SECONDS for deadline in deadlines) if deadlines else 0.0
                uses.append(Use(limit, float(len(deadlines)), after))
                continue
            row, log = next(windows)
            slots = [slot for slot in struct.iter_unpack("<dd", (log or b"")[24:]) if slot[0] > now - row[3]]
            after = (slots[-1][0] + row[3] - now) / _SECONDS if slots else 0.0
            uses.append(Use(limit, math.fsum(used for _, used in slots), after))
        return uses

    def _striking(self, key: str, penalty: Penalty, terms: Terms) -> Generator[_Command, Any, float]:
        us = _SECONDS
        args = (penalty.strikes, penalty.within * us, penalty.timeout * us, penalty.ban_after, penalty.ban * us,
                penalty.factor, penalty.max_ban * us, penalty.forget_after * us)  # fmt: skip
        try:
            reply = yield _Command(STRIKE, (self._name(key), f"{self._name(key)}:p"), args)
        except Away:
            return self._fallback.strike(key, penalty, terms)
        if float(reply):
            self.refusals.forget(key)
        return float(reply) / us

    def _banning(self, key: str, seconds: float, terms: Terms) -> Generator[_Command, Any, None]:
        self._fallback.ban(key, seconds, terms)
        self.refusals.forget(key)
        try:
            yield _Command(BAN, (self._name(key),), (seconds * _SECONDS,))
        except Away:
            return

    def _forgetting(self, key: str, terms: Terms, *, used: bool) -> Generator[_Command, Any, None]:
        name = self._name(key)
        forgotten = self._fallback.reset if used else self._fallback.unban
        forgotten(key, terms)
        self.refusals.forget(key)
        try:
            yield _Command(None, (), ("DEL", name, f"{name}:p") if used else ("HDEL", name, "b"))
            if not used:
                yield _Command(None, (), ("DEL", f"{name}:p"))
        except Away:
            return
        self.local.lines.wake(key)

    # -- without the server

    def _alone(
        self, mode: str, subjects: tuple[Subject, ...], costs: Costs, terms: Terms
    ) -> tuple[Decision, Ticket | None]:
        """Decide while the server is away."""
        key = subjects[0][0] if subjects else ""
        if terms.on_store_error == "open":
            return Decision(True, 0.0, math.inf, None, key, "local"), None
        if terms.on_store_error == "closed":
            return Decision(False, self.breaker.left(), 0.0, None, key, "local"), None
        shared = tuple((key, self._shared(plan, terms)) for key, plan in subjects)
        ticket = None
        if mode == "r":
            decision, ticket = self._fallback.reserve(shared, costs, terms)
        elif mode == "h":
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

    # -- sending

    def _run(self, steps: Generator[_Command, Any, T]) -> T:
        try:
            command = next(steps)
            while True:
                try:
                    reply = self._send(command)
                except Away as away:
                    command = steps.throw(away)
                else:
                    command = steps.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    async def _arun(self, steps: Generator[_Command, Any, T]) -> T:
        try:
            command = next(steps)
            while True:
                try:
                    reply = await self._asend(command)
                except Away as away:
                    command = steps.throw(away)
                else:
                    command = steps.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result

    def _send(self, command: _Command) -> Any:
        self.breaker.enter()
        redis = _package()
        try:
            client = self._client
            if client is None:
                client = self._client = self._connect(redis, redis)
            if command.script is None:
                reply = client.execute_command(*command.args)
            else:
                try:
                    reply = client.evalsha(command.script.digest, len(command.keys), *command.keys, *command.args)
                except redis.exceptions.NoScriptError:  # a restart, or the first call
                    reply = client.eval(command.script.source, len(command.keys), *command.keys, *command.args)
        except (redis.exceptions.RedisError, OSError) as error:
            raise self._away(error) from None
        self.breaker.answered()
        return reply

    async def _asend(self, command: _Command) -> Any:
        redis = _package()
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            for other in [other for other in self._clients if other.is_closed()]:
                del self._clients[other]
            self._clients[loop] = _Loop(self._connect(redis, redis.asyncio), asyncio.Semaphore(_AT_A_TIME))
        client, turns = self._clients[loop]
        async with turns:  # whoever waited here while the server stopped answering hears it from the breaker
            return await self._asent(redis, client, command)

    async def _asent(self, redis: Any, client: Any, command: _Command) -> Any:
        self.breaker.enter()
        try:
            if command.script is None:
                reply = await client.execute_command(*command.args)
            else:
                try:
                    reply = await client.evalsha(command.script.digest, len(command.keys), *command.keys, *command.args)
                except redis.exceptions.NoScriptError:
                    reply = await client.eval(command.script.source, len(command.keys), *command.keys, *command.args)
        except (TimeoutError, redis.exceptions.RedisError, OSError) as error:
            raise self._away(error) from None
        self.breaker.answered()
        return reply

    def _connect(self, redis: Any, flavour: Any) -> Any:
        """A client that gives up when it should: the defaults of redis-py wait for ever, or try again and again."""
        retries = flavour.retry if flavour is redis.asyncio else redis.retry
        settings: dict[str, Any] = {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            "retry": retries.Retry(redis.backoff.NoBackoff(), 0),
            "protocol": 2,
            "max_connections": 2**31 - 1,  # redis-py raises beyond; threads and `_AT_A_TIME` bound it
        }
        if self.cluster:
            return flavour.cluster.RedisCluster.from_url(self.url.get_secret_value(), **settings)
        return flavour.Redis.from_url(self.url.get_secret_value(), **settings)

    def _away(self, error: BaseException) -> Away:
        self.breaker.failed()
        now = time.monotonic()
        if now - self._complained > 60:
            self._complained = now
            logger.warning("the Redis store is away (%s); decisions are marked until it is back", type(error).__name__)
        return Away()

    # -- names

    def _keys(self, group: tuple[Subject, ...]) -> tuple[str, ...]:
        return tuple(itertools.chain.from_iterable((name := self._name(key), f"{name}:l") for key, _ in group))

    def _name(self, key: str) -> str:
        """A key as the server sees it: hashed, and in braces, so that a cluster keeps a subject's keys together."""
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{self.namespace}:{{{digest}}}"

    def _lease(self, group: tuple[Subject, ...]) -> str:
        if all(plan.leases == math.inf for _, plan in group):
            return ""
        return f"{os.getpid():x}-{next(self._ids):x}-{os.urandom(6).hex()}"


_NOTHING = costs()


def _waits_for_lease(decision: Decision, group: tuple[Subject, ...]) -> bool:
    return any(plan.spelled == decision.limit for _, plan in group if plan.spelled)


def _fits(subjects: tuple[Subject, ...], costs: Costs) -> bool:
    return all(costs[row[5]] <= row[2] for _, plan in subjects for row in plan.rows)


def _package() -> Any:
    """The package redis, at the first use."""
    import redis  # noqa: PLC0415
    import redis.asyncio  # noqa: PLC0415
    import redis.asyncio.cluster  # noqa: PLC0415
    import redis.asyncio.retry  # noqa: PLC0415
    import redis.backoff  # noqa: PLC0415
    import redis.cluster  # noqa: PLC0415
    import redis.retry  # noqa: PLC0415

    return redis
