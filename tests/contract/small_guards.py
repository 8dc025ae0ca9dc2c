"""Two guards over one tiny policy, for tests of the shell: what they do is seen at a glance.

`Redact` puts ``[X]`` in the place of every ``SECRET-`` with four digits; `Block` refuses an answer that holds one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_guard.errors import OutputBlocked, Refused
from langchain_guard.policy import Judged
from langchain_guard.text import TextGuard
from langchain_guard.verdict import Action, Finding, Verdict

if TYPE_CHECKING:
    from langchain_guard.run import Call

SECRET = re.compile(r"SECRET-\d{4}")
_BEGUN = re.compile(r"S(?:E(?:C(?:R(?:E(?:T(?:-\d{0,3})?)?)?)?)?)?\Z")
MARK = "[X]"


class SecretScanner:
    """Holds back the text's end as long as it may become a secret."""

    def __init__(self, action: Action) -> None:
        self.action: Action = "allow"
        self.findings: list[Finding] = []
        self._on_find = action
        self._held, self._offset = "", 0  # what has not left, and where in the whole text it begins

    def feed(self, text: str) -> str:
        if self.action == "block":
            return ""
        self._held += text
        begun = _BEGUN.search(self._held)
        return self._release(begun.start() if begun else len(self._held))

    def close(self) -> str:
        return "" if self.action == "block" else self._release(len(self._held))

    def _release(self, cut: int) -> str:
        out, position = [], 0
        for found in SECRET.finditer(self._held, 0, cut):
            out.append(self._held[position : found.start()])
            self.findings.append(Finding("secret", "secret", found.start() + self._offset, found.end() + self._offset))
            self.action = self._on_find
            if self.action == "block":
                return "".join(out)
            out.append(MARK)
            position = found.end()
        out.append(self._held[position:cut])
        self._held, self._offset = self._held[cut:], self._offset + cut
        return "".join(out)


class SecretPolicy:
    """Finds secrets and does one thing with them."""

    def __init__(self, action: Action) -> None:
        self._action = action

    def judge(self, text: str, source: str) -> Judged:
        found = tuple(Finding("secret", "secret", m.start(), m.end()) for m in SECRET.finditer(text))
        return Judged(SECRET.sub(MARK, text), found, self._action) if found else Judged(text)

    def scanner(self, source: str) -> SecretScanner:
        return SecretScanner(self._action)


class _SecretGuard(TextGuard):
    def _refusal(self, verdict: Verdict) -> Refused:
        return OutputBlocked("The answer holds a secret.", verdict=verdict, advice="Ask for something else.")


class Redact(_SecretGuard):
    """Replaces secrets."""

    def _policy(self, call: Call) -> SecretPolicy:
        return SecretPolicy("redact")


class Block(_SecretGuard):
    """Refuses secrets."""

    def _policy(self, call: Call) -> SecretPolicy:
        return SecretPolicy("block")

    def _entry_policy(self, call: Call) -> SecretPolicy:
        return SecretPolicy("block")
