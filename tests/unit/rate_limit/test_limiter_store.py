"""The memory store: bounded, without threads, safe across threads, forks and clocks that are set."""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard import ConfigError, MemoryStore, Penalty, RateLimiter
from langchain_guard.rate_limit.penalty import Book, Record
from langchain_guard.testing import ManualClock


def test_idle_callers_are_dropped_as_new_ones_come() -> None:
    clock = ManualClock()
    limiter = RateLimiter("5/minute", clock=clock)
    for n in range(300):
        limiter.hit(f"old{n}")
    clock.advance(61)
    for n in range(900):
        limiter.hit(f"new{n}")
        assert len(limiter.store) <= 301 + n
    assert len(limiter.store) == 900


def test_a_small_store_drops_two_idle_callers_for_a_new_one_at_least() -> None:
    clock = ManualClock()
    limiter = RateLimiter("5/minute", store=MemoryStore(max_keys=1000), clock=clock)
    for n in range(100):
        limiter.hit(f"old{n}")
    clock.advance(61)
    for n in range(50):
        limiter.hit(f"new{n}")
    assert len(limiter.store) == 50


def test_a_large_store_that_is_full_finds_the_one_that_is_idle() -> None:
    clock = ManualClock()
    for when_full in ("refuse_new", "evict_oldest"):
        limiter = RateLimiter("5/minute", store=MemoryStore(max_keys=7000, when_full=when_full), clock=clock)
        limiter.hit("first")
        clock.advance(30)
        for n in range(6999):
            limiter.hit(f"u{n}")
        assert (len(limiter.store), limiter.hit("new").allowed) == (7000, when_full == "evict_oldest")
        clock.advance(32)
        assert limiter.hit("newer").allowed
        assert len(limiter.store) == 7000
        clock.advance(1000)


def test_a_caller_is_not_idle_while_its_longest_window_holds_something() -> None:
    clock = ManualClock()
    limiter = RateLimiter("5/minute", "1/hour", clock=clock)
    limiter.hit("old")
    clock.advance(3599)
    for n in range(10):
        limiter.hit(f"new{n}")
    assert not limiter.hit("old").allowed


def test_a_full_store_refuses_new_callers_until_one_is_idle() -> None:
    clock = ManualClock()
    limiter = RateLimiter("5/minute", store=MemoryStore(max_keys=3), clock=clock)
    for n in range(3):
        assert limiter.hit(f"u{n}").allowed
        clock.advance(1)
    refused = limiter.hit("attacker")
    assert (refused.allowed, refused.limit) == (False, None)
    assert refused.retry_after == pytest.approx(60 * (1 + 1 / 64) - 3)
    assert limiter.hit("u0").allowed
    assert limiter.peek("u0").remaining == 3.0
    clock.advance(refused.retry_after + 1)
    assert limiter.hit("newcomer").allowed
    assert len(limiter.store) <= 3


def test_junk_keys_cannot_push_out_what_a_caller_used() -> None:
    limiter = RateLimiter("5/minute", store=MemoryStore(max_keys=100), clock=ManualClock())
    admitted = 0
    for n in range(2000):
        limiter.hit(f"junk{n}")
        admitted += limiter.hit("attacker").allowed
    assert admitted <= 5


def test_evict_oldest_forgets_who_called_least_recently() -> None:
    limiter = RateLimiter("1/minute", store=MemoryStore(max_keys=2, when_full="evict_oldest"), clock=ManualClock())
    limiter.hit("a")
    limiter.hit("b")
    limiter.hit("c")
    assert (limiter.hit("b").allowed, limiter.hit("c").allowed, limiter.hit("a").allowed) == (False, False, True)


def test_the_shared_keys_are_never_crowded_out() -> None:
    limiter = RateLimiter("5/minute", store=MemoryStore(max_keys=1), clock=ManualClock())
    limiter.hit("u1")
    assert limiter.hit("anonymous").allowed


def test_no_thread_and_few_objects() -> None:
    threads = threading.active_count()
    limiter = RateLimiter("5/minute", "50/hour")
    for n in range(20_000):
        limiter.hit(f"u{n}")
    assert threading.active_count() == threads


@pytest.mark.parametrize("limit", [5, 50])
def test_threads_at_a_barrier(limit: int) -> None:
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        limiter = RateLimiter(f"{limit}/hour", "1000/day")
        barrier, admitted, errors = threading.Barrier(32), [], []

        def work() -> None:
            barrier.wait()
            for key in range(20):
                try:
                    admitted.append((key, limiter.hit(f"u{key}").allowed))
                    admitted.append((key, limiter.hit(f"u{key}").allowed))
                except Exception as error:
                    errors.append(error)

        threads = [threading.Thread(target=work) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert errors == []
    for key in range(20):
        assert sum(allowed for k, allowed in admitted if k == key) == min(limit, 64)


def test_a_clock_that_is_set_back_stands_still_for_a_moment() -> None:
    clock = ManualClock(10_000)
    limiter = RateLimiter("5/minute", clock=clock)
    for _ in range(5):
        limiter.hit("u1")
    clock.advance(-3600)
    assert not limiter.hit("u1").allowed
    clock.advance(60)
    assert [limiter.hit("u1").allowed for _ in range(6)] == [True] * 5 + [False]


@given(st.lists(st.floats(-500, 500), max_size=40))
def test_no_clock_makes_it_admit_more_than_n_per_elapsed_period(steps: list[float]) -> None:
    clock = ManualClock()
    limiter = RateLimiter("3/100 seconds", clock=clock)
    forward, admitted = 0.0, 0
    for step in steps:
        clock.advance(step)
        forward += max(step, 0.0)
        admitted += limiter.hit("u1").allowed
    assert admitted <= 3 * (1 + forward / 100)


def test_two_clocks_of_one_store_do_not_stop_it() -> None:
    assert RateLimiter("1/minute").store is not RateLimiter("1/minute").store


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_in_the_middle_of_calls_leaves_a_child_that_works() -> None:
    limiter, stop = RateLimiter("1000000/minute"), threading.Event()

    def hammer() -> None:
        while not stop.is_set():
            limiter.hit("u1")

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            child = os.fork()
            if child == 0:
                limiter.hit("u1")
                os._exit(0)
            end = time.monotonic() + 20
            while os.waitpid(child, os.WNOHANG) == (0, 0):
                if time.monotonic() > end:
                    os.kill(child, 9)
                    os.waitpid(child, 0)
                    pytest.fail("the child hangs on the parent's lock")
                time.sleep(0.001)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [({"max_keys": 0}, "max_keys=0"), ({"max_keys": True}, "max_keys=True"), ({"max_keys": 1.5}, "max_keys=1.5"), ({"when_full": "explode"}, "when_full='explode'")],
)  # fmt: skip
def test_bad_settings(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        MemoryStore(**kwargs)
    assert word in str(caught.value)


def test_a_pickle_carries_settings_and_starts_empty() -> None:
    store = MemoryStore(max_keys=7, when_full="evict_oldest")
    RateLimiter("5/minute", store=store).hit("u1")
    revived = pickle.loads(pickle.dumps(store))
    assert (revived.max_keys, revived.when_full, len(revived)) == (7, "evict_oldest", 0)
    assert repr(revived) == "MemoryStore(max_keys=7, when_full='evict_oldest')"


# -- penalties


def test_the_lengths_of_bans() -> None:
    penalty = Penalty(timeout=60, ban_after=3, ban=3600, factor=2, max_ban=10_000)
    assert [penalty.length(n) for n in range(1, 8)] == [60, 60, 60, 3600, 7200, 10_000, 10_000]
    assert Penalty(factor=1e5).length(10_000) == 2_592_000


def test_strikes_add_up_only_within_their_time() -> None:
    record, penalty = Record(), Penalty(strikes=3, within=60, timeout=30)
    assert [record.strike(penalty, at) for at in (0, 30, 60, 89, 100)] == [0.0, 0.0, 0.0, 30.0, 0.0]


def test_good_behaviour_is_forgiven() -> None:
    record = Record()
    penalty = Penalty(strikes=1, timeout=10, ban_after=1, ban=100, factor=3, forget_after=1000)
    assert [record.strike(penalty, at) for at in (0, 20, 200)] == [10.0, 100.0, 300.0]
    assert record.strike(penalty, 200 + 300 + 1000) == 900.0
    assert record.strike(penalty, 1500 + 900 + 1001) == 10.0


def test_the_book_is_bounded() -> None:
    book, penalty = Book(max_keys=3), Penalty(strikes=2)
    for n in range(10):
        book.strike(f"u{n}", penalty, 0.0)
        book.ban(f"b{n}", 10.0 + n, 0.0)
    assert (len(book.records), len(book.until)) == (3, 3)
    assert book.left("b9", 0.0) == 19.0
    assert book.left("b9", 19.0) == 0.0
    assert "b9" not in book.until


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"strikes": 0}, "strikes=0"),
        ({"strikes": 1.5}, "strikes=1.5"),
        ({"ban_after": -1}, "ban_after=-1"),
        ({"within": 0}, "within=0"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"factor": 0.5}, "factor=0.5"),
        ({"max_ban": "week"}, "max_ban='week'"),
        ({"forget_after": True}, "forget_after=True"),
    ],
)
def test_bad_penalties(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Penalty(**kwargs)
    assert word in str(caught.value)
