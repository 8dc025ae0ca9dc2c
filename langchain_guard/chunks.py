"""Streams of LCEL chunks, judged channel by channel.

A stream carries several texts at once: the answer, each content block, the model's reasoning, the arguments of each
tool call. Each is a channel with a scanner of its own. What a scanner releases goes out in the chunk that released it;
what is held when the model says "last" goes out before that chunk, because LangChain finalises tool calls there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from langchain_core.messages import AIMessageChunk, BaseMessageChunk
from langchain_core.runnables.utils import AddableDict

from langchain_guard.json_stream import JsonScanner
from langchain_guard.policy import Reading, placed
from langchain_guard.run import added
from langchain_guard.runnable import ChunkFilter
from langchain_guard.values import PROVIDER_KEYS, copied, rewrite, rewrite_field, rewrite_key
from langchain_guard.verdict import Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from langchain_guard.errors import Refused
    from langchain_guard.policy import TextPolicy
    from langchain_guard.run import Call
    from langchain_guard.streaming import Scanner
    from langchain_guard.values import Segment, Visit
    from langchain_guard.verdict import Action, Finding

_TEXT_FIELDS = frozenset({"text", "reasoning", "thinking", "refusal", "input", "reasoning_content"})
_JSON_FIELDS = frozenset({"arguments", "partial_json", "args"})
_STREAMED_FIELDS = _TEXT_FIELDS | _JSON_FIELDS
_REPEATED_METADATA = ("model_provider", "output_version")  # on every chunk; LangChain merges them without joining them


class Step(NamedTuple):
    """One level of the way from a message chunk down to a text."""

    identity: dict[str, Any]
    """What tells LangChain which block to merge a piece into."""
    name: str
    listed: bool = False


Steps = tuple[Step, ...]
_NONE: dict[str, Any] = {}


class _Channel(NamedTuple):
    scanner: Scanner
    where: str
    steps: Steps


class Judging(Protocol):
    """What a filter needs to know of the guard it works for (`langchain_guard.text.TextGuard`)."""

    @property
    def on_unreadable(self) -> str:
        """What to do with what cannot be read."""

    def get_name(self) -> str:
        """The guard's name."""

    def _refusal(self, verdict: Verdict) -> Refused: ...


class TextFilter(ChunkFilter):
    """Judges the chunks of one stream with a text policy; reports one verdict, when the stream ends or is blocked."""

    def __init__(self, guard: Judging, policy: TextPolicy, call: Call, path: str = "") -> None:
        self.guard, self.policy, self.call, self.path = guard, policy, call, path
        self.whole = Reading(policy)  # what does not come in pieces
        self.channels: dict[Hashable, _Channel] = {}
        self.below: dict[Any, tuple[Any, TextFilter]] = {}
        self.keys: dict[tuple[str, Any], tuple[Any, str]] = {}
        self.ordinals: dict[Hashable, int] = {}
        self.others: list[BaseMessageChunk] = []
        self.waiting: tuple[Any, list[str]] | None = None  # a snapshot, and its texts
        self.closed: list[Finding] = []
        self.action: Action = "allow"
        self.message_id: str | None = None
        self.metadata: dict[str, Any] = {}

    def feed(self, chunk: Any) -> Iterator[Any]:
        """The decided part of everything that was fed so far, in the form of `chunk`."""
        yield from self._feed(chunk)
        if self._blocked():
            self._refuse()

    def end(self) -> Iterator[Any]:
        """What was held; then the verdict."""
        yield from self._drain()
        if self._blocked():
            self._refuse()
        self.call.decided(self._verdict())

    # -- the judgement

    def _blocked(self) -> bool:
        return "block" in (self.action, self.whole.action) or any(f._blocked() for _, f in self.below.values())

    def _refuse(self) -> None:
        verdict = self._verdict()
        self.call.decided(verdict)
        raise self.guard._refusal(verdict)

    def _verdict(self) -> Verdict:
        return Verdict(self.guard.get_name(), worst(self._actions()), tuple(self._findings()))

    def _actions(self) -> Iterator[Action]:
        yield self.action
        yield self.whole.action
        for _, below in self.below.values():
            yield from below._actions()

    def _findings(self) -> Iterator[Finding]:
        yield from self.closed
        yield from dict.fromkeys(self.whole.findings)  # a snapshot repeats those of the one before it
        for channel in self.channels.values():
            yield from placed(channel.scanner.findings, channel.where)
        for _, below in self.below.values():
            yield from below._findings()

    # -- kinds of chunks

    def _feed(self, chunk: Any) -> Iterator[Any]:
        if isinstance(chunk, (str, AIMessageChunk, AddableDict)):
            yield from self._settled()
        if isinstance(chunk, str):
            released = self._scan("", "", chunk, ()) if chunk else chunk
            if released or not chunk:
                yield chunk if released == chunk else released
        elif isinstance(chunk, AIMessageChunk):
            yield from self._message(chunk)
        elif isinstance(chunk, AddableDict):
            yield from self._keys(chunk)
        elif isinstance(chunk, BaseMessageChunk):
            self.others.append(chunk)  # nobody streams what is no answer: it is judged whole
        else:
            yield from self._snapshot(chunk)

    def _snapshot(self, value: Any) -> Iterator[Any]:
        """A value that may be replaced by a longer one of itself, as parsers of JSON and of tool calls stream them.

        It waits for the next value if one of its texts ends where something might begin; what has grown in the next one
        is shown as far as it is decided.
        """
        texts: list[str] = []
        decided = True

        def look(segment: Segment) -> str:
            nonlocal decided
            texts.append(segment.text)
            decided = decided and self._begun(segment) == segment.text
            return segment.text

        self._rewritten(value, look)
        yield from self._settled(texts)
        if decided:
            yield value
        else:
            self.waiting = value, texts

    def _settled(self, following: Sequence[str] = ()) -> Iterator[Any]:
        """The snapshot that waits, given the texts of the next one; without a next one all of it is judged."""
        if self.waiting is None:
            return
        (value, texts), self.waiting = self.waiting, None
        later = iter([*following, *texts[len(following) :]])

        def visit(segment: Segment) -> str:
            text = next(later)
            grows = len(text) > len(segment.text) and text.startswith(segment.text)
            return self._begun(segment, keep=True) if grows else self.whole.visit(segment)

        yield from self._judged(value, visit)

    def _begun(self, segment: Segment, *, keep: bool = False) -> str:
        """What may be shown of a text that may go on."""
        scanner: Any = self.policy.scanner(segment.role)
        shown: str = scanner.feed(segment.text)
        if keep:
            self.action = worst((self.action, scanner.action))
            if scanner.action == "block":
                self.closed += placed(scanner.findings, segment.path)
        return shown

    def _judged(self, value: Any, visit: Visit) -> Iterator[Any]:
        judged = self._rewritten(value, visit)
        if "block" not in (self.action, self.whole.action):
            yield judged

    def _rewritten(self, value: Any, visit: Visit) -> Any:
        return rewrite(value, visit, lenient=self.guard.on_unreadable == "pass", path=self.path)

    def _keys(self, chunk: AddableDict) -> Iterator[Any]:
        """A dict that streams: each key is a stream of its own."""
        for key, value in chunk.items():
            if key not in self.below:
                shown, path = rewrite_key(key, self.whole.visit, path=self.path)
                self.below[key] = shown, TextFilter(self.guard, self.policy, self.call, path)
            shown, below = self.below[key]
            for out in below._feed(value):
                yield AddableDict({shown: out})

    def _message(self, chunk: AIMessageChunk) -> Iterator[AIMessageChunk]:
        self.message_id = chunk.id or self.message_id
        for key in _REPEATED_METADATA:
            if key in chunk.response_metadata:
                self.metadata[key] = chunk.response_metadata[key]
        content = self._content(chunk.content)
        calls = [piece for i, call in enumerate(chunk.tool_call_chunks) for piece in self._tool_call(i, call)]
        extra = chunk.additional_kwargs and self._extra(
            chunk.additional_kwargs, ("kwargs",), self._at("additional_kwargs"), (Step({}, "additional_kwargs"),)
        )
        if chunk.chunk_position == "last" and self.channels:
            if content or calls or extra:
                yield self._piece({"content": content, "tool_call_chunks": calls, "additional_kwargs": extra})
            yield from self._drain()
            content, calls, extra = ("" if isinstance(chunk.content, str) else []), [], {}
        metadata = self._fields(chunk.response_metadata, self._at("response_metadata"))
        if metadata.get("logprobs"):  # they spell the raw text, token by token
            metadata = {**metadata, "logprobs": None}
        more = chunk.__pydantic_extra__ and self._fields(chunk.__pydantic_extra__, self.path)
        same = content == chunk.content and calls == chunk.tool_call_chunks and extra == chunk.additional_kwargs
        if same and metadata is chunk.response_metadata and more is chunk.__pydantic_extra__:
            yield chunk
        elif content or calls or extra or more or _carries(chunk):
            yield _rebuilt(chunk, content, calls, extra, metadata, more)

    # -- places in a message

    def _content(self, content: Any) -> Any:
        if isinstance(content, str):
            return self._scan("content", self._at("content"), content, (Step({}, "content"),)) if content else content
        steps = (Step({}, "content", listed=True),)
        out: list[Any] = []
        for block in content:
            if isinstance(block, str):
                piece: Any = self._scan("strings", self._at("content[*]"), block, steps)
            else:
                piece = self._block(block, ("block", block.get("index")), self._at("content"), steps)
            if piece:
                out.append(piece)
        return out

    def _block(self, block: dict[str, Any], key: tuple[Hashable, ...], at: str, steps: Steps) -> dict[str, Any] | None:
        """A content block's piece without what is held; None if that leaves nothing."""
        at = f"{at}[{self._ordinal(key)}]"
        identity: dict[str, Any] = {name: block[name] for name in ("type", "index") if name in block}
        out: dict[str, Any] = {}
        held = kept = False
        for name, value in block.items():
            if isinstance(value, str) and name in _STREAMED_FIELDS:
                down = (*steps, Step(identity, name))
                out[name] = self._scan((*key, name), f"{at}.{name}", value, down) if value else value
                held, kept = held or bool(value), kept or bool(out[name]) or not value
            elif isinstance(value, list) and value and all(isinstance(v, dict) and "index" in v for v in value):
                down = (*steps, Step(identity, name, listed=True))
                pieces = [self._block(v, (*key, name, v["index"]), f"{at}.{name}", down) for v in value]
                out[name] = [piece for piece in pieces if piece]
                held, kept = True, kept or bool(out[name])
            else:
                shown, where = self._key(name, at)
                out[shown] = rewrite_field(block, name, self.whole.visit, path=where)
                kept = kept or name not in identity
        return None if held and not kept else out

    def _tool_call(self, position: int, call: Any) -> Iterator[Any]:
        """A tool call's piece, without what is held; a call that ends here is closed."""
        index, args = call.get("index"), call.get("args")
        key = ("call", position if index is None else index)
        if call.get("id") and key in self.channels:  # another call at the same place: the one before it is complete
            yield from self._close(key).get("tool_call_chunks", ())
            self.ordinals.pop(key, None)
        piece = {"name": None, "args": "", "id": None, "index": index, "type": "tool_call_chunk"}
        steps = (Step({}, "tool_call_chunks", listed=True), Step(piece, "args"))
        where = self._at(f"tool_calls[{self._ordinal(key)}].args")
        released = self._scan(key, where, args, steps) if args else args
        if index is None:  # LangChain merges no pieces without an index: this one is whole
            held = self._close(key).get("tool_call_chunks", ())
            released = (released or "") + "".join(piece["args"] for piece in held)
        if released or call.get("name") or call.get("id") or not args:
            yield call if released == args else {**call, "args": released}

    def _extra(
        self, extra: dict[str, Any], key: tuple[Hashable, ...], at: str, steps: Steps, identity: dict[str, Any] = _NONE
    ) -> dict[str, Any]:
        """additional_kwargs: LangChain joins their strings, so each of them is a channel."""
        out: dict[str, Any] = {}
        for name, value in extra.items():
            shown, where = self._key(name, at)
            below, down = (*key, name), (*steps, Step(identity, shown))
            if name in PROVIDER_KEYS:
                out[name] = value
            elif isinstance(value, str):
                out[shown] = self._scan(below, where, value, down) if value else value
            elif isinstance(value, dict):
                out[shown] = self._extra(value, below, where, down)
            elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
                down = (*steps, Step(identity, shown, listed=True))
                out[shown] = [
                    self._extra(item, (*below, item.get("index", i)), f"{where}[{i}]", down, _index_of(item))
                    for i, item in enumerate(value)
                ]
            else:
                out[shown] = rewrite_field(extra, name, self.whole.visit, path=where)
        return out

    def _fields(self, fields: dict[str, Any], at: str) -> dict[str, Any]:
        """Fields that nobody streams (response_metadata, unknown ones): each is judged whole, with its chunk."""
        if fields.keys() <= PROVIDER_KEYS:
            return fields
        out = {}
        for name in fields:
            shown, where = self._key(name, at)
            out[shown] = rewrite_field(fields, name, self.whole.visit, path=where)
        return fields if all(out.get(name, _NONE) is value for name, value in fields.items()) else out

    def _key(self, name: str, at: str) -> tuple[Any, str]:
        """The name of a provider's field as it may go on, and the path below it; judged once, not with every chunk."""
        if (at, name) not in self.keys:
            self.keys[at, name] = rewrite_key(name, self.whole.visit, path=at, provider=True)
        return self.keys[at, name]

    def _at(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name

    def _ordinal(self, key: Hashable) -> int:
        """The number of a block or a tool call among its kind, in order of appearance."""
        if key not in self.ordinals:
            kind = key[:-1] if isinstance(key, tuple) else key
            self.ordinals[key] = self.ordinals.get(kind, 0)
            self.ordinals[kind] = self.ordinals[key] + 1
        return self.ordinals[key]

    # -- channels

    def _scan(self, key: Hashable, where: str, text: str, steps: Steps) -> str:
        channel = self.channels.get(key)
        if channel is None:
            scanner: Any = partial(self.policy.scanner, "ai" if steps else "user")
            is_json = bool(steps) and steps[-1].name in _JSON_FIELDS
            made = JsonScanner(scanner) if is_json else scanner()
            channel = self.channels[key] = _Channel(made, where or self.path, steps)
        released = channel.scanner.feed(str(text))
        if channel.scanner.action != self.action:
            self.action = worst((self.action, channel.scanner.action))
        return released

    def _close(self, key: Hashable) -> Any:
        """End a channel: what it held, as the fields of a message chunk (or as a str)."""
        channel = self.channels.pop(key, None)
        if channel is None:
            return {}
        held: Any = channel.scanner.close()
        self.action = worst((self.action, channel.scanner.action))
        self.closed += placed(channel.scanner.findings, channel.where)
        if not held:
            return {}
        for identity, name, listed in reversed(channel.steps):
            held = {**identity, name: [held] if listed else held}
        return held

    def _drain(self) -> Iterator[Any]:
        """What is held, channel by channel."""
        yield from self._settled()
        if self.others:
            yield from self._judged(added(self.others), self.whole.visit)
            self.others = []
        for key in list(self.channels):
            held = self._close(key)
            if held:
                yield held if isinstance(held, str) else self._piece(held)
        for shown, below in self.below.values():
            for out in below._drain():
                yield AddableDict({shown: out})

    def _piece(self, fields: dict[str, Any]) -> AIMessageChunk:
        return AIMessageChunk(**{"content": "", **fields}, id=self.message_id, response_metadata=dict(self.metadata))


def _index_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"index": item["index"]} if "index" in item else {}


def _carries(chunk: AIMessageChunk) -> bool:
    """Whether a chunk says more than the text in it."""
    told = chunk.response_metadata.keys() - set(_REPEATED_METADATA)
    return bool(told or chunk.usage_metadata or chunk.chunk_position)


def _rebuilt(
    chunk: AIMessageChunk,
    content: Any,
    calls: list[Any],
    extra: dict[str, Any],
    metadata: dict[str, Any],
    more: dict[str, Any] | None,
) -> AIMessageChunk:
    changes = {"content": content, "additional_kwargs": extra, "response_metadata": metadata}
    if not chunk.tool_call_chunks:
        return copied(chunk, changes, more)
    # a copy would keep the tool calls that LangChain parsed from the raw arguments; building anew parses again
    return AIMessageChunk(
        **changes,
        tool_call_chunks=calls,
        id=chunk.id,
        name=chunk.name,
        usage_metadata=chunk.usage_metadata,
        chunk_position=chunk.chunk_position,
        **(more or {}),
    )
