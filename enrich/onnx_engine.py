"""The default engine: ONNX Runtime on the CPU over a model folder, in 8-bit or exact arithmetic.

The only importer of `onnxruntime`. No network, no code from the folder, nothing pickled.
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

from domain.errors import BackendDown, BadReason, BadRecord, ConfigError
from domain.records import SENTIMENTS
from enrich.engine import NO_TEXT_PROBS, POINTS, Passage, Prediction, as_five
from enrich.quality import tempered
from enrich.word_pieces import MAX_CHARACTERS, Question, Row, WordPieces, question_of

SHIPPED_MODEL = Path(__file__).parent / "models" / "brand-sentiment-2"
DESCRIPTION = "engine.json"
TOKENIZER = "tokenizer.json"
WEIGHTS = "weights.bin"
INT8_GRAPH, EXACT_GRAPH = "int8.onnx", "exact.onnx"
FILES = (TOKENIZER, WEIGHTS, INT8_GRAPH, EXACT_GRAPH)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxSettings:
    """How the engine runs. `folder` holds the model; see `docs/model-card.md`."""

    folder: Path = SHIPPED_MODEL
    # float32 arithmetic on the same 8-bit weights: two to three times slower, stable to the sixth decimal.
    exact: bool = False
    # Batches that run at the same time, one thread each; 0: one for each core this process may use.
    threads: int = 0
    # Word pieces in a batch, padding included. Small batches stay in the cache of a core (decision 0004).
    batch_tokens: int = 512
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
    brand_temperature: float


@dataclass(frozen=True, slots=True)
class _Scores:
    """What is remembered of one passage: three classes of the whole, five points towards each brand."""

    probs: tuple[float, ...]
    towards: tuple[tuple[float, ...], ...]
    truncated: bool


def _slots(places: Sequence[Sequence[int]]) -> dict[int, int]:
    """Number the tokens whose state is read: [CLS] is 0, then each marker once."""
    slots = {0: 0}
    for found in places:
        for at in found:
            slots.setdefault(at, len(slots))
    return slots


def model_inputs(rows: Sequence[Row]) -> dict[str, npt.NDArray[Any]]:
    """Give what a graph reads of one batch (see `enrich.graph.write_graph`); the last row is the longest."""
    slots = [_slots(row.places) for row in rows]
    ids = np.zeros((len(rows), len(rows[-1].ids)), dtype=np.int64)
    mask = np.zeros_like(ids)
    asked = np.zeros((len(rows), max(map(len, slots))), dtype=np.int64)
    shares = np.zeros((len(rows), max(1, *(len(row.places) for row in rows)), asked.shape[1]), dtype=np.float32)
    for place, (row, slot) in enumerate(zip(rows, slots, strict=True)):
        ids[place, : len(row.ids)] = row.ids
        mask[place, : len(row.ids)] = 1
        asked[place, : len(slot)] = list(slot)
        for brand, found in enumerate(row.places):
            for at in found:
                shares[place, brand, slot[at]] = 1 / len(found)
    return {"input_ids": ids, "attention_mask": mask, "asked": asked, "shares": shares}


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
            brand_temperature=float(content["brand_temperature"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigError(f"{folder / DESCRIPTION}: a value is missing or of the wrong type ({exc})") from exc
    if min(found.temperature, found.brand_temperature) <= 0 or found.max_tokens < 3:
        raise ConfigError(f"{folder / DESCRIPTION}: expected temperatures > 0 and max_tokens >= 3, found {found}")
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
        self._word_pieces = WordPieces(folder / TOKENIZER, self._description.max_tokens)
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

    def predict(self, passages: Sequence[Passage]) -> Prediction:
        cut = [len(passage.text) > MAX_CHARACTERS for passage in passages]
        try:
            questions = [question_of(passage) for passage in passages]
        except UnicodeEncodeError as exc:
            raise BadRecord(BadReason.ENGINE_FAILED, f"found a text that is not Unicode ({exc.reason})") from exc

        # Each distinct passage once; the first row that has it stands for all.
        rows: dict[bytes, _Scores] = {}
        wanted: dict[bytes, Question] = {}
        for question in questions:
            known = self._cache.get(question.key)
            if known is not None:
                self._cache.move_to_end(question.key)
                rows[question.key] = known
            elif question.key not in wanted:
                wanted[question.key] = question
        self._misses += len(wanted)
        self._hits += len(passages) - len(wanted)
        for key, scores in zip(wanted, self._run(list(wanted.values())), strict=True):
            rows[key] = scores
            self._remember(key, scores)
        found = [rows[question.key] for question in questions]
        towards = [row for scores in found for row in scores.towards]
        return Prediction(
            np.array([scores.probs for scores in found], dtype=np.float32).reshape(len(passages), len(SENTIMENTS)),
            np.array(towards, dtype=np.float32).reshape(len(towards), len(POINTS)),
            np.array([scores.truncated or was for scores, was in zip(found, cut, strict=True)], dtype=np.bool_),
        )

    def _remember(self, key: bytes, scores: _Scores) -> None:
        if self._settings.cache_size > 0:
            self._cache[key] = scores
            if len(self._cache) > self._settings.cache_size:
                self._cache.popitem(last=False)

    def _run(self, questions: Sequence[Question]) -> list[_Scores]:
        """Tokenise and score distinct passages."""
        rows = self._word_pieces.rows(questions)
        found: list[_Scores | None] = [None] * len(rows)
        batches = list(_batches([len(row.ids) for row in rows], self._settings.batch_tokens))

        def score(batch: list[int]) -> None:
            for place, scores in zip(batch, self._scores([rows[place] for place in batch]), strict=True):
                found[place] = scores

        if self._pool is None or len(batches) == 1:
            for batch in batches:
                score(batch)
        else:
            # The longest texts first, so that no thread is left alone with them at the end.
            for _ in self._pool.map(score, reversed(batches)):
                pass
        return [scores for scores in found if scores is not None]

    def _scores(self, rows: Sequence[Row]) -> list[_Scores]:
        """Score one batch; the last row is the longest. Thread-safe."""
        inputs = model_inputs(rows)
        try:
            logits, points = self._session.run(["logits", "towards"], inputs)
        except Exception as exc:  # see _session
            raise BackendDown(
                f"{self.name}: ONNX Runtime failed on a batch of {inputs['input_ids'].shape} ({exc})"
            ) from exc
        probs = tempered(logits, self._description.temperature)
        # Two pieces are [CLS] and [SEP]: nothing was written.
        probs[[len(row.ids) <= 2 for row in rows]] = NO_TEXT_PROBS
        towards = tempered(points, self._description.brand_temperature)
        unnamed = as_five(probs)
        return [
            _Scores(
                tuple(probs[place].tolist()),
                tuple(
                    tuple((towards[place, brand] if found else unnamed[place]).tolist())
                    for brand, found in enumerate(row.places)
                ),
                row.truncated,
            )
            for place, row in enumerate(rows)
        ]
