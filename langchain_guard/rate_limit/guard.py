"""`RateLimiter`: limits as a link of a chain, around a Runnable, and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import get_config_list

from langchain_guard.errors import ConfigError, IdentityRequired
from langchain_guard.identity import ANONYMOUS
from langchain_guard.rate_limit.batch import Prepaid, aadmitted, admitted
from langchain_guard.rate_limit.by_hand import ByHand
from langchain_guard.rate_limit.callers import Caller, Unknown
from langchain_guard.rate_limit.reports import nobody
from langchain_guard.rate_limit.session import Held
from langchain_guard.rate_limit.usage import Meter, counted, longest_answer, model_name, models_in
from langchain_guard.runnable import PASS, Guard, Session, logger

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from langchain_core.runnables import Runnable, RunnableConfig

    from langchain_guard.rate_limit.limits import Limit
    from langchain_guard.rate_limit.protocol import Ticket
    from langchain_guard.run import Call
    from langchain_guard.runnable import ChunkFilter
    from langchain_guard.verdict import Verdict

Entered = tuple[bool, str, "Ticket | None"]


class RateLimiter(ByHand):
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
        inside, key, ticket = self._enter(value, call, hold=self.engine.holds)
        return Session(value) if inside else Held(self, value, self._meter(key), ticket)

    async def _aopen(self, value: Any, call: Call) -> Session:
        inside, key, ticket = await self._aenter(value, call, hold=self.engine.holds)
        return Session(value) if inside else Held(self, value, self._meter(key), ticket)

    def _enter(self, value: Any, call: Call, *, hold: bool) -> Entered:
        """Let one call in, or raise: whether it is part of one that is in already, whose it is, what is to be settled."""
        engine, caller = self.engine, self._caller(call)
        meter = counted(call.config, engine.owner, caller.key)
        if meter is not None:
            return self._prepaid(meter, call)
        amounts = engine.estimate(self, value)
        self.refuse_over_cap(caller, amounts, call)
        reserved, run = engine.reservation(amounts, caller), _run_of(call.config)
        decision, ticket = engine.gate.ask(caller.subjects, reserved, hold=hold, run=run)
        self.refuse(decision, call)
        return False, caller.key, ticket

    async def _aenter(self, value: Any, call: Call, *, hold: bool) -> Entered:
        engine, caller = self.engine, self._caller(call)
        meter = counted(call.config, engine.owner, caller.key)
        if meter is not None:
            return self._prepaid(meter, call)
        amounts = engine.estimate(self, value)
        self.refuse_over_cap(caller, amounts, call)
        reserved, run = engine.reservation(amounts, caller), _run_of(call.config)
        decision, ticket = await engine.gate.aask(caller.subjects, reserved, hold=hold, run=run)
        self.refuse(decision, call)
        return False, caller.key, ticket

    def _prepaid(self, meter: Meter, call: Call) -> Entered:
        """A call that is counted already: an item of a batch, or part of another call."""
        if isinstance(meter, Prepaid) and meter.start():
            self.refuse(meter.decision, call)
            return False, meter.key, meter.ticket
        return True, meter.key, None

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

    def _meter(self, key: str) -> Meter:
        return Meter(self.engine.owner, key, self.engine.prices, self.cached_weight)

    def _batch(self, inputs: list[Any], configs: list[RunnableConfig]) -> AbstractContextManager[list[RunnableConfig]]:
        return admitted(self, inputs, configs)

    def _abatch(
        self, inputs: list[Any], configs: list[RunnableConfig]
    ) -> AbstractAsyncContextManager[list[RunnableConfig]]:
        return aadmitted(self, inputs, configs)

    def batch(self, inputs: Any, config: Any = None, *, return_exceptions: bool = False, **kwargs: Any) -> Any:
        """As LangChain's; with ``on_limit="raise"`` all items are admitted or none, unless `return_exceptions`.

        Under a limit on running calls that means a place for every item before the first one runs. A batch that needs no
        such thing, as `max_concurrency` lets fewer run at a time, or could never have it, as it has more items than the
        limit has places, is admitted item by item instead: its items share places as they come free.
        """
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

    # -- links and wraps

    def _must_wrap(self) -> None:
        """Refuse to be a link if there is something to settle, or money to count without prices.

        Raises:
            ConfigError: There is.
        """
        if limit := next((limit for limit in self.every_limit if limit.settles), None):
            raise ConfigError(
                f"RateLimiter({str(limit)!r}) as a link never sees the answer, so {limit.measure} could not be settled; "
                "write limiter.wrap(model), or limiter.wrap(chain) for all of a chain"
            )
        self.must_know_prices()

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
        self.must_know_prices()
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
