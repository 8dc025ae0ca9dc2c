"""The encoder at work: onnxruntime and tokenizers, one thread, nothing ever downloaded (extra ``encoder``)."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import importlib.util
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_guard.errors import ConfigError, GuardUnavailable
from langchain_guard.injection.encoder.scale import Scale
from langchain_guard.injection.encoder.text import normalise
from langchain_guard.injection.encoder.windows import PREFIX, span, windows
from langchain_guard.injection.views import read
from langchain_guard.verdict import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from langchain_guard.injection.canonical import View

MODEL_FOLDER: Final = Path(__file__).with_name("files")
_WIDTH: Final = 384
_BLOCKS: Final = _WIDTH // 32
_SELF_TEST_TOLERANCE: Final = 0.5
"""Logits may differ by this much between processors, whose int8 kernels round differently."""
_CACHED_MODELS: Final = 4
_SLOW: Final = ("SkipLayerNormFusion",)
"""Optimizers left out: the fused sum and norm takes five times as long as both apart (onnxruntime 1.32, x86-64: 310 us
against 60 for 160 tokens, a fifth of the whole)."""


class Best(NamedTuple):
    """A text's window with the highest logit: its number, of how many, and as what the text was read."""

    logit: float
    window: int
    windows: int
    document: bool


class Reading(NamedTuple):
    """The strongest of a text's views: its score, its best window, and the view (None: the text itself)."""

    score: float
    best: Best
    view: View | None


class Encoder:
    """The network with its vocabulary: texts to logits.  Thread-safe."""

    def __init__(self, folder: Path, threads: int) -> None:
        numpy, onnxruntime, tokenizers = (_need(name) for name in ("numpy", "onnxruntime", "tokenizers"))
        self.card: dict[str, Any] = json.loads((folder / "card.json").read_text("utf-8"))
        raw = {name: _checked(folder / name, digest) for name, digest in self.card["sha256"].items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            raw["model.onnx"], options, providers=["CPUExecutionProvider"], disabled_optimizers=list(_SLOW)
        )
        self._tokenizer = tokenizers.Tokenizer.from_str(gzip.decompress(raw["tokenizer.json.gz"]).decode())
        rows = self._tokenizer.get_vocab_size()
        table = numpy.frombuffer(raw["embeddings.bin"], numpy.uint8)
        split = rows * _BLOCKS * 16
        self._nibbles = table[:split].reshape(rows, _BLOCKS, 16)
        self._scales = table[split:].view(numpy.float16).reshape(rows, _BLOCKS)
        self._bos, self._eos = (self._tokenizer.token_to_id(piece) for piece in ("<s>", "</s>"))
        self._prefix = {document: self._tokenizer.encode(text).ids for document, text in PREFIX.items()}
        for text, document, expected in self.card["self_test"]:
            found = self.best([text], document=document)[0].logit
            if not abs(found - expected) <= _SELF_TEST_TOLERANCE:
                raise GuardUnavailable(f"the encoder fails its self-test: logit {found:.2f}, expected {expected:.2f}")

    def best(self, texts: Sequence[str], *, document: bool) -> list[Best]:
        """Each text's window with the highest logit, in order of *texts*."""
        found = []
        for text in texts:
            # One by one: a batch would start the tokenizer's own threads.
            cut = windows(self._tokenizer.encode(normalise(text)).ids, self._prefix[document], self._bos, self._eos)
            logits = [self._logit(window) for window in cut]
            at = max(range(len(cut)), key=logits.__getitem__)
            found.append(Best(logits[at], at, len(cut), document))
        return found

    def place(self, text: str, best: Best) -> tuple[int, int]:
        """Where *best* stands in *text*, code points; all of it if the normal form cannot be mapped back."""
        plain = normalise(text)
        if best.windows == 1 or len(plain) != len(text):
            return 0, len(text)
        offsets = self._tokenizer.encode(plain).offsets
        begin, end = span(best.window, len(offsets), len(self._prefix[best.document]))
        return offsets[begin][0], offsets[end - 1][1]

    def _logit(self, window: list[int]) -> float:
        """One window.

        Dynamic quantisation scales the activations of a whole call, so windows that share one would change each
        other's logits; and on one thread a call of many windows is no faster (measured: 127 us a token either way).
        """
        import numpy as np  # noqa: PLC0415 - loaded at the first score

        outputs = self._session.run(["logits"], {"embeddings": self._embed(np.array([window]))})
        return float(outputs[0][0])

    def _embed(self, ids: NDArray[Any]) -> NDArray[Any]:
        """Rows of the 4-bit table as float32, shape ``(*ids.shape, 384)``."""
        import numpy as np  # noqa: PLC0415

        nibbles = self._nibbles[ids]
        values = np.empty((*ids.shape, _BLOCKS, 32), np.float32)
        values[..., :16] = nibbles & 15
        values[..., 16:] = nibbles >> 4
        values -= 8.0
        values *= self._scales[ids].astype(np.float32)[..., None]
        return values.reshape(*ids.shape, _WIDTH)


class EncoderDetector:
    """A `Detector`: scores in [0, 1] from the encoder, calibrated by source.

    Construction reads the card alone; the network is loaded at the first score (under half a second, under 160 MB)
    and shared by every detector of the process with the same folder and number of threads.

    Args:
        threads: Threads of one call; 1 keeps a server's other requests undisturbed.
        folder: A folder written by ``train --encoder``; "" for the model in the package.

    Raises:
        ConfigError: *threads* is not positive, the folder holds no model, or the extra ``encoder`` is not installed.
    """

    name: Final = "encoder"

    def __init__(self, *, threads: int = 1, folder: str = "") -> None:
        if threads < 1:
            raise ConfigError(f"threads={threads!r}: must be at least 1")
        for package in ("onnxruntime", "tokenizers"):
            if importlib.util.find_spec(package) is None:
                raise ConfigError(_missing(package))
        self.threads, self.folder = threads, folder
        path = self._path / "card.json"
        try:
            self.card: dict[str, Any] = json.loads(path.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"folder={self._path.name!r}: no card.json; `train --encoder` writes one") from error
        self.scales = {name: Scale(tuple(one["knots"]), one["growth"]) for name, one in self.card["scales"].items()}
        self.paired = {name: Scale(tuple(knots)) for name, knots in self.card["paired"].items()}

    @property
    def _path(self) -> Path:
        return Path(self.folder) if self.folder else MODEL_FOLDER

    def __repr__(self) -> str:
        return f"EncoderDetector(threads={self.threads}, folder={self.folder!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _build, (self.threads, self.folder)

    def encoder(self) -> Encoder:
        """The loaded network."""
        return _encoder(self._path, self.threads)

    def read(self, texts: Sequence[str], source: str) -> list[Reading]:
        """What the network makes of each text and of its decoded views: the one with the highest score.

        Args:
            texts: Any texts, of any length.
            source: ``"user"``, or ``"document"`` for retrieved and tool text.
        """
        owners: list[int] = []
        views: list[View | None] = []
        raw: list[str] = []
        for owner, text in enumerate(texts):
            # The first view is canonical: it folds case and accents too. What it undoes, `normalise` undoes without.
            for view in (None, *read(text).views[1:]):
                owners.append(owner)
                views.append(view)
                raw.append(text if view is None else view.text)
        scale = self.scales[source]
        best: list[Reading | None] = [None] * len(texts)
        for owner, view, one in zip(
            owners, views, self.encoder().best(raw, document=source == "document"), strict=True
        ):
            score = scale.score(one.logit, one.windows)
            known = best[owner]
            if known is None or score > known.score:
                best[owner] = Reading(score, one, view)
        return [one for one in best if one is not None]

    def score(self, texts: Sequence[str], source: str) -> list[float]:
        """Risks in [0, 1]; 0.5 is the threshold of the profile "balanced"."""
        return [one.score for one in self.read(texts, source)]

    def find(self, text: str, source: str) -> list[Finding]:
        """The window that speaks most for an attack."""
        return [self.finding(text, self.read([text], source)[0])]

    def finding(self, text: str, reading: Reading) -> Finding:
        """*reading* as a finding in *text*."""
        if reading.view is not None:
            place = reading.view.origin(0, len(reading.view.text))
        else:
            place = self.encoder().place(text, reading.best)
        return Finding("encoder", "injection", *place, reading.score)


def _build(threads: int, folder: str) -> EncoderDetector:
    return EncoderDetector(threads=threads, folder=folder)


_loading = threading.Lock()
_loaded: OrderedDict[tuple[Path, int], Encoder] = OrderedDict()


def _encoder(folder: Path, threads: int) -> Encoder:
    with _loading:
        key = folder, threads
        if key not in _loaded:
            _loaded[key] = Encoder(folder, threads)
            while len(_loaded) > _CACHED_MODELS:
                _loaded.popitem(last=False)
        return _loaded[key]


def _missing(package: str) -> str:
    return f'encoder=True needs the package {package}: pip install "langchain-guard[encoder]"'


def _need(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(_missing(package)) from error


def _checked(path: Path, digest: str) -> bytes:
    raw = path.read_bytes()
    if hashlib.sha256(raw).hexdigest() != digest:
        raise GuardUnavailable(f"{path.name}: sha256 differs from the one in card.json")
    return raw
