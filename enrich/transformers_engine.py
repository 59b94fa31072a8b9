"""The engine for any text classifier of Hugging Face, on a GPU where there is one (extra `torch`).

Weights come from safetensors only, no code of the model's runs, and nothing is fetched unless the settings allow it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from domain.errors import BackendDown, BadReason, BadRecord, ConfigError
from domain.ids import MAX_MODEL_EPOCH
from domain.records import SENTIMENTS
from enrich.engine import NO_TEXT_PROBS, Passage, Prediction, SentimentEngine, as_five
from enrich.model_folder import TransformersSettings, class_places, has_brand_head, locate, missing_extra, read_config
from enrich.quality import tempered
from enrich.torch_model import load, predict
from enrich.word_pieces import MAX_CHARACTERS, WordPieces, question_of

# Longer inputs cost with the square of their length and posts hardly reach them.
MAX_TOKENS = 512
# Pieces in a batch, padding included: what keeps a core busy, and what keeps a GPU busy.
_CPU_PIECES, _GPU_PIECES = 2_048, 65_536
# Stands where a brand is named, so that what is felt does not hang on how it is called. Models of social posts know it
# as a name of somebody.
_STAND_IN = "@user"


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def build_transformers_engine(settings: TransformersSettings) -> SentimentEngine:
    """Load a model: one that `enrich.training` wrote reads the brands, any other gives the text's label for each.

    Raises:
        ConfigError: the model is not here, not safe, not a classifier, or its labels are not known.
        BackendDown: it is all that and still cannot be loaded.
    """
    if extra := missing_extra():
        raise ConfigError(f"engine.kind: transformers needs an extra: {extra}")
    folder = locate(settings)
    config = read_config(folder)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    try:
        if has_brand_head(folder):
            return OwnModelEngine(folder, settings)
        return TextModelEngine(folder, config, settings)
    except ConfigError:
        raise
    except Exception as exc:  # the library raises whatever its parts raise
        raise BackendDown(f"{settings.model}: transformers cannot load it ({exc})") from exc


def _encodable(passages: Sequence[Passage]) -> None:
    try:
        for passage in passages:
            passage.text.encode()
    except UnicodeEncodeError as exc:
        raise BadRecord(BadReason.ENGINE_FAILED, f"found a text that is not Unicode ({exc.reason})") from exc


def _masked(passage: Passage) -> str:
    """Give a text with a stand-in wherever a brand is named, and not much more than can be read."""
    parts, done = [], 0
    for start, end in sorted(place for places in passage.brands for place in places):
        if start >= done:
            parts += [passage.text[done:start], _STAND_IN]
        done = max(done, end)
        if done > MAX_CHARACTERS:
            break
    return "".join([*parts, passage.text[done:]])[:MAX_CHARACTERS]


@dataclass(frozen=True, slots=True)
class _Encoded:
    """One text in the model's pieces; `wordless`: nothing but what the tokeniser puts around every text."""

    inputs: dict[str, list[int]]
    wordless: bool
    truncated: bool


class TextModelEngine:
    """A classifier of texts; each brand gets the text's own label. Build it with `build_transformers_engine`.

    A text is read as it stands, only with `@user` in the place of each brand asked about.
    """

    decimals = 6

    def __init__(self, folder: Path, config: dict[str, Any], settings: TransformersSettings) -> None:
        self._places = class_places(config, settings.labels, settings.model)
        # A post that says "[SEP]" says five characters.
        self._tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, split_special_tokens=True
        )
        if not self._tokenizer.is_fast:
            raise ConfigError(f"{settings.model}: has no tokenizer.json, and its tokeniser cannot be made into one")
        self._model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
        )
        if report["missing_keys"]:
            names = ", ".join(sorted(report["missing_keys"])[:3])
            raise ConfigError(f"{settings.model}: its weights are not whole: {names} would stay at random")
        self._device = _device()
        self._model.float().eval().to(self._device)
        self._limit = self._longest()
        self._temperature = settings.temperature
        self.name = f"{Path(settings.model).name}/torch"
        self.epoch = settings.epoch

    def _longest(self) -> int:
        """Give how many pieces the model reads. RoBERTa and its kin keep their first positions for padding."""
        config = self._model.config
        positions = getattr(config, "max_position_embeddings", MAX_TOKENS)
        if "roberta" in config.model_type or config.model_type in ("camembert", "xlm-roberta-xl", "mpnet"):
            positions -= (config.pad_token_id or 0) + 1
        return int(min(self._tokenizer.model_max_length, positions, MAX_TOKENS))

    def predict(self, passages: Sequence[Passage]) -> Prediction:
        _encodable(passages)
        texts = [_masked(passage) for passage in passages]
        encoded = self._encode(texts)
        probs = np.empty((len(texts), len(SENTIMENTS)))
        for batch in self._batches(encoded):
            probs[batch] = self._probs([encoded[place].inputs for place in batch])
        probs[[one.wordless for one in encoded]] = NO_TEXT_PROBS
        asked = np.repeat(np.arange(len(texts)), [len(passage.brands) for passage in passages])
        cut = [len(passage.text) > MAX_CHARACTERS for passage in passages]
        return Prediction(
            probs.astype(np.float32),
            as_five(probs[asked]).astype(np.float32),
            np.array([one.truncated or was for one, was in zip(encoded, cut, strict=True)], dtype=np.bool_),
        )

    def _encode(self, texts: Sequence[str]) -> list[_Encoded]:
        if not texts:
            return []
        found = self._tokenizer(list(texts), truncation=True, max_length=self._limit)
        around = self._tokenizer.num_special_tokens_to_add()
        return [
            _Encoded(
                {name: values[row] for name, values in found.items()}, len(one.ids) <= around, bool(one.overflowing)
            )
            for row, one in enumerate(found.encodings)
        ]

    def _batches(self, encoded: Sequence[_Encoded]) -> Iterator[list[int]]:
        """Cut rows, shortest first, into batches of a bounded number of pieces."""
        most = _GPU_PIECES if self._device.type == "cuda" else _CPU_PIECES
        lengths = [len(one.inputs["input_ids"]) for one in encoded]
        batch: list[int] = []
        for row in sorted(range(len(encoded)), key=lengths.__getitem__):
            if batch and lengths[row] * (len(batch) + 1) > most:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch

    def _probs(self, rows: Sequence[dict[str, list[int]]]) -> npt.NDArray[np.float64]:
        """Give one batch's probabilities, shape (batch, 3): classes that mean the same are summed."""
        inputs = self._tokenizer.pad(
            {name: [row[name] for row in rows] for name in rows[0]}, padding=True, return_tensors="pt"
        )
        try:
            with torch.inference_mode():
                logits = self._model(**inputs.to(self._device)).logits.float().cpu().numpy()
        except RuntimeError as exc:
            raise BackendDown(f"{self.name}: torch failed on a batch of {len(rows)} ({exc})") from exc
        probs = np.zeros((len(rows), len(SENTIMENTS)))
        for place, column in zip(self._places, tempered(logits, self._temperature).T, strict=True):
            probs[:, place] += column
        return probs


class OwnModelEngine:
    """A checkpoint of `enrich.training`: five points towards each brand, as the ONNX engines give them.

    Temperatures, name and epoch come from an `engine.json` in the folder; without one they are 1, the folder's name
    and 0. What the settings say of temperature and epoch is for other models and changes nothing, but an epoch above 0.
    """

    decimals = 6

    def __init__(self, folder: Path, settings: TransformersSettings) -> None:
        told = _described(folder)
        self._temperature, self._brand_temperature = told["temperature"], told["brand_temperature"]
        self._model = load(folder).to(_device())
        longest = self._model.bert.config.max_position_embeddings
        self._word_pieces = WordPieces(folder / "tokenizer.json", min(told["max_tokens"], longest))
        self.name = f"{told['name']}/torch"
        self.epoch = settings.epoch or told["epoch"]

    def predict(self, passages: Sequence[Passage]) -> Prediction:
        _encodable(passages)
        rows = self._word_pieces.rows([question_of(passage) for passage in passages])
        try:
            logits, points = predict(self._model, rows)
        except RuntimeError as exc:
            raise BackendDown(f"{self.name}: torch failed on {len(rows)} texts ({exc})") from exc
        probs = tempered(logits.numpy(), self._temperature)
        probs[[len(row.ids) <= 2 for row in rows]] = NO_TEXT_PROBS
        towards = tempered(points.numpy(), self._brand_temperature)
        asked = np.repeat(np.arange(len(rows)), [len(row.places) for row in rows])
        unnamed = np.array([not places for row in rows for places in row.places], dtype=np.bool_)
        towards[unnamed] = as_five(probs[asked])[unnamed]
        cut = [len(passage.text) > MAX_CHARACTERS for passage in passages]
        return Prediction(
            probs.astype(np.float32),
            towards.astype(np.float32),
            np.array([row.truncated or was for row, was in zip(rows, cut, strict=True)], dtype=np.bool_),
        )


def _described(folder: Path) -> dict[str, Any]:
    """Read what a neighbouring `engine.json` says, over what holds without one."""
    plain: dict[str, Any] = {
        "name": folder.name,
        "epoch": 0,
        "max_tokens": 128,
        "temperature": 1.0,
        "brand_temperature": 1.0,
    }
    path = folder / "engine.json"
    if not path.exists():
        return plain
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        told = {name: type(value)(content.get(name, value)) for name, value in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError) as exc:
        raise ConfigError(f"{path}: not a model description ({exc})") from exc
    if min(told["temperature"], told["brand_temperature"]) <= 0 or told["max_tokens"] < 3:
        raise ConfigError(f"{path}: expected temperatures > 0 and max_tokens >= 3, found {told}")
    if not 0 <= told["epoch"] <= MAX_MODEL_EPOCH:
        raise ConfigError(f"{path}: found the epoch {told['epoch']}, expected 0 to {MAX_MODEL_EPOCH}")
    return told
