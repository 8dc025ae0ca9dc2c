"""LCEL values and the texts in them: read every text with its path, put changed texts back into a copy.

One walk serves both, so that what is judged and what is replaced cannot drift apart. What does not change is handed on
by identity; nothing is ever changed in place.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

from langchain_core.documents import Document
from langchain_core.load.serializable import Serializable
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ChatMessage, ToolMessage
from pydantic import BaseModel, SecretBytes, SecretStr

from langchain_guard.policy import PLAIN_KEY

MAX_DEPTH = 64
"""Levels of nesting after which a value counts as unreadable; a value that holds itself ends here too."""

_MIN_NUMBER = 1_000_000  # shorter numbers cannot be a card, a phone or an id

_LEAVES = (
    type(None), bool, float, complex, decimal.Decimal, fractions.Fraction, dt.date, dt.time, dt.timedelta, uuid.UUID,
    PurePath, SecretStr, SecretBytes, enum.Enum, type(...),
)  # fmt: skip

# What providers put beside texts: identifiers, signatures and binary data, which a guard must not touch.
PROVIDER_KEYS = frozenset({
    "type", "id", "index", "name", "role", "status", "signature", "thought_signature", "encrypted_content",
    "encrypted_index", "mime_type", "base64", "file_id", "call_id", "item_id", "tool_use_id", "tool_call_id",
    "cache_control", "model", "model_name", "model_provider", "finish_reason", "stop_reason", "stop_sequence",
    "system_fingerprint", "service_tier", "output_version", "created", "created_at", "token_usage", "usage", "headers",
    "logprobs", "detail", "source_type", "media_type", "format", "__gemini_function_call_thought_signatures__",
})  # fmt: skip
# What providers call their texts. Any other key of their dicts is judged as a text itself, as the keys of a dict are.
_PROVIDER_NAMES = PROVIDER_KEYS | {
    "text", "content", "reasoning", "reasoning_content", "thinking", "summary", "refusal", "input", "output", "args",
    "arguments", "partial_json", "function", "function_call", "tool_calls", "annotations", "citations", "cited_text",
    "citation", "title", "url", "value", "data", "parsed", "error", "extras", "document_title", "image_url", "audio",
    "start_index", "end_index", "start_char_index", "end_char_index", "document_index", "container", "phase",
    "safety_ratings", "prompt_feedback", "incomplete_details", "conversation", "metadata", "object", "user",
    "done", "done_reason", "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count",
    "eval_duration",
}  # fmt: skip
_JSON_KEYS = frozenset({"arguments", "partial_json"})
_ARGUMENT_KEYS = frozenset({"args", "input"})
_ROLES = {"human": "user", "user": "user", "ai": "ai", "AIMessageChunk": "ai", "assistant": "ai", "system": "system",
          "developer": "system", "tool": "tool", "function": "tool"}  # fmt: skip
_CALLS = ("tool_calls", "invalid_tool_calls")
_CALLS_OF_A_CHUNK = (*_CALLS, "tool_call_chunks")
M = TypeVar("M", bound=BaseModel)


class Segment(NamedTuple):
    """One text inside a value.

    Attributes:
        path: Where it stands, such as ``messages[2].tool_calls[0].args.to``; "" when the value is the text.
        text: The text.
        role: Who wrote it: ``"user"``, ``"ai"``, ``"system"``, ``"tool"`` or ``"document"``.
    """

    path: str
    text: str
    role: str


class Unreadable(Exception):  # says what the value is, and is always turned into a GuardUnavailable
    """A value (or a part of it) is none of the kinds in which a text can be found."""


Visit = Callable[[Segment], str]
"""Given a text, the text to put in its place: the same object for no change."""


def rewrite(value: Any, visit: Visit, *, lenient: bool = False, path: str = "") -> Any:
    """Visit every text of `value`, in order, and return the value with the texts that `visit` gave back.

    Args:
        value: Any value that may run through a chain.
        visit: Called once per text.
        lenient: Leave alone what cannot be read instead of raising.
        path: Where `value` itself stands.

    Returns:
        The same object if no text changed, else a copy that shares everything unchanged.

    Raises:
        Unreadable: A part of it is of a kind that cannot be read, such as an open file.
    """
    return _Walk(visit, lenient=lenient).value(value, path, "user", 0)


def rewrite_field(block: dict[str, Any], key: str, visit: Visit, *, path: str) -> Any:
    """`rewrite` for one field of a content block, of additional_kwargs or of response_metadata of an AI message."""
    return _Walk(visit, lenient=True).provider_field(block, key, block[key], path, "ai", 0)


def rewrite_key(key: Any, visit: Visit, *, path: str, provider: bool = False) -> tuple[Any, str]:
    """A dict's key as it may go on, and the path of what stands below it: ``[*]`` for a key that is no plain name.

    Args:
        key: The key.
        visit: As for `rewrite`.
        path: Where the dict stands.
        provider: Whether the dict is a provider's (of an AI message), whose own names are no texts.
    """
    return _Walk(visit, lenient=True).key(key, path, "ai" if provider else "user", 0, provider=provider)


def read(value: Any) -> list[Segment]:
    """Every text of `value` with its path and role, in order.

    Raises:
        Unreadable: As `rewrite`.
    """
    found: list[Segment] = []

    def keep(segment: Segment) -> str:
        found.append(segment)
        return segment.text

    rewrite(value, keep)
    return found


def role_of(message: BaseMessage) -> str:
    """Who wrote a message: "user" for every role that is not known."""
    kind = message.role if isinstance(message, ChatMessage) else message.type
    return _ROLES.get(kind, "user")


def describe(value: Any) -> dict[str, Any]:
    """What a trace may know of a value: its type and how much of it there is, never its text."""
    text = getattr(value, "content", None) or getattr(value, "page_content", None) or value
    size = len(text) if hasattr(text, "__len__") else None
    return {"type": type(value).__name__, **({} if size is None else {"length": size})}


class _Walk:
    """The recursion behind `rewrite`; each method returns the same object if nothing in it changed."""

    def __init__(self, visit: Visit, *, lenient: bool) -> None:
        self.visit, self.lenient = visit, lenient

    def text(self, text: str, path: str, role: str) -> str:
        return self.visit(Segment(path, text, role)) if text else text

    def value(self, value: Any, path: str, role: str, depth: int) -> Any:
        if isinstance(value, str):
            return value if isinstance(value, enum.Enum) else self.text(value, path, role)
        if isinstance(value, _LEAVES):
            return value
        if depth > MAX_DEPTH:
            return self.unreadable(value, f"it is nested deeper than {MAX_DEPTH} levels, or holds itself")
        if isinstance(value, int):
            return self.number(value, path, role)
        if isinstance(value, BaseMessage):
            return self.message(value, path, depth)
        if isinstance(value, Document):
            return self.fields(value, ("page_content", "metadata"), path, "document", depth)
        if isinstance(value, BaseModel):
            names = tuple(type(value).model_fields)
            if isinstance(value, Serializable):  # LangChain's own: these two name the object, they are nobody's text
                names = tuple(name for name in names if name not in {"type", "id"})
            return self.fields(value, names, path, role, depth)
        if isinstance(value, Mapping):
            return self.mapping(value, path, role, depth)
        if isinstance(value, (list, tuple, deque, set, frozenset)):
            return self.sequence(value, path, role, depth)
        if isinstance(value, (bytes, bytearray)):
            return self.encoded(value, path, role)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self.fields(value, [f.name for f in dataclasses.fields(value)], path, role, depth)
        return self.unreadable(value, f"a {type(value).__name__} is no kind of value in which a guard can read texts")

    def number(self, number: int, path: str, role: str) -> int | str:
        if -_MIN_NUMBER < number < _MIN_NUMBER:
            return number
        try:
            digits = str(number)
        except ValueError:  # beyond sys.get_int_max_str_digits(): longer than anything a rule looks for
            return number
        changed = self.text(digits, path, role)
        return number if changed == digits else changed

    def encoded(self, value: bytes | bytearray, path: str, role: str) -> Any:
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return self.unreadable(value, f"{type(value).__name__} that are no UTF-8 text")
        changed = self.text(text, path, role)
        return value if changed == text else type(value)(changed.encode())

    def fields(self, value: Any, names: Any, path: str, role: str, depth: int) -> Any:
        changes = {}
        for name in names:
            old = getattr(value, name, None)
            new = self.value(old, _attribute(path, name), role, depth + 1)
            if new is not old:
                changes[name] = new
        if isinstance(value, BaseModel):
            extra = value.__pydantic_extra__
            return copied(value, changes, self.mapping(extra, path, role, depth) if extra else extra)
        if not changes:
            return value
        changed = copy.copy(value)
        for name, new in changes.items():
            object.__setattr__(changed, name, new)
        return changed

    def mapping(self, value: Mapping[Any, Any], path: str, role: str, depth: int) -> Any:
        out: dict[Any, Any] = {}
        same = True
        for key, old in value.items():
            new_key, below = self.key(key, path, role, depth)
            if new_key is not key:
                new_key = _unused(new_key, value, out)
            new = self.value(old, below, role, depth + 1)
            same = same and new is old and new_key is key
            out[new_key] = new
        return value if same else _like(value, out)

    def key(self, key: Any, path: str, role: str, depth: int, *, provider: bool = False) -> tuple[Any, str]:
        """A key as it may go on, and the path below it."""
        if provider and key in _PROVIDER_NAMES:
            return key, _attribute(path, key)
        hidden = f"{path}[*]"
        if not isinstance(key, str):
            return self.leniently(key, hidden, role, depth), hidden
        new = self.text(key, hidden, role)
        return new, _attribute(path, key) if new is key and PLAIN_KEY.fullmatch(key) else hidden

    def sequence(self, value: Any, path: str, role: str, depth: int) -> Any:
        new = [self.value(item, f"{path}[{i}]", role, depth + 1) for i, item in enumerate(value)]
        if all(a is b for a, b in zip(new, value, strict=True)):
            return value
        if isinstance(value, tuple) and hasattr(value, "_make"):  # a namedtuple
            return value._make(new)
        return type(value)(new)

    # -- messages

    def message(self, message: BaseMessage, path: str, depth: int) -> BaseMessage:
        role = role_of(message)
        changes: dict[str, Any] = {}

        def put(name: str, old: Any, new: Any) -> None:
            if new is not old:
                changes[name] = new

        content: Any = message.content
        at = _attribute(path, "content")
        put("content", content, self.text(content, at, role) if isinstance(content, str)
            else self.provider(content, at, role, depth + 1))  # fmt: skip
        if isinstance(message, AIMessage):
            # asking a pydantic object for what it lacks is slow
            for name in _CALLS_OF_A_CHUNK if isinstance(message, AIMessageChunk) else _CALLS:
                calls = getattr(message, name)
                if calls:
                    put(name, calls, self.calls(calls, _attribute(path, name), role, depth + 1))
        elif isinstance(message, ToolMessage) and message.artifact is not None:
            put(
                "artifact",
                message.artifact,
                self.leniently(message.artifact, _attribute(path, "artifact"), role, depth),
            )
        for name in ("additional_kwargs", "response_metadata"):
            extra = getattr(message, name)
            if extra:
                put(name, extra, self.provider(extra, _attribute(path, name), role, depth + 1))
        more = message.__pydantic_extra__
        if more:  # fields that LangChain does not know
            more = self.provider(more, path, role, depth + 1)
        if not changes:
            return copied(message, changes, more)
        metadata = changes.get("response_metadata", message.response_metadata)
        if metadata.get("logprobs"):  # they spell the text that was changed, token by token
            changes["response_metadata"] = {**metadata, "logprobs": None}
        return copied(message, changes, more)

    def calls(self, calls: list[Any], path: str, role: str, depth: int) -> list[Any]:
        """Tool calls, parsed or raw: their arguments are the model's text, their names and ids are not."""
        out = []
        for i, call in enumerate(calls):
            at = f"{path}[{i}]"
            args, error = call.get("args"), call.get("error")
            new_args = (
                self.json(args, f"{at}.args", role, depth)
                if isinstance(args, str)
                else self.value(args, f"{at}.args", role, depth + 1)
            )
            new_error = self.text(error, f"{at}.error", role) if isinstance(error, str) else error
            same = new_args is args and new_error is error
            out.append(
                call if same else {**call, "args": new_args, **({"error": new_error} if "error" in call else {})}
            )
        return calls if all(a is b for a, b in zip(out, calls, strict=True)) else out

    def leniently(self, value: Any, path: str, role: str, depth: int) -> Any:
        """An artifact or a key is the application's own object: what is no text in it is none of a guard's business."""
        lenient, self.lenient = self.lenient, True
        try:
            return self.value(value, path, role, depth + 1)
        finally:
            self.lenient = lenient

    def unreadable(self, value: Any, why: str) -> Any:
        if self.lenient:
            return value
        raise Unreadable(why)

    def json(self, raw: str, path: str, role: str, depth: int) -> str:
        """Raw JSON: its strings are judged decoded, so that escapes hide nothing and the result stays valid."""
        try:
            parsed = json.loads(raw)
        except ValueError:
            return self.text(raw, path, role)
        changed = self.value(parsed, path, role, depth + 1)
        return raw if changed is parsed else json.dumps(changed, ensure_ascii=False)

    def provider(self, value: Any, path: str, role: str, depth: int) -> Any:
        """Content blocks, additional_kwargs and response_metadata: like a value, less what providers need as it is."""
        if depth > MAX_DEPTH:
            return self.unreadable(value, f"it is nested deeper than {MAX_DEPTH} levels, or holds itself")
        if isinstance(value, list):
            new = [self.provider(item, f"{path}[{i}]", role, depth + 1) for i, item in enumerate(value)]
            return value if all(a is b for a, b in zip(new, value, strict=True)) else new
        if not isinstance(value, dict):
            return value if isinstance(value, int) else self.leniently(value, path, role, depth)
        out: dict[Any, Any] = {}
        same = True
        for key, old in value.items():
            new_key, below = self.key(key, path, role, depth, provider=True)
            if new_key is not key:
                new_key = _unused(new_key, value, out)
            new = self.provider_field(value, key, old, below, role, depth)
            same = same and new is old and new_key is key
            out[new_key] = new
        return value if same else out

    def provider_field(self, block: dict[Any, Any], key: Any, old: Any, path: str, role: str, depth: int) -> Any:
        if key in PROVIDER_KEYS or (key == "data" and block.get("type") != "text"):
            return old
        if isinstance(old, str):
            if key in _JSON_KEYS:
                return self.json(old, path, role, depth)
            return old if key == "url" and old.startswith("data:") else self.text(old, path, role)
        if key in _ARGUMENT_KEYS:
            return self.value(old, path, role, depth + 1)
        return self.provider(old, path, role, depth + 1)


def _attribute(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def copied(model: M, changes: dict[str, Any], extra: dict[str, Any] | None) -> M:
    """A pydantic model with changed fields and these extra ones; the same object if nothing changes."""
    same = extra is model.__pydantic_extra__
    if same and not changes:
        return model
    made = model.model_copy(update=changes)
    if not same:
        object.__setattr__(made, "__pydantic_extra__", extra)
    return made


def _unused(key: Any, *taken: Mapping[Any, Any]) -> Any:
    """Two keys that were replaced by the same text must not swallow each other's value."""
    number, free = 1, key
    while any(free in mapping for mapping in taken):
        number += 1
        free = f"{key}_{number}"
    return free


def _like(value: Mapping[Any, Any], items: dict[Any, Any]) -> Any:
    if type(value) is dict:
        return items
    try:
        changed: Any = copy.copy(value)
        for key in list(changed):
            del changed[key]
        changed.update(items)
    except (AttributeError, TypeError):
        return items
    return changed


__all__ = ["Segment", "Unreadable", "describe", "read", "rewrite", "role_of"]
