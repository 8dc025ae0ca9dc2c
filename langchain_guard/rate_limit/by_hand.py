"""A limiter for hand-written code: decide, look, reserve, ban; and the limiter that LangChain's own models ask."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Self

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_guard.errors import ConfigError
from langchain_guard.rate_limit.callers import Caller, as_key
from langchain_guard.rate_limit.decision import Decision
from langchain_guard.rate_limit.engine import Engine
from langchain_guard.rate_limit.limits import ONE, Costs, costs, over_cap
from langchain_guard.rate_limit.reports import refusal, verdict_of
from langchain_guard.rate_limit.settings import LimiterSettings

if TYPE_CHECKING:
    from types import TracebackType

    from langchain_guard.rate_limit.protocol import Ticket, Use
    from langchain_guard.run import Call
    from langchain_guard.verdict import Action, Verdict


class ByHand(LimiterSettings):
    """What a `RateLimiter` offers outside of a chain, and what both sides say of a refusal."""

    @functools.cached_property
    def engine(self) -> Engine:
        """The limits compiled for the store; made at the first call."""
        return Engine.of(self)

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
        if requests == 1 and not (tokens or input_tokens or output_tokens or cost):
            amounts = ONE
        else:
            amounts = costs(requests, tokens, input_tokens, output_tokens, cost)
        tell = engine.teller
        if tell and not (ip or tier) and key.__class__ is str:
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
        if not self.store.remote:
            return self.hit(
                key,
                requests=requests,
                tokens=tokens,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                cost=cost,
                ip=ip,
                tier=tier,
            )
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

    async def apeek(
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
        """As `peek`."""
        amounts = costs(requests, tokens, input_tokens, output_tokens, cost)
        caller = self.engine.spelled(key, ip, tier)
        refused = self.over_cap(caller, amounts)
        return await self.store.apeek(caller.subjects, amounts, self.engine.terms) if refused is None else refused

    def usage(self, key: str, *, ip: str | None = None, tier: str | None = None) -> list[dict[str, Any]]:
        """How far each limit of a key is used up: rows for ``pandas.DataFrame``, periods in seconds."""
        subjects = self.engine.spelled(key, ip, tier).subjects
        return [row for subject in subjects for row in _rows(subject[0], self.store.use(subject, self.engine.terms))]

    async def ausage(self, key: str, *, ip: str | None = None, tier: str | None = None) -> list[dict[str, Any]]:
        """As `usage`."""
        rows: list[dict[str, Any]] = []
        for subject in self.engine.spelled(key, ip, tier).subjects:
            rows += _rows(subject[0], await self.store.ause(subject, self.engine.terms))
        return rows

    def ban(self, key: str, seconds: float) -> None:
        """Keep a caller out for so many seconds.

        Raises:
            ConfigError: The key is empty, or the time is not positive.
        """
        self.store.ban(as_key(key), _seconds(seconds), self.engine.terms)

    async def aban(self, key: str, seconds: float) -> None:
        """As `ban`."""
        await self.store.aban(as_key(key), _seconds(seconds), self.engine.terms)

    def unban(self, key: str) -> None:
        """End a time-out or ban, and forget the strikes behind it."""
        self.store.unban(as_key(key), self.engine.terms)

    async def aunban(self, key: str) -> None:
        """As `unban`."""
        await self.store.aunban(as_key(key), self.engine.terms)

    def reset(self, key: str) -> None:
        """Forget what a key used, its strikes and bans; calls that run keep their places."""
        self.store.reset(as_key(key), self.engine.terms)

    async def areset(self, key: str) -> None:
        """As `reset`."""
        await self.store.areset(as_key(key), self.engine.terms)

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


def _rows(key: str, uses: list[Use]) -> list[dict[str, Any]]:
    """How far limits of a key are used up, as plain rows."""
    return [
        {
            "key": key,
            "limit": str(limit),
            "measure": limit.measure,
            "scope": limit.scope,
            "period": limit.period,
            "amount": limit.amount,
            "used": used,
            "remaining": max(0.0, limit.amount - used),
            "reset_after": reset_after,
        }
        for limit, used, reset_after in uses
    ]


def _seconds(seconds: Any) -> float:
    """The length of a ban."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds < math.inf:
        raise ConfigError(f"ban(seconds={seconds!r}): must be a positive number of seconds")
    return float(seconds)


class Reservation:
    """A reservation by hand: ``with limiter.reserve("u1", tokens=500) as held: ...; held.settle(tokens=321)``.

    Left without `settle`, what was reserved stays charged. Works with ``async with``, too.

    Attributes:
        decision: The decision that admitted it.
    """

    decision: Decision

    def __init__(self, limiter: ByHand, key: str, amounts: Costs, ip: str | None, tier: str | None) -> None:
        self._limiter, self._key, self._amounts, self._ip, self._tier = limiter, key, amounts, ip, tier
        self._ticket: Ticket | None = None
        self._actual: Costs | None = None

    def settle(
        self,
        *,
        requests: float | None = None,
        tokens: float = 0,
        input_tokens: float = 0,
        output_tokens: float = 0,
        cost: float = 0.0,
    ) -> None:
        """Say what was really used; it is charged when the block is left, and the rest of the reservation given back.

        Raises:
            ConfigError: An amount is negative or no finite number.
        """
        calls = self._amounts[0] if requests is None else requests
        self._actual = costs(calls, tokens, input_tokens, output_tokens, cost)

    def __enter__(self) -> Self:
        engine = self._limiter.engine
        caller = engine.spelled(self._key, self._ip, self._tier)
        self._limiter.refuse_over_cap(caller, self._amounts, None)
        self.decision, self._ticket = engine.gate.ask(caller.subjects, self._amounts, hold=True)
        self._limiter.refuse(self.decision, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticket is not None:
            actual = self._actual or self._amounts
            self._limiter.store.settle(self._ticket, actual, self._limiter.engine.gate.terms)

    async def __aenter__(self) -> Self:
        engine = self._limiter.engine
        caller = engine.spelled(self._key, self._ip, self._tier)
        self._limiter.refuse_over_cap(caller, self._amounts, None)
        self.decision, self._ticket = await engine.gate.aask(caller.subjects, self._amounts, hold=True)
        self._limiter.refuse(self.decision, None)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ticket is not None:
            actual = self._actual or self._amounts
            await self._limiter.store.asettle(self._ticket, actual, self._limiter.engine.gate.terms)


class LangChainLimiter(BaseRateLimiter):
    """A limiter as ``ChatOpenAI(rate_limiter=...)`` wants it: every model call is one request of one key.

    Unlike ``InMemoryRateLimiter``, the first calls do not wait, a waiting call sleeps once and exactly, and nothing
    caps the rate at ten a second.

    Args:
        limiter: The limits.
        key: Whose calls these are.
    """

    def __init__(self, limiter: ByHand, key: str) -> None:
        self._limiter, self._key = limiter, key

    def acquire(self, *, blocking: bool = True) -> bool:
        """Take one request.

        Args:
            blocking: Whether to wait for it, up to the limiter's ``max_wait``.

        Returns:
            Whether it was admitted.

        Raises:
            RateLimitExceeded: It was waited for, in vain: a model would not look at what is returned.
        """
        engine = self._limiter.engine
        gate = engine.gate.waiting(self._limiter.max_wait) if blocking else engine.single
        decision, _ = gate.ask(engine.spelled(self._key).subjects, costs(1), hold=False)
        if blocking:
            self._limiter.refuse(decision, None)
        return decision.allowed

    async def aacquire(self, *, blocking: bool = True) -> bool:
        """As `acquire`; the loop runs on while it waits."""
        engine = self._limiter.engine
        gate = engine.gate.waiting(self._limiter.max_wait) if blocking else engine.single
        decision, _ = await gate.aask(engine.spelled(self._key).subjects, costs(1), hold=False)
        if blocking:
            self._limiter.refuse(decision, None)
        return decision.allowed
