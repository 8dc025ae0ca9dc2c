r"""The one gate that every regular expression from a user passes.

A pattern that is run on a model's output is run on text an attacker can shape, so it must not be able to take more than
time proportional to that text, and, where text is judged while it streams, what it matches must not depend on where the
text happens to end. Both can be read off the parsed pattern:

* no unbounded repetition inside another one (``(a+)+``), the classic of catastrophic backtracking;
* few ways to match one text: at each choice the next character should decide. Where it does not, the number of ways
  multiplies (Weideman et al., "Analyzing Matching Time Behavior of Backtracking Regular Expression Matchers by Using
  Ambiguity of NFA", CIAA 2016), and a pattern with too many is refused;
* for streamed text: no ``$`` or ``\Z`` (the end of a chunk would look like the end of the text) and no empty match.

This module imports nothing of LangChain. It reads ``re._parser``, the standard library's own parser.
"""

from __future__ import annotations

import importlib
import re
from typing import Any, NamedTuple

from langchain_guard.errors import ConfigError

# The parser has been in the standard library under these names since Python 3.11; it is not typed and not public, so
# everything that this package knows about its output stands in this module and in scrub/closure.py.
parser: Any = importlib.import_module("re._parser")
ops: Any = importlib.import_module("re._constants")

MAX_PATTERN = 10_000
"""Longest pattern accepted, in code points of its source."""

MAX_WAYS = 100_000
"""Most ways in which a pattern may match one text before it is refused."""

REPEATS = frozenset({ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT})
_END_ANCHORS = frozenset({ops.AT_END, ops.AT_END_LINE, ops.AT_END_STRING})
_ASCII = (1 << 128) - 1
_WORD, _SPACE, _REST = 1 << 128, 1 << 129, 1 << 130  # every character beyond ASCII is one of these
_OTHER = _WORD | _SPACE | _REST
ANY_CHAR = _ASCII | _OTHER

Node = tuple[Any, Any]


class Parsed(NamedTuple):
    """A parsed pattern: the nodes of its top sequence, its flags, and the nodes of each capturing group."""

    nodes: list[Node]
    flags: int
    groups: dict[int, list[Node]]


def parse(pattern: str) -> Parsed:
    """The parse tree of `pattern`.

    Raises:
        re.error: The pattern is not valid.
    """
    tree = parser.parse(pattern)
    groups: dict[int, list[Node]] = {}
    _collect_groups(list(tree), groups)
    return Parsed(list(tree), tree.state.flags, groups)


def children(node: Node) -> list[list[Node]]:
    """The sequences inside a node."""
    op, value = node
    if op is ops.BRANCH:
        return [list(branch) for branch in value[1]]
    if op is ops.SUBPATTERN:
        return [list(value[3])]
    if op in REPEATS:
        return [list(value[2])]
    if op is ops.ATOMIC_GROUP:
        return [list(value)]
    if op is ops.ASSERT or op is ops.ASSERT_NOT:
        return [list(value[1])]
    if op is ops.GROUPREF_EXISTS:
        return [list(branch) for branch in value[1:] if branch is not None]
    return []


def _collect_groups(nodes: list[Node], groups: dict[int, list[Node]]) -> None:
    for node in nodes:
        if node[0] is ops.SUBPATTERN and node[1][0] is not None:
            groups[node[1][0]] = list(node[1][3])
        for inner in children(node):
            _collect_groups(inner, groups)


_CATEGORIES = {
    ops.CATEGORY_DIGIT: r"\d",
    ops.CATEGORY_NOT_DIGIT: r"\D",
    ops.CATEGORY_SPACE: r"\s",
    ops.CATEGORY_NOT_SPACE: r"\S",
    ops.CATEGORY_WORD: r"\w",
    ops.CATEGORY_NOT_WORD: r"\W",
}


def category(code: Any) -> str:
    r"""How a character category is written in a pattern, such as ``\d``."""
    return _CATEGORIES[code]


_BEYOND_ASCII = {
    ops.CATEGORY_DIGIT: _WORD,
    ops.CATEGORY_NOT_DIGIT: _OTHER,
    ops.CATEGORY_SPACE: _SPACE,
    ops.CATEGORY_NOT_SPACE: _WORD | _REST,
    ops.CATEGORY_WORD: _WORD,
    ops.CATEGORY_NOT_WORD: _SPACE | _REST,
}


def _category_mask(code: Any) -> int:
    mask = _BEYOND_ASCII[code]
    test = re.compile(_CATEGORIES[code])
    for point in range(128):
        if test.match(chr(point)):
            mask |= 1 << point
    return mask


_CATEGORY_MASKS = {code: _category_mask(code) for code in _CATEGORIES}
_NEGATED = {ops.CATEGORY_NOT_DIGIT, ops.CATEGORY_NOT_SPACE, ops.CATEGORY_NOT_WORD}


def _bit(point: int) -> int:
    if point < 128:
        return 1 << point
    char = chr(point)
    return _SPACE if char.isspace() else _WORD if char.isalnum() else _REST


_LETTERS = sum(1 << point | 1 << point + 32 for point in range(65, 91))


def _any_case(mask: int, flags: int) -> int:
    """The mask with both cases of each ASCII letter; unless told ASCII only, Unicode pairs letters beyond it with these."""
    beyond = 0 if flags & re.ASCII else _WORD
    for point in range(65, 91):
        both = 1 << point | 1 << point + 32
        if mask & both:
            mask |= both | beyond
    return mask | (_LETTERS if mask & _WORD and beyond else 0)


def charset(node: Node, flags: int) -> int | None:
    """The characters that a single-character node matches, as a bit mask; None for any other node.

    Bits 0 to 127 are ASCII; the next three stand for word characters, white space and all others beyond it. The mask
    may hold more than the node matches, never less.
    """
    op, value = node
    if op is ops.ANY:
        return ANY_CHAR if flags & re.DOTALL else ANY_CHAR & ~(1 << 10)
    if op is ops.LITERAL:
        mask = _bit(value)
    elif op is ops.NOT_LITERAL:
        return ANY_CHAR & ~(1 << value) if value < 128 and not flags & re.IGNORECASE else ANY_CHAR
    elif op is ops.IN:
        mask, negated = 0, False
        for kind, item in value:
            if kind is ops.NEGATE:
                negated = True
            elif kind is ops.LITERAL:
                mask |= _bit(item)
            elif kind is ops.RANGE:
                low, high = item
                mask |= _OTHER if high > 127 else 0
                mask |= ((1 << min(high, 127) + 1) - 1) & ~((1 << low) - 1) if low < 128 else 0
            else:
                beyond = _OTHER if item in _NEGATED else 0
                mask |= (_CATEGORY_MASKS[item] & _ASCII) | beyond if flags & re.ASCII else _CATEGORY_MASKS[item]
        if negated:
            return (_ASCII & ~mask) | _beyond(value, flags)
    else:
        return None
    return _any_case(mask, flags) if flags & re.IGNORECASE else mask


def _beyond(items: list[tuple[Any, Any]], flags: int) -> int:
    """What a negated class leaves beyond ASCII: all but the categories that it names whole."""
    if flags & re.ASCII:
        return _OTHER
    mask = _OTHER
    for kind, item in items:
        if kind is ops.CATEGORY and item is not ops.CATEGORY_DIGIT and item is not ops.CATEGORY_NOT_DIGIT:
            mask &= ~_BEYOND_ASCII[item]
    return mask


def inner_flags(node: Node, flags: int) -> int:
    """The flags that hold inside a group, such as ``(?i:...)``."""
    if node[0] is ops.SUBPATTERN:
        return int((flags | node[1][1]) & ~node[1][2])
    return flags


def first(nodes: list[Node], flags: int, groups: dict[int, list[Node]]) -> tuple[int, bool]:
    """The characters a sequence can begin with (a mask as in `charset`), and whether it can match nothing."""
    mask = 0
    for node in nodes:
        more, nullable = _first_of(node, flags, groups)
        mask |= more
        if not nullable:
            return mask, False
    return mask, True


def _first_of(node: Node, flags: int, groups: dict[int, list[Node]]) -> tuple[int, bool]:
    op, value = node
    single = charset(node, flags)
    if single is not None:
        return single, False
    if op is ops.BRANCH:
        parts = [first(branch, flags, groups) for branch in children(node)]
        mask = 0
        for more, _ in parts:
            mask |= more
        return mask, any(nullable for _, nullable in parts)
    if op in REPEATS:
        mask, nullable = first(list(value[2]), flags, groups)
        return mask, nullable or value[0] == 0
    if op is ops.SUBPATTERN or op is ops.ATOMIC_GROUP:
        return first(children(node)[0], inner_flags(node, flags), groups)
    if op is ops.GROUPREF:
        return first(groups.get(value, []), flags, groups)[0] or ANY_CHAR, True
    if op is ops.GROUPREF_EXISTS:
        return ANY_CHAR, True
    return 0, True  # assertions and anchors take no text


def ways(nodes: list[Node], flags: int, groups: dict[int, list[Node]], cap: int, follow: int = 0) -> int:
    """An upper estimate of the number of ways in which a sequence can match one text.

    Wherever the next character decides between the alternatives (the condition LL(1) of parsing) there is one way.

    Args:
        nodes: The sequence.
        flags: Flags that hold in it.
        groups: The pattern's capturing groups.
        cap: What an unbounded repetition counts as.
        follow: Characters that can come after the sequence.
    """
    total = 1
    for index in range(len(nodes) - 1, -1, -1):
        node = nodes[index]
        op, value = node
        after, nullable = first(nodes[index + 1 :], flags, groups)
        after |= follow if nullable else 0
        count = 1
        if op in REPEATS:
            low, high, body = value[0], min(int(value[1]), cap), list(value[2])
            mask, _ = first(body, flags, groups)
            inside = ways(body, flags, groups, cap, after | (mask if high > 1 else 0))
            if inside > 1:
                count = inside**high if high < 20 else MAX_WAYS + 1
            if op is not ops.POSSESSIVE_REPEAT and low != high and mask & after:
                count *= high - low + 1
            if op is ops.POSSESSIVE_REPEAT and inside == 1:
                count = 1
        elif op is ops.BRANCH:
            branches = children(node)
            seen, overlap, counts = 0, False, []
            for branch in branches:
                mask, empty = first(branch, flags, groups)
                mask |= after if empty else 0
                overlap, seen = overlap or bool(mask & seen), seen | mask
                counts.append(ways(branch, flags, groups, cap, after))
            count = sum(counts) if overlap else max(counts)
        elif op is ops.SUBPATTERN or op is ops.ATOMIC_GROUP:
            count = ways(children(node)[0], inner_flags(node, flags), groups, cap, after)
        elif op is ops.ASSERT or op is ops.ASSERT_NOT:
            count = ways(children(node)[0], flags, groups, cap)
        total = min(total * count, MAX_WAYS + 1)
    return total


def _walk(nodes: list[Node], *, repeated: bool = False) -> list[tuple[Node, bool]]:
    found = []
    for node in nodes:
        found.append((node, repeated))
        unbounded = node[0] in REPEATS and node[1][1] is ops.MAXREPEAT
        for inner in children(node):
            found += _walk(inner, repeated=repeated or unbounded)
    return found


def value_is_looked_at(pattern: str) -> bool:
    """Whether the group named ``value`` stands in a look-ahead or look-behind: it would be no part of a match."""
    number = re.compile(pattern).groupindex.get("value")
    inside: dict[int, list[Node]] = {}
    for node, _ in _walk(parse(pattern).nodes):
        if node[0] in {ops.ASSERT, ops.ASSERT_NOT}:
            _collect_groups(children(node)[0], inside)
    return number in inside


def compile_pattern(pattern: str, *, what: str, streamed: bool, cap: int = 1000) -> re.Pattern[str]:
    """Compile a user's regular expression, or say why it is not safe to run.

    Args:
        pattern: The expression, in the syntax of `re`.
        what: Name of the argument, for the error: ``"ScrubRule('ticket').pattern"``.
        streamed: Whether text is judged while it arrives, so that its end is not known.
        cap: Repetitions that ``*`` and ``+`` stand for when ways to match are counted.

    Raises:
        ConfigError: Not a valid pattern, too long, unbounded repetition inside another one, too many ways to match
            one text; streamed also: an end anchor, a conditional group, or a pattern that can match nothing.
    """

    def refuse(reason: str) -> ConfigError:
        shown = repr(pattern) if len(repr(pattern)) <= 120 else repr(pattern)[:117] + "..."
        return ConfigError(f"{what}={shown} cannot be used: {reason}")

    if not isinstance(pattern, str):
        raise ConfigError(f"{what} must be a regular expression as a str, not {type(pattern).__name__}")
    if len(pattern) > MAX_PATTERN:
        raise refuse(f"it is longer than {MAX_PATTERN} characters")
    try:
        compiled = re.compile(pattern)
        nodes, flags, groups = parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        reason = str(error) if isinstance(error, re.error) else "it is nested too deeply or repeats too often"
        raise refuse(f"not a valid regular expression ({reason})") from None
    for node, repeated in _walk(nodes):
        op, value = node
        if repeated and op in REPEATS and value[1] is ops.MAXREPEAT:
            raise refuse("an unbounded repetition (* or +) stands inside another one; bound one of them, as in {1,64}")
        if streamed and op in REPEATS and value[1] is ops.MAXREPEAT and value[2].getwidth()[0] == 0:
            raise refuse("an unbounded repetition (* or +) of something that can be empty; make one character required")
        if streamed and op is ops.AT and value in _END_ANCHORS:
            raise refuse(
                "$ and \\Z are not allowed, because the end of a chunk would look like the end of the text; "
                "say what must not follow, as in (?!\\w)"
            )
        if streamed and op is ops.GROUPREF_EXISTS:
            raise refuse("a conditional group (?(1)...) is not allowed in a streamed rule; write both cases out with |")
    if streamed and parser.parse(pattern).getwidth()[0] == 0:
        raise refuse("it can match the empty text; make at least one character required")
    if ways(nodes, flags, groups, cap) > MAX_WAYS:
        raise refuse(
            f"it can match one text in more than {MAX_WAYS} ways, which takes too long on hostile text; use classes "
            "that do not overlap next to each other, or bounded repetitions"
        )
    return compiled
