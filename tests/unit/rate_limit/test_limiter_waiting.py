"""Waiting for one's turn: one exact sleep, first come first served, and a way out at any time."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnablePassthrough

from langchain_guard import Banned, Identity, Penalty, RateLimiter, RateLimitExceeded, wait_retry_after
from langchain_guard.rate_limit.waiting import Lines, ThreadWaiter
from langchain_guard.testing import ManualClock
from support import run

ME = Identity(user="u1").config()


class Watched(ManualClock):
    """A clock that keeps the sleeps it was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.sleeps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        super().sleep(seconds)

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


async def in_line(limiter: RateLimiter, number: int) -> None:
    """Until so many wait for u1."""
    for _ in range(10_000):
        if limiter.store.local.lines.waiting("u1") >= number:
            return
        await asyncio.sleep(0.001)
    pytest.fail("nobody waits")


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("form", ["link", "wrap"])
def test_one_exact_sleep_per_admission(form: str, asynchronous: bool) -> None:
    clock = Watched()
    limiter = RateLimiter("2/10 seconds", on_limit="wait", clock=clock)
    chain = limiter if form == "link" else limiter.wrap(RunnablePassthrough())
    for _ in range(5):
        run(chain.ainvoke("x", ME)) if asynchronous else chain.invoke("x", ME)
    assert clock.sleeps == [10.0, 10.0]
    assert clock() == 20.0


def test_several_windows_wait_without_fail() -> None:
    clock = Watched()
    limiter = RateLimiter("1/7 seconds", "5/60 seconds", on_limit="wait", clock=clock)
    for _ in range(12):
        limiter.invoke("x", ME)
    assert len(clock.sleeps) <= 11


@pytest.mark.parametrize(("max_wait", "waits"), [(70, True), (60, True), (59.9, False), (0, False)])
def test_max_wait_is_the_longest_wait(max_wait: float, waits: bool) -> None:
    clock = Watched()
    limiter = RateLimiter("3/minute", on_limit="wait", max_wait=max_wait, clock=clock)
    for _ in range(3):
        limiter.invoke("x", ME)
    if waits:
        limiter.invoke("x", ME)
        assert clock.sleeps == [60.0]
        return
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.invoke("x", ME)
    assert caught.value.retry_after == 60.0
    assert clock.sleeps == []


def test_what_never_fits_is_never_waited_for() -> None:
    clock = Watched()
    limiter = RateLimiter("100 tokens/minute", "50 tokens/call", on_limit="wait", estimate=lambda _: 60, clock=clock)
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.wrap(RunnablePassthrough()).invoke("x", ME)
    assert caught.value.retry_after is None
    with pytest.raises(RateLimitExceeded), RateLimiter("10/minute", on_limit="wait").reserve("u1", requests=11):
        pass
    assert clock.sleeps == []


def test_a_banned_caller_does_not_wait() -> None:
    clock = Watched()
    limiter = RateLimiter("1/minute", on_limit="wait", clock=clock)
    limiter.ban("u1", 5)
    with pytest.raises(Banned):
        limiter.invoke("x", ME)
    assert clock.sleeps == []


def test_a_wait_is_no_strike_and_giving_up_is_one() -> None:
    clock = Watched()
    limiter = RateLimiter("1/10 seconds", on_limit="wait", max_wait=15, penalty=Penalty(strikes=2), clock=clock)
    for _ in range(5):
        limiter.invoke("x", ME)
    big = RateLimiter(
        "1/hour", on_limit="wait", max_wait=15, penalty=Penalty(strikes=2), store=limiter.store, clock=clock
    )
    big.invoke("x", ME)
    for kind in (RateLimitExceeded, Banned):
        with pytest.raises(RateLimitExceeded) as caught:
            big.invoke("x", ME)
        assert type(caught.value) is kind


def test_hit_does_not_wait() -> None:
    clock = Watched()
    limiter = RateLimiter("1/minute", on_limit="wait", clock=clock)
    assert [limiter.hit("u1").allowed, limiter.hit("u1").allowed] == [True, False]
    assert clock.sleeps == []


def test_a_reservation_waits() -> None:
    clock = Watched()
    limiter = RateLimiter("1/minute", on_limit="wait", clock=clock)

    async def later() -> None:
        async with limiter.reserve("u1"):
            pass

    with limiter.reserve("u1"):
        pass
    run(later())
    assert clock.sleeps == [60.0]


# -- lines, in real time but without a word about how long


def test_threads_are_served_in_the_order_they_came() -> None:
    limiter = RateLimiter("1 concurrent", on_limit="wait", max_wait=30)
    lines, served, threads = limiter.store.local.lines, [], []
    with limiter.reserve("u1"):
        for name in range(8):

            def work(name: int = name) -> None:
                with limiter.reserve("u1"):
                    served.append(name)

            threads.append(threading.Thread(target=work))
            threads[-1].start()
            while lines.waiting("u1") <= name:
                time.sleep(0.001)
        assert served == []
    for thread in threads:
        thread.join()
    assert served == list(range(8))
    assert lines.waiting("u1") == 0


def test_tasks_are_served_in_the_order_they_came_and_the_loop_runs_on() -> None:
    limiter = RateLimiter("5/0.2 seconds", on_limit="wait", max_wait=30)
    chain = limiter.wrap(RunnablePassthrough())
    served: list[int] = []

    async def call(name: int) -> None:
        await chain.ainvoke("x", ME)
        served.append(name)

    async def work() -> int:
        ticks, tasks = 0, [asyncio.create_task(call(name)) for name in range(20)]
        while (await asyncio.wait(tasks, timeout=0.005))[1]:
            ticks += 1
        return ticks

    assert run(work()) > 20
    assert served == list(range(20))


def test_only_the_head_of_a_line_asks() -> None:
    limiter = RateLimiter("5/0.2 seconds", on_limit="wait", max_wait=30)
    asked, reserve = [], limiter.store.areserve

    async def counted(*args: Any) -> Any:
        asked.append(1)
        return await reserve(*args)

    limiter.store.areserve = counted
    chain = limiter.wrap(RunnablePassthrough())

    async def work() -> None:
        await asyncio.gather(*(chain.ainvoke("x", ME) for _ in range(30)))

    run(work())
    assert len(asked) <= 30 + 30 // 5 + 6  # one question per admission, and one refusal per window and head


def test_a_waiter_on_one_key_is_in_nobodys_way() -> None:
    limiter = RateLimiter("1/hour", on_limit="wait", max_wait=7200)
    limiter.hit("a")
    waiter = threading.Thread(target=lambda: limiter.invoke("x", Identity(user="a").config()), daemon=True)
    waiter.start()
    while not limiter.store.local.lines.waiting("a"):
        time.sleep(0.001)
    limiter.invoke("x", Identity(user="b").config())
    assert limiter.usage("b")[0]["used"] == 1.0
    limiter.reset("a")  # and the waiter is let go
    waiter.join(5)
    assert not waiter.is_alive()


def test_a_cancelled_waiter_gives_its_place_back() -> None:
    limiter = RateLimiter("1 concurrent", on_limit="wait", max_wait=30)
    chain = limiter.wrap(RunnablePassthrough())
    served: list[int] = []

    async def call(name: int) -> None:
        await chain.ainvoke("x", ME)
        served.append(name)

    async def work() -> None:
        async with limiter.reserve("u1"):
            tasks = [asyncio.create_task(call(name)) for name in range(6)]
            await asyncio.sleep(0)
            await in_line(limiter, 6)
            for gone in (0, 3):
                tasks[gone].cancel()
            await asyncio.sleep(0)
        await asyncio.gather(*tasks, return_exceptions=True)

    run(work())
    assert served == [1, 2, 4, 5]
    assert limiter.usage("u1")[0]["used"] == 0.0
    assert limiter.store.local.lines.waiting("u1") == 0


def test_no_more_than_max_waiters_wait() -> None:
    limiter = RateLimiter("1 concurrent", on_limit="wait", max_wait=30, max_waiters=2)
    chain = limiter.wrap(RunnablePassthrough())

    async def work() -> list[Any]:
        async with limiter.reserve("u1"):
            tasks = [asyncio.create_task(chain.ainvoke(name, ME)) for name in range(4)]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            assert all(isinstance(task.exception(), RateLimitExceeded) for task in done)
        return await asyncio.gather(*tasks, return_exceptions=True)

    assert [r for r in run(work()) if isinstance(r, int)] == [0, 1]


def test_threads_and_tasks_stand_in_one_line() -> None:
    limiter = RateLimiter("1 concurrent", on_limit="wait", max_wait=30)
    served: list[str] = []

    def thread_call() -> None:
        with limiter.reserve("u1"):
            served.append("thread")

    async def task_call() -> None:
        async with limiter.reserve("u1"):
            served.append("task")

    async def work() -> None:
        thread = threading.Thread(target=thread_call)
        async with limiter.reserve("u1"):
            thread.start()
            await in_line(limiter, 1)
            task = asyncio.create_task(task_call())
            await in_line(limiter, 2)
        await task
        thread.join()

    run(work())
    assert served == ["thread", "task"]


def test_a_line_is_kept_only_while_somebody_waits() -> None:
    lines, one, two = Lines(), ThreadWaiter(), ThreadWaiter()
    assert not lines.join("k", one, 0)
    assert lines.waiting("k") == 0
    assert lines.join("k", one, 2)
    assert lines.join("k", two, 2)
    assert not lines.join("k", ThreadWaiter(), 2)
    assert (lines.heads("k", one), lines.heads("k", two)) == (True, False)
    lines.leave("k", one)
    assert lines.heads("k", two)
    lines.wake("k")
    lines.wake("nobody")
    lines.leave("k", two)
    assert lines.waiting("k") == 0


# -- LangChain's own rate limiter, and tenacity


def test_as_langchain_lets_the_first_calls_pass_and_sleeps_exactly() -> None:
    clock = Watched()
    gate = RateLimiter("50/second", clock=clock).as_langchain("svc")
    assert all(gate.acquire() for _ in range(50))
    assert clock.sleeps == []
    assert not gate.acquire(blocking=False)
    assert gate.acquire()
    assert clock.sleeps == [1.0]
    assert run(gate.aacquire())
    assert not [run(gate.aacquire(blocking=False)) for _ in range(60)][-1]


def test_as_langchain_raises_where_a_model_would_not_look() -> None:
    gate = RateLimiter("1/hour", max_wait=5, clock=Watched()).as_langchain("svc")
    assert gate.acquire()
    with pytest.raises(RateLimitExceeded):
        gate.acquire()
    with pytest.raises(RateLimitExceeded):
        run(gate.aacquire())


def test_a_model_asks_its_rate_limiter() -> None:
    from langchain_guard.testing import ScriptedChatModel

    limiter = RateLimiter("2/minute", max_wait=0, clock=ManualClock())
    model = ScriptedChatModel("hi", rate_limiter=limiter.as_langchain("svc"))
    model.invoke("a")
    run(model.ainvoke("a"))
    with pytest.raises(RateLimitExceeded):
        model.invoke("a")
    assert limiter.usage("svc")[0]["used"] == 2.0


def test_tenacity_waits_as_long_as_the_refusal_says() -> None:
    from tenacity import Retrying, retry_if_exception_type, stop_after_attempt

    clock = Watched()
    chain = RateLimiter("1/30 seconds", clock=clock) | RunnableLambda(lambda x: x)
    retrying = Retrying(
        retry=retry_if_exception_type(RateLimitExceeded),
        wait=wait_retry_after(),
        stop=stop_after_attempt(3),
        sleep=clock.sleep,
        reraise=True,
    )
    assert [retrying(chain.invoke, value, ME) for value in (1, 2)] == [1, 2]
    assert clock.sleeps == [30.0]


class _Provider(Exception):
    def __init__(self, header: str | None) -> None:
        self.response = type("R", (), {"headers": {} if header is None else {"retry-after": header}})()


@pytest.mark.parametrize(
    ("error", "seconds"),
    [(_Provider("2.5"), 2.5), (_Provider("0"), 0.0), (_Provider(None), 7.0), (_Provider("Wed, 21 Oct 2026"), 7.0), (ValueError(), 7.0)],
)  # fmt: skip
def test_a_providers_header_or_the_fallback(error: Exception, seconds: float) -> None:
    from tenacity import wait_fixed

    assert wait_retry_after(fallback=wait_fixed(7), cap=60)(_state(error)) == seconds


def test_what_never_fits_is_not_tried_again() -> None:
    limiter = RateLimiter("2/minute", clock=Watched())
    with pytest.raises(RateLimitExceeded) as refused, limiter.reserve("u1", requests=3):
        raise AssertionError("it was admitted")
    with pytest.raises(RateLimitExceeded) as caught:
        wait_retry_after()(_state(refused.value))
    assert caught.value is refused.value


def test_a_wait_beyond_the_cap_is_the_error_itself() -> None:
    error = _Provider("86400")
    with pytest.raises(_Provider) as caught:
        wait_retry_after(cap=60)(_state(error))
    assert caught.value is error


def _state(error: Exception) -> Any:
    from concurrent.futures import Future

    from tenacity import RetryCallState, Retrying

    state = RetryCallState(Retrying(), None, (), {})
    state.outcome = Future()
    state.outcome.set_exception(error)
    return state
