r"""From a regular expression to what a streaming scan needs, mechanically.

A scan over text that is still arriving must know, at every moment, how much of the end could still become a match. For
a pattern P that is the language of its prefixes: text from position s to the end of what has arrived is held back if
and only if it is a proper prefix of something that P matches (or if a look-ahead of P could still ask for more). That
language is itself regular and is written down here from P's parse tree:

* a sequence ``e1 e2 e3``          becomes  ``e1(?:e2(?:e3)?)?`` with the open end of each part in its place,
* a repetition ``x{m,n}``          becomes  ``x{0,n-1}`` followed by a prefix of x,
* an alternation                   becomes  the alternation of the prefixes,
* a possessive repetition or atomic group stays one where it is passed whole, and is none where the text ends inside it;
* a look-ahead ``(?!X)``           becomes  a prefix of X, or the look-ahead as it is where X says all it needs,
* a look-behind                    stays: what stands before is known,
* a back-reference                 becomes  the pattern of its group (longer holds, never a leak).

Where no path through this *hold pattern* reaches the end of the text, every attempt of P from that position takes the
same steps in the rest of the stream as in the whole text, so the decision is final. Anything that the rules above
over-approximate only delays text.

Unbounded repetition is cut at a bound, and what would have gone on beyond it becomes a pattern of its own (`overflow`)
that matches and swallows the rest: a value too long to hold is removed, never shown.
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from langchain_guard.patterns import ANY_CHAR, Node, charset, children, first, inner_flags, ops, parse, parser

_AT = {
    ops.AT_BEGINNING: r"^",
    ops.AT_BEGINNING_STRING: r"\A",
    ops.AT_BOUNDARY: r"\b",
    ops.AT_NON_BOUNDARY: r"\B",
    ops.AT_END: r"$",
    ops.AT_END_STRING: r"\Z",
}
_CATEGORY = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}
_SINGLE = frozenset({ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN})
_REPEAT_SUFFIX = {ops.MAX_REPEAT: "", ops.MIN_REPEAT: "?", ops.POSSESSIVE_REPEAT: "+"}
_KEPT_FLAGS = re.IGNORECASE | re.ASCII


def _mask(characters: str) -> int:
    return sum(1 << ord(char) for char in characters)


TOKEN = _mask(string.ascii_letters + string.digits + "_+/=.~%:-")
"""Characters of tokens: few words of prose are as long as a token, so one search tells that a text has none."""
TOKEN_RUN = 14
DIGITS = _mask(string.digits + " .-()/+") | ANY_CHAR & ~((1 << 128) - 1)
"""Characters of numbers as people write them, and all characters beyond ASCII."""
DIGIT_RUN = 7
MAX_LITERALS = 24
"""More required strings than this take longer to look for than the pattern itself."""

_LINE_END = 1 << ord("\n")
_LOCAL_FLAGS = ((re.IGNORECASE, "i"), (re.ASCII, "a"))


class Start(NamedTuple):
    """One way in which a match can begin.

    Attributes:
        lead: Source of the assertions that stand before the first character.
        hold: Source of the prefix closure from there.
        first: The characters it can begin with, a mask as in `langchain_guard.patterns.charset`.
        in_line: Whether nothing of it, look-aheads included, takes a line end: it cannot have begun before the last one.
    """

    lead: str
    hold: str
    first: int
    in_line: bool


@dataclass(frozen=True, slots=True)
class Bounded:
    """A pattern whose longest match is bounded, ready for a streaming scan.

    Attributes:
        source: What finds the matches; see `find`.
        flags: Flags that all sources are written for.
        group: Number of the group named ``value``; 0 if there is none.
        starts: Where a match could still begin or grow; () if a match is decided as soon as it begins.
        tail: Source of a character class; a run of it after a match belongs to the match. "" for none.
        probe: Finds what a leading look-ahead asks for; without it there is no match. None if there is no such look-ahead.
        token: Whether every match has a run of at least `TOKEN_RUN` characters of `TOKEN`.
        digits: Whether every match has a run of at least `DIGIT_RUN` characters of `DIGITS`.
        literals: One of these stands in every match; () if none is implied by the pattern.
        nocase: Whether `literals` (in lower case) are to be looked for in lower-cased text.
        shortest: Length of the shortest match in code points.
        behind: How much text before a position decides about it, in code points.
    """

    source: str
    flags: int
    group: int
    starts: tuple[Start, ...]
    tail: str
    probe: re.Pattern[str] | None
    token: bool
    digits: bool
    literals: tuple[str, ...]
    nocase: bool
    shortest: int
    behind: int

    @property
    def find(self) -> re.Pattern[str]:
        """Finds the matches; compiled when it is first needed."""
        return _compiled(self.source, self.flags)


@lru_cache(maxsize=8192)
def _compiled(source: str, flags: int) -> re.Pattern[str]:
    return re.compile(source, flags)


@lru_cache(maxsize=4096)
def bounded(pattern: str, longest: int) -> tuple[Bounded, ...]:
    """The bounded patterns that together find what `pattern` finds, and more only where it would not end.

    Args:
        pattern: A pattern that passed `langchain_guard.patterns.compile_pattern` with ``streamed=True``.
        longest: What an unbounded repetition is cut to, in repetitions.

    Returns:
        One pattern, and one more for each unbounded repetition in it (its overflow).
    """
    writer = _Writer(pattern, longest)
    main = writer.compile("")
    rest = [_Writer(f"{writer.prefix_flags}(?:{source})", longest).compile(tail) for source, tail in writer.overflows()]
    return (main, *rest)


class _Writer:
    """Writes sources from one parsed pattern."""

    def __init__(self, pattern: str, longest: int) -> None:
        self.nodes, self.flags, self.groups = parse(pattern)
        self.longest = longest
        self.value = re.compile(pattern).groupindex.get("value", -1)
        self.widths = [int(w) for w in parser.parse(pattern).getwidth()]
        letters = "".join(letter for flag, letter in _LOCAL_FLAGS if self.flags & flag)
        self.prefix_flags = f"(?{letters})" if letters else ""

    def compile(self, tail: str) -> Bounded:
        split = 0
        while split < len(self.nodes) and _looks_back(self.nodes[split]):
            split += 1
        literals, nocase = required(self.nodes, self.flags)
        probe = None
        if split < len(self.nodes) and self.nodes[split][0] is ops.ASSERT:
            ahead = self.full(list(self.nodes[split][1][1]), self.flags, capture=False)
            probe = re.compile(ahead, self.flags & _KEPT_FLAGS)
        flags = self.flags & _KEPT_FLAGS
        return Bounded(
            source=self._find_source(split),
            flags=flags,
            group=max(self.value, 0),
            starts=tuple(self.starts(self.nodes, self.flags, open_end=bool(tail))),
            tail=tail,
            probe=probe,
            token=_run(self.nodes, self.flags, TOKEN, self.groups).best >= TOKEN_RUN,
            digits=_run(self.nodes, self.flags, DIGITS, self.groups).best >= DIGIT_RUN,
            literals=literals,
            nocase=nocase,
            shortest=self.widths[0],
            behind=_behind(self.nodes) + 1,
        )

    def _find_source(self, split: int) -> str:
        r"""The bounded pattern, its leading look-behinds moved behind its first characters.

        ``re`` can jump to a literal beginning, but only where nothing stands before it: ``(?<!\w)sk-`` is therefore
        written ``sk-(?<!\w[\s\S]{3})``, which matches the same texts.
        """
        lead, rest = self.nodes[:split], self.nodes[split:]
        if lead and all(node[0] is not ops.AT for node in lead) and not _group_flags(lead, 0):
            count = 0
            while count < len(rest) and rest[count][0] is ops.LITERAL:
                count += 1
            if not count and rest and rest[0][0] is ops.IN:
                count = 1
            if count:
                any_text = rf"[\s\S]{{{count}}}"
                moved = "".join(
                    f"(?<{'=' if op is ops.ASSERT else '!'}{self.full(list(inner[1]), self.flags, capture=True)}{any_text})"
                    for op, inner in lead
                )
                head = self.full(rest[:count], self.flags, capture=True)
                return head + moved + self.full(rest[count:], self.flags, capture=True)
        return self.full(self.nodes, self.flags, capture=True)

    # The pattern itself

    def full(self, nodes: list[Node], flags: int, *, capture: bool, cut: bool = False) -> str:
        """The source of a sequence, repetitions bounded.

        Args:
            nodes: The sequence.
            flags: Flags that hold in it.
            capture: Whether its groups are groups; else a back-reference is written as the pattern of its group.
            cut: Without `capture`, whether possessive repetitions and atomic groups stay what they are.
        """
        return "".join(self._full(node, flags, capture=capture, cut=cut) for node in nodes)

    def _full(self, node: Node, flags: int, *, capture: bool, cut: bool = False) -> str:
        op, value = node
        if op in _SINGLE:
            return single(node, flags)
        if op is ops.BRANCH:
            return (
                "(?:" + "|".join(self.full(branch, flags, capture=capture, cut=cut) for branch in children(node)) + ")"
            )
        if op is ops.SUBPATTERN:
            inside = inner_flags(node, flags)
            body = _scoped(self.full(list(value[3]), inside, capture=capture, cut=cut), flags, inside)
            if not capture or value[0] is None:
                return f"(?:{body})"
            return f"(?P<value>{body})" if value[0] == self.value else f"({body})"
        if op in _REPEAT_SUFFIX:
            keeps = capture or op is not ops.POSSESSIVE_REPEAT or (cut and not _refers(node))
            suffix = _REPEAT_SUFFIX[op] if keeps else ""
            return (
                self._item(list(value[2]), flags, capture=capture, cut=cut) + _count(value[0], self.high(node)) + suffix
            )
        if op is ops.ATOMIC_GROUP:
            keeps = capture or (cut and not _refers(node))
            return ("(?>" if keeps else "(?:") + self.full(list(value), flags, capture=capture, cut=cut) + ")"
        if op is ops.GROUPREF:
            return rf"(?:\{value})" if capture else f"(?:{self._referred(value, flags)})"
        if op is ops.AT:
            return _anchor(value, flags)
        if op in {ops.ASSERT, ops.ASSERT_NOT}:
            mark = ("" if value[0] > 0 else "<") + ("=" if op is ops.ASSERT else "!")
            if not capture and op is ops.ASSERT_NOT and _refers(node):
                return ""  # what takes more than the back-reference would forbid more
            return f"(?{mark}{self.full(list(value[1]), flags, capture=capture, cut=True)})"
        raise ValueError(f"no rule for {op}")

    def high(self, node: Node) -> int:
        """The most repetitions of a repetition; the bound if it has none."""
        low, high = int(node[1][0]), node[1][1]
        return max(low, self.longest) if high is ops.MAXREPEAT else int(high)

    def _item(self, body: list[Node], flags: int, *, capture: bool, cut: bool = False) -> str:
        source = self.full(body, flags, capture=capture, cut=cut)
        return source if len(body) == 1 and body[0][0] in _SINGLE | {ops.SUBPATTERN} else f"(?:{source})"

    # Its prefixes

    def starts(self, nodes: list[Node], flags: int, *, open_end: bool, lead: str = "") -> list[Start]:
        """The ways in which a match can begin: leading alternatives apart, so that their first characters tell them."""
        index = 0
        while index < len(nodes) and _looks_back(nodes[index]):
            lead += self.hold_assertion(nodes[index], flags)
            index += 1
        nodes = nodes[index:]
        if not nodes:
            return []
        (op, value), rest = nodes[0], nodes[1:]
        if op is ops.BRANCH:
            return self._alternatives(children(nodes[0]), rest, flags, open_end=open_end, lead=lead)
        if op is ops.SUBPATTERN and value[3]:
            inside = inner_flags(nodes[0], flags)
            body = list(value[3])
            local = (value[1], value[2])
            if _looks_back(body[0]):
                lead += _scoped(self.hold_assertion(body[0], inside), flags, inside)
                return self.starts([_group(body[1:], *local), *rest], flags, open_end=open_end, lead=lead)
            if inside == flags:
                return self.starts([*body, *rest], flags, open_end=open_end, lead=lead)
            if body[0][0] is ops.BRANCH:
                branches = [[_group([*branch, *body[1:]], *local)] for branch in children(body[0])]
                return self._alternatives(branches, rest, flags, open_end=open_end, lead=lead)
        hold = self.prefixes(nodes, flags, open_end=open_end)
        in_line = not self._takes_line_end(nodes, flags)
        return [Start(lead, hold, first(nodes, flags, self.groups)[0], in_line)] if hold else []

    def _takes_line_end(self, nodes: list[Node], flags: int) -> bool:
        """Whether a part of a sequence can be a line end, or a back-reference could be one."""
        for node in nodes:
            chars = charset(node, flags)
            if chars is not None and chars & _LINE_END:
                return True
            if node[0] is ops.GROUPREF:
                if self._takes_line_end(self.groups[node[1]], flags | re.DOTALL):
                    return True
            elif any(self._takes_line_end(inner, inner_flags(node, flags)) for inner in children(node)):
                return True
        return False

    def _alternatives(
        self, branches: list[list[Node]], rest: list[Node], flags: int, *, open_end: bool, lead: str
    ) -> list[Start]:
        """The ways to begin with one of several branches; those with the same first characters stay together."""
        together: dict[int, list[list[Node]]] = {}
        found: list[Start] = []
        for branch in branches:
            inner: Node = branch[0] if branch else (None, None)
            while inner[0] is ops.SUBPATTERN and inner[1][3]:
                inner = inner[1][3][0]
            mask, empty = first(branch, flags, self.groups)
            if empty or inner[0] is ops.BRANCH or _looks_back(inner):
                found += self.starts([*branch, *rest], flags, open_end=open_end, lead=lead)
            else:
                together.setdefault(mask, []).append(branch)
        for mask, same in together.items():
            nodes = [*same[0], *rest] if len(same) == 1 else [(ops.BRANCH, (None, same)), *rest]
            hold = self.prefixes(nodes, flags, open_end=open_end)
            if hold:
                found.append(Start(lead, hold, mask, not self._takes_line_end(nodes, flags)))
        return found

    def prefixes(self, nodes: list[Node], flags: int, *, open_end: bool) -> str:
        """The source of the prefixes of a sequence; "" if there is none.

        Args:
            nodes: The sequence.
            flags: Flags that hold in it.
            open_end: Whether the whole sequence counts as a prefix: something that may ask for more text comes after.
        """
        if not nodes:
            return ""
        node, rest = nodes[0], nodes[1:]
        op, value = node
        more = self.prefixes(rest, flags, open_end=open_end)
        open_here = open_end or bool(rest)
        if op in _SINGLE:
            follow = f"(?:{more})?" if more else ""
            return single(node, flags) + follow if open_here else ""
        if op is ops.AT:
            return self.hold_assertion(node, flags) + (f"(?:{more})?" if more else "") if open_here else ""
        if op in {ops.ASSERT, ops.ASSERT_NOT}:
            ahead = self.prefixes(list(value[1]), flags, open_end=True) if value[0] > 0 else ""
            follow = self.hold_assertion(node, flags) + (f"(?:{more})?" if more else "")
            return f"(?:{ahead}|{follow})" if ahead else follow
        whole = self._full(node, flags, capture=False, cut=True) + (f"(?:{more})?" if more else "")
        parts = [whole] if open_here else []
        part = self._open(node, flags, open_end=open_here)
        if part:
            parts.append(part)
        return f"(?:{'|'.join(parts)})" if parts else ""

    def _open(self, node: Node, flags: int, *, open_end: bool) -> str:
        """The source of the prefixes of one composed node."""
        op, value = node
        if op in _REPEAT_SUFFIX:
            low, high, body = int(value[0]), self.high(node), list(value[2])
            if high == 0:
                return ""
            item = self._item(body, flags, capture=False, cut=True)
            if len(body) == 1 and body[0][0] in _SINGLE:
                most = (low if open_end else high) - 1
                return item + _count(1, most) if most > 0 else ""
            inner = self.prefixes(body, flags, open_end=open_end or high > 1)
            return (item + _count(0, high - 1) if high > 1 else "") + inner if inner else ""
        if op is ops.BRANCH:
            parts = [self.prefixes(branch, flags, open_end=open_end) for branch in children(node)]
            return "(?:" + "|".join(part for part in parts if part) + ")" if any(parts) else ""
        if op is ops.SUBPATTERN or op is ops.ATOMIC_GROUP:
            inside = inner_flags(node, flags)
            body = children(node)[0]
            source = self.prefixes(body, inside, open_end=open_end)
            return f"(?:{_scoped(source, flags, inside)})" if source else ""
        if op is ops.GROUPREF:
            return self._referred(value, flags, open_end=open_end)
        raise ValueError(f"no rule for {op}")

    def hold_assertion(self, node: Node, flags: int) -> str:
        """An assertion as a hold pattern may use it: true whenever more text could still make it true."""
        op, value = node
        if op is ops.AT:
            anchor = _anchor(value, flags)
            return rf"(?:{anchor}|\Z)" if value in {ops.AT_BOUNDARY, ops.AT_NON_BOUNDARY} else anchor
        direction, body = value[0], list(value[1])
        if direction < 0:
            return self._full(node, flags, capture=False) if _plain(body, behind=True) else ""
        if op is ops.ASSERT:
            ahead = self.prefixes(body, flags, open_end=True)
            return rf"(?={self.full(body, flags, capture=False)}|(?:{ahead})?\Z)"
        return self._full(node, flags, capture=False) if _plain(body, behind=False) else ""

    def _referred(self, group: int, flags: int, *, open_end: bool | None = None) -> str:
        """The source of the texts (or, with `open_end`, of the prefixes) that a back-reference can match, and more."""
        inside = flags | _group_flags(self.nodes, self.flags)[group]
        nodes = _texts(self.groups[group])
        if open_end is None:
            source = self.full(nodes, inside, capture=False)
        else:
            source = self.prefixes(nodes, inside, open_end=open_end)
        return _scoped(source, flags, inside)

    # What goes on beyond the bound

    def overflows(self) -> list[tuple[str, str]]:
        """For each unbounded repetition: the source of what stands up to its bound, and the class that goes on."""
        return self._overflows(self.nodes, self.flags)

    def _overflows(self, nodes: list[Node], flags: int) -> list[tuple[str, str]]:
        found = []
        for index, node in enumerate(nodes):
            op, value = node
            before = self.full(nodes[:index], flags, capture=False, cut=True)
            if op in _REPEAT_SUFFIX and value[1] is ops.MAXREPEAT:
                body = list(value[2])
                alone = len(body) == 1 and body[0][0] in _SINGLE
                full = self._item(body, flags, capture=False, cut=True) + _count(self.high(node), self.high(node))
                found.append((before + full, single(body[0], flags) if alone else r"\S"))
            elif op in {ops.ASSERT, ops.ASSERT_NOT}:
                continue
            else:
                inside = inner_flags(node, flags)
                if op in _REPEAT_SUFFIX and self.high(node) > 1:
                    before += self._item(list(value[2]), flags, capture=False, cut=True) + _count(
                        0, self.high(node) - 1
                    )
                for inner in children(node):
                    found += [
                        (before + f"(?:{_scoped(source, flags, inside)})", tail)
                        for source, tail in self._overflows(inner, inside)
                    ]
        return found


def _group(nodes: list[Node], add: int, remove: int) -> Node:
    """A group that captures nothing."""
    return ops.SUBPATTERN, (None, add, remove, nodes)


class _Run(NamedTuple):
    """Runs of characters of one class that every text of a sequence has: at its ends, anywhere, and throughout (or None)."""

    head: int
    end: int
    best: int
    whole: int | None


def _run(nodes: list[Node], flags: int, mask: int, groups: dict[int, list[Node]]) -> _Run:
    run = _Run(0, 0, 0, 0)
    for node in nodes:
        run = _joined(run, _run_of(node, flags, mask, groups))
    return run


def _joined(a: _Run, b: _Run) -> _Run:
    return _Run(
        a.head if a.whole is None else a.whole + b.head,
        b.end if b.whole is None else a.end + b.whole,
        max(a.best, b.best, a.end + b.head),
        None if a.whole is None or b.whole is None else a.whole + b.whole,
    )


def _run_of(node: Node, flags: int, mask: int, groups: dict[int, list[Node]]) -> _Run:
    op, value = node
    chars = charset(node, flags)
    if chars is not None:
        return _Run(1, 1, 1, 1) if not chars & ~mask else _Run(0, 0, 0, None)
    if op in _REPEAT_SUFFIX:
        low, body = int(value[0]), _run(list(value[2]), flags, mask, groups)
        if body.whole is not None:
            size = low * body.whole
            return _Run(size, size, size, size)
        run = body if low else _Run(0, 0, 0, None)
        return _joined(body, body) if low > 1 else run
    if op is ops.BRANCH:
        runs = [_run(branch, flags, mask, groups) for branch in children(node)]
        wholes = [run.whole for run in runs]
        return _Run(
            min(run.head for run in runs),
            min(run.end for run in runs),
            min(run.best for run in runs),
            min(whole for whole in wholes if whole is not None) if None not in wholes else None,
        )
    if op is ops.SUBPATTERN or op is ops.ATOMIC_GROUP:
        return _run(children(node)[0], inner_flags(node, flags), mask, groups)
    if op is ops.GROUPREF:
        return _run(_texts(groups[value]), flags, mask, groups)
    return _Run(0, 0, 0, 0)  # assertions and anchors take no text


def _looks_back(node: Node) -> bool:
    """Whether a node is an assertion about what stands before a position, or right at it."""
    return node[0] is ops.AT or (node[0] in {ops.ASSERT, ops.ASSERT_NOT} and node[1][0] < 0)


def _group_flags(nodes: list[Node], flags: int) -> dict[int, int]:
    """The flags inside each capturing group."""
    found: dict[int, int] = {}
    for node in nodes:
        inside = inner_flags(node, flags)
        if node[0] is ops.SUBPATTERN and node[1][0] is not None:
            found[node[1][0]] = inside
        for inner in children(node):
            found |= _group_flags(inner, inside)
    return found


def _texts(nodes: list[Node]) -> list[Node]:
    """A sequence without its assertions and cuts: a back-reference repeats a text, not the way to it."""
    return [_text(node) for node in nodes if node[0] not in {ops.ASSERT, ops.ASSERT_NOT, ops.AT}]


def _text(node: Node) -> Node:
    op, value = node
    if op is ops.BRANCH:
        return op, (value[0], [_texts(branch) for branch in children(node)])
    if op is ops.SUBPATTERN:
        return op, (*value[:3], _texts(list(value[3])))
    if op in _REPEAT_SUFFIX:
        return ops.MAX_REPEAT, (value[0], value[1], _texts(list(value[2])))
    return _group(_texts(list(value)), 0, 0) if op is ops.ATOMIC_GROUP else node


def _refers(node: Node) -> bool:
    """Whether a back-reference stands in a node: written as a pattern it may take more than it does."""
    return node[0] is ops.GROUPREF or any(_refers(inner) for nodes in children(node) for inner in nodes)


def single(node: Node, flags: int) -> str:
    """The source of a node that matches one character."""
    op, value = node
    if op is ops.LITERAL:
        return re.escape(chr(value))
    if op is ops.NOT_LITERAL:
        return f"[^{_in_class(value)}]"
    if op is ops.ANY:
        return r"[\s\S]" if flags & re.DOTALL else r"[^\n]"
    parts: list[str] = []
    for kind, item in value:
        if kind is ops.NEGATE:
            parts.insert(0, "^")
        elif kind is ops.LITERAL:
            parts.append(_in_class(item))
        elif kind is ops.RANGE:
            parts.append(f"{_in_class(item[0])}-{_in_class(item[1])}")
        else:
            parts.append(_CATEGORY[item])
    return "[" + "".join(parts) + "]"


def _in_class(point: int) -> str:
    char = chr(point)
    return char if char.isalnum() and char.isascii() else f"\\U{point:08x}"


def _count(low: int, high: int) -> str:
    return f"{{{low}}}" if low == high else f"{{{low},{high}}}"


def _scoped(source: str, outer: int, inner: int) -> str:
    """A source whose local flags differ from those around it."""
    on = "".join(letter for flag, letter in _LOCAL_FLAGS if inner & flag and not outer & flag)
    off = "".join(letter for flag, letter in _LOCAL_FLAGS if outer & flag and not inner & flag and letter == "i")
    return f"(?{on}{'-' + off if off else ''}:{source})" if on or off else source


def _anchor(code: object, flags: int) -> str:
    if flags & re.MULTILINE and code in {ops.AT_BEGINNING, ops.AT_END}:
        return "(?m:^)" if code is ops.AT_BEGINNING else "(?m:$)"
    return _AT[code]


def _plain(nodes: list[Node], *, behind: bool) -> bool:
    """Whether a look-around says the same now as when more text has come, without needing a group."""
    for node in nodes:
        op, value = node
        if op is ops.GROUPREF or (op in {ops.ASSERT, ops.ASSERT_NOT} and not (behind and value[0] < 0)):
            return False
        if op is ops.AT and not (behind and value in {ops.AT_BEGINNING, ops.AT_BEGINNING_STRING}):
            return False
        if not all(_plain(inner, behind=behind) for inner in children(node)):
            return False
    return True


def _behind(nodes: list[Node]) -> int:
    """How far before a position the look-behinds of a sequence reach, in code points."""
    reach = 1
    for op, value in nodes:
        if op in {ops.ASSERT, ops.ASSERT_NOT} and value[0] < 0:
            reach = max(reach, int(value[1].getwidth()[1]) + _behind(list(value[1])))
        else:
            reach = max([reach, *(_behind(inner) for inner in children((op, value)))])
    return reach


def required(nodes: list[Node], flags: int) -> tuple[tuple[str, ...], bool]:
    """Strings of which at least one stands in every match, and whether they are to be looked for in lower case.

    The best set is the one whose shortest string is longest; () if the pattern implies none. Letters beyond ASCII that
    are compared without case are never part of one.
    """
    candidates: list[tuple[tuple[str, ...], bool]] = []
    lower = bool(flags & re.IGNORECASE)
    run = ""
    for node in [*nodes, (None, None)]:
        op, value = node
        if op is ops.LITERAL and (value < 128 or not lower):
            run += chr(value).lower() if lower else chr(value)
            continue
        if run:
            candidates.append(((run,), lower))
            run = ""
        if op is ops.SUBPATTERN or op is ops.ATOMIC_GROUP:
            candidates.append(required(children(node)[0], inner_flags(node, flags)))
        elif op in _REPEAT_SUFFIX and value[0] > 0:
            candidates.append(required(list(value[2]), flags))
        elif op is ops.BRANCH:
            parts = [required(branch, flags) for branch in children(node)]
            if all(texts for texts, _ in parts):
                folded = any(nocase for _, nocase in parts)
                texts = {text.lower() if folded else text for texts, _ in parts for text in texts}
                if len(texts) <= MAX_LITERALS:
                    candidates.append((tuple(sorted(texts)), folded))
    return max(
        (found for found in candidates if found[0]),
        key=lambda found: (min(len(text) for text in found[0]), -len(found[0])),
        default=((), False),
    )
