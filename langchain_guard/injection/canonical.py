"""One canonical spelling of a text, with an exact way back to the original.

Attacks are written so that a model reads them and a filter does not: zero-width characters between letters, letters
of another script that look the same, HTML and percent escapes, letters with blanks between them. Everything that
judges a text looks at its canonical view; every place found there is reported in the original text.

A view is made in a few passes, each of which only records what it replaced. A place is mapped back through the
passes in reverse, so a view costs nothing where nothing was changed. Every pass is linear in the length of the text.

Sources: Unicode Standard Annex 15 (NFKD), Unicode Technical Standard 39 (confusables; the table here is the part
that imitates Latin letters), Unicode 16 chapter 23.9 (tag characters), OWASP LLM Prompt Injection Prevention Cheat
Sheet (scrambled and split words).
"""

from __future__ import annotations

import html
import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_ESCAPE_ROUNDS = 2
"""How deep escapes inside escapes are undone (``&amp;lt;``)."""


class Step(NamedTuple):
    """What one pass replaced: sorted places in its output and in its input, code points, end exclusive."""

    out_starts: list[int]
    out_ends: list[int]
    in_starts: list[int]
    in_ends: list[int]

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The place in the pass's input from which the place ``start:end`` of its output came."""
        return self._start(start), max(self._end(end), self._start(start))

    def _start(self, position: int) -> int:
        index = bisect_right(self.out_starts, position) - 1
        if index < 0:
            return position
        if position < self.out_ends[index]:
            return self.in_starts[index]
        return self.in_ends[index] + position - self.out_ends[index]

    def _end(self, position: int) -> int:
        if position == 0:
            return self._start(0)
        index = bisect_right(self.out_starts, position - 1) - 1
        if index < 0:
            return position
        if position <= self.out_ends[index]:
            return self.in_ends[index]
        return self.in_ends[index] + position - self.out_ends[index]


@dataclass(frozen=True, slots=True)
class View:
    """A reading of a text.

    Attributes:
        name: Which reading: ``"canonical"``, ``"base64"``, ``"hidden_html"`` and so on.
        text: What is read.
        steps: The passes that made it, first to last.
    """

    name: str
    text: str
    steps: tuple[Step, ...] = ()

    def origin(self, start: int, end: int) -> tuple[int, int]:
        """The place in the original text (code points, end exclusive) that reads as ``text[start:end]`` here."""
        for step in reversed(self.steps):
            start, end = step.back(start, end)
        return start, end


def rewrite(text: str, edits: Iterable[tuple[int, int, str]]) -> tuple[str, Step | None]:
    """`text` with each ``text[start:end]`` replaced, and the record of it; edits are sorted and do not overlap."""
    pieces: list[str] = []
    step = Step([], [], [], [])
    position = length = 0
    for start, end, new in edits:
        pieces.append(text[position:start])
        length += start - position
        pieces.append(new)
        step.out_starts.append(length)
        length += len(new)
        step.out_ends.append(length)
        step.in_starts.append(start)
        step.in_ends.append(end)
        position = end
    if not step.in_starts:
        return text, None
    pieces.append(text[position:])
    return "".join(pieces), step


def inside(start: int) -> Step:
    """The pass that took a text out of another one, from `start` on."""
    return Step([0], [0], [start], [start])


def whole(length: int, start: int, end: int) -> Step:
    """The pass that decoded the place ``start:end`` of a text into `length` code points: all or nothing maps back."""
    return Step([0], [length], [start], [end])


def canonical(text: str, name: str = "canonical", steps: tuple[Step, ...] = ()) -> View:
    """The canonical view of `text`.

    Escapes are undone, invisible characters dropped, look-alikes written in Latin, everything in lower case, letters
    with separators between them joined, split and scrambled trigger words repaired.

    Args:
        text: Any str; lone surrogates and NULs included.
        name: Name of the view.
        steps: The passes by which `text` itself came from the original.
    """
    done = list(steps)
    for _ in range(_ESCAPE_ROUNDS):
        if not ("&" in text or "%" in text or "\\" in text):
            break
        text, step = rewrite(text, _unescape(text))
        if step is None:
            break
        done.append(step)
    if not text.isascii() or _CONTROL.search(text):
        text = _latin(text)
        text, step = _fold(text)
        if step is not None:
            done.append(step)
    text = text.lower()
    for repair in (_joined, _mended):
        text, step = rewrite(text, repair(text))
        if step is not None:
            done.append(step)
    return View(name, text, tuple(done))


# --- escapes ---------------------------------------------------------------------------------------------------

_ESCAPE = {
    "&": re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,24});"),
    "%": re.compile(r"(?:%[0-9a-fA-F]{2})+"),
    "\\": re.compile(
        r"(?:\\u[0-9a-fA-F]{4})+|\\u\{[0-9a-fA-F]{1,6}\}|\\x[0-9a-fA-F]{2}"
        r"|\\[nrt](?![a-z]{2}[:\\])"  # a line break in JSON, not a folder in C:\new
    ),
}


def _unescape(text: str) -> list[tuple[int, int, str]]:
    edits = []
    for mark, pattern in _ESCAPE.items():
        position = text.find(mark)
        while position >= 0:
            match = pattern.match(text, position)
            if match is None:
                position = text.find(mark, position + 1)
                continue
            raw = match[0]
            new = _decoded(raw)
            if new != raw:
                edits.append((position, match.end(), new))
            position = text.find(mark, match.end())
    edits.sort()
    return edits


@lru_cache(maxsize=4096)
def _decoded(raw: str) -> str:
    if raw[0] == "&":
        return html.unescape(raw)
    if raw[0] == "%":
        try:
            return bytes.fromhex(raw.replace("%", "")).decode()
        except UnicodeDecodeError:
            return raw
    if raw[1] == "x":
        return bytes.fromhex(raw[2:]).decode("latin-1")
    if raw[1] != "u":
        return " "
    if raw[2] == "{":
        code = int(raw[3:-1], base=16)
        return chr(code) if code <= 0x10FFFF else raw
    units = bytes.fromhex(raw.replace("\\u", ""))
    return units.decode("utf-16-be", "surrogatepass")


# --- characters ------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
TAGS = re.compile("(?<!\U0001f3f4)(?<![\U000e0020-\U000e007e])[\U000e0020-\U000e007e]{3,}")
"""Runs of tag characters that are no flag emoji: ASCII that is not displayed (Unicode 16, 23.9)."""
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]{2,8}\U000e007f")
_MARKS = (
    (0x300, 0x36F),
    (0x483, 0x489),
    (0x591, 0x5C7),
    (0x610, 0x61A),
    (0x64B, 0x65F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)
_BLANK = frozenset("\u2800\u3164\uffa0\u115f\u1160")
_DROPPED = frozenset("\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f\u061c")

_IMITATIONS = str.maketrans(
    # Cyrillic, Greek, Armenian and Cherokee letters drawn like Latin ones (UTS 39, confusables.txt, whole-glyph rows)
    "авеікмнорстухсјѕһԁԛԝёѵӏґαβεικνορτυχγωηօսոցհյզ",
    "abeikmhopctyxcjshdqwevlrabeikvoptuxywnounghjq",
)
_CAPITAL_IMITATIONS = str.maketrans(
    "АВЕІКМНОРСТУХЅЈԌԚԜЁҮΑΒΕΖΗΙΚΜΝΟΡΤΥΧᎪᏴᏟᎠᎬᏀᎻᏆᎫᏦᏞᎷᏢᏒᏚᎢᏙᎳᏃ",
    "ABEIKMHOPCTYXSJGQWEYABEZHIKMNOPTYXABCDEGHIJKLMPRSTVWZ",
)
_IMITATION = {**_IMITATIONS, **_CAPITAL_IMITATIONS}
_ALWAYS = str.maketrans("ɑɡıℓɩɪʀᴀʙᴄᴅᴇғɢʜᴊᴋʟᴍɴᴏᴘǫꜱᴛᴜᴠᴡʏᴢ’‘ʼ“”–—−‐‑", "agiliirabcdefghjklmnopqstuvwyz'''\"\"-----")
_FOREIGN_WORD = re.compile(r"\w*[\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u13a0-\u13ff]\w*")
_FOREIGN = re.compile(r"[\u0370-\u03ff\u0400-\u052f\u0530-\u058f\u13a0-\u13ff]")
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]"
)


def _latin(text: str) -> str:
    """`text` with letters of other scripts that imitate Latin ones replaced, one for one.

    A word is changed when it mixes scripts, or when all of its foreign letters are imitations and the text around it
    is mostly Latin; real Russian or Greek stays as it is.
    """
    if _FOREIGN.search(text) is None:
        return text
    clean = text if _INVISIBLE.search(text) is None else _INVISIBLE.sub("", text)
    genuine = sum(1 for c in clean if "\u0370" <= c <= "\u13ff" and ord(c) not in _IMITATION and _FOREIGN.match(c))
    latin = sum(1 for c in clean if c.isascii() and c.isalpha())
    mostly_latin = latin >= genuine

    def fold(match: re.Match[str]) -> str:
        word = match[0]
        foreign = _FOREIGN.findall(word)
        if any(ord(c) not in _IMITATION for c in foreign):
            mixed = any(c.isascii() and c.isalpha() for c in word)
            return word.translate(_IMITATION) if mixed and mostly_latin else word
        if mostly_latin or any(c.isascii() and c.isalpha() for c in word):
            return word.translate(_IMITATION)
        return word

    return _FOREIGN_WORD.sub(fold, text)


@lru_cache(maxsize=65536)
def _folded(char: str) -> str:
    """One character as the canonical view shows it: 0, 1 or more characters."""
    code = ord(char)
    if code < 128:
        return "" if _CONTROL.match(char) else char
    if 0xE0020 <= code <= 0xE007E:
        return chr(code - 0xE0000).lower()
    if char in _BLANK:
        return " "
    category = unicodedata.category(char)
    if category == "Cf" or char in _DROPPED or 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE0FFF:
        return ""
    if category in ("Zs", "Zl", "Zp"):
        return " " if category == "Zs" else "\n"
    plain = unicodedata.normalize("NFKD", char.translate(_ALWAYS))
    kept = [c for c in plain if not any(first <= ord(c) <= last for first, last in _MARKS)]
    return unicodedata.normalize("NFC", "".join(kept)).translate(_ALWAYS).lower()


def _fold(text: str) -> tuple[str, Step | None]:
    if "\U0001f3f4" in text:
        flags = [(m.start(), m.end(), "\U0001f3f4" + " " * (m.end() - m.start() - 1)) for m in _FLAG.finditer(text)]
        text, _ = rewrite(text, flags)
    present = {char: _folded(char) for char in set(text) if not char.isascii() or char < " " or char == "\x7f"}
    uneven = {char for char, new in present.items() if len(new) != 1}
    even = {char: new for char, new in present.items() if char not in uneven and char != new}
    if len(even) <= 32:  # a handful of replacements at C speed, else one pass through a table
        for char, new in even.items():
            text = text.replace(char, new)
    else:
        text = text.translate({ord(char): new for char, new in even.items()})
    if not uneven:
        return text, None
    return rewrite(text, _runs(text, uneven, present))


def _runs(text: str, chars: set[str], new: dict[str, str]) -> list[tuple[int, int, str]]:
    """One edit per uneven character; runs of dropped characters share one."""
    if len(chars) <= 32:  # memchr is far faster than a loop
        places = [position for char in chars for position in _places(text, char)]
        places.sort()
    else:
        places = [position for position, char in enumerate(text) if char in chars]
    edits: list[tuple[int, int, str]] = []
    for position in places:
        out = new[text[position]]
        if edits and edits[-1][1] == position and not edits[-1][2] and not out:
            edits[-1] = (edits[-1][0], position + 1, "")
        else:
            edits.append((position, position + 1, out))
    return edits


def _places(text: str, char: str) -> Iterable[int]:
    position = text.find(char)
    while position >= 0:
        yield position
        position = text.find(char, position + 1)


# --- words -----------------------------------------------------------------------------------------------------

_SPACED = re.compile(r"(?<![^\W_])[^\W_]([ .\-_*|·~+/])[^\W_](?:\1[^\W_])*(?![^\W_])")
"""Single letters with the same separator between them."""
_CLASSES = bytes(97 if byte >= 128 or chr(byte).isalnum() else 32 for byte in range(256))


def _joined(text: str) -> list[tuple[int, int, str]]:
    # a coarse look at C speed: four single letters in a row, else there is nothing to join
    if (" " + text).encode("latin-1", "replace").translate(_CLASSES).find(b" a a a a") < 0:
        return []
    edits: list[tuple[int, int, str]] = []
    for match in _SPACED.finditer(text):
        letters = match[0][::2]
        if sum(letter.isalpha() for letter in letters) * 2 < len(letters):
            continue  # dates and version numbers
        start = match.start()
        edits.extend((start + 2 * i + 1, start + 2 * i + 2, "") for i in range(len(letters) - 1))
    return edits


# fmt: off
TRIGGERS = frozenset(
    ["above", "administrator", "anything", "assistant", "assistants", "bypass", "command", "commands", "confidential", "configuration", "context", "conversation", "credentials", "developer", "directive", "directives", "directly", "disable", "disregard", "disregards", "earlier", "execute", "filter", "filters", "follow", "following", "forget", "forgets", "forgotten", "guardrails", "guideline", "guidelines", "hidden", "ignore", "ignored", "ignores", "ignoring", "important", "initial", "initially", "instead", "instruct", "instructed", "instruction", "instructions", "internal", "jailbreak", "limitation", "limitations", "message", "messages", "moderation", "neglect", "original", "output", "override", "overrides", "overriding", "password", "passwords", "policies", "policy", "preceding", "pretend", "previous", "previously", "prior", "priority", "prompt", "prompts", "provided", "regardless", "repeat", "respond", "response", "restriction", "restrictions", "reveal", "reveals", "roleplay", "safety", "secret", "secrets", "security", "system", "training", "unfiltered", "unrestricted", "user", "verbatim", "without", "everything", "answer", "print", "display", "write", "translate", "summarize", "email", "please", "should", "received", "given", "before", "behave", "believe", "content", "ethical", "ethics", "access", "account"]
)
# fmt: on
"""Words of orders to a model; when split or scrambled, the canonical view shows them whole."""

# fmt: off
_WHOLE = frozenset(
    ["a", "about", "act", "age", "ages", "am", "an", "and", "any", "as", "at", "be", "below", "by", "can", "come", "command", "con", "direct", "do", "end", "ended", "ex", "fore", "form", "for", "from", "get", "give", "given", "go", "he", "her", "his", "how", "if", "in", "inform", "instruct", "is", "it", "its", "man", "me", "men", "mess", "miss", "mission", "mit", "my", "no", "not", "of", "on", "only", "or", "other", "our", "out", "over", "own", "par", "pass", "per", "place", "plain", "play", "please", "port", "ports", "pre", "pro", "quest", "re", "respect", "rest", "ride", "rule", "said", "sage", "sages", "script", "sec", "see", "self", "so", "sponsor", "system", "tent", "the", "them", "there", "to", "tract", "train", "up", "us", "use", "used", "user", "vent", "view", "was", "we", "were", "what", "with", "word", "words", "you", "your"]
)
# fmt: on
"""Whole words that are also halves of a trigger: two of them side by side stay apart."""
_HALVES = frozenset(h for w in TRIGGERS for cut in range(2, len(w) - 1) for h in (w[:cut], w[cut:])) - _WHOLE - TRIGGERS
_LONG = sorted(word for word in TRIGGERS if len(word) > 4 and word != "conversation")  # it would swallow conservation
_SCRAMBLED = {(word[0], word[-1], "".join(sorted(word))): word for word in _LONG}
_ENDS = frozenset((word[0], word[-1], len(word)) for word in _LONG)
_WORD = re.compile(r"[a-z]{2,}")
_LAST_WORD = re.compile(r"(?<![a-z])[a-z]{2,}$")
_GAP = " -\n_"
_PUNCTUATION = "\"'`.,;:!?()[]{}<>*#|/\\=+"


def _scrambled(word: str) -> str | None:
    """The trigger of which `word` has the first, the last and all other letters, in another order."""
    if len(word) < 5 or (word[0], word[-1], len(word)) not in _ENDS or word in TRIGGERS:
        return None
    return _SCRAMBLED.get((word[0], word[-1], "".join(sorted(word))))


def _mended(text: str) -> list[tuple[int, int, str]]:
    present = {word.strip(_PUNCTUATION) for word in set(text.replace("-", " ").replace("_", " ").split())}
    if _HALVES.isdisjoint(present) and not any(map(_scrambled, present)):
        return []
    edits: set[tuple[int, int, str]] = set()
    for word in present:
        right = _scrambled(word)
        if right is not None:
            edits.update((start, start + len(word), right) for start in _word_places(text, word))
    for half in present & _HALVES:
        for start in _word_places(text, half):
            end = start + len(half)
            after = _WORD.match(text, end + 1)
            if after is not None and text[end] in _GAP and half + after[0] in TRIGGERS:
                edits.add((end, end + 1, ""))
            before = _LAST_WORD.search(text[max(0, start - 16) : max(0, start - 1)])
            if before is not None and text[start - 1] in _GAP and before[0] + half in TRIGGERS:
                edits.add((start - 1, start, ""))
    return sorted(edits)


def _word_places(text: str, word: str) -> Iterable[int]:
    for start in _places(text, word):
        end = start + len(word)
        if not (start and text[start - 1].isalpha()) and not text[end : end + 1].isalpha():
            yield start
