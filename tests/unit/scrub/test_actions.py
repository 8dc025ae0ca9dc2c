"""What is done with a find: redact, mask, hash, vault, block, allow; and what a scrubber refuses to be built with."""

from __future__ import annotations

import copy
import pickle
import re
from typing import TYPE_CHECKING

import pytest
from langchain_core.load import dumps, loads

from langchain_guard import Canary, ConfigError, GuardUnavailable, OutputBlocked, OutputScrubber, ScrubRule, Vault
from langchain_guard.scrub.policy import keyed_hash, mask

if TYPE_CHECKING:
    from collections.abc import Callable

MAIL = "bob@example.com"


@pytest.mark.parametrize(
    ("settings", "text", "expected"),
    [
        ({}, f"to {MAIL}.", "to [EMAIL]."),
        ({"actions": {"*": "mask"}}, "card 4111 1111 1111 1111", "card **** **** **** 1111"),
        ({"actions": {"*": "mask"}}, "call +1-202-555-0143", "call +*-***-***-0143"),
        ({"actions": {"*": "mask"}}, f"to {MAIL}", "to ****"),
        ({"actions": {"credit_card": "mask"}}, f"4111111111111111 {MAIL}", "************1111 [EMAIL]"),
        ({"actions": {"*": "allow", "email": "redact"}}, f"{MAIL} 10.20.30.40", "[EMAIL] 10.20.30.40"),
        ({"actions": {"pii": "allow"}}, f"{MAIL} password: hunter2!x", f"{MAIL} password: [PASSWORD]"),
        ({"actions": {"secrets": "mask"}}, f"{MAIL} password: hunter2!x", "[EMAIL] password: ****"),
        ({"actions": {"*": "vault"}}, f"{MAIL} a@example.org {MAIL}", "[EMAIL_1] [EMAIL_2] [EMAIL_1]"),
        ({"kinds": "secrets"}, f"{MAIL} password: hunter2!x", f"{MAIL} password: [PASSWORD]"),
        ({"kinds": ["ipv4"]}, f"{MAIL} 10.20.30.40", f"{MAIL} [IPV4]"),
        ({"rules": [ScrubRule("ticket", r"SECRET-\d{4}")]}, "SECRET-1234 x", "[TICKET] x"),
        ({"rules": [ScrubRule("ticket", r"id=(?P<value>\d{4})")]}, "id=1234 x", "id=[TICKET] x"),
        (
            {"rules": [ScrubRule("t", r"id=(?P<value>\d{4})|KEY-\d", check=str.isascii)]},
            "id=1234 KEY-7 x",
            "id=[T] [T] x",
        ),
        ({"rules": [ScrubRule("even", r"\d{4}", check=lambda t: int(t) % 2 == 0)]}, "1234 1235", "[EVEN] 1235"),
        ({"rules": [ScrubRule("t", "T-1")], "actions": {"t": "mask"}}, "T-1", "****"),
    ],
)
def test_scrub(settings: dict, text: str, expected: str) -> None:
    assert OutputScrubber(**settings).scrub(text) == expected


def test_a_pseudonym_is_keyed_and_stable() -> None:
    one = OutputScrubber(actions={"*": "hash"}, key="first").scrub(f"{MAIL} {MAIL}")
    found = re.fullmatch(r"\[EMAIL:([0-9a-f]{16})\] \[EMAIL:\1\]", one)
    assert found
    assert OutputScrubber(actions={"*": "hash"}, key="second").scrub(MAIL) != one.split()[0]
    assert keyed_hash(b"k", "email", MAIL) != keyed_hash(b"k", "phone", MAIL)
    # printf 'email\0bob@example.com' | openssl dgst -sha256 -hmac k
    assert keyed_hash(b"k", "email", MAIL) == "5908a910bf6cc9f7"


def test_mask_keeps_four_digits_and_nothing_else() -> None:
    assert mask("credit_card", "3782-822463-10005") == "****-******-*0005"
    assert mask("phone", "+44 20 7946 0958") == "+** ** **** 0958"
    assert mask("github_token", "ghp_abc1234") == "****"


def test_block_raises_and_shows_nothing_of_the_value() -> None:
    scrubber = OutputScrubber(actions={"email": "block"}, name="pii")
    with pytest.raises(OutputBlocked) as error:
        scrubber.scrub(f"write to {MAIL} now")
    assert "bob" not in str(error.value) + repr(error.value) + repr(error.value.verdict)
    assert str(error.value).startswith("pii blocked a text that holds email")
    assert [(f.kind, f.start, f.end) for f in error.value.verdict.findings] == [("email", 9, 24)]
    verdict = scrubber.check(f"write to {MAIL}")
    assert verdict.blocked
    scanner = scrubber.scanner()
    assert scanner.feed(f"write to {MAIL} now") + scanner.close() == "write to "
    assert scanner.action == "block"


def test_overlapping_kinds_take_the_stricter_action() -> None:
    rules = [ScrubRule("outer", r"<[^<>]{1,40}>"), ScrubRule("inner", "bob")]
    scrubber = OutputScrubber(kinds=[], rules=rules, actions={"inner": "block"})
    assert scrubber.scrub("<ann>") == "[OUTER]"
    with pytest.raises(OutputBlocked):
        scrubber.scrub("<bob>")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": "emial"}, "kinds='emial' is unknown; did you mean 'email'"),
        ({"kinds": ["email", "nope"]}, "kinds='nope' is unknown"),
        ({"actions": {"emial": "redact"}}, "did you mean 'email'"),
        ({"actions": {"email": "remove"}}, r"actions.*'remove'"),
        ({"actions": {"email": "hash"}}, "need key="),
        ({"actions": {"email": "hash"}, "key": ""}, "unkeyed"),
        ({"key": ""}, "unkeyed"),
        ({"region": "XX"}, "region='XX' is unknown"),
        ({"rules": [("a", "b")]}, "rules"),
        ({"rules": ScrubRule("a", "b")}, "rules"),
        ({"protect": "one text"}, "protect"),
        ({"protect": ["too short"]}, "at least 4 words"),
        ({"allow_hosts": ["https://x.example"]}, "must be a host name"),
        ({"vault": object()}, "vault"),
        ({"canary": "token"}, "canary"),
        ({"recognizers": len}, "recognizers"),
        ({"nope": 1}, "has no argument 'nope'"),
    ],
)
def test_what_cannot_be_built(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        OutputScrubber(**settings)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (lambda: ScrubRule("ticket", "T-[0-9]{6}", nope=1), "pattern"),
        (lambda: Vault(nope=1), "max_values"),
        (lambda: Canary(nope=1), "note"),
    ],
)
def test_an_unknown_keyword_is_an_error_that_names_the_known_ones(build: Callable[[], object], names: str) -> None:
    with pytest.raises(ConfigError, match=f"no argument 'nope'; it has .*{names}"):
        build()


def test_an_error_never_shows_the_key() -> None:
    with pytest.raises(ConfigError) as error:
        OutputScrubber(actions={"email": "hash", "nope": "redact"}, key="s3cr3t-hmac")
    assert "s3cr3t" not in str(error.value)
    assert "s3cr3t" not in repr(OutputScrubber(actions={"email": "hash"}, key="s3cr3t-hmac"))


@pytest.mark.parametrize(
    ("name", "pattern", "message"),
    [
        ("ok", "a$", "end of a chunk"),
        ("ok", r"a\Z", "end of a chunk"),
        ("ok", "(a+)+", "unbounded repetition"),
        ("ok", "a*", "empty text"),
        ("ok", r"(?=a)\b", "empty text"),
        ("ok", "(", "not a valid regular expression"),
        ("ok", r"(a)?(?(1)b|c)", "conditional"),
        ("ok", "(?:a?)*b", "can be empty"),
        ("ok", "(?:a|ab|b){1,40}c", "more than"),
        ("ok", "x" * 10_001, "longer than"),
        ("ok", r"a(?=(?P<value>b))", "must not stand in a look-ahead"),
        ("ok", r"(?<!(?P<value>b))a", "must not stand in a look-ahead"),
        ("ok", 7, "must be a regular expression as a str"),
        ("", "a", "name=''"),
        ("no space", "a", "name='no space'"),
    ],
)
def test_a_rule_that_cannot_stream_is_refused_with_the_reason(name: str, pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ScrubRule(name, pattern)


def test_a_check_that_raises_fails_closed_and_names_the_rule() -> None:
    def check(text: str) -> bool:
        raise ValueError(text)

    scrubber = OutputScrubber(kinds=[], rules=[ScrubRule("ticket", r"T-\d", check=check)])
    with pytest.raises(GuardUnavailable) as error:
        scrubber.invoke("see T-1")
    assert error.value.rule == "ticket"
    assert "T-1" not in str(error.value)
    assert scrubber.check("see T-1").blocked


def test_recognizers_find_what_no_pattern_does_and_judge_a_stream_at_its_end() -> None:
    def names(text: str) -> list[tuple[int, int, str]]:
        return [(m.start(), m.end(), "person") for m in re.finditer(r"\b(?:Ann|Bob)\b", text)]

    scrubber = OutputScrubber(recognizers=[names], actions={"person": "vault"})
    assert scrubber.scrub(f"Ann met Bob, {MAIL}") == "[PERSON_1] met [PERSON_2], [EMAIL]"
    assert list(scrubber.transform(iter(["A", "nn met ", "Ann"]))) == ["[PERSON_1] met [PERSON_1]"]
    scanner = scrubber.scanner()
    assert scanner.feed("Ann") == ""
    assert scanner.close() == "[PERSON_1]"
    bad = OutputScrubber(recognizers=[lambda text: [(0, len(text) + 1, "x")]])
    with pytest.raises(GuardUnavailable):
        bad.invoke("hello")


@pytest.mark.filterwarnings("ignore:.*beta")
def test_settings_travel_and_state_does_not() -> None:
    rule = ScrubRule("ticket", r"SECRET-\d{4}")
    scrubber = OutputScrubber(
        rules=[rule], actions={"email": "vault"}, allow_hosts=["example.com"], protect=["a b c d e"]
    )
    assert scrubber.scrub(MAIL) == "[EMAIL_1]"
    again = pickle.loads(pickle.dumps(scrubber))
    assert again.rules == (rule,)
    assert len(again.vault) == 0
    assert len(scrubber.vault) == 1
    assert copy.deepcopy(scrubber).vault is scrubber.vault
    dumped = dumps(scrubber)
    loaded = loads(dumped, allowed_objects=[OutputScrubber], valid_namespaces=["langchain_guard"])
    assert loaded.scrub(f"SECRET-1234 {MAIL} https://evil.example/") == "[TICKET] [EMAIL_1] [LINK]"


@pytest.mark.filterwarnings("ignore:.*beta")
@pytest.mark.parametrize(
    "settings",
    [{"rules": [ScrubRule("a", "b", check=bool)]}, {"canary": Canary()}, {"recognizers": [lambda text: []]}],
    ids=["check", "canary", "recognizer"],
)
def test_what_a_dump_cannot_carry_refuses_to_load(settings: dict) -> None:
    dumped = dumps(OutputScrubber(**settings))
    with pytest.raises((ConfigError, NotImplementedError)):
        loads(dumped, allowed_objects=[OutputScrubber], valid_namespaces=["langchain_guard"])


def test_a_key_is_dumped_as_a_reference() -> None:
    dumped = dumps(OutputScrubber(actions={"*": "hash"}, key="s3cr3t-hmac"))
    assert "s3cr3t" not in dumped
    assert "LANGCHAIN_GUARD_KEY" in dumped


def test_vaults_are_not_pickled() -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Vault())
