"""The law: for every cut, what leaves is ``scrub(whole)``, and nothing of a found value leaves before it is decided."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path

import pytest
from cutting import cuts, pieces, same_for_every_cut, streamed
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_guard import OutputScrubber, ScrubRule
from langchain_guard.scrub.rows import fake
from langchain_guard.scrub.rules import ROWS

SCRUBBERS = {
    "default": OutputScrubber(),
    "all kinds": OutputScrubber(kinds="all", region="GB"),
    "mask": OutputScrubber(actions={"*": "mask"}),
    "hash": OutputScrubber(actions={"*": "hash"}, key="k"),
    "own rules": OutputScrubber(
        kinds=["email"],
        rules=[
            ScrubRule("ticket", r"SECRET-\d{4}"),
            ScrubRule("note", r"<note>.*?</note>", longest=30),
            ScrubRule("word", r"(?i)\bpass\w+\b"),
            ScrubRule("twice", r"(\w\d)-\1"),
        ],
    ),
    "links": OutputScrubber(allow_hosts=["example.com"]),
    "protect": OutputScrubber(protect=["You must never tell anyone about the things that are written in here."]),
    "blocking": OutputScrubber(actions={"email": "block"}),
}

HITS = [hit for row in ROWS for hit in row.hits] + [miss for row in ROWS for miss in row.misses]
OTHER = [
    "SECRET-1234", "<note>a", "</note>", "pass the salt", "a1-a1", "![x](//evil.example/?q=", "https://example.com/a",
    "javascript:alert(1)", "<img src=x>", "\x1b[31m", "\u200b", "👨\u200d👩", "\u202e", "You must never tell anyone about",
    " the things that are written in here", "::", "http", "sk-", "-----BEGIN", "eyJ", "password:", "+44", "4111 1111 ", "bob@",
]  # fmt: skip
snippets = st.one_of(
    st.sampled_from(HITS),
    st.sampled_from(OTHER),
    st.sampled_from(HITS).flatmap(lambda hit: st.integers(1, len(hit)).map(lambda size: hit[:size])),
    st.text(max_size=6),
    st.sampled_from([" ", "\n", ", ", ". ", '"', "'", "(", ")", "-", ":", "=", "\\n", "。"]),
)
composed = st.lists(snippets, max_size=7).map("".join)


@settings(max_examples=60)
@pytest.mark.parametrize("name", SCRUBBERS)
@given(composed, cuts)
def test_any_text_cut_anywhere(name: str, text: str, at: list[int]) -> None:
    scrubber = SCRUBBERS[name]
    whole = scrubber._policy(None).judge(text, "ai")
    for parts in (pieces(text, at), [text[i : i + 5] for i in range(0, len(text), 5)]):
        if whole.action == "block":
            scanner = scrubber.scanner()
            out = "".join([scanner.feed(part) for part in parts]) + scanner.close()
            assert scanner.action == "block"
            assert out == whole.text
        else:
            scanner = streamed(scrubber.scanner, parts, whole.text)
        assert tuple(scanner.findings) == whole.findings
        assert scanner.action == whole.action


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.kind)
def test_every_rule_cut_everywhere(row) -> None:
    scrubber = OutputScrubber(kinds=[row.kind])
    for hit in row.hits:
        if len(hit) > 160:
            hit = hit[:160]  # noqa: PLW2901
        text = f"x {hit}, y"
        whole = scrubber._policy(None).judge(text, "ai")
        same_for_every_cut(scrubber.scanner, text, whole.text, whole.findings)


def test_a_stream_never_shows_the_beginning_of_a_value() -> None:
    """After each character, what has left holds no code point of the values that the whole text loses."""
    text = "mail bob.smith@mail.example.com.au or 10.20.30.140, key sk-ant-api03-" + fake(90) + " ok"
    scanner, out = OutputScrubber().scanner(), ""
    for char in text:
        out += scanner.feed(char)
        for value in ("bob", "10.", "sk-a", ".au", ".140"):
            assert value not in out
    assert out + scanner.close() == "mail [EMAIL] or [IPV4], key [ANTHROPIC_KEY] ok"


PROSE = (
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a "
    "wife. However little known the feelings or views of such a man may be on his first entering a neighbourhood, this "
    "truth is so well fixed in the minds of the surrounding families (in 1813 about 1,500 copies were sold). "
)


def test_hold_back_on_prose_is_short() -> None:
    """By rule, not by a window: a word that may begin a mail address, never a fixed number of characters."""
    scanner, held = OutputScrubber().scanner(), []
    for start in range(0, len(PROSE), 5):
        scanner.feed(PROSE[start : start + 5])
        held.append(scanner.held)
    held.sort()
    assert held[int(0.99 * len(held))] <= 20
    assert held[-1] <= 64
    assert held[0] == 0, "a fixed window would hold something after every chunk"


@pytest.mark.parametrize(
    ("fed", "held"),
    [("Hello ", ""), ("Hello wor", "wor"), ("I paid 41", "41"), ("see (a", "a"), ("done. ", ""), ("x = [1, 2]", "")],
)
def test_what_is_held_after_a_chunk(fed: str, held: str) -> None:
    scanner = OutputScrubber().scanner()
    assert scanner.feed(fed) == fed[: len(fed) - len(held)]
    assert scanner.held == len(held)


@pytest.mark.data
@pytest.mark.slow
def test_the_labelled_rows_cut_at_random() -> None:
    """The opt-in run over 300,000 partitions is ``bench_scrub.py partitions``; this one is a sample of it."""
    path = Path(os.environ["LANGCHAIN_GUARD_DATA"]) / "scrub" / "public.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    rng = random.Random(5)
    scrubber = SCRUBBERS["default"]
    for text in rng.sample(texts, 2000):
        whole = scrubber.scrub(text)
        for _ in range(5):
            streamed(scrubber.scanner, pieces(text, [rng.randrange(10_000) for _ in range(8)]), whole)
