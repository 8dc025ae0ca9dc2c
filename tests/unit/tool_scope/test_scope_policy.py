"""Who may call what, until when, how often, with whose yes: rules beyond single arguments."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from scoped_kit import ANN, BOB, denied, node_graph, outcome, run_node, scoped, tool_call

from langchain_guard import Arg, ConfigError, GuardUnavailable, Identity, ToolDenied, ToolRule, ToolScope, scope_tools
from langchain_guard.testing import ManualClock
from langchain_guard.tool_scope import ScopeState


@tool
def pay(to: str, amount: int = 10) -> str:
    """Pay."""
    return f"paid {amount} to {to}"


@tool
def fetch(url: str) -> str:
    """Fetch a page."""
    return "a page"


ANY = ToolRule(other_args="allow")


# -- who, and until when


def test_requires_asks_for_every_scope_of_the_caller() -> None:
    made = scoped(pay, ToolRule(other_args="allow", requires=("orders:read",)))
    assert not denied(made, {"to": "x"}, ANN.config())
    for config in (BOB.config(), None, {"configurable": {"user_id": "ann", "scopes": {"orders:read"}}}):
        assert denied(made, {"to": "x"}, config), "a scope that a client writes into its JSON is not believed"
    two = scoped(pay, ToolRule(other_args="allow", requires=("orders:read", "orders:write")))
    assert denied(two, {"to": "x"}, ANN.config())


def test_identify_replaces_the_config_as_the_source() -> None:
    made = scoped(
        pay,
        ToolRule(args={"to": Arg.fixed(lambda who: who.id), "amount": Arg.any()}),
        identify=lambda config: Identity(user=config["configurable"]["session"].upper()),
    )
    assert outcome(made, {}, {"configurable": {"session": "s1", "identity": ANN}}) == ("success", "paid 10 to S1")
    wrong: Any = scoped(pay, ANY, identify=lambda config: "ann")
    with pytest.raises(GuardUnavailable):
        wrong.invoke({"to": "x"})


def test_when_sees_canonical_arguments_and_the_caller() -> None:
    rule = ToolRule(other_args="allow", when=lambda args, who: args["to"] != who.id)
    assert not denied(scoped(pay, rule), {"to": "bob"}, ANN.config())
    assert denied(scoped(pay, rule), {"to": "ann"}, ANN.config())


@pytest.mark.parametrize("expires_at", [1000.0, datetime.fromtimestamp(1000, UTC), "1970-01-01T00:16:40+00:00"])
def test_permissions_expire(expires_at: Any) -> None:
    clock = ManualClock(999.0)
    made = scoped(pay, ANY, expires_at=expires_at, clock=clock)
    assert not denied(made, {"to": "x"})
    clock.advance(1.0)
    assert outcome(made, {"to": "x"})[1].startswith("The call of 'pay' was refused: the permission has expired")


def test_a_time_without_a_zone_is_ambiguous() -> None:
    with pytest.raises(ConfigError, match="time zone"):
        ToolScope({}, expires_at=datetime(2030, 1, 1))  # noqa: DTZ001


# -- how often


def test_a_budget_is_each_callers_own() -> None:
    made = scoped(pay, ToolRule(other_args="allow", budget=2))
    assert [denied(made, {"to": str(n)}, ANN.config()) for n in range(3)] == [False, False, True]
    assert not denied(made, {"to": "x"}, BOB.config())
    assert made.scope.state.used("pay", "ann") == 2
    made.scope.state.reset("pay", "ann")
    assert not denied(made, {"to": "x"}, ANN.config())


@pytest.mark.parametrize(("per", "left"), [("global", [False, True]), ("thread", [False, False])])
def test_a_budget_of_everybody_or_of_a_thread(per: Any, left: list[bool]) -> None:
    made = scoped(pay, ToolRule(other_args="allow", budget=1, per=per))
    configs: list[Any] = [{"configurable": {"thread_id": t, "identity": ANN}} for t in ("t1", "t2")]
    assert [denied(made, {"to": "x"}, config) for config in configs] == left
    assert denied(made, {"to": "x"}, configs[0])


def test_a_budget_of_none_at_all() -> None:
    assert denied(scoped(pay, ToolRule(other_args="allow", budget=0)), {"to": "x"})


def test_parallel_calls_never_exceed_a_budget() -> None:
    ran: list[str] = []
    barrier = threading.Barrier(8)

    @tool
    def slow(n: int) -> str:
        """Run."""
        ran.append(str(n))
        return "ran"

    made = scoped(slow, ToolRule(other_args="allow", budget=3, when=lambda args, who: barrier.wait(60) is not None))
    threads = [threading.Thread(target=made.invoke, args=({"n": n},)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == 3
    ran.clear()
    plain = scoped(slow, ToolRule(other_args="allow", budget=1))
    answers = run_node([plain], *(tool_call("slow", f"c{n}", n=n) for n in range(6)))
    assert sorted(m.status for m in answers) == ["error"] * 5 + ["success"]
    assert len(ran) == 1


def test_a_failing_call_has_been_used_and_a_refused_one_has_not() -> None:
    @tool
    def fails(n: int) -> str:
        """Fail."""
        raise ValueError("broken")

    made = scoped(fails, ToolRule(args={"n": Arg.range(0, 5)}, budget=2))
    assert denied(made, {"n": 9})
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            made.invoke({"n": 1})
    assert denied(made, {"n": 1})


def test_the_same_refused_call_again_and_again_uses_the_budget_up() -> None:
    made = scoped(pay, ToolRule(args={"to": Arg.enum("ann"), "amount": Arg.any()}, budget=3))
    for _ in range(4):
        assert denied(made, {"to": "eve"})
    assert denied(made, {"to": "ann"}), "the first refusal is free, three more have used the budget"


def test_copies_share_a_budget_and_a_pickle_starts_empty() -> None:
    scope = ToolScope({"pay": ToolRule(other_args="allow", budget=1)})
    [made] = scope_tools([pay], scope)
    assert not denied(made, {"to": "x"})
    for copied in (copy.deepcopy(scope), scope.with_config(run_name="x").bound, scope.model_copy()):
        assert denied(scope_tools([pay], copied)[0], {"to": "x"})  # type: ignore[arg-type]
    assert not denied(scope_tools([pay], pickle.loads(pickle.dumps(scope)))[0], {"to": "x"})


def test_a_full_store_of_counters_refuses_newcomers() -> None:
    state = ScopeState(max_keys=1)
    made = scoped(pay, ToolRule(other_args="allow", budget=5), state=state)
    assert not denied(made, {"to": "x"}, ANN.config())
    assert denied(made, {"to": "x"}, BOB.config())
    assert not denied(made, {"to": "x"}, ANN.config())


# -- with whose yes


APPROVE = ToolRule(args={"to": Arg.any(), "amount": Arg.range(0, 100)}, approve=True)

ANSWERS = [
    (True, "paid 10 to x"),
    ("approve", "paid 10 to x"),
    ({"type": "approve"}, "paid 10 to x"),
    ({"decisions": [{"type": "approve"}]}, "paid 10 to x"),
    ({"type": "edit", "args": {"to": "y", "amount": "7"}}, "paid 7 to y"),
    ({"decisions": [{"type": "edit", "edited_action": {"name": "pay", "args": {"to": "y"}}}]}, "paid 10 to y"),
    (False, "a person refused it"),
    (None, "a person refused it"),
    (1, "a person refused it"),
    ("no", "a person refused it"),
    ({"type": "reject", "message": "no"}, "a person refused it"),
    ({"decisions": [{"type": "approve"}, {"type": "approve"}]}, "a person refused it"),
    ({"type": "edit", "args": {"to": "y", "amount": 101}}, "outside of the allowed range"),
    ({"type": "edit", "args": {"to": "y", "memo": "m"}}, "argument 'memo'"),
    ({"type": "edit", "args": {"amount": 5}}, "do not fit the tool"),
    ({"type": "edit", "edited_action": {"name": "fetch", "args": {"to": "y"}}}, "a person refused it"),
]


@pytest.mark.parametrize(("answer", "gives"), ANSWERS)
def test_what_a_person_answers(answer: Any, gives: str) -> None:
    asked: list[Any] = []

    def ask(request: dict[str, Any]) -> Any:
        asked.append(dict(request))
        request["args"]["to"] = "changed by looking"
        return answer

    made = scoped(pay, APPROVE, approve=ask)
    assert gives in outcome(made, {"to": "x"}, ANN.config())[1]
    assert [(a["tool"], a["reason"], a["caller"]) for a in asked] == [("pay", "approve", "ann")]

    async def later(request: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        return answer

    answer_message = asyncio.run(scoped(pay, APPROVE, approve=later).ainvoke(tool_call("pay", to="x")))
    assert gives in answer_message.content


def test_nobody_is_asked_about_a_call_that_is_out_of_scope_anyway() -> None:
    asked: list[Any] = []
    made = scoped(pay, APPROVE, approve=asked.append)
    assert denied(made, {"to": "x", "amount": 101})
    assert asked == []


def test_without_anyone_to_ask_the_answer_is_no() -> None:
    assert "nobody is there" in outcome(scoped(pay, APPROVE), {"to": "x"})[1]

    def broken(request: Any) -> bool:
        raise OSError("no route to the secret host")

    status, text = outcome(scoped(pay, APPROVE, approve=broken), {"to": "x"})
    assert (status, "OSError" in text, "secret" in text) == ("error", True, False)

    async def later(request: Any) -> bool:
        return True

    made = scoped(pay, APPROVE, approve=later)
    assert not denied(made, {"to": "x"}), "without a loop in this thread there is one for the question"

    async def inside() -> bool:
        return denied(made, {"to": "x"})

    assert asyncio.run(inside()), "a synchronous call inside of a loop cannot wait"


def test_a_rule_can_have_its_own_approver() -> None:
    own = ToolRule(other_args="allow", approve=lambda request: request["args"]["amount"] < 50)
    made = scoped(pay, own, approve=lambda request: False)
    assert not denied(made, {"to": "x"})
    assert denied(made, {"to": "x", "amount": 50})


@pytest.mark.parametrize("approver", ["interrupt", interrupt])
def test_an_interrupt_pauses_the_graph_and_the_call_counts_once(approver: Any) -> None:
    checks: list[int] = []
    rule = ToolRule(
        args={"to": Arg.where(lambda to: checks.append(1) or True), "amount": Arg.any()}, approve=True, budget=1
    )
    records: list[dict[str, Any]] = []
    made = scoped(pay, rule, approve=approver, audit=records.append)
    graph = node_graph([made], InMemorySaver())
    for thread, answer, content in [("a", True, "paid 10 to x"), ("b", False, "a person refused it")]:
        config: Any = {"configurable": {"thread_id": thread, "identity": Identity(user=thread)}}
        paused = graph.invoke({"messages": [AIMessage("", tool_calls=[tool_call("pay", to="x")])]}, config)
        assert paused["__interrupt__"][0].value["args"] == {"to": "x", "amount": 10}
        done = graph.invoke(Command(resume=answer), config)["messages"][-1]
        assert isinstance(done, ToolMessage)
        assert content in done.content
    assert len(checks) == 4, "the check runs again when the graph resumes"
    assert made.scope.state.used("pay", "a") == 1
    assert [record["action"] for record in records] == ["allow", "block"], "one record a call"


def test_a_tool_that_pauses_the_graph_itself_counts_once() -> None:
    @tool
    def asks(n: int) -> str:
        """Ask."""
        return f"answer {interrupt('well?')}"

    made = scoped(asks, ToolRule(other_args="allow", budget=1))
    graph = node_graph([made], InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    graph.invoke({"messages": [AIMessage("", tool_calls=[tool_call("asks", n=1)])]}, config)
    assert graph.invoke(Command(resume="yes"), config)["messages"][-1].content == "answer yes"
    assert made.scope.state.used("asks", "anonymous") == 1


# -- dry run, audit, explain


def test_a_dry_run_changes_nothing_and_reports() -> None:
    records: list[dict[str, Any]] = []
    scope = ToolScope(
        {"pay": ToolRule(args={"to": Arg.enum("ann"), "amount": Arg.fixed(1)}, budget=0)},
        dry_run=True,
        audit=records.append,
    )
    made = scope_tools([pay, fetch], scope)
    assert [t.name for t in made] == ["pay", "fetch"]
    assert made[0].args == pay.args
    assert outcome(made[0], {"to": "eve", "amount": 5}) == ("success", "paid 5 to eve")
    assert outcome(made[1], {"url": "x"}) == ("success", "a page")
    assert [(r["tool"], r["action"], r["rules"]) for r in records] == [
        ("pay", "flag", ["enum"]),
        ("fetch", "flag", ["tool"]),
    ]
    assert scope.check(AIMessage("", tool_calls=[tool_call("pay", to="eve")])).action == "flag"
    assert scope.explain("pay", {"to": "eve"}).action == "flag"


def test_a_tighter_scope_can_be_tried_beside_the_one_in_force() -> None:
    in_force = ToolScope({"pay": ToolRule(args={"to": Arg.enum("ann", "bob"), "amount": Arg.any()})})
    tighter = ToolScope({"pay": ToolRule(args={"to": Arg.enum("ann")}, other_args="allow")}, dry_run=True)
    [made] = scope_tools([pay], in_force.narrow(tighter))
    assert not denied(made, {"to": "bob"})
    assert denied(made, {"to": "eve"})
    assert in_force.narrow(tighter).explain("pay", {"to": "bob", "amount": 1}).action == "flag"


def test_audit_records_hold_no_values_unless_asked() -> None:
    records: list[dict[str, Any]] = []
    made = scoped(
        pay, ToolRule(args={"to": Arg.text(9), "amount": Arg.any()}), audit=records.append, clock=ManualClock(7.0)
    )
    made.invoke({"to": "secret"}, ANN.config())
    made.invoke({"to": "secret and long"}, {"configurable": {"identity": ANN, "thread_id": "t1"}})
    assert [r.pop("run_id") != "" for r in records] == [True, True]
    caller = records[0].pop("caller")
    assert records[1].pop("caller") == caller != "ann"
    common = {"time": 7.0, "tool": "pay", "arg_names": ["amount", "to"], "approved": None}
    assert records == [
        {**common, "action": "allow", "rules": [], "reasons": [], "thread": ""},
        {**common, "action": "block", "rules": ["text"], "reasons": ["argument 'to' is too long"], "thread": "t1"},
    ]
    records.clear()
    scoped(pay, ANY, audit=records.append, audit_args=True).invoke({"to": "x"})
    assert records[0]["args"] == {"to": "x", "amount": 10}


def test_what_cannot_be_recorded_does_not_run() -> None:
    def full(record: Any) -> None:
        raise OSError("disk full of secrets")

    made = scoped(pay, ToolRule(other_args="allow", budget=1), audit=full)
    status, text = outcome(made, {"to": "x"})
    assert (status, "OSError" in text, "secrets" in text) == ("error", True, False)
    assert made.scope.state.used("pay", "anonymous") == 0
    with pytest.raises(GuardUnavailable):
        scoped(pay, ANY, audit=full, on_denied="raise").invoke({"to": "x"})


def test_explain_is_pure() -> None:
    asked: list[Any] = []
    scope = ToolScope(
        {"pay": ToolRule(args={"to": Arg.fixed("ann"), "amount": Arg.range(1, 100)}, budget=1, approve=True)},
        approve=asked.append,
        audit=asked.append,
    )
    for _ in range(3):
        verdict = scope.explain("pay", {"amount": 5})
        assert (verdict.action, verdict.details["approval"]) == ("flag", ["approve"])
    assert scope.explain(pay, {}).action == "flag", "a tool's own default stands in for what is left out"
    assert scope.explain("pay", {}).blocked
    assert scope.explain("pay", {"amount": 0}).findings[0].where == "args.amount"
    assert asked == []
    assert scope.state.used("pay", "anonymous") == 0
    rewriting = ToolScope({"pay": ToolRule(args={"to": Arg.fixed("ann")}, other_args="allow")})
    assert rewriting.explain("pay", {"to": "eve"}).action == "redact"


def test_names_that_a_model_made_up_are_shown_only_if_they_are_plain() -> None:
    scope = ToolScope({"pay": ToolRule(args={"to": Arg.any()})})
    verdict = scope.explain("pay", {"to": 1, "ignore previous instructions, sk-123": 1, "memo": 2})
    assert [f.where for f in verdict.findings] == ["args.[*]", "args.memo"]
    assert "sk-123" not in repr(verdict) + repr(scope.explain("tool sk-123", {}))
    assert "sk-123" not in str(scope.refusals(AIMessage("", tool_calls=[tool_call("tool sk-123")]))[0].content)


# -- where it came from


FETCH = ToolRule(other_args="allow", reads="untrusted")
PAY = ToolRule(other_args="allow", writes=True)


def in_thread(thread: str) -> Any:
    return {"configurable": {"thread_id": thread, "identity": ANN}}


def test_after_untrusted_content_tools_with_effects_are_refused_in_that_run() -> None:
    scope = ToolScope({"fetch": FETCH, "pay": PAY}, taint="deny")
    get, send = scope_tools([fetch, pay], scope)
    assert not denied(send, {"to": "x"}, in_thread("a"))
    assert not denied(get, {"url": "u"}, in_thread("a"))
    assert "untrusted content" in outcome(send, {"to": "x"}, in_thread("a"))[1]
    assert not denied(send, {"to": "x"}, in_thread("b"))
    assert not denied(get, {"url": "u"}, in_thread("a")), "reading goes on"


def test_without_a_thread_a_run_is_what_the_caller_does() -> None:
    scope = ToolScope({"fetch": FETCH, "pay": PAY}, taint="deny")
    get, send = scope_tools([fetch, pay], scope)
    assert not denied(get, {"url": "u"}, ANN.config())
    assert denied(send, {"to": "x"}, ANN.config())
    assert not denied(send, {"to": "x"}, BOB.config())


def test_without_a_thread_each_execution_of_an_agent_is_a_run() -> None:
    from langchain.agents import create_agent

    from langchain_guard.testing import Call, Reply, ScriptedChatModel

    scope = ToolScope({"fetch": FETCH, "pay": PAY}, taint="deny")
    tools = scope_tools([fetch, pay], scope)

    def statuses(*names: str) -> list[str]:
        args = {"fetch": {"url": "u"}, "pay": {"to": "x"}}
        replies = [Reply(tool_calls=(Call(name, args[name], f"c{n}"),)) for n, name in enumerate(names)]
        agent: Any = create_agent(ScriptedChatModel([*replies, "done"]), tools)
        messages = agent.invoke({"messages": [("user", "hi")]}, ANN.config())["messages"]
        return [m.status for m in messages if isinstance(m, ToolMessage)]

    assert statuses("pay", "fetch", "pay") == ["success", "success", "error"]
    assert statuses("pay", "fetch") == ["success", "success"]


def test_taint_can_ask_instead() -> None:
    asked: list[str] = []
    scope = ToolScope(
        {"fetch": FETCH, "pay": PAY}, taint="ask", approve=lambda request: asked.append(request["reason"]) or True
    )
    get, send = scope_tools([fetch, pay], scope)
    assert not denied(send, {"to": "x"}, in_thread("a"))
    assert asked == []
    get.invoke({"url": "u"}, in_thread("a"))
    assert not denied(send, {"to": "x"}, in_thread("a"))
    assert asked == ["taint"]


def test_taint_is_ignored_by_default_and_by_tools_without_effects() -> None:
    for scope in (
        ToolScope({"fetch": FETCH, "pay": PAY}),
        ToolScope({"fetch": FETCH, "pay": ToolRule(other_args="allow")}, taint="deny"),
    ):
        get, send = scope_tools([fetch, pay], scope)
        get.invoke({"url": "u"}, in_thread("a"))
        assert not denied(send, {"to": "x"}, in_thread("a"))


# -- narrowing


def test_narrow_keeps_the_budgets_of_both() -> None:
    first = ToolScope({"pay": ToolRule(other_args="allow", budget=2)})
    second = ToolScope({"pay": ToolRule(other_args="allow", budget=5)})
    [made] = scope_tools([pay], first.narrow(second))
    assert [denied(made, {"to": str(n)}) for n in range(3)] == [False, False, True]
    assert (first.state.used("pay", "anonymous"), second.state.used("pay", "anonymous")) == (2, 2)
    [again] = scope_tools([pay], first.narrow(second))
    assert denied(again, {"to": "x"}), "narrowing again refills nothing"


def test_narrow_merges_sql_scopes() -> None:
    wide = Arg.sql(dialect="sqlite", tables={"orders": ["id", "total"], "customers": ["name"]}, max_rows=50)
    other = Arg.sql(
        dialect="sqlite", tables={"orders": ["total", "note"]}, max_rows=10, row_filter={"orders": "owner = :user"}
    )
    [rule] = [(ToolScope({"q": ToolRule({"sql": wide})}).narrow(ToolScope({"q": ToolRule({"sql": other})})))]
    assert rule.explain("q", {"sql": "SELECT total FROM orders"}, ANN.config()).action == "redact"
    for sql in ("SELECT id FROM orders", "SELECT note FROM orders", "SELECT name FROM customers"):
        assert rule.explain("q", {"sql": sql}, ANN.config()).blocked
    merged = wide & other
    assert merged.check("SELECT total FROM orders", ANN)[1].endswith(
        "WHERE (owner = 'ann') LIMIT 9223372036854775807) AS orders LIMIT 10"
    )
    with pytest.raises(ConfigError, match="cannot be narrowed"):
        ToolScope({"q": ToolRule({"sql": wide})}).narrow(
            ToolScope({"q": ToolRule({"sql": Arg.sql(dialect="mysql", tables={"orders": ["id"]})})})
        )


def test_what_is_fixed_differently_by_two_scopes_never_runs() -> None:
    first = ToolScope({"pay": ToolRule(args={"to": Arg.fixed("ann")}, other_args="allow")})
    second = ToolScope({"pay": ToolRule(args={"to": Arg.fixed("bob")}, other_args="allow")})
    [made] = scope_tools([pay], first.narrow(second))
    assert denied(made, {})
    assert denied(made, {"to": "ann"})


def test_only_scopes_narrow() -> None:
    with pytest.raises(ConfigError, match="needs a ToolScope"):
        ToolScope({}).narrow({})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a ToolScope"):
        scope_tools([pay], {})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="needs a list of tools"):
        scope_tools(5, ToolScope({}))  # type: ignore[arg-type]


rules = st.sampled_from(
    [
        Arg.any(),
        Arg.absent(),
        Arg.enum("a", "b"),
        Arg.enum("b", 1),
        Arg.range(0, 5),
        Arg.range(3, 9),
        Arg.text(2),
        Arg.enum("a") | Arg.range(4, 4),
    ]
)
tool_rules = st.builds(
    ToolRule,
    args=st.dictionaries(st.sampled_from(["x", "y"]), rules),
    other_args=st.sampled_from(["deny", "allow"]),
    requires=st.sampled_from([(), ("orders:read",), ("orders:write",)]),
    when=st.sampled_from([None, lambda args, who: len(args) < 2, lambda args, who: who.id == "ann"]),
)
scopes = st.builds(
    ToolScope,
    st.dictionaries(st.sampled_from(["t", "u"]), tool_rules),
    expires_at=st.sampled_from([None, 10.0, 20.0]),
    clock=st.just(ManualClock(15.0)),
)
calls = st.tuples(
    st.sampled_from(["t", "u"]),
    st.dictionaries(st.sampled_from(["x", "y", "z"]), st.sampled_from(["a", "b", "abc", 1, 4, True, None])),
)


@given(scopes, scopes, scopes, calls, st.sampled_from([ANN, BOB]))
def test_narrowing_is_conjunction(a: ToolScope, b: ToolScope, c: ToolScope, call: Any, who: Identity) -> None:
    def allows(scope: ToolScope) -> bool:
        return not scope.explain(*call, who.config()).blocked

    assert allows(a.narrow(b)) == (allows(a) and allows(b))
    assert allows(a.narrow(b)) == allows(b.narrow(a))
    assert allows(a.narrow(b).narrow(c)) == allows(a.narrow(b.narrow(c)))
    assert allows(a.narrow(a)) == allows(a)


def test_denials_raise_if_one_of_the_scopes_says_so() -> None:
    quiet, loud = (
        ToolScope({"pay": ANY}),
        ToolScope({"pay": ToolRule(args={"to": Arg.enum("a")}, other_args="allow")}, on_denied="raise"),
    )
    with pytest.raises(ToolDenied):
        scope_tools([pay], quiet.narrow(loud))[0].invoke({"to": "b"})
