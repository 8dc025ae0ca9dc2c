"""Limits: what their spellings mean, and what bad ones are told."""

from __future__ import annotations

import pytest

from langchain_guard import ConfigError, Limit
from langchain_guard.rate_limit.limits import as_limit, as_limits, capped, costs, over_cap, parse


@pytest.mark.parametrize(
    ("text", "amount", "period", "measure"),
    [
        ("20/minute", 20, 60, "requests"),
        ("20/minutes", 20, 60, "requests"),
        ("20 requests/minute", 20, 60, "requests"),
        ("40/10 seconds", 40, 10, "requests"),
        ("1/0.05 seconds", 1, 0.05, "requests"),
        ("5/second", 5, 1, "requests"),
        ("1000/day", 1000, 86400, "requests"),
        ("3/week", 3, 604800, "requests"),
        ("1.5k/2 hours", 1500, 7200, "requests"),
        ("200k tokens/day", 200_000, 86400, "tokens"),
        ("2M input_tokens/hour", 2_000_000, 3600, "input_tokens"),
        ("10 output_tokens/second", 10, 1, "output_tokens"),
        ("$1/day", 1, 86400, "cost"),
        ("$0.25/hour", 0.25, 3600, "cost"),
        ("0.5 cost/hour", 0.5, 3600, "cost"),
        (" 20 / minute ", 20, 60, "requests"),
        ("2 concurrent", 2, None, "concurrent"),
        ("1k concurrent", 1000, None, "concurrent"),
        ("8k input_tokens/call", 8000, "call", "input_tokens"),
        ("4k tokens/call", 4000, "call", "tokens"),
        ("$0.01/call", 0.01, "call", "cost"),
    ],
)
def test_spelling(text: str, amount: float, period: object, measure: str) -> None:
    limit = parse(text)
    assert (limit.amount, limit.period, limit.measure, limit.scope) == (amount, period, measure, "user")
    assert str(limit) == text.strip()
    assert as_limit(limit.plain()) == limit


@pytest.mark.parametrize(
    "text",
    ["", "20", "20/", "/minute", "20/fortnight", "-1/minute", "0/minute", "20 apples/minute", "20/minute/hour", "nan/day",
     "1.5 concurrent", "concurrent", "2 concurrent/minute", "20/call", "$5 tokens/day", "20m/minute", "inf/day",
     "20/0 seconds", "0.5/minute", "20 concurrent/call", "20/2 call"],
)  # fmt: skip
def test_bad_spelling(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


@pytest.mark.parametrize(
    ("kwargs", "word"),
    [
        ({"amount": -1, "period": 60}, "amount=-1"),
        ({"amount": 0, "period": 60}, "amount=0"),
        ({"amount": True, "period": 60}, "amount=True"),
        ({"amount": float("inf"), "period": 60}, "amount=inf"),
        ({"amount": float("nan"), "period": 60}, "amount=nan"),
        ({"amount": "20", "period": 60}, "amount='20'"),
        ({"amount": 20, "period": 0}, "period=0"),
        ({"amount": 20}, "period=None"),
        ({"amount": 20, "period": -1}, "period=-1"),
        ({"amount": 20, "period": "minute"}, "period='minute'"),
        ({"amount": 20, "period": 60, "measure": "apples"}, "measure='apples'"),
        ({"amount": 20, "period": 60, "scope": "planet"}, "scope='planet'"),
        ({"amount": 2, "period": 60, "measure": "concurrent"}, "no period"),
        ({"amount": 20, "period": "call"}, "one request"),
    ],
)
def test_bad_limit_names_argument_and_value(kwargs: dict[str, object], word: str) -> None:
    with pytest.raises(ConfigError, match="Limit") as caught:
        Limit(**kwargs)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        (Limit(20, 60), "20/minute"),
        (Limit(5, 0.5), "5/0.5 seconds"),
        (Limit(40, 10), "40/10 seconds"),
        (Limit(3, 7200), "3/2 hours"),
        (Limit(200, 86400, "tokens"), "200 tokens/day"),
        (Limit(1, 86400, "cost"), "$1/day"),
        (Limit(1e-7, 60, "cost"), "$0.0000001/minute"),
        (Limit(3, 1e-5), "3/0.00001 seconds"),
        (Limit(2, None, "concurrent"), "2 concurrent"),
        (Limit(8000, "call", "input_tokens"), "8000 input_tokens/call"),
    ],
)
def test_every_limit_spells_itself(limit: Limit, text: str) -> None:
    assert str(limit) == text
    assert parse(text) == limit


def test_a_scoped_limit_is_data() -> None:
    limit = Limit(1000, 60, scope="global")
    assert as_limit(limit.plain()) == limit
    with pytest.raises(ConfigError, match="'unit'; it has amount, measure, period, scope"):
        as_limit({"amount": 1, "unit": "minute"})
    with pytest.raises(ConfigError, match="amount, period, measure, scope, not period"):
        as_limit({"period": 60})
    with pytest.raises(ConfigError, match="not int"):
        as_limit(20)


def test_limits_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ConfigError, match="'20/minute' and '30/60 seconds' contradict"):
        as_limits(["20/minute", "30/60 seconds"])
    assert len(as_limits(["20/minute", Limit(30, 60, scope="ip"), "30 tokens/minute", "30/hour"])) == 4


@pytest.mark.parametrize("amount", [-1, float("inf"), float("nan"), True])
def test_amounts_of_a_call_are_finite_and_not_negative(amount: float) -> None:
    with pytest.raises(ValueError, match="tokens="):
        costs(1, tokens=amount)


def test_parts_add_up_to_tokens() -> None:
    assert costs(1, input_tokens=30, output_tokens=12)[1] == 42
    assert costs(1, tokens=50, input_tokens=30)[1] == 50


def test_an_estimate_is_cut_to_the_smallest_window_of_its_measure() -> None:
    limits = as_limits(["100 tokens/minute", "50 tokens/hour", "20 input_tokens/call", "$1/day"])
    assert capped(costs(1, 1024, 900, 124, 3.0), limits) == (1, 50, 900, 124, 1.0, 0)


def test_cap_on_one_call() -> None:
    limits = as_limits(["8k input_tokens/call", "20/minute"])
    assert over_cap(limits, costs(1, input_tokens=8000)) is None
    assert str(over_cap(limits, costs(1, input_tokens=8001))) == "8k input_tokens/call"
