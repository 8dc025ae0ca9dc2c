"""From logits to the common scale of all detectors: 0.1, 0.3, 0.5 and 0.7 are where 20, 5, 2 and 1 % of harmless texts lie.

Pure: no numpy, so that a verdict of the linear model alone costs nothing of this extra.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MARKS: Final = (0.1, 0.3, 0.5, 0.7)
"""The scores of the knots; the same as the linear model's."""

RATES: Final = (0.2, 0.05, 0.02, 0.01)
"""False-positive rates that the marks stand for."""

SHARES: Final = {"document": 0.4, "other": 0.4, "english": 0.7}
"""What the linear model counts in the mean with the encoder: for documents, for prompts in other languages, for English
ones.  Recall on left-out sources changes little from 0.3 to 0.5 for the first two, from 0.6 to 0.85 for the third."""

_FAR: Final = 4.0
"""Log-odds of the linear model beyond this say nothing more: scores far below the knots are extrapolated."""


def mean_of(logit: float, linear: float, kind: str) -> float:
    """The mean of the encoder's *logit* and the log-odds of the *linear* model's score, weighted for a *kind* of text."""
    odds = math.log((linear + 1e-9) / (1 - linear + 1e-9))
    share = SHARES[kind]
    return (1 - share) * logit + share * max(-_FAR, min(_FAR, odds))


class Scale(NamedTuple):
    """A monotone map of logits to [0, 1].

    Attributes:
        knots: Logits for `MARKS`, ascending.
        growth: Logit that a text gains by chance with each doubling of its number of windows.
    """

    knots: tuple[float, ...]
    growth: float = 0.0

    def without_growth(self, logit: float, windows: int) -> float:
        """*logit* less what the highest of so many *windows* gains by chance."""
        return logit - self.growth * math.log2(max(windows, 1))

    def score(self, logit: float, windows: int = 1) -> float:
        """The place of *logit*, the highest of a text's *windows*, on the common scale."""
        value = self.without_growth(logit, windows)
        knots = self.knots
        if value <= knots[0]:
            # At most as steep as odds, so that knots close together do not put all that is below them at 0.
            slope = min(1.0, (MARKS[1] - MARKS[0]) / (knots[1] - knots[0]) / MARKS[0])
            return MARKS[0] * math.exp(max(-700.0, slope * (value - knots[0])))
        if value >= knots[-1]:
            slope = (MARKS[-1] - MARKS[-2]) / (knots[-1] - knots[-2]) / (1 - MARKS[-1])
            return 1 - (1 - MARKS[-1]) * math.exp(max(-700.0, slope * (knots[-1] - value)))
        at = next(i for i in range(len(knots) - 1) if value <= knots[i + 1])
        share = (value - knots[at]) / (knots[at + 1] - knots[at])
        return MARKS[at] + share * (MARKS[at + 1] - MARKS[at])


def knots_of(groups: Sequence[Sequence[float]], *, every: bool = False) -> tuple[float, ...]:
    """Knots from harmless logits of sources that the model has not seen, one sequence per source.

    Args:
        groups: Logits, one sequence per source; a source counts alike however many rows it has.
        every: Whether the rates hold for each source, so that the worst one decides, or for the mean of the sources.
    """
    if every:
        parts = [knots_of([group]) for group in groups]
        return tuple(max(part[i] for part in parts) for i in range(len(RATES)))
    values = sorted(value for group in groups for value in group)
    weights = sorted((value, 1 / len(group) / len(groups)) for group in groups for value in group)
    knots = []
    for rate in RATES:
        above, knot = 0.0, values[-1]
        for value, weight in reversed(weights):
            if above + weight > rate + 1e-12:
                knot = value
                break
            above += weight
        knots.append(knot)
    for i in range(1, len(knots)):
        knots[i] = max(knots[i], knots[i - 1] + 0.05)
    return tuple(round(knot, 4) for knot in knots)
