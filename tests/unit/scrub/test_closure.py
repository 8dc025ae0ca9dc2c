"""Hold patterns, read off any expression: streamed is whole, and whole is what `re` finds."""

from __future__ import annotations

import re

import pytest
from cutting import cuts, pieces, streamed
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from langchain_guard.errors import ConfigError
from langchain_guard.patterns import compile_pattern
from langchain_guard.scrub.closure import bounded
from langchain_guard.scrub.finder import PatternFinder, Search
from langchain_guard.streaming import SpanScanner, _places

ATOMS = ["a", "b", "1", r"\.", r"\w", r"\d", "[ab]", "[^a]", ".", r"\s", "é", r"[\w.]", "K"]
COUNTS = ["", "", "?", "*", "+", "{1,3}", "{2}", "+?", "*?", "*+", "{0,2}?", "{2,}"]
EDGES = [r"\b", r"\B", "^", "(?m:^)", "(?<=a)", "(?<!b)", r"(?<![\w.])", "(?<=ab)", "(?<!^a)", r"(?<=\b)"]

atom = st.builds(str.__add__, st.sampled_from(ATOMS), st.sampled_from(COUNTS))


def _composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    sequence = st.lists(inner, min_size=1, max_size=3).map("".join)
    return st.one_of(
        st.builds("(?:{}|{}){}".format, sequence, sequence, st.sampled_from(["", "?", "{1,2}", "+"])),
        sequence.map("({})".format),
        sequence.map("(?={})".format),
        sequence.map("(?!{})".format),
        sequence.map("(?>{})".format),
        sequence.map("(?i:{})".format),
        st.sampled_from(EDGES),
    )


expressions = st.builds(
    "{}{}{}".format,
    st.sampled_from(["", "", "", "(?i)", "(?s)", "(?a)", "(?m)"]),
    st.lists(st.recursive(atom, _composed, max_leaves=6), min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "", r"\1"]),
)
texts = st.text(alphabet="ab1 \n.éKk", max_size=30)


def _render(text: str, span: object, exact: bool) -> str:
    return f"<{len(text)}>"


def _accepted(pattern: str, cap: int) -> None:
    try:
        compile_pattern(pattern, what="pattern", streamed=True, cap=cap)
    except ConfigError:
        assume(False)


@settings(max_examples=400)
@given(st.lists(expressions, min_size=1, max_size=3), texts, cuts, st.sampled_from([5, 40]))
def test_a_stream_gives_what_the_whole_text_gives(patterns: list[str], text: str, at: list[int], longest: int) -> None:
    for pattern in patterns:
        _accepted(pattern, longest)
    finder = PatternFinder([Search("r", "r", "redact", pattern, None, longest) for pattern in patterns])
    one = SpanScanner(finder, _render)
    whole = one.whole(text)
    for parts in (pieces(text, at), list(text)):
        scanner = streamed(lambda: SpanScanner(finder, _render), parts, whole)
        assert scanner.findings == one.findings


@settings(max_examples=400)
@given(st.lists(expressions, min_size=1, max_size=3), texts)
def test_the_whole_text_gives_what_re_gives(patterns: list[str], text: str) -> None:
    """The bound of 40 is longer than the text, so nothing but the pattern itself decides."""
    found = []
    for pattern in patterns:
        _accepted(pattern, 40)
        found += [match.span() for match in re.finditer(pattern, text)]
    assume(all(start < end for start, end in found))
    finder = PatternFinder([Search("r", "r", "redact", pattern, None, 40) for pattern in patterns])
    places = [(place[0].start, max(span.end for span in place)) for place in _places(finder.spans(text, 0, len(text)))]
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    assert places == merged


@pytest.mark.parametrize(
    ("pattern", "text", "held"),
    [
        (r"SECRET-\d{4}", "see SEC", "SEC"),
        (r"SECRET-\d{4}", "see SECRET-123", "SECRET-123"),
        (r"SECRET-\d{4}", "see SECRET-1234", ""),
        (r"SECRET-\d{4}(?!\d)", "see SECRET-1234", "SECRET-1234"),
        (r"SECRET-\d{4}", "see SECT", ""),
        (r"\bkey=\w{2,4}", "a key=ab", "key=ab"),
        (r"\bkey=\w{2,4}", "a key=abcd", ""),
        (r"\bkey=\w{2,4}", "monkey=ab", ""),
        (r"(a|b)x\1", "zax", "ax"),
        (r"(?<=id )\d{3}", "id 12", "12"),
        (r"(?<=id )\d{3}", "no 12", ""),
        (r"a(?!\.b)", "xa.", "a."),
        (r"a(?!\.b)", "xa,", ""),
        (r"a(?=bc)", "xab", "ab"),
    ],
)
def test_only_what_can_still_match_is_held(pattern: str, text: str, held: str) -> None:
    scanner = SpanScanner(PatternFinder([Search("r", "r", "redact", pattern)]), _render)
    scanner.feed(text)
    assert scanner.held == len(held)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"(?>(?!\s?+\W)(\s*))\w{2,}+", "\n1\nékab 1x1-"),
        (r"(?!\s?+\W)\s\w{2,}", "1\nékab -"),
        (r"(?>ab|a)c{1,3}+d", "abcd accd abcccd abc"),
        (r"(?>(a+)b)(?!\1)x", "aabx abx aabaax"),
    ],
)
def test_a_cut_is_the_same_in_a_stream(pattern: str, text: str) -> None:
    finder = PatternFinder([Search("r", "r", "redact", pattern, None, 5)])
    whole = SpanScanner(finder, _render).whole(text)
    assert whole != text
    for size in (1, 2, 3, 5):
        streamed(lambda: SpanScanner(finder, _render), [text[i : i + size] for i in range(0, len(text), size)], whole)


def test_what_goes_on_beyond_the_bound_is_removed_too() -> None:
    """An unbounded repetition is cut at its bound; the rest of the run is swallowed, however the text is cut."""
    finder = PatternFinder([Search("r", "r", "redact", r"tok_[a-z0-9]+(?!\w)", None, 8)])
    text = "x tok_" + "a1" * 50 + ". y tok_abc z"
    one = SpanScanner(finder, _render)
    assert one.whole(text) == "x <12>. y <7> z"
    assert (one.findings[0].start, one.findings[0].end) == (2, 106)
    for size in (1, 3, 7, 50):
        scanner = SpanScanner(finder, _render)
        out = ""
        for start in range(0, len(text), size):
            out += scanner.feed(text[start : start + size])
            assert scanner.held <= 8 + 4 + size
        assert out + scanner.close() == "x <12>. y <7> z"
        assert scanner.findings == one.findings


def test_a_value_without_an_end_is_removed_at_the_bound() -> None:
    finder = PatternFinder([Search("r", "r", "redact", r"<key>[\s\S]*?</key>", None, 20)])
    text = "a <key>" + "k" * 100 + "</key> b"
    out = SpanScanner(finder, _render).whole(text)
    assert "k" not in out
    assert SpanScanner(finder, _render).whole("a <key>kk</key> b") == "a <13> b"


@pytest.mark.parametrize("pattern", [r"(?<!\w)sk-\d{3}", r"(?<![a-z])[sk]\d{3}", r"(?<=x)(?<!y)ab", r"(?<!a(?<!b))cd"])
def test_moving_a_look_behind_changes_nothing(pattern: str) -> None:
    text = "sk-123 xsk-123 k555 ak555 xab yab ab cd acd bcd sk-12"
    found = [m.span() for piece in bounded(pattern, 9) for m in piece.find.finditer(text)]
    assert found == [m.span() for m in re.finditer(pattern, text)]


@pytest.mark.parametrize(
    ("pattern", "literals", "nocase"),
    [
        (r"(?<!\w)ghp_\w{36}", ("ghp_",), False),
        (r"(?:AKIA|ASIA)\w{4}", ("KIA", "SIA"), False),
        (r"(?i)Key\s*=\s*\w", ("key",), True),
        (r"\w+@\w+", ("@",), False),
        (r"a?\d{3}", (), False),
        (r"(?:ab|\d)", (), False),
    ],
)
def test_required_literals_are_implied_by_the_pattern(pattern: str, literals: tuple[str, ...], nocase: bool) -> None:
    (piece, *_) = bounded(pattern, 50)
    assert piece.literals == literals
    assert piece.nocase is nocase
