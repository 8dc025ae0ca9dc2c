"""What a user's type checker must accept; checked by ``mypy --strict`` in ``.ci/run``, never run."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from langchain_guard import (
    Arg,
    Decision,
    Identity,
    InjectionDetector,
    OutputScrubber,
    RateLimiter,
    RateLimitExceeded,
    ScrubRule,
    ToolRule,
    ToolScope,
    Verdict,
    collect_verdicts,
    on_refusal,
    scope_tools,
)
from langchain_guard.testing import ManualClock, Reply, ScriptedChatModel


def chain(model: BaseChatModel, prompt: ChatPromptTemplate) -> Runnable[Any, Any]:
    scrubber = OutputScrubber(actions={"credit_card": "mask"}, rules=[ScrubRule("ticket", r"SECRET-\d{4}")])
    guarded = (
        RateLimiter("20/minute", "1000/day", clock=ManualClock()) | InjectionDetector() | prompt | model | scrubber
    )
    return on_refusal(guarded, "Sorry, no.")


def call(guarded: Runnable[Any, Any]) -> list[Verdict]:
    with collect_verdicts() as verdicts:
        try:
            guarded.invoke({"question": "hi"}, Identity(user="u1").config())
        except RateLimitExceeded as refused:
            wait: float | None = refused.retry_after
            print(wait)
    return verdicts


def beside_the_chain(documents: list[Document]) -> tuple[Decision, str, float, bool]:
    detector = InjectionDetector("strict", source="document", on_detect="drop")
    return (
        RateLimiter("2/second").hit("u1"),
        OutputScrubber().scrub("text"),
        detector.score("text"),
        detector.check(documents).blocked,
    )


def tools(given: list[BaseTool]) -> list[BaseTool]:
    scope = ToolScope({"refund": ToolRule(args={"amount": Arg.range(1, 100) & Arg.any()})})
    return list(scope_tools(given, scope))


def wrapped() -> Runnable[Any, Any]:
    return OutputScrubber().wrap(ScriptedChatModel(Reply("a", "b")))
