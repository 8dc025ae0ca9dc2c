"""A scope as plain data: what a YAML or JSON file says, read strictly.

An Arg is an object with one key, named like the method: ``{"enum": ["a", "b"]}``, ``{"range": {"lo": 1, "hi": 5}}``;
``&`` and ``|`` are ``{"all_of": [...]}`` and ``{"any_of": [...]}``. Unknown keys are errors, and callables have no data
form.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.arg import Arg
from langchain_guard.tool_scope.kinds import Absent, AnyValue, Each, Either, OneOf, joined
from langchain_guard.tool_scope.rule import ToolRule

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Model = TypeVar("Model", bound=_Strict)


class RuleData(_Strict):
    """A `ToolRule`."""

    args: dict[str, dict[str, Any]] = Field(default_factory=dict)
    other_args: Literal["deny", "allow"] = "deny"
    budget: int | None = Field(default=None, ge=0)
    per: Literal["principal", "thread", "global"] = "principal"
    requires: list[str] = Field(default_factory=list)
    approve: bool | Literal["interrupt"] | None = None
    reads: Literal["trusted", "untrusted"] = "trusted"
    writes: bool = False


class ScopeData(_Strict):
    """A `ToolScope`."""

    tools: dict[str, RuleData]
    expires_at: Any = None
    on_denied: Literal["message", "raise"] = "message"
    approve: Literal["interrupt"] | None = None
    dry_run: bool = False
    describe: bool = False
    taint: Literal["allow", "ask", "deny"] = "allow"
    audit_args: bool = False
    name: str | None = None


def scope_from(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `ToolScope` that a mapping stands for.

    Raises:
        ConfigError: A key is unknown, a value is of the wrong type, or a rule cannot work.
    """
    parsed = _parsed(ScopeData, mapping, "ToolScope.from_data")
    kwargs = {name: getattr(parsed, name) for name in parsed.model_fields_set if name != "tools"}
    return {"rules": {tool: _rule(tool, rule) for tool, rule in parsed.tools.items()}, **kwargs}


def rule_from(tool: str, mapping: Mapping[str, Any]) -> ToolRule:
    """A rule from its data form.

    Raises:
        ConfigError: As `scope_from`.
    """
    return _rule(tool, _parsed(RuleData, mapping, f"rule of {tool!r}"))


def _rule(tool: str, rule: RuleData) -> ToolRule:
    args = {name: arg_from(value, f"{tool}.{name}") for name, value in rule.args.items()}
    return ToolRule(
        args,
        other_args=rule.other_args,
        budget=rule.budget,
        per=rule.per,
        requires=tuple(rule.requires),
        approve=rule.approve,
        reads=rule.reads,
        writes=rule.writes,
    )


def _parsed(model: type[Model], mapping: Any, what: str) -> Model:
    try:
        return model.model_validate(dict(mapping))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors(include_url=False)]
    except (TypeError, ValueError):
        lines = [f"must be a mapping, not {type(mapping).__name__}"]
    raise ConfigError(f"{what}: {'; '.join(lines)}")


def arg_from(data: Any, where: str) -> Arg:
    """An Arg from its data form.

    Args:
        data: An object with one key.
        where: Where it stands, for the error.

    Raises:
        ConfigError: The key is no kind of Arg, or its value does not fit.
    """
    if not isinstance(data, dict) or len(data) != 1:
        raise ConfigError(f"{where}: an Arg is an object with one key, one of {', '.join(_KINDS)}")
    [(kind, value)] = data.items()
    make = _KINDS.get(kind)
    if make is None:
        raise ConfigError(f"{where}: {kind!r} is no kind of Arg; there are {', '.join(_KINDS)}")
    try:
        return make(value, where)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    except (TypeError, ValueError, AttributeError):
        raise ConfigError(f"{where}: {kind!r} cannot be built from a {type(value).__name__}") from None


def _options(value: Any, single: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    """The keyword arguments of a kind: an object of its options, or the value of its first one alone."""
    if not isinstance(value, dict):
        return {single: value}
    if unknown := sorted(set(value) - set(allowed)):
        raise ConfigError(f"unknown option {unknown[0]!r}; there are {', '.join(allowed)}")
    return value


def _listed(value: Any, _: str) -> Arg:
    if not isinstance(value, list | tuple):
        raise ConfigError("must be a list of values")
    return OneOf(tuple(value))


def _range(value: Any, _: str) -> Arg:
    if isinstance(value, list | tuple):
        lo, hi = value
        return Arg.range(lo, hi)
    return Arg.range(**_options(value, "lo", ("lo", "hi")))


def _nothing(made: Arg) -> Callable[[Any, str], Arg]:
    def make(value: Any, _: str) -> Arg:
        if value not in ({}, None, True):
            raise ConfigError("takes no options: write {}")
        return made

    return make


def _each(value: Any, where: str) -> Arg:
    options = value if isinstance(value, dict) and "rule" in value else {"rule": value}
    options = _options(options, "rule", ("rule", "max_items"))
    return Each(arg_from(options["rule"], f"{where}.each"), options.get("max_items", 1000))


def _all_of(value: Any, where: str) -> Arg:
    return joined([arg_from(part, f"{where}.all_of[{index}]") for index, part in enumerate(value)])


def _any_of(value: Any, where: str) -> Arg:
    return Either(tuple(arg_from(part, f"{where}.any_of[{index}]") for index, part in enumerate(value)))


_KINDS: dict[str, Callable[[Any, str], Arg]] = {
    "any": _nothing(AnyValue()),
    "enum": _listed,
    "range": _range,
    "regex": lambda value, _: Arg.regex(**_options(value, "pattern", ("pattern", "max_chars"))),
    "fixed": lambda value, _: Arg.fixed(value),
    "absent": _nothing(Absent()),
    "each": _each,
    "text": lambda value, _: Arg.text(**_options(value, "max_chars", ("max_chars",))),
    "sql": lambda value, _: Arg.sql(**_options(value, "dialect", ("dialect", "tables", "max_rows", "row_filter"))),
    "path": lambda value, _: Arg.path(**_options(value, "root", ("root",))),
    "url": lambda value, _: Arg.url(**_options(value, "hosts", ("hosts", "schemes", "ports"))),
    "all_of": _all_of,
    "any_of": _any_of,
}
