"""A wrapped model is the model that it was: its class, settings, state, cache, copies and dumps, plus its guards."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from kit import (
    EVERY_CALL,
    FAKES,
    GUARDED,
    GUARDED_NOTE,
    MODELS,
    OPENAI,
    TEXT,
    USAGE,
    WAYS,
    Listener,
    assert_untold,
    build,
    save,
    served,
)
from langchain_core.caches import InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import BaseChatModel, chat_models
from langchain_core.language_models.llms import BaseLLM
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import BaseTool
from pydantic import BaseModel, PrivateAttr
from small_guards import Block, Redact, SecretPolicy, SecretScanner

from langchain_guard.errors import OutputBlocked
from langchain_guard.policy import Judged
from langchain_guard.testing import Reply, ScriptedChatModel, ScriptedServer
from langchain_guard.text import TextGuard
from support import run

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(served) as server:
        yield server


every_model = pytest.mark.parametrize("name", MODELS)


# -- the same to others


@every_model
def test_it_is_of_the_models_class_with_the_models_settings(server, name):
    plain = build(name, server, tags=["t"], metadata={"m": 1})
    state = dict(plain.__dict__)
    wrapped = Redact().wrap(plain)
    assert isinstance(wrapped, type(plain))
    assert isinstance(wrapped, BaseChatModel)
    assert type(wrapped).__name__ == type(plain).__name__
    assert type(wrapped).__module__ == type(plain).__module__
    assert wrapped.get_name() == plain.get_name()
    assert wrapped.profile == plain.profile
    assert wrapped._llm_type == plain._llm_type
    assert wrapped._get_ls_params() == plain._get_ls_params()
    assert (wrapped.tags, wrapped.metadata) == (plain.tags, plain.metadata)
    assert wrapped.lc_attributes == plain.lc_attributes
    assert wrapped.lc_secrets == plain.lc_secrets
    assert wrapped.get_input_jsonschema() == plain.get_input_jsonschema()
    for field in type(plain).model_fields:
        assert getattr(wrapped, field) is getattr(plain, field)
    assert plain.__dict__ == state
    assert not isinstance(plain, type(wrapped))
    assert plain.invoke("hi").text == TEXT


def test_it_counts_tokens_as_the_model_does(server):
    assert Redact().wrap(build("chat", server, custom_get_token_ids=str.split)).get_num_tokens("a b c") == 3


@every_model
def test_traces_show_the_model_that_they_always_showed(server, name):
    plain, listeners = build(name, server), (Listener(), Listener())
    for model, listener in zip((plain, Redact().wrap(plain)), listeners, strict=True):
        model.invoke("hi", {"callbacks": [listener]})
    (old,), (new,) = (listener.started for listener in listeners)
    # the fakes have no dump, so theirs is a repr with an address
    assert new["serialized"]["id"] == old["serialized"]["id"]
    if name in OPENAI:
        assert new["serialized"] == old["serialized"]
    for told in ("name", "tags", "options"):
        assert new.get(told) == old.get(told)
    assert {k: v for k, v in new["metadata"].items() if k.startswith("ls_")} == {
        k: v for k, v in old["metadata"].items() if k.startswith("ls_")
    }
    assert new["invocation_params"] == old["invocation_params"]


@every_model
def test_its_repr_is_short_and_names_its_guards(server, name):
    shown = repr(Redact().wrap(build(name, server)))
    assert shown.startswith("Guarded[Redact]")
    assert "SECRET" not in shown
    assert len(shown) < 3000


def test_one_class_serves_every_copy_of_a_model(server):
    first, second = (Redact().wrap(build("streams", server)) for _ in range(2))
    assert type(first) is type(second) is type(Block().wrap(first))


@every_model
def test_settings_changed_later_count(server, name):
    wrapped = Redact().wrap(build(name, server))
    wrapped.tags = ["later"]
    listener = Listener()
    wrapped.invoke("hi", {"callbacks": [listener]})
    assert listener.started[0]["tags"] == ["later"]


def test_a_setting_changed_later_reaches_the_provider():
    with ScriptedServer(served) as server:
        wrapped = Redact().wrap(build("chat", server))
        wrapped.temperature = 0.7
        wrapped.invoke("hi")
        assert server.requests[-1].body["temperature"] == 0.7


class Counts(ScriptedChatModel):
    """A model with state of its own, in an attribute and in a field."""

    seen: int = 0
    _private: int = PrivateAttr(default=0)

    def _generate(self, *args: Any, **kwargs: Any) -> Any:
        self.seen += 1
        self._private += 1
        return super()._generate(*args, **kwargs)


def test_the_models_state_is_one():
    wrapped = Redact().wrap(Counts(TEXT))
    wrapped.invoke("a")
    wrapped.batch(["b", "c"], {"max_concurrency": 1})
    run(wrapped.ainvoke("d"))
    assert wrapped.seen == wrapped._private == 4


# -- cache


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


class RedactHello(TextGuard):
    """Another guard: it replaces a greeting."""

    def _policy(self, call: Any) -> Any:
        return _Hello()


class _Hello(SecretPolicy):
    def __init__(self) -> None:
        super().__init__("redact")

    def judge(self, text: str, source: str) -> Judged:
        return Judged(text.replace("Hello", "Howdy"), (), "redact") if "Hello" in text else Judged(text)

    def scanner(self, source: str) -> SecretScanner | None:
        return None


@pytest.mark.parametrize("name", [*OPENAI, *FAKES])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_cached_answers_never_cross(cache, name, way):
    with ScriptedServer(served) as server:
        plain = build(name, server)

        def ask(model: Any) -> str:
            return WAYS[way](model, "hi", {})[1].text

        def count() -> int:
            return len(server.requests) if name in OPENAI else len(plain.calls if name == "whole" else plain.requests)

        assert ask(plain) == TEXT
        assert ask(Redact().wrap(plain)) == GUARDED
        assert count() == 2
        assert ask(Redact().wrap(plain)) == GUARDED  # a guard of the same settings is the same guard
        assert ask(plain) == TEXT
        assert count() == 2
        assert ask(RedactHello().wrap(plain)) == TEXT.replace("Hello", "Howdy")
        assert ask(RedactHello().wrap(Redact().wrap(plain))) == GUARDED.replace("Hello", "Howdy")
        assert count() == 4
        assert sum("SECRET-" in repr(entry) for entry in cache._cache.values()) == 2  # plain, and the other guard's


def test_a_blocked_answer_is_not_cached(cache):
    model = ScriptedChatModel([Reply("SECRET-1234"), Reply("fine")])
    with pytest.raises(Exception, match="secret"):
        Block().wrap(model).invoke("hi")
    assert cache._cache == {}
    assert Block().wrap(model).invoke("hi").text == "fine"


class OneCall(Redact):
    """A guard whose answers depend on the conversation."""

    @property
    def cacheable(self) -> bool:
        return False


def test_a_guard_may_keep_its_answers_out_of_the_cache(cache):
    plain = ScriptedChatModel(TEXT)
    wrapped = OneCall().wrap(plain)
    assert [wrapped.invoke("hi").text for _ in range(2)] == [GUARDED] * 2
    assert plain.calls == 2
    assert cache._cache == {}


# -- rate limiter, streaming switches


class _Permits(BaseRateLimiter):
    taken = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.taken += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


@pytest.mark.parametrize(("name", "way"), EVERY_CALL)
def test_the_models_own_rate_limiter_is_asked_once_per_call(server, name, way):
    permits = _Permits()
    WAYS[way](Redact().wrap(build(name, server, rate_limiter=permits)), "hi", {})
    assert permits.taken == (3 if "batch" in way else 1)


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("way", ["stream", "astream"])
def test_disabled_streaming_stays_disabled(name, way):
    with ScriptedServer(served) as server:
        seen, message = WAYS[way](Redact().wrap(build(name, server, disable_streaming=True)), "hi", {})
        assert len(seen) == 1
        assert message.text == GUARDED
        assert not server.requests[-1].body.get("stream")


@pytest.mark.parametrize("name", OPENAI)
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_model_told_to_stream_tells_its_handlers_guarded_tokens(name, way):
    with ScriptedServer(served) as server:
        listener = Listener()
        _, message = WAYS[way](Redact().wrap(build(name, server, streaming=True)), "hi", {"callbacks": [listener]})
        assert message.text == GUARDED
        assert server.requests[-1].body["stream"]
        assert len(listener.tokens) > 5
        assert_untold(*listener.heard())


# -- composition


@every_model
def test_name_tags_and_metadata_of_the_call(server, name):
    listener = Listener()
    wrapped = Redact().wrap(build(name, server))
    wrapped.with_config(run_name="mine", tags=["t"], metadata={"k": 1}).invoke("hi", {"callbacks": [listener]})
    (start,) = listener.started
    assert start["name"] == "mine"
    assert start["tags"] == ["t"]
    assert start["metadata"]["k"] == 1


def test_configurable_fields_reach_the_provider_and_keep_the_guard():
    with ScriptedServer(served) as server:
        wrapped = Redact().wrap(build("chat", server))
        model = wrapped.configurable_fields(temperature=ConfigurableField(id="t"))
        for ask in (model.invoke, lambda *a: run(model.ainvoke(*a))):
            assert ask("hi", {"configurable": {"t": 0.25}}).text == GUARDED
            assert server.requests[-1].body["temperature"] == 0.25
        assert "".join(c.text for c in model.stream("hi", {"configurable": {"t": 0.5}})) == GUARDED
        assert server.requests[-1].body["temperature"] == 0.5


def test_configurable_alternatives_each_keep_their_guard(server):
    model = (
        Redact()
        .wrap(build("chat", server))
        .configurable_alternatives(
            ConfigurableField(id="model"), default_key="chat", other=Redact().wrap(build("streams", server))
        )
    )
    assert model.invoke("hi").text == GUARDED
    assert model.invoke("hi", {"configurable": {"model": "other"}}).text == GUARDED


@every_model
def test_two_guards_stack_in_one_class_and_one_run(server, name):
    """`a.wrap(b.wrap(model))`: the input meets a first, the answer b first."""
    wrapped = RedactHello().wrap(Redact().wrap(build(name, server)))
    assert wrapped.langchain_guards == (Redact(), RedactHello())
    for way in ("invoke", "ainvoke", "stream", "astream"):
        listener = Listener()
        _, message = WAYS[way](wrapped, "hi", {"callbacks": [listener]})
        assert message.text == GUARDED.replace("Hello", "Howdy")
        assert message.usage_metadata["total_tokens"] == USAGE
        assert len(listener.started) == 1
        assert_untold(*listener.heard())
    called = wrapped.bind_tools([save]).invoke("call save")
    assert called.tool_calls[0]["args"] == {"note": GUARDED_NOTE}


def test_the_input_meets_the_outer_guard_first():
    order: list[str] = []

    def _note(name: str) -> Any:
        class Notes(Redact):
            def _open(self, value: Any, call: Any) -> Any:
                order.append(name)
                return super()._open(value, call)

        return Notes(name=name)

    _note("outer").wrap(_note("inner").wrap(ScriptedChatModel(TEXT))).invoke("hi")
    assert order == ["outer", "inner"]


@every_model
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_the_answer_meets_the_inner_guard_first(server, name, way):
    """The inner one replaces the secret; the outer one, which would refuse it, never sees it."""
    plain = build(name, server)
    assert WAYS[way](Block().wrap(Redact().wrap(plain)), "hi", {})[1].text == GUARDED
    with pytest.raises(OutputBlocked):
        WAYS[way](Redact().wrap(Block().wrap(plain)), "hi", {})


class AsksAModel(Redact):
    """A guard that asks a model of its own."""

    judge: Any

    def _open(self, value: Any, call: Any) -> Any:
        self.judge.invoke("is it fine?", call.child())
        return super()._open(value, call)


def test_what_a_guard_asks_has_a_run_of_its_own():
    listener, run_id = Listener(), uuid4()
    wrapped = AsksAModel(judge=ScriptedChatModel("yes")).wrap(ScriptedChatModel(TEXT))
    wrapped.invoke("hi", {"callbacks": [listener], "run_id": run_id, "run_name": "mine"})
    first, second = listener.started
    assert (first["run_id"], first["name"]) == (run_id, "mine")
    assert second["run_id"] != run_id
    assert second["name"] != "mine"


# -- what the construction stands on


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (
            BaseChatModel,
            "_generate _agenerate _stream _astream _chat_model_stream_v3 _achat_model_stream_v3 _get_llm_string _serialized",
        ),
        (BaseLLM, "_generate _agenerate _stream _astream _serialized _identifying_params"),
        (BaseRetriever, "_get_relevant_documents _aget_relevant_documents _new_arg_supported _expects_other_args"),
        (BaseTool, "_run _arun"),
        (BaseModel, "__pydantic_fields_set__ __pydantic_extra__ __pydantic_private__"),
    ],
)
def test_the_private_names_that_the_seams_stand_on(owner, names):
    """Renamed, identity would be lost in events of protocol v3, the cache could cross, traces would change."""
    known = set(getattr(owner, "__private_attributes__", ())).union(*(vars(cls) for cls in owner.__mro__))
    assert set(names.split()) <= known


def test_the_private_hooks_that_the_seams_take_away():
    source = inspect.getsource(chat_models)
    for name in ("_stream_chat_model_events", "_astream_chat_model_events"):
        assert f'getattr(self, "{name}", None)' in source
