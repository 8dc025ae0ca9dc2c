"""Each kind of Arg: what it allows, what it refuses, what it hands back."""

from __future__ import annotations

import asyncio
import enum
import math
import pickle
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scoped_kit import ANN

from langchain_guard import Arg, ConfigError, Identity
from langchain_guard.tool_scope.arg import MISSING, Asked, Violation


class Color(enum.Enum):
    RED = "red"


ALLOWED = [
    (Arg.any(), object),
    (Arg.any(), None),
    (Arg.enum("a", "b"), "b"),
    (Arg.enum(["a", "b"]), "a"),
    (Arg.enum(1, None), None),
    (Arg.enum(1), 1.0),
    (Arg.enum(True), True),
    (Arg.enum("red"), Color.RED),
    (Arg.enum(["x"], ["y"]), ["y"]),
    (Arg.range(1, 5), 1),
    (Arg.range(1, 5), 5.0),
    (Arg.range(None, 5), -1_000_000),
    (Arg.range(0), Decimal("1e30")),
    (Arg.range(0), 10**400),
    (Arg.regex(r"[a-z]+@corp\.example"), "ann@corp.example"),
    (Arg.absent(), None),
    (Arg.each(Arg.enum("a", "b")), ["a", "b", "a"]),
    (Arg.each(Arg.enum("a")), []),
    (Arg.each(Arg.enum("a")), ("a",)),
    (Arg.each(Arg.each(Arg.range(0, 9))), [[1], [2, 3]]),
    (Arg.text(3), "äöü"),
    (Arg.where(lambda v: v % 2 == 0), 4),
    (Arg.enum("a") | Arg.range(0, 1), "a"),
    (Arg.enum("a") | Arg.range(0, 1), 0.5),
    (Arg.text(9) & Arg.regex("a+"), "aaa"),
    (Arg.absent() | Arg.range(1, 5), 3),
]


@pytest.mark.parametrize(("arg", "value"), ALLOWED)
def test_allowed_values_come_back_as_they_are(arg: Arg, value: Any) -> None:
    verdict, canonical = arg.check(value)
    assert verdict.action == "allow"
    assert canonical is value


REFUSED = [
    (Arg.enum("a", "b"), "A", "enum"),
    (Arg.enum("a"), ["a"], "enum"),
    (Arg.enum(1), True, "enum"),
    (Arg.enum(True), 1, "enum"),
    (Arg.enum(0), False, "enum"),
    (Arg.enum([1]), [True], "enum"),
    (Arg.enum("a"), MISSING, "missing"),
    (Arg.range(0, 100), True, "range"),
    (Arg.range(0, 100), 10**400, "range"),
    (Arg.range(0, 100), Decimal("sNaN"), "range"),
    (Arg.range(0, 100), Decimal("-Infinity"), "range"),
    (Arg.range(0, 100), "5", "range"),
    (Arg.range(0, 100), math.nan, "range"),
    (Arg.range(0), math.inf, "range"),
    (Arg.range(0, 100), -1, "range"),
    (Arg.range(0, 100), 100.0000001, "range"),
    (Arg.range(0, 100), [5], "range"),
    (Arg.range(0, 100), None, "range"),
    (Arg.regex(r"[a-z]+@corp\.example"), "ann@corp.example.evil.test", "regex"),
    (Arg.regex(r"[a-z]+@corp\.example"), "x ann@corp.example", "regex"),
    (Arg.regex("a+$"), "a\n", "regex"),
    (Arg.regex("a*", max_chars=3), "aaaa", "regex"),
    (Arg.regex("5"), 5, "regex"),
    (Arg.absent(), "", "absent"),
    (Arg.absent(), 0, "absent"),
    (Arg.each(Arg.enum("a")), "a", "each"),
    (Arg.each(Arg.enum("a")), {"a": 1}, "each"),
    (Arg.each(Arg.enum("a")), ["a", "b"], "enum"),
    (Arg.each(Arg.enum("a"), max_items=2), ["a", "a", "a"], "each"),
    (Arg.each(Arg.text(5)), [["nested"]], "text"),
    (Arg.text(3), "four", "text"),
    (Arg.text(3), 4, "text"),
    (Arg.where(lambda v: v > 1), 0, "where"),
    (Arg.where(lambda v: v > 1), "text", "unavailable"),
    (Arg.enum("a") | Arg.range(0, 1), 2, "enum"),
    (Arg.absent() | Arg.range(1, 5), 9, "range"),
    (Arg.text(9) & Arg.regex("a+"), "b", "regex"),
]


@pytest.mark.parametrize(("arg", "value", "rule"), REFUSED)
def test_refused_values_name_their_rule_and_never_the_value(arg: Arg, value: Any, rule: str) -> None:
    with pytest.raises(Violation) as caught:
        arg.judge(value, Asked())
    assert caught.value.rule == rule
    verdict, canonical = arg.check(value)
    assert verdict.blocked
    assert canonical is None
    assert [finding.rule for finding in verdict.findings] == [rule]
    for text in ("evil.test", "nested", "four"):
        assert text not in repr(verdict)


def test_absent_is_the_tools_own_default_and_nothing_else() -> None:
    asked = Asked(default=["x"])
    assert Arg.absent().judge(["x"], asked) == ["x"]
    assert Arg.absent().judge(MISSING, asked) is MISSING
    for value in (None, [], ["y"]):
        with pytest.raises(Violation):
            Arg.absent().judge(value, asked)


@pytest.mark.parametrize("given_value", ["mallory", MISSING, None])
def test_fixed_overwrites_whatever_was_given(given_value: Any) -> None:
    assert Arg.fixed(lambda who: who.id).judge(given_value, Asked(ANN)) == "ann"
    assert Arg.fixed("/srv").judge(given_value, Asked()) == "/srv"


def test_fixed_where_the_value_runs_as_written_has_to_be_left_out_or_right() -> None:
    asked = Asked(ANN, verbatim=True)
    fixed = Arg.fixed(lambda who: who.id)
    assert fixed.judge("ann", asked) == "ann"
    assert fixed.judge(MISSING, asked) == "ann"
    with pytest.raises(Violation):
        fixed.judge("mallory", asked)


def test_fixed_refuses_a_caller_whom_it_cannot_tell() -> None:
    verdict, _ = Arg.fixed(lambda who: who.id).check("x", Identity(ip="203.0.113.9"))
    assert verdict.blocked
    assert Arg.fixed(lambda who: who.id[3]).check("x", ANN)[0].blocked, "a callable that raises has no value"


def test_fixed_hands_out_copies() -> None:
    value = ["a"]
    fixed = Arg.fixed(value)
    fixed.judge(MISSING, Asked()).append("b")
    assert fixed.judge(MISSING, Asked()) == ["a"]


def test_a_predicate_cannot_change_what_runs() -> None:
    value = [1, 2]

    def greedy(items: list[int]) -> bool:
        items.append(3)
        return True

    assert Arg.where(greedy).check(value)[1] == [1, 2]


def test_a_predicate_that_returns_an_awaitable_has_not_said_yes() -> None:
    async def later() -> bool:
        await asyncio.sleep(0)
        return True

    assert Arg.where(lambda _: later()).check(1)[0].blocked


def test_a_conjunction_judges_what_runs_with_every_part(tmp_path: Any) -> None:
    (tmp_path / "sub").mkdir()
    short = Arg.regex(r"sub/.*") & Arg.path(tmp_path)
    assert short.check("sub/a.txt")[0].blocked, "the real path does not have the form that the first part asks for"
    assert (Arg.path(tmp_path) & Arg.regex(r"/.*/sub/.*")).check("sub/a.txt")[1] == str(tmp_path / "sub" / "a.txt")


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: Arg.enum(), "at least one value"),
        (lambda: Arg.range(), "at least one bound"),
        (lambda: Arg.range(2, 1), "lo must not be above hi"),
        (lambda: Arg.range(0, math.nan), "finite number"),
        (lambda: Arg.range(True, 2), "finite number"),
        (lambda: Arg.regex("("), "not a valid regular expression"),
        (lambda: Arg.regex("(a+)+"), "inside another one"),
        (lambda: Arg.regex("a", max_chars=0), "positive int"),
        (lambda: Arg.each("text"), "must be an Arg"),
        (lambda: Arg.each(Arg.absent()), "makes no sense"),
        (lambda: Arg.text(0), "positive int"),
        (lambda: Arg.text(True), "positive int"),
        (lambda: Arg.where("no"), "must be callable"),
        (lambda: Arg.where(asyncio.sleep), "must be synchronous"),
        (lambda: Arg.fixed(asyncio.sleep), "must be synchronous"),
        (lambda: Arg.fixed(1) | Arg.enum(2), "cannot be one of several"),
    ],
)
def test_bad_rules_fail_when_they_are_built(build: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build()


@pytest.mark.parametrize("other", [None, 1, "x"])
def test_only_args_combine(other: Any) -> None:
    with pytest.raises(TypeError):
        Arg.any() & other
    with pytest.raises(TypeError):
        Arg.any() | other


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 8),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=3),
)
simple = st.one_of(
    st.just(Arg.any()),
    st.just(Arg.absent()),
    st.lists(st.one_of(st.integers(-2, 5), st.booleans(), st.text(max_size=1)), min_size=1).map(Arg.enum),
    st.tuples(st.integers(-3, 3), st.integers(3, 8)).map(lambda b: Arg.range(*b)),
    st.integers(1, 3).map(Arg.text),
    st.just(Arg.each(Arg.range(0, 2))),
)


def _holds(arg: Arg, value: Any) -> bool:
    return not arg.check(value)[0].blocked


@given(simple, simple, values)
def test_and_or_are_the_logical_ones(left: Arg, right: Arg, value: Any) -> None:
    assert _holds(left & right, value) == (_holds(left, value) and _holds(right, value))
    assert _holds(left | right, value) == (_holds(left, value) or _holds(right, value))


@given(simple, values)
def test_checks_are_stable_and_survive_pickling(arg: Arg, value: Any) -> None:
    verdict, canonical = arg.check(value)
    again, same = pickle.loads(pickle.dumps(arg)).check(value)
    assert again.action == verdict.action
    assert same is canonical


NARROWED = [
    (Arg.enum("a", "b"), {"type": "string"}, {"type": "string", "enum": ["a", "b"]}),
    (Arg.enum("a", "c"), {"type": "string", "enum": ["a", "b"]}, {"type": "string", "enum": ["a"]}),
    (Arg.range(1, 5), {"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 1, "maximum": 3}),
    (
        Arg.each(Arg.enum("a")),
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "string", "enum": ["a"]}},
    ),
    (Arg.enum("a") | Arg.enum("b"), {}, {"enum": ["a", "b"]}),
    (Arg.absent() | Arg.enum("b"), {"default": None}, {"default": None, "enum": ["b", None]}),
    (Arg.enum("a") | Arg.text(3), {"type": "string"}, {"type": "string"}),
    (Arg.range(0) & Arg.range(None, 4), {}, {"minimum": 0, "maximum": 4}),
    (Arg.regex("a"), {"type": "string"}, {"type": "string"}),
]


@pytest.mark.parametrize(("arg", "schema", "shown"), NARROWED)
def test_the_schema_is_narrowed_and_never_widened(arg: Arg, schema: dict[str, Any], shown: dict[str, Any]) -> None:
    before = repr(schema)
    assert arg.narrowed(schema) == shown
    assert repr(schema) == before
