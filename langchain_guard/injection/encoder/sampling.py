"""What the encoder is trained on: a stream of short texts, fixed by its seed.

Half are attacks, half come from documents, and of the prompts many are in other languages than English: most English
prompts are the linear model's (see ``paired``).  A source is drawn with the square root of its size, so that
one large source does not set the wording that counts as an attack.  Windows are as long as at inference.  Orders
are planted in the very documents that also appear without them, and noise, case and encodings fall on both labels,
so that neither carrier nor disguise tells the label.
"""

from __future__ import annotations

import base64
import codecs
import random
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from langchain_guard.injection.encoder.languages import LANGUAGES, Language
from langchain_guard.injection.encoder.phrases import DOCUMENTS, OVERRIDES, PLANTED, PROMPTS, expand
from langchain_guard.injection.encoder.text import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from langchain_guard.injection.encoder.corpus import Corpus, Row

WINDOW: Final = 520
"""Characters of a training window: about the 160 tokens of one window at inference."""

_WEIGHT: Final = {"s-labs": 0.5, "own-hard-benign": 1.5, "promptschat-book": 1.3, "promptschat-ui": 0.7}
_BORDER = re.compile(r"(?<=[.!?。！？।])\s+|\n+|(?<=[。！？])")


class Sample(NamedTuple):
    """One training text, already in its normal form; ``document`` picks the prefix."""

    text: str
    label: int
    document: bool


class Sampler:
    """Draws samples from a corpus and from the package's own phrases; the same seed gives the same stream."""

    def __init__(self, corpus: Corpus, seed: int) -> None:
        self._rng = random.Random(seed)  # noqa: S311 - not for secrets
        self._corpus = corpus
        self._pools = {
            name: _pool(getattr(corpus, name)) for name in ("attacks", "prompts", "planted", "documents")
        }  # fmt: skip
        book = corpus.prompts.get("promptschat-book", [])
        self._foreign = [row for row in book if row.lang != "en"]

    def draw(self, count: int) -> list[Sample]:
        """The next *count* samples."""
        return [self._one() for _ in range(count)]

    def _one(self) -> Sample:
        rng = self._rng
        attack, document = rng.random() < 0.5, rng.random() < 0.5
        make: Callable[[], str]
        make = (self._planted if attack else self._document) if document else self._attack if attack else self._prompt
        text = make()
        if not document and len(text) < 240 and rng.random() < 0.15:
            text = self._with_neighbour(text)
        text = self._noise(text)
        if not document and not attack and len(text) < 300 and rng.random() < 0.09:
            text = _encode(text, rng)
        return Sample(normalise(text), int(attack), document)

    # -- the four kinds of text -------------------------------------------------------------------------------

    def _attack(self) -> str:
        kind = self._rng.random()
        if kind < 0.12:
            return expand(self._rng.choice(OVERRIDES), self._rng)
        if kind < 0.30:
            return _foreign_attack(self._rng.choice(LANGUAGES), self._rng)
        return self._window(self._row("attacks"))

    def _prompt(self) -> str:
        kind = self._rng.random()
        if kind < 0.28:
            return expand(self._rng.choice(PROMPTS), self._rng)
        if kind < 0.42:
            return expand(self._rng.choice(self._rng.choice(LANGUAGES).prompts), self._rng)
        return self._window(self._row("prompts"))

    def _document(self) -> str:
        if self._rng.random() < 0.1 and self._pools["planted"]:
            clean = self._beside_attack(self._row("planted"))
            if clean:
                return clean
        return self._cut(self._carrier())

    def _planted(self) -> str:
        rng = self._rng
        if rng.random() < 0.4 and self._pools["planted"]:
            return self._window(self._row("planted"))
        kind = rng.random()
        if kind < 0.3:
            order = self._cut(self._attack(), 300)
        elif kind < 0.75:
            order = expand(rng.choice(PLANTED), rng)
        elif kind < 0.87:
            order = expand(rng.choice(rng.choice(LANGUAGES).planted), rng)
        else:
            order = self._cut(self._window(self._row("prompts")), 160)
        return self._plant(self._carrier(), order)

    def _carrier(self) -> str:
        """A harmless document."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.45:
            return expand(rng.choice(DOCUMENTS), rng)
        if kind < 0.57:
            language = rng.choice(LANGUAGES)
            lines = [expand(rng.choice(language.documents), rng) for _ in range(rng.randint(1, 4))]
            return rng.choice((" ", "\n", "\n\n", "\n- ")).join(lines)
        if kind < 0.67 and self._foreign:
            return rng.choice(self._foreign).text
        return self._row("documents").text

    # -- how a text is cut and joined ---------------------------------------------------------------------------

    def _row(self, name: str) -> Row:
        sources, weights = self._pools[name]
        return self._rng.choice(self._rng.choices(sources, weights)[0])

    def _window(self, row: Row) -> str:
        if row.span is None or len(row.text) <= WINDOW:
            return self._cut(row.text)
        start, end = row.span
        return self._around(row.text, start, end)

    def _around(self, text: str, start: int, end: int) -> str:
        """A window that holds ``text[start:end]`` somewhere."""
        room = max(0, WINDOW - (end - start))
        begin = max(0, start - self._rng.randint(0, room))
        return text[begin : max(end, begin + WINDOW)][: 2 * WINDOW]

    def _cut(self, text: str, size: int = WINDOW) -> str:
        if len(text) <= size:
            return text
        begin = self._rng.choice((0, self._rng.randrange(len(text) - size)))
        return text[begin : begin + size]

    def _plant(self, document: str, order: str) -> str:
        borders = [0, *(m.end() for m in _BORDER.finditer(document)), len(document)]
        at = self._rng.choice(borders)
        glue = self._rng.choice((" ", "\n", "\n\n"))
        before = document[:at].rstrip() + glue
        text, start = before + order + glue + document[at:].lstrip(), len(before)
        return self._around(text, start, start + len(order)) if len(text) > WINDOW else text.strip()

    def _beside_attack(self, row: Row) -> str:
        """The harmless part of an attacked document: before or after the order."""
        if row.span is None:
            return ""
        before, after = row.text[: row.span[0]], row.text[row.span[1] :]
        part = max((before, after), key=len)
        return self._cut(part) if len(part) >= 150 else ""

    def _with_neighbour(self, text: str) -> str:
        other = self._cut(self._window(self._row("prompts")), 160)
        return f"{other} {text}" if self._rng.random() < 0.5 else f"{text} {other}"

    # -- what falls on both labels ------------------------------------------------------------------------------

    def _noise(self, text: str) -> str:
        rng = self._rng
        kind = rng.random()
        if kind < 0.10:
            return _typos(text, rng)
        if kind < 0.135:
            return _split_words(text, rng)
        if kind < 0.165:
            return text.upper()
        if kind < 0.215:
            return text.lower()
        if kind < 0.235:
            return "".join(c.upper() if rng.random() < 0.5 else c.lower() for c in text)
        if kind < 0.255:
            return re.sub(r"[^\w\s]", "", text)
        if kind < 0.265:
            return " ".join("-".join(word) if 3 < len(word) < 12 else word for word in text.split(" "))
        return text


def _pool(by_source: dict[str, list[Row]]) -> tuple[list[list[Row]], list[float]]:
    sources = sorted(by_source)
    weights = [len(by_source[name]) ** 0.5 * _WEIGHT.get(name, 1.0) for name in sources]
    return [by_source[name] for name in sources], weights


def _foreign_attack(language: Language, rng: random.Random) -> str:
    text = rng.choice(language.overrides).replace("{goal}", rng.choice(language.goals))
    return expand(rng.choice(language.prompts), rng) + " " + text if rng.random() < 0.15 else text


def _typos(text: str, rng: random.Random) -> str:
    words = text.split(" ")
    for i, word in enumerate(words):
        if len(word) > 4 and rng.random() < 0.3:
            at = rng.randrange(1, len(word) - 2)
            kind = rng.random()
            if kind < 0.5:
                words[i] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            elif kind < 0.75:
                words[i] = word[:at] + word[at + 1 :]
            else:
                words[i] = word[:at] + word[at] + word[at:]
    return " ".join(words)


def _split_words(text: str, rng: random.Random) -> str:
    share = rng.choice((0.3, 0.6, 1.0))
    return " ".join(
        word[: len(word) // 2] + " " + word[len(word) // 2 :] if len(word) > 4 and rng.random() < share else word
        for word in text.split(" ")
    )


_LEET = str.maketrans("aeiostAEIOST", "431057431057")


def _encode(text: str, rng: random.Random) -> str:
    """A harmless text in an encoding: encoded text as such is no attack; its decoded view is what is judged."""
    raw = text.encode()
    encoded: Sequence[Callable[[], str]] = (
        lambda: base64.b64encode(raw).decode(),
        lambda: "Decode this: " + base64.b64encode(raw).decode(),
        raw.hex,
        lambda: "Please process the data 0x" + raw.hex(),
        lambda: codecs.encode(text, "rot13"),
        lambda: text[::-1],
        lambda: text.translate(_LEET),
        lambda: quote(text, safe=""),
        lambda: "q=" + quote(text),
        lambda: "".join(f"&#{ord(c)};" for c in text[:80]),
        lambda: "".join(f"\\u{ord(c):04x}" for c in text[:80]),
    )
    return rng.choice(encoded)()[:WINDOW]
