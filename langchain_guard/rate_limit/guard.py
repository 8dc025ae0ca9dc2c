"""`RateLimiter`: limits as a link of a chain, around a Runnable, and by hand."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import get_config_list

from langchain_guard.errors import ConfigError, IdentityRequired
from langchain_guard.identity import ANONYMOUS, GLOBAL
from langchain_guard.rate_limit.batch import Prepaid, aadmitted, admitted
from langchain_guard.rate_limit.callers import Caller, Unknown, as_key
from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.engine import Engine
from langchain_guard.rate_limit.limits import Costs, costs, over_cap
from langchain_guard.rate_limit.reports import nobody, refusal, verdict_of
from langchain_guard.rate_limit.session import Held, LangChainLimiter, Reservation
from langchain_guard.rate_limit.settings import LimiterSettings
from langchain_guard.rate_limit.usage import Meter, longest_answer, meter_of, model_name, models_in
from langchain_guard.runnable import PASS, Guard, Session, logger

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_guard.rate_limit.limits import Limit
    from langchain_guard.rate_limit.protocol import Ticket
    from langchain_guard.run import Call
    from langchain_guard.runnable import ChunkFilter
    from langchain_guard.verdict import Action, Verdict

_ONE = costs(1)

Entered = tuple[bool, str, "Ticket | None"]


class RateLimiter(LimiterSettings):
    """Limits on what one caller, one address or everybody may use: requests, tokens, money, calls at a time.

    In any window of a limit's period at most its amount is admitted, whatever the arrivals, threads and tasks (and
    processes, with `RedisStore`). All limits are decided in one step; a refused call uses nothing.

    As a link, ``limiter | prompt | model``, it counts requests and caps single calls. ``limiter.wrap(x)`` covers `x`
    from beginning to end and is needed for what settles afterwards: tokens, cost, concurrent.

    Args:
        limits: Limits, spelled (``"20/minute"``, ``"200k tokens/day"``, ``"$1/day"``, ``"2 concurrent"``,
            ``"8k input_tokens/call"``) or as `Limit`.
        key: Who a limit of scope "user" is for: ``"user_id"``: the account, else the address, else one shared
            ``anonymous``; ``"client_ip"``: the address; or a callable from the config to a name.
        identify: Callable from the config to an `Identity`, for applications that carry their callers another way.
        require: Refuse callers of whom less is known: ``"caller"`` (an account or an address), ``"account"``,
            ``"verified"``.
        tiers: Limits by kind of caller: a tier's name, "verified", "account" or "anonymous". They take the place of
            those `limits` that have the scope "user".
        on_limit: ``"raise"``, ``"wait"`` for one's turn, or ``"flag"``: let pass and report.
        max_wait: Most seconds that a call waits.
        max_waiters: Most calls that wait for one key.
        penalty: What becomes of callers who do not stop; None: nothing.
        prices: US dollars per million tokens by model: ``{"gpt-4o": (2.5, 10.0)}``; a third number is the price of
            cached prompt tokens.
        unknown_model: What a model without a price is: an ``"error"``, or as expensive as the ``"dearest"``.
        estimate: Callable from the input to the tokens of the whole call (an int), or to amounts by measure. Default:
            langchain_core's approximate count of the prompt, and the answer as long as `max_tokens`, else as answers
            usually are. Estimates are cut to the smallest limit; what is settled is the real use.
        max_tokens: Most tokens of an answer; `wrap` takes it from the model.
        model: Name of the model, for the estimate of cost; `wrap` takes it from the model.
        cached_weight: What a cached prompt token counts in limits on tokens, 0 to 1.
        refund_on_error: Give a reservation back if the call failed before anything was heard of it.
        store: Who counts: a `MemoryStore` (default) or a `RedisStore`; shared by copies.
        on_store_error: While a remote store is away, admit a ``"local"`` share of every limit, nothing (``"closed"``)
            or everything (``"open"``). Every such decision says so.
        local_share: Which part of every limit a process admits then, 0 to 1.
        lease: Seconds after which a running call is taken for dead and its place is free again.
        clock: Callable that returns seconds, for what is counted in this process.

    Raises:
        ConfigError: A limit does not parse, or an argument does not fit.

    Example:
        >>> from langchain_guard import RateLimiter
        >>> from langchain_guard.testing import ManualClock
        >>> limiter = RateLimiter("2/minute", clock=ManualClock())
        >>> [limiter.hit("u1").allowed for _ in range(3)]
        [True, True, False]
        >>> limiter.peek("u1").retry_after
        60.0
    """

    def __init__(self, *limits: str | Limit, **settings: Any) -> None:
        super().__init__(*limits, **settings)  # stands here, too, so that a type checker knows the positional limits

    @functools.cached_property
    def engine(self) -> Engine:
        """The limits compiled for the store; made at the first call."""
        return Engine.of(self)

    # -- by hand

    def hit(
        self,
        key: str,
        *,
        requests: float = 1,
        tokens: float = 0,
        input_tokens: float = 0,
        output_tokens: float = 0,
        cost: float = 0.0,
        ip: str | None = None,
        tier: str | None = None,
    ) -> Decision:
        """Decide about one call outside of a chain, at once, and charge it if it is admitted.

        Calls that run (``"N concurrent"``) are looked at, but this one is not added to them: it has no end. For that,
        and to settle, there is `reserve`.

        Args:
            key: The caller: an account such as ``"u1"``, ``"ip:203.0.113.9"``, ``"anonymous"`` or ``"global"``.
            requests: How many calls it stands for.
            tokens: Tokens that it takes; if 0, those of the prompt and of the answer.
            input_tokens: Tokens of the prompt.
            output_tokens: Tokens of the answer.
            cost: US dollars that it takes.
            ip: The address, for limits of scope "ip" on a caller whose key is none.
            tier: The caller's tier.

        Raises:
            ConfigError: The key is empty, or an amount is negative or no finite number.
        """
        engine = self.engine
        one = requests == 1 and not (tokens or input_tokens or output_tokens or cost)
        amounts = _ONE if one else costs(requests, tokens, input_tokens, output_tokens, cost)
        tell = engine.teller
        if tell is not None and not (ip or tier) and key.__class__ is str and key != GLOBAL:
            decision = tell(key, amounts)
            if decision is not None:
                return decision
        caller = engine.spelled(key, ip, tier)
        refused = self.over_cap(caller, amounts)
        return engine.single.ask(caller.subjects, amounts, hold=False)[0] if refused is None else refused

    async def ahit(
        self,
        key: str,
        *,
        requests: float = 1,
        tokens: float = 0,
        input_tokens: float = 0,
        output_tokens: float = 0,
        cost: float = 0.0,
        ip: str | None = None,
        tier: str | None = None,
    ) -> Decision:
        """As `hit`."""
        amounts = costs(requests, tokens, input_tokens, output_tokens, cost)
        caller = self.engine.spelled(key, ip, tier)
        refused = self.over_cap(caller, amounts)
        if refused is not None:
            return refused
        return (await self.engine.single.aask(caller.subjects, amounts, hold=False))[0]

    def peek(
        self,
        key: str,
        *,
        requests: float = 1,
        tokens: float = 0,
        input_tokens: float = 0,
        output_tokens: float = 0,
        cost: float = 0.0,
        ip: str | None = None,
        tier: str | None = None,
    ) -> Decision:
        """What `hit` would decide; nothing is used, and ``remaining`` is what is left now."""
        amounts = costs(requests, tokens, input_tokens, output_tokens, cost)
        caller = self.engine.spelled(key, ip, tier)
        refused = self.over_cap(caller, amounts)
        return self.store.peek(caller.subjects, amounts, self.engine.terms) if refused is None else refused

    def usage(self, key: str, *, ip: str | None = None, tier: str | None = None) -> list[dict[str, Any]]:
        """How far each limit of a key is used up: rows for ``pandas.DataFrame``, periods in seconds."""
        rows = []
        caller = self.engine.spelled(key, ip, tier)
        for subject in caller.subjects:
            for limit, used, reset_after in self.store.use(subject, self.engine.terms):
                rows.append(
                    {
                        "key": subject[0],
                        "limit": str(limit),
                        "measure": limit.measure,
                        "scope": limit.scope,
                        "period": limit.period,
                        "amount": limit.amount,
                        "used": used,
                        "remaining": max(0.0, limit.amount - used),
                        "reset_after": reset_after,
                    }
                )
        return rows

    def ban(self, key: str, seconds: float) -> None:
        """Keep a caller out for so many seconds.

        Raises:
            ConfigError: The key is empty, or the time is not positive.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
            raise ConfigError(f"ban(seconds={seconds!r}): must be a positive number of seconds")
        self.store.ban(as_key(key), float(seconds), self.engine.terms)

    def unban(self, key: str) -> None:
        """End a time-out or ban, and forget the strikes behind it."""
        self.store.unban(as_key(key), self.engine.terms)

    def reset(self, key: str) -> None:
        """Forget what a key used, its strikes and bans; calls that run keep their places."""
        self.store.reset(as_key(key), self.engine.terms)

    def reserve(
        self,
        key: str,
        *,
        requests: float = 1,
        tokens: float = 0,
        input_tokens: float = 0,
        output_tokens: float = 0,
        cost: float = 0.0,
        ip: str | None = None,
        tier: str | None = None,
    ) -> Reservation:
        """Reserve for hand-written code, with ``with`` or ``async with``; arguments as for `hit`.

        Raises:
            RateLimitExceeded: On entering, if it is refused (after waiting, with ``on_limit="wait"``).

        Example:
            >>> from langchain_guard import RateLimiter
            >>> limiter = RateLimiter("1k tokens/minute")
            >>> with limiter.reserve("u1", tokens=500) as held:
            ...     held.settle(tokens=321)
            >>> limiter.usage("u1")[0]["used"]
            321.0
        """
        return Reservation(self, as_key(key), costs(requests, tokens, input_tokens, output_tokens, cost), ip, tier)

    def as_langchain(self, key: str) -> LangChainLimiter:
        """This limiter for ``ChatOpenAI(rate_limiter=...)``: every model call is a request of `key`."""
        return LangChainLimiter(self, as_key(key))

    # -- in a chain

    def _check(self, value: Any, call: Call) -> Verdict:
        engine = self.engine
        try:
            caller = engine.caller(self, call.config, call.identity)
        except Unknown as unknown:
            return nobody(self.get_name(), str(unknown))
        amounts = engine.estimate(self, value)
        decision = self.over_cap(caller, amounts)
        if decision is None:
            decision = self.store.peek(caller.subjects, engine.reservation(amounts, caller), engine.terms)
        return self._verdict(decision)

    async def _acheck(self, value: Any, call: Call) -> Verdict:
        engine = self.engine
        try:
            caller = engine.caller(self, call.config, call.identity)
        except Unknown as unknown:
            return nobody(self.get_name(), str(unknown))
        amounts = engine.estimate(self, value)
        decision = self.over_cap(caller, amounts)
        if decision is None:
            decision = await self.store.apeek(caller.subjects, engine.reservation(amounts, caller), engine.terms)
        return self._verdict(decision)

    def _judge(self, value: Any, call: Call) -> Any:
        self._must_wrap()
        self._enter(value, call, hold=False)
        return value

    async def _ajudge(self, value: Any, call: Call) -> Any:
        self._must_wrap()
        await self._aenter(value, call, hold=False)
        return value

    def _filter(self, call: Call) -> ChunkFilter | None:
        self._must_wrap()
        if self.engine.caps:
            return None  # a cap on a call needs the whole input
        self._enter(None, call, hold=False)
        return PASS

    async def _afilter(self, call: Call) -> ChunkFilter | None:
        self._must_wrap()
        if self.engine.caps:
            return None
        await self._aenter(None, call, hold=False)
        return PASS

    def _open(self, value: Any, call: Call) -> Session:
        counted, key, ticket = self._enter(value, call, hold=self.engine.holds)
        return Session(value) if counted else Held(self, value, self._meter(key), ticket)

    async def _aopen(self, value: Any, call: Call) -> Session:
        counted, key, ticket = await self._aenter(value, call, hold=self.engine.holds)
        return Session(value) if counted else Held(self, value, self._meter(key), ticket)

    def _enter(self, value: Any, call: Call, *, hold: bool) -> Entered:
        """Let one call in, or raise: whether it is part of one that is in already, whose it is, what is to be settled."""
        engine, caller = self.engine, self._caller(call)
        counted = self.counted(caller, call.config)
        if counted is not None:
            return self._prepaid(counted, call)
        amounts = engine.estimate(self, value)
        self.refuse_over_cap(caller, amounts, call)
        reserved, run = engine.reservation(amounts, caller), _run_of(call.config)
        decision, ticket = engine.gate.ask(caller.subjects, reserved, hold=hold, run=run)
        self.refuse(decision, call)
        return False, caller.key, ticket

    async def _aenter(self, value: Any, call: Call, *, hold: bool) -> Entered:
        engine, caller = self.engine, self._caller(call)
        counted = self.counted(caller, call.config)
        if counted is not None:
            return self._prepaid(counted, call)
        amounts = engine.estimate(self, value)
        self.refuse_over_cap(caller, amounts, call)
        reserved, run = engine.reservation(amounts, caller), _run_of(call.config)
        decision, ticket = await engine.gate.aask(caller.subjects, reserved, hold=hold, run=run)
        self.refuse(decision, call)
        return False, caller.key, ticket

    def _prepaid(self, counted: Meter, call: Call) -> Entered:
        """A call that is counted already: an item of a batch, or part of another call."""
        if isinstance(counted, Prepaid) and counted.start():
            self.refuse(counted.decision, call)
            return False, counted.key, counted.ticket
        return True, counted.key, None

    def _caller(self, call: Call) -> Caller:
        try:
            caller = self.engine.caller(self, call.config, call.identity)
        except Unknown as unknown:
            verdict = nobody(self.get_name(), str(unknown))
            call.decided(verdict)
            missing = unknown
        else:
            if caller.key == ANONYMOUS and self.store.local.first("anonymous"):
                logger.warning(
                    "%s: callers without user_id or client_ip share one limit, 'anonymous'; name them with "
                    "config=Identity(user=...).config(), or refuse them with require='caller'",
                    self.get_name(),
                )
            return caller
        raise IdentityRequired(
            f"{self.get_name()} requires {missing}.",
            verdict=verdict,
            advice="Pass config=Identity(user=..., ip=..., verified=...).config().",
        )

    def counted(self, caller: Caller, config: RunnableConfig) -> Meter | None:
        """The meter of a call that this one is part of, if the same limiter has let that in."""
        meter = meter_of(config.get("callbacks"), self.engine.owner)
        return meter if meter is not None and caller.key in {meter.key, ANONYMOUS} else None

    def _meter(self, key: str) -> Meter:
        return Meter(self.engine.owner, key, self.engine.prices, self.cached_weight)

    def _batch(self, inputs: list[Any], configs: list[RunnableConfig]) -> AbstractContextManager[list[RunnableConfig]]:
        return admitted(self, inputs, configs)

    def _abatch(
        self, inputs: list[Any], configs: list[RunnableConfig]
    ) -> AbstractAsyncContextManager[list[RunnableConfig]]:
        return aadmitted(self, inputs, configs)

    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """As LangChain's; with ``on_limit="raise"`` all items are admitted or none, unless `return_exceptions`."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        if return_exceptions or not inputs:
            return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)
        self._must_wrap()
        with self._batch(inputs, configs) as paid:
            return super().batch(inputs, paid, return_exceptions=return_exceptions, **kwargs)

    async def abatch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """As `batch`."""
        configs = get_config_list(config, len(inputs)) if inputs else []
        if return_exceptions or not inputs:
            return await super().abatch(inputs, configs, return_exceptions=return_exceptions, **kwargs)
        self._must_wrap()
        async with self._abatch(inputs, configs) as paid:
            return await super().abatch(inputs, paid, return_exceptions=return_exceptions, **kwargs)

    # -- what a refusal is

    def refuse(self, decision: Decision, call: Call | None) -> None:
        """Report a decision; raise what it means, unless it is an admission or `on_limit` is "flag"."""
        verdict = self._verdict(decision)
        if call is not None:
            call.decided(verdict)
        if verdict.blocked:
            raise refusal(self.get_name(), decision, verdict)

    def refuse_over_cap(self, caller: Caller, amounts: Costs, call: Call | None) -> None:
        """Refuse a call that is larger than a cap on a single call."""
        decision = self.over_cap(caller, amounts)
        if decision is not None:
            self.refuse(decision, call)

    def over_cap(self, caller: Caller, amounts: Costs) -> Decision | None:
        """The refusal of a call that is larger than a cap on a single call."""
        limit = over_cap(caller.limits, amounts)
        return None if limit is None else Decision(False, None, limit.amount, str(limit), caller.key, "memory")

    def _verdict(self, decision: Decision) -> Verdict:
        refused: Action = "flag" if self.on_limit == "flag" else "block"
        return verdict_of(self.get_name(), decision, "allow" if decision.allowed else refused)

    # -- links and wraps

    def _must_wrap(self) -> None:
        """Refuse to be a link if there is something to settle.

        Raises:
            ConfigError: There is.
        """
        if limit := next((limit for limit in self.every_limit if limit.settles), None):
            raise ConfigError(
                f"RateLimiter({str(limit)!r}) as a link never sees the answer, so {limit.measure} could not be settled; "
                "write limiter.wrap(model), or limiter.wrap(chain) for all of a chain"
            )

    def __or__(self, other: Any) -> Any:
        self._must_wrap()
        return super().__or__(other)

    def __ror__(self, other: Any) -> Any:
        self._must_wrap()
        return super().__ror__(other)

    def pipe(self, *others: Any, name: str | None = None) -> Any:
        """As LangChain's; a ConfigError if a limit has to settle and the limiter must wrap."""
        self._must_wrap()
        return super().pipe(*others, name=name)

    def wrap(self, runnable: Any) -> Runnable[Any, Any]:
        """`runnable` within these limits, from the beginning of a call to its end.

        A chat model comes back as a chat model. What it may answer at most, and its name, are taken from it for the
        estimates.

        Raises:
            ConfigError: There is a limit on cost and no `prices`, or none for this model.
        """
        if "cost" in self.engine.measures and not self.prices and self.estimate is None:
            raise ConfigError("RateLimiter: a limit on cost needs prices={'model': (input, output)} in US dollars")
        models = models_in(runnable)
        taken: dict[str, Any] = {}
        if len(models) == 1:
            model, bound = models[0]
            name = model_name(model, bound)
            taken["model"] = self.model or name
            taken["max_tokens"] = self.max_tokens or longest_answer(model, bound)
            prices = self.engine.prices
            if prices is not None and name and self.unknown_model == "error" and not prices.knows(name):
                known = ", ".join(sorted(self.prices))
                raise ConfigError(
                    f"RateLimiter(prices=...) has no price for the model {name!r}, only for {known}; add it, or set "
                    "unknown_model='dearest'"
                )
        return Guard.wrap(self.model_copy(update=taken), runnable)


def _run_of(config: RunnableConfig) -> object | None:
    """The run that called the limiter, if there is one: refusals under it are one strike."""
    return getattr(config.get("callbacks"), "parent_run_id", None)
