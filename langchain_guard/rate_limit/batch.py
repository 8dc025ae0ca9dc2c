"""Batches that are admitted as a whole or not at all, before anything is spent."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import patch_config

from langchain_guard.rate_limit.callers import Caller, Unknown
from langchain_guard.rate_limit.limits import Costs, costs
from langchain_guard.rate_limit.protocol import Ticket
from langchain_guard.rate_limit.usage import Meter, counted
from langchain_guard.run import ARun, Call, Run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

    from langchain_core.runnables import RunnableConfig

    from langchain_guard.rate_limit.by_hand import ByHand
    from langchain_guard.rate_limit.decision import Decision
    from langchain_guard.rate_limit.gate import Admission
    from langchain_guard.rate_limit.protocol import Subject

_NOTHING = costs()


class Prepaid(Meter):
    """Stands in the callbacks of a batch's item: what the limiter has decided about it already."""

    def __init__(self, limiter: ByHand, key: str, decision: Decision, ticket: Ticket | None) -> None:
        super().__init__(limiter.engine.owner, key)
        self.decision, self.ticket = decision, ticket
        self.started = False

    def start(self) -> bool:
        """Whether this is the item itself (and not something nested in it)."""
        started, self.started = self.started, True
        return not started


class _Share:
    """The items of a batch that one caller pays for."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self.items: list[int] = []
        self.amounts: list[Costs] = []
        self.admissions: list[Admission] = []

    @property
    def asks(self) -> list[Costs]:
        """What is asked for: all that its items take at once and, since each needs a place to run, the other places."""
        total: Costs = tuple(map(sum, zip(*self.amounts, strict=True)))  # type: ignore[assignment]
        limited = any(plan.leases < math.inf for _, plan in self.caller.subjects)
        return [total, *[_NOTHING] * (len(self.items) - 1 if limited else 0)]


def _shares(limiter: ByHand, inputs: Sequence[Any], configs: Sequence[RunnableConfig]) -> list[_Share]:
    """Who pays for which items; nothing if the batch has to be let in item by item."""
    engine = limiter.engine
    if limiter.on_limit != "raise" or len(inputs) < 2:
        return []
    if "concurrent" in engine.measures and (configs[0].get("max_concurrency") or len(inputs)) < len(inputs):
        return []  # they do not all run at a time
    shares: dict[tuple[Any, ...], _Share] = {}
    for item, (value, config) in enumerate(zip(inputs, configs, strict=True)):
        call = Call(config)
        try:
            caller = engine.caller(limiter, config, call.identity)
        except Unknown:
            return []  # the item itself says so
        if counted(config, engine.owner, caller.key) is not None:
            return []
        amounts = engine.estimate(limiter, value)
        if limiter.over_cap(caller, amounts) is not None:
            return []
        share = shares.setdefault(tuple(key for key, _ in caller.subjects), _Share(caller))
        share.items.append(item)
        share.amounts.append(engine.reservation(amounts, caller))
    return list(shares.values()) if _fit_at_once(shares.values()) else []


def _fit_at_once(shares: Iterable[_Share]) -> bool:
    """Whether all items could ever run at a time."""
    places: Counter[Subject] = Counter()
    for share in shares:
        for subject in share.caller.subjects:
            places[subject] += len(share.items)
    return all(wanted <= plan.leases for (_, plan), wanted in places.items())


def _paid(limiter: ByHand, shares: list[_Share], configs: Sequence[RunnableConfig]) -> list[RunnableConfig]:
    """The configs of the items, each with its part of what was admitted."""
    paid = list(configs)
    for share in shares:
        decision, whole = share.admissions[0]
        admissions = itertools.chain(share.admissions, itertools.repeat((decision, None)))
        for item, amounts, (_, place) in zip(share.items, share.amounts, admissions, strict=False):
            ticket = None
            if whole is not None:
                lease = place.lease if place is not None else 0
                ticket = Ticket(whole.subjects, amounts, whole.stamps, lease, whole.source)
            paid[item] = _with_handler(paid[item], Prepaid(limiter, share.caller.key, decision, ticket))
    return paid


def _with_handler(config: RunnableConfig, handler: Prepaid) -> RunnableConfig:
    callbacks = config.get("callbacks")
    if callbacks is None:
        return {**config, "callbacks": [handler]}
    if isinstance(callbacks, list):
        return {**config, "callbacks": [*callbacks, handler]}
    manager = callbacks.copy()
    manager.add_handler(handler)
    return patch_config(config, callbacks=manager)


def _unstarted(paid: Sequence[RunnableConfig]) -> Iterator[Ticket]:
    """What was paid for items that never began, because an earlier one failed."""
    for config in paid:
        handlers: Any = config.get("callbacks")
        for handler in getattr(handlers, "handlers", handlers) or ():
            if isinstance(handler, Prepaid) and handler.open:
                handler.open = False
                if handler.ticket is not None and not handler.started:
                    yield handler.ticket


@contextmanager
def admitted(limiter: ByHand, inputs: Sequence[Any], configs: list[RunnableConfig]) -> Iterator[list[RunnableConfig]]:
    """Admit a batch as a whole, or raise; the configs to run its items with."""
    engine = limiter.engine
    shares = _shares(limiter, inputs, configs)
    taken: list[Ticket] = []
    try:
        for share in shares:
            for amounts in share.asks:
                decision, ticket = engine.gate.ask(share.caller.subjects, amounts, hold=True)
                if not decision.allowed:
                    with Run(limiter, configs[0], inputs) as run:
                        limiter.refuse(decision, run.call)
                share.admissions.append((decision, ticket))
                taken += [ticket] if ticket is not None else []
    except BaseException:  # what was taken is given back
        for earlier in taken:
            engine.store.settle(earlier, _NOTHING, engine.terms)
        raise
    paid = _paid(limiter, shares, configs)
    try:
        yield paid
    finally:
        for ticket in _unstarted(paid):
            engine.store.settle(ticket, _NOTHING, engine.terms)


@asynccontextmanager
async def aadmitted(
    limiter: ByHand, inputs: Sequence[Any], configs: list[RunnableConfig]
) -> AsyncIterator[list[RunnableConfig]]:
    """As `admitted`."""
    engine = limiter.engine
    shares = _shares(limiter, inputs, configs)
    taken: list[Ticket] = []
    try:
        for share in shares:
            for amounts in share.asks:
                decision, ticket = await engine.gate.aask(share.caller.subjects, amounts, hold=True)
                if not decision.allowed:
                    for earlier in taken:
                        await engine.store.asettle(earlier, _NOTHING, engine.terms)
                    async with ARun(limiter, configs[0], inputs) as run:
                        limiter.refuse(decision, run.call)
                share.admissions.append((decision, ticket))
                taken += [ticket] if ticket is not None else []
    except BaseException:  # cancelled while it asked; a second settlement does nothing
        for earlier in taken:
            engine.store.settle(earlier, _NOTHING, engine.terms)
        raise
    paid = _paid(limiter, shares, configs)
    try:
        yield paid
    finally:
        for ticket in _unstarted(paid):
            engine.store.settle(ticket, _NOTHING, engine.terms)
