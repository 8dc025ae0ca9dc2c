"""A text's tokens cut into overlapping windows of one length, each with the prefix of its origin."""

from __future__ import annotations

from typing import Final

PREFIX: Final = {False: "query:", True: "passage:"}
"""The prefixes that the pretraining used: ``query:`` a user's prompt, ``passage:`` a document."""

SIZE: Final = 160
"""Most tokens of a window, ``<s>``, prefix and ``</s>`` included."""

OVERLAP: Final = 8
"""Tokens that two neighbours have in common at least.  An order between two windows is seen by half in each; recall on
left-out documents is the same with 8, 16 and 36, and time goes with the sum of the windows."""


def windows(ids: list[int], prefix: list[int], bos: int, eos: int) -> list[list[int]]:
    """Windows of token ids over the whole of *ids*; an empty text gives one window with the prefix alone."""
    places = _places(len(ids), SIZE - len(prefix) - 2)
    return [[bos, *prefix, *ids[begin:end], eos] for begin, end in places]


def span(window: int, tokens: int, prefix: int) -> tuple[int, int]:
    """First token and end of a window in a text of *tokens* tokens, its prefix having *prefix* tokens."""
    return _places(tokens, SIZE - prefix - 2)[window]


def _places(tokens: int, room: int) -> list[tuple[int, int]]:
    """Begin and end of as few windows as hold *tokens*, each as short as that allows: time goes with their sum."""
    if tokens <= room:
        return [(0, tokens)]
    count = -((OVERLAP - tokens) // (room - OVERLAP))
    length = -((-tokens - (count - 1) * OVERLAP) // count)
    begins = [number * (tokens - length) // (count - 1) for number in range(count)]
    return [(begin, begin + length) for begin in begins]
