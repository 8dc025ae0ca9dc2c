"""Limits: what is counted, how much of it, in how long, and for whom.

`Limit` is the data; `parse` reads the short spelling that most configurations use. This module imports nothing of
LangChain.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, get_args

from langchain_guard.errors import ConfigError, strict

if TYPE_CHECKING:
    from collections.abc import Mapping

Measure = Literal["requests", "tokens", "input_tokens", "output_tokens", "cost", "concurrent"]
"""What a limit counts: calls, tokens of prompt and answer, of the prompt, of the answer, US dollars, running calls."""

Scope = Literal["user", "ip", "global"]
"""Whose use a limit adds up: one caller's (account, else address), one address's, everybody's."""

Costs = tuple[float, float, float, float, float, float]
"""What one call takes of each measure, in the order of `MEASURES`."""

MEASURES: tuple[Measure, ...] = get_args(Measure)
SCOPES: tuple[Scope, ...] = get_args(Scope)
REQUESTS, TOKENS, INPUT_TOKENS, OUTPUT_TOKENS, COST, CONCURRENT = range(len(MEASURES))

CALL: Literal["call"] = "call"
"""The period of a cap on a single call."""

UNITS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0}
"""The units of a period, in seconds."""

_FACTORS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}
_RATE = re.compile(
    r"\s*(?P<dollar>\$)?\s*(?P<amount>\d+(?:\.\d+)?)\s*(?P<factor>[kKM](?![a-zA-Z]))?\s*(?P<measure>[a-z_]+)?\s*"
    r"/\s*(?P<count>\d+(?:\.\d+)?)?\s*(?P<unit>[a-z]+)\s*",
    re.ASCII,
)
_CONCURRENT = re.compile(r"\s*(?P<amount>\d+)\s*(?P<factor>[kKM](?![a-zA-Z]))?\s*concurrent\s*", re.ASCII)
_SYNTAX = (
    "a limit is 'AMOUNT[k|M] [MEASURE]/[N ]UNIT' ('20/minute', '200k tokens/day', '40/10 seconds'), '$N/UNIT', "
    "'N concurrent' or 'N[k|M] tokens/call', with UNIT second, minute, hour, day or week and MEASURE requests, tokens, "
    "input_tokens, output_tokens or cost"
)


@strict
@dataclass(frozen=True, slots=True)
class Limit:
    """At most `amount` of a measure in any `period`.

    Args:
        amount: How much: calls, tokens, US dollars or running calls.
        period: Seconds; "call" for a cap on every single call; None for running calls, which have no period.
        measure: What is counted.
        scope: Whose use is added up.

    Raises:
        ConfigError: A value is of the wrong type or out of range, or the parts do not fit together.
    """

    amount: float
    period: float | Literal["call"] | None = None
    measure: Measure = "requests"
    scope: Scope = "user"
    _spelling: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise ConfigError(f"Limit(measure={self.measure!r}): must be one of {', '.join(MEASURES)}")
        if self.scope not in SCOPES:
            raise ConfigError(f"Limit(scope={self.scope!r}): must be one of {', '.join(SCOPES)}")
        if not _positive(self.amount):
            raise ConfigError(f"Limit(amount={self.amount!r}): must be a positive number")
        if self.measure != "cost" and self.amount < 1:
            raise ConfigError(f"Limit(amount={self.amount!r}): must be at least 1, or nothing would ever be admitted")
        if self.measure == "concurrent":
            if self.period is not None:
                raise ConfigError(f"Limit(period={self.period!r}): running calls have no period")
        elif self.period == CALL:
            if self.measure == "requests":
                raise ConfigError("Limit(period='call'): a call is one request; cap tokens or cost per call")
        elif not _positive(self.period):
            raise ConfigError(f"Limit(period={self.period!r}): must be a positive number of seconds, or 'call'")
        object.__setattr__(self, "amount", float(self.amount))
        if isinstance(self.period, int):
            object.__setattr__(self, "period", float(self.period))

    def __str__(self) -> str:
        return self._spelling or _spell(self)

    @property
    def settles(self) -> bool:
        """Whether the limit has something to do after the call, so that it must wrap what it limits."""
        return self.measure != "requests" and self.period != CALL

    def plain(self) -> str | dict[str, Any]:
        """The limit as data that `as_limit` reads."""
        if self.scope == "user":
            return str(self)
        return {"amount": self.amount, "period": self.period, "measure": self.measure, "scope": self.scope}


def parse(text: str) -> Limit:
    """Read the short spelling of a limit.

    Raises:
        ConfigError: It does not follow the syntax; the message tells it.
    """
    if match := _CONCURRENT.fullmatch(text):
        return Limit(_amount(match), None, "concurrent", _spelling=text.strip())
    match = _RATE.fullmatch(text)
    if match is None:
        raise ConfigError(f"the limit {text!r} cannot be read: {_SYNTAX}")
    unit, count, measure = match["unit"], match["count"], match["measure"]
    if match["dollar"]:
        measure = measure or "cost"
        if measure != "cost":
            raise ConfigError(f"the limit {text!r} cannot be read: an amount in $ has the measure cost")
    measure = measure or "requests"
    if measure not in MEASURES or measure == "concurrent":
        raise ConfigError(f"the limit {text!r} cannot be read: no measure {measure!r}; {_SYNTAX}")
    if unit == CALL and count is None:
        return Limit(_amount(match), CALL, measure, _spelling=text.strip())
    seconds = UNITS.get(unit.removesuffix("s"))
    if seconds is None:
        raise ConfigError(f"the limit {text!r} cannot be read: no unit {unit!r}; {_SYNTAX}")
    period = seconds * float(count or 1)
    return Limit(_amount(match), period, measure, _spelling=text.strip())


def as_limit(value: Any) -> Limit:
    """A Limit from itself, its spelling, or the mapping that `Limit.plain` gives."""
    if isinstance(value, Limit):
        return value
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, dict):
        try:
            return Limit(**value)
        except TypeError:
            known = "amount, period, measure, scope"
            raise ConfigError(f"a limit as a mapping has the keys {known}, not {', '.join(map(str, value))}") from None
    raise ConfigError(f"a limit is a str or a Limit, not {type(value).__name__}")


def as_limits(values: Any) -> tuple[Limit, ...]:
    """Several limits; of two for the same measure, period and scope, which can only be a mistake, none is chosen."""
    if isinstance(values, (str, Limit)):
        values = (values,)
    limits = tuple(as_limit(value) for value in values)
    seen: dict[tuple[Scope, Measure, Any], Limit] = {}
    for limit in limits:
        slot = (limit.scope, limit.measure, limit.period)
        if slot in seen:
            raise ConfigError(f"the limits {str(seen[slot])!r} and {str(limit)!r} contradict each other: keep one")
        seen[slot] = limit
    return limits


def costs(
    requests: float = 0.0,
    tokens: float = 0.0,
    input_tokens: float = 0.0,
    output_tokens: float = 0.0,
    cost: float = 0.0,
) -> Costs:
    """What one call takes; its tokens are those of prompt and answer where only the parts are given.

    Raises:
        ConfigError: An amount is negative or no finite number.
    """
    given = (requests, tokens, input_tokens, output_tokens, cost)
    for measure, amount in zip(MEASURES, given, strict=False):
        if not isinstance(amount, (int, float)) or isinstance(amount, bool) or not 0 <= amount < math.inf:
            raise ConfigError(f"{measure}={amount!r}: must be a finite number, at least 0")
    return requests, tokens or input_tokens + output_tokens, input_tokens, output_tokens, cost, 0.0


ONE = costs(1)
"""One request and nothing else."""


def over_cap(limits: tuple[Limit, ...], amounts: Costs) -> Limit | None:
    """The first cap on a single call that the call is above."""
    for limit in limits:
        if limit.period == CALL and amounts[MEASURES.index(limit.measure)] > limit.amount:
            return limit
    return None


def capped(amounts: Costs, limits: tuple[Limit, ...]) -> Costs:
    """An estimate, cut to the smallest window of its measure: a guess must not keep a call out for ever."""
    ceilings = dict.fromkeys(MEASURES, math.inf)
    for limit in limits:
        if limit.period != CALL:
            ceilings[limit.measure] = min(ceilings[limit.measure], limit.amount)
    cut = [min(amount, ceilings[measure]) for measure, amount in zip(MEASURES, amounts, strict=True)]
    return (amounts[0], cut[1], cut[2], cut[3], cut[4], cut[5])


def _amount(match: re.Match[str]) -> float:
    return float(match["amount"]) * _FACTORS[match["factor"] or ""]


def _positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf


def _spell(limit: Limit) -> str:
    amount = _number(limit.amount)
    if limit.period is None:
        return f"{amount} concurrent"
    if limit.measure == "cost":
        amount = f"${amount}"
    elif limit.measure != "requests":
        amount = f"{amount} {limit.measure}"
    if limit.period == CALL:
        return f"{amount}/call"
    for unit, seconds in UNITS.items():
        if limit.period == seconds:
            return f"{amount}/{unit}"
    for unit, seconds in reversed(UNITS.items()):
        count = limit.period / seconds
        if count == int(count):
            return f"{amount}/{int(count)} {unit}s"
    return f"{amount}/{_number(limit.period)} seconds"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else format(Decimal(repr(value)), "f")  # never with an exponent


def by_scope(limits: tuple[Limit, ...]) -> Mapping[Scope, tuple[Limit, ...]]:
    """The limits that are stored (all but caps on a single call), by whose use they add up."""
    stored = [limit for limit in limits if limit.period != CALL]
    return {scope: found for scope in SCOPES if (found := tuple(x for x in stored if x.scope == scope))}
