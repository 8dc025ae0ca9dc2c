"""The shipped model on the sources that it was not trained on (data named by LANGCHAIN_GUARD_DATA)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.importorskip("onnxruntime", reason='needs pip install "langchain-guard[encoder]"')
pytest.importorskip("tokenizers", reason='needs pip install "langchain-guard[encoder]"')

from langchain_guard import InjectionDetector
from langchain_guard.injection.encoder import EncoderDetector
from langchain_guard.injection.encoder.calibrate import sample
from langchain_guard.injection.encoder.corpus import Row, read_rows, shippable
from langchain_guard.injection.encoder.train import auc

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def left_out() -> list[Row]:
    root = os.environ.get("LANGCHAIN_GUARD_DATA")
    if not root:
        pytest.skip("LANGCHAIN_GUARD_DATA names no folder")
    folder = Path(root) / "injection"
    return sample(read_rows(folder / "train.jsonl.gz"), shippable(folder / "licences.json"), 60)


@pytest.mark.parametrize(
    ("document", "least_auc", "most_flagged", "least_found"), [(True, 0.90, 0.05, 0.40), (False, 0.82, 0.02, 0.05)]
)
def test_left_out_sources(
    left_out: list[Row], document: bool, least_auc: float, most_flagged: float, least_found: float
) -> None:
    rows = [row for row in left_out if row.is_document is document]
    scores = EncoderDetector().score([row.text for row in rows], "document" if document else "user")
    attacks = [score for row, score in zip(rows, scores, strict=True) if row.label == 1]
    harmless = [score for row, score in zip(rows, scores, strict=True) if row.label == 0]
    assert auc(attacks, harmless) >= least_auc
    assert sum(score >= 0.5 for score in harmless) / len(harmless) <= most_flagged
    assert sum(score >= 0.5 for score in attacks) / len(attacks) >= least_found


@pytest.mark.parametrize(
    ("source", "least_auc", "most_flagged", "least_found"), [("document", 0.92, 0.04, 0.45), ("user", 0.76, 0.02, 0.15)]
)
def test_both_models_together(
    left_out: list[Row], source: str, least_auc: float, most_flagged: float, least_found: float
) -> None:
    rows = [row for row in left_out if row.is_document is (source == "document")]
    guard = InjectionDetector(encoder=True, source=source)
    scores = [guard.score(row.text) for row in rows]
    attacks = [score for row, score in zip(rows, scores, strict=True) if row.label == 1]
    harmless = [score for row, score in zip(rows, scores, strict=True) if row.label == 0]
    figures = auc(attacks, harmless), *(sum(s >= 0.5 for s in part) / len(part) for part in (harmless, attacks))
    assert figures[0] >= least_auc
    assert figures[1] <= most_flagged
    assert figures[2] >= least_found
