"""What guards decide, as seen by logs, counters, tracers and events; and that none of them gets a text."""

from __future__ import annotations

import json
import logging
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.callbacks import dispatch_custom_event
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.base import BaseTracer
from langsmith import Client

from contract.small_guards import MARK, Block, Redact
from langchain_guard import Arg, ConfigError, OutputBlocked, RateLimiter, ToolRule, ToolScope, scope_tools
from langchain_guard.events import EVENT
from langchain_guard.logs import VerdictHandler, VerdictTracer, log_verdict
from langchain_guard.testing import ManualClock, ScriptedChatModel
from support import collect, run

if TYPE_CHECKING:
    from collections.abc import Callable

RAW = "the code is SECRET-1234"


@tool
def look(q: str) -> str:
    """Look something up."""
    return q


def chain() -> Any:
    return RateLimiter("9/minute", clock=ManualClock()) | ScriptedChatModel(RAW) | Redact()


# -- logs


def test_a_verdict_is_one_line_for_a_person_and_a_record_for_a_machine(caplog):
    caplog.set_level(logging.DEBUG, "langchain_guard")
    chain().invoke("hi", {"callbacks": [VerdictHandler()]})
    lines = [record for record in caplog.records if hasattr(record, "verdict")]
    assert [(r.levelname, r.getMessage()) for r in lines] == [
        ("DEBUG", "RateLimiter: allow"),
        ("INFO", "Redact: redact, rules secret"),
    ]
    logged = json.loads(json.dumps([record.verdict for record in lines]))
    assert logged[1]["findings"][0] | {"score": 1} == {
        "rule": "secret", "kind": "secret", "start": 12, "end": 23, "score": 1, "where": "content",
    }  # fmt: skip
    assert logged[0]["run_id"] != logged[1]["run_id"]
    assert "SECRET-" not in repr([record.__dict__ for record in caplog.records])


def test_a_refusal_is_a_warning(caplog):
    caplog.set_level(logging.INFO, "langchain_guard")
    with pytest.raises(OutputBlocked):
        Block().invoke(RAW, {"callbacks": [VerdictHandler()]})
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [("WARNING", "Block: block, rules secret")]


def test_a_risk_is_in_the_line(caplog):
    caplog.set_level(logging.INFO, "langchain_guard")
    verdict = {
        "guard": "D",
        "action": "flag",
        "score": 0.875,
        "findings": [{"rule": "b"}, {"rule": "a"}, {"rule": "b"}],
    }
    log_verdict(verdict)
    assert caplog.messages == ["D: flag, rules a b, risk 0.88"]


def test_what_nobody_listens_to_is_not_formatted(caplog):
    caplog.set_level(logging.ERROR, "langchain_guard")
    log_verdict({"guard": "D", "action": "allow", "score": None, "findings": []})
    assert caplog.records == []


# -- counters


def _invoke(runnable: Any, value: Any, config: Any) -> Any:
    return runnable.invoke(value, config)


def _ainvoke(runnable: Any, value: Any, config: Any) -> Any:
    return run(runnable.ainvoke(value, config))


def _stream(runnable: Any, value: Any, config: Any) -> Any:
    return list(runnable.stream(value, config))


def _astream(runnable: Any, value: Any, config: Any) -> Any:
    return run(collect(runnable.astream(value, config)))


def _batch(runnable: Any, value: Any, config: Any) -> Any:
    return runnable.batch([value], config)


every_way = pytest.mark.parametrize("way", [_invoke, _ainvoke, _stream, _astream, _batch])


@every_way
def test_every_verdict_is_counted_once(way):
    counts: Counter[Any] = Counter()
    counting = VerdictHandler(lambda verdict: counts.update([(verdict["guard"], verdict["action"])]))
    way(chain().with_config(callbacks=[counting]), "hi", {})
    assert counts == {("RateLimiter", "allow"): 1, ("Redact", "redact"): 1}


ATTACHED: dict[str, Callable[[], Any]] = {
    "link": lambda: RunnableLambda(lambda _: RAW) | Redact(),
    "wrapped chain": lambda: Redact().wrap(RunnableLambda(lambda _: RAW)),
    "wrapped model in a chain": lambda: Redact().wrap(ScriptedChatModel(RAW)) | RunnableLambda(lambda m: m.text),
}


@every_way
@pytest.mark.parametrize("form", ATTACHED)
def test_every_form_of_a_guard_is_heard(form, way):
    heard: list[Any] = []
    way(ATTACHED[form](), "hi", {"callbacks": [VerdictHandler(heard.append)]})
    assert [(verdict["guard"], verdict["action"]) for verdict in heard] == [("Redact", "redact")]


def test_a_scoped_tool_is_heard():
    heard: list[Any] = []
    scope = ToolScope({"look": ToolRule(args={"q": Arg.enum("y")})})
    (scoped,) = scope_tools([look], scope)
    scoped.invoke({"q": "n"}, {"callbacks": [VerdictHandler(heard.append)]})
    assert [(verdict["guard"], verdict["action"]) for verdict in heard] == [("ToolScope", "block")]


def test_a_hook_that_fails_stops_no_request(caplog):
    def broken(verdict: Any) -> None:
        raise LookupError("no such metric")

    assert Redact().invoke(RAW, {"callbacks": [VerdictHandler(broken)]}) == f"the code is {MARK}"
    assert "no such metric" in caplog.text


def test_other_custom_events_are_none_of_its_business():
    heard: list[Any] = []
    VerdictHandler(heard.append).on_custom_event("progress", {"done": 1}, run_id="r")
    assert heard == []


def test_a_hook_runs_in_the_callers_thread_and_in_the_order_of_the_decisions():
    heard: list[Any] = []
    handler = VerdictHandler(lambda verdict: heard.append((threading.get_ident(), verdict["guard"])))
    run(chain().ainvoke("hi", {"callbacks": [handler]}))
    assert heard == [(threading.get_ident(), "RateLimiter"), (threading.get_ident(), "Redact")]


def test_a_hook_that_cannot_be_called_is_refused():
    with pytest.raises(ConfigError, match=r"hook=\.\.\.\) must be a function of a dict, not str"):
        VerdictHandler("log")


# -- events and traces


def test_the_event_stream_has_the_verdicts():
    events = run(collect(chain().astream_events("hi", version="v2")))
    verdicts = [(e["data"]["guard"], e["data"]["action"]) for e in events if e["name"] == EVENT]
    assert verdicts == [("RateLimiter", "allow"), ("Redact", "redact")]


class Tracer(BaseTracer):
    """Keeps root runs."""

    def __init__(self) -> None:
        super().__init__()
        self.roots: list[Any] = []

    def _persist_run(self, run: Any) -> None:
        self.roots.append(run)


@every_way
def test_a_tracer_sees_a_run_for_each_guard_without_its_texts(way):
    tracer = Tracer()
    way(chain(), "hi", {"callbacks": [tracer]})
    runs = {one.name: one for one in tracer.roots[0].child_runs}
    assert runs.keys() == {"RateLimiter", "ScriptedChatModel", "Redact"}
    limiter, redact = runs["RateLimiter"], runs["Redact"]
    assert "SECRET-" not in repr([redact.inputs, redact.outputs, limiter.inputs, limiter.outputs])
    assert redact.error is None


def test_a_tracer_sees_why_a_guard_refused_but_not_what():
    tracer = Tracer()
    with pytest.raises(OutputBlocked):
        (ScriptedChatModel(RAW) | Block()).invoke("hi", {"callbacks": [tracer]})
    block = tracer.roots[0].child_runs[-1]
    assert "OutputBlocked" in block.error
    assert "SECRET-" not in block.error


class Sent:
    """Stands in for the HTTP session of LangSmith's client: keeps what would be sent."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.verify, self.headers = True, {}

    def request(self, method: str, url: str, **settings: Any) -> Any:
        if settings.get("data"):
            self.bodies.append(json.loads(settings["data"]))

        class Response:
            status_code, text, headers = 200, "{}", {}

            def raise_for_status(self) -> None: ...

            def json(self) -> dict[str, Any]:
                return {}

        return Response()

    def mount(self, *_: Any) -> None: ...

    def close(self) -> None: ...


def langsmith(**settings: Any) -> tuple[Client, Sent]:
    sent = Sent()
    info = {"version": "test"}
    client = Client(
        api_url="http://127.0.0.1:1", api_key="unused", session=sent, auto_batch_tracing=False, info=info, **settings
    )
    return client, sent


def _trace(tracer: LangChainTracer, runnable: Any, value: str = "hi") -> None:
    try:
        runnable.invoke(value, {"callbacks": [tracer]})
    finally:
        tracer.wait_for_futures()


def test_langsmith_gets_each_verdict_as_an_event_of_its_run():
    client, sent = langsmith()
    _trace(VerdictTracer(client=client), Redact().wrap(ScriptedChatModel(RAW)) | chain().last)
    events = [event for body in sent.bodies for event in body.get("events") or () if event["name"] == EVENT]
    assert [(e["kwargs"]["guard"], e["kwargs"]["action"]) for e in events] == [
        ("Redact", "redact"),
        ("Redact", "allow"),
    ]
    assert "SECRET-" not in json.dumps(sent.bodies)


def test_langsmith_gets_no_event_that_is_not_ours():
    def works(value: str) -> str:
        dispatch_custom_event("progress", {"note": value})
        return value

    client, sent = langsmith()
    _trace(VerdictTracer(client=client), RunnableLambda(works))
    assert sent.bodies
    assert not any(event["name"] in {"progress", EVENT} for body in sent.bodies for event in body.get("events") or ())


def test_langsmiths_own_tracer_leaves_them_out():
    client, sent = langsmith()
    _trace(LangChainTracer(client=client), chain())
    assert sent.bodies
    assert EVENT not in json.dumps(sent.bodies)


def test_langchain_installs_no_second_tracer_beside_ours(monkeypatch):
    from langchain_core.callbacks import CallbackManager

    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    client, _ = langsmith()
    manager = CallbackManager.configure(inheritable_callbacks=[VerdictTracer(client=client)])
    assert [type(h) for h in manager.handlers if isinstance(h, LangChainTracer)] == [VerdictTracer]


@pytest.mark.parametrize(
    "settings", [{"hide_inputs": True}, {"hide_inputs": Redact().invoke}, {"anonymizer": Redact().invoke}]
)
def test_what_a_caller_wrote_can_be_kept_from_langsmith(settings):
    guarded = Redact().wrap(ScriptedChatModel("ok"))
    client, sent = langsmith()
    _trace(VerdictTracer(client=client), guarded, "my code is SECRET-1234")
    assert "SECRET-1234" in json.dumps(sent.bodies)  # what there is to hide
    client, sent = langsmith(**settings)
    _trace(VerdictTracer(client=client), guarded, "my code is SECRET-1234")
    assert sent.bodies
    assert "SECRET-" not in json.dumps(sent.bodies)
