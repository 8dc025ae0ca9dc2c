"""The run-length log against an exact log, for any arrivals: never above N, never late by more than P/64."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard.rate_limit import policy
from langchain_guard.rate_limit.limits import Costs, costs

WINDOWS = [(10.0, 60.0), (25.0, 300.0), (40.0, 3600.0)]


def rows_of(windows: list[tuple[float, float]]) -> tuple[policy.Row, ...]:
    return tuple(policy.row(i, amount, period, 0, f"{amount}/{period}") for i, (amount, period) in enumerate(windows))


def entry_of(rows: tuple[policy.Row, ...]) -> policy.Entry:
    return policy.entry(len(rows))


def decide(entry: policy.Entry, rows: tuple[policy.Row, ...], amounts: Costs, now: float) -> policy.Answer:
    return policy.decider(rows)(entry, amounts, now)


def most_in_any_window(hits: list[tuple[float, float]], period: float) -> float:
    """The most that was admitted in any half-open window of this length: one that ends at each hit covers them all."""
    return max((sum(n for at, n in hits if end - period < at <= end) for end, _ in hits), default=0.0)


gaps = st.one_of(
    st.just(0.0),
    st.floats(0, 0.01),
    st.floats(0, 2),
    st.floats(0, 100),
    st.sampled_from([60 / 64, 60.0, 59.999, 300.0, 3600 / 64]),
)
arrivals = st.lists(st.tuples(gaps, st.integers(1, 4)), min_size=1, max_size=120)


@given(arrivals)
def test_never_more_than_the_limit_in_any_window(steps: list[tuple[float, int]]) -> None:
    rows = rows_of(WINDOWS)
    entry, admitted = entry_of(rows), []
    for (_, cost), now in zip(steps, accumulate(gap for gap, _ in steps), strict=True):
        if decide(entry, rows, costs(cost), now)[0] == 0.0:
            admitted.append((now, cost))
    for amount, period in WINDOWS:
        assert most_in_any_window(admitted, period) <= amount


@given(arrivals)
def test_refuses_only_what_an_exact_log_refuses_or_would_have_a_64th_of_the_period_ago(
    steps: list[tuple[float, int]],
) -> None:
    (window,) = windows = [(10.0, 60.0)]
    rows = rows_of(windows)
    entry, admitted = entry_of(rows), []
    for (_, cost), now in zip(steps, accumulate(gap for gap, _ in steps), strict=True):
        if decide(entry, rows, costs(cost), now)[0] == 0.0:
            admitted.append((now, cost))
            continue
        late = 60.0 * (1 + 1 / policy.RESOLUTION)
        assert sum(n for at, n in admitted if at > now - late) + cost > window[0]


@given(arrivals, st.integers(1, 10))
def test_waiting_as_long_as_it_says_admits_and_a_moment_less_does_not(
    steps: list[tuple[float, int]], cost: int
) -> None:
    rows = rows_of(WINDOWS)
    entry, now = entry_of(rows), 0.0
    for gap, n in steps:
        now += gap
        decide(entry, rows, costs(n), now)
    wait = policy.refusal(entry, rows, costs(cost), now)
    if wait is None:
        return
    seconds = wait[0]
    assert 0 < seconds <= 3600
    early = now + seconds * (1 - 1e-6)
    if now < early and early + 1e-12 < now + seconds:
        assert policy.refusal(entry, rows, costs(cost), early) is not None
    assert policy.refusal(entry, rows, costs(cost), now + seconds) is None


@pytest.mark.parametrize("start", [0.0, 1e3, 1e6, 1.7e9])
def test_the_wait_is_never_a_rounding_error_short(start: float) -> None:
    rows = rows_of([(3.0, 7.3)])
    entry, now = entry_of(rows), start
    for _ in range(200):
        wait, _, _ = decide(entry, rows, costs(1), now)
        if wait:
            now += wait
            assert decide(entry, rows, costs(1), now)[0] == 0.0
        now += 0.1


def test_a_refused_call_uses_nothing_in_any_window() -> None:
    rows = rows_of([(1.0, 10.0), (5.0, 100.0)])
    entry = entry_of(rows)
    assert decide(entry, rows, costs(1), 0.0)[0] == 0.0
    before = [list(window) for window in entry]
    assert decide(entry, rows, costs(1), 1.0) == (9.0, 0.0, "1.0/10.0")
    assert [list(window) for window in entry] == before


def test_retry_after_counts_from_the_oldest_call_that_must_leave() -> None:
    rows = rows_of([(2.0, 60.0)])
    entry = entry_of(rows)
    decide(entry, rows, costs(1), 0.0)
    decide(entry, rows, costs(1), 10.0)
    assert decide(entry, rows, costs(1), 20.0)[0] == 40.0
    assert decide(entry, rows, costs(2), 20.0)[0] == 50.0


def test_what_can_never_fit_is_told_so() -> None:
    rows = rows_of([(10.0, 60.0)])
    assert decide(entry_of(rows), rows, costs(11), 0.0) == (math.inf, 10.0, "10.0/60.0")


def test_a_full_window_keeps_at_most_65_slots() -> None:
    rows = rows_of([(1e9, 60.0)])
    entry = entry_of(rows)
    for step in range(20_000):
        decide(entry, rows, costs(1), step * 0.01)
    assert len(entry[0]) <= 1 + 3 * (policy.RESOLUTION + 1)


def test_dimes_add_up_to_a_dollar() -> None:
    rows = (policy.row(0, 1.0, 60.0, 4, "$1/minute"),)
    entry = entry_of(rows)
    answers = [decide(entry, rows, costs(cost=0.1), 0.0)[0] for _ in range(11)]
    assert answers[:10] == [0.0] * 10
    assert answers[10] == 60.0


def test_the_binding_limit_is_the_one_that_takes_the_fewest_more_calls() -> None:
    rows = (policy.row(0, 20.0, 60.0, 0, "20/minute"), policy.row(1, 100.0, 60.0, 1, "100 tokens/minute"))
    entry = entry_of(rows)
    assert decide(entry, rows, costs(1, tokens=2), 0.0) == (0.0, 19.0, "20/minute")
    assert decide(entry, rows, costs(1, tokens=50), 0.0) == (0.0, 48.0, "100 tokens/minute")


# -- settling

settlements = st.lists(
    st.tuples(st.floats(0, 20), st.integers(1, 60), st.floats(0, 30), st.integers(0, 60)), min_size=1, max_size=60
)


@given(settlements)
def test_sums_and_slots_agree_and_what_fits_its_reservation_never_breaks_the_limit(
    steps: list[tuple[float, int, float, int]],
) -> None:
    rows = (policy.row(0, 200.0, 60.0, 1, "200 tokens/minute"),)
    entry, now, running, used = entry_of(rows), 0.0, [], []
    for gap, reserved, later, real in steps:
        now += gap
        for end, start, charged, actual, stamps in [call for call in running if call[0] <= now]:
            policy.settle(entry, rows, costs(tokens=charged), costs(tokens=actual), stamps, now)
            running.remove((end, start, charged, actual, stamps))
        if decide(entry, rows, costs(tokens=reserved), now)[0] == 0.0:
            stamps = policy.stamps(entry, rows, costs(tokens=reserved))
            actual = min(real, reserved)
            running.append((now + later, now, reserved, actual, stamps))
            used.append((now, actual))
        total, *slots = entry[0]
        assert total == pytest.approx(sum(slots[1::3]))
        assert all(amount >= 0 for amount in slots[1::3])
    assert most_in_any_window(used, 60.0) <= 200.0


def test_an_overdraft_is_a_debt_that_the_next_call_waits_for() -> None:
    rows = (policy.row(0, 200.0, 60.0, 1, "200 tokens/minute"),)
    entry = entry_of(rows)
    decide(entry, rows, costs(tokens=50), 0.0)
    policy.settle(entry, rows, costs(tokens=50), costs(tokens=500), policy.stamps(entry, rows, costs(tokens=50)), 5.0)
    assert decide(entry, rows, costs(tokens=1), 5.0) == (55.0, 0.0, "200 tokens/minute")
    assert decide(entry, rows, costs(tokens=1), 60.0)[0] == 0.0


def test_an_overdraft_of_a_call_longer_than_the_window_is_charged_when_it_is_known() -> None:
    rows = (policy.row(0, 200.0, 60.0, 1, "200 tokens/minute"),)
    entry = entry_of(rows)
    decide(entry, rows, costs(tokens=50), 0.0)
    stamps = policy.stamps(entry, rows, costs(tokens=50))
    decide(entry, rows, costs(tokens=1), 70.0)
    policy.settle(entry, rows, costs(tokens=50), costs(tokens=250), stamps, 70.0)
    assert decide(entry, rows, costs(tokens=10), 70.0)[0] == 60.0


def test_giving_back_more_than_a_slot_holds_leaves_it_empty() -> None:
    rows = (policy.row(0, 200.0, 60.0, 1, "200 tokens/minute"),)
    entry = entry_of(rows)
    decide(entry, rows, costs(tokens=50), 0.0)
    stamps = policy.stamps(entry, rows, costs(tokens=50))
    for _ in range(2):
        policy.settle(entry, rows, costs(tokens=50), costs(), stamps, 1.0)
    assert list(entry[0])[0::2] == [0.0, 0.0]
