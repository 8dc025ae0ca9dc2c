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
    ("document", "least_auc", "most_flagged", "least_found"), [(True, 0.90, 0.05, 0.40), (False, 0.82, 0.02, 0.08)]
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


def test_both_models_together_on_left_out_documents(left_out: list[Row]) -> None:
    rows = [row for row in left_out if row.is_document]
    guard = InjectionDetector(encoder=True, source="document")
    scores = [guard.score(row.text) for row in rows]
    attacks = [score for row, score in zip(rows, scores, strict=True) if row.label == 1]
    harmless = [score for row, score in zip(rows, scores, strict=True) if row.label == 0]
    assert auc(attacks, harmless) >= 0.92
    assert sum(score >= 0.5 for score in harmless) / len(harmless) <= 0.04
    assert sum(score >= 0.5 for score in attacks) / len(attacks) >= 0.45
