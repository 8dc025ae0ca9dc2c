"""Public reports of what went wrong with scoped tools elsewhere, each as a test of its kind.

The number is that of the report in its project; the test is in our words and checks what should have happened.
"""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import InjectedToolArg, InjectedToolCallId, StructuredTool, ToolException, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.prebuilt import InjectedState, ToolRuntime
from pydantic import BaseModel, Field
from scoped_kit import ANN, denied, outcome, run_node, scoped, tool_call
from sql_cases import TABLES

from langchain_guard import Arg, ConfigError, ToolDenied, ToolRule, ToolScope, scope_tools

ANY = ToolRule(other_args="allow")


@tool
def pay(to: str, amount: int = 10) -> str:
    """Pay."""
    return f"paid {amount} to {to}"


class Stateful(BaseModel):
    """With injected state in an explicit schema."""

    query: str
    messages: Annotated[list[Any], InjectedState("messages")]


def test_langgraph_2220_state_is_injected_under_an_explicit_schema() -> None:
    def count(query: str, messages: list[Any]) -> str:
        return f"{query}/{len(messages)}"

    made = StructuredTool(name="count", description="x", args_schema=Stateful, func=count)
    for rule in (ANY, ToolRule(args={"query": Arg.enum("a")})):
        assert run_node([scoped(made, rule)], tool_call("count", query="a"))[0].content == "a/1"


def _remote(schema: dict[str, Any]) -> StructuredTool:
    async def call(runtime: Annotated[object | None, InjectedToolArg()] = None, **arguments: Any) -> tuple[str, None]:
        return json.dumps({**arguments, "runtime": type(runtime).__name__}, default=str), None

    return StructuredTool(
        name="remote", description="x", args_schema=schema, coroutine=call, response_format="content_and_artifact"
    )


def test_langchain_34293_a_json_schema_tool_still_gets_its_runtime() -> None:
    from scoped_kit import node_graph

    schema = {"type": "object", "properties": {"p": {"type": "string"}}}
    graph = node_graph([scoped(_remote(schema), ToolRule(args={"p": Arg.text(5)}))])
    state = asyncio.run(graph.ainvoke({"messages": [AIMessage("", tool_calls=[tool_call("remote", p="a")])]}))
    content = state["messages"][-1].content
    assert json.loads(content if isinstance(content, str) else content[0]["text"]) == {
        "p": "a",
        "runtime": "ToolRuntime",
    }


def test_langgraph_5072_narrowing_never_drops_injected_arguments() -> None:
    @tool
    def mixed(query: str, user: str, messages: Annotated[list[Any], InjectedState("messages")]) -> str:
        """Mix."""
        return f"{query}/{user}/{len(messages)}"

    rule = ToolRule(args={"query": Arg.enum("a"), "user": Arg.fixed("u")})
    assert run_node([scoped(mixed, rule)], tool_call("mixed", query="a"))[0].content == "a/u/1"


def test_langchain_40166_an_edited_call_is_judged_anew() -> None:
    answers = iter(
        [{"type": "edit", "args": {"to": "eve"}}, {"type": "edit", "edited_action": {"name": "rm", "args": {}}}]
    )
    rule = ToolRule(args={"to": Arg.enum("ann"), "amount": Arg.any()}, approve=True)
    made = scoped(pay, rule, approve=lambda request: next(answers))
    assert denied(made, {"to": "ann"})
    assert denied(made, {"to": "ann"})


def test_langchain_33787_a_refusal_says_that_it_is_final_and_repeating_costs() -> None:
    made = scoped(pay, ToolRule(args={"to": Arg.enum("ann"), "amount": Arg.any()}, budget=1))
    assert "final: do not send the same call again" in outcome(made, {"to": "eve"})[1]
    assert denied(made, {"to": "eve"})
    assert "used up" in outcome(made, {"to": "ann"})[1]


def test_langgraph_7391_injected_arguments_cannot_be_forged() -> None:
    @tool
    def secret(query: str, messages: Annotated[list[Any], InjectedState("messages")]) -> str:
        """Secret."""
        return f"{len(messages)}"

    forged = tool_call("secret", query="a", messages=[1, 2, 3])
    made = scoped(secret, ToolRule(args={"query": Arg.any()}))
    assert run_node([made], forged)[0].content == "1"
    assert made.scope.check(AIMessage("", tool_calls=[forged])).blocked


def test_langchain_32729_the_real_call_id_wins() -> None:
    @tool
    def which(query: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Which."""
        return tool_call_id

    made = scoped(which, ToolRule(args={"query": Arg.any()}))
    assert made.invoke(tool_call("which", query="a", tool_call_id="forged")).content == "c1"


def test_langchain_34169_an_argument_of_ones_own_named_tool_call_id_is_seen() -> None:
    @tool
    def audit(tool_call_id: str) -> str:
        """Look a call up."""
        return f"looked up {tool_call_id}"

    made = scoped(audit, ToolRule(args={"tool_call_id": Arg.regex("call_[0-9]+")}))
    assert made.invoke(tool_call("audit", tool_call_id="call_7")).content == "looked up call_7"
    assert denied(made, {"tool_call_id": "other"})


def test_mcp_adapters_332_a_denial_answers_and_the_tools_own_errors_do_as_before() -> None:
    @tool
    def fails(query: str) -> str:
        """Fail."""
        raise ToolException("remote error")

    made = scoped(fails, ToolRule(args={"query": Arg.enum("a")}))
    assert run_node([made], tool_call("fails", query="b"))[0].status == "error"
    with pytest.raises(ToolException, match="remote error"):
        run_node([made], tool_call("fails", query="a"))


def test_langchain_40535_the_check_sees_exactly_what_the_tool_gets() -> None:
    schema = {"type": "object", "properties": {"callbacks": {}, "config": {}, "run_manager": {}, "p": {}}}
    seen: list[set[str]] = []
    rule = ToolRule(other_args="allow", when=lambda args, who: seen.append(set(args)) or True)
    call = tool_call("remote", callbacks="x", config={"y": 1}, run_manager="z", p=1)
    got = json.loads(asyncio.run(scoped(_remote(schema), rule).ainvoke(call)).content)
    assert seen == [set(got) - {"runtime"}]


def test_langgraph_6544_the_wrapped_tool_keeps_a_real_function() -> None:
    made = scoped(pay, ANY)
    assert made.func is pay.func  # type: ignore[attr-defined]
    assert run_node([made], tool_call("pay", to="a"))[0].status == "success"


def test_langchain_39258_each_refused_parallel_call_gets_an_answer() -> None:
    made = scoped(pay, ToolRule(other_args="allow", budget=2))
    answers = run_node([made], *(tool_call("pay", f"c{n}", to=str(n)) for n in range(5)))
    assert [m.tool_call_id for m in answers] == [f"c{n}" for n in range(5)]
    assert [m.status for m in answers].count("error") == 3


def test_deepagentsjs_842_a_sub_agents_calls_count_against_the_same_budget() -> None:
    scope = ToolScope({"pay": ToolRule(other_args="allow", budget=3), "delegate": ANY})
    [inner] = scope_tools([pay], scope)

    @tool
    def delegate(times: int) -> str:
        """Let a sub-agent work."""
        answers = run_node([inner], *(tool_call("pay", f"s{n}", to=str(n)) for n in range(times)))
        return str([m.status for m in answers].count("success"))

    [outer, sub] = scope_tools([pay, delegate], scope)
    assert not denied(outer, {"to": "first"}, ANN.config())
    assert sub.invoke({"times": 4}, ANN.config()) == "2"
    assert denied(outer, {"to": "last"}, ANN.config())


SQL = Arg.sql(dialect="sqlite", tables=TABLES)
PG = Arg.sql(dialect="postgres", tables=TABLES)
MYSQL = Arg.sql(dialect="mysql", tables=TABLES)


@pytest.mark.parametrize(
    "sql", ["DROP TABLE customers", "SELECT 1; DROP TABLE customers", "SELECT 1;\nDELETE FROM orders;"]
)
def test_langchain_5923_destruction_is_refused_before_the_database(sql: str) -> None:
    assert SQL.check(sql)[0].blocked


def test_langchain_community_618_every_table_in_a_query_is_in_the_list() -> None:
    for sql in ("SELECT * FROM staff", "SELECT id FROM customers WHERE id IN (SELECT id FROM staff)"):
        assert SQL.check(sql)[0].blocked


def test_crewai_5311_with_does_not_make_a_write_a_read() -> None:
    assert PG.check("WITH x AS (INSERT INTO orders (id) VALUES (1) RETURNING id) SELECT id FROM x")[0].blocked


def test_airflow_64173_more_than_the_top_of_the_statement_is_checked() -> None:
    for sql in ("SELECT id INTO copy FROM customers", "WITH d AS (DELETE FROM orders RETURNING *) SELECT * FROM d"):
        assert PG.check(sql)[0].blocked


def test_laravel_boost_892_both_sides() -> None:
    assert PG.check("EXPLAIN ANALYZE DELETE FROM orders")[0].blocked
    assert MYSQL.check("SELECT id FROM customers INTO OUTFILE '/tmp/x'")[0].blocked
    assert not MYSQL.check("SELECT REPLACE(name, 'a', 'b') FROM customers")[0].blocked


def test_bytebase_20645_statements_nobody_listed_are_refused() -> None:
    assert PG.check("MERGE INTO orders USING customers ON true WHEN MATCHED THEN DELETE")[0].blocked


def test_queryweaver_644_comments_and_backslashes_are_read_as_the_dialect_does() -> None:
    assert MYSQL.check("SELECT 1 /*!99999 ; DROP TABLE orders */")[0].blocked
    assert MYSQL.check("SELECT '\\' ; DROP TABLE orders; -- '")[0].blocked


def test_chaterm_2500_the_guard_is_no_denial_of_service() -> None:
    for depth in (100, 1000, 4000):
        assert SQL.check("SELECT " + "(" * depth + "1" + ")" * depth)[0].blocked


def test_risingwave_26843_a_comment_marker_in_a_string_is_a_string() -> None:
    assert SQL.check("SELECT '--', id FROM customers")[1].startswith("SELECT '--', id FROM")
    assert SQL.check("SELECT '--', ssn FROM customers")[0].blocked


def test_lazyllm_1086_links_are_resolved_and_a_root_is_required(tmp_path: Any) -> None:
    (tmp_path / "out").symlink_to("/etc")
    assert Arg.path(tmp_path).check("out/hostname")[0].blocked
    with pytest.raises(ConfigError):
        Arg.path(None)  # type: ignore[arg-type]


def test_langchain_38106_a_name_that_begins_alike_is_another_folder(tmp_path: Any) -> None:
    (tmp_path / "memories").mkdir()
    (tmp_path / "memories2").mkdir()
    scope = Arg.path(tmp_path / "memories")
    assert scope.check(f"{tmp_path}/memories2/x")[0].blocked
    assert scope.check("../memories2/x")[0].blocked


def test_deepagentsjs_633_a_link_in_the_middle_is_resolved(tmp_path: Any) -> None:
    (tmp_path / "root" / "a").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "root" / "a" / "link").symlink_to(tmp_path / "secret")
    assert Arg.path(tmp_path / "root").check("a/link/key.pem")[0].blocked


def test_langchain_34961_dots_inside_of_a_name_are_fine(tmp_path: Any) -> None:
    assert Arg.path(tmp_path).check("pages/[...nextauth].ts")[1] == f"{tmp_path}/pages/[...nextauth].ts"


def test_docsgpt_2466_every_hop_is_judged() -> None:
    scope = Arg.url(["api.example.com"])
    for hop in ("http://169.254.169.254/latest/meta-data/", "https://api.example.com@169.254.169.254/"):
        assert scope.check(hop)[0].blocked


def test_crewai_6520_what_was_judged_is_what_is_fetched() -> None:
    fetched: list[str] = []

    @tool
    def fetch(url: str) -> str:
        """Fetch."""
        fetched.append(url)
        return "page"

    made = scoped(fetch, ToolRule(args={"url": Arg.url(["api.example.com"])}))
    made.invoke({"url": "HTTPS://API.example.com:443/x#y"})
    assert fetched == ["https://api.example.com/x"]


def test_gptme_840_a_command_is_a_list_of_arguments_and_no_shell_line() -> None:
    ran: list[list[str]] = []

    @tool
    def run(argv: list[str]) -> str:
        """Run a program."""
        ran.append(argv)
        return "ran"

    word = Arg.regex(r"[A-Za-z0-9._/-]+") & Arg.where(lambda text: ".." not in text)
    programs = Arg.where(lambda argv: argv[0] in {"ls", "wc"})
    made = scoped(run, ToolRule(args={"argv": programs & Arg.each(word, max_items=5)}))
    assert not denied(made, {"argv": ["ls", "docs"]})
    for argv in (["echo", "x"], ["ls", ">", "f"], ["ls", "$(id)"], ["ls; id"], ["ls", "../x"], [], ["ls"] * 6):
        assert denied(made, {"argv": argv})
    assert ran == [["ls", "docs"]]


def test_langchain_24677_the_callers_call_is_left_alone_and_what_cannot_be_copied_is_refused() -> None:
    @tool
    def change(items: list[int]) -> str:
        """Change."""
        items.append(99)
        return str(items)

    call = tool_call("change", items=[1])
    assert scoped(change, ToolRule(args={"items": Arg.each(Arg.range(0, 5))})).invoke(call).content == "[1, 99]"
    assert call["args"] == {"items": [1]}

    @tool
    def hold(lock: Any) -> str:
        """Hold."""
        return "held"

    assert "cannot be copied" in scoped(hold, ANY).invoke({"lock": threading.Lock()})


def test_langchain_29874_an_artifact_is_kept() -> None:
    @tool(response_format="content_and_artifact")
    def chart(n: int) -> tuple[str, bytes]:
        """Draw."""
        return "a chart", b"png"

    message = scoped(chart, ToolRule(args={"n": Arg.range(0, 5)})).invoke(tool_call("chart", n=1))
    assert isinstance(message, ToolMessage)
    assert (message.content, message.artifact) == ("a chart", b"png")


class Bounded(BaseModel):
    """With a constraint that the model is shown, and one that it is not."""

    count: int = Field(ge=1, le=3)
    code: str = Field(pattern=r"^[A-Z]{3}$")


def test_langchainjs_10905_the_check_uses_the_whole_schema() -> None:
    made = StructuredTool(name="b", description="x", args_schema=Bounded, func=lambda count, code: f"{code}{count}")
    guarded = scoped(made, ToolRule(args={"count": Arg.enum(1, 2, 9), "code": Arg.any()}))
    assert guarded.invoke({"count": 2, "code": "ABC"}) == "ABC2"
    for bad in ({"count": 9, "code": "ABC"}, {"count": 2, "code": "abc"}):
        with pytest.raises(ValueError, match="validation error"):
            guarded.invoke(bad)


def test_home_generative_agent_630_the_model_is_not_shown_injected_arguments() -> None:
    @tool
    def lights(room: str, token: Annotated[str, InjectedToolArg], runtime: ToolRuntime) -> str:
        """Switch lights."""
        return room

    made = scoped(lights, ToolRule(args={"room": Arg.enum("kitchen")}))
    assert list(convert_to_openai_tool(made)["function"]["parameters"]["properties"]) == ["room"]


def test_langchain_40473_a_tool_that_grew_an_argument_does_not_get_it() -> None:
    """A remote tool's schema can change after it was approved: what the rules do not name stays refused."""
    before = {"type": "object", "properties": {"path": {"type": "string"}}}
    after = {"type": "object", "properties": {"path": {"type": "string"}, "exfiltrate_to": {"type": "string"}}}
    rule = ToolRule(args={"path": Arg.text(20)})
    assert asyncio.run(scoped(_remote(before), rule).ainvoke(tool_call("remote", path="a"))).status == "success"
    grown = scoped(_remote(after), rule)
    assert asyncio.run(grown.ainvoke(tool_call("remote", path="a", exfiltrate_to="evil.test"))).status == "error"


def test_langchain_34783_programs_are_allowed_by_name_and_not_forbidden_by_pattern() -> None:
    scope = ToolScope({"run": ToolRule(args={"program": Arg.enum("ls", "wc")})})
    for program in ("rm", "RM", "/bin/ls", "ls ", "ls;rm", "l\\s", "$(ls)"):
        assert scope.explain("run", {"program": program}).blocked
    with pytest.raises(ToolDenied):
        scope.invoke(AIMessage("", tool_calls=[tool_call("run", program="rm")]))
