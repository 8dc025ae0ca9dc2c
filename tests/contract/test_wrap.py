"""The contract of every guard around something: around a chain, and around a chat model, which stays one."""

from __future__ import annotations

import asyncio
import copy
import pickle
from typing import Any

import pytest
from langchain_core.runnables import RunnableLambda, RunnablePassthrough, RunnableSequence
from subjects import SUBJECTS, named
from test_link import CLEAN, Listener, acollect, total

from langchain_guard import collect_verdicts
from langchain_guard.testing import Reply, ScriptedChatModel

FORMS = {
    "around a chain": lambda guard, model: guard.wrap(RunnablePassthrough() | model),
    "around the model": lambda guard, model: guard.wrap(model),
    "around a bound model": lambda guard, model: guard.wrap(model.bind(stop=["x"])),
    "around a retried model": lambda guard, model: guard.wrap(model.with_retry()),
    "around a falling-back model": lambda guard, model: guard.wrap(model.with_fallbacks([model])),
}

pytestmark = [
    pytest.mark.parametrize("subject", SUBJECTS, ids=named),
    pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys()),
]


def scripted(times: int = 1) -> ScriptedChatModel:
    return ScriptedChatModel(Reply(*(f"{word} " for word in (f"{CLEAN} " * times).split())))


def test_clean_calls_pass_by_every_way_in(subject, form):
    model = scripted()
    wrapped, plain = form(subject.make(), model), model.invoke("hi")
    answers = [
        wrapped.invoke("hi"),
        asyncio.run(wrapped.ainvoke("hi")),
        *wrapped.batch(["hi", "ho"]),
        *asyncio.run(wrapped.abatch(["hi", "ho"])),
        total(wrapped.stream("hi")),
        total(asyncio.run(acollect(wrapped.astream("hi")))),
    ]
    for answer in answers:
        assert answer.content == plain.content
        assert answer.usage_metadata == plain.usage_metadata
        assert answer.id


def test_streams_flow_and_stop_with_their_reader(subject, form):
    model = scripted(times=20)
    stream = form(subject.make(), model).stream("hi")
    next(stream)
    next(stream)
    stream.close()
    assert model.closes == 1
    assert model.pieces <= 6


def test_asynchronous_streams_flow_and_stop_with_their_reader(subject, form):
    model = scripted(times=20)

    async def go() -> None:
        stream = form(subject.make(), model).astream("hi")
        await anext(stream)
        await anext(stream)
        await stream.aclose()

    asyncio.run(go())
    assert model.closes == 1
    assert model.pieces <= 6


def test_one_decision_per_call_is_collected(subject, form):
    wrapped = form(subject.make(), scripted())
    for work in (
        lambda: wrapped.invoke("hi"),
        lambda: asyncio.run(wrapped.ainvoke("hi")),
        lambda: list(wrapped.stream("hi")),
        lambda: asyncio.run(acollect(wrapped.astream("hi"))),
    ):
        with collect_verdicts() as verdicts:
            work()
        assert {(v.guard, v.action) for v in verdicts} == {(subject.make().get_name(), "allow")}


def test_it_is_a_link_like_any_other(subject, form):
    wrapped = form(subject.make(), scripted())
    chain = RunnableLambda(lambda x: x) | wrapped | (lambda message: message.content.strip())
    assert isinstance(chain, RunnableSequence)
    assert chain.invoke("hi") == CLEAN
    assert wrapped in chain.steps  # it was not flattened into the sequence
    assert chain.get_graph().draw_mermaid()
    assert wrapped.with_retry().invoke("hi").content
    assert wrapped.with_fallbacks([RunnableLambda(lambda _: "other")]).invoke("hi") != "other"
    assert wrapped.with_config(tags=["t"]).invoke("hi").content


def test_the_model_runs_once_below_the_callers_run(subject, form):
    class Models(Listener):
        def __init__(self) -> None:
            super().__init__()
            self.models: list[Any] = []

        def on_chat_model_start(self, serialized, messages, *, run_id, parent_run_id=None, **_):
            self.models.append(run_id)

        def on_llm_end(self, response, *, run_id, **_):
            self.ended.append(run_id)

    listener = Models()
    form(subject.make(), scripted()).invoke("hi", {"callbacks": [listener]})
    assert len(listener.models) == 1
    assert listener.models[0] in listener.ended


def test_copies_are_still_guarded(subject, form):
    wrapped = form(subject.make(), scripted())
    for again in (copy.copy(wrapped), copy.deepcopy(wrapped), pickle.loads(pickle.dumps(wrapped))):
        with collect_verdicts() as verdicts:
            assert again.invoke("hi").content.strip() == CLEAN
        assert verdicts
