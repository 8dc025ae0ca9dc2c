"""`hit` has a short cut for callers who call often; whatever is called in between, it decides as the long way does."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard import Decision, MemoryStore, Penalty, RateLimiter
from langchain_guard.rate_limit import entries
from langchain_guard.rate_limit.limits import costs
from langchain_guard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = [
    ("5/minute",),
    ("40/minute",),
    ("9/minute", "12/300 seconds", "1000/day"),
    ("30/10 seconds", "300 tokens/minute"),
]


def the_long_way(limiter: RateLimiter, key: str, **amounts: float) -> Decision:
    """What `hit` does when there is no short cut."""
    engine = limiter.engine
    return engine.single.ask(engine.spelled(key).subjects, costs(**{"requests": 1, **amounts}), hold=False)[0]


def same(found: Decision, expected: Decision) -> bool:
    """Whether two decisions are the same, but for rounding."""
    if found.retry_after is None or expected.retry_after is None:
        return found == expected
    near = found.retry_after == pytest.approx(expected.retry_after, rel=1e-12, abs=1e-9)
    return near and found._replace(retry_after=0.0) == expected._replace(retry_after=0.0)


def reserve(limiter: RateLimiter, requests: float, actual: float) -> bool:
    """Reserve and settle; whether it was admitted."""
    engine = limiter.engine
    decision, ticket = engine.single.ask(engine.spelled("u1").subjects, costs(requests), hold=True)
    if ticket is not None:
        limiter.store.settle(ticket, costs(actual), engine.terms)
    return decision.allowed


gaps = st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.1, 1.0, 60 / 64, 10.0, 59.0, 60.0, 3600.0])
calls = st.one_of(
    st.just(("hit", 1.0)),
    st.just(("hit", 1.0)),
    st.just(("hits", 8.0)),
    st.tuples(st.just("hit"), st.sampled_from([2.0, 0.5, 3.0, 100.0])),
    st.tuples(st.just("tokens"), st.sampled_from([1.0, 50.0, 301.0])),
    st.tuples(st.sampled_from(["reserve", "peek", "usage", "reset", "ban", "unban", "other"]), st.integers(1, 3)),
)


@given(st.sampled_from(LIMITS), st.booleans(), st.lists(st.tuples(gaps, calls), max_size=60))
def test_the_short_cut_decides_as_the_long_way(
    limits: tuple[str, ...], penalty: bool, steps: list[tuple[float, tuple[str, float]]]
) -> None:
    clock = ManualClock()
    made = [
        RateLimiter(*limits, clock=clock, penalty=Penalty(strikes=4, timeout=20) if penalty else None) for _ in range(2)
    ]
    other = [RateLimiter("7/minute", store=limiter.store, clock=clock) for limiter in made]
    hits: list[Callable[..., Decision]] = [made[0].hit, lambda key, **k: the_long_way(made[1], key, **k)]

    def step(at: int, what: str, amount: float) -> Any:
        limiter = made[at]
        match what:
            case "hit":
                return [hits[at]("u1", requests=amount)]
            case "hits":
                return [hits[at]("u1") for _ in range(int(amount))]
            case "tokens":
                return [hits[at]("u1", tokens=amount)]
            case "reserve":
                return reserve(limiter, amount, amount * 0.5)
            case "peek":
                return [limiter.peek("u1", requests=amount)]
            case "usage":
                return [{**row, "reset_after": round(row["reset_after"], 6)} for row in limiter.usage("u1")]
            case "reset":
                return limiter.reset("u1")
            case "ban":
                return limiter.ban("u1", amount)
            case "unban":
                return limiter.unban("u1")
            case _:
                return [hits[0]("u2"), other[at].hit("u1")][1:]

    for gap, (what, amount) in steps:
        clock.advance(gap)
        found, expected = step(0, what, amount), step(1, what, amount)
        if isinstance(found, list) and found and isinstance(found[0], Decision):
            assert all(map(same, found, expected)), (found, expected)
        else:
            assert found == expected


bursts = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.01, 0.3, 1.0, 30.0]), st.integers(1, 12)), max_size=80)


@given(bursts)
def test_never_more_than_the_limit_in_any_window(steps: list[tuple[float, int]]) -> None:
    clock = ManualClock()
    limiter = RateLimiter("20/minute", "50/300 seconds", clock=clock)
    admitted: list[float] = []
    for gap, number in steps:
        clock.advance(gap)
        admitted += [clock() for _ in range(number) if limiter.hit("u1").allowed]
    for amount, period in ((20, 60.0), (50, 300.0)):
        assert max((sum(end - period < at <= end for at in admitted) for end in admitted), default=0) <= amount


starts = st.one_of(st.floats(0, 5), st.floats(1e3, 2e9))


@given(starts, st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_waiting_as_long_as_a_repeated_refusal_says_admits(start: float, parts: list[float]) -> None:
    clock = ManualClock(start)
    limiter = RateLimiter("6/7.3 seconds", clock=clock)
    for part in parts:
        while limiter.hit("u1").allowed:
            clock.advance(0.001)
        clock.advance(part * (limiter.hit("u1").retry_after or 0.0))
        wait = limiter.hit("u1").retry_after
        if wait:
            clock.advance(wait)
        assert limiter.hit("u1").allowed


def hot(limiter: RateLimiter, key: str = "u1") -> RateLimiter:
    """The limiter after so many calls of one key that its next ones are only counted."""
    for _ in range(8):
        limiter.hit(key)
    assert key in limiter.store._entries.spells
    return limiter


def test_a_ban_holds_at_once() -> None:
    limiter = hot(RateLimiter("100/minute", clock=ManualClock()))
    limiter.ban("u1", 10)
    assert limiter.hit("u1").banned


def test_who_was_pushed_out_begins_anew() -> None:
    store = MemoryStore(max_keys=1, when_full="evict_oldest")
    limiter = hot(RateLimiter("10/minute", store=store, clock=ManualClock()))
    assert limiter.hit("u2").allowed
    assert limiter.hit("u1").remaining == 9.0


def test_an_admission_that_is_only_counted_keeps_a_caller_in_the_store() -> None:
    clock = ManualClock()
    limiter = hot(RateLimiter("10/minute", clock=clock))
    clock.advance(0.9)
    limiter.hit("u1")
    clock.advance(59.95)
    for n in range(10):
        limiter.hit(f"new{n}")
    assert limiter.peek("u1").remaining == 1.0
    clock.advance(0.1)
    assert limiter.peek("u1").remaining == 10.0


def test_what_was_used_comes_back_at_most_a_64th_of_the_period_late() -> None:
    clock = ManualClock()
    limiter = hot(RateLimiter("20/minute", clock=clock))
    for _ in range(3):
        clock.advance(0.5)
        limiter.hit("u1")
    clock.advance(59.5)
    assert limiter.hit("u1").remaining == 17.0


def test_limiters_that_share_a_store_each_keep_to_their_own_limit() -> None:
    clock, store = ManualClock(), MemoryStore()
    wide = hot(RateLimiter("100/minute", store=store, clock=clock))
    narrow = RateLimiter("10/hour", store=store, clock=clock)
    assert [narrow.hit("u1").remaining for _ in range(9)] == [9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]
    assert wide.hit("u1").remaining == 91.0
    assert narrow.hit("u1").remaining == 0.0
    assert wide.hit("u1").remaining == 90.0
    assert not narrow.hit("u1").allowed


def test_the_number_of_spells_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_SPELLS", 3)
    limiter = RateLimiter("100/minute", clock=ManualClock())
    for n in range(10):
        hot(limiter, f"u{n}")
        limiter.hit(f"u{n}")
    assert len(limiter.store._entries.spells) == 3
    assert [limiter.peek(f"u{n}").remaining for n in range(10)] == [91.0] * 10


def test_what_can_never_fit_is_told_so_again_and_again() -> None:
    limiter = RateLimiter("10/minute", clock=ManualClock())
    assert [limiter.hit("u1", requests=11).retry_after for _ in range(9)] == [None] * 9
    assert math.isclose(hot(limiter).hit("u1").remaining, 1.0)
