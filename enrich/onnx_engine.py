"""The default engine: ONNX Runtime on the CPU over a model folder, in 8-bit or exact arithmetic.

The only importer of `onnxruntime` and `tokenizers`. No network, no code from the folder, nothing pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from tokenizers import Tokenizer

from domain.errors import BackendDown, BadReason, BadRecord, ConfigError
from domain.records import SENTIMENTS
from enrich.engine import NO_TEXT_PROBS, BoolArray, FloatArray, Prediction
from enrich.model_text import model_text

SHIPPED_MODEL = Path(__file__).parent / "models" / "post-sentiment-1"
DESCRIPTION = "engine.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "weights.bin"
INT8_GRAPH, EXACT_GRAPH = "int8.onnx", "exact.onnx"
FILES = (TOKENIZER, WEIGHTS, INT8_GRAPH, EXACT_GRAPH)

# Above this the tokeniser would only make pieces that are cut off again: 128 pieces are some 600 characters, and
# the longest runs of links and handles that still matter shrink by less than ten times.
MAX_CHARACTERS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSettings:
    """How the engine runs. `folder` holds the model; see `docs/model-card.md`."""

    folder: Path = SHIPPED_MODEL
    # float32 arithmetic on the same 8-bit weights: two to three times slower, stable to the sixth decimal.
    exact: bool = False
    # Batches that run at the same time, one thread each; 0: one for each core this process may use.
    threads: int = 0
    # Word pieces in a batch, padding included. Small batches stay in the cache of a core (decision 0004).
    batch_tokens: int = 256
    # Texts whose scores are remembered (reposts, templates); about 200 bytes each. 0: none.
    cache_size: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheCounts:
    """How often a text's scores were remembered since the engine was built."""

    hits: int
    misses: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Description:
    """The checked content of `engine.json`."""

    name: str
    epoch: int
    max_tokens: int
    temperature: float


@dataclass(frozen=True, slots=True)
class _Scores:
    """One remembered row."""

    probs: tuple[float, float, float]
    truncated: bool


def read_description(folder: Path) -> dict[str, Any]:
    """Read `engine.json` and check every file of the folder against its SHA-256.

    Raises:
        ConfigError: the folder or a file is missing, is not what the description says, or cannot be read.
    """
    path = folder / DESCRIPTION
    hint = "Install Soundings again, or point the engine at a folder written by `python -m enrich.export`."
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        expected = description["sha256"]
        problems = [f"{path}: expected the SHA-256 of {name}, found none" for name in FILES if name not in expected]
        for name in FILES:
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if name in expected and found != expected[name]:
                problems.append(f"{folder / name}: found SHA-256 {found}, expected {expected[name]}")
        if description["labels"] != list(SENTIMENTS):
            problems.append(f"{path}: found labels {description['labels']}, expected {list(SENTIMENTS)}")
    except OSError as exc:
        raise ConfigError(f"{exc.filename or folder}: cannot be read ({exc.strerror}). {hint}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ConfigError(f"{path}: not a model description ({exc}). {hint}") from exc
    if problems:
        raise ConfigError([*problems, hint])
    return dict(description)


def _description(folder: Path) -> _Description:
    content = read_description(folder)
    try:
        found = _Description(
            name=str(content["name"]),
            epoch=int(content["epoch"]),
            max_tokens=int(content["max_tokens"]),
            temperature=float(content["temperature"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"{folder / DESCRIPTION}: a value is missing or of the wrong type ({exc})") from exc
    if found.temperature <= 0 or found.max_tokens < 3:
        raise ConfigError(f"{folder / DESCRIPTION}: expected temperature > 0 and max_tokens >= 3, found {found}")
    return found


def _cores() -> int:
    """Give how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _session(graph: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Whole batches run side by side instead: two threads inside one operator spend much of their time waking each
    # other, as an operator takes some 100 microseconds (decision 0004). A single thread cannot spin either.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # "Basic" folds constants; the fusions beyond it (bias + GELU, skip + norm) are slower here (decision 0004).
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # the runtime's own exceptions share no parent below Exception
        raise BackendDown(f"{graph}: ONNX Runtime {onnxruntime.__version__} cannot load it ({exc})") from exc


def _batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Cut rows, shortest first, into batches of at most `batch_tokens` pieces with padding; one row at least."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[row] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


class OnnxEngine:
    """Sentiment of a post by ONNX Runtime. Not thread-safe.

    Raises (when built):
        ConfigError: the model folder is missing, incomplete or not what its description says.
        BackendDown: ONNX Runtime cannot load the graph.
    """

    def __init__(self, settings: OnnxSettings | None = None) -> None:
        self._settings = settings or OnnxSettings()
        folder = self._settings.folder
        self._description = _description(folder)
        self._session = _session(folder / (EXACT_GRAPH if self._settings.exact else INT8_GRAPH))
        threads = self._settings.threads or _cores()
        self._pool = ThreadPoolExecutor(threads, "sentiment") if threads > 1 else None
        try:
            self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        except Exception as exc:  # the library raises Exception itself
            raise ConfigError(f"{folder / TOKENIZER}: not a tokenizer of this version ({exc})") from exc
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._cache: OrderedDict[bytes, _Scores] = OrderedDict()
        self._hits = self._misses = 0

    @property
    def name(self) -> str:
        return f"{self._description.name}/{'fp32' if self._settings.exact else 'int8'}"

    @property
    def epoch(self) -> int:
        return self._description.epoch

    @property
    def decimals(self) -> int:
        return 6 if self._settings.exact else 4

    @property
    def cache_counts(self) -> CacheCounts:
        """How well the memory of repeated texts works."""
        return CacheCounts(hits=self._hits, misses=self._misses, size=len(self._cache))

    def predict(self, texts: Sequence[str]) -> Prediction:
        read = [model_text(text[:MAX_CHARACTERS]) for text in texts]
        cut = [len(text) > MAX_CHARACTERS for text in texts]
        try:
            keys = [hashlib.blake2b(text.encode(), digest_size=16).digest() for text in read]
        except UnicodeEncodeError as exc:
            raise BadRecord(BadReason.ENGINE_FAILED, f"found a text that is not Unicode ({exc.reason})") from exc

        # Each distinct text once; the first row that has it stands for all.
        rows: dict[bytes, _Scores] = {}
        wanted: dict[bytes, str] = {}
        for key, text in zip(keys, read, strict=True):
            known = self._cache.get(key)
            if known is not None:
                self._cache.move_to_end(key)
                rows[key] = known
            elif key not in wanted:
                wanted[key] = text
        self._misses += len(wanted)
        self._hits += len(texts) - len(wanted)
        if wanted:
            probs, truncated = self._run(list(wanted.values()))
            for key, row, is_cut in zip(wanted, probs.tolist(), truncated.tolist(), strict=True):
                rows[key] = _Scores(tuple(row), is_cut)
                self._remember(key, rows[key])
        return Prediction(
            np.array([rows[key].probs for key in keys], dtype=np.float32).reshape(len(texts), len(SENTIMENTS)),
            np.array([rows[key].truncated or was for key, was in zip(keys, cut, strict=True)], dtype=np.bool_),
        )

    def _remember(self, key: bytes, scores: _Scores) -> None:
        if self._settings.cache_size > 0:
            self._cache[key] = scores
            if len(self._cache) > self._settings.cache_size:
                self._cache.popitem(last=False)

    def _run(self, texts: Sequence[str]) -> tuple[FloatArray, BoolArray]:
        """Tokenise and score distinct texts. Shapes: (N, 3) and (N,)."""
        limit = self._description.max_tokens
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(list(texts))]
        truncated = np.array([len(ids) > limit for ids in encoded], dtype=np.bool_)
        # The last piece of a whole text is [SEP]; a cut one keeps it.
        encoded = [ids if len(ids) <= limit else [*ids[: limit - 1], ids[-1]] for ids in encoded]
        lengths = [len(ids) for ids in encoded]
        logits = np.empty((len(encoded), len(SENTIMENTS)), dtype=np.float64)
        batches = list(_batches(lengths, self._settings.batch_tokens))

        def score(batch: list[int]) -> None:
            logits[batch] = self._logits([encoded[row] for row in batch])

        if self._pool is None or len(batches) == 1:
            for batch in batches:
                score(batch)
        else:
            # The longest texts first, so that no thread is left alone with them at the end.
            for _ in self._pool.map(score, reversed(batches)):
                pass
        logits /= self._description.temperature
        logits -= logits.max(axis=1, keepdims=True)
        probs = np.exp(logits)
        probs /= probs.sum(axis=1, keepdims=True)
        # Two pieces are [CLS] and [SEP]: nothing was written.
        probs[np.array(lengths) <= 2] = NO_TEXT_PROBS
        return probs.astype(np.float32), truncated

    def _logits(self, rows: Sequence[list[int]]) -> npt.NDArray[np.float32]:
        """Run one batch; the last row is the longest. Thread-safe. Shape: (rows, 3)."""
        ids = np.zeros((len(rows), len(rows[-1])), dtype=np.int64)
        mask = np.zeros_like(ids)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = row
            mask[place, : len(row)] = 1
        try:
            outputs = self._session.run(["logits"], {"input_ids": ids, "attention_mask": mask})
        except Exception as exc:  # see _session
            raise BackendDown(f"{self.name}: ONNX Runtime failed on a batch of {ids.shape} ({exc})") from exc
        logits: npt.NDArray[np.float32] = outputs[0]
        return logits
