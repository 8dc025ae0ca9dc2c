"""Copies, pickles and dumps of a wrapped model keep its guards."""

from __future__ import annotations

import copy
import json
import pickle
from typing import TYPE_CHECKING

import pytest
from kit import (
    FAKES,
    GUARDED,
    OPENAI,
    TEXT,
    WAYS,
    beta_allowed,
    build,
    served,
)
from langchain_core.load import dumpd, load
from langchain_openai import ChatOpenAI
from small_guards import Redact

from langchain_guard.testing import ScriptedChatModel, ScriptedServer
from langchain_guard.wrap import GuardedModel

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("way", ["invoke", "stream"])
@beta_allowed
def test_a_loaded_dump_has_its_guards(server, name, way):
    dumped = json.loads(json.dumps(dumpd(Redact().wrap(build(name, server, api_key="sk-not-a-real-key")))))
    assert "sk-not-a-real-key" not in json.dumps(dumped)
    loaded = load(
        dumped,
        secrets_map={"OPENAI_API_KEY": "unused"},
        allowed_objects=[ChatOpenAI, GuardedModel, Redact],
        valid_namespaces=["langchain_guard", "small_guards"],
    )
    assert isinstance(loaded, ChatOpenAI)
    assert loaded.langchain_guards == (Redact(),)
    assert WAYS[way](loaded, "hi", {})[1].text == GUARDED


@beta_allowed
def test_a_dump_is_refused_where_guards_are_not_allowed(server):
    dumped = dumpd(Redact().wrap(build("chat", server)))
    for allowed in ([ChatOpenAI], "core"):
        with pytest.raises(ValueError, match=r"(?i)not allowed|namespace"):
            load(dumped, secrets_map={"OPENAI_API_KEY": "unused"}, allowed_objects=allowed)


@pytest.mark.parametrize("name", FAKES)
@beta_allowed
def test_a_model_without_a_dump_of_its_own_does_not_load_unguarded(server, name):
    dumped = json.loads(json.dumps(dumpd(Redact().wrap(build(name, server)))))
    allowed = {"allowed_objects": [GuardedModel, Redact], "valid_namespaces": ["langchain_guard", "small_guards"]}
    with pytest.raises(NotImplementedError):
        load(dumped, **allowed)


@pytest.mark.parametrize("name", FAKES)
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: m.model_copy(),
                                    lambda m: m.model_copy(update={"tags": ["x"]}),
                                    lambda m: pickle.loads(pickle.dumps(m))])  # fmt: skip
def test_copies_of_a_fake_are_guarded(server, name, copied):
    other = copied(Redact().wrap(build(name, server)))
    assert other.langchain_guards == (Redact(),)
    for way in ("invoke", "ainvoke", "stream", "astream"):
        assert WAYS[way](other, "hi", {})[1].text == GUARDED


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("copied", [copy.copy, lambda m: m.model_copy(),
                                    lambda m: m.model_copy(update={"temperature": 0.1})])  # fmt: skip
def test_copies_of_a_provider_are_guarded(server, name, copied):
    assert copied(Redact().wrap(build(name, server))).invoke("hi").text == GUARDED


def test_a_copy_of_a_call_is_no_longer_that_call():
    """The config of a call must not outlive it."""
    wrapped = Redact().wrap(ScriptedChatModel(TEXT))
    wrapped.invoke("hi", {"configurable": {"user_id": "u1"}})
    assert getattr(wrapped, "_guard_config", None) is None
    assert getattr(copy.copy(wrapped), "_guard_config", None) is None
