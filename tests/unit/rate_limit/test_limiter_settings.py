"""What a limiter is told: bad settings name themselves, good ones travel in dumps, pickles and copies."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core._api import LangChainBetaWarning
from langchain_core.load import dumps, loads
from langchain_core.runnables import ConfigurableField, RunnablePassthrough

from langchain_guard import (
    ConfigError,
    Identity,
    Limit,
    MemoryStore,
    Penalty,
    RateLimiter,
    RateLimitExceeded,
    RedisStore,
)
from langchain_guard.testing import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

ME = Identity(user="u1").config()

BAD: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "needs a limit"),
    (("20/fortnight",), {}, "'20/fortnight'"),
    (("20/minute", "30/minute"), {}, "contradict"),
    ((5,), {}, "not int"),
    (("20/minute",), {"limits": ["5/minute"]}, "not both"),
    (("20/minute",), {"colour": "red"}, "'colour'"),
    (("20/minute",), {"key": ""}, "key"),
    (("20/minute",), {"key": "userid"}, "'userid'"),
    (("20/minute",), {"require": "admin"}, "'admin'"),
    (("20/minute",), {"on_limit": "explode"}, "'explode'"),
    (("20/minute",), {"max_wait": -1}, "max_wait=-1"),
    (("20/minute",), {"max_wait": float("inf")}, "max_wait=inf"),
    (("20/minute",), {"max_waiters": -1}, "max_waiters=-1"),
    (("20/minute",), {"local_share": 2}, "local_share=2"),
    (("20/minute",), {"on_store_error": "panic"}, "'panic'"),
    (("20/minute",), {"store": "redis://localhost"}, "MemoryStore or a RedisStore"),
    (("20/minute",), {"clock": 5}, "clock=5"),
    (("20/minute",), {"estimate": 5}, "estimate=5"),
    (("20/minute",), {"identify": "me"}, "identify='me'"),
    (("20/minute",), {"lease": 0}, "lease=0"),
    (("20/minute",), {"cached_weight": 1.5}, "cached_weight=1.5"),
    (("20/minute",), {"penalty": {"strikes": 0}}, "strikes=0"),
    (("20/minute",), {"penalty": 5}, "penalty=5"),
    (("20/minute",), {"prices": {"m": (1,)}}, "(input, output)"),
    (("20/minute",), {"prices": {"m": (1, -1)}}, "at least 0"),
    (("20/minute",), {"unknown_model": "free"}, "'free'"),
    (("20/minute",), {"tiers": ["5/minute"]}, "mapping"),
    (("20/minute",), {"tiers": {"pro": ["5/apples"]}}, "'5/apples'"),
    (("20/minute",), {"tiers": {"pro": []}}, "'pro'"),
    ((), {"tiers": {"pro": ["5/minute"]}}, "without any limit"),
    ((), {"tiers": {"account": ["5/minute"]}}, "'anonymous'"),
    ((), {"tiers": {"account": ["5/minute"]}, "require": "caller"}, "without any limit"),
    ((), {"tiers": {"pro": ["5/minute"]}, "require": "verified"}, "without any limit"),
]


@pytest.mark.parametrize(("limits", "kwargs", "word"), BAD)
def test_bad_settings_are_config_errors(limits: tuple[Any, ...], kwargs: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RateLimiter(*limits, **kwargs)
    assert word in str(caught.value)
    assert len(str(caught.value)) < 600


def test_accounts_alone_may_have_limits_if_accounts_are_required() -> None:
    RateLimiter(tiers={"account": ["5/minute"]}, require="account")
    RateLimiter(tiers={"verified": ["5/minute"]}, require="verified")
    RateLimiter("1/minute", tiers={"verified": ["5/minute"]})
    RateLimiter(Limit(9, 60, scope="global"), tiers={"pro": ["5/minute"]})


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan"), True, "60"])
def test_a_ban_lasts_a_positive_time(seconds: Any) -> None:
    with pytest.raises(ConfigError, match="seconds="):
        RateLimiter("5/minute").ban("u1", seconds)


@pytest.mark.parametrize("key", ["", None, 5])
def test_no_empty_keys(key: Any) -> None:
    limiter = RateLimiter("5/minute")
    for call in (
        limiter.hit,
        limiter.peek,
        limiter.usage,
        limiter.reset,
        limiter.unban,
        limiter.reserve,
        limiter.as_langchain,
    ):
        with pytest.raises(ConfigError, match="non-empty"):
            call(key)


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"requests": -1}, "requests=-1"),
        ({"requests": "2"}, "requests='2'"),
        ({"tokens": float("nan")}, "tokens=nan"),
        ({"input_tokens": -1, "output_tokens": 3}, "input_tokens=-1"),
        ({"cost": float("inf")}, "cost=inf"),
        ({"ip": "localhost"}, "IP address"),
        ({"ip": 5}, "address is a str"),
        ({"tier": ["pro"]}, "tier is a str"),
    ],
)
def test_no_bad_amounts_addresses_and_tiers(kwargs: dict[str, Any], word: str) -> None:
    limiter = RateLimiter("5/minute")
    for call in (limiter.hit, limiter.peek):
        with pytest.raises(ConfigError, match=word):
            call("u1", **kwargs)


def test_a_key_that_begins_like_an_address_is_one() -> None:
    limiter = RateLimiter("5/minute")
    for call in (limiter.hit, limiter.usage, limiter.reset, limiter.unban):
        with pytest.raises(ConfigError, match="IP address"):
            call("ip:somewhere")


def test_repr_is_short_and_names_the_limits() -> None:
    limiter = RateLimiter("20/minute", "$1/day", penalty=Penalty(), tiers={"pro": ["99/minute"]}, prices={"m": (1, 2)})
    assert repr(limiter).startswith("RateLimiter('20/minute', '$1/day'")
    assert len(repr(limiter)) < 400
    assert " at 0x" not in repr(limiter)


FULL: dict[str, Any] = {
    "limits": ["20/minute", "200k tokens/day", "2 concurrent", "8k input_tokens/call", Limit(1000, 60, scope="global")],
    "tiers": {"pro": ["99/minute", Limit(5, 1, scope="ip")]},
    "penalty": Penalty(strikes=3, timeout=7),
    "prices": {"m": (1.0, 2.0)},
    "on_limit": "wait",
    "max_wait": 5.0,
    "require": "caller",
    "key": "client_ip",
    "store": MemoryStore(max_keys=77, when_full="evict_oldest"),
}


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_dump_is_plain_data_and_loads_the_same_limiter_with_an_empty_store() -> None:
    limiter = RateLimiter(**FULL)
    limiter.hit("u1")
    text = dumps(limiter)
    assert json.loads(text)["kwargs"]["limits"][0] == "20/minute"
    assert LangChainBetaWarning is not None
    revived = loads(text, allowed_objects=[RateLimiter], valid_namespaces=["langchain_guard"])
    for name in ("limits", "tiers", "penalty", "prices", "on_limit", "max_wait", "require", "key"):
        assert getattr(revived, name) == getattr(limiter, name)
    assert (revived.store.max_keys, revived.store.when_full, len(revived.store)) == (77, "evict_oldest", 0)


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
@pytest.mark.parametrize("name", ["key", "identify", "estimate"])
def test_a_limiter_with_a_callable_does_not_load(name: str) -> None:
    text = dumps(RateLimiter("20/minute", **{name: lambda value: "u1"}))
    with pytest.raises((ConfigError, NotImplementedError)):
        loads(text, allowed_objects=[RateLimiter], valid_namespaces=["langchain_guard"])


@pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")
def test_a_limiter_on_a_server_loads_where_its_address_is_told() -> None:
    url = "redis://:hunter2@localhost:1"
    store = RedisStore(url, timeout=0.5, namespace="shop")
    text = dumps(RateLimiter("20/minute", store=store, on_store_error="closed"))
    assert "hunter2" not in text
    assert "localhost" not in text
    known: dict[str, Any] = {"allowed_objects": [RateLimiter], "valid_namespaces": ["langchain_guard"]}
    revived = loads(text, secrets_map={"LANGCHAIN_GUARD_REDIS_URL": url}, **known)
    assert (revived.store.url, revived.store.timeout, revived.store.namespace) == (store.url, 0.5, "shop")
    assert (revived.on_store_error, revived.limits) == ("closed", RateLimiter("20/minute").limits)
    for missing in ({}, {"LANGCHAIN_GUARD_REDIS_URL": ""}):
        with pytest.raises(ConfigError, match=r"store=.*LANGCHAIN_GUARD_REDIS_URL"):
            loads(text, secrets_map=missing, **known)
    with pytest.raises(ConfigError, match=r"url=\.\.\."):
        loads(text, secrets_map={"LANGCHAIN_GUARD_REDIS_URL": "http://localhost"}, **known)


def test_pickles_carry_settings_and_no_counts() -> None:
    limiter = RateLimiter(**FULL)
    limiter.hit("ip:192.0.2.1")
    revived = pickle.loads(pickle.dumps(limiter))
    assert revived == limiter or revived.limits == limiter.limits
    assert revived.usage("ip:192.0.2.1")[0]["used"] == 0.0
    assert revived.store.max_keys == 77


SHARED = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda limiter: limiter.model_copy(),
    "bind": lambda limiter: limiter.bind(),
    "with_config": lambda limiter: limiter.with_config(tags=["t"]),
    "with_retry": lambda limiter: limiter.with_retry(stop_after_attempt=1),
    "configurable_fields": lambda limiter: limiter.configurable_fields(max_wait=ConfigurableField(id="w")),
    "rebuilt": lambda limiter: limiter.configurable_fields(max_wait=ConfigurableField(id="w")).with_config(
        configurable={"w": 3.0}
    ),
    "configurable_alternatives": lambda limiter: limiter.configurable_alternatives(
        ConfigurableField(id="which"), other=RunnablePassthrough()
    ),
}


@pytest.mark.parametrize("how", SHARED)
def test_copies_count_together(how: str) -> None:
    limiter = RateLimiter("2/minute", clock=ManualClock())
    twin = SHARED[how](limiter)
    limiter.invoke("x", ME)
    twin.invoke("x", ME)
    with pytest.raises(RateLimitExceeded):
        twin.invoke("x", ME)


def test_limits_chosen_per_call_count_on() -> None:
    limiter = RateLimiter("2/minute", clock=ManualClock())
    chosen = limiter.configurable_fields(limits=ConfigurableField(id="limits"))
    chosen.invoke("x", ME)
    wider = {"configurable": {**ME["configurable"], "limits": ["3/minute"]}}
    chosen.invoke("x", wider)
    chosen.invoke("x", wider)
    with pytest.raises(RateLimitExceeded):
        chosen.invoke("x", wider)
    with pytest.raises(ConfigError):
        chosen.invoke("x", {"configurable": {**ME["configurable"], "limits": ["3/fortnight"]}})


def test_a_copy_with_other_limits_compiles_them() -> None:
    limiter = RateLimiter("1/minute", clock=ManualClock())
    limiter.hit("u1")
    wider = limiter.model_copy(update={"limits": (Limit(3, 60),)})
    assert wider.hit("u1").remaining == 1.0


def test_config_specs_are_the_two_plain_keys() -> None:
    chain = RateLimiter("2/minute") | RunnablePassthrough()
    assert sorted(spec.id for spec in chain.config_specs) == ["client_ip", "user_id"]


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: Penalty(zap=1), "strikes"),
        (lambda: Limit(1, 60, zap=1), "amount, measure, period, scope"),
        (lambda: Identity(user="u1", zap=1), "ip, scopes, tier, user, verified"),
        (lambda: MemoryStore(zap=1), "max_keys, when_full"),
        (lambda: RedisStore("redis://localhost", zap=1), "cluster, namespace, timeout, url"),
        (lambda: RateLimiter("1/minute", penalty={"zap": 1}), "strikes"),
        (lambda: RateLimiter({"amount": 1, "zap": 1}), "amount, measure, period, scope"),
    ],
)
def test_an_unknown_setting_is_named(make: Callable[[], object], names: str) -> None:
    with pytest.raises(ConfigError, match=f"no argument 'zap'; it has .*{names}"):
        make()
