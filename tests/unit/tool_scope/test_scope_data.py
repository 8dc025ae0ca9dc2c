"""A scope as data: what a file can say, and what it gets for a mistake."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.tools import tool
from sql_cases import TABLES

from langchain_guard import Arg, ConfigError, ToolRule, ToolScope


@tool
def pay(to: str, amount: int = 10) -> str:
    """Pay."""
    return f"{amount} to {to}"


FORMS = [
    ({"any": {}}, Arg.any()),
    ({"any": None}, Arg.any()),
    ({"enum": ["a", 1, None]}, Arg.enum("a", 1, None)),
    ({"range": {"lo": 1, "hi": 5}}, Arg.range(1, 5)),
    ({"range": {"hi": 5}}, Arg.range(None, 5)),
    ({"range": [1, 5]}, Arg.range(1, 5)),
    ({"regex": "[a-z]+"}, Arg.regex("[a-z]+")),
    ({"regex": {"pattern": "[a-z]+", "max_chars": 9}}, Arg.regex("[a-z]+", max_chars=9)),
    ({"fixed": {"a": [1]}}, Arg.fixed({"a": [1]})),
    ({"absent": {}}, Arg.absent()),
    ({"each": {"enum": ["a"]}}, Arg.each(Arg.enum("a"))),
    ({"each": {"rule": {"text": 5}, "max_items": 2}}, Arg.each(Arg.text(5), max_items=2)),
    ({"text": 200}, Arg.text(200)),
    ({"text": {"max_chars": 200}}, Arg.text(200)),
    ({"sql": {"dialect": "sqlite", "tables": TABLES}}, Arg.sql(dialect="sqlite", tables=TABLES)),
    ({"path": "/srv/data"}, Arg.path("/srv/data")),
    ({"path": {"root": "/srv/data"}}, Arg.path("/srv/data")),
    ({"url": ["api.example.com"]}, Arg.url(["api.example.com"])),
    ({"url": {"hosts": ["api.example.com"], "ports": [8443]}}, Arg.url(["api.example.com"], ports=[8443])),
    ({"all_of": [{"text": 5}, {"regex": "a+"}]}, Arg.text(5) & Arg.regex("a+")),
    ({"any_of": [{"absent": {}}, {"range": [1, 2]}]}, Arg.absent() | Arg.range(1, 2)),
]


@pytest.mark.parametrize(("data", "arg"), FORMS, ids=lambda value: str(value)[:50])
def test_each_kind_has_a_data_form_and_comes_back_from_it(data: Any, arg: Arg) -> None:
    scope = ToolScope.from_data({"tools": {"t": {"args": {"x": json.loads(json.dumps(data))}}}})
    assert scope.rules["t"].args["x"] == arg
    again = json.loads(json.dumps(arg.data()))
    assert ToolScope.from_data({"tools": {"t": {"args": {"x": again}}}}).rules == scope.rules


def test_a_whole_scope() -> None:
    data = {
        "tools": {
            "pay": {
                "args": {"to": {"enum": ["ann"]}, "amount": {"range": {"lo": 1, "hi": 5}}},
                "other_args": "allow",
                "budget": 3,
                "per": "thread",
                "requires": ["payments:write"],
                "approve": True,
                "reads": "untrusted",
                "writes": True,
            },
            "list": {},
        },
        "expires_at": "2030-01-01T00:00:00+00:00",
        "on_denied": "raise",
        "approve": "interrupt",
        "dry_run": True,
        "describe": True,
        "taint": "ask",
        "name": "payments",
    }
    scope = ToolScope.from_data(data, audit=print)
    assert scope.rules["pay"] == ToolRule(
        {"to": Arg.enum("ann"), "amount": Arg.range(1, 5)},
        other_args="allow",
        budget=3,
        per="thread",
        requires=("payments:write",),
        approve=True,
        reads="untrusted",
        writes=True,
    )
    assert scope.rules["pay"].data() == data["tools"]["pay"]  # type: ignore[index]
    assert (scope.expires_at, scope.on_denied, scope.taint, scope.name) == (1893456000.0, "raise", "ask", "payments")
    assert scope.audit is print
    assert scope.rules["list"] == ToolRule()


MISTAKES = [
    ({}, "tools"),
    ([], "tools"),
    ({"tools": []}, "tools"),
    ({"tools": {}, "on_denid": "raise"}, "on_denid"),
    ({"tools": {}, "dry_run": "no"}, "dry_run"),
    ({"tools": {}, "approve": "me"}, "approve"),
    ({"tools": {}, "audit": "print"}, "audit"),
    ({"tools": {}, "expires_at": "soon"}, "expires_at"),
    ({"tools": {"t": {"arg": {}}}}, "tools.t.arg"),
    ({"tools": {"t": {"budget": -1}}}, "tools.t.budget"),
    ({"tools": {"t": {"budget": "3"}}}, "tools.t.budget"),
    ({"tools": {"t": {"writes": 1}}}, "tools.t.writes"),
    ({"tools": {"t": {"when": "x"}}}, "tools.t.when"),
    ({"tools": {"t": {"args": {"x": "a"}}}}, "tools.t.args.x"),
    ({"tools": {"t": {"args": {"x": {}}}}}, r"t\.x: an Arg is an object with one key"),
    ({"tools": {"t": {"args": {"x": {"enum": ["a"], "text": 5}}}}}, "one key"),
    ({"tools": {"t": {"args": {"x": {"where": "len"}}}}}, "'where' is no kind of Arg"),
    ({"tools": {"t": {"args": {"x": {"__class__": 1}}}}}, "no kind of Arg"),
    ({"tools": {"t": {"args": {"x": {"enum": "abc"}}}}}, r"t\.x: must be a list"),
    ({"tools": {"t": {"args": {"x": {"enum": []}}}}}, "at least one value"),
    ({"tools": {"t": {"args": {"x": {"range": {"min": 1}}}}}}, "unknown option 'min'; there are lo, hi"),
    ({"tools": {"t": {"args": {"x": {"range": [1, 2, 3]}}}}}, "cannot be built"),
    ({"tools": {"t": {"args": {"x": {"regex": "("}}}}}, "not a valid regular expression"),
    ({"tools": {"t": {"args": {"x": {"regex": 5}}}}}, "must be a regular expression"),
    ({"tools": {"t": {"args": {"x": {"absent": 5}}}}}, "takes no options"),
    ({"tools": {"t": {"args": {"x": {"text": "5"}}}}}, "positive int"),
    ({"tools": {"t": {"args": {"x": {"each": {"rule": {"nope": 1}}}}}}}, r"t\.x\.each: 'nope'"),
    ({"tools": {"t": {"args": {"x": {"sql": {"dialect": "oracle", "tables": TABLES}}}}}}, "must be one of"),
    ({"tools": {"t": {"args": {"x": {"sql": {"dialect": "sqlite"}}}}}}, "cannot be built"),
    ({"tools": {"t": {"args": {"x": {"path": ""}}}}}, "absolute"),
    ({"tools": {"t": {"args": {"x": {"url": "api.example.com"}}}}}, "must be a list"),
    ({"tools": {"t": {"args": {"x": {"any_of": [{"fixed": 1}, {"text": 1}]}}}}}, "several alternatives"),
    ({"tools": {"t": {"args": {"x": {"all_of": 5}}}}}, "cannot be built"),
]


@pytest.mark.parametrize(("data", "says"), MISTAKES, ids=lambda value: str(value)[:60])
def test_a_mistake_is_an_error_that_says_where(data: Any, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        ToolScope.from_data(data)


def test_given_tools_unknown_names_are_errors() -> None:
    with pytest.raises(ConfigError, match="no tool 'pya'; there are pay"):
        ToolScope.from_data({"tools": {"pya": {}}}, tools=[pay])
    with pytest.raises(ConfigError, match="no argument 'ammount'; it has to, amount"):
        ToolScope.from_data({"tools": {"pay": {"args": {"ammount": {"any": {}}}}}}, tools=[pay])
    assert ToolScope.from_data({"tools": {"pay": {"args": {"to": {"text": 5}}}}}, tools=[pay]).rules
