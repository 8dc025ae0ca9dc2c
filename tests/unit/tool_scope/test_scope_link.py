"""`ToolScope` as a link after a model, and around one."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest
from langchain_core.load import dumpd, load
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.runnables import RunnableGenerator, RunnableLambda
from langchain_core.tools import tool
from scoped_kit import ANN, tool_call

from langchain_guard import Arg, ConfigError, ToolDenied, ToolRule, ToolScope, collect_verdicts
from langchain_guard.testing import Call, Reply, ScriptedChatModel


@tool
def pay(to: str, amount: int = 10) -> str:
    """Pay."""
    return f"{amount} to {to}"


SCOPE = ToolScope({"pay": ToolRule(args={"to": Arg.enum("ann", "bob"), "amount": Arg.absent() | Arg.range(1, 100)})})


def asking(*calls: dict[str, Any], **more: Any) -> AIMessage:
    return AIMessage("", tool_calls=list(calls), **more)


@pytest.mark.parametrize(
    "value",
    [
        "text",
        {"any": "dict"},
        HumanMessage("hi"),
        AIMessage("no calls"),
        asking(tool_call("pay", to="ann", amount=5)),
        asking(tool_call("pay", "a", to="ann"), tool_call("pay", "b", to="bob")),
        [HumanMessage("hi"), AIMessage("x")],
    ],
)
def test_what_is_in_scope_goes_on_as_the_same_object(value: Any) -> None:
    assert SCOPE.invoke(value) is value
    assert asyncio.run(SCOPE.ainvoke(value)) is value
    assert SCOPE.check(value).action == "allow"


RAW = {"function": {"name": "pay", "arguments": '{"to": "mallory"}'}, "id": "c1", "type": "function"}

REFUSED = [
    (asking(tool_call("pay", to="mallory")), "enum", "tool_calls[0].args.to"),
    (asking(tool_call("rm", to="ann")), "tool", "tool_calls[0]"),
    (asking(tool_call("pay", to="ann", memo="x")), "other_args", "tool_calls[0].args.memo"),
    (asking(tool_call("pay", amount=5)), "missing", "tool_calls[0].args.to"),
    (asking(tool_call("pay", "a", to="ann"), tool_call("pay", "b", to="eve")), "enum", "tool_calls[1].args.to"),
    (AIMessage("", additional_kwargs={"tool_calls": [RAW]}), "enum", "tool_calls[0].args.to"),
    (
        AIMessage("", additional_kwargs={"function_call": RAW["function"]}),
        "enum",
        "additional_kwargs.function_call.args.to",
    ),
    (
        AIMessage([{"type": "tool_use", "id": "c1", "name": "pay", "input": {"to": "mallory"}}]),
        "enum",
        "content[0].args.to",
    ),
    (
        AIMessage([{"type": "function_call", "call_id": "c1", "name": "rm", "arguments": "{}"}]),
        "tool",
        "content[0]",
    ),
    (
        AIMessage(
            "",
            invalid_tool_calls=[
                {"name": "pay", "args": '{"to": ', "id": "c1", "error": "x", "type": "invalid_tool_call"}
            ],
        ),
        "unreadable",
        "invalid_tool_calls[0]",
    ),
    ([HumanMessage("hi"), asking(tool_call("pay", to="eve"))], "enum", "[1].tool_calls[0].args.to"),
    ({"messages": [asking(tool_call("pay", to="eve"))]}, "enum", "messages[0].tool_calls[0].args.to"),
]


@pytest.mark.parametrize(("value", "rule", "where"), REFUSED)
def test_what_is_out_of_scope_is_refused_wherever_the_call_stands(value: Any, rule: str, where: str) -> None:
    before = repr(value)
    for run in (SCOPE.invoke, lambda v: asyncio.run(SCOPE.ainvoke(v)), lambda v: list(SCOPE.stream(v))):
        with pytest.raises(ToolDenied) as caught:
            run(value)
        assert [(f.rule, f.where) for f in caught.value.verdict.findings] == [(rule, where)]
        assert "mallory" not in str(caught.value)
    assert SCOPE.check(value).blocked
    assert repr(value) == before


def test_raw_copies_of_a_judged_call_are_not_judged_twice() -> None:
    ok = {"function": {"name": "pay", "arguments": '{"to": "ann"}'}, "id": "c1", "type": "function"}
    message = asking(tool_call("pay", to="ann"), additional_kwargs={"tool_calls": [ok]})
    assert SCOPE.invoke(message) is message
    hidden = asking(tool_call("pay", to="ann"), additional_kwargs={"tool_calls": [RAW]})
    assert SCOPE.check(hidden).blocked


def test_calls_that_were_answered_are_history() -> None:
    history = [asking(tool_call("rm", "c0")), ToolMessage("no", tool_call_id="c0"), AIMessage("sorry")]
    assert SCOPE.invoke(history) is history


def test_each_refused_call_gets_its_own_answer() -> None:
    message = asking(
        tool_call("pay", "a", to="ann"),
        tool_call("pay", "b", to="eve"),
        tool_call("rm", "c"),
        tool_call("pay", "d", to="bob"),
    )
    answers = SCOPE.refusals(message)
    assert [(m.tool_call_id, m.name, m.status) for m in answers] == [("b", "pay", "error"), ("c", "rm", "error")]
    assert "not one of the allowed values" in answers[0].content
    assert "eve" not in answers[0].content


def test_a_fixed_argument_must_not_be_in_the_call() -> None:
    scope = ToolScope({"pay": ToolRule(args={"to": Arg.fixed(lambda who: who.id), "amount": Arg.range(1, 5)})})
    assert scope.check(asking(tool_call("pay", amount=1)), ANN.config()).action == "allow"
    assert scope.check(asking(tool_call("pay", amount=1, to="eve")), ANN.config()).blocked


def test_tools_tell_the_link_their_defaults() -> None:
    rules = {"pay": ToolRule(args={"to": Arg.text(9), "amount": Arg.range(1, 100)})}
    message = asking(tool_call("pay", to="ann"))
    assert ToolScope(rules).check(message).blocked
    assert ToolScope(rules, tools=[pay]).check(message).blocked, "the default is not in the call: it runs unseen"
    optional = {"pay": ToolRule(args={"to": Arg.text(9), "amount": Arg.absent() | Arg.range(1, 5)})}
    assert ToolScope(optional, tools=[pay]).check(message).action == "allow"
    assert ToolScope(optional, tools=[pay]).check(asking(tool_call("pay", to="a", amount=10))).action == "allow"
    with pytest.raises(ConfigError, match="no tool 'pey'; there are pay"):
        ToolScope({"pey": ToolRule()}, tools=[pay])


# -- streams


def pieces(*args: str, name: str = "pay", index: int = 0) -> list[AIMessageChunk]:
    first, *rest = args
    head = tool_call_chunk(name=name, args=first, id=f"c{index}", index=index)
    chunks = [AIMessageChunk("", id="m1", tool_call_chunks=[head])]
    return chunks + [
        AIMessageChunk("", id="m1", tool_call_chunks=[tool_call_chunk(name=None, args=piece, id=None, index=index)])
        for piece in rest
    ]


def streaming(*chunks: Any) -> tuple[Any, list[Any]]:
    """A chain from a source of chunks through the scope, and what the source has sent so far."""
    sent: list[Any] = []

    def source(_: Any) -> Any:
        for chunk in chunks:
            sent.append(chunk)
            yield chunk

    async def asource(_: Any) -> Any:
        for chunk in chunks:
            yield chunk

    return RunnableGenerator(source, asource) | SCOPE, sent


TEXT = [AIMessageChunk("Let me ", id="m1"), AIMessageChunk("pay.", id="m1")]
END = AIMessageChunk("", id="m1", chunk_position="last")


def test_text_streams_and_calls_wait_until_they_are_whole() -> None:
    call = pieces('{"to": "a', 'nn", "amo', 'unt": 5}')
    chain, sent = streaming(*TEXT, *call, END)
    got: list[Any] = []
    seen: list[tuple[int, int]] = []
    for chunk in chain.stream(None):
        got.append(chunk)
        seen.append((len(sent), len(got)))
    assert [type(chunk) for chunk in got] == [AIMessageChunk] * 6
    assert all(one is other for one, other in zip(got, [*TEXT, *call, END], strict=True))
    assert seen[:2] == [(1, 1), (2, 2)], "text is not held"
    assert seen[2] == (6, 3), "the call is, until the message has ended"


@pytest.mark.parametrize("end", [[], [END]])
def test_an_out_of_scope_call_never_leaves_the_stream(end: list[Any]) -> None:
    chain, _ = streaming(*TEXT, *pieces('{"to": "mal', 'lory"}'), *end)
    got: list[Any] = []
    with pytest.raises(ToolDenied):
        got.extend(chain.stream(None))
    assert got == TEXT

    async def run() -> list[Any]:
        out: list[Any] = []
        with pytest.raises(ToolDenied):
            async for chunk in chain.astream(None):
                out.append(chunk)
        return out

    assert asyncio.run(run()) == TEXT


def test_parallel_calls_are_judged_one_by_one_in_a_stream() -> None:
    chain, _ = streaming(
        *pieces('{"to": "ann"}'), *pieces('{"to": ', '"eve"}', index=1), *pieces("{}", name="rm", index=2), END
    )
    with pytest.raises(ToolDenied) as caught:
        list(chain.stream(None))
    assert [f.where for f in caught.value.verdict.findings] == ["tool_calls[1].args.to", "tool_calls[2]"]


def test_arguments_that_never_become_json_are_refused() -> None:
    broken = AIMessageChunk("", id="m1", tool_call_chunks=[tool_call_chunk(name="pay", args='"to', id="c", index=0)])
    chain, _ = streaming(broken, END)
    with pytest.raises(ToolDenied, match="no JSON object"):
        list(chain.stream(None))


def test_one_verdict_a_stream() -> None:
    chain, _ = streaming(*TEXT, *pieces('{"to": "ann"}'), END)
    with collect_verdicts() as verdicts:
        list(chain.stream(None))
        list(streaming(*TEXT)[0].stream(None))
        list(SCOPE.stream("text"))
    assert [verdict.action for verdict in verdicts] == ["allow"] * 3


def model_that_pays(to: str) -> ScriptedChatModel:
    return ScriptedChatModel(lambda _: Reply("Paying. ", tool_calls=(Call("pay", {"to": to}, "c1"),)))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_bound_model_before_it_or_inside_of_it(wrapped: bool) -> None:
    def chain(to: str) -> Any:
        model: Any = model_that_pays(to).bind_tools([pay])
        return SCOPE.wrap(model) if wrapped else model | SCOPE

    assert chain("ann").invoke("hi").tool_calls[0]["args"] == {"to": "ann"}
    whole = None
    for chunk in chain("ann").stream("hi"):
        whole = chunk if whole is None else whole + chunk
    assert whole.tool_calls[0]["args"] == {"to": "ann"}
    with pytest.raises(ToolDenied):
        chain("eve").invoke("hi")
    with pytest.raises(ToolDenied):
        list(chain("eve").stream("hi"))


def test_a_refused_call_reaches_no_executor() -> None:
    ran: list[Any] = []
    chain: Any = model_that_pays("eve") | SCOPE | RunnableLambda(ran.append)
    with pytest.raises(ToolDenied):
        chain.invoke("hi")
    assert ran == []


# -- as configuration


@pytest.mark.filterwarnings("ignore:The function `load`")
def test_a_scope_dumps_loads_and_pickles_as_plain_data() -> None:
    dumped = json.loads(json.dumps(dumpd(SCOPE)))
    loaded = load(dumped, allowed_objects=[ToolScope], valid_namespaces=["langchain_guard"])
    for copied in (loaded, pickle.loads(pickle.dumps(SCOPE))):
        assert copied.rules == SCOPE.rules
        assert copied.check(asking(tool_call("pay", to="eve"))).blocked
        assert not copied.check(asking(tool_call("pay", to="ann"))).blocked


@pytest.mark.parametrize(
    "scope",
    [
        ToolScope({"pay": ToolRule(args={"to": Arg.where(bool)})}),
        ToolScope({"pay": ToolRule(when=lambda args, who: True)}),
        ToolScope({"pay": ToolRule()}, audit=print),
        ToolScope({"pay": ToolRule()}, approve=lambda request: True),
        ToolScope({"pay": ToolRule()}).narrow(ToolScope({"pay": ToolRule(args={"to": Arg.fixed(lambda who: who.id)})})),
    ],
)
@pytest.mark.filterwarnings("ignore:The function `load`")
def test_a_scope_with_callables_does_not_load_with_less(scope: ToolScope) -> None:
    dumped = json.loads(json.dumps(dumpd(scope)))
    with pytest.raises(ConfigError, match="build it in code"):
        load(
            dumped,
            allowed_objects=[ToolScope],
            valid_namespaces=["langchain_guard"],
            ignore_unserializable_fields=True,
        )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rules": ["pay"]}, "must map tool names"),
        ({"rules": {"pay": Arg.any()}}, "must be a ToolRule"),
        ({"rules": {"": ToolRule()}}, "non-empty str"),
        ({"rules": {}, "on_denied": "ignore"}, "on_denied"),
        ({"rules": {}, "expires_at": "tomorrow"}, "expires_at"),
        ({"rules": {}, "expires_at": float("nan")}, "expires_at"),
        ({"rules": {}, "approve": "me"}, "approve"),
        ({"rules": {}, "taint": "maybe"}, "taint"),
        ({"rules": {}, "audit": 5}, "audit"),
        ({"rules": {}, "narrowed_by": [1]}, "must be ToolScopes"),
        ({"rules": {}, "ruels": {}}, "no argument 'ruels'"),
    ],
)
def test_bad_settings_fail_when_the_scope_is_built(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ToolScope(**settings)


@pytest.mark.parametrize(
    ("build", "says"),
    [
        (lambda: ToolRule(args=["to"]), "must map"),
        (lambda: ToolRule(args={"to": "ann"}), "must be an Arg"),
        (lambda: ToolRule(other_args="some"), "other_args"),
        (lambda: ToolRule(budget=-1), "budget"),
        (lambda: ToolRule(budget=True), "budget"),
        (lambda: ToolRule(per="day"), "per"),
        (lambda: ToolRule(requires="orders:read"), "requires"),
        (lambda: ToolRule(requires=[5]), "requires"),
        (lambda: ToolRule(requires=5), "requires"),
        (lambda: ToolRule(buget=1), "no argument 'buget'; it has .*budget"),
        (lambda: ToolRule(when=5), "when"),
        (lambda: ToolRule(when=asyncio.sleep), "when"),
        (lambda: ToolRule(approve="boss"), "approve"),
        (lambda: ToolRule(reads="never"), "reads"),
        (lambda: ToolRule(writes="yes"), "writes"),
    ],
)
def test_bad_rules_fail_when_they_are_built(build: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build()
