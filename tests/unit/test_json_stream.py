r"""Tool arguments while they stream: strings are judged decoded, and valid JSON stays valid JSON."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard.json_stream import JsonScanner
from langchain_guard.scrub.finder import PatternFinder, Search
from langchain_guard.streaming import SpanScanner

FINDER = PatternFinder(
    [
        Search("mail", "mail", "redact", r"(?<!\w)\w{1,20}@\w{1,20}\.com(?!\w)"),
        Search("card", "card", "redact", r"(?<!\d)4\d{9}(?!\d)"),
        Search("stop", "stop", "block", "STOP"),
    ]
)


def text_scanner() -> SpanScanner:
    return SpanScanner(FINDER, lambda text, span, exact: f"[{span.kind.upper()}]")


def scrub(text: str) -> str:
    return text_scanner().whole(text)


def scrubbed(value: Any) -> Any:
    """What a value must become: each string by itself, each long integer as a string."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if scrub(str(value)) == str(value) else scrub(str(value))
    if isinstance(value, list):
        return [scrubbed(item) for item in value]
    return {scrub(key): scrubbed(item) for key, item in value.items()}


def run(raw: str, pieces: list[str] | None = None) -> tuple[str, JsonScanner]:
    scanner = JsonScanner(text_scanner)
    out = "".join([scanner.feed(piece) for piece in (pieces or [raw])]) + scanner.close()
    return out, scanner


TEXT = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["bob@site.com", 'a "q" \\ bob@site.com\n', "😀ann@site.com.", "\ud83d", "4123456789 x", "\u2028/"]
    ),
)
VALUES = st.recursive(
    st.one_of(
        TEXT,
        st.integers(),
        st.just(4123456789),
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False, allow_infinity=False),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


@given(VALUES, st.booleans(), st.booleans(), st.sampled_from([None, 1]), st.lists(st.integers(0, 400), max_size=8))
def test_every_cut_gives_valid_json_with_the_scrubbed_value(
    value: Any, ascii_only: bool, escaped: bool, indent: int | None, at: list[int]
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    if escaped:
        raw = raw.replace("@", "\\u0040").replace("/", "\\/")
    want = scrubbed(value)
    cuts = sorted({cut % (len(raw) + 1) for cut in at} | {0, len(raw)})
    whole, one = run(raw)
    keys = re.findall(r'"\[MAIL\]":', whole)
    if len(keys) < 2:  # two keys that become one would swallow a value of the parsed form
        assert json.loads(whole) == want
    for pieces in ([raw[a:b] for a, b in pairwise(cuts)], list(raw)):
        out, scanner = run(raw, pieces)
        assert out == whole
        assert scanner.findings == one.findings
        assert scanner.action == one.action


@given(st.text(alphabet='{}[],:"\\u0041b@s.com 4123tefn-', max_size=30), st.lists(st.integers(0, 30), max_size=5))
def test_what_is_no_json_is_text_and_cut_as_freely(raw: str, at: list[int]) -> None:
    cuts = sorted({cut % (len(raw) + 1) for cut in at} | {0, len(raw)})
    whole, _ = run(raw)
    assert run(raw, [raw[a:b] for a, b in pairwise(cuts)])[0] == whole
    assert "b@s.com" not in whole or not re.search(r"(?<!\w)b@s\.com(?!\w)", raw)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (r'{"to": "bob\u0040site.com"}', '{"to": "[MAIL]"}'),
        (r'{"t": "a\nbob@site.com"}', r'{"t": "a\n[MAIL]"}'),
        (r'{"t": "\ud83d\ude00 bob@site.com"}', '{"t": "😀 [MAIL]"}'),
        (r'{"t": "\ud83d"}', r'{"t": "\ud83d"}'),
        ('{"card": 4123456789, "n": 41, "f": 1.5e3, "b": true}', '{"card": "[CARD]", "n": 41, "f": 1.5e3, "b": true}'),
        ("[4123456789]", '["[CARD]"]'),
        ("4123456789", '"[CARD]"'),
        ('{"bob@site.com": 1}', '{"[MAIL]": 1}'),
        ("to bob@site.com now", "to [MAIL] now"),
        ("{to: bob@site.com}", "{to: [MAIL]}"),
        ('{"to": "bob@site.com', '{"to": "[MAIL]'),
        ('{"to": "x\\u00', '{"to": "x\\u00'),
        ("", ""),
    ],
)
def test_one_argument(raw: str, expected: str) -> None:
    assert run(raw)[0] == expected
    assert run(raw, list(raw))[0] == expected


def test_findings_say_where_in_the_arguments() -> None:
    raw = '{"to": "bob@site.com", "list": [1, {"x y": "ann@site.com", "eve@site.com": 4123456789}]}'
    _, scanner = run(raw)
    assert [(f.kind, f.where, f.start, f.end) for f in scanner.findings] == [
        ("mail", "to", 0, 12), ("mail", "list[1][*]", 0, 12), ("mail", "list[1][*]", 0, 12), ("card", "list[1][*]", 0, 10),
    ]  # fmt: skip
    assert scanner.action == "redact"


@pytest.mark.parametrize("raw", ['{"a": "ok", "b": "x STOP y", "c": 1}', '{"a": "ok", STOP'])
def test_a_block_ends_the_arguments_before_the_value(raw: str) -> None:
    for pieces in ([raw], list(raw)):
        out, scanner = run(raw, pieces)
        assert scanner.action == "block"
        assert raw.startswith(out)
        assert "STOP" not in out
        assert scanner.feed("more") == scanner.close() == ""
