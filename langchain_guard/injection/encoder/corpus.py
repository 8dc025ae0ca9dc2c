"""Labelled rows for the encoder: read, checked against their licences, sorted by what a text is.

A row is one JSON object per line: ``text``, ``label`` (1 attack, 0 harmless), ``source``, ``kind``, ``lang``.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from langchain_guard.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

DOCUMENT_KINDS: Final = frozenset({"indirect", "benign-doc"})
"""Kinds of rows that are documents; every other kind is a user's prompt."""

_WORD = re.compile(r"\w+")
_SHINGLE: Final = 4
_MIXED = re.compile(r"[^\W\d_]\d|\d[^\W\d_]")


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text; ``span`` (code points) is where the attack stands in a longer text, if it was found."""

    text: str
    label: int
    source: str
    kind: str
    lang: str
    span: tuple[int, int] | None = None

    @property
    def is_document(self) -> bool:
        """Whether the text is a document rather than a user's prompt."""
        return self.kind in DOCUMENT_KINDS


def read_rows(path: Path) -> list[Row]:
    """Read ``.jsonl`` or ``.jsonl.gz``.

    Raises:
        ConfigError: the file does not exist, or a line lacks a field.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rt", encoding="utf-8") as lines:
            return [Row(*(json.loads(line)[k] for k in ("text", "label", "source", "kind", "lang"))) for line in lines]
    except OSError as error:
        raise ConfigError(f"data={path.name!r}: cannot be read ({type(error).__name__})") from error
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"data={path.name!r}: each line is a JSON object with text, label, source, kind, lang"
        ) from error


def shippable(path: Path) -> frozenset[str]:
    """Names of the sources whose licence lets a model trained on them be shipped (``"ship": true``)."""
    return frozenset(name for name, terms in json.loads(path.read_text("utf-8")).items() if terms["ship"])


@dataclass(slots=True)
class Corpus:
    """Training rows by role: prompts and documents, each as attacks and harmless texts by source."""

    attacks: dict[str, list[Row]] = field(default_factory=dict)
    prompts: dict[str, list[Row]] = field(default_factory=dict)
    planted: dict[str, list[Row]] = field(default_factory=dict)
    documents: dict[str, list[Row]] = field(default_factory=dict)


def build_corpus(rows: Iterable[Row], use: Collection[str]) -> Corpus:
    """Sort the rows of the sources *use*.

    Dropped: attacks that are encoded (their decoded views are judged, not their letters; see ``sampling``), and
    texts that repeat more than a fifth of their words from documents of sources that are not used, since a row
    made of such a carrier would let that source in again.
    """
    rows = list(rows)
    inside, outside = _shingles(rows, use)
    found: dict[tuple[bool, int], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row.source not in use or (row.label and unreadable(row.text)):
            continue
        kept = row
        if len(row.text) > 200:
            words = [(m.start(), m.end(), m.group().lower()) for m in _WORD.finditer(row.text)]
            if outside and _covered(words, outside).count(True) > len(words) / 5:
                continue
            if row.label and row.is_document:
                kept = Row(row.text, row.label, row.source, row.kind, row.lang, _uncovered(words, inside))
        found[row.is_document, row.label][row.source].append(kept)
    return Corpus(found[False, 1], found[False, 0], found[True, 1], found[True, 0])


def _shingles(rows: Iterable[Row], use: Collection[str]) -> tuple[set[int], set[int]]:
    """Hashes of the word 4-grams of harmless documents: of the sources used, and of all others."""
    inside: set[int] = set()
    outside: set[int] = set()
    for row in rows:
        if row.label == 0 and (row.is_document or len(row.text) > 400):
            words = [word.lower() for word in _WORD.findall(row.text)]
            if row.source in use and row.source.startswith("own-"):
                continue  # made of other sources' documents
            target = inside if row.source in use else outside
            target.update(hash_words(words[i : i + _SHINGLE]) for i in range(len(words) - _SHINGLE + 1))
    return inside, outside - inside


def hash_words(words: list[str]) -> int:
    """A number for a few words that is the same in every process (unlike ``hash``)."""
    value = 14695981039346656037
    for byte in " ".join(words).encode():
        value = ((value ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return value


def _covered(words: list[tuple[int, int, str]], known: set[int]) -> list[bool]:
    covered = [False] * len(words)
    for i in range(len(words) - _SHINGLE + 1):
        if hash_words([word for _, _, word in words[i : i + _SHINGLE]]) in known:
            covered[i : i + _SHINGLE] = [True] * _SHINGLE
    return covered


def _uncovered(words: list[tuple[int, int, str]], known: set[int]) -> tuple[int, int] | None:
    """From the first to the last word that no known document has, if that leaves most of the text out."""
    new = [i for i, covered in enumerate(_covered(words, known)) if not covered]
    if not new or new[-1] - new[0] > min(80, len(words) * 2 // 3):
        return None
    return words[new[0]][0], words[new[-1]][1]


def unreadable(text: str) -> bool:
    """Whether most of *text* is encoded: tokens of over 30 letters without a space, or digits inside words."""
    if not text.isascii():
        return False
    tokens = text.split()
    odd = sum(len(token) for token in tokens if _odd(token))
    return odd > 0.4 * sum(map(len, tokens))


def _odd(token: str) -> bool:
    return (len(token) > 30 and "/" not in token[1:-1]) or len(_MIXED.findall(token)) >= 2
