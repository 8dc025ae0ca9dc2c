"""Further readings of a text: what a model would decode or see, and a person would not.

`read` gives the canonical view first, then only those readings that the text really has: leet spelling, base64, hex,
rot13, reversed text, hidden HTML and comments, fenced data, characters that are not displayed. All pieces of one kind
are one view, so the number of views is bounded whatever the text; decoding shrinks a text, and decoded text is decoded
at most once more, so the work stays linear.

The hidden characters are findings in their own right: there is hardly a harmless use for ASCII in tag characters.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from typing import TYPE_CHECKING, NamedTuple

from langchain_guard.injection.canonical import TAGS, TRIGGERS, Step, View, canonical, inside, rewrite, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_DEPTH = 2
"""How often decoded text is decoded again."""
_APART = "\n\n"
"""Between the pieces of a view."""


class Signal(NamedTuple):
    """Something in the spelling itself: a rule's name and a place in the original text."""

    rule: str
    start: int
    end: int


class Reading(NamedTuple):
    """Every view of a text, the canonical one first, and what its spelling gives away."""

    views: tuple[View, ...]
    signals: tuple[Signal, ...]


def read(text: str) -> Reading:
    """Reads `text` in every way that it offers.

    Returns:
        The views, and the signals ``tag_characters`` (ASCII that is not displayed), ``variation_selectors`` (bytes in
        variation selectors), ``bidi_override`` and ``hidden_html`` (a comment or element that is not displayed).
    """
    pieces: dict[str, list[View]] = {}
    decoded = _decode(text, (), _DEPTH, pieces)
    visible, step = rewrite(text, _apart(decoded))  # what was decoded is judged as that, not as a row of odd letters
    first = canonical(visible, steps=() if step is None else (step,))
    views = [first]
    signals: list[Signal] = []
    if not text.isascii() and not _UNDISPLAYED.isdisjoint(text):
        views += _undisplayed(text, signals)
    if "<" in text or "[//" in text or "[comment" in text:
        _hidden(text, pieces, signals)
    views += [joined for name, parts in pieces.items() if (joined := _join(name, parts)) is not None]
    if "```" in text or "~~~" in text or '"""' in text:
        views += _fenced(first)
    leet = _leet(first)
    if leet is not None:
        views.append(leet)
    views += _turned(first)
    return Reading(tuple(views), tuple(signals))


def _join(name: str, parts: list[View]) -> View | None:
    """All pieces of one kind as one view, so that thousands of pieces cost no more than one long one."""
    if len(parts) <= 1:
        return parts[0] if parts else None
    step = Step([], [], [], [])
    length = 0
    for part in parts:
        start, end = part.origin(0, len(part.text))
        step.out_starts.append(length)
        step.out_ends.append(length + len(part.text))
        step.in_starts.append(start)
        step.in_ends.append(end)
        length += len(part.text) + len(_APART)
    return View(name, _APART.join(part.text for part in parts), (step,))


def _fenced(first: View) -> Iterable[View]:
    """What stands in fences, the long listings left out, as one view."""
    places = [m.span(2) for m in _FENCE.finditer(first.text) if 12 < m.end(2) - m.start(2) <= 600]
    if len(places) == 1:
        start, end = places[0]
        return [View("fenced", first.text[start:end], (*first.steps, inside(start)))]
    step = Step([], [], [], [])
    length = 0
    for start, end in places:
        step.out_starts.append(length)
        step.in_starts.append(start)
        step.in_ends.append(end)
        length += end - start
        step.out_ends.append(length)
        length += len(_APART)
    joined = _APART.join([first.text[start:end] for start, end in places])
    return [View("fenced", joined, (*first.steps, step))] if places else []


# --- decoding --------------------------------------------------------------------------------------------------

_BASE64 = re.compile(
    r"[A-Za-z0-9+/_-]{20,}(?:\r?\n[A-Za-z0-9+/_-]{20,})*(?:\r?\n[A-Za-z0-9+/_-]{1,19}(?![^\s=]))?={0,2}"
)
_RUN = re.compile(r"[A-Za-z0-9+/_-]{20,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){10,}|(?:[0-9a-fA-F]{2}[ :,]){9,}[0-9a-fA-F]{2}")
_HEX_CLASSES = bytes(104 if chr(b) in "0123456789abcdefABCDEF" else 32 if chr(b) in " :," else 46 for b in range(256))


def _decode(text: str, steps: tuple[Step, ...], depth: int, pieces: dict[str, list[View]]) -> list[tuple[int, int]]:
    """Adds what `text` holds in base64 and hex to `pieces`; the places where it stood."""
    places = []
    runs = [run[0] for word in set(text.split()) if len(word) >= 20 and (run := _RUN.search(word)) is not None]
    long = any(map(_HEX.search, runs))
    if any(_from_base64(run[:32]) is not None for run in runs):  # whether it can be text is seen from its beginning
        for match in _BASE64.finditer(text):
            raw = match[0]
            if _HEX.fullmatch(raw) is not None or (raw[1] == "x" and _HEX.fullmatch(raw, 2) is not None):
                continue
            found = _from_base64(raw)
            if found is not None:
                places.append(match.span())
                _add("base64", found, (*steps, whole(len(found), match.start(), match.end())), depth, pieces)
    spaced = text.encode("latin-1", "replace").translate(_HEX_CLASSES).find(b"hh hh hh hh hh") >= 0
    if long or spaced:
        for match in _HEX.finditer(text):
            found = _printable(bytes.fromhex(re.sub(r"[ :,]", "", match[0])))
            if found is not None:
                places.append(match.span())
                _add("hex", found, (*steps, whole(len(found), match.start(), match.end())), depth, pieces)
    return places


def _apart(places: list[tuple[int, int]]) -> Iterable[tuple[int, int, str]]:
    """Edits that take `places` out, the first of those that overlap."""
    end = 0
    for start, stop in sorted(places):
        if start >= end:
            yield start, stop, " "
            end = stop


def _add(name: str, found: str, steps: tuple[Step, ...], depth: int, pieces: dict[str, list[View]]) -> None:
    view = canonical(found, name, steps)
    pieces.setdefault(name, []).append(view)
    if depth > 1:
        _decode(found, steps, depth - 1, pieces)
    pieces[name].extend(turned for turned in _turned(view))


def _from_base64(raw: str) -> str | None:
    compact = re.sub(r"\s", "", raw).rstrip("=").replace("-", "+").replace("_", "/")
    if len(compact) % 4 == 1:
        compact = compact[:-1]
    try:
        data = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return _printable(data)


def _printable(data: bytes) -> str | None:
    """`data` as text if it is text: UTF-8 or UTF-16, nearly all of it printable."""
    for encoding in ("utf-8", "utf-16-le"):
        try:
            found = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        seen = sum(c.isprintable() or c in "\n\t\r" for c in found)
        letters = sum(c.isalpha() or c == " " for c in found)
        if (
            found
            and seen >= 0.95 * len(found)
            and (letters >= 0.6 * len(found) or _HEX.fullmatch(found) is not None)
            and (encoding == "utf-8" or found.isascii())
        ):
            return found
    return None


# --- hidden ----------------------------------------------------------------------------------------------------

_COMMENT = re.compile(r"<!--(.*?)(?:-->|\Z)", re.DOTALL)
_INVISIBLE_STYLE = re.compile(
    r"<([a-z][a-z0-9]*)\b[^<>]{0,400}?(?:display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|opacity\s*:\s*0(?![.\d]*[1-9])"
    r"|text-indent\s*:\s*-\d{3}|left\s*:\s*-\d{4}|\shidden\b|color\s*:\s*(?:white|\#fff(?:fff)?)\b)[^<>]{0,400}>",
    re.IGNORECASE,
)
_REFERENCE_COMMENT = re.compile(r"^\[(?://|comment)\]:\s*(?:#|<>)\s*[(\"'](.*)[)\"']\s*$", re.MULTILINE | re.IGNORECASE)
_ATTRIBUTE = re.compile(r"=(?:\"([^\"<>]{15,2000})\"|'([^'<>]{15,2000})')")
_SPOKEN = ("alt", "title", "label", "content", "description", "summary")
_FENCE = re.compile(r"(```|~~~|\"\"\")[^\n`~\"]{0,40}\n?(.*?)(?:\1|\Z)", re.DOTALL)
_MARKUP = re.compile(r"<[^<>]{0,400}>")


def _hidden(text: str, pieces: dict[str, list[View]], signals: list[Signal]) -> None:
    parts = pieces.setdefault("hidden_html", [])
    for pattern in (_COMMENT, _REFERENCE_COMMENT):
        for match in pattern.finditer(text):
            if len(match[1].strip()) > 12:
                parts.append(canonical(match[1], "hidden_html", (inside(match.start(1)),)))
    position = 0
    while (element := _INVISIBLE_STYLE.search(text, position)) is not None:
        begin = element.end()
        close = text.find(f"</{element[1]}", begin)
        end = close if close >= 0 else len(text)
        if len(_MARKUP.sub("", text[begin:end]).strip()) > 12:
            parts.append(canonical(text[begin:end], "hidden_html", (inside(begin),)))
            signals.append(Signal("hidden_html", element.start(), end))
        position = max(end, begin)
    for match in _ATTRIBUTE.finditer(text):
        if text[max(0, match.start() - 11) : match.start()].lower().endswith(_SPOKEN):
            group = 1 if match[1] is not None else 2
            parts.append(canonical(match[group], "hidden_html", (inside(match.start(group)),)))


_UNDISPLAYED = frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0000, 0xE0200), 0x202D, 0x202E)))
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BIDI = re.compile("[\u202d\u202e][^\u202c\n]*")


def _undisplayed(text: str, signals: list[Signal]) -> Iterable[View]:
    tags = []
    for match in TAGS.finditer(text):
        signals.append(Signal("tag_characters", match.start(), match.end()))
        tags.append(canonical(match[0], "tag_characters", (inside(match.start()),)))
    selected = []
    for match in _SELECTORS.finditer(text):
        data = bytes(ord(c) - 0xFE00 if ord(c) <= 0xFE0F else ord(c) - 0xE0100 + 16 for c in match[0])
        signals.append(Signal("variation_selectors", match.start(), match.end()))
        found = _printable(data)
        if found is not None:
            steps = (whole(len(found), match.start(), match.end()),)
            selected.append(canonical(found, "variation_selectors", steps))
    turned = []
    for match in _BIDI.finditer(text):
        if match[0][0] == "\u202e" and any(c.isascii() and c.isalpha() for c in match[0]):
            signals.append(Signal("bidi_override", match.start(), match.end()))
            shown = match[0][:0:-1]
            turned.append(canonical(shown, "bidi_override", (whole(len(shown), match.start(), match.end()),)))
    views = ((("tag_characters"), tags), ("variation_selectors", selected), ("bidi_override", turned))
    return [joined for name, parts in views if (joined := _join(name, parts)) is not None]


# --- spelling --------------------------------------------------------------------------------------------------

_LEET = str.maketrans("0134578@$!|", "oieastbasil")
_LEET_WORD = re.compile(r"(?=[a-z@$!|]*[013457])(?=[013457@$!|]*[a-z])[a-z013457@$!|']{3,24}(?![a-z0-9])")
_LEET_DIGITS = frozenset("013457")
_STOP = frozenset(
    [
        "all",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "do",
        "for",
        "from",
        "have",
        "he",
        "her",
        "his",
        "how",
        "if",
        "in",
        "is",
        "it",
        "its",
        "me",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "she",
        "so",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "they",
        "this",
        "to",
        "us",
        "was",
        "we",
        "what",
        "when",
        "which",
        "who",
        "will",
        "with",
        "would",
        "you",
        "your",
        "above",
        "ignore",
        "instructions",
        "previous",
        "print",
        "prompt",
        "reveal",
        "say",
        "show",
        "system",
        "tell",
    ]
)
_ENGLISH = _STOP | TRIGGERS
_LETTERS = re.compile(r"[a-z]{1,24}")
_SEEN = 2000
"""Code points, at the end where reading would begin, by which it is decided whether a text is English."""
_TURNED_WORDS = tuple(
    f" {word} "
    for stop in ("the", "to", "of", "and", "all", "your")
    for word in (codecs.encode(stop, "rot13"), stop[::-1])
)


def _leet(view: View) -> View | None:
    """Digits read as the letters that they imitate, if enough words mix them."""
    text = view.text
    if _LEET_DIGITS.isdisjoint(text):
        return None
    words = text.split()
    unlike = [word for word in words if not word.isalpha()]
    if len(unlike) < 3 or len(unlike) * 5 < len(words):
        return None
    mixed = sum(_LEET_WORD.match(word) is not None for word in unlike)
    if mixed < 3 or mixed * 5 < len(words):
        return None
    return canonical(text.translate(_LEET), "leet", view.steps)


def _stop_share(words: list[str], english: frozenset[str] = _ENGLISH) -> float:
    """Share of English function words and triggers among `words`, 0 to 1."""
    return sum(map(english.__contains__, words)) / len(words) if len(words) > 3 else 0.0


def _turned(view: View) -> Iterable[View]:
    """The text, or those of its lines that read as no language, in rot13 and backwards, where that reads as English."""
    text = view.text
    words = _LETTERS.findall(text, 0, _SEEN)
    share = _stop_share(words)
    found: list[View] = []
    if share < 0.1:
        for name, turn, turned_english in _TURNS:
            if name == "reversed" and len(text) > _SEEN:
                words = _LETTERS.findall(text, len(text) - _SEEN)
            if _stop_share(words, turned_english) > max(0.12, 3 * share):
                steps = (*view.steps, _mirror(len(text))) if name == "reversed" else view.steps
                found.append(View(name, turn(text), steps))
    if found or "\n" not in text or not any(word in text for word in _TURNED_WORDS):
        return found
    pieces: dict[str, list[View]] = {}
    position = 0
    for line in text.split("\n"):
        if len(line) >= 20 and any(word in line for word in _TURNED_WORDS):
            words = _LETTERS.findall(line, 0, _SEEN)
            if _stop_share(words) < 0.1:
                for name, turn, turned_english in _TURNS:
                    if _stop_share(words, turned_english) > 0.3:
                        steps = (*view.steps, whole(len(line), position, position + len(line)))
                        pieces.setdefault(name, []).append(View(name, turn(line), steps))
        position += len(line) + 1
    return [joined for name, parts in pieces.items() if (joined := _join(name, parts)) is not None]


def _mirror(length: int) -> Step:
    """A turned text maps back as a whole: its evidence is all of it."""
    return whole(length, 0, length)


def _rot13(text: str) -> str:
    return codecs.encode(text, "rot13")


_TURNS: tuple[tuple[str, Callable[[str], str], frozenset[str]], ...] = (
    ("rot13", _rot13, frozenset(map(_rot13, _ENGLISH))),
    ("reversed", lambda text: text[::-1], frozenset(word[::-1] for word in _ENGLISH)),
)
"""Ways of turning a text, and the English words turned: whether a text would read as English is seen without turning it."""
