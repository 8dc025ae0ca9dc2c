"""What a process remembers beside the counts; copies of a limiter share it with their store. Imports no LangChain."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Self

from langchain_guard.rate_limit.waiting import Lines

FIRST_ANSWER = 64.0
"""Tokens that an answer is taken for until one has been seen."""

_REMEMBERED = 4096


class Local:
    """Waiting callers, how long answers usually are, which refusals were strikes, what was warned of already."""

    def __init__(self) -> None:
        self.lines = Lines()
        self.answer = 0.0
        self.warned: set[str] = set()
        self._struck: OrderedDict[tuple[str, object], None] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def saw_answer(self, tokens: float) -> None:
        """Let the usual length of an answer follow what is seen (an exponential mean over about ten)."""
        self.answer = self.answer + (tokens - self.answer) * 0.1 if self.answer else tokens

    def first(self, what: str) -> bool:
        """Whether `what` has not been warned of yet."""
        if what in self.warned:
            return False
        self.warned.add(what)
        return True

    def strikes(self, key: str, run: object | None) -> bool:
        """Whether a refusal of `key` under the run `run` is a new strike; None is never the same run."""
        if run is None:
            return True
        if (key, run) in self._struck:
            return False
        self._struck[key, run] = None
        if len(self._struck) > _REMEMBERED:
            self._struck.popitem(last=False)
        return True
