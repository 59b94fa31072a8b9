"""How good the sentiment model is beside simple baselines: `python -m bench.quality DEV.tsv.gz [--checkpoint DIR]`.

Macro recall (with a 95 % bootstrap interval), F1 of positive and negative, accuracy and calibration error of the
shipped engine in both arithmetics, the majority class and VADER; with the trained checkpoint (needs the extra
`torch`) that one too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from domain.records import SENTIMENTS
from enrich.labelled import LabelledText, read_labelled
from enrich.onnx_engine import SHIPPED_MODEL, OnnxEngine, OnnxSettings, read_description
from enrich.quality import Labels, Quality, quality

# VADER's authors' own bounds of its neutral middle.
VADER_NEUTRAL = 0.05


def _vader(rows: Sequence[LabelledText]) -> Labels:
    analyser = SentimentIntensityAnalyzer()
    scores = np.array([analyser.polarity_scores(row.text)["compound"] for row in rows])
    return np.where(scores >= VADER_NEUTRAL, 2, np.where(scores <= -VADER_NEUTRAL, 0, 1))


def measure(dev: Path, folder: Path, checkpoint: Path | None) -> dict[str, Quality]:
    """Give the quality of every model by its name."""
    rows = read_labelled(dev)
    gold = np.array([row.label for row in rows])
    majority = int(np.bincount(gold, minlength=len(SENTIMENTS)).argmax())
    found = {
        f"majority class ({SENTIMENTS[majority]})": quality(gold, np.full_like(gold, majority)),
        "VADER": quality(gold, _vader(rows)),
    }
    for exact in (False, True):
        engine = OnnxEngine(OnnxSettings(folder=folder, exact=exact))
        probs = engine.predict([row.text for row in rows]).probs
        found[engine.name] = quality(gold, probs.argmax(axis=1), probs)
    if checkpoint is not None:
        from enrich.export import torch_probs

        description = read_description(folder)
        texts = [row.text for row in rows]
        trained = torch_probs(checkpoint, texts, description["temperature"], description["max_tokens"])
        found["trained float32 checkpoint"] = quality(gold, trained.argmax(axis=1), trained)
    return found


def main(argv: Sequence[str]) -> int:
    """Print a table and, last, one line of JSON; 1 when int8 is more than 0.5 points of macro recall off fp32."""
    parser = argparse.ArgumentParser(prog="python -m bench.quality", description=__doc__)
    parser.add_argument("dev", type=Path, help="labelled texts, gzipped TSV: id, label, text")
    parser.add_argument("--folder", type=Path, default=SHIPPED_MODEL, help="engine folder")
    parser.add_argument("--checkpoint", type=Path, help="the trained checkpoint")
    args = parser.parse_args(argv)
    found = measure(args.dev, args.folder, args.checkpoint)
    print(f"{'':32}{'macro recall (95 %)':>28}{'F1 pos/neg':>12}{'accuracy':>10}{'ECE':>8}")
    for name, figures in found.items():
        low, high = figures.macro_recall_95
        recall = f"{figures.macro_recall:.3f} ({low:.3f} to {high:.3f})"
        ece = "-" if figures.ece is None else f"{figures.ece:.3f}"
        print(f"{name:32}{recall:>28}{figures.f1_positive_negative:>12.3f}{figures.accuracy:>10.3f}{ece:>8}")
    recalls = {name.rpartition("/")[2]: figures.macro_recall for name, figures in found.items()}
    gap = recalls["fp32"] - recalls["int8"]
    print(json.dumps({"models": {k: asdict(v) for k, v in found.items()}, "fp32_minus_int8": gap}))
    return 0 if abs(gap) <= 0.005 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
