"""`on_refusal`: a refused caller gets an answer in the chain's own form; every other error stays an error."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from small_guards import Block
from test_link import Listener, Source, acollect, total

from langchain_guard import ConfigError, GuardUnavailable, OutputBlocked, on_refusal
from langchain_guard.testing import Reply, ScriptedChatModel

BAD = "SECRET-1234"
MARK = {"langchain_guard": "refused"}


def model(*pieces: str) -> ScriptedChatModel:
    return ScriptedChatModel(Reply(*pieces))


def reply_of(error: OutputBlocked) -> str:
    return f"{error.guard} said no"


async def areply_of(error: OutputBlocked) -> str:
    return f"{error.guard} said no"


@pytest.mark.parametrize(
    ("reply", "said"),
    [("no", "no"), (reply_of, "Block said no"), (areply_of, "Block said no"), (RunnableLambda(reply_of), "Block said no"),
     (lambda _: AIMessage("no"), "no")],
    ids=["str", "function", "async function", "runnable", "message"],
)  # fmt: skip
def test_the_reply_by_every_way_in(reply, said):
    polite = on_refusal(model(f"see {BAD}") | Block(), reply)
    answers = [
        asyncio.run(polite.ainvoke("x")),
        asyncio.run(polite.abatch(["x"]))[0],
        total(asyncio.run(acollect(polite.astream("x")))),
    ]
    if reply is not areply_of:  # LangChain runs an async function in async calls only
        answers += [polite.invoke("x"), polite.batch(["x"])[0], total(polite.stream("x"))]
    for answer in answers:
        assert answer.content.endswith(said)
        assert answer.response_metadata["langchain_guard"] == "refused"


def test_a_stream_that_has_begun_gets_one_more_chunk():
    polite = on_refusal(model("good ", f"{BAD} ", "more") | Block(), "Sorry.")
    chunks = list(polite.stream("x"))
    assert [chunk.content for chunk in chunks if chunk.content] == ["good ", "Sorry."]
    assert [chunk.response_metadata.get("langchain_guard") for chunk in chunks][-1] == "refused"
    assert len({chunk.id for chunk in chunks}) == 1
    assert total(chunks).chunk_position == "last"


def words(*parts: str) -> Any:
    def speak(_: Any) -> Any:
        yield from parts

    return RunnableGenerator(speak)


@pytest.mark.parametrize(
    ("chain", "as_", "wanted"),
    [
        (model(BAD) | Block(), "auto", AIMessage("no", response_metadata=MARK)),
        (model(BAD) | StrOutputParser() | Block(), "auto", "no"),
        (model(BAD) | StrOutputParser() | Block().with_config(tags=["t"]), "auto", "no"),
        (model(BAD) | Block(), "str", "no"),
        (model(BAD) | StrOutputParser() | Block(), "message", AIMessage("no", response_metadata=MARK)),
        (Block().wrap(model(BAD)), "auto", AIMessage("no", response_metadata=MARK)),
        (Block().wrap(model(BAD)) | StrOutputParser(), "auto", "no"),
        (RunnableLambda(lambda _: BAD) | Block(), "auto", AIMessage("no", response_metadata=MARK)),
    ],
)
def test_the_reply_has_the_form_of_the_answer(chain, as_, wanted):
    assert on_refusal(chain, "no", as_=as_).invoke("x") == wanted


def test_a_stream_of_str_stays_one():
    assert list(on_refusal(words("good ", BAD, "more") | Block(), "no").stream("x")) == ["good ", "no"]


def test_an_answer_is_left_alone():
    polite = on_refusal(model("all ", "is ", "well") | Block(), "no")
    assert polite.invoke("x").content == "all is well"
    assert "langchain_guard" not in polite.invoke("x").response_metadata
    assert [c.content for c in polite.stream("x") if c.content] == ["all ", "is ", "well"]


def test_other_errors_stay_errors():
    def fail(_: Any) -> Any:
        raise ConnectionError("down")

    with pytest.raises(ConnectionError):
        on_refusal(RunnableLambda(fail) | Block(), "no").invoke("x")
    with pytest.raises(ConnectionError):
        list(on_refusal(RunnableLambda(fail) | Block(), "no").stream("x"))
    with pytest.raises(GuardUnavailable):
        on_refusal(Block(), "no").invoke(object())


def test_leaving_its_stream_closes_the_source():
    source = Source([AIMessageChunk(content="one ", id="m")] * 50)
    stream = on_refusal(Block(), "no").transform(source.sync())
    next(stream)
    stream.close()
    assert source.closed


def test_the_refusal_stays_visible_to_listeners():
    listener = Listener()
    on_refusal(RunnableLambda(lambda _: BAD) | Block(), "no").invoke("x", {"callbacks": [listener]})
    assert len(listener.failed) == 2
    assert [data["action"] for _, data, _ in listener.events] == ["block"]
    assert BAD not in repr(listener.events)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"reply": 7}, "reply"), ({"reply": "no", "as_": "dict"}, "as_"), ({"chain": 7, "reply": "no"}, "chain")],
)
def test_what_it_cannot_work_with_is_a_config_error(arguments, named):
    with pytest.raises(ConfigError, match=named):
        on_refusal(**{"chain": Block(), **arguments})


def test_it_describes_itself_as_its_chain():
    chain = RunnableLambda(lambda x: x) | Block()
    polite = on_refusal(chain, "no")
    assert "Block" in polite.get_graph().draw_mermaid()
    assert polite.OutputType == chain.OutputType
    assert polite.config_specs == chain.config_specs
