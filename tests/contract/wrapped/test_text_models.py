"""Completion models and retrievers: the same seam, with texts and documents for messages."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from kit import GUARDED, MARK, TEXT, Listener, assert_untold, by_run, holds
from langchain_core.caches import InMemoryCache
from langchain_core.documents import Document
from langchain_core.globals import set_llm_cache
from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import Generation, GenerationChunk, LLMResult
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PrivateAttr
from small_guards import Block, Redact
from watching import Asks, Watch

from langchain_guard import OutputBlocked, Refused
from langchain_guard.runnable import Guard, Session
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Completes(BaseLLM):
    """A completion model that streams in pieces of three characters and counts its calls."""

    calls: list[str] = Field(default_factory=list)
    n: int = 1

    @property
    def _llm_type(self) -> str:
        return "completes"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": "completes"}

    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        self.calls.extend(prompts)
        answer = Generation(text=TEXT, generation_info={"finish_reason": "stop", "logprobs": ["SEC", "RET-1234"]})
        return LLMResult(generations=[[answer] * self.n for _ in prompts], llm_output={"model_name": "completes"})

    def _stream(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.calls.append(prompt)
        for at in range(0, len(TEXT), 3):
            chunk = GenerationChunk(text=TEXT[at : at + 3])
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk
        yield GenerationChunk(text="", generation_info={"finish_reason": "stop"})


class CompletesWhole(Completes):
    """One that does not stream."""

    _stream = BaseLLM._stream


MODELS = {"streams": Completes, "whole": CompletesWhole}


def _invoke(model: Any, asked: str, config: Any) -> list[str]:
    return [model.invoke(asked, config)]


def _ainvoke(model: Any, asked: str, config: Any) -> list[str]:
    return [run(model.ainvoke(asked, config))]


def _batch(model: Any, asked: str, config: Any) -> list[str]:
    return model.batch([asked], config)


def _abatch(model: Any, asked: str, config: Any) -> list[str]:
    return run(model.abatch([asked], config))


def _stream(model: Any, asked: str, config: Any) -> list[str]:
    return list(model.stream(asked, config))


def _astream(model: Any, asked: str, config: Any) -> list[str]:
    return run(collect(model.astream(asked, config)))


WAYS: dict[str, Callable[[Any, str, Any], list[str]]] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "batch": _batch,
    "abatch": _abatch,
    "stream": _stream,
    "astream": _astream,
}
every_model = pytest.mark.parametrize("name", MODELS)
every_way = pytest.mark.parametrize("way", WAYS)


@every_model
@every_way
def test_a_completion_is_guarded_for_caller_and_listeners(name, way):
    def check(model: Any) -> None:
        listener = Listener()
        seen = WAYS[way](model, "hi", {"callbacks": [listener]})
        assert "".join(seen) == GUARDED
        assert len(listener.started) == len(listener.ends) == 1
        assert_untold(seen, *listener.heard())

    holds(check, Redact().wrap(MODELS[name]()), MODELS[name]())


@every_model
@every_way
def test_a_completion_that_holds_a_secret_is_blocked(name, way):
    listener = Listener()
    with pytest.raises(OutputBlocked):
        WAYS[way](Block().wrap(MODELS[name]()), "hi", {"callbacks": [listener]})
    assert [type(error) for error in listener.errors] == [OutputBlocked]
    assert_untold(*listener.heard())


@every_model
@every_way
def test_a_prompt_is_refused_before_the_model_is_asked(name, way):
    plain = MODELS[name]()
    with pytest.raises(Refused):
        WAYS[way](Watch().wrap(plain), "BAD", {})
    assert plain.calls == []


@every_model
def test_events_of_a_completion(name):
    def check(model: Any) -> None:
        events = run(collect(model.astream_events("hi", version="v2")))
        assert_untold(*by_run(events))
        assert MARK in repr(events)

    holds(check, Redact().wrap(MODELS[name]()), MODELS[name]())


def test_a_completions_result_keeps_what_the_model_tells_of_it():
    result = Redact().wrap(Completes(n=2)).generate(["a", "b"])
    assert [[g.text for g in row] for row in result.generations] == [[GUARDED] * 2] * 2
    assert result.llm_output == {"model_name": "completes"}
    assert result.generations[0][0].generation_info == {"finish_reason": "stop", "logprobs": None}
    assert run(Redact().wrap(Completes()).agenerate(["a"])).generations[0][0].text == GUARDED


def test_a_streams_finish_reason_comes_once():
    listener = Listener()
    list(Redact().wrap(Completes()).stream("hi", {"callbacks": [listener]}))
    assert listener.ends[0].generations[0][0].generation_info == {"finish_reason": "stop"}


@every_model
def test_a_completion_model_that_does_not_stream_says_so(name):
    seen = WAYS["stream"](Redact().wrap(MODELS[name]()), "hi", {})
    assert (len(seen) == 1) == (name == "whole")


@every_model
@every_way
def test_the_verdict_is_an_event_of_the_completions_own_run(name, way):
    listener = Listener()
    WAYS[way](Redact().wrap(MODELS[name]()), "hi", {"callbacks": [listener]})
    assert listener.custom_runs == [start["run_id"] for start in listener.started]
    assert [verdict["action"] for verdict in listener.customs] == ["redact"]


class Hears(Session):
    """Keeps what a model says that it used."""

    def __init__(self, value: Any, heard: list[Any]) -> None:
        super().__init__(value)
        self.heard = heard

    def answered(self, message: Any) -> None:
        self.heard.append(message)


class Listens(Guard):
    _heard: list[Any] = PrivateAttr(default_factory=list)

    def _open(self, value: Any, call: Any) -> Session:
        return Hears(value, self._heard)

    async def _aopen(self, value: Any, call: Any) -> Session:
        return self._open(value, call)


class Meters(Completes):
    def _generate(self, prompts: list[str], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> LLMResult:
        usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
        output = {"model_name": "meters", "token_usage": usage}
        return LLMResult(generations=[[Generation(text=TEXT)] for _ in prompts], llm_output=output)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_a_session_is_told_what_a_completion_used(way):
    guard = Listens()
    WAYS[way](guard.wrap(Meters()), "hi", {})
    (message,) = guard._heard
    assert message.text == TEXT
    assert message.usage_metadata == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    assert message.response_metadata == {"model_name": "meters"}


def test_a_session_is_told_the_pieces_of_a_streamed_completion():
    guard = Listens()
    list(guard.wrap(Completes()).stream("hi"))
    assert "".join(message.text for message in guard._heard) == TEXT


@pytest.fixture
def cache() -> Iterator[InMemoryCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_cached_completions_never_cross(cache, way):
    plain = Completes()
    for model, expected in ((plain, TEXT), (Redact().wrap(plain), GUARDED)) * 2:
        assert WAYS[way](model, "hi", {}) == [expected]
    assert len(plain.calls) == 2
    assert sum("SECRET-" in repr(entry) for entry in cache._cache.values()) == 1


@every_model
@every_way
def test_the_guard_of_a_completion_model_knows_the_caller(name, way):
    guard = Asks()
    WAYS[way](guard.wrap(MODELS[name]()), "hi", {"configurable": {"user_id": "u1"}})
    assert guard.callers == ["u1"]


def test_each_item_of_a_batch_has_its_own_caller():
    guard = Asks()
    configs = [{"configurable": {"user_id": f"u{n}"}} for n in range(6)]
    guard.wrap(Completes()).batch(["hi"] * 6, configs)
    run(guard.wrap(Completes()).abatch(["hi"] * 6, configs))
    assert sorted(guard.callers) == sorted([f"u{n}" for n in range(6)] * 2)


def test_a_batch_gives_back_the_errors_that_it_is_told_to():
    answers = Watch().wrap(Completes()).batch(["hi", "BAD"], return_exceptions=True)
    assert answers[0] == TEXT
    assert isinstance(answers[1], Refused)


@every_model
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: m.model_copy(),
                                    lambda m: pickle.loads(pickle.dumps(m))])  # fmt: skip
def test_copies_of_a_completion_model_are_guarded(name, copied):
    assert copied(Redact().wrap(MODELS[name]())).invoke("hi") == GUARDED


def test_a_completion_model_stays_what_it_was():
    plain = Completes()
    wrapped = Redact().wrap(plain)
    assert isinstance(wrapped, Completes)
    assert wrapped.get_name() == "Completes"
    assert wrapped.calls is plain.calls
    assert plain.invoke("hi") == TEXT
    assert Block().wrap(wrapped).langchain_guards == (Redact(), Block())


# -- retrievers


class Finds(BaseRetriever):
    """Finds one document with a secret, and one without."""

    queries: list[str] = Field(default_factory=list)

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        self.queries.append(query)
        return [Document(TEXT, metadata={"source": "SECRET-1234.txt"}, id="1"), Document("fine", id="2")]


FOUND = [Document(GUARDED, metadata={"source": f"{MARK}.txt"}, id="1"), Document("fine", id="2")]
RETRIEVER_WAYS = ("invoke", "ainvoke", "batch", "abatch", "stream", "astream")


class RetrieverListener(Listener):
    """Listens to retrievers."""

    def on_retriever_start(self, serialized: Any, query: str, **kwargs: Any) -> None:
        self.started.append({"serialized": serialized, **kwargs})

    def on_retriever_end(self, documents: Any, **kwargs: Any) -> None:
        self.ends.append(documents)

    def on_retriever_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


@pytest.mark.parametrize("way", RETRIEVER_WAYS)
def test_documents_are_guarded_for_caller_and_listeners(way):
    def check(retriever: Any) -> None:
        listener = RetrieverListener()
        (found,) = WAYS[way](retriever, "hi", {"callbacks": [listener]})
        assert found == FOUND
        assert len(listener.started) == len(listener.ends) == 1
        assert_untold(found, *listener.heard())

    holds(check, Redact().wrap(Finds()), Finds())


@pytest.mark.parametrize("way", RETRIEVER_WAYS)
def test_documents_with_a_secret_are_blocked(way):
    listener = RetrieverListener()
    with pytest.raises(OutputBlocked):
        WAYS[way](Block().wrap(Finds()), "hi", {"callbacks": [listener]})
    assert [type(error) for error in listener.errors] == [OutputBlocked]
    assert_untold(*listener.heard())


@pytest.mark.parametrize("way", RETRIEVER_WAYS)
def test_a_query_is_refused_before_anything_is_searched(way):
    plain = Finds()
    with pytest.raises(Refused):
        WAYS[way](Watch().wrap(plain), "BAD", {})
    assert plain.queries == []


@pytest.mark.parametrize("way", RETRIEVER_WAYS)
def test_the_guard_of_a_retriever_knows_the_caller(way):
    guard = Asks()
    WAYS[way](guard.wrap(Finds()), "hi", {"configurable": {"user_id": "u1"}})
    assert guard.callers == ["u1"]


def test_events_of_a_retriever():
    def check(retriever: Any) -> None:
        events = run(collect(retriever.astream_events("hi", version="v2")))
        assert_untold(*by_run(events))
        assert MARK in repr(events)

    holds(check, Redact().wrap(Finds()), Finds())


class FindsPlainly(BaseRetriever):
    """A retriever of the old form, without a run manager."""

    def _get_relevant_documents(self, query: str) -> list[Document]:
        return Finds()._get_relevant_documents(query, run_manager=None)


class FindsWith(BaseRetriever):
    """A retriever that takes more arguments."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any, text: str = "none") -> list[Document]:
        return [Document(f"{text} SECRET-1234")]


def test_a_retriever_gets_what_it_takes_and_no_more():
    assert Redact().wrap(FindsPlainly()).invoke("hi", extra=1) == FOUND
    assert run(Redact().wrap(FindsPlainly()).ainvoke("hi")) == FOUND
    assert Redact().wrap(FindsWith()).invoke("hi", text="some") == [Document("some [X]")]


class FindsByAsking(Finds):
    """A retriever that runs another one inside."""

    inner: Any = None

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return self.inner.invoke(query, {"callbacks": run_manager.get_child()})


def test_what_a_retriever_runs_inside_stays_its_child():
    listener = RetrieverListener()
    Redact().wrap(FindsByAsking(inner=Redact().wrap(Finds()))).invoke("hi", {"callbacks": [listener]})
    outer, inner = listener.started
    assert outer.get("parent_run_id") is None
    assert inner["parent_run_id"] is not None
    assert_untold(*listener.heard())


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: m.model_copy(),
                                    lambda m: pickle.loads(pickle.dumps(m))])  # fmt: skip
def test_copies_of_a_retriever_are_guarded(copied):
    assert copied(Redact().wrap(Finds())).invoke("hi") == FOUND
