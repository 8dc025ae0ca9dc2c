"""The limiter in a chain: as a link, around a Runnable, nested, in batches and streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough, RunnableSequence

from langchain_guard import (
    Banned,
    ConfigError,
    Identity,
    IdentityRequired,
    Limit,
    Penalty,
    RateLimiter,
    RateLimitExceeded,
    collect_verdicts,
    on_refusal,
)
from langchain_guard.identity import hashed
from langchain_guard.testing import ManualClock, Reply, ScriptedChatModel
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Callable

ME = Identity(user="u1").config()
PROMPT = ChatPromptTemplate.from_template("{question}")


def used(limiter: RateLimiter, key: str = "u1") -> list[float]:
    return [row["used"] for row in limiter.usage(key)]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# -- as a link

CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "invoke": lambda chain, value: chain.invoke(value, ME),
    "ainvoke": lambda chain, value: run(chain.ainvoke(value, ME)),
    "stream": lambda chain, value: list(chain.stream(value, ME)),
    "astream": lambda chain, value: run(collect(chain.astream(value, ME))),
    "batch": lambda chain, value: chain.batch([value], ME),
    "abatch": lambda chain, value: run(chain.abatch([value], ME)),
    "transform": lambda chain, value: list(chain.transform(iter([value]), ME)),
    "events": lambda chain, value: run(collect(chain.astream_events(value, ME, version="v2"))),
}


@pytest.mark.parametrize("how", CALLS)
@pytest.mark.parametrize("form", ["link", "wrapped chain", "wrapped model"])
def test_every_way_of_calling_is_one_hit_and_a_refusal_calls_no_model(how: str, form: str, clock: ManualClock) -> None:
    model = ScriptedChatModel(Reply("hello ", "there"))
    limiter = RateLimiter("2/minute", clock=clock)
    chain = {
        "link": lambda: limiter | PROMPT | model,
        "wrapped chain": lambda: limiter.wrap(PROMPT | model),
        "wrapped model": lambda: PROMPT | limiter.wrap(model),
    }[form]()
    for count in (1.0, 2.0):
        CALLS[how](chain, {"question": "hi"})
        assert used(limiter) == [count]
    with pytest.raises(RateLimitExceeded) as caught:
        CALLS[how](chain, {"question": "hi"})
    assert (caught.value.retry_after, caught.value.limit, caught.value.key) == (60.0, "2/minute", hashed("u1"))
    assert "Try again in 60 s." in str(caught.value)
    assert model.calls == 2
    assert used(limiter) == [2.0]
    clock.advance(60)
    CALLS[how](chain, {"question": "hi"})
    assert model.calls == 3


def test_a_link_hands_on_the_same_object_and_any_value(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    for value in ("text", {"a": object()}, b"\xff", object(), None, [1]):
        assert limiter.invoke(value, ME) is value
    assert list(limiter.transform(iter(["a", "b"]), ME)) == ["a", "b"]
    assert used(limiter) == [7.0]


def test_a_stream_is_decided_before_its_first_chunk_is_pulled(clock: ManualClock) -> None:
    limiter = RateLimiter("1/minute", clock=clock)
    limiter.hit("u1")
    pulled = []

    def source() -> Any:
        pulled.append(1)
        yield "a"

    with pytest.raises(RateLimitExceeded):
        list(limiter.transform(source(), ME))
    assert pulled == []


def test_chunks_pass_one_by_one(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    seen = []

    def source() -> Any:
        for piece in "abc":
            seen.append(piece)
            yield piece

    chunks = limiter.transform(source(), ME)
    assert next(chunks) == "a"
    assert seen == ["a"]


# -- what settles must wrap

SETTLING = ["200k tokens/day", "$1/day", "2 concurrent", "9 input_tokens/minute"]
BUILT: dict[str, Callable[[RateLimiter, Any], Any]] = {
    "or": lambda limiter, model: limiter | model,
    "ror dict": lambda limiter, model: {"question": RunnablePassthrough()} | limiter,
    "ror function": lambda limiter, model: (lambda x: x) | limiter,
    "pipe": lambda limiter, model: limiter.pipe(model),
}
CALLED: dict[str, Callable[[RateLimiter, Any], Any]] = {
    "in the middle": lambda limiter, model: RunnableLambda(lambda x: x) | limiter | model,
    "with_config": lambda limiter, model: limiter.with_config(tags=["t"]) | model,
    "sequence": lambda limiter, model: RunnableSequence(limiter, model),
}


@pytest.mark.parametrize("limit", SETTLING)
@pytest.mark.parametrize("how", BUILT)
def test_a_link_that_would_have_to_settle_is_an_error_when_it_is_built(limit: str, how: str) -> None:
    limiter = RateLimiter("20/minute", limit, prices={"m": (1, 1)})
    with pytest.raises(ConfigError, match=r"limiter\.wrap\(model\)"):
        BUILT[how](limiter, ScriptedChatModel("hi"))


@pytest.mark.parametrize("how", CALLED)
@pytest.mark.parametrize("call", CALLS)
def test_where_python_does_not_let_us_it_is_one_at_the_first_call(how: str, call: str) -> None:
    limiter = RateLimiter("20/minute", tiers={"pro": ["9k tokens/minute"]})
    model = ScriptedChatModel("hi")
    chain = CALLED[how](limiter, model)
    with pytest.raises(ConfigError, match=r"limiter\.wrap\(model\)"):
        CALLS[call](chain, "hi")
    assert model.calls == 0


def test_requests_and_caps_make_a_link(clock: ManualClock) -> None:
    limiter = RateLimiter("20/minute", "30 input_tokens/call", clock=clock)
    chain = {"question": RunnablePassthrough()} | limiter | PROMPT | ScriptedChatModel("hi")
    assert chain.invoke("hello", ME).content == "hi"
    for call in ("invoke", "astream", "batch"):
        with pytest.raises(RateLimitExceeded) as caught:
            CALLS[call](chain, "long " * 50)
        assert (caught.value.retry_after, caught.value.limit) == (None, "30 input_tokens/call")
    assert "waiting does not help" in str(caught.value)
    assert used(limiter) == [1.0]


# -- around a Runnable


def test_a_wrapped_chat_model_is_a_chat_model(clock: ManualClock) -> None:
    limiter = RateLimiter("100 tokens/minute", "1 concurrent", clock=clock)
    model = limiter.wrap(ScriptedChatModel(Reply("hi", usage=(7, 5))))
    assert isinstance(model, ScriptedChatModel)
    model.invoke("hi", ME)
    assert used(limiter) == [12.0, 0.0]
    list(model.stream("hi", ME))
    run(model.ainvoke("hi", ME))
    run(collect(model.astream("hi", ME)))
    assert used(limiter) == [48.0, 0.0]


def test_wrap_covers_x_and_nothing_else(clock: ManualClock) -> None:
    limiter = RateLimiter("1000 tokens/minute", "1 concurrent", clock=clock)
    model, other = ScriptedChatModel(Reply("a", usage=(7, 5))), ScriptedChatModel(Reply("b", usage=(70, 50)))
    seen = []
    chain = limiter.wrap(model) | RunnableLambda(lambda m: (seen.append(used(limiter)), m.content)[1]) | other
    chain.invoke("hi", ME)
    assert seen == [[12.0, 0.0]]
    assert used(limiter) == [12.0, 0.0]


def test_an_agent_of_several_calls_is_one_request_and_the_sum_of_their_usage(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", "1000 tokens/minute", clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(7, 5)))
    chain = limiter.wrap(RunnableLambda(lambda x: [model.invoke(x), *model.batch([x, x]), *model.stream(x)]))
    chain.invoke("hi", ME)
    assert used(limiter) == [1.0, 48.0]
    run(chain.ainvoke("hi", ME))
    assert used(limiter) == [2.0, 96.0]


def test_retries_inside_are_one_request_and_outside_one_each(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    answers = [ConnectionError("down"), ConnectionError("down"), Reply("hi")] * 2
    model = ScriptedChatModel(answers)
    retried = {"stop_after_attempt": 3, "wait_exponential_jitter": False}
    limiter.wrap(model.with_retry(**retried)).invoke("hi", ME)
    assert used(limiter) == [1.0]
    limiter.wrap(model).with_retry(**retried).invoke("hi", ME)
    assert used(limiter) == [4.0]


def test_fallbacks_inside_are_one_request(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    model = ScriptedChatModel([ConnectionError("down")]).with_fallbacks([ScriptedChatModel("hi")])
    assert limiter.wrap(model).invoke("hi", ME).content == "hi"
    assert used(limiter) == [1.0]


# -- nested use counts once

NESTED: dict[str, Callable[[RateLimiter, Any], Any]] = {
    "link in a wrapped chain": lambda limiter, model: limiter.wrap(limiter | model),
    "wrapped model in a wrapped chain": lambda limiter, model: limiter.wrap(PROMPT_OF_TEXT | limiter.wrap(model)),
    "inside a function": lambda limiter, model: limiter.wrap(RunnableLambda(lambda x: (limiter | model).invoke(x))),
    "of a copy": lambda limiter, model: limiter.wrap(RunnablePassthrough() | limiter.model_copy().wrap(model)),
}
PROMPT_OF_TEXT = RunnableLambda(lambda x: x)


@pytest.mark.parametrize("how", NESTED)
@pytest.mark.parametrize("call", [c for c in CALLS if "batch" not in c])
def test_nested_use_counts_once(how: str, call: str, clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    chain = NESTED[how](limiter, ScriptedChatModel("hi"))
    CALLS[call](chain, "hi")
    assert used(limiter) == [1.0]


def test_nested_tokens_count_once(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", "1000 tokens/minute", "1 concurrent", clock=clock)
    model = limiter.wrap(ScriptedChatModel(Reply("a", usage=(7, 5))))
    chain = limiter.wrap(RunnableLambda(lambda x: model.invoke(x)) | RunnableLambda(lambda x: model.invoke([x])))
    chain.invoke("hi", ME)
    assert used(limiter) == [1.0, 24.0, 0.0]
    chain.batch(["a", "b"], {**ME, "max_concurrency": 1})
    assert used(limiter) == [3.0, 72.0, 0.0]


def test_another_limiter_or_another_caller_inside_counts_for_itself(clock: ManualClock) -> None:
    limiter, other = (RateLimiter("9/minute", clock=clock) for _ in range(2))
    stranger = Identity(user="u2").config()
    inner = other | RunnableLambda(lambda x, config: limiter.invoke(x, {**config, **stranger}))
    limiter.wrap(inner).invoke("hi", ME)
    assert (used(limiter), used(limiter, "u2"), used(other)) == ([1.0], [1.0], [1.0])


def test_two_links_in_a_row_are_two_requests(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    (limiter | RunnablePassthrough() | limiter).invoke("hi", ME)
    assert used(limiter) == [2.0]


def test_a_context_left_over_from_an_ended_call_counts_anew(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    kept: list[Any] = []
    limiter.wrap(RunnableLambda(lambda x, config: kept.append(config))).invoke("hi", ME)
    limiter.invoke("later", kept[0])
    assert used(limiter) == [2.0]


# -- batches


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("form", ["link", "wrapped chain", "wrapped model"])
def test_a_batch_is_admitted_whole_or_not_at_all(form: str, asynchronous: bool, clock: ManualClock) -> None:
    limiter, model = RateLimiter("3/minute", clock=clock), ScriptedChatModel("hi")
    chain = {
        "link": lambda: limiter | model,
        "wrapped chain": lambda: limiter.wrap(RunnablePassthrough() | model),
        "wrapped model": lambda: limiter.wrap(model),
    }[form]()

    def batch(n: int, **kwargs: Any) -> Any:
        values = ["x"] * n
        return run(chain.abatch(values, ME, **kwargs)) if asynchronous else chain.batch(values, ME, **kwargs)

    limiter.hit("u1")
    with collect_verdicts() as verdicts, pytest.raises(RateLimitExceeded) as caught:
        batch(3)
    assert caught.value.retry_after == 60.0
    assert [verdict.action for verdict in verdicts] == ["block"]
    assert (used(limiter), model.calls) == ([1.0], 0)
    assert len(batch(2)) == 2
    assert (used(limiter), model.calls) == ([3.0], 2)
    clock.advance(60)
    results = batch(5, return_exceptions=True)
    assert sum(isinstance(result, RateLimitExceeded) for result in results) == 2
    assert used(limiter) == [3.0]


def test_a_batch_of_many_callers_is_whole_too(clock: ManualClock) -> None:
    limiter = RateLimiter("2/minute", Limit(5, 60, scope="global"), clock=clock)
    chain = limiter | RunnablePassthrough()
    configs = [Identity(user=user).config() for user in "aab"]
    assert chain.batch([1, 2, 3], configs) == [1, 2, 3]
    with pytest.raises(RateLimitExceeded):
        chain.batch([1, 2, 3], [Identity(user=user).config() for user in "bcd"])
    assert (used(limiter, "b"), used(limiter, "c")) == ([1.0, 3.0], [0.0, 3.0])
    assert chain.batch([1, 2], [Identity(user=user).config() for user in "bc"]) == [1, 2]


def test_a_batch_settles_item_by_item(clock: ManualClock) -> None:
    limiter = RateLimiter("1000 tokens/minute", clock=clock)
    model = ScriptedChatModel(Reply("a", usage=(7, 5)))
    limiter.wrap(RunnablePassthrough() | model).batch(["x"] * 4, ME)
    assert used(limiter) == [48.0]


def test_an_item_that_fails_keeps_its_reservation_and_the_others_settle(clock: ManualClock) -> None:
    limiter = RateLimiter("1000 tokens/minute", estimate=lambda _: 100, clock=clock)
    model = ScriptedChatModel([Reply("a", usage=(7, 5)), ConnectionError("down"), Reply("a", usage=(7, 5))])
    with pytest.raises(ConnectionError):
        limiter.wrap(RunnablePassthrough() | model).batch(["x"] * 3, {**ME, "max_concurrency": 1})
    assert used(limiter) == [124.0]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_batch_takes_a_place_for_every_item_or_none(asynchronous: bool, clock: ManualClock) -> None:
    limiter = RateLimiter("100/minute", "3 concurrent", clock=clock)
    ran: list[int] = []
    chain = limiter.wrap(RunnableLambda(lambda x: ran.append(x) or x))

    def batch(values: list[int], **config: Any) -> Any:
        config = {**ME, **config}
        return run(chain.abatch(values, config)) if asynchronous else chain.batch(values, config)

    def used() -> list[float]:
        return [row["used"] for row in limiter.usage("u1")]

    with limiter.reserve("u1"):
        with pytest.raises(RateLimitExceeded) as caught:
            batch([1, 2, 3])
        assert (caught.value.limit, ran, used()) == ("3 concurrent", [], [1.0, 1.0])
        assert batch([1, 2]) == [1, 2]
        assert used() == [3.0, 1.0]
    assert batch([1, 2, 3]) == [1, 2, 3]
    assert batch([1, 2, 3, 4, 5], max_concurrency=1) == [1, 2, 3, 4, 5]
    assert used() == [11.0, 0.0]


def test_a_batch_holds_its_places_while_it_runs_and_no_longer(clock: ManualClock) -> None:
    limiter = RateLimiter("3 concurrent", clock=clock)
    seen: list[float] = []

    async def look(value: int) -> int:
        seen.append(limiter.usage("u1")[0]["used"])
        if value == 0:
            raise ZeroDivisionError
        return value

    chain = limiter.wrap(RunnableLambda(look))
    assert run(chain.abatch([1, 2, 3], ME)) == [1, 2, 3]
    assert seen[0] == 3.0
    with pytest.raises(ZeroDivisionError):
        run(chain.abatch([1, 0, 2], ME))
    assert limiter.usage("u1")[0]["used"] == 0.0


def test_a_batch_of_many_callers_needs_places_for_all(clock: ManualClock) -> None:
    everybody = Limit(3, None, "concurrent", scope="global")
    limiter = RateLimiter("2 concurrent", "9/minute", everybody, clock=clock)
    chain = limiter.wrap(RunnablePassthrough())
    configs = [Identity(user=user).config() for user in "aabb"]
    with limiter.reserve("c"):
        with pytest.raises(RateLimitExceeded) as caught:
            chain.batch([1, 2, 3], configs[:3])
        assert caught.value.limit == "3 concurrent"
        assert [limiter.usage(key)[1]["used"] for key in "ab"] == [0.0, 0.0]
    assert chain.batch([1, 2, 3], configs[:3]) == [1, 2, 3]
    assert limiter.usage("global")[0]["used"] == 0.0


def test_a_batch_that_is_cancelled_while_it_asks_leaves_nothing(clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", "3 concurrent", clock=clock)
    asked = limiter.store.areserve
    tickets: list[Any] = []

    async def work() -> None:
        third = asyncio.Event()

        async def slow(*args: Any) -> Any:
            if len(tickets) == 2:
                third.set()
                await asyncio.sleep(60)
            tickets.append(await asked(*args))
            return tickets[-1]

        limiter.store.areserve = slow
        task = asyncio.create_task(limiter.wrap(RunnablePassthrough()).abatch([1, 2, 3], ME))
        await third.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(work())
    assert [row["used"] for row in limiter.usage("u1")] == [0.0, 0.0]


def test_waiting_batches_go_item_by_item(clock: ManualClock) -> None:
    limiter = RateLimiter("1/second", on_limit="wait", clock=clock)
    seen: list[float] = []
    chain = limiter.wrap(RunnableLambda(lambda x: (seen.append(clock()), x)[1]))
    assert chain.batch([1, 2, 3], {**ME, "max_concurrency": 1}) == [1, 2, 3]
    assert seen == [0.0, 1.0, 2.0]


# -- what is reported


class Watch(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[Any] = []
        self.names: list[str] = []

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.events.append((name, data))

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.names.append(kwargs["name"])


def test_every_decision_is_an_event_without_the_callers_name(clock: ManualClock) -> None:
    watch = Watch()
    config = {"configurable": {"user_id": "alice@example.com"}, "callbacks": [watch]}
    chain = RateLimiter("1/minute", clock=clock, name="Gate") | RunnablePassthrough()
    chain.invoke("hi", config)
    with pytest.raises(RateLimitExceeded) as caught:
        chain.invoke("hi", config)
    assert watch.names == ["RunnableSequence", "Gate", "RunnablePassthrough", "RunnableSequence", "Gate"]
    (first, admitted), (second, refused) = watch.events
    assert first == second == "langchain_guard.verdict"
    key = hashed("alice@example.com")
    assert (admitted["action"], admitted["details"]["remaining"]) == ("allow", 0.0)
    assert refused["details"] == {
        "limit": "1/minute", "retry_after": 60.0, "remaining": 0.0, "key": key, "source": "memory"
    }  # fmt: skip
    assert "alice" not in f"{watch.events}{caught.value!r}{caught.value}{caught.value.verdict}"


def test_flag_reports_and_lets_pass(clock: ManualClock) -> None:
    limiter = RateLimiter("1/minute", "50 tokens/minute", on_limit="flag", penalty=Penalty(strikes=1), clock=clock)
    model = ScriptedChatModel(Reply("hi", usage=(7, 5)))
    chain = limiter.wrap(model)
    with collect_verdicts() as verdicts:
        for _ in range(4):
            chain.invoke("hi", ME)
    assert [verdict.action for verdict in verdicts] == ["allow", "flag", "flag", "flag"]
    assert verdicts[1].findings[0].rule == "1/minute"
    assert (model.calls, used(limiter)) == (4, [1.0, 12.0])
    assert limiter.check("hi", ME).action == "flag"


def test_check_is_a_peek(clock: ManualClock) -> None:
    limiter = RateLimiter("1/minute", clock=clock)
    assert [limiter.check("hi", ME).action for _ in range(3)] == ["allow"] * 3
    limiter.invoke("hi", ME)
    verdict = limiter.check("hi", ME)
    assert (verdict.action, verdict.score, verdict.details["retry_after"]) == ("block", None, 60.0)
    assert run(limiter.acheck("hi", ME)).blocked
    assert used(limiter) == [1.0]


def test_refusals_under_one_run_are_one_strike_whichever_limit_refused(clock: ManualClock) -> None:
    limits = ("2/minute", Limit(1, 1, scope="global"))
    limiter = RateLimiter(*limits, clock=clock, penalty=Penalty(strikes=2), name="Limits")

    def ask(value: str, config: Any) -> list[str | None]:
        refused: list[str | None] = []
        for _ in range(2):
            assert limiter.hit("u1").allowed
            with pytest.raises(RateLimitExceeded) as caught:
                limiter.invoke(value, config)
            refused.append(caught.value.limit)
            clock.advance(1)
        return refused

    assert RunnableLambda(ask).invoke("a", ME) == ["1/second", "2/minute"]
    assert not limiter.peek("u1").banned


def test_refusals_under_one_run_are_one_strike(clock: ManualClock) -> None:
    limiter = RateLimiter("1/minute", penalty=Penalty(strikes=2, timeout=500), clock=clock)
    limiter.hit("u1")
    guarded = limiter.wrap(RunnablePassthrough())
    with pytest.raises(RateLimitExceeded) as caught:
        guarded.with_retry(stop_after_attempt=4, wait_exponential_jitter=False).invoke("hi", ME)
    assert not isinstance(caught.value, Banned)
    polite = on_refusal(guarded, "later")
    with pytest.raises(Banned) as banned:
        guarded.invoke("hi", ME)
    assert banned.value.retry_after == 500.0
    assert polite.invoke("hi", ME).content == "later"


def test_a_refused_batch_is_one_strike(clock: ManualClock) -> None:
    limiter = RateLimiter("1/minute", penalty=Penalty(strikes=2, timeout=500), clock=clock)
    for kind in (RateLimitExceeded, Banned):
        with pytest.raises(RateLimitExceeded) as caught:
            (limiter | RunnablePassthrough()).batch(["x"] * 6, ME)
        assert type(caught.value) is kind


# -- who calls

CALLERS = [
    ({"user_id": "u1", "client_ip": "192.0.2.1"}, "u1"),
    ({"user_id": 17}, "17"),
    ({"client_ip": "192.0.2.1"}, "ip:192.0.2.1"),
    ({"client_ip": "::ffff:192.0.2.1"}, "ip:192.0.2.1"),
    ({"client_ip": "2001:db8:0:1:aaaa::1"}, "ip:2001:db8:0:1::/64"),
    ({"client_ip": "no address"}, "anonymous"),
    ({"user_id": "ip:192.0.2.1"}, "user:ip:192.0.2.1"),
    ({"user_id": "global"}, "user:global"),
    ({"user_id": "anonymous"}, "user:anonymous"),
    ({"user_id": ""}, "anonymous"),
    ({"user_id": None}, "anonymous"),
    ({}, "anonymous"),
]


@pytest.mark.parametrize(("configurable", "key"), CALLERS)
def test_whose_call_it_is(configurable: dict[str, Any], key: str, clock: ManualClock) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    limiter.invoke("hi", {"configurable": configurable})
    assert used(limiter, key) == [1.0]
    assert len(limiter.store) == 1


def test_key_by_address_or_by_a_callable(clock: ManualClock) -> None:
    config = {"configurable": {"user_id": "u1", "client_ip": "192.0.2.1", "org": "acme"}}
    by_address = RateLimiter("9/minute", key="client_ip", clock=clock)
    by_address.invoke("hi", config)
    assert used(by_address, "ip:192.0.2.1") == [1.0]
    by_org = RateLimiter("9/minute", key=lambda c: c["configurable"].get("org"), clock=clock)
    by_org.invoke("hi", config)
    by_org.invoke("hi", {"configurable": {}})
    by_org.invoke("hi", {"configurable": {"org": "global"}})
    assert [used(by_org, key) for key in ("acme", "anonymous", "user:global")] == [[1.0]] * 3


def test_the_shared_key_is_warned_of_once(clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    limiter = RateLimiter("9/minute", clock=clock)
    for _ in range(3):
        limiter.invoke("hi")
    assert len(caplog.records) == 1
    assert "require='caller'" in caplog.text


REQUIRE = [
    ("caller", {}, True),
    ("caller", {"client_ip": "192.0.2.1"}, False),
    ("caller", {"user_id": "u1"}, False),
    ("account", {"client_ip": "192.0.2.1"}, True),
    ("account", {"user_id": "u1"}, False),
    ("verified", {"user_id": "u1"}, True),
    ("verified", {"user_id": "u1", "verified": True}, True),
    ("verified", {"identity": {"user": "u1", "verified": True}}, True),
    ("verified", {"identity": Identity(user="u1")}, True),
    ("verified", {"identity": Identity(user="u1", verified=True)}, False),
]


@pytest.mark.parametrize(("require", "configurable", "refused"), REQUIRE)
def test_require(require: str, configurable: dict[str, Any], refused: bool, clock: ManualClock) -> None:
    limiter, model = RateLimiter("9/minute", require=require, clock=clock), ScriptedChatModel("hi")
    chain, config = limiter | model, {"configurable": configurable}
    assert limiter.check("hi", config).blocked is refused
    if not refused:
        chain.invoke("hi", config)
        return
    with pytest.raises(IdentityRequired, match="requires"):
        chain.invoke("hi", config)
    with pytest.raises(IdentityRequired):
        run(collect(chain.astream("hi", config)))
    assert model.calls == 0


def test_identify_names_the_caller_another_way(clock: ManualClock) -> None:
    limiter = RateLimiter(
        "9/minute",
        tiers={"pro": ["99/minute"]},
        identify=lambda config: Identity(user=config["metadata"]["who"], tier="pro"),
        clock=clock,
    )
    limiter.invoke("hi", {"metadata": {"who": "u7"}})
    assert limiter.usage("u7", tier="pro")[0]["amount"] == 99.0
    assert limiter.usage("u7")[0]["used"] == 1.0


TIERS = {"anonymous": ["1/minute"], "account": ["2/minute"], "verified": ["3/minute"], "pro": ["4/minute"]}


@pytest.mark.parametrize(
    ("identity", "admitted"),
    [
        (Identity(), 1),
        (Identity(ip="192.0.2.1"), 1),
        (Identity(user="u1"), 2),
        (Identity(user="u1", verified=True), 3),
        (Identity(user="u1", tier="pro"), 4),
        (Identity(user="u1", tier="gold"), 2),
        (Identity(user="u1", tier="gold", verified=True), 3),
    ],
)
def test_tiers(identity: Identity, admitted: int, clock: ManualClock) -> None:
    limiter = RateLimiter(tiers=TIERS, clock=clock)
    results = limiter.batch(["x"] * 6, identity.config(), return_exceptions=True)
    assert sum(result == "x" for result in results) == admitted


def test_a_kind_of_caller_without_limits_has_those_of_strangers(clock: ManualClock) -> None:
    limiter = RateLimiter(tiers={"anonymous": ["1/minute"], "pro": ["4/minute"]}, clock=clock)
    limiter.invoke("a", ME)
    with pytest.raises(RateLimitExceeded):
        limiter.invoke("b", ME)
    assert [limiter.hit("u2").allowed for _ in range(2)] == [True, False]


def test_who_is_named_by_the_applications_key_has_an_account(clock: ManualClock) -> None:
    limiter = RateLimiter(tiers=TIERS, key=lambda config: config["configurable"].get("tenant"), clock=clock)
    tenant: Any = {"configurable": {"tenant": "t1"}}
    for _ in range(2):
        limiter.invoke("a", tenant)
    assert not limiter.hit("t1").allowed


def test_an_address_by_hand_is_the_address_of_a_call(clock: ManualClock) -> None:
    limiter = RateLimiter("2/minute", clock=clock)
    limiter.invoke("a", Identity(ip="2001:db8::1").config())
    assert limiter.hit("ip:2001:db8::2").remaining == 0.0
    assert limiter.usage("ip:2001:db8::/64")[0]["used"] == 2.0
    limiter.ban("ip:2001:db8::3", 60)
    with pytest.raises(Banned):
        limiter.invoke("a", Identity(ip="2001:db8::4").config())


def test_a_tier_takes_the_place_of_user_limits_and_everybodys_limits_stay(clock: ManualClock) -> None:
    limiter = RateLimiter("1/minute", Limit(5, 60, scope="global"), tiers={"pro": ["9/minute"]}, clock=clock)
    pro = Identity(user="p", tier="pro").config()
    assert sum(r == "x" for r in limiter.batch(["x"] * 9, pro, return_exceptions=True)) == 5
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.invoke("x", ME)
    assert caught.value.limit == "5/minute"
    clock.advance(60)
    limiter.invoke("x", ME)
    with pytest.raises(RateLimitExceeded) as caught:
        limiter.invoke("x", ME)
    assert caught.value.limit == "1/minute"


def test_who_changes_the_tier_keeps_what_was_used(clock: ManualClock) -> None:
    limiter = RateLimiter("2/minute", tiers={"pro": ["3/minute"]}, clock=clock)
    for _ in range(2):
        limiter.invoke("x", ME)
    pro = Identity(user="u1", tier="pro").config()
    limiter.invoke("x", pro)
    with pytest.raises(RateLimitExceeded):
        limiter.invoke("x", pro)


def test_one_limiter_serves_many_callers_at_a_time(clock: ManualClock) -> None:
    limiter = RateLimiter("2/minute", clock=clock)
    chain = limiter.wrap(RunnableLambda(lambda x: x))
    users = [f"u{i % 20}" for i in range(100)]
    results = chain.batch(users, [Identity(user=user).config() for user in users], return_exceptions=True)
    assert sum(isinstance(result, str) for result in results) == 40

    async def many() -> list[Any]:
        clock.advance(60)
        calls = (chain.ainvoke(user, Identity(user=user).config()) for user in users)
        return await asyncio.gather(*calls, return_exceptions=True)

    assert sum(isinstance(result, str) for result in run(many())) == 40
