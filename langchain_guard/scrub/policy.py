"""The scrubber's policy: what is looked for, and what is done with each find. Plain Python, no LangChain."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol

from langchain_guard.errors import ConfigError, GuardUnavailable, strict
from langchain_guard.patterns import compile_pattern, value_is_looked_at
from langchain_guard.policy import Judged
from langchain_guard.scrub.finder import PatternFinder, Search
from langchain_guard.scrub.invisible import Cleaner
from langchain_guard.streaming import Span, SpanScanner
from langchain_guard.verdict import Finding, worst

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import ModuleType

    from langchain_guard.streaming import Finder
    from langchain_guard.verdict import Action

ScrubAction = Literal["redact", "mask", "hash", "vault", "block", "allow"]
ACTIONS: tuple[ScrubAction, ...] = ("redact", "mask", "hash", "vault", "block", "allow")

OTHER_KINDS = ("invisible", "link", "markup", "ansi", "canary", "protected_text")
"""Kinds that are not rows of the tables: they are looked for when an argument asks for them (invisible: always)."""

DEFAULT_LONGEST = 1024


@strict
@dataclass(frozen=True, slots=True)
class ScrubRule:
    r"""A rule of the application's own.

    Args:
        name: Its kind: the label is ``[NAME]``, and `actions` name it. Letters, digits, ``_`` and ``-``.
        pattern: A regular expression in the syntax of `re`. If it has a group named ``value``, only that group is what is
            replaced; the text around it must be there and stays. Where the group takes no part in a match, all of it is.
        check: Says of what was found whether it is one, such as a check digit; None for always.
        longest: Repetitions that ``*`` and ``+`` stand for at most; what goes on longer is removed too. It bounds what has
            to be held back while a text streams.

    Raises:
        ConfigError: The name is not a name, or the pattern is invalid, can match the empty text, has an end anchor, or
            could take too long on hostile text.

    Example:
        >>> from langchain_guard import OutputScrubber, ScrubRule
        >>> OutputScrubber(rules=[ScrubRule("ticket", r"SECRET-\d{4}")]).scrub("see SECRET-1234.")
        'see [TICKET].'
    """

    name: str
    pattern: str
    check: Callable[[str], bool] | None = None
    longest: int = DEFAULT_LONGEST

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,63}", self.name) is None:
            raise ConfigError(
                f"ScrubRule(name={self.name!r}) must be 1 to 64 letters, digits, '_' or '-', and begin with a letter"
            )
        if not isinstance(self.longest, int) or isinstance(self.longest, bool) or not 1 <= self.longest <= 65_536:
            raise ConfigError(f"ScrubRule({self.name!r}).longest={self.longest!r} must be an int from 1 to 65536")
        if self.check is not None and not callable(self.check):
            raise ConfigError(f"ScrubRule({self.name!r}).check must be a callable or None")
        compile_pattern(self.pattern, what=f"ScrubRule({self.name!r}).pattern", streamed=True, cap=self.longest)
        if value_is_looked_at(self.pattern):
            raise ConfigError(
                f"ScrubRule({self.name!r}).pattern: the group 'value' must not stand in a look-ahead or look-behind, "
                "because what is replaced must be part of the match"
            )


class Placeholders(Protocol):
    """Gives values placeholders (`langchain_guard.scrub.vault.Vault`)."""

    def placeholder(self, kind: str, value: str, scope: str) -> str:
        """The placeholder of a value, always the same in one scope."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do with each kind.

    Attributes:
        searches: What to look for, with the verdict's action.
        actions: How to render each kind.
        clean: Whether invisible characters are removed, and the verdict's action for them.
    """

    searches: tuple[Search, ...]
    actions: Mapping[str, ScrubAction]
    clean: ScrubAction

    def __deepcopy__(self, memo: dict[int, Any]) -> Plan:
        return self


def _tables() -> ModuleType:
    """The tables of rules, which nobody needs who only imports the package."""
    from langchain_guard.scrub import rules  # noqa: PLC0415

    return rules


def chosen_kinds(kinds: str | Sequence[str]) -> frozenset[str]:
    """The kinds that an argument names: "default", "secrets", "pii", "all", a kind, or a list of these.

    Raises:
        ConfigError: There is no such kind.
    """
    kinds_of = _tables().KINDS
    names = [kinds] if isinstance(kinds, str) else list(kinds)
    chosen: set[str] = set()
    for name in names:
        if name == "default":
            chosen |= {kind for kind, group in kinds_of.items() if group != "opt-in"}
        elif name == "all":
            chosen |= kinds_of.keys()
        elif name in {"secrets", "pii"}:
            chosen |= {kind for kind, group in kinds_of.items() if group == name}
        elif name in kinds_of:
            chosen.add(name)
        else:
            raise ConfigError(f"kinds={name!r} is unknown{_near(name, kinds_of)}")
    return frozenset(chosen)


def _near(name: object, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(known), n=3)
    hint = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    return f"{hint}; groups are 'default', 'secrets', 'pii' and 'all'"


def plan(
    kinds: str | Sequence[str],
    actions: Mapping[str, ScrubAction],
    rules: Sequence[ScrubRule] = (),
    region: str | None = None,
    extra: Sequence[Search] = (),
    known: Iterable[str] = (),
) -> Plan:
    """Turn a configuration into what to look for.

    Args:
        kinds: As `chosen_kinds`.
        actions: What to do with a kind, a group ("secrets", "pii") or everything else ("*").
        rules: The application's own rules.
        region: Country whose national phone numbers are found too, ISO 3166-1 alpha-2.
        extra: More searches, such as those for links.
        known: Kinds that recognizers find.

    Raises:
        ConfigError: A kind or an action is unknown, or the extra ``pii`` is missing for one that needs it.
    """
    picked, tables = chosen_kinds(kinds), _tables()
    names = {*tables.KINDS, *OTHER_KINDS, *(rule.name for rule in rules), *known, "*", "secrets", "pii", "opt-in"}
    for kind, action in actions.items():
        if kind not in names:
            raise ConfigError(f"actions[{kind!r}]: there is no such kind{_near(kind, names)}")
        if action not in ACTIONS:
            raise ConfigError(f"actions[{kind!r}]={action!r} must be one of {', '.join(ACTIONS)}")
    rest = actions.get("*", "redact")
    table: dict[str, ScrubAction] = {
        kind: actions.get(kind, actions.get(tables.KINDS.get(kind, ""), rest))
        for kind in names - {"*", "secrets", "pii"}
    }
    searches: list[Search] = [
        Search(rule.name, rule.name, verdict_action(table[rule.name]), rule.pattern, _guarded(rule), rule.longest)
        for rule in rules
        if table[rule.name] != "allow"
    ]
    rows = [*tables.ROWS, *(tables.phone_rows(region) if region is not None else ())]
    if any(kind.startswith(_NATIONAL) for kind in picked):
        from langchain_guard.scrub.checksums import optional  # noqa: PLC0415  # asked only when such a kind is

        optional("stdnum")
    searches += [
        Search(row.kind, row.kind, verdict_action(table[row.kind]), f"(?a){row.pattern}", row.check, row.longest)
        for row in rows
        if row.kind in picked and table[row.kind] != "allow"
    ]
    searches += [
        search._replace(action=verdict_action(table[search.kind])) for search in extra if table[search.kind] != "allow"
    ]
    return Plan(tuple(searches), table, actions.get("invisible", "redact"))


_NATIONAL = ("es_", "pl_", "br_", "gb_", "in_", "de_")


def verdict_action(action: ScrubAction) -> Action:
    """What a verdict calls an action."""
    return "block" if action == "block" else "allow" if action == "allow" else "redact"


@lru_cache(maxsize=256)
def _guarded(rule: ScrubRule) -> Callable[[str], bool] | None:
    """A rule's check that fails closed and names the rule, never the text."""
    check = rule.check
    if check is None:
        return None

    def guarded(text: str) -> bool:
        try:
            return bool(check(text))
        except Exception as error:  # noqa: BLE001  # an application's function may raise anything
            cause = type(error).__name__
        raise GuardUnavailable(f"the check of rule {rule.name!r} failed with {cause}", rule=rule.name, cause=cause)

    return guarded


Recognizer = Callable[[str], Any]
"""Finds places in a whole text, such as a named-entity recogniser: ``(start, end, kind)``, code points, end exclusive."""


class ScrubPolicy:
    """Judges texts: a `TextPolicy`.

    Args:
        what: What to look for and what to do with it.
        finders: More finders, beside the patterns; not used on texts of the system, where a protected prompt belongs.
        recognizers: Functions on whole texts; with any, nothing can be judged before it has ended.
        key: Key of the HMAC for the action "hash".
        vault: Where the action "vault" keeps values.
        scope: Whose values they are.
    """

    def __init__(
        self,
        what: Plan,
        *,
        finders: Sequence[Finder] = (),
        recognizers: Sequence[Recognizer] = (),
        key: bytes = b"",
        vault: Placeholders | None = None,
        scope: str = "",
    ) -> None:
        self._plan, self._recognizers = what, recognizers
        self._key, self._vault, self._scope = key, vault, scope
        patterns = self._patterns = _finder(what.searches)
        self._system: Finder = patterns
        self._finder: Finder = Finders((patterns, *finders)) if finders else patterns

    def judge(self, text: str, source: str) -> Judged:
        """Judge one whole text."""
        finder = self._system if source == "system" else self._finder
        if self._recognizers:
            finder = Finders((finder, _Recognized(self._recognizers, self._plan)))
        scanner = TextScanner(finder, self._plan, self._render)
        out = scanner.whole(text)
        findings = scanner.findings
        return Judged(out if out != text else text, tuple(findings), scanner.action)

    def scanner(self, source: str) -> TextScanner | None:
        """Judge a text as it arrives; None with recognizers, which need all of it."""
        if self._recognizers:
            return None
        self._patterns.prepare()
        return TextScanner(self._system if source == "system" else self._finder, self._plan, self._render)

    def _render(self, text: str, span: Span, exact: bool) -> str:
        kind = span.kind
        label = f"[{kind.upper()}]"
        action = self._plan.actions.get(kind, "redact")
        if kind in {"invisible", "ansi"}:
            return ""
        if action == "redact" or not exact:
            return label
        if action == "mask":
            return mask(kind, text)
        if action == "hash":
            return f"[{kind.upper()}:{keyed_hash(self._key, kind, text)}]"
        if action == "vault" and self._vault is not None:
            return self._vault.placeholder(kind, text, self._scope)
        return label


def mask(kind: str, text: str) -> str:
    """A value masked: the last four digits of cards and phone numbers stay, with their separators; nothing else does."""
    if kind not in _tables().MASKED:
        return "****"
    left = sum(char.isdigit() for char in text) - 4
    out = []
    for char in text:
        if char.isdigit():
            out.append("*" if left > 0 else char)
            left -= 1
        else:
            out.append(char)
    return "".join(out)


def keyed_hash(key: bytes, kind: str, text: str) -> str:
    """A pseudonym of a value: 16 hexadecimal digits of HMAC-SHA-256 (RFC 2104) over its kind and itself."""
    message = f"{kind}\0{text}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:16]


@lru_cache(maxsize=64)
def _finder(searches: tuple[Search, ...]) -> PatternFinder:
    """Guards that look for the same share one finder: it takes a third of a second to compile."""
    return PatternFinder(searches)


class Finders:
    """Several finders as one."""

    def __init__(self, finders: Sequence[Finder]) -> None:
        self.finders = finders
        self.behind = max(finder.behind for finder in finders)

    def hold(self, text: str, start: int) -> int:
        """The first position that any of them has to wait for."""
        return min(finder.hold(text, start) for finder in self.finders)

    def spans(self, text: str, start: int, stop: int) -> list[Span]:
        """What any of them finds."""
        spans = [span for finder in self.finders for span in finder.spans(text, start, stop)]
        spans.sort(key=lambda span: (span.start, -span.end))
        return spans


class _Recognized:
    """The finder of an application's recognizers; only for whole texts."""

    behind = 0

    def __init__(self, recognizers: Sequence[Recognizer], what: Plan) -> None:
        self._recognizers, self._plan = recognizers, what

    def hold(self, text: str, start: int) -> int:  # noqa: ARG002
        return start

    def spans(self, text: str, start: int, stop: int) -> list[Span]:
        found = []
        for recognizer in self._recognizers:
            for begin, end, kind in recognizer(text):
                if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin <= end <= len(text)):
                    raise GuardUnavailable("a recognizer gave a place outside of the text", rule="recognizer")
                action = self._plan.actions.get(kind, self._plan.actions.get("*", "redact"))
                if start <= begin < min(stop, end) and action != "allow":
                    found.append(Span(begin, end, begin, end, kind, kind, verdict_action(action)))
        return found


class TextScanner:
    """Removes invisible characters, then replaces what is found: a `Scanner`."""

    def __init__(self, finder: Finder, what: Plan, render: Callable[[str, Span, bool], str]) -> None:
        self._cleaner = Cleaner() if what.clean != "allow" else None
        locate = self._cleaner.locate if self._cleaner is not None else None
        self._spans = SpanScanner(finder, render, locate)
        self._clean_action: Action = verdict_action(what.clean)

    @property
    def action(self) -> Action:
        """The worst so far."""
        if self._cleaner is not None and self._cleaner.removed:
            return worst((self._spans.action, self._clean_action))
        return self._spans.action

    @property
    def findings(self) -> list[Finding]:
        """What was found so far, by place in the raw text."""
        if self._cleaner is None or not self._cleaner.removed:
            return self._spans.findings
        hidden = [Finding("invisible_text", "invisible", start, end) for start, end in self._cleaner.removed]
        return sorted([*self._spans.findings, *hidden], key=lambda finding: (finding.start, finding.end))

    @property
    def held(self) -> int:
        """Code points that have arrived and not left."""
        return self._spans.held

    def feed(self, text: str) -> str:
        """Take the next piece; returns what may leave now."""
        return self._spans.feed(text if self._cleaner is None else self._cleaner.feed(text))

    def close(self) -> str:
        """The text has ended; returns the rest."""
        rest = "" if self._cleaner is None else self._cleaner.close()
        return self._spans.feed(rest) + self._spans.close()

    def whole(self, text: str) -> str:
        """Judge a text that is whole."""
        if self._cleaner is not None:
            clean = self._cleaner.feed(text) + self._cleaner.close()
            text = text if clean == text else clean
        return self._spans.whole(text)


class GatheringScanner:
    """A `Scanner` that judges a text when it has ended."""

    def __init__(self, judge: Callable[[str], Judged]) -> None:
        self.action: Action = "allow"
        self.findings: list[Finding] = []
        self._judge = judge
        self._pieces: list[str] = []

    def feed(self, text: str) -> str:
        """Take the next piece; nothing leaves before the end."""
        self._pieces.append(text)
        return ""

    def close(self) -> str:
        """The text has ended; returns all of it."""
        judged = self._judge("".join(self._pieces))
        self.action, self.findings = judged.action, list(judged.findings)
        return "" if judged.action == "block" else judged.text
