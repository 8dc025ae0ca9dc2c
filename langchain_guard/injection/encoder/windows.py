"""A text's tokens cut into overlapping windows, each with the prefix of its origin."""

from __future__ import annotations

from typing import Final

PREFIX: Final = {False: "query:", True: "passage:"}
"""The prefixes that the pretraining used: ``query:`` a user's prompt, ``passage:`` a document."""

SIZE: Final = 160
"""Tokens of a window, ``<s>``, prefix and ``</s>`` included."""

STRIDE: Final = 120
"""Tokens from one window's begin to the next's: an order of up to 30 tokens is whole in one window."""


def windows(ids: list[int], prefix: list[int], bos: int, eos: int) -> list[list[int]]:
    """Windows of token ids over the whole of *ids*; an empty text gives one window with the prefix alone."""
    room = SIZE - len(prefix) - 2
    starts = range(0, max(1, len(ids) - room + STRIDE), STRIDE) if len(ids) > room else (0,)
    return [[bos, *prefix, *ids[start : start + room], eos] for start in starts]


def span(window: int, tokens: int, prefix: int) -> tuple[int, int]:
    """First token and end of a window in a text of *tokens* tokens, its prefix having *prefix* tokens."""
    begin = window * STRIDE
    return begin, min(tokens, begin + SIZE - prefix - 2)
