"""Tokens and money: what is reserved before a call, and what is settled after it."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from langchain_core.language_models.llms import LLM, BaseLLM
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.outputs import Generation, LLMResult
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool

from langchain_guard import ConfigError, GuardUnavailable, Identity, RateLimiter, RateLimitExceeded
from langchain_guard.rate_limit.usage import Meter, Prices, count_tokens, longest_answer, model_name, models_in
from langchain_guard.testing import Call, ManualClock, Reply, ScriptedChatModel, ScriptedServer
from support import chat_openai, collect, run

ME = Identity(user="u1").config()


def used(limiter: RateLimiter, key: str = "u1") -> list[float]:
    return [row["used"] for row in limiter.usage(key)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# -- before


@pytest.mark.parametrize(
    "value",
    ["hello there, how are you", HumanMessage("hello there, how are you"), [HumanMessage("hello there, how are you")],
     ChatPromptValue(messages=[HumanMessage("hello there, how are you")]), StringPromptValue(text="hello there, how are you"),
     [("user", "hello there, how are you")], {"question": "hello there, how are you"}, {"a": ["hello there,", "how are you"]}],
)  # fmt: skip
def test_a_prompt_is_counted_wherever_it_stands(value: Any) -> None:
    assert 8 <= count_tokens(value) <= 10


@pytest.mark.parametrize("value", [None, 5, b"\xff", object(), [], {}, [object()]])
def test_what_has_no_text_counts_little(value: Any) -> None:
    assert 0 <= count_tokens(value) <= 5


def test_the_longest_answer_is_the_largest_of_what_says_so() -> None:
    model = chat_openai_like(max_tokens=1)
    assert longest_answer(model, {"max_completion_tokens": 1000}) == 1000
    assert longest_answer(model, {}) == 1
    assert longest_answer(ScriptedChatModel("x"), {}) is None
    ((bound_model, bound),) = models_in(RunnablePassthrough() | ScriptedChatModel("x").bind(max_tokens=7))
    assert longest_answer(bound_model, bound) == 7
    assert model_name(model, {"model": "other"}) == "other"
    assert model_name(model, {}) == "scripted"


def chat_openai_like(**settings: Any) -> Any:
    class Server:
        url = "http://127.0.0.1:9/v1"

    return chat_openai(Server(), **settings)


def reserved_while_running(limiter: RateLimiter, model: Any, value: Any = "hi") -> list[float]:
    seen: list[list[float]] = []
    spy = RunnableLambda(lambda x: (seen.append(used(limiter)), x)[1])
    limiter.wrap(spy | model).invoke(value, ME)
    return seen[0]


def test_the_estimate_is_the_prompt_and_the_longest_answer(clock: ManualClock) -> None:
    limiter = RateLimiter("10k tokens/minute", "9k input_tokens/minute", "9k output_tokens/minute", clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(7, 5))).bind(max_tokens=500)
    total, prompt, answer = reserved_while_running(limiter, model)
    assert (answer, total) == (500.0, prompt + 500.0)
    assert used(limiter) == [12.0, 7.0, 5.0]


def test_without_a_longest_answer_it_is_as_long_as_answers_usually_are(clock: ManualClock) -> None:
    limiter = RateLimiter("9k output_tokens/minute", clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(7, 10)))
    assert reserved_while_running(limiter, model) == [64.0]
    assert reserved_while_running(limiter, model) == [10.0 + 10.0]


def test_an_estimate_never_keeps_a_caller_out_for_ever(clock: ManualClock) -> None:
    limiter = RateLimiter("100 tokens/minute", max_tokens=1024, clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(7, 5)))
    assert reserved_while_running(limiter, model) == [100.0]
    assert used(limiter) == [12.0]


@pytest.mark.parametrize(
    ("estimate", "reserved"),
    [
        (lambda _: 50, [50.0, 50.0]),
        (lambda _: {"tokens": 30}, [30.0, 0.0]),
        (lambda _: {"input_tokens": 20, "output_tokens": 5}, [25.0, 20.0]),
        (lambda value: len(value), [2.0, 2.0]),
    ],
)
def test_an_estimate_of_ones_own(estimate: Any, reserved: list[float], clock: ManualClock) -> None:
    limiter = RateLimiter("1k tokens/minute", "1k input_tokens/minute", estimate=estimate, clock=clock)
    assert reserved_while_running(limiter, ScriptedChatModel("a")) == reserved


@pytest.mark.parametrize("bad", ["50", None, {"apples": 5}, -5, float("nan")])
def test_a_broken_estimate_lets_nothing_through(bad: Any, clock: ManualClock) -> None:
    limiter, model = RateLimiter("1k tokens/minute", estimate=lambda _: bad, clock=clock), ScriptedChatModel("a")
    with pytest.raises(GuardUnavailable):
        limiter.wrap(model).invoke("hi", ME)
    assert model.calls == 0


def test_concurrent_calls_cannot_spend_what_is_reserved(clock: ManualClock) -> None:
    limiter = RateLimiter("100 tokens/minute", estimate=lambda _: 50, clock=clock)
    inside = threading.Semaphore(0)

    async def work() -> list[Any]:
        gate = asyncio.Event()

        async def slow(value: Any) -> Any:
            inside.release()
            await gate.wait()
            return value

        chain = limiter.wrap(RunnableLambda(slow))
        tasks = [asyncio.create_task(chain.ainvoke("x", ME)) for _ in range(5)]
        await asyncio.wait(tasks, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
        gate.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = run(work())
    assert [isinstance(r, RateLimitExceeded) for r in results] == [False, False, True, True, True]


# -- after


def test_what_was_used_above_the_estimate_is_a_debt(clock: ManualClock) -> None:
    limiter = RateLimiter("100 tokens/minute", estimate=lambda _: 10, clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(70, 90)))
    limiter.wrap(model).invoke("hi", ME)
    assert used(limiter) == [160.0]
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.wrap(model).invoke("hi", ME)
    assert caught.value.retry_after == 60.0
    clock.advance(60)
    limiter.wrap(model).invoke("hi", ME)


def test_unknown_usage_keeps_the_reservation(clock: ManualClock) -> None:
    limiter = RateLimiter("100 tokens/minute", estimate=lambda _: 40, clock=clock)
    limiter.wrap(ScriptedChatModel(Reply("a", usage=None))).invoke("hi", ME)
    assert used(limiter) == [40.0]
    limiter.wrap(RunnablePassthrough()).invoke("hi", ME)
    assert used(limiter) == [80.0]


def test_of_several_calls_the_known_ones_count_at_least(clock: ManualClock) -> None:
    limiter = RateLimiter("1k tokens/minute", estimate=lambda _: 40, clock=clock)
    model = ScriptedChatModel([Reply("a", usage=(70, 5)), Reply("b", usage=None)])
    limiter.wrap(RunnableLambda(lambda x: (model.invoke(x), model.invoke(x)))).invoke("hi", ME)
    assert used(limiter) == [75.0]


@pytest.mark.parametrize("refund", [False, True])
@pytest.mark.parametrize("form", ["model", "chain"])
def test_a_failed_call(form: str, refund: bool, clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", "100 tokens/minute", "1 concurrent", estimate=lambda _: 40,
                          refund_on_error=refund, clock=clock)  # fmt: skip
    model = ScriptedChatModel(ConnectionError("down"))
    chain = limiter.wrap(model if form == "model" else RunnablePassthrough() | model)
    for call in (
        lambda: chain.invoke("hi", ME),
        lambda: list(chain.stream("hi", ME)),
        lambda: run(chain.ainvoke("hi", ME)),
    ):
        with pytest.raises(ConnectionError):
            call()
        assert used(limiter) == ([0.0, 0.0, 0.0] if refund else [1.0, 40.0, 0.0])
        limiter.reset("u1")


@pytest.mark.parametrize("form", ["model", "chain"])
@pytest.mark.parametrize("end", ["close", "error", "cancel"])
def test_a_stream_that_is_left_keeps_the_reservation_and_frees_the_place(
    form: str, end: str, clock: ManualClock
) -> None:
    limiter = RateLimiter("100 tokens/minute", "1 concurrent", estimate=lambda _: 40, clock=clock)
    model = ScriptedChatModel(Reply(*["word "] * 20))
    chain = limiter.wrap(model if form == "model" else RunnablePassthrough() | model)

    async def left() -> None:
        stream = chain.astream("hi", ME)
        await stream.__anext__()
        assert used(limiter)[1] == 1.0
        if end == "close":
            await stream.aclose()
        elif end == "error":
            with pytest.raises(ZeroDivisionError):
                await stream.athrow(ZeroDivisionError())
        else:

            async def rest() -> None:
                async for _ in stream:
                    await asyncio.sleep(60)

            task = asyncio.create_task(rest())
            await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await stream.aclose()

    run(left())
    assert used(limiter) == [40.0, 0.0]
    limiter.reset("u1")
    if end == "close":
        stream = chain.stream("hi", ME)
        next(stream)
        stream.close()
        assert used(limiter) == [40.0, 0.0]


def test_what_was_heard_of_a_left_stream_counts_where_it_is_more(clock: ManualClock) -> None:
    limiter = RateLimiter("1000 tokens/minute", estimate=lambda _: {"input_tokens": 2, "output_tokens": 1}, clock=clock)
    stream = limiter.wrap(ScriptedChatModel(Reply(*["word "] * 50))).stream("hi", ME)
    for _ in range(30):
        next(stream)
    stream.close()
    assert 30 <= used(limiter)[0] <= 34


def test_many_answers_to_one_prompt_are_one_usage(clock: ManualClock) -> None:
    limiter = RateLimiter("1000 tokens/minute", clock=clock)

    class Twice(ScriptedChatModel):
        def _generate(self, *args: Any, **kwargs: Any) -> Any:
            result = super()._generate(*args, **kwargs)
            result.generations *= 2
            return result

    for chain in (
        limiter.wrap(Twice(Reply("a", usage=(7, 5)))),
        limiter.wrap(RunnablePassthrough() | Twice(Reply("a", usage=(7, 5)))),
    ):
        chain.invoke("hi", ME)
        assert used(limiter) == [12.0]
        limiter.reset("u1")


def test_cached_tokens_count_by_their_weight(clock: ManualClock) -> None:
    usage = {"input_tokens": 100, "output_tokens": 10, "total_tokens": 110, "input_token_details": {"cache_read": 80}}
    for weight, tokens in ((1.0, 110.0), (0.5, 70.0), (0.0, 30.0)):
        meter = Meter("owner", "u1", cached_weight=weight)
        meter.answered(AIMessage("a", usage_metadata=usage))
        assert (meter.total, meter.answer) == (tokens, 10.0)


class Completion(LLM):
    @property
    def _llm_type(self) -> str:
        return "completion"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        return "done"


class Telling(BaseLLM):
    @property
    def _llm_type(self) -> str:
        return "telling"

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        usage = {"token_usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}
        return LLMResult(generations=[[Generation(text="done")]], llm_output=usage)


def test_completion_models_are_limited_too(clock: ManualClock) -> None:
    limiter = RateLimiter("2/minute", "100 tokens/minute", estimate=lambda _: 20, clock=clock)
    model = limiter.wrap(Completion())
    assert model.invoke("hi", ME) == "done"
    assert used(limiter) == [1.0, 20.0]
    assert limiter.wrap(RunnablePassthrough() | Telling()).invoke("hi", ME) == "done"
    assert used(limiter) == [2.0, 32.0]
    with pytest.raises(RateLimitExceeded):
        model.invoke("hi", ME)


# -- over HTTP


@pytest.mark.parametrize("stream_usage", [True, False])
def test_chat_openai_over_http(stream_usage: bool, clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", "1000 tokens/minute", "1 concurrent", estimate=lambda _: 40, clock=clock)
    with ScriptedServer(Reply("hello ", "there", usage=(7, 5))) as server:
        model = limiter.wrap(chat_openai(server, stream_usage=stream_usage))
        chain = RunnablePassthrough() | model
        chain.invoke("hi", ME)
        run(chain.ainvoke("hi", ME))
        chain.batch(["a", "b"], {**ME, "max_concurrency": 1})
        assert used(limiter) == [4.0, 48.0, 0.0]
        list(chain.stream("hi", ME))
        run(collect(chain.astream("hi", ME)))
        assert used(limiter) == [6.0, 72.0 if stream_usage else 128.0, 0.0]
        requests = len(server.requests)
        with pytest.raises(RateLimitExceeded):
            chain.batch(["x"] * 4, ME)
    assert requests == 6


def test_chat_openai_that_is_left_in_mid_stream(clock: ManualClock) -> None:
    limiter = RateLimiter("1000 tokens/minute", "1 concurrent", estimate=lambda _: 40, clock=clock)
    with ScriptedServer(Reply(*["word "] * 200, delay=0.005)) as server:
        stream = limiter.wrap(chat_openai(server)).stream("hi", ME)
        for _ in range(3):
            next(stream)
        assert used(limiter) == [40.0, 1.0]
        stream.close()
        assert used(limiter) == [40.0, 0.0]
        server.join()
        assert server.aborted == 1


def test_an_agent_settles_all_of_its_model_calls(clock: ManualClock) -> None:
    from langchain.agents import create_agent

    @tool
    def look(what: str) -> str:
        """Look something up."""
        return f"{what} found"

    replies = [Reply(tool_calls=[Call("look", {"what": "it"})], usage=(7, 5)), Reply("done", usage=(10, 2))]
    outer = RateLimiter("9/minute", "1000 tokens/minute", clock=clock)
    inner = RateLimiter("9/minute", "1000 tokens/minute", clock=clock)
    agent = create_agent(inner.wrap(ScriptedChatModel(replies * 2)), [look])
    chain = outer.wrap(agent)
    chain.invoke({"messages": [("user", "look")]}, ME)
    assert used(outer) == [1.0, 24.0]
    assert used(inner) == [2.0, 24.0]
    run(chain.ainvoke({"messages": [("user", "look")]}, ME))
    assert used(outer) == [2.0, 48.0]
    assert used(inner) == [4.0, 48.0]


# -- money

PRICES = {"small": (1.0, 2.0), "large": (10.0, 30.0, 1.0)}


@pytest.mark.parametrize(
    ("model", "tokens", "dollars"),
    [
        ("small", (1e6, 1e6, 0), 3.0),
        ("large", (1e6, 0, 0), 10.0),
        ("large", (1e6, 1e6, 1e6), 31.0),
        ("small", (1e6, 0, 5e5), 1.0),
        ("small-2026-01-31", (1e6, 0, 0), 1.0),
        ("small-20260131", (1e6, 0, 0), 1.0),
        ("provider/small", (1e6, 0, 0), 1.0),
        ("small-latest", (1e6, 0, 0), 1.0),
        (None, (1e6, 1e6, 0), 40.0),
    ],
)
def test_prices(model: str | None, tokens: tuple[float, float, float], dollars: float) -> None:
    assert Prices(PRICES, dearest=False).cost(model, *tokens) == pytest.approx(dollars)


def test_a_model_without_a_price() -> None:
    with pytest.raises(GuardUnavailable):
        Prices(PRICES, dearest=False).cost("small-mini", 1e6, 0)
    assert Prices(PRICES, dearest=True).cost("small-mini", 1e6, 0) == 10.0
    assert Prices(PRICES, dearest=False).cost("small-mini", 1e6, 0, sure=True) == 10.0


def test_money_is_settled_by_the_model_that_answered(clock: ManualClock) -> None:
    limiter = RateLimiter("$1/day", prices={"scripted": (1.0, 2.0)}, clock=clock)
    with ScriptedServer(Reply("hello", usage=(100_000, 50_000))) as server:
        limiter.wrap(chat_openai(server)).invoke("hi", ME)
        assert used(limiter) == [pytest.approx(0.2)]
        list(limiter.wrap(RunnablePassthrough() | chat_openai(server)).stream("hi", ME))
        assert used(limiter) == [pytest.approx(0.4)]


def test_money_without_a_price_list_is_what_was_estimated(clock: ManualClock) -> None:
    limiter = RateLimiter("$1/day", estimate=lambda _: {"tokens": 9, "cost": 0.4}, clock=clock)
    model = limiter.wrap(ScriptedChatModel(Reply("a", usage=(7, 5))))
    assert [model.invoke("hi", ME).content, model.invoke("hi", ME).content] == ["a", "a"]
    assert used(limiter) == [pytest.approx(0.8)]
    with pytest.raises(RateLimitExceeded):
        model.invoke("hi", ME)


def test_a_budget_that_is_spent_stops_every_call(clock: ManualClock) -> None:
    limiter = RateLimiter("$1/day", prices={"scripted": (10.0, 10.0)}, clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(60_000, 60_000)))
    limiter.wrap(RunnablePassthrough() | model).invoke("hi", ME)
    assert used(limiter) == [pytest.approx(1.2)]
    for call in (limiter.wrap(model).invoke, limiter.wrap(RunnablePassthrough() | model).invoke):
        with pytest.raises(RateLimitExceeded) as caught:
            call("hi", ME)
        assert caught.value.limit == "$1/day"
    assert model.calls == 1
    clock.advance(86400)
    limiter.wrap(model).invoke("hi", ME)


def test_wrap_says_which_price_is_missing() -> None:
    with pytest.raises(ConfigError, match="prices="):
        RateLimiter("$1/day").wrap(ScriptedChatModel("a"))
    with pytest.raises(ConfigError, match=r"'scripted'.*small"):
        RateLimiter("$1/day", prices={"small": (1, 1)}).wrap(chat_openai_like())
    RateLimiter("$1/day", prices={"small": (1, 1)}, unknown_model="dearest").wrap(chat_openai_like())


@pytest.mark.parametrize("limits", [("$1/day",), ("$0.01/call",), ("9/minute", "$0.01/call")])
def test_a_chain_cannot_be_limited_in_money_without_prices(limits: tuple[str, ...]) -> None:
    limiter, model = RateLimiter(*limits), ScriptedChatModel("a")
    ways = [
        lambda: limiter | model,
        lambda: {"question": RunnablePassthrough()} | limiter,
        lambda: limiter.pipe(model),
        lambda: limiter.wrap(model),
        lambda: limiter.invoke("hi"),
        lambda: list(limiter.stream("hi")),
        lambda: limiter.batch(["hi", "ho"]),
        lambda: limiter.check("hi"),
    ]
    for way in ways:
        with pytest.raises(ConfigError, match=r"prices=|wrap"):
            way()
    assert model.calls == 0


def test_by_hand_money_needs_no_prices() -> None:
    limiter = RateLimiter("$1/day", "$0.60/call", clock=ManualClock())
    assert limiter.hit("u1", cost=0.5).allowed
    assert [limiter.hit("u1", cost=0.7).limit, limiter.hit("u1", cost=0.6).limit] == ["$0.60/call", "$1/day"]
    with limiter.reserve("u1", cost=0.5) as held:
        held.settle(cost=0.1)
    assert used(limiter) == [pytest.approx(0.6)]


def test_an_estimate_that_tells_tokens_alone_counts_no_money() -> None:
    with pytest.raises(GuardUnavailable, match=r"estimate=.*cost.*prices="):
        RateLimiter("$1/day", estimate=lambda _: 9).wrap(ScriptedChatModel("a")).invoke("hi", ME)
    free = RateLimiter("$1/day", estimate=lambda _: {"tokens": 9, "cost": 0.0}).wrap(ScriptedChatModel("a"))
    assert free.invoke("hi", ME).content == "a"


def test_messages_count_more_than_their_text() -> None:
    assert count_tokens([SystemMessage("be brief"), HumanMessage("hi")]) > count_tokens("hi")
