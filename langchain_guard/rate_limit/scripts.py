"""What is sent to a server, and what comes back: the Lua scripts and their numbers.

Numbers travel as doubles in one string, and times in microseconds. This module imports nothing of LangChain, and
nothing of redis.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.limits import MEASURES, Limit
from langchain_guard.rate_limit.policy import RESOLUTION, TOLERANCE
from langchain_guard.rate_limit.protocol import Plan, Subject, Ticket, Use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_guard.rate_limit.limits import Costs
    from langchain_guard.rate_limit.penalty import Penalty

MICRO = 1e6
"""Microseconds in a second."""

LOOK, CHARGE, KEEP, _TAKE = range(4)
"""What a decision does: nothing, charge, charge and name the slots it charged, so that they can be settled, or take a
lease, too."""

_HEAD = struct.Struct("<6d")
"""What a window begins with, before its older slots; decide.lua tells what it means."""


class Script(NamedTuple):
    """A script, and the digest by which a server knows it once it has seen it."""

    source: str
    digest: str


def _script(name: str) -> Script:
    source = (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8")
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


DECIDE, SETTLE, STRIKE, BAN = map(_script, ("decide", "settle", "strike", "ban"))


class Command(NamedTuple):
    """Something to send: a script, or a plain command (without a script)."""

    script: Script | None
    keys: tuple[str, ...]
    args: tuple[Any, ...]


class Names:
    """How the server knows the keys of one namespace: hashed, so that it learns no caller's name.

    The hash stands in braces, so that a cluster keeps what belongs to one subject together.
    """

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace

    def used(self, key: str) -> str:
        """What a key used, and until when it is banned: a hash."""
        digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return f"{self.namespace}:{{{digest}}}"

    def running(self, key: str, scope: str) -> str:
        """Its running calls: a sorted set."""
        return f"{self.used(key)}:l:{scope}"

    def record(self, key: str) -> str:
        """Its strikes: a hash."""
        return f"{self.used(key)}:p"

    def all(self, subjects: Iterable[Subject]) -> tuple[str, ...]:
        """What `decide` and `settle` touch."""
        names: list[str] = []
        for key, plan in subjects:
            names.append(self.used(key))
            if plan.leases < math.inf:
                names.append(self.running(key, plan.scope))
        return tuple(names)


def plan(limits: tuple[Limit, ...]) -> Plan:
    """Compile the limits of one scope: the rows are what the scripts read, but for what a call costs."""
    rows: list[Any] = []
    leases, spelled, horizon = math.inf, "", 0.0
    for limit in limits:
        if limit.measure == "concurrent":
            leases, spelled = limit.amount, str(limit)
            continue
        period = float(limit.period or 0.0) * MICRO
        horizon = max(horizon, period * (1 + 1 / RESOLUTION))
        field = f"{limit.scope}:{limit.measure}:{limit.period!r}"
        ceiling = limit.amount * (1 + TOLERANCE)
        measure = MEASURES.index(limit.measure)
        rows.append((field, limit.amount, ceiling, period, period / RESOLUTION, measure, str(limit)))
    scope = limits[0].scope if limits else "user"
    return Plan(limits, scope, tuple(rows), int(horizon), leases, spelled, False)


def deciding(mode: int, names: Names, group: tuple[Subject, ...], costs: Costs, lease: str, length: float) -> Command:
    """Ask for a decision; the name of a lease is taken for `length` seconds."""
    numbers: list[float] = [_TAKE if lease else mode, len(group), length * MICRO]
    fields: list[str] = []
    for _, plan in group:
        numbers += (len(plan.rows), _most(plan), plan.width)
        for field, amount, ceiling, period, quantum, measure, _ in plan.rows:
            numbers += (amount, ceiling, period, quantum, costs[measure])
            fields.append(field)  # type: ignore[arg-type]
    if lease:
        fields.append(lease)
    return Command(DECIDE, names.all(group), (_packed(numbers), *fields))


def decided(group: tuple[Subject, ...], reply: bytes) -> tuple[Decision, tuple[tuple[float, ...], ...]]:
    """The decision, and the slots that were charged per subject and window, if they were asked for."""
    outcome, wait, left, subject, window, *named = struct.unpack(f"<{len(reply) // 8}d", reply)
    key, plan = group[int(subject) - 1]
    limit = plan.rows[int(window) - 1][6] if window else plan.spelled or None
    wait /= MICRO
    if outcome == 1:
        slots = iter(named)
        return Decision(True, 0.0, left, limit, key, "redis"), tuple(
            tuple(itertools.islice(slots, len(plan.rows))) for _, plan in group
        )
    if outcome == 2:
        return Decision(False, wait, 0.0, None, key, "redis", True), ()
    return Decision(False, None if outcome == 3 else wait, left, limit, key, "redis"), ()


def settling(names: Names, group: tuple[Subject, ...], slots: Any, ticket: Ticket, actual: Costs) -> Command:
    """Correct what was charged to `slots`, per subject and window, and end the lease."""
    numbers: list[float] = [len(group)]
    fields: list[str] = []
    for (_, plan), charged in zip(group, slots, strict=True):
        numbers += (len(plan.rows), _most(plan), plan.width)
        for (field, _, _, period, quantum, measure, _), slot in zip(plan.rows, charged, strict=True):
            numbers += (slot, actual[measure] - ticket.charged[measure], period, quantum)
            fields.append(field)  # type: ignore[arg-type]
    return Command(SETTLE, names.all(group), (_packed(numbers), ticket.lease or "", *fields))


def striking(names: Names, key: str, penalty: Penalty) -> Command:
    """Count a strike; the answer is what is left of a time-out or ban."""
    args = (penalty.strikes, penalty.within * MICRO, penalty.timeout * MICRO, penalty.ban_after, penalty.ban * MICRO,
            penalty.factor, penalty.max_ban * MICRO, penalty.forget_after * MICRO)  # fmt: skip
    return Command(STRIKE, (names.used(key), names.record(key)), args)


def banning(names: Names, key: str, seconds: float) -> Command:
    """Keep a key out."""
    return Command(BAN, (names.used(key),), (seconds * MICRO,))


def plain(*words: str | int) -> Command:
    """A command of the server's own."""
    return Command(None, (), words)


def window_use(limit: Limit, log: bytes | None, now: float) -> Use:
    """How far a window is used up at `now` microseconds."""
    period = float(limit.period or 0.0) * MICRO
    if not log:
        return Use(limit, 0.0, 0.0)
    _, _, _, *newest, _ = _HEAD.unpack_from(log)
    slots = [*struct.iter_unpack("<dd", log[_HEAD.size :]), tuple(newest)]
    held = [used for latest, used in slots if latest > now - period]
    after = (newest[0] + period - now) / MICRO if held else 0.0
    return Use(limit, math.fsum(held), after)


def _packed(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}d", *numbers)


def _most(plan: Plan) -> float:
    return plan.leases if plan.leases < math.inf else -1
