"""Finds the matches of many rules in a text that may not be whole.

For each rule: does the text hold what every match needs (its literal, a digit, enough characters)? Only then is the
pattern run. What could still become a match is asked of all rules in one expression.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from langchain_guard.scrub.closure import DIGIT_RUN, TOKEN_RUN, Bounded, bounded
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
    """What `PatternFinder.spans` needs of one bounded pattern."""

    shortest: int
    order: int
    token: bool
    digits: bool
    literals: tuple[str, ...]
    nocase: bool
    probe: re.Pattern[str] | None
    piece: Bounded
    group: int
    check: Callable[[str], bool] | None
    search: Search
    tail: re.Pattern[str] | None
    ascii_only: bool


_Found = tuple[int, int, int, _Part, int, int]
_TOKENS = re.compile(rf"[A-Za-z0-9_+/=.~%:-]{{{TOKEN_RUN}}}")
_DIGITS = re.compile(rf"[0-9 .()/+\x80-\U0010ffff-]{{{DIGIT_RUN}}}")
_LONG = 32  # held text longer than this is first asked whether its beginning is to be held on
_NARROW = 8  # a way to begin with at most so many characters is looked for by its first character


class PatternFinder:
    """The `Finder` of a list of searches.

    Args:
        searches: What to look for; of two matches with the same extent the one named first wins.
    """

    def __init__(self, searches: Iterable[Search]) -> None:
        parts: list[_Part] = []
        pieces: list[Bounded] = []
        for search in searches:
            for index, piece in enumerate(bounded(search.pattern, search.longest)):
                pieces.append(piece)
                parts.append(
                    _Part(
                        piece.shortest,
                        len(parts),
                        piece.token,
                        piece.digits,
                        piece.literals,
                        piece.nocase,
                        piece.probe,
                        piece,
                        piece.group,
                        search.check if index == 0 else None,
                        search,
                        re.compile(f"(?:{piece.tail})*", piece.flags) if piece.tail else None,
                        bool(piece.flags & re.ASCII),
                    )
                )
        self.behind = max((piece.behind for piece in pieces), default=1)
        self._pieces = pieces
        self._held: tuple[_Starts, _Starts, _Starts] | None = None
        self._parts = sorted(parts, key=lambda part: part[:2])
        self._lengths = [part.shortest for part in self._parts]

    def prepare(self) -> tuple[_Starts, _Starts, _Starts]:
        """Compile every expression, which takes a moment, before the first piece of a text arrives.

        Returns:
            Those of matches that stand in one line, those of others, and both together.
        """
        if self._held is None:
            lines, texts = _holds(self._pieces, in_line=True), _holds(self._pieces, in_line=False)
            chars = lines.narrow.keys() | texts.narrow.keys()
            narrow = {char: (*lines.narrow.get(char, ()), *texts.narrow.get(char, ())) for char in chars}
            both = _Starts((*lines.wide, *texts.wide), narrow, (*lines.beyond, *texts.beyond))
            for piece in self._pieces:
                _ = piece.find
            self._held = lines, texts, both
        return self._held

    def hold(self, text: str, start: int) -> int:
        """The first position at or after `start` whose match could depend on text to come."""
        first = len(text)
        if start == first:
            return first
        lines, texts, all_starts = self._held or self.prepare()
        if first - start > _LONG and all_starts.at(text, start):  # what was held before is mostly held again
            return start
        line = text.rfind("\n", start) + 1
        if not line:
            return all_starts.earliest(text, start, first)
        first = texts.earliest(text, start, first)
        return lines.earliest(text, line, first) if line < first else first

    def spans(self, text: str, start: int, stop: int) -> list[Span]:
        """The matches that begin in ``[start, stop)``, sorted by start and then longest first."""
        parts = self._parts[: bisect_right(self._lengths, len(text) - start)]
        if not parts:
            return []
        found: list[_Found] = []
        lower: str | None = None
        no_tokens = _TOKENS.search(text, start) is None
        no_digits = _DIGITS.search(text, start) is None
        for part in parts:
            if (part[2] and no_tokens) or (part[3] and no_digits):
                continue
            _, order, _, _, literals, nocase, probe, piece, group, check, _, _, ascii_only = part
            if literals:
                if not nocase:
                    where = text
                elif ascii_only or text.isascii():
                    where = lower = text.lower() if lower is None else lower
                else:
                    where = ""  # beyond ASCII, Unicode pairs some letters with ASCII ones: the pattern itself is asked
                if where:
                    for literal in literals:
                        if literal in where:
                            break
                    else:
                        continue
            if probe is not None and probe.search(text, start) is None:
                continue
            search, position = piece.find.search, start
            while (match := search(text, position)) is not None:
                begin, end = match.span()
                if begin >= stop:
                    break
                first, last = match.span(group)
                if first < 0:  # an alternative without the group
                    first, last = begin, end
                if check is None or check(text[first:last]):
                    found.append((begin, -end, order, part, first, last))
                    position = end
                else:
                    position = begin + 1
        if not found:
            return []
        found.sort(key=_place)
        return [
            Span(begin, -end, first, last, part.search.rule, part.search.kind, part.search.action, part.tail)
            for begin, end, _, part, first, last in found
        ]


def _place(found: _Found) -> tuple[int, int, int]:
    return found[:3]


_Patterns = tuple[re.Pattern[str], ...]
_Sources = dict[int, dict[str, dict[str, None]]]  # by flags, by lead: holds in order
_ASCII = (1 << 128) - 1


class _Starts(NamedTuple):
    """Where a match could still begin or grow.

    Attributes:
        wide: Expressions to search for.
        narrow: Expressions to try at a character.
        beyond: Expressions to try at any character beyond ASCII.
    """

    wide: _Patterns
    narrow: dict[str, _Patterns]
    beyond: _Patterns

    def at(self, text: str, position: int) -> bool:
        """Whether one could begin at `position`, by its first character."""
        char = text[position]
        patterns = self.narrow.get(char, ()) if char < "\x80" else self.beyond
        return any(pattern.match(text, position) is not None for pattern in patterns)

    def earliest(self, text: str, start: int, stop: int) -> int:
        """The first position in ``[start, stop)`` at which one could begin; `stop` if there is none."""
        for pattern in self.wide:
            match = pattern.search(text, start)
            if match is not None and match.start() < stop:
                stop = match.start()
        narrow, beyond = self.narrow, self.beyond
        for position in range(start, stop):
            char = text[position]
            for pattern in narrow.get(char, ()) if char < "\x80" else beyond:
                if pattern.match(text, position) is not None:
                    return position
        return stop


def _holds(pieces: Iterable[Bounded], *, in_line: bool) -> _Starts:
    wide: _Sources = {}
    narrow: dict[int, _Sources] = {}
    for piece in pieces:
        for start in piece.starts:
            if start.in_line is not in_line:
                continue
            many = (start.first & _ASCII).bit_count() > _NARROW
            sources = wide if many else narrow.setdefault(start.first, {})
            sources.setdefault(piece.flags, {}).setdefault(start.lead, {})[start.hold] = None
    table: dict[str, _Patterns] = {}
    for first, sources in narrow.items():
        patterns = _compiled(sources)
        chars = [chr(point) for point in range(128) if first >> point & 1]
        for char in [*chars, *([""] if first & ~_ASCII else [])]:
            table[char] = (*table.get(char, ()), *patterns)
    return _Starts(_compiled(wide), table, table.get("", ()))


def _compiled(table: _Sources) -> _Patterns:
    return tuple(
        re.compile("(?:" + "|".join(f"{lead}(?:{'|'.join(holds)})" for lead, holds in leads.items()) + r")\Z", flags)
        for flags, leads in table.items()
    )
