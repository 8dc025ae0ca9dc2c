"""What users of other rate limiters reported, as tests of its kind; those that another file of this folder holds are
named there by what they show (threads at a barrier, honest waits, settled streams, stores that fail, ...)."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.runnables import RunnableLambda

from langchain_guard import Identity, MemoryStore, RateLimiter, RateLimitExceeded, RedisStore
from langchain_guard.testing import ManualClock, Reply, ScriptedChatModel
from support import run

ME = Identity(user="u1").config()


def test_the_newest_call_is_never_dropped_however_many_come_at_once() -> None:
    """limits#277: an async store lost the newest entry, and a limit of 4 a day let everything through."""
    limiter = RateLimiter("4/day")

    async def work() -> list[Any]:
        return await asyncio.gather(*(limiter.ahit("u1") for _ in range(1000)))

    assert sum(decision.allowed for decision in run(work())) == 4


def test_two_in_any_ten_seconds_are_two() -> None:
    """aiolimiter#298: a bucket that leaks while it fills lets three through."""
    clock = ManualClock()
    limiter = RateLimiter("2/10 seconds", clock=clock)
    admitted = []
    for tick in range(400):
        if limiter.hit("u1").allowed:
            admitted.append(tick * 0.25)
        clock.advance(0.25)
    assert max(sum(end - 10 < at <= end for at in admitted) for end in admitted) == 2
    assert len(admitted) == 20


def test_the_first_calls_do_not_wait() -> None:
    """langchain#36057: a bucket that begins empty."""
    limiter = RateLimiter("5/minute", on_limit="wait", max_wait=0, clock=ManualClock())
    assert [limiter.invoke(n, ME) for n in range(5)] == [0, 1, 2, 3, 4]


def test_completion_models_are_not_forgotten() -> None:
    """langchain#28573: ``rate_limiter`` does nothing on completion models."""
    limiter = RateLimiter("1/minute", clock=ManualClock())
    for chain in (limiter | FakeListLLM(responses=["a"]), limiter.wrap(FakeListLLM(responses=["a"]))):
        limiter.reset("u1")
        assert chain.invoke("hi", ME) == "a"
        with pytest.raises(RateLimitExceeded):
            chain.invoke("hi", ME)


def test_a_refusal_stops_the_chain_and_is_not_swallowed_by_a_callback() -> None:
    """langchainjs#7279: a limiter in a callback handler raised, and the model answered all the same."""
    model = ScriptedChatModel("hi")
    chain = RateLimiter("1/minute", clock=ManualClock()).wrap(RunnableLambda(lambda x: x) | model)
    chain.invoke("hi", ME)
    for _ in range(3):
        with pytest.raises(RateLimitExceeded):
            chain.invoke("hi", ME)
    assert model.calls == 1


def test_a_limit_that_was_reached_once_is_not_reached_for_ever() -> None:
    """langchainjs#11241: a counter that stayed at its limit after the run was jumped out of."""
    clock = ManualClock()
    limiter = RateLimiter("2/minute", "1 concurrent", clock=clock)
    chain = limiter.wrap(ScriptedChatModel(Reply("a ", "b ")))
    for _ in range(10):
        stream = chain.stream("hi", ME)
        next(stream)
        stream.close()
        clock.advance(30)
    assert limiter.peek("u1").allowed


@pytest.mark.parametrize("limit", ["5/minute", "100k tokens/minute", "1 concurrent", "9k output_tokens/day"])
def test_any_one_limit_works_alone(limit: str) -> None:
    """litellm#2153: requests per minute were limited only if tokens were, too."""
    limiter = RateLimiter(limit, clock=ManualClock())
    assert limiter.wrap(ScriptedChatModel("hi")).invoke("hi", ME).content == "hi"
    assert len(limiter.usage("u1")) == 1


def test_no_header_names_a_caller() -> None:
    """fastapi-limiter#9: with X-Forwarded-For as the key, every call is another caller."""
    limiter = RateLimiter("2/minute", clock=ManualClock())
    admitted = 0
    for n in range(20):
        headers = {"X-Forwarded-For": f"203.0.113.{n}"}
        config = {"metadata": {"headers": headers, "ip": f"203.0.113.{n}"}, "configurable": {"headers": headers}}
        try:
            limiter.invoke("hi", config)
            admitted += 1
        except RateLimitExceeded:
            continue
    assert admitted == 2


def test_the_fallback_of_a_server_is_bounded() -> None:
    """NexaSphere#1056: the map that stood in for Redis grew without end."""
    fallback = RedisStore("redis://127.0.0.1:1")._fallback
    assert isinstance(fallback, MemoryStore)
    assert fallback.max_keys == 1_000_000


def test_waiting_is_a_loop_and_no_recursion() -> None:
    """data-fair#486: every retry of a waiter was awaited inside the one before."""
    clock = ManualClock()
    limiter = RateLimiter("1/second", on_limit="wait", max_wait=10**6, clock=clock)
    other = RateLimiter("1/second", store=limiter.store, clock=clock)
    sleeping, rounds = clock.asleep, []

    async def interrupted(seconds: float) -> None:
        await sleeping(seconds)
        rounds.append(seconds)
        if len(rounds) < 3000:
            other.hit("u1")  # somebody else is always faster

    clock.asleep = interrupted
    limiter.hit("u1")
    assert run(limiter.ainvoke("x", ME)) == "x"
    assert len(rounds) == 3000


def test_a_long_run_of_waiting_threads_ends() -> None:
    """PyrateLimiter#108: 32 threads hung after hours."""
    limiter = RateLimiter("40/0.05 seconds", "3 concurrent", on_limit="wait", max_wait=120)
    chain, done = limiter.wrap(RunnableLambda(lambda x: x)), []

    def work() -> None:
        done.extend(chain.invoke(n, ME) for n in range(25))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(done) == 400
    assert limiter.store.local.lines.waiting("u1") == 0
    assert limiter.usage("u1")[1]["used"] == 0.0
