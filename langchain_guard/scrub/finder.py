"""Finds the matches of many rules in a text that may not be whole.

For each rule: does the text hold what every match needs (its literal, a digit, enough characters)? Only then is the
pattern run. What could still become a match is asked of all rules in one expression.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from langchain_guard.scrub.closure import Bounded, bounded
from langchain_guard.streaming import Span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from langchain_guard.verdict import Action


class Search(NamedTuple):
    """What to look for, and what it is called.

    Attributes:
        rule: Identifier of the rule.
        kind: The kind of what it finds.
        action: What is done with it.
        pattern: A regular expression that passed the gate for streamed rules. If it has a group named ``value``, that
            group is what was found, and the text around it in the match is only its circumstances.
        check: Says whether what was found is one; None if the pattern decides. Sees that text and nothing else.
        longest: Repetitions that an unbounded repetition is cut to.
    """

    rule: str
    kind: str
    action: Action
    pattern: str
    check: Callable[[str], bool] | None = None
    longest: int = 1024


class _Part(NamedTuple):
    shortest: int
    order: int
    bounded: Bounded
    literals: tuple[str, ...]
    nocase: bool
    search: Search
    check: Callable[[str], bool] | None
    tail: re.Pattern[str] | None
    group: int


_Found = tuple[int, int, int, _Part, int, int]


class PatternFinder:
    """The `Finder` of a list of searches.

    Args:
        searches: What to look for; of two matches with the same extent the one named first wins.
    """

    def __init__(self, searches: Iterable[Search]) -> None:
        parts: list[_Part] = []
        for search in searches:
            for index, piece in enumerate(bounded(search.pattern, search.longest)):
                tail = re.compile(f"(?:{piece.tail})*", piece.flags) if piece.tail else None
                check = search.check if index == 0 else None
                group = piece.find.groupindex.get("value", 0)
                parts.append(
                    _Part(piece.shortest, len(parts), piece, piece.literals, piece.nocase, search, check, tail, group)
                )
        self.behind = max((part.bounded.behind for part in parts), default=1)
        self._holds = [re.compile(source, flags) for flags, source in _holds(part.bounded for part in parts)]
        self._parts = sorted(parts, key=lambda part: part[:2])
        self._lengths = [part.shortest for part in self._parts]

    def hold(self, text: str, start: int) -> int:
        """The first position at or after `start` whose match could depend on text to come."""
        first = len(text)
        for pattern in self._holds:
            match = pattern.search(text, start)
            if match is not None and match.start() < first:
                first = match.start()
        return first

    def spans(self, text: str, start: int, stop: int) -> list[Span]:
        """The matches that begin in ``[start, stop)``, sorted by start and then longest first."""
        found: list[_Found] = []
        lower: str | None = None
        for part in self._parts[: bisect_right(self._lengths, len(text) - start)]:
            if part.literals:
                if part.nocase:
                    # Beyond ASCII, Unicode pairs some letters with ASCII ones: there the pattern itself is asked.
                    if lower is None:
                        lower = text.lower() if text.isascii() else ""
                    if lower and not any(literal in lower for literal in part.literals):
                        continue
                elif not any(text.find(literal, start) >= 0 for literal in part.literals):
                    continue
            check, search, group = part.check, part.bounded.find.search, part.group
            position = start
            while (match := search(text, position)) is not None and match.start() < stop:
                begin, end = match.span()
                if check is None or check(match.group(group)):
                    found.append((begin, -end, part.order, part, *match.span(group)))
                    position = end
                else:
                    position = begin + 1
        found.sort(key=_place)
        return [
            Span(begin, -end, first, last, part.search.rule, part.search.kind, part.search.action, part.tail)
            for begin, end, _, part, first, last in found
        ]


def _place(found: _Found) -> tuple[int, int, int]:
    return found[:3]


def _holds(pieces: Iterable[Bounded]) -> list[tuple[int, str]]:
    """Per set of flags one expression that finds where a match of any piece could still begin or grow."""
    table: dict[int, dict[str, list[str]]] = {}
    for piece in pieces:
        if piece.hold:
            bodies = table.setdefault(piece.flags, {}).setdefault(piece.lead, [])
            if piece.hold not in bodies:
                bodies.append(piece.hold)
    return [
        (flags, "(?:" + "|".join(f"{lead}(?:{'|'.join(bodies)})" for lead, bodies in leads.items()) + r")\Z")
        for flags, leads in table.items()
    ]
