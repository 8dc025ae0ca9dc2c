"""A `Reply` in the JSON of OpenAI's protocols; pure. Imports no LangChain.

Sources: https://platform.openai.com/docs/api-reference/chat (objects ``chat.completion`` and
``chat.completion.chunk``), https://platform.openai.com/docs/api-reference/responses-streaming (events) and
https://platform.openai.com/docs/guides/error-codes (errors).
"""

from __future__ import annotations

import itertools
import json
import threading
import zlib
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from langchain_guard.testing.script import Call, Reply

Event: TypeAlias = "dict[str, Any] | threading.Event"
"""One server-sent event, or an Event that holds the stream until it is set."""


def error(status: int, message: str) -> dict[str, Any]:
    """The body of an error answer."""
    kind = {429: "rate_limit_exceeded", 404: "not_found"}.get(
        status, "server_error" if status >= 500 else "invalid_request"
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": kind}}


def models(name: str) -> dict[str, Any]:
    """The answer of ``GET /v1/models``."""
    return {"object": "list", "data": [{"id": name, "object": "model", "created": 1, "owned_by": "langchain_guard"}]}


def _id(kind: str, request: Mapping[str, Any]) -> str:
    """An answer's id: another one for another request, since LangGraph replaces a message by one of the same id."""
    return f"{kind}_{zlib.crc32(json.dumps(request, sort_keys=True).encode()):08x}"


# -- chat completions --------------------------------------------------------------------------------------------------


def chat(reply: Reply, request: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer to ``POST /v1/chat/completions``."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": reply.refusal or None}
    if reply.tool_calls:
        message["tool_calls"] = [_chat_call(call, call.json) for call in reply.tool_calls]
    choice = {"message": message, "finish_reason": reply.finish_reason, "logprobs": None}
    if request.get("logprobs"):
        choice["logprobs"] = _logprobs(*(piece for piece in reply.pieces if isinstance(piece, str)))
    choices = [{"index": index, **choice} for index in range(request.get("n") or 1)]
    return {**_chat_head(request, "chat.completion"), "choices": choices, "usage": _chat_usage(reply)}


def chat_events(reply: Reply, request: Mapping[str, Any]) -> Iterator[Event]:
    """The streamed answer to ``POST /v1/chat/completions``, without the closing ``[DONE]``."""
    head = {**_chat_head(request, "chat.completion.chunk"), "usage": None}
    indexes = range(request.get("n") or 1)

    def chunks(delta: dict[str, Any], finish: str | None = None, spelled: str = "") -> Iterator[Event]:
        logprobs = _logprobs(spelled) if spelled and request.get("logprobs") else None
        for index in indexes:
            yield {**head, "choices": [{"index": index, "delta": delta, "finish_reason": finish, "logprobs": logprobs}]}

    yield from chunks({"role": "assistant", "content": ""})
    for piece in reply.pieces:
        if isinstance(piece, threading.Event):
            yield piece
        else:
            yield from chunks({"content": piece}, spelled=piece)
    if reply.refusal:
        yield from chunks({"refusal": reply.refusal})
    for index, call in enumerate(reply.tool_calls):
        yield from chunks({"tool_calls": [{"index": index, **_chat_call(call, "")}]})
        for piece in call.pieces:
            yield from chunks({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield from chunks({}, finish=reply.finish_reason)
    if reply.usage is not None and (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _chat_usage(reply)}


def _chat_head(request: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return {
        "id": _id("chatcmpl", request),
        "object": kind,
        "created": 1,
        "model": request.get("model"),
        "system_fingerprint": "fp_1",
    }


def _chat_call(call: Call, arguments: str) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _chat_usage(reply: Reply) -> dict[str, int] | None:
    if reply.usage is None:
        return None
    read, written = reply.usage
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _logprobs(*tokens: str) -> dict[str, Any]:
    content = [{"token": t, "logprob": -0.1, "bytes": list(t.encode()), "top_logprobs": []} for t in tokens]
    return {"content": content, "refusal": None}


# -- Responses ---------------------------------------------------------------------------------------------------------


def response(reply: Reply, request: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer to ``POST /v1/responses``."""
    return _response(request, "completed", _items(reply), reply)


def response_events(reply: Reply, request: Mapping[str, Any]) -> Iterator[Event]:
    """The streamed answer to ``POST /v1/responses``."""
    count = itertools.count()

    def event(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": f"response.{kind}", "sequence_number": next(count), **fields}

    yield event("created", response=_response(request, "in_progress", []))
    items = _items(reply)
    for index, item in enumerate(items):
        at = {"output_index": index, "item_id": item["id"]}
        opened: dict[str, Any] = {**item, "status": "in_progress"}
        if item["type"] == "message":
            part = item["content"][0]
            at["content_index"] = 0
            yield event("output_item.added", output_index=index, item={**opened, "content": []})
            if part["type"] == "refusal":
                yield event("content_part.added", **at, part={**part, "refusal": ""})
                yield event("refusal.delta", **at, delta=part["refusal"])
                yield event("refusal.done", **at, refusal=part["refusal"])
            else:
                yield event("content_part.added", **at, part={**part, "text": ""})
                for piece in reply.pieces:
                    if isinstance(piece, threading.Event):
                        yield piece
                    else:
                        yield event("output_text.delta", **at, delta=piece, logprobs=[])
                yield event("output_text.done", **at, text=part["text"], logprobs=[])
            yield event("content_part.done", **at, part=part)
        else:
            yield event("output_item.added", output_index=index, item={**opened, "arguments": ""})
            call = next(call for call in reply.tool_calls if call.id == item["call_id"])
            for piece in call.pieces:
                yield event("function_call_arguments.delta", **at, delta=piece)
            yield event("function_call_arguments.done", **at, arguments=item["arguments"], name=item["name"])
        yield event("output_item.done", output_index=index, item=item)
    yield event("completed", response=_response(request, "completed", items, reply))


def _items(reply: Reply) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reply.pieces or reply.refusal or not reply.tool_calls:
        part: dict[str, Any] = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        if reply.refusal:
            part = {"type": "refusal", "refusal": reply.refusal}
        items.append({"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]})
    items += [
        {
            "id": f"fc_{number}",
            "type": "function_call",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.json,
            "status": "completed",
        }
        for number, call in enumerate(reply.tool_calls, 1)
    ]
    return items


def _response(
    request: Mapping[str, Any], status: str, output: list[dict[str, Any]], reply: Reply | None = None
) -> dict[str, Any]:
    usage = None
    if reply is not None and reply.usage is not None:
        read, written = reply.usage
        usage = {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        }
    incomplete = reply is not None and reply.finish_reason == "length"
    return {
        "id": _id("resp", request),
        "object": "response",
        "created_at": 1,
        "model": request.get("model"),
        "status": "incomplete" if incomplete else status,
        "incomplete_details": {"reason": "max_output_tokens"} if incomplete else None,
        "output": output,
        "usage": usage,
        "error": None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "text": request.get("text") or {"format": {"type": "text"}},
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "top_p": 1.0,
    }
