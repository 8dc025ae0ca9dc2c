"""Hashed n-grams of a view, laid out so that the score of every window of it is a difference of two running sums.

A text is cut into tokens: runs of letters and digits, single ideographs, single marks. Its features are all sequences
of 1 to 3 tokens and of 3 to 5 characters, hashed into one table of 2**18 weights (the hashing trick: Weinberger et al.
2009, arXiv 0902.2206; word and character n-grams against obfuscation: Wang and Manning 2012, "Baselines and Bigrams").
A feature belongs to the token in which it begins, so a window of tokens owns a contiguous range of features.

numpy is imported by whoever imports this module: at the first score, never with the package.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BITS = 18
SIZE = 1 << BITS
"""Number of weights in one head's table."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_SPACE, _LETTER, _MARK, _IDEOGRAPH = 0, 1, 2, 3
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio: Fibonacci hashing, Knuth TAOCP 6.4
_BASE = np.uint64(0x100000001B3)  # FNV's prime
_SHIFT = np.uint64(64 - BITS)
_FOLD = np.uint64(31)
_SALTS = tuple(np.uint64((salt * 0x5851F42D4C957F2D + 0x14057B7EF767814F) % 2**64) for salt in range(6))
_LONGEST = 64
_POWERS = np.array([pow(0x100000001B3, power, 2**64) for power in range(_LONGEST)], dtype=np.uint64)


def _classes() -> NDArray[np.uint8]:
    table = np.full(0x10000, _LETTER, dtype=np.uint8)
    for code in range(128):
        char = chr(code)
        table[code] = _SPACE if code <= 32 or code == 127 else _LETTER if char.isalnum() or char in "'_" else _MARK
    table[0x80:0xC0] = _MARK
    table[0xA0] = table[0x85] = table[0x3000] = _SPACE
    table[0xAA] = table[0xB5] = table[0xBA] = _LETTER
    table[0x2000:0x2070] = table[0x2190:0x2C00] = table[0x3001:0x3030] = table[0xFE30:0xFE50] = table[0xFF01:0xFF10] = (
        _MARK
    )
    table[0x3040:0x3100] = table[0x3400:0xA000] = table[0xF900:0xFB00] = _IDEOGRAPH
    table[0xFFFF] = _IDEOGRAPH  # everything beyond the basic plane: emoji and rare ideographs
    return table


_CLASS = _classes()


class Grams(NamedTuple):
    """The features of one text.

    Attributes:
        starts: First code point of each token.
        ends: Code point after the last one of each token.
        offsets: Number of characters before each token, blanks counted once, and their total at the end: where in
            `chars` each token's features begin.
        words: Three arrays of indices into the table: token n-grams that begin at each token, n = 1, 2, 3.
        chars: Three arrays of indices: character n-grams that begin at each character, n = 3, 4, 5.
    """

    starts: Ints
    ends: Ints
    offsets: Ints
    words: tuple[Ints, Ints, Ints]
    chars: tuple[Ints, Ints, Ints]


def _index(hashes: NDArray[np.uint64], salt: int) -> Ints:
    mixed = hashes ^ _SALTS[salt]
    mixed ^= mixed >> _FOLD
    mixed *= _MULTIPLIER
    mixed >>= _SHIFT
    return mixed.view(np.int64)


def grams(text: str) -> Grams | None:
    """The features of `text`, which is a view (see `canonical`); None if it has no token."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    classes = _CLASS[np.minimum(codes, 0xFFFF)]
    blank = classes == _SPACE
    kept = np.ones(len(codes), dtype=bool)
    if len(codes):
        kept[0] = not blank[0]
        kept[1:] = ~(blank[1:] & blank[:-1])
    places = np.flatnonzero(kept)
    if not len(places):
        return None
    classes = classes[places]
    symbols = np.where(classes == _SPACE, np.uint32(32), codes[places]).astype(np.uint64) + np.uint64(1)
    count = len(symbols)

    boundary = np.ones(count, dtype=bool)
    boundary[1:] = (classes[1:] != classes[:-1]) | (classes[1:] >= _MARK)
    first = np.flatnonzero(boundary)
    after = np.append(first[1:], count)
    is_token = classes[first] != _SPACE
    if not is_token.any():
        return None
    inside = np.arange(count) - np.repeat(first, after - first)
    word = np.add.reduceat(symbols * _POWERS[np.minimum(inside, _LONGEST - 1)], first)[is_token]
    word ^= word >> _FOLD
    word *= _MULTIPLIER
    pair = word[:-1] * _BASE + word[1:] if len(word) > 1 else word[:0]
    triple = pair[:-1] * _BASE + word[2:] if len(word) > 2 else word[:0]

    three = (symbols[:-2] * _BASE + symbols[1:-1]) * _BASE + symbols[2:] if count > 2 else symbols[:0]
    four = three[:-1] * _BASE + symbols[3:] if count > 3 else symbols[:0]
    five = four[:-1] * _BASE + symbols[4:] if count > 4 else symbols[:0]
    starts, stops = first[is_token], after[is_token]
    return Grams(
        places[starts],
        places[stops - 1] + 1,
        np.append(starts, count),
        (_index(word, 0), _index(pair, 1), _index(triple, 2)),
        (_index(three, 3), _index(four, 4), _index(five, 5)),
    )


def windows(tokens: int, width: int, stride: int) -> tuple[Ints, Ints]:
    """First and past-the-last token of every window: all of `tokens` if they fit into `width`, else one per `stride`."""
    if tokens <= width:
        return np.zeros(1, dtype=np.int64), np.full(1, tokens, dtype=np.int64)
    begin = np.arange(0, tokens - width + stride, stride)
    return begin, np.minimum(begin + width, tokens)


def amount(features: Grams, begin: Ints, end: Ints) -> Floats:
    """How many features each window owns: three per character and three per token."""
    chars = features.offsets[end] - features.offsets[begin]
    return (3.0 * chars + 3.0 * WORD_WEIGHT**2 * (end - begin)).astype(np.float64)


WORD_WEIGHT = 2.0
"""A token n-gram counts as much as this many character n-grams, of which there are about six times as many."""


def running_sums(features: Grams, weights: NDArray[np.int8]) -> Ints:
    """Running sums of the weights of all features that begin before each token; one more entry for the end."""
    chars = np.zeros(features.offsets[-1] + 1, dtype=np.int64)
    for index in features.chars:
        chars[1 : len(index) + 1] += weights[index]
    np.cumsum(chars, out=chars)
    tokens = np.zeros(len(features.starts) + 1, dtype=np.int64)
    for index in features.words:
        tokens[1 : len(index) + 1] += weights[index]
    np.cumsum(tokens, out=tokens)
    return chars[features.offsets] + int(WORD_WEIGHT) * tokens


def owned(features: Grams, begin: int, end: int) -> tuple[Ints, NDArray[np.float32]]:
    """The indices of a window's features (repeated as often as they occur) and what each counts, for training."""
    low, high = features.offsets[begin], features.offsets[end]
    chars = [index[low:high] for index in features.chars]
    words = [index[begin:end] for index in features.words]
    indices = np.concatenate(chars + words)
    values = np.ones(len(indices), dtype=np.float32)
    values[sum(map(len, chars)) :] = WORD_WEIGHT
    return indices, values
