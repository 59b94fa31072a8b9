"""From a trained checkpoint to the folder that the engine loads, and back (extra `torch`).

Write a folder, with temperatures and figures from development files:

    python -m enrich.export --checkpoint CHECKPOINT --dev DEV.tsv.gz --brand-dev BRAND_DEV.tsv.gz --out FOLDER

Check a folder against PyTorch on its own weights, or write these weights as a Hugging Face checkpoint:

    python -m enrich.export --check FOLDER
    python -m enrich.export --restore FOLDER --out CHECKPOINT
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from domain.records import SENTIMENTS
from enrich.early import Answered, early_exit
from enrich.engine import POINTS, Passage, SentimentEngine
from enrich.graph import Arithmetic, write_graph
from enrich.labelled import LabelledBrand, LabelledText, read_labelled, read_labelled_brands
from enrich.onnx_engine import (
    DESCRIPTION,
    EXACT_GRAPH,
    FILES,
    INT8_GRAPH,
    SHIPPED_MODEL,
    TOKENIZER,
    WEIGHTS,
    OnnxEngine,
    OnnxSettings,
    read_description,
)
from enrich.quality import (
    BrandQuality,
    Quality,
    brand_quality,
    expected_calibration_error,
    fit_temperature,
    quality,
    tempered,
)
from enrich.torch_model import EARLY, load, predict
from enrich.weights import Encoder, packed_weights, read_packed, unpacked_weights, write_weights
from enrich.word_pieces import WordPieces, question_of

# Exact arithmetic differs from PyTorch's only in the order of additions.
PARITY = 1e-4
# Different lengths, handles, emoji, no brand, several, one named twice, one beyond the cut: written for this project.
CHECK_PASSAGES = (
    Passage("ok"),
    Passage("The crew was lovely and we landed early, thank you @harbourair!", (((51, 62),),)),
    Passage("Third delay this week and nobody answers the phone. Never again \U0001f621\U0001f621"),
    Passage("Left Acme for Globex, and Acme did not even ask why", (((5, 9), (26, 30)), ((14, 20),))),
    Passage("Does the lounge of Acme open at six?", (((19, 23),), ())),
    Passage(
        "I waited two hours at the desk, then the app told me my seat was gone; the agent shrugged, and that was that. "
        * 8
        + "Acme.",
        (((880, 884),),),
    ),
    Passage("@a @b @c https://example.org/x"),
)


def _temperature_error(logits: npt.NDArray[np.float64], gold: npt.NDArray[np.int64]) -> float:
    """Give the calibration error after scaling, each half measured with the temperature of the other."""
    even = np.arange(len(gold)) % 2 == 0
    errors = [
        expected_calibration_error(tempered(logits[~half], fit_temperature(logits[half], gold[half])), gold[~half])
        for half in (even, ~even)
    ]
    return float(np.mean(errors))


def _of_texts(engine: SentimentEngine, rows: Sequence[LabelledText]) -> Quality:
    probs = engine.predict([Passage(row.text) for row in rows]).probs
    return quality(np.array([row.label for row in rows]), probs.argmax(axis=1), probs)


def _of_brands(engine: SentimentEngine, rows: Sequence[LabelledBrand], weights: Sequence[float]) -> BrandQuality:
    return brand_quality(rows, engine.predict([row.passage() for row in rows]).towards, np.array(weights))


def _rounded(figures: Quality | BrandQuality) -> dict[str, Any]:
    def rounded(value: Any) -> Any:
        if isinstance(value, tuple):
            return [rounded(one) for one in value]
        return round(value, 4) if isinstance(value, float) else value

    return {key: rounded(value) for key, value in asdict(figures).items()}


def _describe(folder: Path, description: dict[str, Any]) -> None:
    description["sha256"] = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in FILES}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


def export(
    checkpoint: Path,
    dev: Path,
    brand_dev: Path,
    out: Path,
    *,
    name: str,
    epoch: int,
    max_tokens: int = 128,
    early: int | None = None,
) -> None:
    """Write the engine folder of a trained checkpoint.

    Args:
        checkpoint: Hugging Face folder of a BERT-like classifier in safetensors, as `enrich.training` writes it.
        dev: labelled texts (see `read_labelled`) that fit the temperature and give the figures.
        brand_dev: labelled feelings towards brands (see `read_labelled_brands`) that do so for the second head.
        out: folder to write; files in it are replaced.
        name: name of the model, kept in every mention.
        epoch: its number, higher than that of the model it follows.
        max_tokens: longest text in word pieces; must be what it was trained with.
        early: after how many layers easy texts are answered, one of those the checkpoint has heads for; 0: never;
            None: after the first of them.

    Raises:
        ValueError: the checkpoint's labels or shape are not what the engine needs.
    """
    rows, brand_rows = read_labelled(dev), read_labelled_brands(brand_dev)
    export_rows(checkpoint, rows, brand_rows, out, name=name, epoch=epoch, max_tokens=max_tokens, early=early)


def export_rows(
    checkpoint: Path,
    rows: Sequence[LabelledText],
    brand_rows: Sequence[LabelledBrand],
    out: Path,
    *,
    name: str,
    epoch: int,
    max_tokens: int = 128,
    temperatures: tuple[float, float] = (1.0, 1.0),
    weights: Sequence[float] | None = None,
    least_rows: int = 1,
    early: int | None = None,
    early_before: Mapping[str, Any] | None = None,
) -> None:
    """Write the engine folder of a trained checkpoint, as `export` does from files.

    Args:
        checkpoint: as `export`.
        rows: labelled texts; may be empty.
        brand_rows: labelled feelings towards brands; may be empty.
        out: as `export`.
        name: as `export`.
        epoch: as `export`.
        max_tokens: as `export`.
        temperatures: of texts and of brands, kept where there are too few rows to fit one on.
        weights: what each point counts when one is chosen; None: what training found.
        least_rows: fewer are too few for a temperature and for figures of calibration.
        early: as `export`.
        early_before: when the model that was trained further answers early, kept where there are too few rows.

    Raises:
        ValueError: as `export`.
    """
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    labels = [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    if labels != list(SENTIMENTS) or config["model_type"] != "bert" or config["hidden_act"] != "gelu":
        found = f"{config['model_type']} with {config['hidden_act']} and labels {labels}"
        raise ValueError(f"{checkpoint}: found {found}, expected bert with gelu and labels {list(SENTIMENTS)}")
    with_heads = config.get(EARLY) or [0]
    if early not in (None, 0, *with_heads):
        raise ValueError(f"{checkpoint}: has early heads after {with_heads} layers, not after {early}")
    encoder = Encoder(
        early=with_heads[0] if early is None else early,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        heads=config["num_attention_heads"],
        positions=max_tokens,
        labels=len(labels),
        points=len(POINTS),
        layer_norm_eps=config["layer_norm_eps"],
    )
    out.mkdir(parents=True, exist_ok=True)
    packed = packed_weights(load_file(checkpoint / "model.safetensors"), encoder)
    places = write_weights(packed, out / WEIGHTS)
    graphs: tuple[tuple[str, Arithmetic], ...] = ((INT8_GRAPH, "int8"), (EXACT_GRAPH, "exact"))
    for graph, arithmetic in graphs:
        write_graph(out / graph, arithmetic, encoder, packed, places, WEIGHTS)
    tokenizer = json.loads((checkpoint / TOKENIZER).read_text(encoding="utf-8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    (out / TOKENIZER).write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")

    training = json.loads((checkpoint / "training.json").read_text(encoding="utf-8"))
    description: dict[str, Any] = {
        "name": name,
        "epoch": epoch,
        "labels": labels,
        "max_tokens": max_tokens,
        "temperature": 1.0,
        "brand_temperature": 1.0,
        "point_weights": list(weights or training["point_weights"]),
        "encoder": asdict(encoder),
        "training": training,
    }
    _describe(out, description)
    gold, points = np.array([row.label for row in rows]), np.array([row.label for row in brand_rows])
    settings = OnnxSettings(folder=out, exact=True)
    plain = OnnxEngine(settings)
    raw = plain.predict([Passage(row.text) for row in rows]).probs
    towards = plain.predict([row.passage() for row in brand_rows]).towards
    # log(softmax(x)) differs from x by a constant of the row, which no temperature sees.
    logits, point_logits = (np.log(np.maximum(p.astype(np.float64), 1e-30)) for p in (raw, towards))
    description["temperature"] = fit_temperature(logits, gold) if len(rows) >= least_rows else temperatures[0]
    if len(brand_rows) >= least_rows:
        description["brand_temperature"] = fit_temperature(point_logits, points)
    else:
        description["brand_temperature"] = temperatures[1]
    if encoder.early:
        passages = [Passage(row.text) for row in rows], [row.passage() for row in brand_rows]
        answered = (
            Answered(passages[0], gold, tempered(logits, description["temperature"]), description["temperature"]),
            Answered(
                passages[1],
                points,
                tempered(point_logits, description["brand_temperature"]),
                description["brand_temperature"],
            ),
        )
        pieces = WordPieces(checkpoint / TOKENIZER, max_tokens)
        when = early_exit(
            load(checkpoint), pieces, encoder.early, *answered, before=early_before, least_rows=least_rows
        )
        description["early"] = asdict(when)
        write_graph(out / INT8_GRAPH, "int8", encoder, packed, places, WEIGHTS, when)
    _describe(out, description)
    measured: dict[str, dict[str, Any]] = {}
    for kind, exact in (("int8", False), ("fp32", True)):
        engine = OnnxEngine(replace(settings, exact=exact))
        measured[kind] = {}
        if rows:
            measured[kind]["texts"] = _rounded(_of_texts(engine, rows))
        if brand_rows:
            measured[kind]["brands"] = _rounded(_of_brands(engine, brand_rows, description["point_weights"]))
    calibration = {}
    for prefix, probs, scores, labels_there in (("", raw, logits, gold), ("brand_", towards, point_logits, points)):
        if len(labels_there) >= least_rows:
            calibration[f"{prefix}ece_before_scaling"] = round(expected_calibration_error(probs, labels_there), 4)
            error = _temperature_error(scores, labels_there)
            calibration[f"{prefix}ece_after_scaling_cross_fitted"] = round(error, 4)
    description["dev"] = {"rows": len(rows), "brand_rows": len(brand_rows), **calibration, **measured}
    _describe(out, description)


def torch_probs(
    checkpoint: Path, passages: Sequence[Passage], description: Mapping[str, Any]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Give the probabilities of a checkpoint by PyTorch, in padded batches. Shapes: (N, 3) and (M, 5).

    Only of brands that are named in what the model reads.
    """
    pieces = WordPieces(checkpoint / TOKENIZER, description["max_tokens"])
    rows = pieces.rows([question_of(passage) for passage in passages])
    logits, towards = predict(load(checkpoint), rows, batch=16)
    named = [bool(places) for row in rows for places in row.places]
    return (
        tempered(logits.double().numpy(), description["temperature"]),
        tempered(towards.double().numpy()[named], description["brand_temperature"]),
    )


def checkpoint_from_engine(folder: Path, out: Path) -> None:
    """Write the shipped (8-bit rounded) weights as a float32 Hugging Face checkpoint, for PyTorch.

    Args:
        folder: an engine folder.
        out: folder to write: `config.json`, `model.safetensors`, `tokenizer.json`, `tokenizer_config.json`.

    Raises:
        ConfigError: the folder is not whole.
    """
    description = read_description(folder)
    encoder = description["encoder"]
    state = unpacked_weights(read_packed(folder / INT8_GRAPH))
    out.mkdir(parents=True, exist_ok=True)
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": encoder["hidden"],
        "intermediate_size": state["bert.encoder.layer.0.intermediate.dense.bias"].shape[0],
        "layer_norm_eps": encoder["layer_norm_eps"],
        "max_position_embeddings": encoder["positions"],
        "num_attention_heads": encoder["heads"],
        "num_hidden_layers": encoder["layers"],
        "type_vocab_size": 2,
        "vocab_size": state["bert.embeddings.word_embeddings.weight"].shape[0],
        "pad_token_id": 0,
        "id2label": dict(enumerate(SENTIMENTS)),
        "label2id": {label: i for i, label in enumerate(SENTIMENTS)},
        EARLY: [encoder["early"]] if encoder.get("early") else [],
    }
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(folder / TOKENIZER, out / TOKENIZER)
    tokens = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": description["max_tokens"]}
    (out / "tokenizer_config.json").write_text(json.dumps(tokens, indent=2) + "\n", encoding="utf-8")


def check(folder: Path) -> dict[str, float]:
    """Compare both graphs with PyTorch on the shipped weights, in padded batches and alone.

    Returns:
        Largest differences of a probability: `exact_torch` and `exact_alone` (must be at most 1e-4 and 1e-5), and
        `int8_exact`, `int8_alone` (must be at most 1e-5).
    """
    description = read_description(folder)
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint_from_engine(folder, Path(scratch))
        reference = np.concatenate([found.ravel() for found in torch_probs(Path(scratch), CHECK_PASSAGES, description)])
    found, alone = {}, {}
    for kind in ("exact", "int8"):
        # One batch for all, so that short texts are padded; no memory, so that alone means alone.
        engine = OnnxEngine(OnnxSettings(folder=folder, exact=kind == "exact", batch_tokens=100_000, cache_size=0))
        found[kind] = _flat(engine, CHECK_PASSAGES)
        alone[kind] = _flat(engine, *((passage,) for passage in CHECK_PASSAGES))
    return {
        "exact_torch": float(np.abs(found["exact"] - reference).max()),
        "exact_alone": float(np.abs(found["exact"] - alone["exact"]).max()),
        "int8_exact": float(np.abs(found["int8"] - found["exact"]).max()),
        "int8_alone": float(np.abs(found["int8"] - alone["int8"]).max()),
    }


def _flat(engine: SentimentEngine, *calls: Sequence[Passage]) -> npt.NDArray[np.float64]:
    """Give all probabilities of some calls in one row: of texts, then of brands that are named before the cut."""
    found = [engine.predict(call) for call in calls]
    # What is not named repeats the text's own three on five points, so the outer two are exactly 0.
    named = [one.towards[one.towards[:, 0] > 0] for one in found]
    parts = [*(one.probs.ravel() for one in found), *(towards.ravel() for towards in named)]
    return np.concatenate(parts).astype(np.float64)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m enrich.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--checkpoint", type=Path, help="trained checkpoint to export")
    action.add_argument(
        "--check", type=Path, nargs="?", const=SHIPPED_MODEL, help="engine folder to compare with PyTorch"
    )
    action.add_argument(
        "--restore", type=Path, nargs="?", const=SHIPPED_MODEL, help="engine folder to write as a checkpoint"
    )
    parser.add_argument("--dev", type=Path, help="with --checkpoint: labelled texts, gzipped TSV")
    parser.add_argument("--brand-dev", type=Path, help="with --checkpoint: feelings towards brands, gzipped TSV")
    parser.add_argument("--out", type=Path, help="folder to write")
    parser.add_argument("--early", type=int, help="layers after which easy texts are answered; 0: never")
    parser.add_argument("--name", default="brand-sentiment-2", help="name of the model")
    parser.add_argument("--epoch", type=int, default=3, help="its number, above that of the model before")
    args = parser.parse_args(argv)
    if args.check is None and args.out is None:
        parser.error("expected --out FOLDER")
    if args.checkpoint is not None and (args.dev is None or args.brand_dev is None):
        parser.error("expected --dev FILE and --brand-dev FILE with --checkpoint")
    return args


def main(argv: Sequence[str]) -> int:
    """Do what was asked; 0 when it worked, 1 when a check failed."""
    args = _arguments(argv)
    if args.restore is not None:
        checkpoint_from_engine(args.restore, args.out)
        return 0
    folder = args.check
    if args.checkpoint is not None:
        named = {"name": args.name, "epoch": args.epoch, "early": args.early}
        export(args.checkpoint, args.dev, args.brand_dev, args.out, **named)
        folder = args.out
    differences = check(folder)
    good = differences["exact_torch"] <= PARITY and max(differences["exact_alone"], differences["int8_alone"]) <= 1e-5
    print(json.dumps({"folder": folder.name, "good": good, **differences}, indent=2))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
