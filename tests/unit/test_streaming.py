"""The engine: what is found is replaced, what is not decided is held, and nothing else changes."""

from __future__ import annotations

import pytest

from langchain_guard.scrub.finder import PatternFinder, Search
from langchain_guard.streaming import Span, SpanScanner


def render(text: str, span: Span, exact: bool) -> str:
    return f"<{span.kind}{len(text) if exact else '+'}>"


def scanner(*rules: tuple[str, str], actions: dict[str, str] | None = None) -> SpanScanner:
    searches = [Search(kind, kind, (actions or {}).get(kind, "redact"), pattern) for kind, pattern in rules]
    return SpanScanner(PatternFinder(searches), render)


def whole(text: str, *rules: tuple[str, str]) -> str:
    return scanner(*rules).whole(text)


def test_what_is_not_found_is_the_same_object() -> None:
    text = "nothing here"
    assert scanner(("n", r"\d{3}")).whole(text) is text


@pytest.mark.parametrize(
    ("rules", "text", "expected"),
    [
        ([("a", "aaa"), ("b", "aab")], "xaabx", "x<b3>x"),
        ([("short", r"ab"), ("long", r"abc")], "xabcx", "x<long3>x"),
        ([("left", r"abc"), ("right", r"cde")], "xabcdex", "x<left+>x"),
        ([("one", r"ab"), ("two", r"cd")], "abcd", "<one2><two2>"),
        ([("v", r"key=(?P<value>\d+)")], "a key=12 b", "a key=<v2> b"),
        ([("v", r"\((?P<value>\d+)\)")], "a (12) b", "a (<v2>) b"),
        ([("v", r"key=(?P<value>\w+)"), ("n", r"\d{2}")], "key=a12 b", "key=<v3> b"),
        ([("v", r"key=(?P<value>\w+)"), ("k", "key")], "key=a12 b", "<v+> b"),
    ],
)
def test_overlapping_finds_are_one_place(rules: list[tuple[str, str]], text: str, expected: str) -> None:
    assert whole(text, *rules) == expected
    stream = scanner(*rules)
    assert "".join([stream.feed(char) for char in text]) + stream.close() == expected


def test_what_leaves_after_each_piece() -> None:
    stream = scanner(("key", r"(?<!\w)sk-\d{3}(?!\d)"))
    steps = [
        ("the s", "the "),
        ("k", ""),
        ("-12", ""),
        ("x", "sk-12x"),
        (" sk-123", " "),
        (".", "<key6>."),
        ("s", ""),
        ("", ""),
    ]
    assert [(piece, stream.feed(piece)) for piece, _ in steps] == steps
    assert stream.held == 1
    assert stream.close() == "s"
    assert stream.held == 0


def test_a_blocked_value_ends_the_stream() -> None:
    stream = scanner(("key", r"sk-\d{3}"), actions={"key": "block"})
    assert stream.feed("all fine, sk-12") == "all fine, "
    assert stream.feed("3 and more") == ""
    assert stream.action == "block"
    assert [(f.rule, f.start, f.end) for f in stream.findings] == [("key", 10, 16)]
    assert stream.feed("more") == ""
    assert stream.close() == ""
    assert stream.held == 0


def test_an_aborted_stream_drops_what_it_held() -> None:
    """Whoever leaves simply stops feeding: what is held can only be had by `close`."""
    stream = scanner(("key", r"sk-\d{3}"))
    assert stream.feed("sk-12") == ""
    del stream


def test_findings_count_code_points_of_the_whole_channel() -> None:
    stream = scanner(("n", r"\d{3}(?!\d)"))
    for piece in ("ä😀 ", "12", "3 x ", "45", "6"):
        stream.feed(piece)
    stream.close()
    assert [(f.start, f.end) for f in stream.findings] == [(3, 6), (9, 12)]
    assert stream.action == "redact"


def test_memory_does_not_grow_with_the_text() -> None:
    stream = scanner(("n", r"(?<=id )\d{3}(?!\d)"))
    for _ in range(2000):
        stream.feed("some words and id 12 ")
        assert stream.held <= 4
        assert len(stream._text) < 64
