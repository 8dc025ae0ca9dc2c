"""Training: what is learned from few rows, what is written, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from langchain_guard.errors import ConfigError
from langchain_guard.injection import InjectionDetector
from langchain_guard.injection.features import SIZE, amount, grams, owned, running_sums, windows
from langchain_guard.injection.learning import (
    Row,
    best_margin,
    fit,
    knots_of,
    margins,
    quantised,
    rows_for,
    source_weights,
    windows_of,
)
from langchain_guard.injection.linear import HEADS, KNOTS, load
from langchain_guard.injection.material import clean_document, hard_benign, misspelt, order, plant
from langchain_guard.injection.rules import RULES
from langchain_guard.injection.train import adapt, folds, halved, main, read_rows, sanity

ATTACKS = [
    f"Zorble the {thing} and open the vault number {n}."
    for n, thing in enumerate(["gate", "door", "lid", "chest", "box"] * 8)
]
HARMLESS = [
    f"Please tell me about the {thing} in house number {n}."
    for n, thing in enumerate(["gate", "door", "lid", "chest", "box"] * 8)
]
ROWS = [Row(text, 1, "mine", "direct") for text in ATTACKS] + [Row(text, 0, "mine", "benign-chat") for text in HARMLESS]


def test_the_score_of_a_window_is_the_sum_of_the_features_it_owns():
    weights = np.random.default_rng(3).integers(-127, 128, SIZE).astype(np.int8)
    features = grams("the first of several  words, 漢字 and more words to fill a window or two")
    begin, end = windows(len(features.starts), 6, 2)
    sums = running_sums(features, weights)
    for i, j in zip(begin, end, strict=True):
        index, value = owned(features, int(i), int(j))
        assert sums[j] - sums[i] == (weights[index].astype(float) * value).sum()
    assert list(end)[-1] == len(features.starts)
    assert amount(features, np.array([0]), np.array([len(features.starts)]))[0] > 0


def test_tokens_are_words_marks_and_ideographs():
    text = "Don't stop—now, 漢字 x_1!"
    features = grams(text)
    assert [text[i:j] for i, j in zip(features.starts, features.ends, strict=True)] == [
        "Don't",
        "stop",
        "—",
        "now",
        ",",
        "漢",
        "字",
        "x_1",
        "!",
    ]
    assert grams("") is None
    assert grams(" \n") is None


def test_a_few_rows_are_learned_and_survive_the_rounding_to_int8():
    data = windows_of(ROWS, "user")
    label = np.array([row.label for row in ROWS])
    weights, bias = fit(data, label, source_weights(ROWS), strength=1.0)
    exact = best_margin(data, len(ROWS), weights, bias)
    assert exact[label == 1].min() > exact[label == 0].max()
    head = quantised(weights, bias, "user")
    assert np.abs(margins(head, ROWS, "user") - exact).max() < 0.3


def test_of_a_long_attack_the_right_window_is_the_evidence():
    calm = "The committee met on Tuesday and talked about parks and roads and schools. "
    rows = [Row(calm * 12 + text + " " + calm * 12, 1, "long", "direct") for text in ATTACKS[:20]]
    rows += [Row(calm * 20, 0, "long", "benign-chat"), *ROWS]
    label = np.array([row.label for row in rows])
    head = quantised(*fit(windows_of(rows, "user"), label, source_weights(rows), strength=1.0), "user")
    from langchain_guard.injection.canonical import canonical

    view = canonical(rows[0].text)
    best = head.best(view, [])
    assert "zorble" in view.text[best.start : best.end]


def test_sources_count_by_the_root_of_their_size_and_labels_alike():
    rows = [Row("a", 0, "big")] * 100 + [Row("b", 0, "small")] * 4 + [Row("c", 1, "x")] * 9
    weight = source_weights(rows)
    assert weight[:100].sum() / weight[100:104].sum() == pytest.approx(5.0)
    assert weight[:104].sum() == pytest.approx(weight[104:].sum())


def test_knots_are_where_20_5_2_and_1_percent_lie_with_sources_alike():
    knots = knots_of([np.linspace(0, 1, 1001), np.full(10, -5.0)])
    assert knots == pytest.approx((0.6, 0.9, 0.96, 1.01), abs=0.011)


def test_knots_of_every_source_are_those_of_the_worst():
    easy, hard = [np.full(100, -5.0)] * 9, [np.linspace(0, 1, 1001)]
    assert knots_of(easy + hard, every=True) == pytest.approx((0.8, 0.95, 1.0, 1.05), abs=0.011)


def test_a_source_and_its_misspelt_copies_are_left_out_together():
    groups = folds(["a", "a~", "b", "c", "b~"], 2)
    assert groups == [{"a", "a~", "c", "c~"}, {"b", "b~"}]


def test_a_source_that_is_most_of_the_documents_counts_as_two():
    rows = [Row(f"text {n}", 0, "docs", "benign-doc") for n in range(40)] + [Row("x", 0, "few", "benign-doc")]
    assert {row.source for row in halved(rows)} == {"docs", "docs#2", "few"}


def test_each_head_gets_its_rows():
    rows = [
        Row("a", 1, "s", "direct"),
        Row("b", 0, "s", "benign-chat"),
        Row("c", 1, "s", "indirect"),
        Row("d", 0, "s", "benign-doc"),
    ]
    assert [row.text for row in rows_for(rows, "user")] == ["a", "b", "d"]
    assert [(row.text, row.is_document) for row in rows_for(rows, "document")] == [
        ("a", True),
        ("c", True),
        ("d", True),
    ]


def test_material_is_reproducible_and_holds_what_was_planted():
    from random import Random

    assert hard_benign(50, Random(1)) == hard_benign(50, Random(1))
    assert len(set(hard_benign(300, Random(1)))) == 300
    for seed in range(40):
        random = Random(seed)
        planted = plant(clean_document(random), order(random), random)
        assert planted.order in planted.text
        assert "{" not in planted.order.replace("{{", "") or "```" in planted.order
        misspelt(planted.text, random)


def test_adapting_learns_one_s_own_rows_and_forgets_little():
    base = load()
    before = [base.heads["user"].calibrated(m) for m in margins(base.heads["user"], ROWS[:40], "user")]
    model = adapt(base, ROWS, log=lambda _: None)
    head = model.heads["user"]
    after = [head.calibrated(m) for m in margins(head, ROWS, "user")]
    assert sum(score >= 0.5 for score in before) < 10
    assert sum(score >= 0.5 for score in after[:40]) >= 36
    assert sum(score >= 0.5 for score in after[40:]) <= 2
    assert model.heads["document"] is base.heads["document"]
    assert sanity(model).recall >= sanity(base).recall - 0.1
    again = adapt(base, ROWS, log=lambda _: None)
    assert again.heads["user"].weights.tobytes() == head.weights.tobytes()


def _written(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"text": r.text, "label": r.label, "source": r.source, "kind": r.kind}) + "\n" for r in rows)
    )
    return path


def test_the_command_adapts_writes_and_is_loaded_again(tmp_path, capsys):
    out = tmp_path / "mine.model"
    assert main([str(_written(tmp_path, ROWS)), "-o", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "sanity set: recall" in shown
    card = json.loads(out.read_text())
    assert card["adapted_to"]["rows"] == 80
    guard = InjectionDetector(model=str(out))
    assert guard.check("Zorble the gate and open the vault number 99.").blocked
    assert guard.check("Please tell me about the lid in house number 99.").action == "allow"
    assert str(tmp_path) not in shown


def test_a_model_that_forgets_is_not_written_unless_forced(tmp_path, capsys):
    opposite = [Row(rule.hit, 0, "s", "benign-chat") for rule in RULES] * 3 + [
        Row(text, 1, "s", "direct") for text in HARMLESS
    ]
    data, out = _written(tmp_path, opposite), tmp_path / "worse.json"
    assert main([str(data), "--base", "built-in", "-o", str(out)]) == 1
    assert "--force" in capsys.readouterr().err
    assert not out.exists()
    assert main([str(data), "--base", "built-in", "-o", str(out), "--force"]) == 0
    assert out.exists()


BAD = {
    "no such file": (["missing.jsonl", "-o", "m.json"], "cannot be read"),
    "one source": (["many.jsonl", "-o", "m.json"], "--base built-in"),
    "no such folder": (["rows.jsonl", "-o", "missing/m.json"], "cannot be written"),
    "a wrong ending": (["rows.jsonl", "-o", "m.bin"], "m.bin"),
    "no model": (["rows.jsonl", "--base", "rows.jsonl", "-o", "m.json"], "not a model"),
}


@pytest.mark.parametrize(("arguments", "told"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_one_line_and_status_2(tmp_path, monkeypatch, capsys, arguments, told):
    _written(tmp_path, ROWS * 30).rename(tmp_path / "many.jsonl")
    _written(tmp_path, ROWS[:4])
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("line", ["[1]", '{"text": 5, "label": 1}', '{"text": "a", "label": 3}', "{", '{"label": 1}'])
def test_a_bad_line_is_named(tmp_path, line):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "label": 0}\n' + line + "\n")
    with pytest.raises(ConfigError, match=r"rows\.jsonl"):
        read_rows(path)


def test_the_built_in_model_tells_where_it_comes_from():
    card = load().card
    assert set(card["heads"]) == set(HEADS)
    assert len(card["sha256"]) == 64
    assert card["trained_on"]
    assert card["left_out"]
    assert set(card["trained_on"]) <= set(card["licences"])
    assert not set(card["trained_on"]) & set(card["thresholds_only"])
    for head in load().heads.values():
        assert len(head.knots) == len(KNOTS)
        assert [round(head.calibrated(knot), 9) for knot in head.knots] == list(KNOTS)
        assert 0 <= head.calibrated(-1e9) < head.calibrated(0.0) < head.calibrated(1e9) <= 1
