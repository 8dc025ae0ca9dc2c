"""How good a guard or detector is on labelled texts: per set, with intervals, never one pooled number alone.

::

    result = evaluate(InjectionDetector(), rows)   # rows: {"text": ..., "label": 0 or 1, "source": ..., "kind": ...}
    print(result.table())
    pandas.DataFrame(result.records())
    result.threshold_for(0.01)                     # the threshold with at most 1 % false positives on these rows

Kinds "indirect" and "benign-doc" are documents, everything else are prompts. Plain Python, no plotting.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from langchain_guard.errors import ConfigError

DOCUMENT_KINDS = frozenset({"indirect", "benign-doc"})
BALANCED = 0.5
"""Threshold for what has a score but no threshold of its own."""

Progress = Callable[[Sequence[Any]], Iterable[Any]]
"""Wraps the rows while they are judged, as ``tqdm.tqdm`` does."""


@dataclass(frozen=True, slots=True)
class Record:
    """The judgement of one row; the text itself is not kept.

    Attributes:
        set: Name of the row's set, its ``source``.
        kind: Its kind.
        origin: ``"user"`` or ``"document"``.
        label: 1 for an attack, 0 for a harmless text.
        score: Risk, 0 to 1.
        flagged: Whether the policy objected.
        ms: Milliseconds of CPU time that it took.
        length: Code points of the text.
    """

    set: str
    kind: str
    origin: str
    label: int
    score: float
    flagged: bool
    ms: float
    length: int


class Share(NamedTuple):
    """A part of a whole, and where the true one lies with 95 % confidence (Wilson 1927)."""

    value: float
    low: float
    high: float
    part: int
    whole: int

    def __str__(self) -> str:
        return f"{self.value:6.1%} [{self.low:.1%}, {self.high:.1%}]"


def share(part: int, whole: int) -> Share | None:
    """Wilson's score interval of ``part / whole``; None of nothing."""
    if not whole:
        return None
    z, p = 1.959964, part / whole
    middle = (p + z * z / (2 * whole)) / (1 + z * z / whole)
    half = z / (1 + z * z / whole) * math.sqrt(p * (1 - p) / whole + z * z / (4 * whole * whole))
    return Share(p, max(0.0, middle - half), min(1.0, middle + half), part, whole)


def auc(attacks: Sequence[float], harmless: Sequence[float]) -> float | None:
    """Area under the ROC curve: the chance that an attack scores above a harmless text, ties counting half.

    The Mann-Whitney statistic; O(n log n). None if either is empty.
    """
    if not attacks or not harmless:
        return None
    ordered = sorted([(score, 1) for score in attacks] + [(score, 0) for score in harmless])
    wins = 0.0
    below = index = 0
    while index < len(ordered):
        end = index
        while end < len(ordered) and ordered[end][0] == ordered[index][0]:
            end += 1
        ones = sum(label for _, label in ordered[index:end])
        zeros = end - index - ones
        wins += ones * (below + zeros / 2)
        below += zeros
        index = end
    return wins / (len(attacks) * len(harmless))


@dataclass(frozen=True, slots=True)
class SetResult:
    """One set: how many of its attacks were found and how many of its harmless texts were flagged.

    Attributes:
        set: Its name.
        origin: ``"user"`` or ``"document"``.
        recall: Share of the attacks that were found; None if it has none.
        false_positives: Share of the harmless texts that were flagged; None if it has none.
        auc: Area under its own ROC curve, if it has both.
        ms: Median CPU milliseconds per text.
    """

    set: str
    origin: str
    recall: Share | None
    false_positives: Share | None
    auc: float | None
    ms: float


class Confusion(NamedTuple):
    """Counts of found and missed attacks, flagged and passed harmless texts."""

    found: int
    missed: int
    flagged: int
    passed: int


class Point(NamedTuple):
    """One point of the ROC curve."""

    threshold: float
    false_positives: float
    recall: float


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found out."""

    rows: tuple[Record, ...]

    def records(self) -> list[dict[str, Any]]:
        """One dict per row, for ``pandas.DataFrame``."""
        return [asdict(row) for row in self.rows]

    def only(
        self, *, origin: str | None = None, sets: Iterable[str] | None = None, without: Iterable[str] = ()
    ) -> Evaluation:
        """The part of it with this origin, in these sets and in none of `without`."""
        chosen, left = None if sets is None else set(sets), set(without)
        return Evaluation(
            tuple(
                row
                for row in self.rows
                if (origin is None or row.origin == origin)
                and (chosen is None or row.set in chosen)
                and row.set not in left
            )
        )

    def confusion(self, threshold: float | None = None) -> Confusion:
        """Counts, at the policy's own decision or at another threshold."""
        said = [(row.label, row.flagged if threshold is None else row.score >= threshold) for row in self.rows]
        counts = {pair: said.count(pair) for pair in ((1, True), (1, False), (0, True), (0, False))}
        return Confusion(counts[1, True], counts[1, False], counts[0, True], counts[0, False])

    def recall(self, threshold: float | None = None) -> Share | None:
        """Share of the attacks that were found."""
        counts = self.confusion(threshold)
        return share(counts.found, counts.found + counts.missed)

    def false_positives(self, threshold: float | None = None) -> Share | None:
        """Share of the harmless texts that were flagged."""
        counts = self.confusion(threshold)
        return share(counts.flagged, counts.flagged + counts.passed)

    def auc(self) -> float | None:
        """Area under the ROC curve of all rows together."""
        return auc(*self._scores())

    def curve(self) -> list[Point]:
        """The ROC curve: one point per different score, thresholds falling."""
        attacks, harmless = (sorted(scores, reverse=True) for scores in self._scores())
        points, found, flagged = [], 0, 0
        for threshold in sorted({*attacks, *harmless}, reverse=True):
            while found < len(attacks) and attacks[found] >= threshold:
                found += 1
            while flagged < len(harmless) and harmless[flagged] >= threshold:
                flagged += 1
            points.append(Point(threshold, flagged / max(len(harmless), 1), found / max(len(attacks), 1)))
        return points

    def threshold_for(self, false_positives: float) -> float:
        """The lowest threshold at which at most this share of the harmless texts is flagged.

        Choose it on texts like those that you expect, and check it on others.

        Args:
            false_positives: A share, 0 to 1.
        """
        fitting = [point.threshold for point in self.curve() if point.false_positives <= false_positives]
        return min(fitting, default=1.0)

    def sets(self) -> list[SetResult]:
        """Every set, prompts first; a set with both origins gives two."""
        keys = sorted({(row.origin != "user", row.set) for row in self.rows})
        return [self._set(name, "document" if is_document else "user") for is_document, name in keys]

    def table(self) -> str:
        """The sets as a Markdown table, then prompts and documents together."""
        lines = ["| set | origin | attacks found | harmless flagged | AUC | ms |", "|---|---|---|---|---|---|"]
        lines += map(_line, self.sets())
        for origin in ("user", "document"):
            part = self.only(origin=origin)
            if part.rows:
                result = part._set(None, origin)
                lines.append(_line(result).replace("| None |", f"| **all {origin}** |", 1))
        return "\n".join(lines)

    def _scores(self) -> tuple[list[float], list[float]]:
        return [r.score for r in self.rows if r.label], [r.score for r in self.rows if not r.label]

    def _set(self, name: str | None, origin: str) -> SetResult:
        part = Evaluation(tuple(r for r in self.rows if r.origin == origin and name in (None, r.set)))
        times = sorted(row.ms for row in part.rows)
        return SetResult(str(name), origin, part.recall(), part.false_positives(), part.auc(), times[len(times) // 2])


def _line(result: SetResult) -> str:
    def told(value: Share | None) -> str:
        return "-" if value is None else f"{value.part}/{value.whole} = {value}"

    curve = "-" if result.auc is None else f"{result.auc:.3f}"
    return f"| {result.set} | {result.origin} | {told(result.recall)} | {told(result.false_positives)} | {curve} | {result.ms:.2f} |"


def compare(first: Evaluation, second: Evaluation) -> list[dict[str, Any]]:
    """Both results per set, as rows for ``pandas.DataFrame``; shares that are None are left None."""

    def value(given: Share | None) -> float | None:
        return None if given is None else given.value

    others = {(result.set, result.origin): result for result in second.sets()}
    rows = []
    for one in first.sets():
        other = others.get((one.set, one.origin))
        row: dict[str, Any] = {"set": one.set, "origin": one.origin}
        for name, result in (("first", one), ("second", other)):
            row[f"recall_{name}"] = value(result.recall) if result else None
            row[f"false_positives_{name}"] = value(result.false_positives) if result else None
            row[f"auc_{name}"] = result.auc if result else None
        rows.append(row)
    return rows


def evaluate(policy: Any, rows: Iterable[Mapping[str, Any]], *, progress: Progress | None = None) -> Evaluation:
    """Judges every row.

    Args:
        policy: A guard, a `langchain_guard.injection.Detector`, or a callable ``(text) -> float``. A guard's own
            decision counts; a score without one counts as an objection from 0.5 on.
        rows: ``text`` and ``label`` (0 or 1), and if known ``source`` (the set's name) and ``kind``.
        progress: Wraps the rows while they are judged, such as ``tqdm``.

    Raises:
        ConfigError: A row has no text or no label, or the policy is of no such kind.
    """
    judge = _judge_of(policy)
    given = [_checked(row, number) for number, row in enumerate(rows)]
    records = []
    for row in given if progress is None else progress(given):
        origin = "document" if row["kind"] in DOCUMENT_KINDS else "user"
        begin = time.process_time_ns()
        score, flagged = judge(row["text"], origin)
        spent = (time.process_time_ns() - begin) / 1e6
        records.append(
            Record(row["source"], row["kind"], origin, row["label"], score, flagged, spent, len(row["text"]))
        )
    return Evaluation(tuple(records))


def _checked(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    if not isinstance(row.get("text"), str) or row.get("label") not in (0, 1):
        raise ConfigError(f'row {number}: needs "text" (a str) and "label" (0 or 1)')
    return {
        "text": row["text"],
        "label": int(row["label"]),
        "source": str(row.get("source", "data")),
        "kind": str(row.get("kind", "")),
    }


def _judge_of(policy: Any) -> Callable[[str, str], tuple[float, bool]]:
    score, check = getattr(policy, "score", None), getattr(policy, "check", None)
    if callable(score) and callable(check):
        cutoff = float(getattr(policy, "cutoff", BALANCED))

        def by_origin(text: str, origin: str) -> tuple[float, bool]:
            risk = float(score(text, origin))
            return risk, risk >= cutoff

        return by_origin
    if callable(check):

        def by_verdict(text: str, _: str) -> tuple[float, bool]:
            verdict = check(text)
            objects = verdict.action != "allow"
            return (float(objects) if verdict.score is None else verdict.score), objects

        return by_verdict
    if callable(score):

        def by_score(text: str, origin: str) -> tuple[float, bool]:
            risk = float(score([text], origin)[0])
            return risk, risk >= BALANCED

        return by_score
    if callable(policy):

        def by_call(text: str, _: str) -> tuple[float, bool]:
            risk = float(policy(text))
            return risk, risk >= BALANCED

        return by_call
    kind = type(policy).__name__
    raise ConfigError(f"evaluate(policy=...) must be a guard, a detector or a callable (text) -> float, not {kind}")


# --- command line ------------------------------------------------------------------------------------------------


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, plain or gzipped.

    Raises:
        ConfigError: It cannot be read, or a line is no labelled text.
    """
    try:
        data = path.read_bytes()
        lines = (gzip.decompress(data) if path.suffix == ".gz" else data).decode().split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"{path.name} cannot be read as JSON lines ({type(error).__name__})") from None
    if not rows:
        raise ConfigError(f"{path.name} has no rows")
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"{path.name}, line {number}: needs an object")
        _checked(row, number)
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m langchain_guard evaluate``; the exit status is 0, or 2 for bad arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m langchain_guard evaluate", description="Judges labelled texts with InjectionDetector, per set."
    )
    parser.add_argument("data", type=Path, nargs="+", help="JSON lines with text, label, and if known source and kind")
    parser.add_argument("--profile", default="balanced", choices=("strict", "balanced", "quiet"))
    parser.add_argument("--threshold", type=float, default=None, help="risk from which on a text counts as detected")
    parser.add_argument("--model", default="", help="card of a model trained with 'train'")
    parser.add_argument("--json", type=Path, default=None, help="write one record per row to this file, without texts")
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    options = parser.parse_args(argv)
    from langchain_guard.injection import InjectionDetector  # noqa: PLC0415  # evaluate itself needs no guard

    try:
        rows = [row for path in options.data for row in read_rows(path)]
        guard = InjectionDetector(options.profile, threshold=options.threshold, model=options.model)
        result = evaluate(guard, rows, progress=None if options.quiet else _shown)
        if options.json is not None:
            options.json.write_text("".join(json.dumps(record) + "\n" for record in result.records()), encoding="utf-8")
    except (ConfigError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)  # noqa: T201
        return 2
    print(result.table())  # noqa: T201
    return 0


def _shown(rows: Sequence[Any]) -> Iterable[Any]:
    step = max(len(rows) // 20, 1)
    for number, row in enumerate(rows):
        if number % step == 0:
            print(f"\r{number}/{len(rows)}", end="", file=sys.stderr, flush=True)  # noqa: T201
        yield row
    print(f"\r{len(rows)}/{len(rows)}", file=sys.stderr)  # noqa: T201
