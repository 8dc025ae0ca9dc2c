"""The gate for users' patterns: what is refused, and that the reason says what to do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard.errors import ConfigError
from langchain_guard.patterns import charset, compile_pattern, first, parse, ways


@pytest.mark.parametrize(
    "pattern",
    [
        r"SECRET-\d{4}",
        r"(?:[a-z]{1,63}\.)+com",
        r"\S+@\S+",
        r"[\w.+-]+@[\w-]+\.[\w.]+",
        r"(?i)token\s*[=:]\s*\w+",
        r"\b\w{3,}\s+\w+\b",
        r"(\w\d)-\1",
        r"(?:ab|ac)+d",
        r"<note>.*?</note>",
        r"(?>a+)b",
    ],
)
def test_what_is_accepted(pattern: str) -> None:
    assert compile_pattern(pattern, what="x", streamed=True).pattern == pattern


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a+)+", "stands inside another one"),
        (r"(?:x\w*)*y", "stands inside another one"),
        (r"(a{1,63})+b", "more than 100000 ways"),
        (r"(?:[a-z]|\d|foo)+", "more than 100000 ways"),
        (r"\w+\w+\w+x", "more than 100000 ways"),
        (r"a$", "end of a chunk"),
        (r"(?m)a$", "end of a chunk"),
        (r"a\Z", "end of a chunk"),
        (r"a*", "empty text"),
        (r"(?=a)", "empty text"),
        (r"(?:a?)+b", "can be empty"),
        (r"(", "not a valid regular expression"),
        (r"a{99999999999}", "repeats too often"),
        ("x" * 10_001, "longer than 10000"),
    ],
)
def test_what_is_refused_and_why(pattern: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(reason)) as error:
        compile_pattern(pattern, what="Rule('x').pattern", streamed=True)
    assert str(error.value).startswith("Rule('x').pattern=")
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("pattern", [r"a$", r"\w*", r"^(?:ok|no)\Z", r"(a)?(?(1)b|c)"])
def test_what_only_a_stream_forbids(pattern: str) -> None:
    compile_pattern(pattern, what="Arg.regex", streamed=False)


@pytest.mark.parametrize("value", [None, 3, b"a"])
def test_a_pattern_is_a_str(value: object) -> None:
    with pytest.raises(ConfigError, match="as a str"):
        compile_pattern(value, what="x", streamed=False)  # type: ignore[arg-type]


@given(
    st.sampled_from(
        [
            r"\w",
            r"\W",
            r"\d",
            r"\D",
            r"\s",
            r"\S",
            ".",
            "[a-f]",
            "[^a-f]",
            r"[^\s]",
            r"[^\w-]",
            "k",
            "ſ",
            "[K]",
            "[^k]",
            "é",
        ]
    ),
    st.sampled_from(["", "(?i)", "(?a)", "(?ai)", "(?s)"]),
    st.one_of(st.characters(), st.sampled_from("kKſKiİıéÉ\u00a0\n 1٣_-")),
)
def test_a_class_holds_every_character_that_it_matches(one: str, flags: str, char: str) -> None:
    """The masks decide what may be skipped, so they may hold more than the class, never less."""
    if re.fullmatch(flags + one, char) is None:
        return
    nodes, bits, groups = parse(flags + one)
    mask = charset(nodes[0], bits)
    assert mask is not None
    point = ord(char)
    bit = (
        1 << point if point < 128 else {True: 1 << 129, False: 1 << 128 if char.isalnum() else 1 << 130}[char.isspace()]
    )
    assert mask & bit
    assert first(nodes, bits, groups) == (mask, False)


def test_ways_multiply_where_the_next_character_does_not_decide() -> None:
    assert ways(*parse(r"a{1,3}b"), 1000) == 1
    assert ways(*parse(r"a{1,3}a"), 1000) == 3
    assert ways(*parse(r"a{1,3}a{1,5}b"), 1000) == 3
    assert ways(*parse(r"(?:a|ab|b)c"), 1000) == 3
    assert ways(*parse(r"a{1,3}+a"), 1000) == 1
