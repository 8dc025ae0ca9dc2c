"""Placeholders before the model, values after it: stable, scoped, one pass, streaming."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate

from langchain_guard import ConfigError, Identity, OutputScrubber, ScrubRule, Vault
from langchain_guard.testing import ManualClock, Reply, ScriptedChatModel


def test_hide_and_restore_around_a_model() -> None:
    vault = Vault()
    seen = []

    def answer(messages):
        seen.append(messages[-1].content)
        return Reply("I wrote to [EM", "AIL_1] and not", " to [EMAIL_9].")

    chain = (
        ChatPromptTemplate.from_messages([("human", "{q}")]) | vault.hide | ScriptedChatModel(answer) | vault.restore
    )
    assert chain.invoke({"q": "mail bob@example.com"}).content == "I wrote to bob@example.com and not to [EMAIL_9]."
    assert seen == ["mail [EMAIL_1]"]
    streamed = [chunk.content for chunk in chain.stream({"q": "mail bob@example.com"})]
    assert "".join(streamed) == "I wrote to bob@example.com and not to [EMAIL_9]."
    assert streamed[0] == "I wrote to "


def test_numbers_go_on_over_calls_and_a_value_keeps_its_own() -> None:
    vault = Vault()
    assert vault.hide.invoke("ann@example.com") == "[EMAIL_1]"
    assert vault.hide.invoke("bob@example.com and ann@example.com") == "[EMAIL_2] and [EMAIL_1]"
    assert vault.restore.invoke("[EMAIL_2] [EMAIL_1]") == "bob@example.com ann@example.com"
    assert len(vault) == 2


def test_restoring_is_one_pass_and_a_placeholder_is_no_pattern() -> None:
    """Values that look like placeholders or hold pattern characters are put in as they are."""
    vault = Vault(rules=[ScrubRule("name", r"N\([^)]*\)")])
    texts = ["N(Ann [NAME_2] Lee)", "N(+44 (20)", "N(Bob.*)"]
    hidden = [vault.hide.invoke(text) for text in texts]
    assert hidden[2] == "[NAME_3]"
    assert (
        vault.restore.invoke("Dear [NAME_3]: [NAME_30] a[0] [NAME_] [NAME_3")
        == "Dear N(Bob.*): [NAME_30] a[0] [NAME_] [NAME_3"
    )
    vault.placeholder("NAME", "x [NAME_3] y")
    assert vault.restore.invoke("[NAME_4]") == "x [NAME_3] y"


def test_restore_streams_the_same_for_every_cut_into_three() -> None:
    vault = Vault()
    vault.hide.invoke("ann@example.com bob@example.com")
    text = "Dear [EMAIL_1], [EMAIL_2] or [EMAIL_10]. [not one] a[0] [EMAIL_99] [X"
    want = vault.restore.invoke(text)
    assert want == "Dear ann@example.com, bob@example.com or [EMAIL_10]. [not one] a[0] [EMAIL_99] [X"
    for first in range(0, len(text), 3):
        for second in range(first, len(text), 2):
            parts = [text[a:b] for a, b in pairwise([0, first, second, len(text)])]
            assert "".join(vault.restore.transform(iter(parts))) == want


def test_scopes_are_kept_apart() -> None:
    vault = Vault()
    one, two = {"configurable": {"thread_id": "1"}}, {"configurable": {"thread_id": "2"}}
    ann = Identity(user="ann").config()
    assert vault.hide.invoke("a@example.com", one) == "[EMAIL_1]"
    assert vault.hide.invoke("b@example.com", two) == "[EMAIL_1]"
    assert vault.hide.invoke("c@example.com", ann) == "[EMAIL_1]"
    assert vault.restore.invoke("[EMAIL_1]", one) == "a@example.com"
    assert vault.restore.invoke("[EMAIL_1]", two) == "b@example.com"
    assert vault.restore.invoke("[EMAIL_1]", ann) == "c@example.com"
    assert vault.restore.invoke("[EMAIL_1]") == "[EMAIL_1]"
    vault.forget("thread:1")
    assert vault.restore.invoke("[EMAIL_1]", one) == "[EMAIL_1]"
    vault.forget()
    assert len(vault) == 0


def test_nobody_asks_for_a_value_by_guessing_its_placeholder() -> None:
    vault = Vault()
    vault.hide.invoke("bob@example.com")
    out = vault.hide.invoke(
        [HumanMessage("repeat [EMAIL_1]"), SystemMessage("[EMAIL_1]"), AIMessage("I said [EMAIL_1]")]
    )
    assert [message.content for message in out] == ["repeat (EMAIL_1)", "(EMAIL_1)", "I said [EMAIL_1]"]
    assert vault.hide.check("repeat [EMAIL_1]").action == "redact"


def test_values_expire_after_their_last_use() -> None:
    clock = ManualClock()
    vault = Vault(ttl=100, clock=clock)
    vault.hide.invoke("ann@example.com")
    clock.advance(60)
    vault.hide.invoke("bob@example.com")
    assert vault.restore.invoke("[EMAIL_1]") == "ann@example.com"
    clock.advance(60)
    assert vault.restore.invoke("[EMAIL_1] [EMAIL_2]") == "ann@example.com bob@example.com"
    clock.advance(99)
    assert vault.restore.invoke("[EMAIL_1]") == "ann@example.com"
    clock.advance(100)
    assert vault.restore.invoke("[EMAIL_1] [EMAIL_2]") == "[EMAIL_1] [EMAIL_2]"
    assert len(vault) == 0
    assert vault.hide.invoke("carl@example.com") == "[EMAIL_3]", "a number is never given to a second value"


def test_the_number_of_values_is_bounded() -> None:
    vault = Vault(max_values=3)
    for name in "abcd":
        vault.placeholder("email", name)
    assert [vault.value(f"[EMAIL_{n}]") for n in (1, 2, 3, 4)] == [None, "b", "c", "d"]
    vault.placeholder("email", "x", scope="other")
    assert vault.value("[EMAIL_2]") is None
    assert vault.value("[EMAIL_1]", "other") == "x"
    assert len(vault) == 1


def test_threads_share_a_vault() -> None:
    vault = Vault()
    results: list[set[str]] = [set() for _ in range(8)]

    def work(found: set[str]) -> None:
        for number in range(200):
            found.add(f"{number}={vault.placeholder('email', str(number))}")

    threads = [threading.Thread(target=work, args=(found,)) for found in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found == results[0] for found in results)
    assert len(vault) == 200


def test_a_scrubber_can_fill_the_vault_that_restores() -> None:
    vault = Vault()
    scrubber = OutputScrubber(actions={"email": "vault"}, vault=vault)
    assert scrubber.invoke("from bob@example.com") == "from [EMAIL_1]"
    assert (scrubber | vault.restore).invoke("to bob@example.com") == "to bob@example.com"


@pytest.mark.parametrize(
    "settings", [{"ttl": 0}, {"max_values": 0}, {"max_values": 1.5}, {"kinds": "nope"}, {"ttl": -1}]
)
def test_what_cannot_be_built(settings: dict) -> None:
    with pytest.raises(ConfigError):
        Vault(**settings)


def test_nothing_of_a_value_is_shown() -> None:
    vault = Vault()
    vault.hide.invoke("bob@example.com")
    assert "bob" not in repr(vault) + repr(vault.hide) + repr(vault.restore)
