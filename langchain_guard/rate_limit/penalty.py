"""Time-outs and escalating bans for callers who keep running into their limits.

The scheme is fail2ban's (``findtime``, ``maxretry``, ``bantime.increment``): strikes within a while earn a time-out,
repeated time-outs a ban, every further ban is longer, and good behaviour is forgotten last. This module imports nothing
of LangChain.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from dataclasses import dataclass, field, fields

from langchain_guard.errors import ConfigError, strict


@strict
@dataclass(frozen=True, slots=True)
class Penalty:
    """What happens to a caller who does not stop.

    A strike is a refusal that was not waited for. Strikes during a time-out or ban do not lengthen it.

    Args:
        strikes: Strikes within `within` seconds that earn a time-out.
        within: Seconds in which strikes add up.
        timeout: Seconds that a time-out lasts.
        ban_after: Time-outs after which the next offence is a ban.
        ban: Seconds that the first ban lasts.
        factor: By how much every further ban is longer.
        max_ban: Longest ban, in seconds.
        forget_after: Seconds without an offence after which earlier ones are forgotten.

    Raises:
        ConfigError: A value is out of range.
    """

    strikes: int = 5
    within: float = 60.0
    timeout: float = 60.0
    ban_after: int = 3
    ban: float = 3600.0
    factor: float = 2.0
    max_ban: float = 2_592_000.0
    forget_after: float = 604_800.0

    def __post_init__(self) -> None:
        for name, least in (("strikes", 1), ("ban_after", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"Penalty({name}={value!r}): must be an int, at least {least}")
        for name in ("within", "timeout", "ban", "max_ban", "forget_after"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"Penalty({name}={value!r}): must be a positive number of seconds")
        if isinstance(self.factor, bool) or not isinstance(self.factor, (int, float)) or not 1 <= self.factor < 1e6:
            raise ConfigError(f"Penalty(factor={self.factor!r}): must be a number from 1 on")

    def length(self, offence: int) -> float:
        """Seconds that the `offence`-th offence costs, counted from 1."""
        if offence <= self.ban_after:
            return min(self.timeout, self.max_ban)
        doublings = min(offence - self.ban_after - 1, 1000)
        try:
            return min(self.ban * self.factor**doublings, self.max_ban)
        except OverflowError:
            return self.max_ban

    def plain(self) -> dict[str, float]:
        """The penalty as data that rebuilds it."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(slots=True)
class Record:
    """What is remembered of one caller's bad behaviour, times in seconds of the store's clock."""

    strikes: deque[float] = field(default_factory=deque)
    offences: int = 0
    last: float = -math.inf

    def strike(self, penalty: Penalty, now: float) -> float:
        """Count a strike; the seconds of the time-out or ban that it earns, 0.0 if none."""
        while self.strikes and self.strikes[0] <= now - penalty.within:
            self.strikes.popleft()
        self.strikes.append(now)
        if len(self.strikes) < penalty.strikes:
            return 0.0
        self.strikes.clear()
        if now - self.last > penalty.forget_after:
            self.offences = 0
        self.offences += 1
        length = penalty.length(self.offences)
        self.last = now + length
        return length


class Book:
    """Everybody's records and running bans, bounded; the store that owns it locks."""

    def __init__(self, max_keys: int) -> None:
        self.max_keys = max_keys
        self.until: dict[str, float] = {}
        self.records: OrderedDict[str, Record] = OrderedDict()

    def strike(self, key: str, penalty: Penalty, now: float) -> float:
        """Count a strike of `key`, unless it is banned; the seconds of the time-out or ban that follows, 0.0 if none."""
        if left := self.left(key, now):
            return left
        record = self.records.get(key)
        if record is None:
            if len(self.records) >= self.max_keys:
                self.records.popitem(last=False)
            record = self.records[key] = Record()
        self.records.move_to_end(key)
        if length := record.strike(penalty, now):
            self.ban(key, length, now)
        return length

    def ban(self, key: str, seconds: float, now: float) -> None:
        """Keep `key` out for so long, or for what is left of a longer ban."""
        if key not in self.until and len(self.until) >= self.max_keys:
            for banned in [banned for banned, end in self.until.items() if end <= now]:
                del self.until[banned]
            if len(self.until) >= self.max_keys:
                del self.until[min(self.until, key=self.until.__getitem__)]
        self.until[key] = max(self.until.get(key, -math.inf), now + seconds)

    def left(self, key: str, now: float) -> float:
        """Seconds that `key` is still kept out; 0.0 if it is not."""
        until = self.until.get(key)
        if until is None:
            return 0.0
        if until <= now:
            del self.until[key]
            return 0.0
        return until - now

    def unban(self, key: str) -> None:
        """Let `key` in again and forget what it did."""
        self.until.pop(key, None)
        self.records.pop(key, None)
