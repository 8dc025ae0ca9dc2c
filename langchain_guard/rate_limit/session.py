"""What an admitted call holds until it is over: inside a chain, by hand, and for LangChain's own rate limiters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from langchain_core.rate_limiters import BaseRateLimiter

from langchain_guard.rate_limit.limits import Costs, costs
from langchain_guard.runnable import PASS, ChunkFilter, Session

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from langchain_guard.rate_limit.decision import Decision
    from langchain_guard.rate_limit.guard import RateLimiter
    from langchain_guard.rate_limit.protocol import Ticket
    from langchain_guard.rate_limit.usage import Meter


class Held(Session):
    """A wrapped call that was admitted: settled with what it really used, and its lease ended, however it ends.

    What was used is known if every model call inside told its usage. If one did not (it failed, was left in the middle
    of a stream, or its provider tells nothing), the reservation stands for the unknown part.
    """

    def __init__(self, limiter: RateLimiter, value: Any, meter: Meter, ticket: Ticket | None) -> None:
        super().__init__(value, (meter,))
        self.limiter, self.meter, self.ticket = limiter, meter, ticket

    def answered(self, message: Any) -> None:
        """Count what a wrapped model says it used."""
        self.meter.answered(message)

    async def awhole(self, output: Any) -> Any:
        """Settle without blocking the loop."""
        await self._asettle()
        return output

    def filter(self) -> ChunkFilter:
        """Hand every chunk on; settle when the stream has ended."""
        return _Settling(self) if self.ticket is not None and self.limiter.store.remote else PASS

    def close(self, error: BaseException | None) -> None:
        """Settle what is not settled yet."""
        self.meter.open = False
        if self.ticket is not None:
            self.limiter.store.settle(self.ticket, self.used(self.ticket, error), self.limiter.engine.gate.terms)

    async def _asettle(self) -> None:
        if self.ticket is not None and self.limiter.store.remote:
            await self.limiter.store.asettle(self.ticket, self.used(self.ticket, None), self.limiter.engine.gate.terms)

    def used(self, ticket: Ticket, error: BaseException | None) -> Costs:
        """What the call used, as far as it is known."""
        meter, charged = self.meter, ticket.charged
        if meter.known:
            self.limiter.store.local.saw_answer(meter.answer / meter.known)
        elif self.limiter.refund_on_error and isinstance(error, Exception) and not meter.pieces:
            return costs()
        cost = charged[4] if meter.prices is None else meter.cost  # without prices, only the estimate knows of money
        known = (charged[0], meter.total, meter.prompt, meter.answer, cost, 0.0)
        if meter.known and not meter.unknown and not meter.running:
            return known
        if not charged[1]:
            return tuple(map(max, charged, known))  # type: ignore[return-value]
        prompt = charged[2] if charged[2] < charged[1] else 0.0  # a single number tells no prompt from its answer
        least = (0.0, prompt + meter.pieces, 0.0, float(meter.pieces), 0.0, 0.0)  # a chunk is a token, or more
        return tuple(map(max, charged, known, least))  # type: ignore[return-value]


class _Settling(ChunkFilter):
    def __init__(self, held: Held) -> None:
        self.held = held

    async def aend(self) -> Iterable[Any]:
        await self.held._asettle()
        return ()


class Reservation:
    """A reservation by hand: ``with limiter.reserve("u1", tokens=500) as held: ...; held.settle(tokens=321)``.

    Left without `settle`, what was reserved stays charged. Works with ``async with``, too.

    Attributes:
        decision: The decision that admitted it.
    """

    decision: Decision

    def __init__(self, limiter: RateLimiter, key: str, amounts: Costs, ip: str | None, tier: str | None) -> None:
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

    def __init__(self, limiter: RateLimiter, key: str) -> None:
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
