"""The built-in model: two linear heads over hashed n-grams, scored over every window of every view.

A model is two files: ``NAME.bin``, the raw int8 tables one after the other, and ``NAME.json``, its card: sources and
licences, hashes, biases, rule weights, calibration, figures and a self-test. Neither can hold code. Loading checks the
SHA-256 of the tables and runs the self-test, so a damaged or mixed-up model fails loudly instead of passing everything.

Scores are calibrated on harmless texts of sources that no scored model was trained on: 0.3, 0.5 and 0.7 are above 95, 98
and 99 % of them; for prompts in each source, so that the worst one decides, for documents on the mean of the sources. So
a threshold means a false-positive rate, for either head and for any other detector that is calibrated alike.

numpy is imported by whoever imports this module: at the first score, never with the package.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from langchain_guard.errors import GuardUnavailable
from langchain_guard.injection.card import read_card, tables_of
from langchain_guard.injection.features import SIZE, amount, grams, running_sums, windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_guard.injection.canonical import View
    from langchain_guard.injection.rules import Hit

BUILT_IN = Path(__file__).with_name("builtin.json")
"""The card of the model inside the package."""

KNOTS = (0.1, 0.3, 0.5, 0.7)
"""Scores at which 20, 5, 2 and 1 % of harmless texts of left-out sources lie."""


class Shape(NamedTuple):
    """How a head cuts a text: tokens in a window, tokens from one window to the next."""

    width: int
    stride: int


HEADS = {"user": Shape(64, 16), "document": Shape(24, 6)}
"""Orders in documents are short and stand in other text; an attack in a prompt is mostly all of it."""


class Best(NamedTuple):
    """The window that looks most like an attack: its margin and its place in the view, code points."""

    margin: float
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Head:
    """One linear scorer.

    Attributes:
        weights: The table, int8, `features.SIZE` entries.
        scale: What one step of the table is worth.
        bias: Added to every window.
        rules: Weight of each rule that hits inside the window, by name.
        knots: Margins that correspond to `KNOTS`, ascending.
        growth: Margin that a text gains by chance with each doubling of its number of windows; subtracted.
        shape: How texts are cut.
    """

    weights: NDArray[np.int8]
    scale: float
    bias: float
    rules: dict[str, float]
    knots: tuple[float, ...]
    growth: float
    shape: Shape

    def best(self, view: View, found: Sequence[Hit]) -> Best | None:
        """The best window of a view; None if it has no token."""
        features = grams(view.text)
        if features is None:
            return None
        sums = running_sums(features, self.weights)
        begin, end = windows(len(features.starts), *self.shape)
        margin = (sums[end] - sums[begin]) * self.scale / np.sqrt(amount(features, begin, end)) + self.bias
        for hit in found:
            weight = self.rules.get(hit.rule.name, 0.0)
            if weight:
                at = max(int(np.searchsorted(features.starts, hit.start, side="right")) - 1, 0)
                margin[(begin <= at) & (at < end)] += weight
        best = int(margin.argmax())
        value = float(margin[best]) - self.growth * math.log2(len(begin))
        return Best(value, int(features.starts[begin[best]]), int(features.ends[end[best] - 1]))

    def calibrated(self, margin: float) -> float:
        """A margin on the common scale, 0 to 1."""
        knots = self.knots
        if margin <= knots[0]:
            slope = (KNOTS[1] - KNOTS[0]) / (knots[1] - knots[0]) / KNOTS[0]
            return KNOTS[0] * math.exp(max(-700.0, slope * (margin - knots[0])))
        if margin >= knots[-1]:
            slope = (KNOTS[-1] - KNOTS[-2]) / (knots[-1] - knots[-2]) / (1 - KNOTS[-1])
            return 1 - (1 - KNOTS[-1]) * math.exp(max(-700.0, slope * (knots[-1] - margin)))
        return float(np.interp(margin, knots, KNOTS))


class Linear(NamedTuple):
    """A loaded model: its heads by source, and its card."""

    heads: dict[str, Head]
    card: dict[str, Any]

    def save(self, path: Path) -> None:
        """Writes ``path`` (the card, ``.json``) and the tables beside it (``.bin``)."""
        tables = b"".join(self.heads[source].weights.tobytes() for source in HEADS)
        card = {
            **self.card,
            "sha256": hashlib.sha256(tables).hexdigest(),
            "heads": {
                source: {
                    "scale": head.scale,
                    "bias": head.bias,
                    "rules": head.rules,
                    "knots": list(head.knots),
                    "growth": head.growth,
                    "width": head.shape.width,
                    "stride": head.shape.stride,
                }
                for source, head in self.heads.items()
            },
        }
        tables_of(path).write_bytes(tables)
        path.write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@lru_cache(maxsize=4)
def load(path: str = str(BUILT_IN)) -> Linear:
    """The model whose card is at `path`, checked.

    Raises:
        ConfigError: There is no such file, or it is no model's card (see `card.read_card`).
        GuardUnavailable: The tables are not those of the card, or the self-test fails.
    """
    file = Path(path)
    card = read_card(file)
    heads_card = card["heads"]
    tables = tables_of(file).read_bytes()
    if len(tables) != SIZE * len(HEADS) or hashlib.sha256(tables).hexdigest() != card["sha256"]:
        raise GuardUnavailable(
            f"the tables of the model {file.name} are not those of its card", rule="model", cause="checksum"
        )
    weights = np.frombuffer(tables, dtype=np.int8).reshape(len(HEADS), SIZE)
    heads = {
        source: Head(
            weights[index],
            float(part["scale"]),
            float(part["bias"]),
            {name: float(value) for name, value in part["rules"].items()},
            tuple(map(float, part["knots"])),
            float(part["growth"]),
            Shape(int(part["width"]), int(part["stride"])),
        )
        for index, (source, part) in enumerate((source, heads_card[source]) for source in HEADS)
    }
    model = Linear(heads, card)
    _tested(model, file.name)
    return model


def _tested(model: Linear, name: str) -> None:
    """Compares the margins of the card's texts with what this machine computes."""
    from langchain_guard.injection.canonical import canonical  # noqa: PLC0415
    from langchain_guard.injection.rules import hits  # noqa: PLC0415

    for source, expected in model.card["self_test"].items():
        for text, margin in expected:
            view = canonical(text)
            best = model.heads[source].best(view, hits(view.text, source))
            if best is None or abs(best.margin - margin) > 1e-3:
                raise GuardUnavailable(f"the model {name} fails its self-test", rule="model", cause="self-test")
