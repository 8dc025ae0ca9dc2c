"""Validation of tools that describe their arguments by a JSON schema (MCP): LangChain itself does not validate those."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from langchain_guard.errors import ConfigError
from langchain_guard.tool_scope.scope import Refusal, plain

if TYPE_CHECKING:
    from collections.abc import Iterator


class Validator:
    """Checks arguments against a tool's JSON schema (draft 2020-12); remote references are not followed.

    Args:
        schema: The schema.
        tool: The tool's name, for errors.

    Raises:
        ConfigError: The schema is not valid, or jsonschema is not installed.
    """

    def __init__(self, schema: dict[str, Any], tool: str) -> None:
        try:
            from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # noqa: PLC0415  # only tools with such a schema need it
            from jsonschema.exceptions import SchemaError  # type: ignore[import-untyped]  # noqa: PLC0415
            from referencing import Registry  # noqa: PLC0415
        except ImportError:
            raise ConfigError(
                f'tool {tool!r} has a JSON schema, which needs jsonschema: pip install "langchain-guard[agents]"'
            ) from None
        try:
            Draft202012Validator.check_schema(schema)
        except SchemaError:
            raise ConfigError(f"tool {tool!r}: its args_schema is not a valid JSON schema") from None
        self.schema = schema
        self._validator = Draft202012Validator(schema, registry=Registry())

    def refusals(self, args: dict[str, Any], injected: frozenset[str]) -> tuple[Refusal, ...]:
        """What is wrong with the arguments: the argument and the schema's keyword, never the value."""
        given = {name: value for name, value in args.items() if name not in injected}
        if any(isinstance(number, float) and not math.isfinite(number) for number in _leaves(given)):
            return (Refusal("schema", "", "its arguments hold a number that is not finite"),)
        try:
            errors = list(self._validator.iter_errors(given))
        except Exception as error:  # noqa: BLE001  # a reference that cannot be resolved, a schema that never ends
            return (Refusal("unavailable", "", f"the tool's schema could not be used ({type(error).__name__})"),)
        return tuple(_refusal(error) for error in errors[:5])

    def __reduce__(self) -> tuple[type[Validator], tuple[dict[str, Any], str]]:
        return Validator, (self.schema, "")


def _refusal(error: Any) -> Refusal:
    where = f"args.{plain(error.absolute_path[0])}" if error.absolute_path else ""
    reason = f"does not fit the tool's schema ({error.validator})"
    return Refusal(
        "schema", where, reason if where else f"its arguments do not fit the tool's schema ({error.validator})"
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value
