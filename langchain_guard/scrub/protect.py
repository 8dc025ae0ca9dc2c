"""Verbatim runs of protected text, such as a system prompt: found word by word while the text streams.

A run is found where `RUN` words in a row stand in a protected text in the same order; case, punctuation and white space
do not matter. What could still become such a run is at most that many words long, so ordinary text waits for the end of
the words that happen to begin a protected passage, which is a few characters.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from langchain_guard.errors import ConfigError
from langchain_guard.streaming import Span

if TYPE_CHECKING:
    from collections.abc import Iterable

    from langchain_guard.verdict import Action

RUN = 8
"""Words in a row that are a run."""

_WORD = re.compile(r"\w+")


class PhraseFinder:
    """The `Finder` of protected texts.

    Args:
        texts: The protected texts, each of at least four words; a text shorter than `RUN` words is protected whole.
        action: The verdict's action for a run.

    Raises:
        ConfigError: A text has fewer than four words: too few to tell a repetition from chance.
    """

    behind = 1

    def __init__(self, texts: Iterable[str], action: Action) -> None:
        self._action = action
        self._runs: set[tuple[str, ...]] = set()
        self._next: dict[tuple[str, ...], set[str]] = {}  # beginnings of runs, and the words that go on
        for text in texts:
            words = [word.casefold() for word in _WORD.findall(text)]
            if len(words) < 4:
                raise ConfigError("protect: each text needs at least 4 words; use a ScrubRule for a shorter one")
            size = min(RUN, len(words))
            for index in range(len(words) - size + 1):
                run = tuple(words[index : index + size])
                self._runs.add(run)
                for length in range(size):
                    self._next.setdefault(run[:length], set()).add(run[length])
        self._first = self._next.get((), set())
        self._sizes = sorted({len(run) for run in self._runs})

    def hold(self, text: str, start: int) -> int:
        """The first word at or after `start` from which the words to the end of the text begin a run."""
        words = self._words(text, start)
        for index in range(max(0, len(words) - RUN), len(words)):
            if self._open([word for _, _, word in words[index:]], partial=words[-1][1] == len(text)):
                return words[index][0]
        return len(text)

    def _open(self, words: list[str], *, partial: bool) -> bool:
        """Whether words are the beginning of a run, or could be once the last of them is whole."""
        *whole, last = words
        following = self._next.get(tuple(whole))
        if following is None:
            return False
        if partial:
            return any(word.startswith(last) for word in following)
        return (*whole, last) in self._next

    def spans(self, text: str, start: int, stop: int) -> list[Span]:
        """Every run that begins in ``[start, stop)``; longer repetitions are runs that overlap."""
        words = self._words(text, start)
        spans = []
        for index, (begin, _, word) in enumerate(words):
            if begin >= stop:
                break
            if word not in self._first:
                continue
            for size in self._sizes:
                window = words[index : index + size]
                if len(window) == size and tuple(item[2] for item in window) in self._runs:
                    end = window[-1][1]
                    spans.append(Span(begin, end, begin, end, "protected_text", "protected_text", self._action))
        return sorted(spans, key=lambda span: (span.start, -span.end))

    @staticmethod
    def _words(text: str, start: int) -> list[tuple[int, int, str]]:
        """Words that begin at or after `start`: where each begins and ends, and its folded form."""
        if start and _is_word(text[start - 1]):
            rest = _WORD.match(text, start)
            start = rest.end() if rest else start
        return [(match.start(), match.end(), match.group().casefold()) for match in _WORD.finditer(text, start)]


def _is_word(char: str) -> bool:
    return _WORD.match(char) is not None
