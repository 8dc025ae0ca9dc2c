"""The common scale: marks at their rates, monotone, within [0, 1]."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_guard.injection.encoder.scale import Scale, knots_of

SCALE = Scale((-1.0, 0.5, 1.5, 2.5))


@pytest.mark.parametrize(("logit", "score"), [(-1.0, 0.1), (0.5, 0.3), (1.0, 0.4), (1.5, 0.5), (2.5, 0.7)])
def test_knots_have_the_marks(logit: float, score: float) -> None:
    assert SCALE.score(logit) == pytest.approx(score)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_scores_rise_with_logits_and_stay_within_bounds(a: float, b: float) -> None:
    low, high = SCALE.score(min(a, b)), SCALE.score(max(a, b))
    assert 0.0 <= low <= high <= 1.0


def test_many_windows_need_a_higher_logit() -> None:
    assert Scale(SCALE.knots, growth=0.5).score(2.5, windows=4) == pytest.approx(SCALE.score(1.5))


def test_below_knots_that_are_close_together_scores_still_tell_texts_apart() -> None:
    close = Scale((0.6, 0.8, 0.95, 1.0))
    assert close.score(0.6) == pytest.approx(0.1)
    assert close.score(-0.4) == pytest.approx(0.1 / math.e)


def test_each_source_counts_alike() -> None:
    large = [float(i) for i in range(1000)]
    small = [5000.0 + i for i in range(100)]
    knots = knots_of([large, small])
    for knot, rate in zip(knots, (0.2, 0.05, 0.02, 0.01), strict=True):
        above = [sum(value > knot for value in group) / len(group) for group in (large, small)]
        assert sum(above) / 2 == pytest.approx(rate, abs=0.01)


def test_or_the_worst_source_decides() -> None:
    low, high = [float(i) for i in range(100)], [5000.0 + i for i in range(100)]
    assert knots_of([low, high], every=True) == knots_of([high])
    assert knots_of([low], every=True) == knots_of([low])
