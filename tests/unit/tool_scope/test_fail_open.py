"""Where other policies were found to let something through: each has to be refused here."""

from __future__ import annotations

import math
from typing import Any

import pytest
from langchain_core.tools import tool
from scoped_kit import denied, scoped

from langchain_guard import Arg, ToolRule, ToolScope


@tool
def send(to: Any = None, body: str = "", bcc: Any = None, amount: Any = 0, tags: Any = None) -> str:
    """Send."""
    return "sent"


def refuses(rule: ToolRule, args: dict[str, Any]) -> bool:
    scope = ToolScope({"send": rule})
    by_tool = denied(scoped(send, rule), args)
    by_name = scope.explain("send", args).blocked
    return by_tool and by_name


TO = ToolRule(args={"to": Arg.regex(r".*@corp\.example"), "body": Arg.any()})


@pytest.mark.parametrize(
    ("rule", "args"),
    [
        pytest.param(TO, {"body": "x"}, id="a constrained argument is left out"),
        pytest.param(TO, {}, id="every argument is left out"),
        pytest.param(TO, {"to": None, "body": "x"}, id="a constrained argument is null"),
        pytest.param(TO, {"to": "a@corp.example", "bcc": "eve@evil.test"}, id="an argument that no rule names"),
        pytest.param(TO, {"to": "a@corp.example.evil.test"}, id="a pattern that matches the beginning"),
        pytest.param(TO, {"to": "a@corp.example\n"}, id="a pattern and a line end"),
        pytest.param(TO, {"to": ["a@corp.example"]}, id="a list under a pattern"),
        pytest.param(TO, {"to": {"x": "a@corp.example"}}, id="an object under a pattern"),
        pytest.param(
            ToolRule(args={"to": Arg.url(["api.example.com"])}),
            {"to": "https://evil.test/?https://api.example.com/"},
            id="a host that stands elsewhere in the URL",
        ),
        pytest.param(
            ToolRule(args={"to": Arg.url(["api.example.com"])}),
            {"to": "https://evil.test\\@api.example.com/"},
            id="a backslash before the at sign",
        ),
        *(
            pytest.param(ToolRule(args={"amount": Arg.range(0, 100)}), {"amount": bad}, id=f"not in the range: {bad!r}")
            for bad in ("9999", math.nan, math.inf, -5, True, False, [5], {"n": 5}, None, "")
        ),
        pytest.param(ToolRule(args={"tags": Arg.enum("a")}), {"tags": ["a"]}, id="a list under an enum"),
        pytest.param(ToolRule(args={"tags": Arg.each(Arg.enum("a"))}), {"tags": ["a", ["b"]]}, id="a list in a list"),
        pytest.param(
            ToolRule(args={"to": Arg.absent()}), {"to": ""}, id="an empty value for an argument that must be absent"
        ),
        pytest.param(
            ToolRule(args={"to": Arg.where(lambda v: v.startswith("a"))}), {"to": 5}, id="a predicate that raises"
        ),
        pytest.param(
            ToolRule(other_args="allow", when=lambda args, who: args["missing"]),
            {"to": "x"},
            id="a condition that raises",
        ),
        pytest.param(
            ToolRule(other_args="allow", when=lambda args, who: None), {"to": "x"}, id="a condition that says nothing"
        ),
        pytest.param(ToolRule(other_args="allow", requires=("x",)), {"to": "x"}, id="a caller nobody knows"),
        pytest.param(
            ToolRule(args={"to": Arg.fixed(lambda who: who.id)}), {"to": "root"}, id="a fixed value of nobody"
        ),
    ],
)
def test_it_is_refused(rule: ToolRule, args: dict[str, Any]) -> None:
    assert refuses(rule, args)


def test_no_policy_is_not_an_open_one() -> None:
    assert ToolScope({}).explain("send", {}).blocked
    assert ToolScope({"other": ToolRule(other_args="allow")}).explain("send", {}).blocked
    assert ToolScope({"send": ToolRule()}).explain("send", {"to": "x"}).blocked


def test_a_rule_fits_its_own_tool_only() -> None:
    scope = ToolScope({"send": ToolRule(other_args="allow")})
    for name in ("Send", "send ", "send_all", "sen", "", "*", "send\0"):
        assert scope.explain(name, {}).blocked


def test_what_a_tool_raises_is_not_taken_for_a_refusal() -> None:
    @tool
    def fails(n: int) -> str:
        """Fail."""
        raise PermissionError("the tool's own")

    with pytest.raises(PermissionError, match="the tool's own"):
        scoped(fails, ToolRule(other_args="allow")).invoke({"n": 1})
