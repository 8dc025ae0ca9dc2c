"""One contract over every store of the limiter: in memory, and on a real redis-server, for threads and coroutines."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import pickle
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_guard import Banned, ConfigError, Limit, MemoryStore, Penalty, RateLimiter, RateLimitExceeded, RedisStore
from langchain_guard.rate_limit import scripts
from langchain_guard.rate_limit.limits import costs
from langchain_guard.testing import ManualClock
from redis_server import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Stand:
    """A store and the time it lives in: moved by hand in memory, slept through (shortly) on a server."""

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name, self.make = name, make
        self.store = make()
        self.clock = ManualClock()
        self.asynchronous = name.endswith("async")
        self.runner = asyncio.Runner()

    def limiter(self, *limits: Any, **kwargs: Any) -> RateLimiter:
        return RateLimiter(*limits, store=self.store, clock=self.clock, **kwargs)

    def hit(self, limiter: RateLimiter, key: str, **kwargs: Any) -> Any:
        if self.asynchronous:
            return self.runner.run(limiter.ahit(key, **kwargs))
        return limiter.hit(key, **kwargs)

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self.store.remote:
            time.sleep(seconds + 0.002)

    def close(self) -> None:
        if self.store.remote:
            self.store.close()
            self.runner.run(self.store.aclose())
        self.runner.close()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    running = RedisServer().start()
    yield running
    running.close()


@pytest.fixture(
    params=["memory", "memory-async", pytest.param("redis", marks=pytest.mark.redis), pytest.param("redis-async", marks=pytest.mark.redis)]
)  # fmt: skip
def stand(request: pytest.FixtureRequest) -> Iterator[Stand]:
    if request.param.startswith("memory"):
        made = Stand(request.param, MemoryStore)
    else:
        server = request.getfixturevalue("server")
        server.command("FLUSHALL")
        made = Stand(request.param, lambda: RedisStore(server.url))
    yield made
    made.close()


def used(limiter: RateLimiter, key: str) -> list[float]:
    return [row["used"] for row in limiter.usage(key)]


def test_admits_n_and_no_more(stand: Stand) -> None:
    limiter = stand.limiter("3/minute")
    decisions = [stand.hit(limiter, "u1") for _ in range(4)]
    assert [d.allowed for d in decisions] == [True, True, True, False]
    assert [d.remaining for d in decisions] == [2.0, 1.0, 0.0, 0.0]
    assert [d.limit for d in decisions] == ["3/minute"] * 4
    assert decisions[0].retry_after == 0.0
    assert 59 < decisions[3].retry_after <= 60
    assert {d.key for d in decisions} == {"u1"}
    assert {d.source for d in decisions} == {"redis" if stand.store.remote else "memory"}
    assert stand.hit(limiter, "u2").allowed


def test_what_was_used_comes_back(stand: Stand) -> None:
    limiter = stand.limiter("2/0.2 seconds")
    assert [stand.hit(limiter, "u1").allowed for _ in range(3)] == [True, True, False]
    stand.advance(0.21)
    assert [stand.hit(limiter, "u1").allowed for _ in range(3)] == [True, True, False]
    assert used(limiter, "u1") == [2.0]


def test_waiting_as_long_as_it_says_admits(stand: Stand) -> None:
    limiter = stand.limiter("1/0.15 seconds", "2/0.4 seconds")
    for _ in range(6):
        refused = stand.hit(limiter, "u1")
        if not refused.allowed:
            stand.advance(refused.retry_after)
            assert stand.hit(limiter, "u1").allowed


def test_all_windows_and_measures_are_one_decision(stand: Stand) -> None:
    limiter = stand.limiter("10/minute", "100/hour", "50 tokens/minute", "$1/day")
    assert stand.hit(limiter, "u1", tokens=30, cost=0.4).allowed
    refused = stand.hit(limiter, "u1", tokens=30, cost=0.1)
    assert (refused.allowed, refused.limit, refused.remaining) == (False, "50 tokens/minute", 20.0)
    assert used(limiter, "u1") == [1.0, 1.0, 30.0, 0.4]
    binding = stand.hit(limiter, "u1", tokens=1, cost=0.5)
    assert (binding.allowed, binding.limit) == (True, "$1/day")
    assert binding.remaining == pytest.approx(0.1)


def test_the_longest_wait_is_the_answer(stand: Stand) -> None:
    limiter = stand.limiter("1/minute", "1/hour")
    stand.hit(limiter, "u1")
    assert 3599 < stand.hit(limiter, "u1").retry_after <= 3600
    assert stand.hit(limiter, "u1").limit == "1/hour"


def test_user_address_and_everybody_are_one_decision(stand: Stand) -> None:
    limiter = stand.limiter("5/minute", Limit(3, 60, scope="ip"), Limit(4, 60, scope="global"))
    assert all(stand.hit(limiter, "u1", ip="::ffff:192.0.2.1").allowed for _ in range(3))
    refused = stand.hit(limiter, "u2", ip="192.0.2.1")
    assert (refused.allowed, refused.key, refused.limit) == (False, "ip:192.0.2.1", "3/minute")
    assert used(limiter, "u2") == [0.0, 3.0]
    assert stand.hit(limiter, "u2", ip="ip:192.0.2.2").allowed
    refused = stand.hit(limiter, "u3", ip="ip:192.0.2.3")
    assert (refused.allowed, refused.key, refused.limit) == (False, "global", "4/minute")
    assert used(limiter, "u3") == [0.0, 4.0]
    assert used(limiter, "global") == [4.0]
    assert used(limiter, "ip:192.0.2.3") == [0.0, 0.0, 4.0]


def test_more_than_the_limit_never_fits(stand: Stand) -> None:
    limiter = stand.limiter("10/minute", "100 tokens/hour")
    refused = stand.hit(limiter, "u1", requests=11)
    assert (refused.allowed, refused.retry_after, refused.limit) == (False, None, "10/minute")
    assert stand.hit(limiter, "u1", tokens=101).retry_after is None
    assert used(limiter, "u1") == [0.0, 0.0]


def test_large_amounts_are_one_number(stand: Stand) -> None:
    limiter = stand.limiter("1000M tokens/day")
    assert stand.hit(limiter, "u1", tokens=100_000).remaining == 999_900_000.0
    assert stand.hit(limiter, "u1", tokens=999_900_000).remaining == 0.0


def test_peek_uses_nothing(stand: Stand) -> None:
    limiter = stand.limiter("2/minute")
    assert limiter.peek("u1")[:3] == (True, 0.0, 2.0)
    stand.hit(limiter, "u1")
    assert [limiter.peek("u1").remaining for _ in range(3)] == [1.0] * 3
    stand.hit(limiter, "u1")
    assert not limiter.peek("u1").allowed
    assert used(limiter, "u1") == [2.0]


def test_a_reservation_is_settled_with_what_was_used(stand: Stand) -> None:
    limiter = stand.limiter("10/minute", "100 tokens/minute")
    with limiter.reserve("u1", tokens=80) as held:
        assert used(limiter, "u1") == [1.0, 80.0]
        assert not stand.hit(limiter, "u1", tokens=30).allowed
        held.settle(tokens=20)
    assert used(limiter, "u1") == [1.0, 20.0]
    assert stand.hit(limiter, "u1", tokens=80).allowed


def test_what_is_not_settled_stays_reserved_and_more_than_reserved_is_a_debt(stand: Stand) -> None:
    limiter = stand.limiter("100 tokens/minute")
    with limiter.reserve("u1", tokens=40):
        pass
    assert used(limiter, "u1") == [40.0]
    with limiter.reserve("u2", tokens=10) as held:
        held.settle(tokens=500)
    assert used(limiter, "u2") == [500.0]
    refused = stand.hit(limiter, "u2", tokens=1)
    assert (refused.allowed, refused.remaining) == (False, 0.0)
    assert 59 < refused.retry_after <= 60


def test_a_debt_of_what_was_not_reserved_is_charged_too(stand: Stand) -> None:
    limiter = stand.limiter("10/minute", "100 tokens/minute")
    with limiter.reserve("u1") as held:
        held.settle(tokens=130)
    assert used(limiter, "u1") == [1.0, 130.0]
    assert not limiter.peek("u1", tokens=1).allowed


def test_a_failed_block_keeps_what_it_reserved(stand: Stand) -> None:
    limiter = stand.limiter("100 tokens/minute", "1 concurrent")
    with pytest.raises(ZeroDivisionError), limiter.reserve("u1", tokens=40):
        raise ZeroDivisionError
    assert used(limiter, "u1") == [40.0, 0.0]


def test_running_calls_are_leases(stand: Stand) -> None:
    limiter = stand.limiter("2 concurrent", "10/minute")
    with limiter.reserve("u1"), limiter.reserve("u1") as second:
        assert (second.decision.limit, second.decision.remaining) == ("2 concurrent", 0.0)
        with pytest.raises(RateLimitExceeded) as caught, limiter.reserve("u1"):
            pass
        assert caught.value.limit == "2 concurrent"
        assert 590 < caught.value.retry_after <= 600
        assert used(limiter, "u1") == [2.0, 2.0]
        with limiter.reserve("u2"):
            pass
    assert used(limiter, "u1") == [0.0, 2.0]
    with limiter.reserve("u1"):
        assert not stand.hit(stand.limiter("1 concurrent"), "u1").allowed


def test_a_lease_of_the_dead_runs_out(stand: Stand) -> None:
    limiter = stand.limiter("1 concurrent", lease=0.1)
    limiter.reserve("u1").__enter__()
    assert not limiter.peek("u1").allowed
    stand.advance(0.11)
    with limiter.reserve("u1"):
        assert used(limiter, "u1") == [1.0]


def test_looking_and_banning_for_coroutines(stand: Stand) -> None:
    limiter = stand.limiter("2/minute", "1 concurrent", Limit(9, 60, scope="global"), penalty=Penalty(strikes=1))

    async def work() -> None:
        await limiter.ahit("u1")
        assert [row["used"] for row in await limiter.ausage("u1")] == [1.0, 0.0, 1.0]
        assert (await limiter.apeek("u1")).remaining == 1.0
        assert not (await limiter.apeek("u1", requests=2)).allowed
        await limiter.aban("u1", 100)
        assert (await limiter.ahit("u1")).banned
        await limiter.aunban("u1")
        assert (await limiter.ahit("u1")).allowed
        assert (await limiter.ahit("u1")).banned
        await limiter.areset("u1")
        assert (await limiter.ahit("u1")).remaining == 1.0
        for wrong in (0, -1, float("inf"), True, "1"):
            with pytest.raises(ConfigError, match="ban\\(seconds="):
                await limiter.aban("u1", wrong)
        with pytest.raises(ConfigError):
            await limiter.areset("")

    stand.runner.run(work())
    assert limiter.usage("u1") == stand.runner.run(limiter.ausage("u1")) or stand.store.remote


def test_async_reservations(stand: Stand) -> None:
    limiter = stand.limiter("100 tokens/minute", "1 concurrent")

    async def work() -> None:
        async with limiter.reserve("u1", tokens=50) as held:
            with pytest.raises(RateLimitExceeded):
                async with limiter.reserve("u1", tokens=1):
                    pass
            held.settle(input_tokens=5, output_tokens=7)

    stand.runner.run(work())
    assert used(limiter, "u1") == [12.0, 0.0]


def test_bans(stand: Stand) -> None:
    limiter = stand.limiter("2/minute")
    limiter.ban("u1", 100)
    refused = stand.hit(limiter, "u1")
    assert (refused.allowed, refused.banned, refused.limit) == (False, True, None)
    assert 99 < refused.retry_after <= 100
    assert limiter.peek("u1").banned
    with pytest.raises(Banned), limiter.reserve("u1"):
        pass
    limiter.ban("u1", 10)
    assert limiter.peek("u1").retry_after > 99
    assert used(limiter, "u1") == [0.0]
    limiter.unban("u1")
    assert stand.hit(limiter, "u1").allowed
    limiter.ban("u3", 0.1)
    stand.advance(0.11)
    assert limiter.peek("u3").allowed


def test_bans_and_strikes_are_the_callers_where_only_everybody_is_limited(stand: Stand) -> None:
    limiter = stand.limiter(Limit(2, 0.2, scope="global"), penalty=Penalty(strikes=2, timeout=60))
    limiter.ban("u1", 60)
    assert (stand.hit(limiter, "u1").banned, stand.hit(limiter, "u1").key) == (True, "u1")
    assert [stand.hit(limiter, key).allowed for key in ("u2", "u3", "u4", "u4", "u4")] == [
        True,
        True,
        False,
        False,
        False,
    ]
    stand.advance(0.21)
    assert [stand.hit(limiter, key).banned for key in ("u4", "u5")] == [True, False]
    assert used(limiter, "u5") == [1.0]


def test_who_has_no_limit_is_let_in(stand: Stand) -> None:
    limiter = stand.limiter(Limit(1, 60, scope="ip"))
    for _ in range(3):
        decision = stand.hit(limiter, "u1")
        assert (decision.allowed, decision.limit, decision.key) == (True, None, "u1")
    assert stand.hit(limiter, "ip:203.0.113.9").allowed
    assert not stand.hit(limiter, "u1", ip="203.0.113.9").allowed
    assert limiter.usage("u1") == []


def test_a_callers_running_calls_are_not_those_of_its_address(stand: Stand) -> None:
    limiter = stand.limiter("1 concurrent", Limit(3, None, "concurrent", scope="ip"))
    with limiter.reserve("u1", ip="203.0.113.9"), limiter.reserve("u2", ip="203.0.113.9"):
        with limiter.reserve("ip:203.0.113.9"):
            assert not stand.hit(limiter, "u3", ip="203.0.113.9").allowed
            assert used(limiter, "ip:203.0.113.9") == [1.0, 3.0]
        assert stand.hit(limiter, "u3", ip="203.0.113.9").allowed


def test_a_reset_forgets_everything_but_what_runs(stand: Stand) -> None:
    limiter = stand.limiter("1/minute", "1 concurrent")
    with limiter.reserve("u1"):
        limiter.ban("u1", 100)
        limiter.reset("u1")
        assert used(limiter, "u1") == [0.0, 1.0]
    assert stand.hit(limiter, "u1").allowed


def test_strikes_earn_a_time_out_and_then_longer_and_longer_bans(stand: Stand) -> None:
    penalty = Penalty(strikes=2, within=60, timeout=0.05, ban_after=1, ban=0.1, factor=2, max_ban=0.15)
    limiter = stand.limiter("1/hour", penalty=penalty)
    stand.hit(limiter, "u1")
    lengths = []
    for _ in range(4):
        first, second = stand.hit(limiter, "u1"), stand.hit(limiter, "u1")
        assert (first.banned, second.banned) == (False, True)
        assert first.retry_after > 3500
        during = stand.hit(limiter, "u1")
        assert during.banned
        assert during.retry_after <= second.retry_after * 1.001
        lengths.append(second.retry_after)
        stand.advance(0.16)
    assert lengths == [0.05, 0.1, 0.15, 0.15]
    assert stand.hit(limiter, "u2").allowed


def test_threads_never_admit_one_more(stand: Stand) -> None:
    if stand.asynchronous:
        pytest.skip("threads")
    limiter = stand.limiter("50/hour", "70/day")
    barrier, admitted = threading.Barrier(16), []

    def work() -> None:
        barrier.wait()
        admitted.extend(limiter.hit("u1").allowed for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(admitted) == 50


def test_tasks_never_admit_one_more(stand: Stand) -> None:
    limiter = stand.limiter("4/day")

    async def work() -> list[bool]:
        return [d.allowed for d in await asyncio.gather(*(limiter.ahit("u1") for _ in range(200)))]

    assert sum(stand.runner.run(work())) == 4


def test_stores_are_shared_by_copies_and_not_by_pickles(stand: Stand) -> None:
    limiter = stand.limiter("5/minute")
    stand.hit(limiter, "u1")
    for twin in (copy.copy(limiter), copy.deepcopy(limiter), limiter.model_copy()):
        assert twin.store is limiter.store
        assert used(twin, "u1") == [1.0]
    revived = pickle.loads(pickle.dumps(limiter))
    assert used(revived, "u1") == ([1.0] if stand.store.remote else [0.0])
    if stand.store.remote:
        revived.store.close()


def test_limiters_on_one_store_share_what_is_counted_alike_and_nothing_else(stand: Stand) -> None:
    one, other = stand.limiter("5/minute"), stand.limiter("2/minute", "9/hour")
    stand.hit(one, "u1")
    stand.hit(other, "u1")
    assert used(one, "u1") == [2.0]
    assert used(other, "u1") == [2.0, 1.0]
    assert not stand.hit(other, "u1").allowed
    assert stand.hit(one, "u1").allowed


calls = st.lists(
    st.one_of(
        st.tuples(st.just("hit"), st.integers(1, 3), st.integers(0, 40)),
        st.tuples(st.just("reserve"), st.integers(0, 60), st.integers(0, 60)),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.redis
@settings(max_examples=60)
@given(calls)
def test_the_server_decides_as_the_memory_does(server: RedisServer, steps: list[tuple[str, int, int]]) -> None:
    server.command("FLUSHALL")
    remote = RedisStore(server.url)
    remote.refusals.longest = 0.0
    limits = ("20/hour", "15/day", "200 tokens/hour", "3 concurrent", Limit(300, 86400, "tokens", scope="global"))
    pair = [RateLimiter(*limits, store=store, clock=ManualClock()) for store in (MemoryStore(), remote)]
    for what, first, second in steps:
        if what == "hit":
            answers = [limiter.hit("u1", requests=first, tokens=second) for limiter in pair]
        else:
            answers = []
            for limiter in pair:
                try:
                    with limiter.reserve("u1", tokens=first) as held:
                        answers.append(held.decision)
                        held.settle(tokens=second)
                except RateLimitExceeded as refused:
                    answers.append(refused)
        memory, redis = [
            (a.allowed, a.limit, a.remaining, a.key) if hasattr(a, "allowed") else (type(a), a.limit) for a in answers
        ]
        assert memory == redis
        assert used(pair[0], "u1") == used(pair[1], "u1")
    remote.close()


BY_OUR_CLOCK = "call('HMGET', '{clock}', 'seconds', 'micros')"


def by_our_clock(script: scripts.Script) -> scripts.Script:
    """The script, but the time is what the test wrote to the server."""
    source = script.source.replace("call('TIME')", BY_OUR_CLOCK)
    assert BY_OUR_CLOCK in source
    return scripts.Script(source, hashlib.sha1(source.encode()).hexdigest())


moments = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 0.9375, 1.0, 7.0, 20.0, 59.0]),
        st.one_of(
            st.tuples(st.just("hit"), st.integers(1, 2), st.integers(0, 20)),
            st.tuples(st.just("reserve"), st.integers(0, 30), st.just(0)),
            st.tuples(st.just("settle"), st.integers(0, 90), st.integers(0, 5)),
        ),
    ),
    min_size=20,
    max_size=60,
)


@pytest.mark.redis
@settings(max_examples=120)
@given(moments)
def test_the_server_ages_and_settles_as_the_memory_does(
    server: RedisServer, steps: list[tuple[float, tuple[str, int, int]]]
) -> None:
    server.command("FLUSHALL")
    clock, remote = ManualClock(1000.0), RedisStore(server.url)
    remote.refusals.longest = 0.0
    limits = ("6/minute", "25/300 seconds", "100 tokens/minute", "3 concurrent")
    pair = [RateLimiter(*limits, store=store, clock=clock) for store in (MemoryStore(), remote)]
    running: list[list[Any]] = []

    def moved(seconds: float) -> None:
        clock.advance(seconds)
        whole, rest = divmod(clock(), 1.0)
        server.command("HSET", "{clock}", "seconds", str(int(whole)), "micros", str(round(rest * 1e6)))

    with pytest.MonkeyPatch.context() as patch:
        for name in ("DECIDE", "SETTLE"):
            patch.setattr(scripts, name, by_our_clock(getattr(scripts, name)))
        for gap, (what, first, second) in steps:
            moved(gap)
            if what == "settle":
                if running:
                    for limiter, ticket in zip(pair, running.pop(second % len(running)), strict=True):
                        limiter.store.settle(ticket, costs(1, first), limiter.engine.terms)
                continue
            amounts = costs(first, second) if what == "hit" else costs(1, first)
            answers = [
                limiter.engine.single.ask(limiter.engine.spelled("u1").subjects, amounts, hold=what == "reserve")
                for limiter in pair
            ]
            (memory, one), (redis, two) = answers
            assert memory._replace(retry_after=None, source="redis") == redis._replace(retry_after=None)
            assert redis.retry_after == (memory.retry_after and pytest.approx(memory.retry_after, abs=2e-6))
            if one is not None:
                running.append([one, two])
    remote.close()


def test_a_call_longer_than_the_window_owes_what_it_used_above_its_reservation(stand: Stand) -> None:
    limiter = stand.limiter("100 tokens/0.2 seconds")
    with limiter.reserve("u1", tokens=10) as held:
        stand.advance(0.21)
        held.settle(tokens=130)
    assert used(limiter, "u1") == [120.0]
    assert not stand.hit(limiter, "u1", tokens=1).allowed
