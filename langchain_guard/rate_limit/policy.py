"""The run-length sliding log: exact rate limits in memory, pure functions over plain data.

In any window of length P at most N is admitted. A log of every call would hold that too, at N numbers per caller; here
calls closer together than P/64 share a *slot*, which ages with its latest call. So nothing is ever counted for too
short a time, what was used comes back at most P/64 late, and a window never needs more than 65 slots. (Token buckets,
GCRA and two-counter windows are smaller still, but admit up to 2N - 1 in a window: they bound the rate, not the sum.)

What one caller used is one list, an *entry*: the time of its last call, then for every window of the store the sum and
the slots, an ``array('d')`` of ``latest, amount, opened`` triples in order of time. ``opened`` grows strictly, so it
names a slot for as long as the slot lives; reservations use it to be settled in the slot that they were charged to.

A `Row` is one limit, compiled for this layout. Time is a parameter everywhere. Nothing here locks.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langchain_guard.rate_limit.limits import Costs

RESOLUTION = 64
"""How finely a window is cut: what was used comes back at most period/RESOLUTION seconds late."""

TOLERANCE = 1e-9
"""What may be overdrawn, relative to the limit: sums of dollars are sums of binary fractions."""

Entry = list[Any]
"""``[last, sum, slots, sum, slots, ...]``; a window that this caller has never used holds None for its slots."""


Row = tuple[int, float, float, float, float, int, str]
"""One limit as the engine reads it, a plain tuple because those unpack fastest: place of the window's sum in an entry
(its slots follow), most that a window may hold, the same with the tolerance for fractions, length of the window and of
a slot in seconds, place of the measure in `Costs`, spelling of the limit."""


def row(at: int, amount: float, period: float, measure: int, limit: str) -> Row:
    """A row for the window whose sum stands at `at`."""
    return at, amount, amount * (1 + TOLERANCE), period, period / RESOLUTION, measure, limit


Answer = tuple[float, float, str]
"""Seconds to wait (0.0: admitted; ``math.inf``: it can never fit), what is left of the binding limit, its spelling."""


def decide(entry: Entry, rows: Sequence[Row], costs: Costs, now: float) -> Answer:
    """Charge `costs` to every window if every window can take them, else to none."""
    for at, _, ceiling, period, _, measure, _ in rows:
        slots = entry[at + 1]
        if slots and slots[0] <= now - period:
            entry[at] = _age(slots, entry[at], now - period)
        if entry[at] + costs[measure] > ceiling and (refused := refusal(entry, rows, costs, now)) is not None:
            return refused
    if len(rows) > 1:
        _, left, binding = charge(entry, rows, costs, now)
        return 0.0, left, binding
    ((at, amount, _, _, quantum, measure, limit),) = rows  # as `charge`, which the usual case need not call
    entry[0] = now
    if cost := costs[measure]:
        slots = entry[at + 1]
        if slots and now - slots[-1] < quantum:
            slots[-3] = now
            slots[-2] += cost
        elif slots is None:
            entry[at + 1] = array("d", (now, cost, now))
        else:
            slots.extend((now, cost, now))
        entry[at] += cost
    left = amount - entry[at]
    return 0.0, left if left > 0 else 0.0, limit


def refusal(entry: Entry, rows: Sequence[Row], costs: Costs, now: float) -> Answer | None:
    """Let age what is old, then say whether every window can take `costs`; nothing is charged.

    Returns:
        None if it fits everywhere; else the answer of the limit that keeps the call out longest.
    """
    longest, left, binding = 0.0, 0.0, None
    for at, amount, ceiling, period, _, measure, limit in rows:
        slots = entry[at + 1]
        if slots and slots[0] <= now - period:
            entry[at] = _age(slots, entry[at], now - period)
        wanted = entry[at] + costs[measure]
        if wanted > ceiling:
            if costs[measure] > ceiling:
                return math.inf, max(0.0, amount - entry[at]), limit
            wait = _wait(slots, wanted - (amount + ceiling) / 2, period, now)
            if wait >= longest:
                longest, left, binding = wait, amount - entry[at], limit
    return None if binding is None else (longest, left if left > 0 else 0.0, binding)


def charge(entry: Entry, rows: Sequence[Row], costs: Costs, now: float) -> tuple[float, float, str]:
    """Charge `costs` to every window.

    Returns:
        Of the binding limit, the one that can take the fewest more calls like this: how many, what is left, spelling.
    """
    fewest = left = math.inf
    binding = ""
    entry[0] = now
    for at, amount, _, _, quantum, measure, limit in rows:
        cost = costs[measure]
        used = entry[at]
        more = amount - used
        if cost:
            slots = entry[at + 1]
            if slots is None:
                entry[at + 1] = array("d", (now, cost, now))
            elif slots and now - slots[-1] < quantum:
                slots[-3] = now
                slots[-2] += cost
            else:
                slots.extend((now, cost, now))
            entry[at] = used + cost
            more = more / cost - 1.0
        if more < fewest:
            fewest, left, binding = more, amount - entry[at], limit
    return fewest, left if left > 0 else 0.0, binding


def room(entry: Entry, rows: Sequence[Row], costs: Costs) -> tuple[float, float, str]:
    """As `charge`, but with what is left now, and charging nothing. The entry must be aged already."""
    fewest = left = math.inf
    binding = ""
    for at, amount, _, _, _, measure, limit in rows:
        more = (amount - entry[at]) / (costs[measure] or 1.0)
        if more < fewest:
            fewest, left, binding = more, amount - entry[at], limit
    return fewest, left if left > 0 else 0.0, binding


def stamps(entry: Entry, rows: Sequence[Row], costs: Costs) -> tuple[float | None, ...]:
    """Names of the slots that the last `charge` of `costs` went to; None where it charged nothing."""
    return tuple(entry[at + 1][-1] if costs[measure] else None for at, _, _, _, _, measure, _ in rows)


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
    for (at, _, _, _, quantum, measure, _), stamp in zip(rows, stamped, strict=True):
        excess = actual[measure] - charged[measure]
        if not excess:
            continue
        slots = entry[at + 1]
        place = _find(slots, stamp)
        if place >= 0:
            excess = max(excess, -slots[place])
            slots[place] += excess
            entry[at] = max(entry[at] + excess, 0.0)
        elif excess > 0:
            if slots is None:
                slots = entry[at + 1] = array("d")
            if slots and now - slots[-1] < quantum:
                slots[-3] = max(now, slots[-3])
                slots[-2] += excess
            else:
                slots.extend((now, excess, now))
            entry[at] += excess
            entry[0] = max(entry[0], now)


def reset_after(entry: Entry, row: Row, now: float) -> float:
    """Seconds until the whole window is free again, if nothing more is used. The entry must be aged already."""
    slots = entry[row[0] + 1]
    return max(0.0, slots[-3] + row[3] - now) if slots else 0.0


def age(entry: Entry, rows: Sequence[Row], now: float) -> None:
    """Drop from every window what has left it."""
    for at, _, _, period, _, _, _ in rows:
        slots = entry[at + 1]
        if slots and slots[0] <= now - period:
            entry[at] = _age(slots, entry[at], now - period)


def _age(slots: array[float], used: float, cut: float) -> float:
    """Drop the slots up to `cut`; what is left in the window."""
    end = 0
    for end in range(0, len(slots), 3):
        if slots[end] > cut:
            break
        used -= slots[end + 1]
    else:
        end = len(slots)
    del slots[:end]
    return max(used, 0.0) if slots else 0.0


def _wait(slots: array[float], over: float, period: float, now: float) -> float:
    """Seconds until `over` has left the window; never a rounding error short of it."""
    for place in range(0, len(slots), 3):
        over -= slots[place + 1]
        if over <= 0:
            break
    wait = slots[place] + period - now
    while now + wait - period < slots[place]:
        wait += math.ulp(now + wait)
    return wait


def _find(slots: array[float] | None, stamp: float | None) -> int:
    """Place of the amount in the slot named `stamp`; -1 if it has aged out. Late ones are found first."""
    if slots and stamp is not None:
        for place in range(len(slots) - 1, 0, -3):
            if slots[place] == stamp:
                return place - 1
    return -1
