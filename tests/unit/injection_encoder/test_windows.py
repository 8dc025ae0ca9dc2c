"""Every token is in a window, and every window fits the network."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard.injection.encoder.windows import OVERLAP, SIZE, span, windows

PREFIX = [7, 8]
ROOM = SIZE - len(PREFIX) - 2


@pytest.mark.parametrize(
    ("tokens", "count"),
    [(0, 1), (1, 1), (ROOM, 1), (ROOM + 1, 2), (2 * ROOM - OVERLAP, 2), (2 * ROOM - OVERLAP + 1, 3)],
)
def test_number_of_windows(tokens: int, count: int) -> None:
    assert len(windows([5] * tokens, PREFIX, 0, 2)) == count


@given(st.integers(0, 1500))
def test_windows_cover_the_text_and_fit(tokens: int) -> None:
    cut = windows(list(range(100, 100 + tokens)), PREFIX, 0, 2)
    assert {i for window in cut for i in window[3:-1]} == set(range(100, 100 + tokens))
    for number, window in enumerate(cut):
        assert len(window) <= SIZE
        assert window[:3] == [0, *PREFIX]
        assert window[-1] == 2
        begin, end = span(number, tokens, len(PREFIX))
        assert window[3:-1] == list(range(100 + begin, 100 + end))


@given(st.integers(ROOM + 1, 1500))
def test_windows_are_alike_in_length_and_overlap(tokens: int) -> None:
    places = [span(number, tokens, len(PREFIX)) for number in range(len(windows([5] * tokens, PREFIX, 0, 2)))]
    assert len({end - begin for begin, end in places}) == 1
    assert all(end - begin >= OVERLAP for (_, end), (begin, _) in itertools.pairwise(places))
    assert places[-1][1] == tokens
