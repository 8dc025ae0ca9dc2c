"""`TextGuard`: a guard whose policy judges texts, wherever they stand in a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from langchain_guard.chunks import TextFilter
from langchain_guard.policy import Judged, Reading, TextPolicy
from langchain_guard.runnable import ChunkFilter, Gathered, Guard, Session
from langchain_guard.values import rewrite

if TYPE_CHECKING:
    from langchain_guard.errors import Refused
    from langchain_guard.run import Call
    from langchain_guard.verdict import Verdict


class TextGuard(Guard):
    """A guard on the texts of a model's answer, or of any value.

    As a link it judges what runs through it. As ``wrap`` it judges what the wrapped Runnable answers, and keeps it from
    being called with what it would block.

    Args:
        on_unreadable: What to do with a value that cannot be read (bytes that are no text, an open file):
            ``"refuse"`` it with GuardUnavailable, rule ``unreadable``, or ``"pass"`` on what cannot be read.
    """

    on_unreadable: Literal["refuse", "pass"] = "refuse"

    # -- what a slice implements

    def _policy(self, call: Call) -> TextPolicy:
        """The policy for one call."""
        raise NotImplementedError

    def _entry_policy(self, call: Call) -> TextPolicy | None:  # noqa: ARG002
        """The policy whose blocks keep what is wrapped from being called; None: any input may go in."""
        return None

    def _refusal(self, verdict: Verdict) -> Refused:
        """The error for a verdict that blocks."""
        raise NotImplementedError

    # -- the hooks of Guard

    def _read(self, value: Any, call: Call) -> tuple[Any, Verdict]:
        """The value as it may go on, and the verdict on it."""
        reading = Reading(self._policy(call))
        judged = rewrite(value, reading.visit, lenient=self.on_unreadable == "pass")
        return judged, reading.verdict(self.get_name())

    def _check(self, value: Any, call: Call) -> Verdict:
        return self._read(value, call)[1]

    def _judge(self, value: Any, call: Call) -> Any:
        judged, verdict = self._read(value, call)
        call.decided(verdict)
        if verdict.blocked:
            raise self._refusal(verdict)
        return judged

    def _filter(self, call: Call) -> ChunkFilter | None:
        policy = self._policy(call)
        return None if policy.scanner("ai") is None else TextFilter(self, policy, call)

    def _open(self, value: Any, call: Call) -> Session:
        entry = self._entry_policy(call)
        if entry is not None:
            reading = Reading(entry)
            # what the application and the model wrote is no news to the model
            rewrite(value, lambda s: s.text if s.role in {"system", "ai"} else reading.visit(s), lenient=True)
            verdict = reading.verdict(self.get_name())
            if verdict.blocked:
                call.decided(verdict)
                raise self._refusal(verdict)
        return _AnswerSession(self, value, call)

    async def _aopen(self, value: Any, call: Call) -> Session:
        return self._open(value, call)


class _AnswerSession(Session):
    """Judges the answer of what is wrapped."""

    def __init__(self, guard: TextGuard, value: Any, call: Call) -> None:
        super().__init__(value)
        self.guard, self.call = guard, call

    def whole(self, output: Any) -> Any:
        return self.guard._judge(output, self.call)

    def filter(self) -> ChunkFilter:
        return self.guard._filter(self.call) or Gathered(self.guard, self.call)


__all__ = ["Judged", "TextGuard", "TextPolicy"]
