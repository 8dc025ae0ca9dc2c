"""Verdicts and errors: plain records that hold no text, survive pickling, and have no truth value."""

from __future__ import annotations

import pickle

import pytest

from langchain_guard import (
    Banned,
    ConfigError,
    Finding,
    GuardError,
    GuardUnavailable,
    IdentityRequired,
    InjectionDetected,
    OutputBlocked,
    RateLimitExceeded,
    Refused,
    ToolDenied,
    Verdict,
)
from langchain_guard.verdict import worst

TWO = Verdict(
    "G", "redact", (Finding("email", "email", 5, 8), Finding("x<y", "z", 7, 10, 0.5, "content")), details={"n": 1}
)


def test_a_verdict_has_no_truth_value():
    with pytest.raises(TypeError, match=r"verdict\.blocked"):
        bool(Verdict("G"))


@pytest.mark.parametrize(("action", "blocked"), [("allow", False), ("flag", False), ("redact", False), ("block", True)])
def test_blocked(action, blocked):
    assert Verdict("G", action).blocked is blocked


def test_records_are_one_row_per_finding():
    assert TWO.records() == [
        {"guard": "G", "action": "redact", "verdict_score": None, "rule": "email", "kind": "email", "start": 5, "end": 8, "score": 1.0, "where": ""},
        {"guard": "G", "action": "redact", "verdict_score": None, "rule": "x<y", "kind": "z", "start": 7, "end": 10, "score": 0.5, "where": "content"},
    ]  # fmt: skip
    assert Verdict("G").records() == [
        {"guard": "G", "action": "allow", "verdict_score": None, "rule": None, "kind": None, "start": None, "end": None, "score": None, "where": None}
    ]  # fmt: skip


def marked(*places: tuple[str, int, int]) -> Verdict:
    return Verdict("G", "block", tuple(Finding(rule, "k", start, end) for rule, start, end in places))


HIGHLIGHTS = {
    "clean": (Verdict("G"), "a<b", "", "a&lt;b"),
    "empty": (marked(("a", 0, 4)), "", "", ""),
    "marked": (TWO, "<i>t mail z", "", '&lt;i&gt;t <mark title="email">mai</mark>l z'),
    "where": (TWO, "0123456789", "content", '0123456<mark title="x&lt;y">789</mark>'),
    "crossing": (marked(("a", 0, 4), ("b", 2, 6)), "abcdefgh", "", '<mark title="a">ab</mark><mark title="a, b">cd</mark><mark title="b">ef</mark>gh'),
    "nested": (marked(("outer", 1, 7), ("inner", 3, 5)), "abcdefgh", "", 'a<mark title="outer">bc</mark><mark title="inner, outer">de</mark><mark title="outer">fg</mark>h'),
    "one place, two rules": (marked(("b", 1, 3), ("a", 1, 3)), "abcd", "", 'a<mark title="a, b">bc</mark>d'),
    "one rule twice": (marked(("a", 1, 3), ("a", 1, 3)), "abcd", "", 'a<mark title="a">bc</mark>d'),
    "same start": (marked(("a", 0, 1), ("b", 0, 3)), "abcd", "", '<mark title="a, b">a</mark><mark title="b">bc</mark>d'),
    "side by side": (marked(("a", 0, 2), ("a", 2, 4)), "abcd", "", '<mark title="a">ab</mark><mark title="a">cd</mark>'),
    "beyond the end": (marked(("a", 2, 9), ("b", 90, 95)), "abcd", "", 'ab<mark title="a">cd</mark>'),
    "of no length": (marked(("a", 2, 2)), "abcd", "", "abcd"),
}  # fmt: skip


@pytest.mark.parametrize(("verdict", "text", "where", "wanted"), HIGHLIGHTS.values(), ids=HIGHLIGHTS)
def test_highlight_escapes_and_marks(verdict, text, where, wanted):
    assert f'<pre style="white-space:pre-wrap">{wanted}</pre>' in verdict.highlight(text, where)


def test_a_verdict_shows_itself_in_a_notebook_escaped():
    shown = TWO._repr_html_()
    assert "<td>x&lt;y</td>" in shown
    assert "<td>5:8</td>" in shown


def test_payload_is_plain_data():
    assert Verdict("G", "flag", (Finding("r", "k", 1, 2),), 0.25, {"source": "user"}).payload() == {
        "guard": "G",
        "action": "flag",
        "score": 0.25,
        "findings": [{"rule": "r", "kind": "k", "start": 1, "end": 2, "score": 1.0, "where": ""}],
        "details": {"source": "user"},
    }


@pytest.mark.parametrize(
    ("actions", "wanted"), [([], "allow"), (["allow", "flag"], "flag"), (["block", "redact"], "block")]
)
def test_worst(actions, wanted):
    assert worst(actions) == wanted


BLOCKED = Verdict("G", "block", (Finding("r", "k", 1, 2),))
ERRORS = [
    ConfigError("no"),
    GuardUnavailable("down", guard="G", rule="unreadable", cause="OSError"),
    *(
        kind("G said no.", verdict=BLOCKED, advice="Wait.")
        for kind in (Refused, IdentityRequired, InjectionDetected, OutputBlocked, ToolDenied)
    ),
    *(
        kind(
            "G said no.", verdict=BLOCKED, guard="other", advice="Wait.", retry_after=2.5, limit="20/minute", key="ab12"
        )
        for kind in (RateLimitExceeded, Banned)
    ),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_the_tree():
    assert issubclass(ConfigError, (GuardError, ValueError))
    assert issubclass(GuardUnavailable, GuardError)
    assert issubclass(Refused, RuntimeError)
    assert issubclass(Banned, RateLimitExceeded)
    assert all(
        issubclass(kind, Refused)
        for kind in (IdentityRequired, RateLimitExceeded, InjectionDetected, OutputBlocked, ToolDenied)
    )


def test_a_refusal_says_who_why_and_what_next():
    error = ERRORS[2]
    assert (str(error), error.guard, error.verdict) == ("G said no. Wait.", "G", BLOCKED)
