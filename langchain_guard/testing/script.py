"""What a scripted model says: replies in pieces, shared by `ScriptedChatModel` and `ScriptedServer`. Imports no LangChain."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of a reply.

    Attributes:
        name: The tool's name.
        args: Its arguments; a str (or a sequence of str) is sent as it stands, for broken JSON or exact stream pieces.
        id: The call's identifier.
        piece: Characters per streamed piece of the arguments, when `args` does not give the pieces itself.
    """

    name: str
    args: Mapping[str, Any] | str | Sequence[str]
    id: str = "call_1"
    piece: int = 6

    @property
    def pieces(self) -> tuple[str, ...]:
        """The arguments as JSON text, cut as they are streamed."""
        if isinstance(self.args, Mapping | str):
            return cut(self.json, self.piece)
        return tuple(self.args)

    @property
    def json(self) -> str:
        """The arguments as JSON text."""
        if isinstance(self.args, Mapping):
            return json.dumps(self.args)
        return self.args if isinstance(self.args, str) else "".join(self.args)


@dataclass(frozen=True, slots=True, init=False)
class Reply:
    """One answer of a scripted model.

    Args:
        *pieces: The text, each piece one streamed chunk. A `threading.Event` among them holds a `ScriptedServer`'s
            stream there until it is set (or the client leaves), so that a test can look at what has arrived so far.
        tool_calls: Tool calls that follow the text.
        usage: Tokens of input and output; None sends none.
        refusal: The text with which a model declines, in place of an answer.
        finish_reason: Why the answer ends; by default ``"stop"``, or ``"tool_calls"``.
        break_after: Pieces after which the connection breaks; None never.
        delay: Seconds that a server waits before each piece.
        status: HTTP status of a server's answer; other than 200 it is an error and has no text.
        headers: More HTTP headers of a server's answer, such as ``{"retry-after": "2"}``.
    """

    pieces: tuple[str | threading.Event, ...]
    tool_calls: tuple[Call, ...]
    usage: tuple[int, int] | None
    refusal: str
    finish_reason: str
    break_after: int | None
    delay: float
    status: int
    headers: Mapping[str, str]

    def __init__(
        self,
        *pieces: str | threading.Event,
        tool_calls: Sequence[Call] = (),
        usage: tuple[int, int] | None = (7, 5),
        refusal: str = "",
        finish_reason: str = "",
        break_after: int | None = None,
        delay: float = 0.0,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        values = {
            "pieces": pieces,
            "tool_calls": tuple(tool_calls),
            "usage": usage,
            "refusal": refusal,
            "finish_reason": finish_reason or ("tool_calls" if tool_calls else "stop"),
            "break_after": break_after,
            "delay": delay,
            "status": status,
            "headers": headers or {},
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @classmethod
    def words(cls, text: str, **settings: Any) -> Self:
        """A reply cut before each word, roughly as models do."""
        return cls(*re.findall(r"\s*\S+|\s+\Z", text), **settings)

    @classmethod
    def every(cls, size: int, text: str, **settings: Any) -> Self:
        """A reply cut every `size` characters."""
        return cls(*cut(text, size), **settings)

    @classmethod
    def error(cls, status: int, *, retry_after: float | None = None) -> Self:
        """A server's error; `retry_after` in seconds goes into the ``Retry-After`` header (RFC 9110, 10.2.3)."""
        return cls(status=status, headers={} if retry_after is None else {"retry-after": f"{retry_after:g}"})

    @property
    def text(self) -> str:
        """The whole text."""
        return "".join(piece for piece in self.pieces if isinstance(piece, str))


Answer: TypeAlias = "Reply | str | Exception"
"""One scripted answer; a plain str is cut into words, an exception is raised (a server answers status 500)."""


class Script:
    """The answers of a model, in order.

    Args:
        replies: One answer, given every time; a list of answers, given in order, each once; or a function from the
            request to an answer.
    """

    def __init__(self, replies: Answer | Sequence[Answer] | Callable[[Any], Answer]) -> None:
        self._replies = replies
        self._lock = threading.Lock()
        self._next: Iterator[Answer] = iter(())
        if isinstance(replies, Sequence) and not isinstance(replies, str):
            self._next = iter(tuple(replies))

    def answer(self, request: Any) -> Reply | Exception:
        """The answer to a request.

        Raises:
            RuntimeError: A list of answers is used up: the code under test called the model more often than scripted.
        """
        replies = self._replies
        if isinstance(replies, Reply | str | Exception):
            answer = replies
        elif isinstance(replies, Sequence):
            with self._lock:
                try:
                    answer = next(self._next)
                except StopIteration:
                    raise RuntimeError(f"the script has {len(replies)} replies and was called once more") from None
        else:
            answer = replies(request)
        return Reply.words(answer) if isinstance(answer, str) else answer

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[type[Self], tuple[Any]]:
        return type(self), (self._replies,)


def cut(text: str, size: int) -> tuple[str, ...]:
    """`text` in pieces of `size` characters; one empty piece for an empty text."""
    return tuple(text[i : i + size] for i in range(0, len(text), size)) or ("",)
