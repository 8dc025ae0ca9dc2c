"""What is learned: windows of labelled texts as a sparse matrix, weights on it, and heads with int8 tables.

The learner is logistic regression on naive-Bayes-weighted counts (Wang and Manning 2012, "Baselines and Bigrams"); of a
long attack only the windows that look most like one are trained on (multiple-instance learning; Andrews et al. 2002).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from langchain_guard.errors import ConfigError
from langchain_guard.injection.features import SIZE, amount, grams, owned, windows
from langchain_guard.injection.linear import HEADS, Head
from langchain_guard.injection.rules import DOCUMENT, RULES, USER, hits
from langchain_guard.injection.views import read

try:
    import scipy.sparse as sp
    from sklearn.linear_model import LogisticRegression
except ImportError:  # only who trains needs them
    raise ConfigError("training needs scikit-learn: pip install 'langchain-guard[train]'") from None

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_DOCUMENT_KINDS = frozenset({"indirect", "benign-doc"})
_RULE_VALUE = 1.0
_RULE_COLUMN = {rule.name: SIZE + index for index, rule in enumerate(RULES)}
_COLUMNS = SIZE + len(RULES)


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text."""

    text: str
    label: int
    source: str = "data"
    kind: str = ""

    @property
    def is_document(self) -> bool:
        """Whether it is retrieved or tool text rather than a user's prompt."""
        return self.kind in _DOCUMENT_KINDS


class Windows(NamedTuple):
    """Every window of every row as a row of one sparse matrix."""

    x: sp.csr_matrix
    row: NDArray[np.int64]


def windows_of(rows: Sequence[Row], source: str) -> Windows:
    """The windows of every view of `rows`, as the head for `source` ("user" or "document") cuts them."""
    shape = HEADS[source]
    indices, values, lengths, owner = [], [], [], []
    for number, text in ((n, view.text) for n, row in enumerate(rows) for view in read(row.text).views):
        features = grams(text)
        if features is None:
            continue
        found = hits(text, source)
        places = np.searchsorted(features.starts, [hit.start for hit in found], side="right") - 1
        for begin, end in zip(*windows(len(features.starts), shape.width, shape.stride * 2), strict=True):
            index, value = owned(features, int(begin), int(end))
            total = amount(features, np.array([begin]), np.array([end]))[0]
            inside = [hit for hit, at in zip(found, places, strict=True) if begin <= max(at, 0) < end]
            columns = np.array([_RULE_COLUMN[hit.rule.name] for hit in inside], dtype=np.int64)
            indices.append(np.concatenate((index, columns)).astype(np.int32))
            marks = np.full(len(columns), _RULE_VALUE, dtype=np.float32)
            values.append(np.concatenate((value / np.sqrt(total, dtype=np.float32), marks)).astype(np.float32))
            lengths.append(len(indices[-1]))
            owner.append(number)
    pointer = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    x = sp.csr_matrix(
        (np.concatenate(values), np.concatenate(indices), pointer), shape=(len(lengths), _COLUMNS), dtype=np.float32
    )
    x.sum_duplicates()
    return Windows(x, np.array(owner))


def source_weights(rows: Sequence[Row]) -> NDArray[np.float64]:
    """A weight per row: each source and label counts as the square root of its size, both labels alike."""
    keys = [(row.source, row.label) for row in rows]
    sizes: dict[tuple[str, int], int] = {}
    for key in keys:
        sizes[key] = sizes.get(key, 0) + 1
    weight = np.array([sizes[key] ** -0.5 for key in keys])
    label = np.array([row.label for row in rows])
    for value in (0, 1):
        weight[label == value] *= 0.5 * len(rows) / max(weight[label == value].sum(), 1e-9)
    return weight


def fit(
    data: Windows, label: NDArray[np.int64], weight: NDArray[np.float64], *, strength: float, rounds: int = 2
) -> tuple[NDArray[np.float32], float]:
    """Weights of all columns, and the bias.

    Args:
        data: Windows; `label` and `weight` are per row.
        label: 1 for an attack.
        weight: How much a row counts.
        strength: Inverse of the regularisation (scikit-learn's ``C``).
        rounds: How often the windows of the attacks are chosen anew.
    """
    rows = data.row
    y = label[rows]
    per_row = np.bincount(rows, minlength=len(label))
    chosen = np.ones(len(rows), dtype=bool)
    weights, bias = np.zeros(_COLUMNS, dtype=np.float32), 0.0
    for _ in range(rounds):
        used = np.flatnonzero(chosen)
        counts = np.maximum(np.bincount(rows[used], minlength=len(label)), 1)
        share = weight[rows[used]] / np.where(y[used] == 1, counts[rows[used]], np.sqrt(per_row[rows[used]]))
        x = data.x[used]
        ratio = _naive_bayes(x, y[used], share)
        model = LogisticRegression(C=strength, solver="lbfgs", max_iter=60, tol=1e-3)
        model.fit(x @ sp.diags(ratio), y[used], sample_weight=share)
        weights = (model.coef_.ravel() * ratio).astype(np.float32)
        bias = float(model.intercept_[0])
        margin = data.x @ weights + bias
        best = np.full(len(label), -np.inf)
        np.maximum.at(best, rows, margin)
        chosen = (y == 0) | (margin >= best[rows] - 1e-6) | ((margin > best[rows] - 1.0) & (margin > 0.5))
    return weights, bias


def _naive_bayes(x: sp.csr_matrix, y: NDArray[np.int64], weight: NDArray[np.float64]) -> NDArray[np.float32]:
    present = x.copy()
    present.data = np.ones_like(present.data)
    attack = present.T @ np.where(y == 1, weight, 0.0) + 1.0
    benign = present.T @ np.where(y == 0, weight, 0.0) + 1.0
    ratio = np.log(attack / attack.sum()) - np.log(benign / benign.sum())
    ratio = np.sign(ratio) * np.maximum(np.abs(ratio), 0.05)
    ratio[SIZE:] = 1.0
    floats: NDArray[np.float32] = ratio.astype(np.float32)
    return floats


def best_margin(data: Windows, count: int, weights: NDArray[np.float32], bias: float) -> NDArray[np.float64]:
    """The margin of each row's best window; of a row without any, the lowest of all."""
    margin = data.x @ weights + bias
    best = np.full(count, margin.min(initial=0.0), dtype=np.float64)
    np.maximum.at(best, data.row, margin)
    return best


STRENGTH = {USER: 8.0, DOCUMENT: 1.0}
"""Inverse regularisation, by recall on left-out sources, which changes little over a factor of ten."""


def rows_for(rows: Iterable[Row], source: str) -> list[Row]:
    """What the head for `source` is trained on: harmless documents teach both, attacks in prompts too."""
    if source == USER:
        return [row for row in rows if not row.is_document or not row.label]
    return [
        replace(row, kind="benign-doc" if not row.label else "indirect")
        for row in rows
        if row.is_document or (row.label and len(row.text) < 1500) or _is_page(row)
    ]


def _is_page(row: Row) -> bool:
    """Whether a harmless row, whatever its kind, is the page of a book: documents in other languages are rare."""
    return not row.label and row.source.rstrip("~") == "promptschat-book"


_PROMPTS = 0.2
"""What an attack in a prompt counts for the head for documents, where most orders read otherwise."""


class Pool:
    """The rows of one head and their windows, cut once and used for every fold.

    Args:
        rows: All rows.
        source: ``"user"`` or ``"document"``.
    """

    def __init__(self, rows: Sequence[Row], source: str) -> None:
        self.source = source
        pairs = [(row, fit_row) for row in rows for fit_row in rows_for([row], source)]
        self.rows = [fit_row for _, fit_row in pairs]
        self.factor = np.array([_PROMPTS if new.kind != old.kind and old.label else 1.0 for old, new in pairs])
        self.windows = windows_of(self.rows, source)

    def head(self, without: frozenset[str] | set[str] = frozenset()) -> Head:
        """A head trained on all rows but those of the sources `without`, not yet calibrated."""
        chosen = np.array([row.source not in without for row in self.rows])
        rows = [row for row, keep in zip(self.rows, chosen, strict=True) if keep]
        kept = np.flatnonzero(chosen[self.windows.row])
        number = np.cumsum(chosen) - 1
        data = Windows(self.windows.x[kept], number[self.windows.row[kept]])
        label = np.array([row.label for row in rows])
        weight = source_weights(rows) * self.factor[chosen]
        weights, bias = fit(data, label, weight, strength=STRENGTH[self.source])
        return quantised(weights, bias, self.source)


# --- heads ----------------------------------------------------------------------------------------------------


def quantised(weights: NDArray[np.float32], bias: float, source: str) -> Head:
    """A head with int8 tables; its knots are those of an uncalibrated one."""
    scale = float(np.abs(weights[:SIZE]).max()) / 127 or 1.0
    table = np.rint(weights[:SIZE] / scale).astype(np.int8)
    rules = {rule.name: round(float(weights[_RULE_COLUMN[rule.name]]), 4) for rule in RULES}
    return Head(table, scale, bias, rules, (-1.0, 0.0, 1.0, 2.0), 0.0, HEADS[source])


def margins(head: Head, rows: Sequence[Row], source: str) -> NDArray[np.float64]:
    """The margin of each row as the detector sees it: the best window of all views."""
    out = np.full(len(rows), -20.0)
    for number, row in enumerate(rows):
        for view in read(row.text).views:
            best = head.best(view, hits(view.text, source))
            if best is not None:
                out[number] = max(out[number], best.margin)
    return out


def knots_of(parts: Sequence[NDArray[np.float64]], *, every: bool = False) -> tuple[float, ...]:
    """The margins above which at most 20, 5, 2 and 1 % of harmless texts lie.

    Args:
        parts: Margins of harmless texts, one array per source.
        every: For the worst of the sources, else for their mean, every source counting alike.
    """
    parts = [part for part in parts if len(part)]
    if every:
        knots = [max(float(np.quantile(part, 1 - share)) for part in parts) for share in _SHARES]
    else:
        margin = np.concatenate(parts)
        order = np.argsort(-margin)
        above = np.cumsum(np.concatenate([np.full(len(part), 1 / len(part) / len(parts)) for part in parts])[order])
        knots = [float(margin[order[min(int(np.searchsorted(above, share)), len(order) - 1)]]) for share in _SHARES]
    for index in range(1, len(knots)):
        knots[index] = max(knots[index], knots[index - 1] + 0.05)
    return tuple(round(knot, 4) for knot in knots)


_SHARES = (0.20, 0.05, 0.02, 0.01)


def adapted(head: Head, rows: Sequence[Row], label: NDArray[np.int64], source: str) -> Head:
    """`head` corrected on `rows`, by a strongly regularised correction on top of its own margin."""
    data = windows_of(rows, source)
    weights = head.weights.astype(np.float32) * np.float32(head.scale)
    rules = np.array([head.rules.get(rule.name, 0.0) for rule in RULES], dtype=np.float32)
    before = np.concatenate((weights, rules))
    margin = (data.x @ before + head.bias).astype(np.float64)
    y = label[data.row]
    counts = np.bincount(data.row, minlength=len(label))
    share = 1.0 / counts[data.row]
    # the base's margin is a column that is so large that keeping it costs nothing
    column = sp.csr_matrix((margin * 10).reshape(-1, 1))
    occurring = np.unique(data.x.indices)
    model = LogisticRegression(C=10.0, solver="lbfgs", max_iter=200)
    model.fit(sp.hstack([data.x[:, occurring].astype(np.float64), column]).tocsr(), y, sample_weight=share)
    coefficients = model.coef_.ravel()
    kept = float(np.clip(coefficients[-1] * 10, 0.5, 2.0))
    after = before * np.float32(kept)
    after[occurring] += coefficients[:-1].astype(np.float32)
    bias = head.bias * kept + float(model.intercept_[0])
    changed = quantised(after, bias, source)
    changed = replace(changed, growth=head.growth * kept, shape=head.shape)
    knots = [knot * kept for knot in head.knots]
    harmless = np.sort(margins(changed, [row for row in rows if not row.label], source))[::-1]
    for index, share_above in enumerate(_SHARES):
        above = int(len(harmless) * share_above)
        knots[index] = max(knots[index], float(harmless[min(above, len(harmless) - 1)]))
    for index in range(1, len(knots)):
        knots[index] = max(knots[index], knots[index - 1] + 0.05)
    return replace(changed, knots=tuple(round(knot, 4) for knot in knots))
