"""The Redis store where it is alone: many processes, a server that hangs, dies and forgets, what it writes there."""

from __future__ import annotations

import asyncio
import logging
import math
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.runnables import RunnablePassthrough
from pydantic import SecretStr

from langchain_guard import (
    ConfigError,
    GuardUnavailable,
    Identity,
    Limit,
    Penalty,
    RateLimiter,
    RateLimitExceeded,
    RedisStore,
)
from langchain_guard.testing import ManualClock, ScriptedChatModel
from redis_server import RedisServer

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.redis

ME = Identity(user="u1").config()


def timed(call: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    return call(), time.perf_counter() - began


# -- many processes


def test_two_processes_admit_exactly_n(server: RedisServer, tmp_path: Path) -> None:
    work = tmp_path / "work.py"
    work.write_text(
        textwrap.dedent("""
            import sys
            from langchain_guard import RateLimiter, RedisStore
            limiter = RateLimiter("300/hour", "1000 tokens/day", store=RedisStore(sys.argv[1]))
            limiter.store.refusals.longest = 0.0
            sys.stdin.readline()
            print(sum(limiter.hit("one key", tokens=3).allowed for _ in range(400)))
        """)
    )
    processes = [
        subprocess.Popen([sys.executable, str(work), server.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]  # fmt: skip
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    admitted = [int(process.communicate()[0]) for process in processes]
    assert sum(admitted) == 300


def test_in_any_window_of_the_servers_time_at_most_n(server: RedisServer, store: RedisStore) -> None:
    store.refusals.longest = 0.0
    limiter = RateLimiter("20/0.2 seconds", store=store)
    stamps: list[tuple[float, float]] = []

    def work() -> None:
        for _ in range(150):
            before = time.monotonic()
            if limiter.hit("u1").allowed:
                stamps.append((before, time.monotonic()))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stamps) >= 20
    # a call was decided between its two stamps: of those certainly within one window there are never more than N
    for begin, _ in stamps:
        assert sum(begin <= before and after < begin + 0.2 for before, after in stamps) <= 20


def test_penalties_are_shared(server: RedisServer, store: RedisStore) -> None:
    other = RedisStore(server.url)
    one, two = (RateLimiter("1/hour", store=s, penalty=Penalty(strikes=2, timeout=500)) for s in (store, other))
    one.hit("u1")
    assert not one.hit("u1").banned
    assert two.hit("u1").banned
    assert one.peek("u1").banned
    assert 499 < one.hit("u1").retry_after <= 500
    other.close()


# -- what is written


def test_keys_are_hashed_and_expire(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter(
        "2/minute", "1 concurrent", Limit(5, 60, scope="global"), store=store, penalty=Penalty(strikes=2)
    )
    with limiter.reserve("alice@example.com"):
        limiter.hit("alice@example.com")
        for _ in range(3):
            limiter.hit("mallory@example.com")
        names = server.command("KEYS", "*").decode().split()
        names = [name for name in names if name.startswith("langchain_guard:")]
        assert len(names) >= 4
        for name in names:
            assert "example" not in name
            assert 0 < int(server.command("PTTL", name)[1:-2]) <= 8 * 86400 * 1000


def test_namespaces_keep_applications_apart(server: RedisServer, store: RedisStore) -> None:
    other = RedisStore(server.url, namespace="other")
    RateLimiter("1/minute", store=store).hit("u1")
    assert RateLimiter("1/minute", store=other).hit("u1").allowed
    other.close()


def test_one_round_trip_decides_everything(server: RedisServer, store: RedisStore) -> None:
    limits = (
        "10/second",
        "20/minute",
        "30/day",
        "1k tokens/day",
        Limit(99, 60, scope="ip"),
        Limit(99, 60, scope="global"),
    )
    limiter = RateLimiter(*limits, store=store)
    limiter.hit("u1", ip="ip:192.0.2.1")
    server.command("CONFIG", "RESETSTAT")
    assert limiter.hit("u1", ip="ip:192.0.2.1", tokens=7).allowed
    stats = server.command("INFO", "commandstats").decode()
    assert "cmdstat_evalsha:calls=1," in stats
    assert len([line for line in stats.splitlines() if line.startswith("cmdstat_eval")]) == 1


def test_a_long_prompt_costs_what_a_short_one_does(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("1M tokens/hour", store=store)
    limiter.hit("u1", tokens=1)
    limiter.hit("u2", tokens=100_000)
    sizes = [server.command("MEMORY", "USAGE", name) for name in server.command("KEYS", "*").decode().split()
             if name.startswith("langchain_guard:")]  # fmt: skip
    assert len(set(sizes)) == 1


# -- the server is away

FAILURES = ["hang", "kill"]


@pytest.mark.parametrize("how", FAILURES)
@pytest.mark.parametrize("policy", ["local", "closed", "open"])
@pytest.mark.parametrize("asynchronous", [False, True])
def test_nothing_hangs_and_everything_is_marked(
    server: RedisServer, store: RedisStore, how: str, policy: str, asynchronous: bool
) -> None:
    store.breaker.interval = 60.0
    limiter = RateLimiter("20/minute", store=store, on_store_error=policy, clock=ManualClock())
    with asyncio.Runner() as runner:

        def hit() -> Any:
            return runner.run(limiter.ahit("u1")) if asynchronous else limiter.hit("u1")

        assert hit().source == "redis"
        getattr(server, how)()
        first, seconds = timed(hit)
        assert seconds < 0.5  # the time-out of 0.25 s, and a machine that is busy
        rest = [timed(hit) for _ in range(30)]
        assert all(seconds < 0.2 for _, seconds in rest)
        decisions = [first, *(decision for decision, _ in rest)]
        assert {decision.source for decision in decisions} == {"local"}
        admitted = sum(decision.allowed for decision in decisions)
        assert admitted == {"local": 5, "closed": 0, "open": 31}[policy]
        if policy == "closed":
            assert all(0 < d.retry_after <= 60 for d in decisions)
        runner.run(store.aclose())


@pytest.mark.parametrize("how", FAILURES)
def test_it_is_asked_again_and_decides_again(server: RedisServer, store: RedisStore, how: str) -> None:
    limiter = RateLimiter("20/minute", store=store)
    limiter.hit("u1")
    getattr(server, how)()
    assert limiter.hit("u1").source == "local"
    server.resume() if how == "hang" else server.start()
    assert limiter.hit("u1").source == "redis"
    # a hung server kept its data; one that was killed forgot it, and counts begin anew
    assert limiter.usage("u1")[0]["used"] == (1.0 if how == "kill" else pytest.approx(3.0, abs=1.0))


def test_a_server_that_forgot_its_scripts_is_taught_again(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("20/minute", "9 concurrent", store=store)
    for _ in range(3):
        server.command("SCRIPT", "FLUSH")
        with limiter.reserve("u1") as held:
            server.command("SCRIPT", "FLUSH")
            assert held.decision.source == "redis"
    assert [row["used"] for row in limiter.usage("u1")] == [3.0, 0.0]


def test_an_outage_in_mid_call_keeps_the_reservation_and_the_lease_runs_out(
    server: RedisServer, store: RedisStore
) -> None:
    limiter = RateLimiter("100 tokens/minute", "1 concurrent", store=store, lease=0.2)
    with limiter.reserve("u1", tokens=40) as held:
        held.settle(tokens=10)
        server.hang()
    server.resume()
    time.sleep(0.21)
    with limiter.reserve("u1", tokens=20):
        assert limiter.usage("u1")[1]["used"] == 1.0


def test_a_call_begun_without_the_server_is_settled_without_it(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("400 tokens/minute", "8 concurrent", store=store, clock=ManualClock())
    server.hang()
    with limiter.reserve("u1", tokens=90) as held:
        assert held.decision.source == "local"
        held.settle(tokens=10)
    assert [limiter.hit("u1", tokens=45).allowed for _ in range(3)] == [True, True, False]
    server.resume()


def test_all_threads_hear_of_the_outage(server: RedisServer, store: RedisStore) -> None:
    store.breaker.interval = 60.0
    limiter = RateLimiter("20/minute", store=store)
    limiter.hit("u1")
    server.hang()
    slow: list[float] = []

    def work() -> None:
        slow.extend(timed(lambda: limiter.hit("u1"))[1] for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(slow) < 2.0  # 0.25 s once, and a loaded machine; one thread after the other it would be 4 s
    assert sum(seconds > 0.2 for seconds in slow) <= 16


def test_waiting_tasks_hear_of_the_outage(server: RedisServer, store: RedisStore) -> None:
    store.breaker.interval = 60.0
    limiter = RateLimiter("1000/minute", store=store, on_store_error="closed")

    async def work() -> float:
        await limiter.ahit("u1")
        server.hang()
        began = time.perf_counter()
        decisions = await asyncio.gather(*(limiter.ahit("u1") for _ in range(500)))
        assert not any(decision.allowed for decision in decisions)
        await store.aclose()
        return time.perf_counter() - began

    assert asyncio.run(work()) < 1.5  # in waves of 16 that each waited it would be 8 s


def test_closed_is_an_outage_in_a_chain_and_open_is_none(server: RedisServer, store: RedisStore) -> None:
    model = ScriptedChatModel("hello")
    closed = RateLimiter("20/minute", store=store, on_store_error="closed") | model
    opened = RateLimiter("20/minute", store=store, on_store_error="open") | model
    server.kill()
    with pytest.raises(GuardUnavailable) as caught:
        closed.invoke("hi", ME)
    assert caught.value.rule == "store"
    assert model.calls == 0
    assert opened.invoke("hi", ME).content == "hello"
    assert RateLimiter("20/minute", store=store, on_store_error="closed").check("hi", ME).blocked


def test_the_outage_is_logged_once_and_without_its_address(
    server: RedisServer, store: RedisStore, caplog: pytest.LogCaptureFixture
) -> None:
    limiter = RateLimiter("20/minute", store=store)
    server.kill()
    with caplog.at_level(logging.WARNING, logger="langchain_guard"):
        for _ in range(5):
            limiter.hit("u1")
    assert len(caplog.records) == 1
    assert "ConnectionError" in caplog.text
    assert "127.0.0.1" not in caplog.text


def test_a_ban_holds_without_the_server(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("20/minute", store=store, clock=ManualClock())
    limiter.ban("u1", 100)
    server.kill()
    assert limiter.hit("u1").banned


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_takes_a_place_for_every_item_or_none(store: RedisStore, asynchronous: bool) -> None:
    limiter = RateLimiter("100/minute", "3 concurrent", store=store)
    chain = limiter.wrap(RunnablePassthrough())

    async def abatch(values: list[int]) -> Any:
        try:
            return await chain.abatch(values, ME)
        finally:
            await store.aclose()

    def batch(values: list[int]) -> Any:
        return asyncio.run(abatch(values)) if asynchronous else chain.batch(values, ME)

    with limiter.reserve("u1"):
        with pytest.raises(RateLimitExceeded):
            batch([1, 2, 3])
        assert [row["used"] for row in limiter.usage("u1")] == [1.0, 1.0]
        assert batch([1, 2]) == [1, 2]
    assert batch([1, 2, 3]) == [1, 2, 3]
    assert [row["used"] for row in limiter.usage("u1")] == [6.0, 0.0]


def test_coroutines_look_and_ban_without_waiting_for_the_server(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("20/minute", store=store, clock=ManualClock())

    async def work() -> None:
        await limiter.ahit("u1")
        server.kill()
        assert [row["used"] for row in await limiter.ausage("u1")] == [0.0]
        await limiter.aban("u1", 100)
        assert (await limiter.ahit("u1")).banned
        await limiter.aunban("u1")
        await limiter.areset("u1")
        assert (await limiter.apeek("u1"))[5:] == ("local", False)
        await store.aclose()

    asyncio.run(work())


# -- remembered refusals


def test_a_caller_who_hammers_costs_no_round_trips(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("2/minute", "100 tokens/minute", store=store)
    for _ in range(2):
        limiter.hit("u1", tokens=5)
    assert limiter.hit("u1", tokens=5).source == "redis"
    server.command("CONFIG", "RESETSTAT")
    decisions = [limiter.hit("u1", tokens=5) for _ in range(50)]
    assert {(d.allowed, d.source) for d in decisions} == {(False, "cache")}
    assert all(58 < d.retry_after <= 60 for d in decisions)
    assert b"cmdstat_evalsha" not in server.command("INFO", "commandstats")
    assert limiter.hit("u2", tokens=5).allowed


def test_a_remembered_refusal_is_no_answer_for_less(server: RedisServer, store: RedisStore) -> None:
    limiter = RateLimiter("100 tokens/minute", store=store)
    limiter.hit("u1", tokens=80)
    assert not limiter.hit("u1", tokens=50).allowed
    assert limiter.hit("u1", tokens=20).allowed


@pytest.mark.parametrize("what", ["settle", "reset"])
def test_what_is_given_back_here_is_seen_at_once(server: RedisServer, store: RedisStore, what: str) -> None:
    limiter = RateLimiter("100 tokens/minute", store=store)
    with limiter.reserve("u1", tokens=100) as held:
        assert not limiter.hit("u1", tokens=50).allowed
        assert limiter.hit("u1", tokens=50).source == "cache"
        held.settle(tokens=10)
    if what == "reset":
        limiter.hit("u1", tokens=90)
        limiter.reset("u1")
    assert limiter.hit("u1", tokens=50).allowed


def test_it_forgets_a_refusal_after_a_second(server: RedisServer, store: RedisStore) -> None:
    clock = ManualClock()
    store.refusals.clock = clock
    limiter = RateLimiter("1/minute", store=store)
    assert [limiter.hit("u1").source for _ in range(3)] == ["redis", "redis", "cache"]
    clock.advance(0.5)
    assert limiter.hit("u1").retry_after == pytest.approx(59.5, abs=0.4)
    clock.advance(0.51)
    assert limiter.hit("u1").source == "redis"


# -- a cluster


def test_a_cluster_decides_per_subject_and_gives_back_on_a_refusal() -> None:
    server = RedisServer(cluster=True).start()
    store = RedisStore(server.url.removesuffix("/0"), cluster=True)
    try:
        limiter = RateLimiter("5/minute", "50 tokens/minute", Limit(7, 60, scope="global"), store=store)
        assert [limiter.hit("u1", tokens=10).allowed for _ in range(6)] == [True] * 5 + [False]
        assert [limiter.hit("u2", tokens=10).allowed for _ in range(4)] == [True, True, False, False]
        refused = limiter.peek("u2")
        assert (refused.allowed, refused.key) == (False, "global")
        assert [row["used"] for row in limiter.usage("u2")] == [2.0, 20.0, 7.0]

        async def work() -> Any:
            try:
                return await limiter.ahit("u3")
            finally:
                await store.aclose()

        assert asyncio.run(work()).key == "global"
    finally:
        store.close()
        server.close()


def test_a_cluster_gives_back_the_leases_of_all_subjects_and_takes_none_for_a_hit() -> None:
    server = RedisServer(cluster=True).start()
    store = RedisStore(server.url.removesuffix("/0"), cluster=True)
    try:
        for own in ("20/minute", "3 concurrent"):
            limiter = RateLimiter(own, Limit(2, None, "concurrent", scope="global"), store=store)
            with limiter.reserve("u1"):
                running = [row["used"] for row in limiter.usage("u1") if row["measure"] == "concurrent"]
                assert set(running) == {1.0}
                assert limiter.hit("u1").remaining == 1.0
            for _ in range(4):
                assert limiter.hit("u1").allowed
            assert [row["used"] for row in limiter.usage("u1") if row["measure"] == "concurrent"] == [0.0] * len(
                running
            )
    finally:
        store.close()
        server.close()


# -- construction


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"url": "http://localhost"}, "url"),
        ({"url": 5}, "url"),
        ({"url": "redis://h", "timeout": 0}, "timeout=0"),
        ({"url": "redis://h", "timeout": math.inf}, "timeout=inf"),
        ({"url": "redis://h", "namespace": ""}, "namespace=''"),
        ({"url": "redis://h", "namespace": "a{b}"}, "namespace"),
    ],
)
def test_bad_settings(kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match="RedisStore") as caught:
        RedisStore(**kwargs)
    assert word in str(caught.value)


def test_the_password_is_nowhere() -> None:
    store = RedisStore("redis://:hunter2@localhost:1/0")
    limiter = RateLimiter("1/minute", store=store)
    assert isinstance(store.url, SecretStr)
    for text in (repr(store), repr(limiter), str(limiter), str(limiter.to_json()), repr(limiter.__dict__)):
        assert "hunter2" not in text


@pytest.mark.parametrize(
    "url", ["http://:hunter2@localhost", "redis://:hunter2@host:port/0", "redis://:hunter2@[::1/0"]
)
def test_a_bad_url_tells_no_password(url: str) -> None:
    with pytest.raises(ConfigError, match="url=") as caught:
        RedisStore(url)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_url_that_only_redis_cannot_read_tells_no_password_at_the_first_call() -> None:
    limiter = RateLimiter("1/minute", store=RedisStore("redis://:hunter2@localhost/0?socket_timeout=soon"))
    with pytest.raises(ConfigError, match="url=") as caught:
        limiter.hit("u1")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))
