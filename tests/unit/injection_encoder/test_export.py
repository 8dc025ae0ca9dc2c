"""The exported graph computes what the trained network computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason='needs pip install "langchain-guard[train-encoder]"')
pytest.importorskip("onnx", reason='needs pip install "langchain-guard[train-encoder]"')
pytest.importorskip("onnxruntime", reason='needs pip install "langchain-guard[encoder]"')

import onnx
import onnxruntime
import torch

from langchain_guard.injection.encoder.export import build_graph
from langchain_guard.injection.encoder.network import forward

WIDTH, INNER, LAYERS, HEADS = 64, 128, 2, 4


@pytest.fixture
def weights() -> dict[str, Any]:
    random = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"positions": (160, WIDTH), "norm.weight": (WIDTH,), "norm.bias": (WIDTH,)}
    for n in range(LAYERS):
        for name in ("q", "k", "v", "ao"):
            shapes |= {f"{n}.{name}.w": (WIDTH, WIDTH), f"{n}.{name}.b": (WIDTH,)}
        shapes |= {
            f"{n}.fi.w": (INNER, WIDTH),
            f"{n}.fi.b": (INNER,),
            f"{n}.fo.w": (WIDTH, INNER),
            f"{n}.fo.b": (WIDTH,),
        }
        shapes |= {f"{n}.{name}.{kind}": (WIDTH,) for name in ("aln", "oln") for kind in "wb"}
    shapes |= {"head.w": (WIDTH,), "head.b": ()}
    return {name: np.asarray(random.normal(0, 0.2, shape), np.float32) for name, shape in shapes.items()}


@pytest.mark.parametrize("tokens", [3, 17, 160])
def test_graph_and_network_agree(weights: dict[str, Any], tokens: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(build_graph(weights, HEADS, 1e-12), path)
    session = onnxruntime.InferenceSession(path)
    x = np.random.default_rng(1).normal(0, 1, (2, tokens, WIDTH)).astype(np.float32)
    (found,) = session.run(None, {"embeddings": x})
    table = {name: torch.from_numpy(value) for name, value in weights.items()}
    expected = forward(table, torch.from_numpy(x), torch.ones(2, tokens), heads=HEADS, epsilon=1e-12)
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-5)


def test_padding_does_not_count(weights: dict[str, Any]) -> None:
    table = {name: torch.from_numpy(value) for name, value in weights.items()}
    x = torch.randn(1, 10, WIDTH, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 10)
    mask[0, :6] = 1
    whole = forward(table, x[:, :6], torch.ones(1, 6), heads=HEADS, epsilon=1e-12)
    padded = forward(table, x, mask, heads=HEADS, epsilon=1e-12)
    torch.testing.assert_close(whole, padded, atol=1e-5, rtol=1e-5)
    assert tuple(padded.shape) == (1,)
