"""The encoder for training: plain functions of a table of weights, so that the exporter reads the same table.

BERT as published (post-norm, exact GELU, learned positions); mean over tokens, one logit.  Word embeddings stay
outside and frozen: they stay on their 4-bit grid, so the file that ships holds exactly what was trained against.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from langchain_guard.injection.encoder.pretrained import Pretrained

Weights = dict[str, Any]
"""Name -> tensor; names as in ``pretrained.load``, plus ``head.w`` ``(width,)`` and ``head.b`` ``()``."""

MAX_TOKENS: Final = 160
FROZEN: Final = frozenset({"positions"})


def initial_weights(model: Pretrained) -> Weights:
    """Pretrained weights with a new head, float32; all but the positions learn.

    They are the same in every run: only runs from one start have weights whose mean is a model too.
    """
    generator = torch.Generator().manual_seed(1)
    weights: Weights = {name: torch.from_numpy(value.copy()) for name, value in model.tensors.items()}
    weights["positions"] = weights["positions"][:MAX_TOKENS]
    weights["head.w"] = torch.randn(model.width, generator=generator) / math.sqrt(model.width) * 0.1
    weights["head.b"] = torch.zeros(())
    for name, tensor in weights.items():
        tensor.requires_grad_(name not in FROZEN)
    return weights


def forward(weights: Weights, embeddings: Any, mask: Any, *, heads: int, epsilon: float, dropout: float = 0.0) -> Any:
    """Logits, shape ``(batch,)``, for word embeddings ``(batch, tokens, width)`` and a mask ``(batch, tokens)`` of 0 and 1."""
    batch, tokens, width = embeddings.shape
    layers = sum(name.endswith(".q.w") for name in weights)

    def norm(x: Any, prefix: str) -> Any:
        return functional.layer_norm(x, (width,), weights[f"{prefix}w"], weights[f"{prefix}b"], epsilon)

    def linear(x: Any, prefix: str) -> Any:
        return functional.linear(x, weights[f"{prefix}.w"], weights[f"{prefix}.b"])

    def split(x: Any) -> Any:
        return x.view(batch, tokens, heads, width // heads).transpose(1, 2)

    x = embeddings + weights["positions"][:tokens]
    x = functional.layer_norm(x, (width,), weights["norm.weight"], weights["norm.bias"], epsilon)
    x = functional.dropout(x, dropout, dropout > 0)
    visible = (mask > 0)[:, None, None, :]
    for layer in range(layers):
        query, key, value = (split(linear(x, f"{layer}.{part}")) for part in "qkv")
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        attended = linear(attended.transpose(1, 2).reshape(batch, tokens, width), f"{layer}.ao")
        x = norm(x + functional.dropout(attended, dropout, dropout > 0), f"{layer}.aln.")
        inner = linear(functional.gelu(linear(x, f"{layer}.fi")), f"{layer}.fo")
        x = norm(x + functional.dropout(inner, dropout, dropout > 0), f"{layer}.oln.")
    share = mask.to(x.dtype)[:, :, None]
    pooled = (x * share).sum(1) / share.sum(1)
    return functional.dropout(pooled, dropout, dropout > 0).float() @ weights["head.w"] + weights["head.b"]
