"""A server on 127.0.0.1 that speaks OpenAI's protocols and says what it is told: standard library, real HTTP."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_guard.testing import wire
from langchain_guard.testing.script import Reply, Script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from langchain_guard.testing.script import Answer

_POLL_S = 0.005  # how soon a held stream notices that its Event is set or its client has left


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a script sees it.

    Attributes:
        path: The URL's path, such as ``/v1/chat/completions``.
        headers: The HTTP headers, names in lower case.
        body: The decoded JSON.
    """

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The conversation, as ``messages`` or ``input`` give it."""
        messages = self.body.get("messages") or self.body.get("input") or []
        return [{"role": "user", "content": messages}] if isinstance(messages, str) else messages

    @property
    def text(self) -> str:
        """The text of the last message."""
        content = self.messages[-1].get("content", self.messages[-1].get("output")) if self.messages else ""
        return content if isinstance(content, str) else json.dumps(content)

    @property
    def tools(self) -> list[str]:
        """Names of the tools that the model is offered."""
        return [(tool.get("function") or tool).get("name", "") for tool in self.body.get("tools") or []]


@dataclass(slots=True)
class Exchange:
    """One request and how its answer went.

    Attributes:
        request: What the client sent.
        sent: Events of the stream that were written, 1 for an answer in one piece.
        outcome: ``"running"``, then ``"done"``, ``"aborted"`` (the client left) or ``"broken"`` (the script broke it).
    """

    request: Request
    sent: int = 0
    outcome: Literal["running", "done", "aborted", "broken"] = "running"


class _ClientLeft(Exception):
    """The client closed its connection."""


class _Break(Exception):
    """The script breaks the connection here."""


@dataclass(slots=True)
class _State:
    script: Script
    model: str
    exchanges: list[Exchange] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)
    closing: threading.Event = field(default_factory=threading.Event)

    @contextlib.contextmanager
    def exchange(self, request: Request) -> Iterator[Exchange]:
        exchange = Exchange(request)
        with self.changed:
            self.exchanges.append(exchange)
        outcome: Literal["done", "aborted", "broken"] = "done"
        try:
            yield exchange
        except (_ClientLeft, ConnectionError):
            outcome = "aborted"
        except _Break:
            outcome = "broken"
        finally:
            with self.changed:
                exchange.outcome = outcome
                self.changed.notify_all()


class ScriptedServer:
    """An OpenAI-compatible server with scripted answers, for ``ChatOpenAI(base_url=server.url, api_key="unused")``.

    Serves ``POST /v1/chat/completions`` and ``POST /v1/responses``, streamed and not, with tool calls, ``n``, logprobs,
    usage (in a stream when ``stream_options.include_usage`` asks for it), refusals, errors with ``Retry-After`` and
    connections that break, and ``GET /v1/models``. Every streamed piece is one event, flushed at once. A client that
    leaves is noticed, also while the stream is held or waits.

    Args:
        replies: One answer for every request; a list of answers, one request each; or a function from the `Request`
            to an answer. An answer is a `Reply`, a str (streamed word by word) or an exception (status 500).
        model: Name that ``GET /v1/models`` gives.

    Example:
        >>> from urllib.request import urlopen
        >>> from langchain_guard.testing import ScriptedServer
        >>> with ScriptedServer("hello") as server:
        ...     urlopen(server.url + "/models").status
        200
    """

    def __init__(
        self, replies: Answer | Sequence[Answer] | Callable[[Request], Answer] = "ok", *, model: str = "scripted"
    ) -> None:
        self._state = _State(Script(replies), model)
        handler = type("Handler", (_Handler,), {"state": self._state})
        self._http = _HTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """The ``base_url`` for a client."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    @property
    def exchanges(self) -> list[Exchange]:
        """Every request for an answer, in order of arrival, and how it went."""
        return list(self._state.exchanges)

    @property
    def requests(self) -> list[Request]:
        """Every request for an answer, in order of arrival."""
        return [exchange.request for exchange in self.exchanges]

    @property
    def sent(self) -> int:
        """Events written to all streams so far."""
        return sum(exchange.sent for exchange in self.exchanges)

    @property
    def aborted(self) -> int:
        """Answers that the client did not wait for."""
        return sum(exchange.outcome == "aborted" for exchange in self.exchanges)

    def join(self, timeout: float = 5.0) -> None:
        """Wait until no answer is being written; in async code ``await asyncio.to_thread(server.join)``.

        Args:
            timeout: Seconds to wait at most.

        Raises:
            TimeoutError: An answer is still being written, so its client has not left and no Event was set.
        """
        state = self._state
        with state.changed:
            if not state.changed.wait_for(lambda: all(e.outcome != "running" for e in state.exchanges), timeout):
                raise TimeoutError("an answer is still being written")

    def close(self) -> None:
        """Stop serving; held streams end as broken."""
        self._state.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is the client's business; nothing is printed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: _State

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name is the base class's
        """Requests are in `ScriptedServer.requests`, not on standard error."""

    def end_headers(self) -> None:
        # One answer a connection: a client's pool of idle connections would outlive the test that opened them.
        self.send_header("connection", "close")
        super().end_headers()

    def do_GET(self) -> None:
        if self.path == "/v1/models":
            self._send_json(200, wire.models(self.state.model))
        else:
            self._send_json(404, wire.error(404, f"no such path: {self.path}"))

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.path not in {"/v1/chat/completions", "/v1/responses"}:
            self._send_json(404, wire.error(404, f"no such path: {self.path}"))
            return
        try:
            body = json.loads(raw)
        except ValueError:
            self._send_json(400, wire.error(400, "the body is not JSON"))
            return
        request = Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with self.state.exchange(request) as exchange:
            self._answer(request, exchange)

    def _answer(self, request: Request, exchange: Exchange) -> None:
        try:
            reply = self.state.script.answer(request)
        except Exception as error:  # noqa: BLE001  # a mistake in a test's script reaches the test as an HTTP error
            reply = error
        if isinstance(reply, Exception):
            self._send_json(500, wire.error(500, f"{type(reply).__name__}: {reply}"))
        elif reply.status != 200:
            self._send_json(reply.status, wire.error(reply.status, "scripted error"), reply.headers.items())
        elif request.body.get("stream"):
            self._send_events(reply, request, exchange)
        else:
            self._send_whole(reply, request)
            exchange.sent = 1

    def _send_whole(self, reply: Reply, request: Request) -> None:
        self._wait(reply.delay)
        for piece in reply.pieces:
            if isinstance(piece, threading.Event):
                self._hold(piece)
        answer = wire.chat if request.path.endswith("completions") else wire.response
        self._send_json(200, answer(reply, request.body), reply.headers.items(), broken=reply.break_after is not None)

    def _send_json(self, status: int, value: Any, headers: Any = (), *, broken: bool = False) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, content in (("content-type", "application/json"), ("content-length", str(len(data))), *headers):
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if broken else data)
        if broken:
            raise _Break

    def _send_events(self, reply: Reply, request: Request, exchange: Exchange) -> None:
        chat = request.path.endswith("completions")
        self.send_response(200)
        # Chunked, so that a client can tell a stream that broke from one that ended.
        headers = {"content-type": "text/event-stream", "transfer-encoding": "chunked", **reply.headers}
        for name, content in headers.items():
            self.send_header(name, content)
        self.end_headers()
        pieces = 0
        for event in (wire.chat_events if chat else wire.response_events)(reply, request.body):
            if isinstance(event, threading.Event):
                self._hold(event)
                continue
            if _holds_piece(event):
                if pieces == reply.break_after:
                    raise _Break
                pieces += 1
                self._wait(reply.delay)
            self._stop_if_left()
            self._send_chunk(
                f"data: {json.dumps(event)}\n\n" if chat else f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"
            )
            exchange.sent += 1
        self._send_chunk("data: [DONE]\n\n" if chat else "")
        self.wfile.write(b"0\r\n\r\n")

    def _send_chunk(self, text: str) -> None:
        data = text.encode()
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()

    def _hold(self, event: threading.Event) -> None:
        while not event.is_set():
            self._wait(_POLL_S)

    def _wait(self, seconds: float) -> None:
        """Wait, and notice at once when the client leaves."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.state.closing.is_set():
                raise _Break
            select.select([self.connection], [], [], min(left, 0.05))
            self._stop_if_left()

    def _stop_if_left(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if not self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                raise _ClientLeft


def _holds_piece(event: dict[str, Any]) -> bool:
    """Whether an event carries a piece of the reply, and is none that opens or closes it."""
    if "choices" in event:
        delta = event["choices"][0]["delta"] if event["choices"] else {}
        return bool(delta.get("content") or (delta.get("tool_calls") or [{}])[0].get("function", {}).get("arguments"))
    return str(event["type"]).endswith(".delta")
