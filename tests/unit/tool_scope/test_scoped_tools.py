"""`scope_tools`: the tool stays the tool that it was, and no way into it leads past the scope."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import threading
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import (
    BaseTool,
    InjectedToolArg,
    InjectedToolCallId,
    StructuredTool,
    Tool,
    ToolException,
    tool,
)
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.prebuilt import InjectedState, ToolRuntime
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from scoped_kit import ANN, BOB, denied, outcome, run_node, scoped, tool_call

from langchain_guard import (
    Arg,
    ConfigError,
    GuardUnavailable,
    ScopedTool,
    ToolDenied,
    ToolRule,
    ToolScope,
    collect_verdicts,
    scope_tools,
)


class Search(BaseModel):
    """What `search` takes."""

    query: str = Field(description="What to look for.")
    limit: int = Field(default=3, ge=1, le=10)


@tool(args_schema=Search, extras={"defer_loading": True})
def search(query: str, limit: int = 3) -> str:
    """Search."""
    return f"{query}/{limit}/{type(limit).__name__}"


@tool
async def search_async(query: str) -> str:
    """Search, asynchronously only."""
    return f"async {query}"


class Counted(BaseTool):
    """A tool class of one's own, with a run manager and no schema."""

    name: str = "counted"
    description: str = "counts"
    calls: list[str] = Field(default_factory=list)

    def _run(self, query: str, run_manager: Any = None, config: RunnableConfig = None) -> str:  # type: ignore[assignment]
        self.calls.append(query)
        return f"{query}/{run_manager is not None}/{((config or {}).get('configurable') or {}).get('who')}"


def python_add(first: int, second: int = 2) -> str:
    """Add."""
    return str(first + second)


ANYTHING = ToolRule(other_args="allow")
NOTHING = ToolRule(other_args="allow", when=lambda args, who: False)
CONFIG: Any = {"configurable": {"who": "bob"}}


def test_a_scoped_tool_is_the_same_kind_of_tool() -> None:
    search.metadata, search.tags = {"k": 1}, ["t"]
    made = scoped(search, ANYTHING)
    assert isinstance(made, ScopedTool)
    assert isinstance(made, StructuredTool)
    assert made.args_schema is Search
    assert convert_to_openai_tool(made) == convert_to_openai_tool(search)
    assert (made.metadata, made.tags, made.extras) == ({"k": 1}, ["t"], {"defer_loading": True})
    assert not isinstance(search, ScopedTool)
    assert search.invoke({"query": "a"}) == "a/3/int"


def test_tools_without_a_rule_are_left_out_and_refused() -> None:
    made = scope_tools([search, search_async], ToolScope({"search": ANYTHING}))
    assert [t.name for t in made] == ["search"]
    verdict = ToolScope({"search": ANYTHING}).explain("search_async", {"query": "a"})
    assert verdict.blocked
    assert verdict.findings[0].rule == "tool"


def test_functions_become_tools() -> None:
    [made] = scope_tools([python_add], ToolScope({"python_add": ToolRule(args={"first": Arg.range(0, 5)})}))
    assert made.invoke({"first": 1}) == "3"
    assert "refused" in made.invoke({"first": 9})
    assert "refused" in made.invoke({"first": 1, "second": 7}), "no rule for it, and not the default"


@pytest.mark.parametrize("bad", [{"type": "web_search"}, "search", 5])
def test_what_is_no_tool_cannot_be_scoped(bad: Any) -> None:
    with pytest.raises(ConfigError, match="cannot scope"):
        scope_tools([bad], ToolScope({"search": ANYTHING}))


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools"):
        scope_tools([search, search.model_copy()], ToolScope({"search": ANYTHING}))


def test_a_misspelt_argument_is_an_error_and_not_a_hole() -> None:
    rule = ToolRule(args={"qery": Arg.text(5)}, other_args="allow")
    with pytest.raises(ConfigError, match=r"no argument 'qery'; it has query, limit"):
        scoped(search, rule)


WAYS: dict[str, Any] = {
    "invoke": lambda t, args: t.invoke(args),
    "run": lambda t, args: t.run(args),
    "batch": lambda t, args: t.batch([args])[0],
    "ainvoke": lambda t, args: asyncio.run(t.ainvoke(args)),
    "arun": lambda t, args: asyncio.run(t.arun(args)),
    "abatch": lambda t, args: asyncio.run(t.abatch([args]))[0],
    "stream": lambda t, args: next(iter(t.stream(args))),
    "pipe": lambda t, args: (RunnableLambda(lambda x: x) | t).invoke(args),
    "call": lambda t, args: t.invoke(tool_call(t.name, **args)).content,
    "node": lambda t, args: run_node([t], tool_call(t.name, **args))[0].content,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_is_judged_once(way: str) -> None:
    seen: list[dict[str, Any]] = []
    rule = ToolRule(other_args="allow", when=lambda args, who: seen.append(args) or args["limit"] < 5)
    made = scoped(search, rule)
    assert WAYS[way](made, {"query": "a", "limit": "4"}) == "a/4/int"
    assert seen == [{"query": "a", "limit": 4}], "validated, coerced, and once"
    seen.clear()
    assert "refused" in WAYS[way](made, {"query": "a", "limit": 7})
    assert len(seen) == 1


@pytest.mark.parametrize("way", ["ainvoke", "arun", "abatch"])
def test_async_only_tools_are_judged(way: str) -> None:
    made = scoped(search_async, ToolRule(args={"query": Arg.enum("a")}))
    assert WAYS[way](made, {"query": "a"}) == "async a"
    assert "refused" in WAYS[way](made, {"query": "b"})


def test_a_tool_class_of_ones_own_gets_its_run_manager_and_config_also_asynchronously() -> None:
    made = scoped(Counted(), ToolRule(args={"query": Arg.enum("a")}))
    assert made.invoke({"query": "a"}, CONFIG) == "a/True/bob"
    assert asyncio.run(made.ainvoke({"query": "a"}, CONFIG)) == "a/True/bob"
    assert "refused" in asyncio.run(made.ainvoke({"query": "b"}, CONFIG))


def test_a_tool_that_calls_itself_is_judged_each_time() -> None:
    made: Any = None

    @tool
    async def again(depth: int) -> str:
        """Call oneself."""
        return "deep" if depth == 99 else str(made.invoke({"depth": 99}))

    made = StructuredTool.from_function(lambda depth: "deep", again.coroutine, name="again", description="x")
    made = scoped(made, ToolRule(args={"depth": Arg.range(0, 5)}))
    assert "refused" in asyncio.run(made.ainvoke({"depth": 1}))


def test_a_single_string_input_is_judged() -> None:
    legacy = Tool(name="legacy", description="one str", func=lambda text: f"got {text}")
    made = scoped(legacy, ToolRule(args={"tool_input": Arg.text(5)}))
    assert made.invoke("short") == "got short"
    assert made.run("short") == "got short"
    assert "refused" in made.invoke("far too long")
    assert "refused" in made.invoke({"tool_input": "far too long"})


# -- what the tool gets


def test_what_was_judged_is_what_runs() -> None:
    def greedy(args: dict[str, Any], who: Any) -> bool:
        args["tags"].append("more")
        args["extra"] = 1
        return True

    @tool
    def tagged(tags: list[str]) -> str:
        """Tag."""
        return json.dumps(tags)

    given = {"tags": ["a"]}
    assert scoped(tagged, ToolRule(other_args="allow", when=greedy)).invoke(given) == '["a"]'
    assert given == {"tags": ["a"]}


def test_the_canonical_value_runs(tmp_path: Any) -> None:
    (tmp_path / "a.txt").write_text("text")

    @tool
    def read(path: str) -> str:
        """Read."""
        return path

    made = scoped(read, ToolRule(args={"path": Arg.path(tmp_path)}))
    assert made.invoke({"path": "x/../a.txt"}) == str(tmp_path / "a.txt")
    assert asyncio.run(made.ainvoke({"path": "a.txt"})) == str(tmp_path / "a.txt")


def test_what_cannot_be_copied_is_refused_and_does_not_crash() -> None:
    @tool
    def locked(lock: Any) -> str:
        """Take a lock."""
        return "ran"

    assert "refused" in scoped(locked, ANYTHING).invoke({"lock": threading.Lock()})


def test_defaults_are_judged_too() -> None:
    @tool
    def send(body: str, cc: str = "everyone@evil.test") -> str:
        """Send."""
        return f"sent to {cc}"

    rule = ToolRule(args={"body": Arg.text(9), "cc": Arg.regex(r".*@corp\.example")})
    assert "refused" in scoped(send, rule).invoke({"body": "a"})
    assert scoped(send, ToolRule(args={"body": Arg.text(9)})).invoke({"body": "a"}) == "sent to everyone@evil.test"


class Aliased(BaseModel):
    model_config = ConfigDict(extra="allow", populate_by_name=True)

    path: str = Field(alias="file_path")


def test_aliases_and_extra_arguments_are_seen_under_the_names_that_the_tool_gets() -> None:
    def read(**arguments: Any) -> str:
        return json.dumps(arguments)

    made = StructuredTool(name="read", description="x", args_schema=Aliased, func=read)
    guarded = scoped(made, ToolRule(args={"path": Arg.enum("ok")}))
    assert guarded.invoke({"file_path": "ok"}) == '{"path": "ok"}'
    assert "refused" in guarded.invoke({"file_path": "no"})
    assert "argument 'mode'" in guarded.invoke({"file_path": "ok", "mode": "w"})


# -- injected arguments


@tool
def of_user(query: str, user: Annotated[str, InjectedToolArg]) -> str:
    """Of a user."""
    return f"{query}/{user}"


@tool
def with_id(query: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
    """With its id."""
    return f"{query}/{tool_call_id}"


@tool
def with_state(query: str, messages: Annotated[list[Any], InjectedState("messages")]) -> str:
    """With the state."""
    return f"{query}/{len(messages)}"


@tool
def with_runtime(query: str, runtime: ToolRuntime) -> str:
    """With the runtime."""
    return f"{query}/{runtime.tool_call_id}"


@pytest.mark.parametrize(("subject", "answer"), [(with_id, "a/c1"), (with_state, "a/1"), (with_runtime, "a/c1")])
def test_injected_arguments_are_not_the_scopes_business(subject: Any, answer: str) -> None:
    seen: list[dict[str, Any]] = []
    rule = ToolRule(args={"query": Arg.text(9)}, when=lambda args, who: seen.append(args) or True)
    made = scoped(subject, rule)
    assert run_node([made], tool_call(subject.name, query="a"))[0].content == answer
    assert seen == [{"query": "a"}]
    shown = convert_to_openai_tool(made)["function"]["parameters"]["properties"]
    assert list(shown) == ["query"]


def test_forged_injected_arguments_do_not_reach_the_tool() -> None:
    made = scoped(with_state, ToolRule(args={"query": Arg.text(9)}))
    forged = tool_call("with_state", query="a", messages=["x"] * 5)
    assert run_node([made], forged)[0].content == "a/1"
    assert (
        scoped(with_id, ToolRule(args={"query": Arg.text(9)}))
        .invoke(tool_call("with_id", query="a", tool_call_id="forged"))
        .content
        == "a/c1"
    )
    pinned = scoped(of_user, ToolRule(args={"query": Arg.text(9), "user": Arg.fixed(lambda who: who.id)}))
    assert pinned.invoke(tool_call("of_user", query="a", user="ROOT"), ANN.config()).content == "a/ann"


# -- tools that describe themselves by a JSON schema


def mcp_tool(schema: dict[str, Any]) -> StructuredTool:
    async def call(runtime: Annotated[object | None, InjectedToolArg()] = None, **arguments: Any) -> tuple[str, None]:
        return json.dumps(arguments, sort_keys=True, default=str), None

    return StructuredTool(
        name="remote", description="x", args_schema=schema, coroutine=call, response_format="content_and_artifact"
    )


SCHEMA = {
    "type": "object",
    "properties": {
        "path": {"type": "string"},
        "count": {"type": "integer", "maximum": 5},
        "mode": {"type": "string", "default": "r"},
    },
    "required": ["path"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("args", "rule"),
    [
        ({"path": "a", "count": "999"}, "count"),
        ({"path": "a", "count": 6}, "count"),
        ({"path": "a", "count": True}, "count"),
        ({"path": 5}, "path"),
        ({"count": 1}, "schema (required)"),
        ({"path": "a", "other": 1}, "schema (additionalProperties)"),
        ({"path": "a", "count": float("nan")}, "not finite"),
    ],
)
def test_a_json_schema_is_enforced_though_langchain_does_not(args: dict[str, Any], rule: str) -> None:
    made = scoped(mcp_tool(SCHEMA), ANYTHING)
    answer = asyncio.run(made.ainvoke(tool_call("remote", **args)))
    assert answer.status == "error"
    assert rule in answer.content


def test_a_json_schemas_default_is_judged_and_runs() -> None:
    made = scoped(mcp_tool(SCHEMA), ToolRule(args={"path": Arg.text(9), "mode": Arg.enum("r")}))
    answer = asyncio.run(made.ainvoke(tool_call("remote", path="a")))
    assert json.loads(answer.content) == {"path": "a", "mode": "r"}
    assert "refused" in asyncio.run(made.ainvoke(tool_call("remote", path="a", mode="w"))).content


def test_arguments_named_like_the_frameworks_are_seen_exactly_if_the_tool_gets_them() -> None:
    open_schema = {"type": "object", "properties": {"callbacks": {}, "config": {}, "run_manager": {}}}
    seen: list[list[str]] = []
    rule = ToolRule(other_args="allow", when=lambda args, who: seen.append(sorted(args)) or True)
    call = tool_call("remote", callbacks=["x"], config={"a": 1}, run_manager="y")
    answer = asyncio.run(scoped(mcp_tool(open_schema), rule).ainvoke(call))
    assert [sorted(json.loads(answer.content))] == seen == [["callbacks"]]
    strict = scoped(mcp_tool(open_schema), ToolRule(args={"config": Arg.any(), "run_manager": Arg.any()}))
    assert "argument 'callbacks'" in asyncio.run(strict.ainvoke(call)).content


def test_remote_references_of_a_schema_are_not_followed() -> None:
    schema = {"type": "object", "properties": {"path": {"$ref": "https://schemas.example.test/path.json"}}}
    answer = asyncio.run(scoped(mcp_tool(schema), ANYTHING).ainvoke(tool_call("remote", path="a")))
    assert answer.status == "error"


def test_a_broken_json_schema_is_an_error_when_the_tool_is_scoped() -> None:
    with pytest.raises(ConfigError, match="not a valid JSON schema"):
        scoped(mcp_tool({"type": "object", "properties": {"a": {"type": 5}}}), ANYTHING)


# -- what the model is shown


def shown(made: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = convert_to_openai_tool(made)["function"]["parameters"]
    return parameters


class Strict(BaseModel):
    """With validators that must go on working."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(description="What.")
    user: str
    color: str = "red"
    count: int = Field(default=1, ge=0)

    @field_validator("query", "user")
    @classmethod
    def _not_empty(cls, value: str) -> str:
        if not value:
            raise ValueError("empty")
        return value.strip()

    @field_validator("user")
    @classmethod
    def _lower(cls, value: str) -> str:
        return value.lower()

    @model_validator(mode="after")
    def _known(self) -> Strict:
        if self.color == "none":
            raise ValueError("no color")
        return self


def strict_tool() -> StructuredTool:
    def run(query: str, user: str, color: str, count: int) -> str:
        return f"{query}/{user}/{color}/{count}"

    return StructuredTool(name="strict", description="x", args_schema=Strict, func=run)


def test_what_is_fixed_leaves_the_schema_and_the_rest_is_narrowed() -> None:
    rule = ToolRule(
        args={
            "query": Arg.text(20),
            "user": Arg.fixed(lambda who: who.id),
            "color": Arg.enum("red", "blue"),
            "count": Arg.range(0, 4),
        }
    )
    made = scoped(strict_tool(), rule)
    parameters = shown(made)
    assert list(parameters["properties"]) == ["query", "color", "count"]
    assert parameters["required"] == ["query"]
    assert parameters["properties"]["color"]["enum"] == ["red", "blue"]
    assert parameters["properties"]["count"] == {"type": "integer", "minimum": 0, "maximum": 4, "default": 1}
    assert parameters["properties"]["query"] == {"type": "string", "description": "What."}
    assert "user" not in made.args_schema.model_json_schema()["properties"]
    assert made.invoke({"query": " a "}, ANN.config()) == "a/ann/red/1"
    assert made.invoke({"query": "a"}, BOB.config()) == "a/bob/red/1"
    assert "refused" in made.invoke({"query": "a", "color": "green"}, ANN.config())
    for bad in ({"query": ""}, {"query": "a", "color": "none"}, {"query": "a", "user": "mallory"}):
        with pytest.raises(ValueError, match="validation error"):
            made.invoke(bad, ANN.config())
    assert Strict(query="a", user="B").user == "b", "the tool's own schema is as it was"


def test_a_caller_without_an_account_gets_no_fixed_value() -> None:
    made = scoped(strict_tool(), ToolRule(args={"query": Arg.any(), "user": Arg.fixed(lambda who: who.id)}))
    assert denied(made, {"query": "a"})


def test_a_json_schema_is_narrowed_likewise() -> None:
    rule = ToolRule(args={"path": Arg.fixed("/srv/a"), "count": Arg.range(1, 9), "mode": Arg.enum("r", "w")})
    made = scoped(mcp_tool(SCHEMA), rule)
    parameters = shown(made)
    assert list(parameters["properties"]) == ["count", "mode"]
    assert parameters["properties"]["count"] == {"type": "integer", "maximum": 5, "minimum": 1}
    assert parameters["required"] == []
    answer = asyncio.run(made.ainvoke(tool_call("remote", count=2, path="/etc/passwd")))
    assert json.loads(answer.content) == {"count": 2, "mode": "r", "path": "/srv/a"}
    assert SCHEMA["required"] == ["path"]


def test_describe_adds_a_sentence_where_json_schema_has_no_word() -> None:
    rule = ToolRule(args={"query": Arg.regex("[a-z]+"), "limit": Arg.range(1, 5)})
    described = shown(scoped(search, rule, describe=True))["properties"]["query"]["description"]
    assert described == "What to look for. The whole value must match the regular expression [a-z]+"
    assert shown(scoped(search, rule))["properties"]["query"]["description"] == "What to look for."
    assert search.args["query"]["description"] == "What to look for."


def test_narrowing_keeps_injected_arguments() -> None:
    rule = ToolRule(args={"query": Arg.enum("a", "b")})
    made = scoped(with_state, rule)
    assert shown(made)["properties"]["query"]["enum"] == ["a", "b"]
    assert run_node([made], tool_call("with_state", query="a"))[0].content == "a/1"


def test_a_tool_without_a_schema_can_have_fixed_arguments() -> None:
    made = scoped(Counted(), ToolRule(args={"query": Arg.fixed("pinned")}))
    assert "query" in shown(Counted())["properties"]
    assert "query" not in shown(made)["properties"]
    assert made.invoke({}, CONFIG) == "pinned/True/bob"


# -- denials


@tool
def failing(query: str) -> str:
    """Fail."""
    raise ToolException("its own failure")


def test_a_denial_is_an_error_tool_message_under_the_default_tool_node() -> None:
    made = scoped(search, ToolRule(args={"query": Arg.text(20), "limit": Arg.range(1, 3)}))
    good, bad = run_node([made], tool_call("search", "c1", query="a"), tool_call("search", "c2", query="a", limit=9))
    assert (good.status, good.content, good.tool_call_id) == ("success", "a/3/int", "c1")
    assert (bad.status, bad.tool_call_id, bad.name) == ("error", "c2", "search")
    assert bad.content == (
        "The call of 'search' was refused: argument 'limit' is outside of the allowed range. "
        "This is final: do not send the same call again."
    )


def test_a_denial_raises_where_that_is_wanted() -> None:
    made = scoped(search, NOTHING, on_denied="raise")
    with pytest.raises(ToolDenied, match="this call is not allowed") as caught:
        made.invoke({"query": "a"})
    assert caught.value.verdict.blocked
    assert pickle.loads(pickle.dumps(caught.value)).verdict == caught.value.verdict
    with pytest.raises(ToolDenied):
        asyncio.run(made.ainvoke({"query": "a"}))
    with pytest.raises(ToolDenied):
        run_node([made], tool_call("search", query="a"))


def test_a_rule_that_fails_lets_nothing_run() -> None:
    def broken(args: dict[str, Any], who: Any) -> bool:
        raise KeyError("secret text")

    rule = ToolRule(other_args="allow", when=broken)
    status, text = outcome(scoped(search, rule), {"query": "a"})
    assert status == "error"
    assert "KeyError" in text
    assert "secret" not in text
    with pytest.raises(GuardUnavailable) as caught:
        scoped(search, rule, on_denied="raise").invoke({"query": "a"})
    assert (caught.value.cause, "secret" in str(caught.value)) == ("KeyError", False)


def test_the_tools_own_errors_stay_what_they_were() -> None:
    handler = Recorder()
    with pytest.raises(ToolException, match="its own failure"):
        scoped(failing, ANYTHING).invoke({"query": "a"}, {"callbacks": [handler]})
    assert handler.events == ["start failing", "error ToolException"]
    for handled, text in [(True, "its own failure"), ("text", "text"), (lambda e: f"<{e}>", "<its own failure>")]:
        copied = failing.model_copy(update={"handle_tool_error": handled})
        assert outcome(scoped(copied, ANYTHING), {"query": "a"}) == ("error", text)
        assert denied(scoped(copied, NOTHING), {"query": "a"})


def test_validation_errors_stay_what_they_were() -> None:
    with pytest.raises(ValueError, match="limit"):
        scoped(search, ANYTHING).invoke({"query": "a", "limit": 99})
    kept = search.model_copy(update={"handle_validation_error": "try again"})
    assert scoped(kept, ANYTHING).invoke({"query": "a", "limit": 99}) == "try again"


class Recorder(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[str] = []
        self.custom: list[dict[str, Any]] = []

    def on_tool_start(self, serialized: dict[str, Any], input_str: str, **kwargs: Any) -> None:
        self.events.append(f"start {serialized['name']}")

    def on_tool_end(self, output: Any, **kwargs: Any) -> None:
        self.events.append("end")

    def on_tool_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append(f"error {type(error).__name__}")

    def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        assert name == "langchain_guard.verdict"
        self.custom.append(data)


class AsyncRecorder(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.custom: list[dict[str, Any]] = []

    async def on_custom_event(self, name: str, data: Any, **kwargs: Any) -> None:
        self.custom.append(data)


def test_one_run_a_call_and_its_verdict_inside() -> None:
    handler = Recorder()
    made = scoped(search, ToolRule(args={"query": Arg.text(3)}))
    made.invoke({"query": "abc"}, {"callbacks": [handler]})
    made.invoke({"query": "the secret"}, {"callbacks": [handler]})
    assert handler.events == ["start search", "end"] * 2
    assert [event["action"] for event in handler.custom] == ["allow", "block"]
    assert handler.custom[1]["findings"][0] | {"start": 0} == {
        "rule": "text",
        "kind": "tool_call",
        "start": 0,
        "end": 0,
        "score": 1.0,
        "where": "args.query",
    }
    assert "secret" not in repr(handler.custom)
    later = AsyncRecorder()
    asyncio.run(made.ainvoke({"query": "the secret"}, {"callbacks": [later]}))
    assert [event["action"] for event in later.custom] == ["block"]


def test_verdicts_are_collected() -> None:
    made = scoped(search, ToolRule(args={"query": Arg.text(3)}))
    with collect_verdicts() as verdicts:
        made.invoke({"query": "a"})
        made.invoke({"query": "the secret"})
    assert [verdict.action for verdict in verdicts] == ["allow", "block"]


# -- copies


def module_level(query: str) -> str:
    """Echo."""
    return query


def test_copies_keep_the_scope() -> None:
    plain = StructuredTool.from_function(module_level, args_schema=Search, name="search", description="x")
    rule = ToolRule(args={"query": Arg.enum("a"), "limit": Arg.fixed(3)}, budget=100)
    made = scoped(StructuredTool(name="search", description="x", args_schema=Search, func=python_search), rule)
    assert plain.name == made.name
    copies = [copy.copy(made), copy.deepcopy(made), made.model_copy(), pickle.loads(pickle.dumps(made))]
    for number, copied in enumerate(copies):
        assert isinstance(copied, ScopedTool)
        assert copied.invoke({"query": "a"}) == "a-3"
        assert "refused" in copied.invoke({"query": f"b{number}"})
        assert list(shown(copied)["properties"]) == ["query"]
    assert made.scope.state.used("search", "anonymous") == 3, "copies share the budget, a pickle starts empty"


def python_search(query: str, limit: int) -> str:
    return f"{query}-{limit}"


def test_scoping_twice_is_a_conjunction() -> None:
    once = scoped(search, ToolRule(args={"query": Arg.enum("a", "b"), "limit": Arg.range(1, 5)}))
    twice = scoped(once, ToolRule(args={"query": Arg.enum("b", "c"), "limit": Arg.range(2, 9)}))
    assert outcome(twice, {"query": "b"}) == ("success", "b/3/int")
    for args in ({"query": "a"}, {"query": "c"}, {"query": "b", "limit": 1}, {"query": "b", "limit": 6}):
        assert denied(twice, args)
    properties = shown(twice)["properties"]
    assert (properties["query"]["enum"], properties["limit"]["minimum"], properties["limit"]["maximum"]) == (
        ["b"],
        2,
        5,
    )
    assert outcome(once, {"query": "a"}) == ("success", "a/3/int")


def test_bound_scoped_tools_reach_the_provider_narrowed() -> None:
    from langchain_openai import ChatOpenAI

    made = scoped(search, ToolRule(args={"query": Arg.enum("a"), "limit": Arg.fixed(3)}))
    model: Any = ChatOpenAI(model="m", api_key="x").bind_tools([made])
    assert list(model.kwargs["tools"][0]["function"]["parameters"]["properties"]) == ["query"]


def test_results_of_every_form_pass_unchanged() -> None:
    @tool(response_format="content_and_artifact")
    def with_artifact(n: int) -> tuple[str, dict[str, int]]:
        """Artifact."""
        return "text", {"n": n}

    @tool
    def blocks(n: int) -> list[dict[str, str]]:
        """Blocks."""
        return [{"type": "text", "text": str(n)}]

    message = scoped(with_artifact, ANYTHING).invoke(tool_call("with_artifact", n=1))
    assert (message.content, message.artifact) == ("text", {"n": 1})
    assert scoped(blocks, ANYTHING).invoke(tool_call("blocks", n=1)).content == [{"type": "text", "text": "1"}]


def test_a_direct_return_stays_one() -> None:
    direct = search.model_copy(update={"return_direct": True})
    assert scoped(direct, ANYTHING).return_direct


def test_create_agent_goes_on_after_a_denial() -> None:
    from langchain.agents import create_agent

    from langchain_guard.testing import Call, Reply, ScriptedChatModel

    calls = (Call("search", {"query": "nope"}, "c1"), Call("search", {"query": "a"}, "c2"))
    model = ScriptedChatModel([Reply(tool_calls=calls), "done"])
    agent: Any = create_agent(
        model, scope_tools([search], ToolScope({"search": ToolRule(args={"query": Arg.enum("a")})}))
    )
    messages = agent.invoke({"messages": [("user", "hi")]})["messages"]
    answers = [m for m in messages if isinstance(m, ToolMessage)]
    assert [(m.tool_call_id, m.status) for m in answers] == [("c1", "error"), ("c2", "success")]
    assert messages[-1].content == "done"
