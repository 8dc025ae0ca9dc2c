"""Thresholds and figures of a finished model, from sources that it has not seen.

The sources whose licences keep them out of training are the left-out sources: the shipped files themselves score
them, no fold's model stands in.  Scores of fold models add the kinds of harmless text that only the trained-on sources
have (trigger words above all).
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from langchain_guard.errors import ConfigError
from langchain_guard.injection.encoder.scale import Scale, knots_of, mean_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from langchain_guard.injection.encoder.corpus import Row
    from langchain_guard.injection.encoder.runtime import EncoderDetector

_MOST_GROWTH: Final = 0.3
_ENOUGH: Final = 50
"""Fewest rows of a source from which a false-positive rate of a few percent can be read."""


class Scored(NamedTuple):
    """One left-out row: logit of its best window, how many windows it has."""

    source: str
    label: int
    document: bool
    lang: str
    logit: float
    windows: int
    text: str


def sample(rows: Iterable[Row], leave_out: Collection[str], most: int, seed: int = 7) -> list[Row]:
    """Up to *most* rows of each source, label and origin, of the sources that are not in *leave_out*."""
    groups: dict[tuple[str, int, bool], list[Row]] = defaultdict(list)
    for row in rows:
        if row.source not in leave_out:
            groups[row.source, row.label, row.is_document].append(row)
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    return [row for key in sorted(groups) for row in rng.sample(groups[key], min(most, len(groups[key])))]


def score_rows(detector: EncoderDetector, rows: Sequence[Row]) -> list[Scored]:
    """Score *rows* with the files that ship."""
    encoder = detector.encoder()
    scored = []
    for document in (False, True):
        chosen = [row for row in rows if row.is_document is document]
        for start in range(0, len(chosen), 64):
            part = chosen[start : start + 64]
            best = encoder.best([row.text for row in part], document=document)
            scored += [
                Scored(row.source, row.label, document, row.lang, one.logit, one.windows, row.text)
                for row, one in zip(part, best, strict=True)
            ]
    return scored


def read_fold(path: Path) -> list[Scored]:
    """What ``train --fold`` wrote about its left-out rows."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Scored(r["source"], r["label"], r["document"], r["lang"], r["logit"], r.get("windows", 1), r["text"])
        for r in rows
    ]


def scale_of(scored: Iterable[Scored], *, every: bool = False) -> Scale:
    """The scale for one origin from its harmless rows: rates on the mean of the sources, or in *every* source.

    Raises:
        ConfigError: no source has enough harmless rows.
    """
    harmless = [row for row in scored if row.label == 0]
    growth = _growth(harmless)
    groups: dict[str, list[float]] = defaultdict(list)
    for row in harmless:
        groups[row.source].append(row.logit - growth * float(np.log2(row.windows)))
    kept = [group for _, group in sorted(groups.items()) if len(group) >= _ENOUGH]
    if not kept:
        raise ConfigError(
            f"no left-out source has {_ENOUGH} harmless rows of each origin: nothing to set the scales on"
        )
    return Scale(knots_of(kept, every=every), growth)


def _growth(harmless: Sequence[Scored]) -> float:
    """How much the highest logit rises with each doubling of the number of windows, within a source.

    Between sources, length goes with the kind of text, which is no reason to distrust a long one.
    """
    groups: dict[str, list[Scored]] = defaultdict(list)
    for row in harmless:
        groups[row.source].append(row)
    product = square = 0.0
    for group in groups.values():
        doublings = np.log2([row.windows for row in group])
        doublings -= doublings.mean()
        product += float(doublings @ np.array([row.logit for row in group]))
        square += float(doublings @ doublings)
    return round(min(max(product / square, 0.0), _MOST_GROWTH), 3) if square > 0 else 0.0


def paired(scored: Iterable[Scored], scale: Scale, linear: Callable[[str, str], float], kind: str) -> list[Scored]:
    """*scored* with the mean of the encoder's logit and the linear model's score in the place of the logit.

    Args:
        scored: rows of one origin.
        scale: the encoder's scale for them, for its growth.
        linear: the linear model's score of a text from a source, ``"user"`` or ``"document"``.
        kind: the key in `scale.SHARES` by which the two are weighted.
    """

    def mean(row: Scored) -> float:
        score = linear(row.text, "document" if row.document else "user")
        return mean_of(scale.without_growth(row.logit, row.windows), score, kind)

    return [row._replace(logit=mean(row), windows=1) for row in scored]


def figures(scored: Sequence[Scored], scale: Scale) -> dict[str, Any]:
    """Per source: rows, and the share above each profile's threshold (0.3, 0.5, 0.7)."""
    groups: dict[tuple[str, int], list[float]] = defaultdict(list)
    for row in scored:
        groups[row.source, row.label].append(scale.score(row.logit, row.windows))
    return {
        f"{source} {'attacks' if label else 'harmless'}": {
            "rows": len(scores),
            "share": [round(float(np.mean(np.asarray(scores) >= mark)), 3) for mark in (0.3, 0.5, 0.7)],
        }
        for (source, label), scores in sorted(groups.items())
    }
