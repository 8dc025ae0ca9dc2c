"""What the model is shown of a scoped tool's arguments.

The tool keeps validating with the whole of its own schema: a pydantic schema is narrowed by a subclass of it, which
keeps validators, aliases, defaults and injected arguments; only its JSON schema says less. Arguments whose value comes
from the scope leave the schema, and are put in after validation.
"""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_core.tools.base import _is_injected_arg_type, get_all_basemodel_annotations
from pydantic import BaseModel, create_model, field_validator

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.arg import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from langchain_core.tools import BaseTool
    from pydantic import GetJsonSchemaHandler
    from pydantic.fields import FieldInfo
    from pydantic_core import CoreSchema

    from langchain_guard.tool_scope.arg import Arg
    from langchain_guard.tool_scope.rule import ToolRule


def argument_names(tool: BaseTool) -> list[str]:
    """The arguments that a tool's call can have, injected ones included."""
    schema = tool.args_schema
    if isinstance(schema, dict):
        return list(schema.get("properties", {}))
    if schema is None and not _is_structured(tool):
        return list(tool.args)
    return list(_fields(tool.get_input_schema()))


def _is_structured(tool: BaseTool) -> bool:
    """Whether the arguments of a tool without a schema can be told from its ``_run`` (not so for ``Tool``)."""
    parameters = inspect.signature(tool._run).parameters.values()
    return all(p.kind is not p.VAR_POSITIONAL for p in parameters)


def _fields(schema: Any) -> dict[str, Any]:
    return dict(getattr(schema, "model_fields", None) or getattr(schema, "__fields__", {}))


def takes_others(tool: BaseTool) -> bool:
    """Whether a tool takes arguments that its schema does not name."""
    schema = tool.args_schema
    if isinstance(schema, dict):
        return "additionalProperties" in schema and schema["additionalProperties"] is not False
    config = getattr(schema, "model_config", None) or {}
    return config.get("extra") == "allow" or "kwargs" in _fields(schema)


def injected_names(tool: BaseTool) -> frozenset[str]:
    """Arguments that the application puts in, which neither the model nor the scope sees."""
    names = set(getattr(tool, "_injected_args_keys", ()))
    if tool.args_schema is not None and not isinstance(tool.args_schema, dict):
        annotations = get_all_basemodel_annotations(tool.args_schema)
        names |= {name for name, kind in annotations.items() if _is_injected_arg_type(kind)}
    return frozenset(names)


def defaults_of(tool: BaseTool) -> dict[str, Any]:
    """The tool's own defaults, as far as they can be told without running it."""
    schema = tool.args_schema
    if isinstance(schema, dict):
        listed = schema.get("properties", {})
        return {name: p["default"] for name, p in listed.items() if isinstance(p, dict) and "default" in p}
    found = {}
    if schema is not None or _is_structured(tool):
        for name, field in _fields(schema or tool.get_input_schema()).items():
            required = field.is_required() if hasattr(field, "is_required") else getattr(field, "required", True)
            if not required:
                found[name] = _default(field)
    return {name: value for name, value in found.items() if value is not MISSING}


def _default(field: Any) -> Any:
    try:
        return field.get_default(call_default_factory=True)
    except TypeError:  # a factory that needs the validated data, or pydantic 1
        return field.get_default() if getattr(field, "default_factory", None) is None else MISSING


def narrowed_schema(tool: BaseTool, rules: Mapping[str, Arg], *, describe: bool) -> Any:
    """The tool's ``args_schema`` as the model may see it; the same object if there is nothing to narrow."""
    schema = tool.args_schema
    if isinstance(schema, dict):
        return _narrowed_dict(schema, rules, describe=describe)
    hidden = {name for name, rule in rules.items() if rule.hides}
    shown = {name: rule for name, rule in rules.items() if name not in hidden and _says(rule, describe=describe)}
    if not hidden and not shown:
        return schema
    model = schema or tool.get_input_schema()
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        if hidden:
            raise ConfigError(f"tool {tool.name!r}: Arg.fixed needs a pydantic 2 or JSON schema")
        return schema
    return _narrowed_model(model, hidden, shown, describe=describe)


def _says(rule: Arg, *, describe: bool) -> bool:
    return rule.narrowed({"items": {}}) != {"items": {}} or (describe and bool(rule.sentence()))


def _described(text: str | None, rule: Arg, *, describe: bool) -> str | None:
    sentence = rule.sentence() if describe else ""
    return f"{text} {sentence}" if text and sentence else text or sentence or None


def _narrowed_dict(schema: dict[str, Any], rules: Mapping[str, Arg], *, describe: bool) -> dict[str, Any]:
    listed = schema.get("properties", {})
    properties = {}
    for name, shown in listed.items():
        rule = rules.get(name)
        if rule is None or not isinstance(shown, dict):
            properties[name] = shown
        elif not rule.hides:
            properties[name] = rule.narrowed(shown)
            if (text := _described(shown.get("description"), rule, describe=describe)) is not None:
                properties[name] = {**properties[name], "description": text}
    if properties == listed:
        return schema
    out = {**copy.deepcopy(schema), "properties": properties}
    if "required" in schema:
        out["required"] = [name for name in schema["required"] if name in properties or name not in listed]
    return out


class _Narrowing:
    """Metadata of a field that narrows its JSON schema and leaves its validation alone."""

    def __init__(self, rule: Arg) -> None:
        self.rule = rule

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return self.rule.narrowed(handler(core))


def _narrowed_model(
    model: type[BaseModel], hidden: set[str], shown: Mapping[str, Arg], *, describe: bool
) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, rule in shown.items():
        if name in model.model_fields:
            field: FieldInfo = copy.copy(model.model_fields[name])
            field.metadata = [*field.metadata, _Narrowing(rule)]
            field.description = _described(field.description, rule, describe=describe)
            fields[name] = (field.annotation, field)
    made = create_model(model.__name__, __base__=_without(model, hidden), __doc__=model.__doc__, **fields)
    made.__module__, made.__qualname__ = model.__module__, model.__qualname__
    return made


def _without(model: type[BaseModel], hidden: set[str]) -> type[BaseModel]:
    """A subclass without some fields: a class variable takes a field's place, and its validators go quiet."""
    gone = hidden & set(model.model_fields)
    if not gone:
        return model
    namespace: dict[str, Any] = {
        "__annotations__": dict.fromkeys(gone, ClassVar[Any]),
        "__module__": model.__module__,
        "__doc__": model.__doc__,
        **dict.fromkeys(gone),
    }
    for name, decorated in model.__pydantic_decorators__.field_validators.items():
        info = decorated.info
        if gone.isdisjoint(info.fields):
            continue
        function = inspect.getattr_static(model, name)
        fields = [field for field in info.fields if field not in gone] or list(info.fields)
        namespace[name] = field_validator(*fields, mode=info.mode, check_fields=False)(function)
    made: type[BaseModel] = type(model)(model.__name__, (model,), namespace)  # type: ignore[misc]
    return made


def require_known(rules: Mapping[str, ToolRule], tools: Sequence[BaseTool], *, every: bool = True) -> None:
    """Check that the rules name tools and arguments that exist: a constraint on a misspelt argument protects nothing.

    Args:
        rules: The rules of a scope.
        tools: The tools.
        every: Whether each rule needs a tool.

    Raises:
        ConfigError: One does not.
    """
    by_name = {tool.name: tool for tool in tools}
    for name, rule in rules.items():
        if name not in by_name:
            if every:
                raise ConfigError(f"there is no tool {name!r}; there are {', '.join(sorted(by_name))}")
            continue
        tool = by_name[name]
        known = argument_names(tool)
        if takes_others(tool):
            continue
        for argument in rule.args:
            if argument not in known and rule.args[argument].kind != "absent":
                raise ConfigError(f"tool {name!r} has no argument {argument!r}; it has {', '.join(known) or 'none'}")
