"""Judging text while it arrives: the protocol of a scanner, and the engine that replaces what a finder finds.

The law of the engine: for every way of cutting a text into chunks, what leaves it is the same, and nothing of a found
value ever leaves. Text is held back only where it could still become (part of) a match, which the finder says; see
``scrub/closure.py`` for how that is read off a pattern. This module imports nothing of LangChain and does no I/O.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from langchain_guard.verdict import Action, Finding, worst

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence


class Scanner(Protocol):
    """Judges one channel of text as it arrives."""

    @property
    def action(self) -> Action:
        """The worst so far: "allow", "flag", "redact" or "block"."""

    @property
    def findings(self) -> list[Finding]:
        """Places in the channel's whole raw text (code points), with ``where=""``."""

    def feed(self, text: str) -> str:
        """Take the next piece; returns what may leave now."""

    def close(self) -> str:
        """The text has ended; returns the rest. After ``action == "block"`` nothing more leaves."""


class Span(NamedTuple):
    """A match of one rule: code points in the scanned text, end exclusive.

    What was found stands at ``[first, last)`` in the match; the rest of the match stays as it is.
    """

    start: int
    end: int
    first: int
    last: int
    rule: str
    kind: str
    action: Action
    tail: re.Pattern[str] | None = None
    """Matches the run that belongs to the match and goes on beyond it, however long."""


class Finder(Protocol):
    """Finds matches in a text of which only a part has arrived.

    Attributes:
        behind: Code points before a position that can decide about a match there.
    """

    behind: int

    def hold(self, text: str, start: int) -> int:
        """The first position at or after `start` whose match could depend on text to come; ``len(text)`` if none."""

    def spans(self, text: str, start: int, stop: int) -> list[Span]:
        """The matches that begin in ``[start, stop)``, sorted by start and then longest first.

        What it finds from `start` must be what it finds there when it begins earlier, unless a match begun earlier
        reaches beyond `start`.
        """


class SpanScanner:
    """The engine: replaces what a finder finds, holding back only what is not decided.

    Overlapping matches are one place: it takes the name of the leftmost, longest match and covers them all.

    Args:
        finder: Finds the matches.
        render: Called with the text of a place, its leading match, and whether the text is that match and no more;
            returns what stands in its stead.
        locate: Called with two positions in what was fed; returns the same positions as findings give them.
    """

    def __init__(
        self,
        finder: Finder,
        render: Callable[[str, Span, bool], str],
        locate: Callable[[int, int], tuple[int, int]] | None = None,
    ) -> None:
        self.action: Action = "allow"
        self.findings: list[Finding] = []
        self._finder, self._render, self._locate = finder, render, locate
        self._text = ""  # what has not left, behind up to `finder.behind` code points of what has
        self._base = 0  # where in _text the part that has not left begins
        self._offset = 0  # code points dropped before _text
        self._tails: list[re.Pattern[str]] = []  # a removed place ended at _base and may go on with these

    @property
    def held(self) -> int:
        """Code points that have arrived and not left."""
        return len(self._text) - self._base

    def feed(self, text: str) -> str:
        """Take the next piece; returns what may leave now."""
        if not text or self.action == "block":
            return ""
        self._text += text
        cut = self._finder.hold(self._text, self._base)
        return self._release(cut, final=False) if cut > self._base else ""

    def close(self) -> str:
        """The text has ended; returns the rest."""
        return self._release(len(self._text), final=True) if self._text and self.action != "block" else ""

    def whole(self, text: str) -> str:
        """Judge a text that is whole: the same as ``feed(text) + close()``, without asking what could still come."""
        self._text += text
        return self.close()

    def _release(self, cut: int, *, final: bool) -> str:
        """Let the text up to `cut` go, or less where a match crosses it."""
        text, base = self._text, self._base
        spans = self._finder.spans(text, base, cut)
        if not spans and not self._tails:
            self._drop(cut)
            return text[base:cut]
        out: list[str] = []
        runs = [(tail, _run(tail, text, base)) for tail in self._tails]
        removed = max((end for _, end in runs), default=base)  # text before this is gone
        if removed > base:
            self._extend(removed)
        for place in _places(spans):
            start, end = place[0].start, max(span.end for span in place)
            if end > cut:
                cut = start
                break
            position, begun = removed, start < removed
            removed = max(removed, end)
            for span in place:
                if span.tail is not None:
                    run = _run(span.tail, text, span.end)
                    runs.append((span.tail, run))
                    removed = max(removed, run)
            first, last = min(span.first for span in place), max(span.last for span in place)
            action = worst(span.action for span in place)
            self.action = worst((self.action, action))
            if begun:  # inside the run that an earlier match goes on with: already removed
                self._extend(removed)
                if action == "block":
                    return self._stop(out)
                continue
            out.append(text[position:first])
            stays = max((span.end for span in place if span.tail), default=last)
            last = max(last, stays)
            self._found(place[0], first, last if removed == end else removed)
            if action == "block":
                return self._stop(out)
            head = place[0]
            exact = (head.first, head.last) == (first, last) and not any(span.tail for span in place)
            out.append(self._render(text[first:last], head, exact))
            if removed == end:
                out.append(text[last:end])
        if removed < cut:
            out.append(text[removed:cut])
        self._tails = [] if final else [tail for tail, end in runs if end > cut or end == len(text)]
        self._drop(cut)
        return "".join(out)

    def _found(self, span: Span, start: int, end: int) -> None:
        first, last = start + self._offset, end + self._offset
        if self._locate is not None:
            first, last = self._locate(first, last)
        self.findings.append(Finding(span.rule, span.kind, first, last))

    def _extend(self, end: int) -> None:
        """The last place goes on up to `end`."""
        last = end + self._offset
        if self._locate is not None:
            _, last = self._locate(last, last)
        if self.findings and last > self.findings[-1].end:
            self.findings[-1] = replace(self.findings[-1], end=last)

    def _stop(self, out: list[str]) -> str:
        self._text, self._base, self._tails = "", 0, []
        return "".join(out)

    def _drop(self, cut: int) -> None:
        """What stands before `cut` has left; keep as much of it as can decide about what comes."""
        keep = max(0, cut - self._finder.behind)
        self._text, self._base, self._offset = self._text[keep:], cut - keep, self._offset + keep


def _run(tail: re.Pattern[str], text: str, start: int) -> int:
    match = tail.match(text, start)
    return match.end() if match else start


def _places(spans: Sequence[Span]) -> list[list[Span]]:
    """Sorted spans in groups of those that overlap."""
    places: list[list[Span]] = []
    end = -1
    for span in spans:
        if span.start < end:
            places[-1].append(span)
            end = max(end, span.end)
        else:
            places.append([span])
            end = span.end
    return places
