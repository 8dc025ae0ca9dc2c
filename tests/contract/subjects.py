"""The guards that the contract is run over: each with what it passes, what it objects to, and a setting to configure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from small_guards import Block, Redact

from langchain_guard import InjectionDetector, OutputScrubber, RateLimiter, ScrubRule, ToolRule, ToolScope

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_guard.runnable import Guard


@dataclass(frozen=True)
class Subject:
    """One guard under the contract.

    Attributes:
        name: For the test's id.
        make: Builds the guard.
        field: A field of the guard's own, and another value for it.
        bad: A text that the guard changes or refuses; "" if it judges no texts.
        raw: What of `bad` must never be seen afterwards.
        does: What the guard does with `bad`.
        judges: Which side of a model it looks at.
    """

    name: str
    make: Callable[[], Guard]
    field: tuple[str, Any]
    bad: str = ""
    raw: str = ""
    does: Literal["redact", "block", "none"] = "none"
    judges: Literal["input", "output", "calls"] = "output"


MAIL = "jane.doe@example.com"
TICKET = ScrubRule("ticket", r"SECRET-\d{4}")

SUBJECTS = [
    Subject("redact", Redact, ("on_unreadable", "pass"), "SECRET-1234", "SECRET-1234", "redact"),
    Subject("block", Block, ("on_unreadable", "pass"), "SECRET-1234", "SECRET-1234", "block"),
    Subject("scrubber", OutputScrubber, ("region", "GB"), MAIL, MAIL, "redact"),
    Subject(
        "blocking scrubber", lambda: OutputScrubber(actions={"email": "block"}), ("region", "GB"), MAIL, MAIL, "block"
    ),
    Subject(
        "own rule", lambda: OutputScrubber(rules=[TICKET]), ("region", "GB"), "SECRET-1234", "SECRET-1234", "redact"
    ),
    Subject("detector", InjectionDetector, ("profile", "strict"), judges="input"),
    Subject("limiter", lambda: RateLimiter("1000/minute"), ("max_wait", 5.0), judges="input"),
    Subject("scope", lambda: ToolScope({"search": ToolRule(other_args="allow")}), ("dry_run", True), judges="calls"),
]

OUTPUT = [subject for subject in SUBJECTS if subject.bad and subject.judges == "output"]
"""Guards that judge the text of an answer, chunk by chunk."""


def named(subject: Subject) -> str:
    """The id of a test over a subject."""
    return subject.name
