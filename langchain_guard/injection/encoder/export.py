"""Write a fine-tuned encoder as the files that the package ships.

``model.onnx``: the layers, int8 by weight column (dynamic quantisation).  The graph is built node by node from the
table of weights, so that no tracer decides what it holds.  ``embeddings.bin``: word embeddings on the 4-bit grid on
which they were frozen, hence without loss.  ``tokenizer.json.gz``: the cut vocabulary.  ``card.json``: where it all
comes from, sha256 of the files, thresholds, figures, and texts with their logits as the self-test at load.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from langchain_guard.injection.encoder.pretrained import Pretrained

FILES: Final = ("model.onnx", "embeddings.bin", "tokenizer.json.gz")
_OPSET: Final = 20


class _Graph:
    """Collects nodes and weights; every method returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        from onnx import numpy_helper  # noqa: PLC0415 - an extra

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, name: str, *inputs: str, **settings: Any) -> str:
        from onnx import helper  # noqa: PLC0415

        self.nodes.append(helper.make_node(kind, list(inputs), [name], name, **settings))
        return name

    def linear(self, name: str, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32]) -> str:
        product = self.add("MatMul", f"{name}.product", x, self.constant(f"{name}.w", weight.T))
        return self.add("Add", name, product, self.constant(f"{name}.b", bias))

    def norm(self, name: str, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], epsilon: float) -> str:
        scale, shift = self.constant(f"{name}.w", weight), self.constant(f"{name}.b", bias)
        return self.add("LayerNormalization", name, x, scale, shift, axis=-1, epsilon=epsilon)


def build_graph(weights: Mapping[str, NDArray[np.float32]], heads: int, epsilon: float) -> Any:
    """The encoder as an ONNX model: ``embeddings`` (batch, tokens, width) -> ``logits`` (batch,).

    There is no mask: a call holds windows of one length (see ``runtime``).
    """
    from onnx import TensorProto, helper  # noqa: PLC0415 - an extra

    g = _Graph()
    width = weights["head.w"].shape[0]
    size = width // heads

    def integers(name: str, *values: int) -> str:
        return g.constant(name, np.array(values, np.int64))

    zero, one, two = (integers(f"at{i}", i) for i in range(3))
    tokens = g.add("Slice", "tokens", g.add("Shape", "shape", "embeddings"), one, two, zero)
    rows = g.add("Slice", "rows", g.constant("positions", weights["positions"]), zero, tokens, zero)
    x = g.add("Add", "placed", "embeddings", rows)
    x = g.norm("embedded", x, weights["norm.weight"], weights["norm.bias"], epsilon)
    by_head, joined = integers("by_head", 0, 0, 3 * heads, size), integers("joined", 0, 0, width)
    bounds = [integers(f"bound{i}", i * heads) for i in range(4)]
    scale = np.array([size**-0.5], np.float32)
    layers = sum(name.endswith(".q.w") for name in weights)
    for n in range(layers):
        # One product for query, key and value; the scale of the query is part of its weights.
        weight, bias = (
            np.concatenate([weights[f"{n}.q.{kind}"] * scale, weights[f"{n}.k.{kind}"], weights[f"{n}.v.{kind}"]])
            for kind in "wb"
        )
        together = g.add("Reshape", f"{n}.heads", g.linear(f"{n}.qkv", x, weight, bias), by_head)
        together = g.add("Transpose", f"{n}.turned", together, perm=[0, 2, 1, 3])
        query, key, value = (
            g.add("Slice", f"{n}.{part}", together, bounds[i], bounds[i + 1], one) for i, part in enumerate("qkv")
        )
        turned = g.add("Transpose", f"{n}.kt", key, perm=[0, 1, 3, 2])
        shares = g.add("Softmax", f"{n}.shares", g.add("MatMul", f"{n}.likeness", query, turned), axis=-1)
        seen = g.add("Transpose", f"{n}.seen", g.add("MatMul", f"{n}.mixed", shares, value), perm=[0, 2, 1, 3])
        seen = g.add("Reshape", f"{n}.seen.joined", seen, joined)
        attended = g.linear(f"{n}.ao", seen, weights[f"{n}.ao.w"], weights[f"{n}.ao.b"])
        x = g.add("Add", f"{n}.attended", x, attended)
        x = g.norm(f"{n}.aln", x, weights[f"{n}.aln.w"], weights[f"{n}.aln.b"], epsilon)
        inner = g.add("Gelu", f"{n}.gelu", g.linear(f"{n}.fi", x, weights[f"{n}.fi.w"], weights[f"{n}.fi.b"]))
        x = g.add("Add", f"{n}.deep", x, g.linear(f"{n}.fo", inner, weights[f"{n}.fo.w"], weights[f"{n}.fo.b"]))
        x = g.norm(f"{n}.oln", x, weights[f"{n}.oln.w"], weights[f"{n}.oln.b"], epsilon)
    pooled = g.add("ReduceMean", "pooled", x, one, keepdims=0)
    # A product and a sum, not a matrix product: the head stays in float32.
    spread = g.add("Mul", "spread", pooled, g.constant("head.w", weights["head.w"]))
    summed = g.add("ReduceSum", "summed", spread, one, keepdims=0)
    g.add("Add", "logits", summed, g.constant("head.b", weights["head.b"]))
    graph = helper.make_graph(
        g.nodes,
        "langchain_guard_injection_encoder",
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["batch", "tokens", width])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch"])],
        g.weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=9)


def write_files(base: Pretrained, weights: Mapping[str, NDArray[np.float32]], folder: Path) -> dict[str, str]:
    """Write the three files of a model into *folder*; return their sha256 by name.

    Weights get 7 bits: eight overflow the 16-bit sums of the AVX2 kernels, and scores would differ between machines
    (onnxruntime.ai, "Quantize ONNX models", on U8S8 saturation).
    """
    import onnx  # noqa: PLC0415 - an extra
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415

    from langchain_guard.injection.encoder.pretrained import build_tokenizer  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "float.onnx"
        onnx.save(build_graph(weights, base.heads, base.epsilon), whole)
        quantize_dynamic(
            whole, folder / "model.onnx", per_channel=True, reduce_range=True, weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul"],
        )  # fmt: skip
    table = base.words.nibbles.tobytes() + base.words.scales.astype("<f2").tobytes()
    (folder / "embeddings.bin").write_bytes(table)
    tokenizer = build_tokenizer(base.pieces, base.scores, base.unk)
    (folder / "tokenizer.json.gz").write_bytes(gzip.compress(tokenizer.to_str().encode(), 9, mtime=0))
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}


def write_card(folder: Path, card: Mapping[str, Any]) -> None:
    """Write ``card.json``."""
    (folder / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
