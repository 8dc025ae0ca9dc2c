"""What a `RateLimiter` compiles its settings to at the first call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from langchain_guard.errors import ConfigError, GuardUnavailable
from langchain_guard.identity import identity_of
from langchain_guard.rate_limit.callers import Caller, Callers, as_key
from langchain_guard.rate_limit.gate import Gate
from langchain_guard.rate_limit.limits import CALL, MEASURES, ONE, Costs, capped, costs
from langchain_guard.rate_limit.local import FIRST_ANSWER
from langchain_guard.rate_limit.protocol import Store, Terms
from langchain_guard.rate_limit.store import MemoryStore, Teller
from langchain_guard.rate_limit.usage import Prices, count_tokens

if TYPE_CHECKING:
    from langchain_guard.identity import Identity
    from langchain_guard.rate_limit.settings import LimiterSettings


@dataclass(frozen=True, slots=True)
class Engine:
    """A limiter, ready to decide.

    Attributes:
        store: Who counts.
        terms: What the store is told with every call.
        gate: Asks the store, and waits if the limiter does.
        single: Asks the store once.
        callers: Tells callers apart.
        prices: For cost; None without a price list.
        teller: Decides at once, where all limits are windows of scope "user" in memory and no more.
        owner: What makes two limiters the same one.
        measures: What the limits count.
        caps: Whether a single call is capped.
        holds: Whether a wrapped call has something to settle.
    """

    store: Store
    terms: Terms
    gate: Gate
    single: Gate
    callers: Callers
    prices: Prices | None
    teller: Teller | None
    owner: tuple[Any, ...]
    measures: frozenset[str]
    caps: bool
    holds: bool

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    @classmethod
    def of(cls, limiter: LimiterSettings) -> Self:
        """Compile `limiter`."""
        store: Store = limiter.store
        terms = Terms(limiter.clock, limiter.lease, limiter.on_store_error, limiter.local_share)
        single = Gate(store, terms, penalty=None if limiter.on_limit == "flag" else limiter.penalty)
        callers = Callers(store, limiter.limits, limiter.tiers, limiter.key, limiter.require, {}, store.plan(()))
        every = list(limiter.every_limit)
        teller = None
        if not limiter.tiers and all(x.scope == "user" and x.period != CALL for x in every):
            ((_, compiled),) = callers.spelled("u").subjects
            if compiled.simple and isinstance(store, MemoryStore):
                teller = store.teller(compiled, terms, refuses=single.penalty is None)
        gate = replace(single, teller=teller)
        if limiter.on_limit == "wait":
            gate = replace(gate, waits=True, max_wait=limiter.max_wait, max_waiters=limiter.max_waiters)
        prices = Prices(limiter.prices, dearest=limiter.unknown_model == "dearest") if limiter.prices else None
        return cls(
            store=store,
            terms=terms,
            gate=gate,
            single=single,
            callers=callers,
            prices=prices,
            teller=teller,
            owner=(id(store), limiter.limits, tuple(limiter.tiers.items()), limiter.key),
            measures=frozenset(limit.measure for limit in every),
            caps=any(limit.period == CALL for limit in every),
            holds=limiter.refund_on_error or any(limit.settles for limit in every),
        )

    def spelled(self, key: str, ip: str | None = None, tier: str | None = None) -> Caller:
        """The caller with this key.

        Raises:
            ConfigError: The key is empty, the address is none, or the tier is no str.
        """
        if tier is not None and not isinstance(tier, str):
            raise ConfigError(f"a tier is a str or None, not {type(tier).__name__}")
        if ip is not None:
            if not isinstance(ip, str):
                raise ConfigError(f"an address is a str or None, not {type(ip).__name__}")
            ip = as_key(f"ip:{ip.removeprefix('ip:')}")
        return self.callers.spelled(as_key(key), ip, tier)

    def caller(self, limiter: LimiterSettings, config: Any, identity: Identity) -> Caller:
        """The caller that a config names."""
        if limiter.identify is not None:
            identity = limiter.identify(config) or identity_of(None)
        return self.callers.of(identity, config)

    def estimate(self, limiter: LimiterSettings, value: Any) -> Costs:
        """What a call with this input will probably take; only what some limit asks for is looked at."""
        if self.measures <= {"requests", "concurrent"}:
            return ONE
        limiter.must_know_prices()
        if limiter.estimate is not None:
            estimated = limiter.estimate(value)
            amounts = _amounts(estimated)
            tells_cost = isinstance(estimated, dict) and "cost" in estimated
            if "cost" in self.measures and self.prices is None and not tells_cost:
                text = "estimate= told no cost: return a dict with 'cost', or give prices=."
                raise GuardUnavailable(text, rule="estimate", cause="KeyError")
        else:
            prompt = count_tokens(value)
            answer = float(limiter.max_tokens or self.store.local.answer or FIRST_ANSWER)
            amounts = costs(1, prompt + answer, prompt, answer)
        if self.prices is not None and not amounts[4]:
            prompt, answer = amounts[2], amounts[3]
            if not prompt and not answer:
                prompt = answer = amounts[1]
            amounts = (*amounts[:4], self.prices.cost(limiter.model, prompt, answer), 0.0)
        return amounts

    def reservation(self, amounts: Costs, caller: Caller) -> Costs:
        """An estimate as it is reserved: cut to the smallest window."""
        return amounts if amounts is ONE else capped(amounts, caller.limits)


def _amounts(estimated: Any) -> Costs:
    """What an `estimate=` callable returned: the tokens of the whole call, or amounts by measure."""
    try:
        if isinstance(estimated, (int, float)) and not isinstance(estimated, bool):
            tokens = float(estimated)
            return costs(1, tokens, tokens, tokens)
        if isinstance(estimated, dict) and set(estimated) <= set(MEASURES[:5]):
            return costs(**{"requests": 1, **estimated})
    except ConfigError as error:  # of the callable, and no setting of the limiter
        raise ValueError(str(error)) from None
    raise TypeError(f"estimate= must return an int or a dict of {', '.join(MEASURES[:5])}")
