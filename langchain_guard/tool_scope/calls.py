"""The tool calls in a value: where models and providers put them, each with its path.

A call can stand in several places of one message: parsed in ``tool_calls``, unparsed in ``invalid_tool_calls``, as the
provider sent it in ``additional_kwargs`` or in a content block. An executor may read any of them, so all are judged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCKS = frozenset(
    {"tool_use", "tool_call", "function_call", "custom_tool_call", "tool_call_chunk", "input_json_delta"}
)
_RAW = ("tool_calls", "function_call")


class ToolCallAt(NamedTuple):
    """One call: where it stands, what it calls with what, and its id. `args` is None if they cannot be read."""

    path: str
    name: str
    args: dict[str, Any] | None
    id: str | None


def calls_in(value: Any) -> list[ToolCallAt]:
    """The calls in an AIMessage, in a list of messages, or under ``"messages"``; those already answered are left out."""
    if isinstance(value, AIMessage):
        return list(_of_message(value, ""))
    if isinstance(value, dict) and isinstance(value.get("messages"), list | tuple):
        return _of_history(value["messages"], "messages")
    if isinstance(value, list | tuple):
        return _of_history(value, "")
    return []


def _of_history(messages: Any, path: str) -> list[ToolCallAt]:
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    found: list[ToolCallAt] = []
    for index, message in enumerate(messages):
        if isinstance(message, AIMessage):
            found += [call for call in _of_message(message, f"{path}[{index}].") if call.id not in answered]
    return found


def _of_message(message: AIMessage, path: str) -> Iterator[ToolCallAt]:
    known: list[tuple[str, Any]] = []
    for index, call in enumerate(message.tool_calls):
        known.append((call["name"], call["args"]))
        yield ToolCallAt(f"{path}tool_calls[{index}]", call["name"], call["args"], call.get("id"))
    for index, bad in enumerate(message.invalid_tool_calls):
        args = _object(bad.get("args"))
        known.append((bad.get("name") or "", args))
        yield ToolCallAt(f"{path}invalid_tool_calls[{index}]", bad.get("name") or "", args, bad.get("id"))
    for raw in _raw_calls(message, path):
        if (raw.name, raw.args) not in known:
            yield raw


def _raw_calls(message: AIMessage, path: str) -> Iterator[ToolCallAt]:
    """The calls as the provider sent them."""
    listed = message.additional_kwargs.get("tool_calls")
    for index, call in enumerate(listed if isinstance(listed, list) else ()):
        function = call.get("function") if isinstance(call, dict) else None
        if isinstance(function, dict):
            where = f"{path}additional_kwargs.tool_calls[{index}]"
            yield ToolCallAt(where, str(function.get("name")), _object(function.get("arguments")), call.get("id"))
    function = message.additional_kwargs.get("function_call")
    if isinstance(function, dict):
        where = f"{path}additional_kwargs.function_call"
        yield ToolCallAt(where, str(function.get("name")), _object(function.get("arguments")), None)
    for index, block in enumerate(message.content if isinstance(message.content, list) else ()):
        if isinstance(block, dict) and block.get("type") in _BLOCKS and block.get("name"):
            yield ToolCallAt(f"{path}content[{index}]", str(block["name"]), _block_args(block), block.get("id"))


def _block_args(block: dict[str, Any]) -> dict[str, Any] | None:
    if block.get("type") == "custom_tool_call":  # free text, which LangChain parses into one argument of this name
        return {"__arg1": block.get("input")}
    for key in ("partial_json", "arguments", "args", "input"):
        if block.get(key):
            return _object(block[key])
    return {}


def _object(args: Any) -> dict[str, Any] | None:
    """Arguments as a dict; None if they are no JSON object."""
    if isinstance(args, str):
        try:
            args = json.loads(args) if args.strip() else {}
        except (ValueError, RecursionError):
            return None
    return args if isinstance(args, dict) else {} if args is None else None


def carries_calls(chunk: AIMessageChunk) -> bool:
    """Whether a piece of a message carries a piece of a tool call."""
    return bool(
        chunk.tool_call_chunks
        or chunk.tool_calls
        or chunk.invalid_tool_calls
        or any(chunk.additional_kwargs.get(key) for key in _RAW)
        or (
            isinstance(chunk.content, list)
            and any(isinstance(block, dict) and block.get("type") in _BLOCKS for block in chunk.content)
        )
    )
