"""What a policy on texts is, and how its judgements on the texts of one value add up.

Pure: nothing here knows LangChain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from langchain_guard.verdict import Action, Finding, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_guard.streaming import Scanner


PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
"""A key of a dict that stands in a path as it is, if no rule objects to it; any other is written ``[*]``."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a policy says about one whole text.

    Attributes:
        text: The text to put in its place: the same object if nothing changes.
        findings: Places in the judged text.
        action: What is to be done.
    """

    text: str
    findings: tuple[Finding, ...] = ()
    action: Action = "allow"


class TextPolicy(Protocol):
    """Judges texts. Pure: no clock, no I/O."""

    def judge(self, text: str, source: str) -> Judged:
        """Judge one whole text, written by `source` ("user", "ai", "system", "tool" or "document")."""

    def scanner(self, source: str) -> Scanner | None:
        """Judge a text as it arrives; None if it can only be judged whole.

        For every way of cutting a text, the scanner's output is ``judge(text, source).text``.
        """


class Placed(Protocol):
    """A text and where it stands (`langchain_guard.values.Segment`)."""

    @property
    def path(self) -> str:
        """Path inside the value."""

    @property
    def text(self) -> str:
        """The text."""

    @property
    def role(self) -> str:
        """Who wrote it."""


class Reading:
    """Judges the texts of one value one after the other, and sums the judgements up."""

    def __init__(self, policy: TextPolicy) -> None:
        self.policy = policy
        self.findings: list[Finding] = []
        self.action: Action = "allow"

    def visit(self, segment: Placed) -> str:
        """The text to put in a segment's place."""
        judged = self.policy.judge(segment.text, segment.role)
        if judged.findings:
            self.findings += placed(judged.findings, segment.path)
        if judged.action != "allow":
            self.action = worst((self.action, judged.action))
        # a blocked value goes nowhere; the change tells the walk to keep a blocked dict key out of paths
        return "" if judged.action == "block" else judged.text

    def verdict(self, guard: str) -> Verdict:
        """The judgement so far."""
        return Verdict(guard, self.action, tuple(self.findings))


def placed(findings: Iterable[Finding], path: str) -> list[Finding]:
    """Findings of a text that stands at `path`; a path that they have already continues it."""
    return [replace(f, where=f"{path}.{f.where}" if path and f.where else path or f.where) for f in findings]
