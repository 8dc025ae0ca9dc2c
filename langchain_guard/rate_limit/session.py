"""What a wrapped call that was admitted holds until it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langchain_guard.rate_limit.limits import Costs, costs
from langchain_guard.runnable import PASS, ChunkFilter, Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_guard.rate_limit.by_hand import ByHand
    from langchain_guard.rate_limit.protocol import Ticket
    from langchain_guard.rate_limit.usage import Meter


class Held(Session):
    """A wrapped call that was admitted: settled with what it really used, and its lease ended, however it ends.

    What was used is known if every model call inside told its usage. If one did not (it failed, was left in the middle
    of a stream, or its provider tells nothing), the reservation stands for the unknown part.
    """

    def __init__(self, limiter: ByHand, value: Any, meter: Meter, ticket: Ticket | None) -> None:
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
