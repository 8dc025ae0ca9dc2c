"""The run-length sliding log: exact rate limits in memory, pure functions over plain data.

In any window of length P at most N is admitted. A log of every call would hold that too, at N numbers per caller; here
calls closer together than P/64 share a *slot*, which ages with its latest call. So nothing is ever counted for too
short a time, what was used comes back at most P/64 late, and a window never needs more than 65 slots. (Token buckets,
GCRA and two-counter windows are smaller still, but admit up to 2N - 1 in a window: they bound the rate, not the sum.)

What one caller used is an *entry*, a tuple with one `Window` for every limit of the store: the sum, then the slots as
triples ``latest, amount, opened`` in order of time, all in one ``array('d')``. ``opened`` grows strictly, so it names a
slot for as long as the slot lives; reservations use it to be settled in the slot that they were charged to.

A `Row` is one limit, compiled for this layout. Time is a parameter everywhere. Nothing here locks.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_guard.rate_limit.limits import Costs

RESOLUTION = 64
"""How finely a window is cut: what was used comes back at most period/RESOLUTION seconds late."""

TOLERANCE = 1e-9
"""What may be overdrawn, relative to the limit: sums of dollars are sums of binary fractions."""

Window = array  # of float: the sum, then latest, amount, opened of each slot
Entry = tuple["Window[float]", ...]

_NO_SLOT = (math.inf, 0.0, -math.inf)
"""Stands for a slot where there is none, so that nothing has to ask: it never leaves the window, and takes no more."""

Row = tuple[int, float, float, float, float, int, str]
"""One limit as the engine reads it, a plain tuple because those unpack fastest: place of its window in an entry, most
that the window may hold, the same with the tolerance for fractions, length of the window and of a slot in seconds,
place of the measure in `Costs`, spelling of the limit."""

Answer = tuple[float, float, str]
"""Seconds to wait (0.0: admitted; ``math.inf``: it can never fit), what is left of the binding limit, its spelling."""

Decider = Callable[["Entry", "Costs", float], Answer]
"""From what a caller used, what the call costs and the time in seconds to the answer."""


def entry(width: int) -> Entry:
    """A caller who has used nothing of so many windows."""
    return tuple(array("d", (0.0, *_NO_SLOT)) for _ in range(width))


def row(at: int, amount: float, period: float, measure: int, limit: str) -> Row:
    """A row for the window at this place of an entry."""
    return at, amount, amount * (1 + TOLERANCE), period, period / RESOLUTION, measure, limit


def decider(rows: Sequence[Row]) -> Decider:
    """The function that charges costs to every window of an entry if every window can take them, else to none.

    It is the innermost step of every decision, so what is known of the limits is bound beforehand.

    Args:
        rows: At least one limit.
    """
    return _decider_of_one(rows[0]) if len(rows) == 1 else _decider_of_many(tuple(rows))


def _decider_of_one(row: Row) -> Decider:
    """One limit is the usual case: the same as of many, in one go."""
    at, amount, ceiling, period, quantum, measure, limit = row

    def decide(entry: Entry, costs: Costs, now: float) -> Answer:
        window, cost = entry[at], costs[measure]
        if window[1] <= now - period:
            _age(window, now - period)
        used = window[0] + cost
        if used > ceiling:
            left = amount - window[0]
            wait = math.inf if cost > ceiling else _wait(window, used - (amount + ceiling) / 2, period, now)
            return wait, left if left > 0 else 0.0, limit
        if cost:
            if now - window[-1] < quantum:
                window[-3] = now
                window[-2] += cost
            else:
                _open(window, cost, now)
            window[0] = used
        left = amount - used
        return 0.0, left if left > 0 else 0.0, limit

    return decide


def _decider_of_many(rows: tuple[Row, ...]) -> Decider:
    checked = tuple((at, ceiling, period, measure) for at, _, ceiling, period, _, measure, _ in rows)

    def decide(entry: Entry, costs: Costs, now: float) -> Answer:
        for at, ceiling, period, measure in checked:
            window = entry[at]
            if window[1] <= now - period:
                _age(window, now - period)
            if window[0] + costs[measure] > ceiling and (refused := refusal(entry, rows, costs, now)) is not None:
                return refused
        _, left, binding = charge(entry, rows, costs, now)
        return 0.0, left, binding

    return decide


def refusal(entry: Entry, rows: Sequence[Row], costs: Costs, now: float) -> Answer | None:
    """Let age what is old, then say whether every window can take `costs`; nothing is charged.

    Returns:
        None if it fits everywhere; else the answer of the limit that keeps the call out longest.
    """
    longest, left, binding = 0.0, 0.0, None
    for at, amount, ceiling, period, _, measure, limit in rows:
        window = entry[at]
        if window[1] <= now - period:
            _age(window, now - period)
        wanted = window[0] + costs[measure]
        if wanted > ceiling:
            if costs[measure] > ceiling:
                return math.inf, max(0.0, amount - window[0]), limit
            wait = _wait(window, wanted - (amount + ceiling) / 2, period, now)
            if wait > longest:
                longest, left, binding = wait, amount - window[0], limit
    return None if binding is None else (longest, left if left > 0 else 0.0, binding)


def charge(entry: Entry, rows: Sequence[Row], costs: Costs, now: float) -> tuple[float, float, str]:
    """Charge `costs` to every window.

    Returns:
        Of the binding limit, the one that can take the fewest more calls like this: how many, what is left, spelling.
    """
    fewest = left = math.inf
    binding = ""
    for at, amount, _, _, quantum, measure, limit in rows:
        window = entry[at]
        if cost := costs[measure]:
            if now - window[-1] < quantum:
                window[-3] = now
                window[-2] += cost
            else:
                _open(window, cost, now)
            used = window[0] = window[0] + cost
            rest = amount - used
            more = rest / cost
        else:
            more = rest = amount - window[0]
        if more < fewest:
            fewest, left, binding = more, rest, limit
    return fewest, left if left > 0 else 0.0, binding


def room(entry: Entry, rows: Sequence[Row], costs: Costs) -> tuple[float, float, str]:
    """As `charge`, but with what is left now, and charging nothing. The entry must be aged already."""
    fewest = left = math.inf
    binding = ""
    for at, amount, _, _, _, measure, limit in rows:
        rest = amount - entry[at][0]
        more = rest / (costs[measure] or 1.0)
        if more < fewest:
            fewest, left, binding = more, rest, limit
    return fewest, left if left > 0 else 0.0, binding


def stamps(entry: Entry, rows: Sequence[Row], costs: Costs) -> tuple[float | None, ...]:
    """Names of the slots that the last `charge` of `costs` went to; None where it charged nothing."""
    return tuple(entry[at][-1] if costs[measure] else None for at, _, _, _, _, measure, _ in rows)


def settle(
    entry: Entry,
    rows: Sequence[Row],
    charged: Costs,
    actual: Costs,
    stamped: Sequence[float | None],
    now: float,
) -> None:
    """Correct a charge by what was really used.

    The correction goes to the slot of the charge. If that has aged out, or nothing had been charged, what was used
    beyond the charge is charged now, even above the limit: a debt that later calls wait for.
    """
    for (at, _, _, period, quantum, measure, _), stamp in zip(rows, stamped, strict=True):
        excess = actual[measure] - charged[measure]
        if not excess:
            continue
        window = entry[at]
        if window[1] <= now - period:
            _age(window, now - period)
        place = _find(window, stamp)
        if place:
            excess = max(excess, -window[place])
            window[place] += excess
        elif excess > 0:
            if now - window[-1] < quantum:
                window[-3] = max(now, window[-3])
                window[-2] += excess
            else:
                _open(window, excess, now)
        else:
            continue
        window[0] = max(window[0] + excess, 0.0)


def reset_after(entry: Entry, row: Row, now: float) -> float:
    """Seconds until the whole window is free again, if nothing more is used. The entry must be aged already."""
    window = entry[row[0]]
    return max(0.0, window[-3] + row[3] - now) if window[1] < math.inf else 0.0


def last(entry: Entry) -> float:
    """When this caller last used anything."""
    return max((window[-3] for window in entry if window[1] < math.inf), default=-math.inf)


def age(entry: Entry, rows: Sequence[Row], now: float) -> None:
    """Drop from every window what has left it."""
    for at, _, _, period, _, _, _ in rows:
        window = entry[at]
        if window[1] <= now - period:
            _age(window, now - period)


def _open(window: Window[float], amount: float, now: float) -> None:
    """Charge an amount to a new slot."""
    if window[1] == math.inf:
        window[1], window[2], window[3] = now, amount, now
    else:
        window.extend((now, amount, now))


def _age(window: Window[float], cut: float) -> None:
    """Drop the slots up to `cut`."""
    used = window[0]
    for end in range(1, len(window), 3):
        if window[end] > cut:
            break
        used -= window[end + 1]
    else:
        window[:] = array("d", (0.0, *_NO_SLOT))
        return
    del window[1:end]
    window[0] = max(used, 0.0)


def _wait(window: Window[float], over: float, period: float, now: float) -> float:
    """Seconds until `over` has left the window; never a rounding error short of it."""
    for place in range(1, len(window), 3):
        over -= window[place + 1]
        if over <= 0:
            break
    wait = window[place] + period - now
    while now + wait - period < window[place]:
        wait += math.ulp(now + wait)
    return wait


def _find(window: Window[float], stamp: float | None) -> int:
    """Place of the amount in the slot named `stamp`; 0 if it has aged out. Late ones are found first."""
    if stamp is not None:
        for place in range(len(window) - 1, 1, -3):
            if window[place] == stamp:
                return place - 1
    return 0
