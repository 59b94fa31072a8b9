"""How good the sentiment model is beside simple baselines.

    python -m bench.quality --texts TRAIN.tsv.gz DEV.tsv.gz --brands TRAIN.tsv.gz DEV.tsv.gz [--checkpoint DIR]

Whole texts: macro recall (with a 95 % bootstrap interval), F1 of positive and negative, accuracy, calibration error.
Brands: macro recall in three classes and the macro-averaged error in points, both with intervals. Of the shipped engine
in both arithmetics, of the majority class, VADER, a linear model over TF-IDF, and, for brands, of the text's own label
used as the brand's; with the trained checkpoint (needs the extra `torch`) of that one too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from domain.records import SENTIMENTS
from enrich.engine import POINTS, Passage, as_five
from enrich.labelled import read_labelled, read_labelled_brands
from enrich.model_text import model_text
from enrich.onnx_engine import SHIPPED_MODEL, OnnxEngine, OnnxSettings, read_description
from enrich.quality import BrandQuality, Floats, Labels, Quality, brand_quality, quality

# VADER's authors' own bounds of its neutral middle.
VADER_NEUTRAL = 0.05


def vader(texts: Sequence[str]) -> Labels:
    """Label texts as VADER's authors do."""
    analyser = SentimentIntensityAnalyzer()
    scores = np.array([analyser.polarity_scores(text)["compound"] for text in texts])
    return np.where(scores >= VADER_NEUTRAL, 2, np.where(scores <= -VADER_NEUTRAL, 0, 1))


def tf_idf(texts: Sequence[str], labels: Labels) -> Any:
    """Fit a linear model over words and pairs of words, every class counting alike."""
    words = TfidfVectorizer(preprocessor=lambda text: model_text(text).lower(), ngram_range=(1, 2), min_df=3)
    return make_pipeline(words, LogisticRegression(C=3.0, class_weight="balanced", max_iter=300)).fit(texts, labels)


def _certain(labels: Labels, width: int) -> Floats:
    """Give labels as probabilities of 1. Shape: (N, width)."""
    return np.eye(width)[labels]


def of_texts(train: Path, dev: Path, folder: Path, checkpoint: Path | None) -> dict[str, Quality]:
    """Give the quality on whole texts of every model by its name."""
    rows = read_labelled(dev)
    gold, texts = np.array([row.label for row in rows]), [row.text for row in rows]
    passages = [Passage(text) for text in texts]
    majority = int(np.bincount(gold, minlength=len(SENTIMENTS)).argmax())
    learnt = read_labelled(train)
    linear = tf_idf([row.text for row in learnt], np.array([row.label for row in learnt]))
    found = {
        f"majority class ({SENTIMENTS[majority]})": quality(gold, np.full_like(gold, majority)),
        "VADER": quality(gold, vader(texts)),
        "TF-IDF, linear": quality(gold, linear.predict(texts), linear.predict_proba(texts)),
    }
    for exact in (False, True):
        engine = OnnxEngine(OnnxSettings(folder=folder, exact=exact))
        probs = engine.predict(passages).probs
        found[engine.name] = quality(gold, probs.argmax(axis=1), probs)
    if checkpoint is not None:
        from enrich.export import torch_probs

        trained, _ = torch_probs(checkpoint, passages, read_description(folder))
        found["trained float32 checkpoint"] = quality(gold, trained.argmax(axis=1), trained)
    return found


def of_brands(train: Path, dev: Path, folder: Path, checkpoint: Path | None) -> dict[str, BrandQuality]:
    """Give the quality towards brands of every model by its name."""
    rows = read_labelled_brands(dev)
    texts, passages = [row.text for row in rows], [row.passage() for row in rows]
    description = read_description(folder)
    weights = np.array(description["point_weights"])
    even = np.ones(len(POINTS))
    gold = np.array([row.label for row in rows])
    learnt = read_labelled_brands(train)
    linear = tf_idf([row.text for row in learnt], np.array([row.label for row in learnt]))
    # What is always said does best in the middle between the classes that occur.
    found = {
        "always neutral": brand_quality(rows, _certain(np.full_like(gold, 2), len(POINTS)), even),
        "VADER": brand_quality(rows, as_five(_certain(vader(texts), len(SENTIMENTS))), even),
        "TF-IDF, linear": brand_quality(rows, linear.predict_proba(texts), even),
    }
    for exact in (False, True):
        engine = OnnxEngine(OnnxSettings(folder=folder, exact=exact))
        prediction = engine.predict(passages)
        overall = as_five(_certain(prediction.probs.argmax(axis=1), len(SENTIMENTS)))
        found[f"{engine.name}, the text's own label"] = brand_quality(rows, overall, even)
        found[engine.name] = brand_quality(rows, prediction.towards, weights)
    if checkpoint is not None:
        from enrich.export import torch_probs

        _, towards = torch_probs(checkpoint, passages, description)
        found["trained float32 checkpoint"] = brand_quality(rows, towards, weights)
    return found


def _interval(middle: float, ends: tuple[float, float]) -> str:
    return f"{middle:.3f} ({ends[0]:.3f} to {ends[1]:.3f})"


def main(argv: Sequence[str]) -> int:
    """Print two tables and, last, one line of JSON; 1 when int8 is more than 0.5 points off fp32."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=Path, nargs=2, required=True, help="train, dev; gzipped TSV: id, label, text")
    parser.add_argument("--brands", type=Path, nargs=2, required=True, help="train, dev: id, topic, score, text")
    parser.add_argument("--folder", type=Path, default=SHIPPED_MODEL, help="engine folder")
    parser.add_argument("--checkpoint", type=Path, help="the trained checkpoint")
    args = parser.parse_args(argv)
    texts = of_texts(*args.texts, args.folder, args.checkpoint)
    print(f"{'whole texts':42}{'macro recall (95 %)':>26}{'F1 pos/neg':>12}{'accuracy':>10}{'ECE':>8}")
    for name, one in texts.items():
        recall = _interval(one.macro_recall, one.macro_recall_95)
        ece = "-" if one.ece is None else f"{one.ece:.3f}"
        print(f"{name:42}{recall:>26}{one.f1_positive_negative:>12.3f}{one.accuracy:>10.3f}{ece:>8}")
    brands = of_brands(*args.brands, args.folder, args.checkpoint)
    print(f"\n{'towards brands':42}{'macro recall (95 %)':>26}{'macro-averaged error':>26}{'accuracy':>10}{'ECE':>8}")
    for name, two in brands.items():
        recall, error = _interval(two.macro_recall, two.macro_recall_95), _interval(two.mae_macro, two.mae_macro_95)
        print(f"{name:42}{recall:>26}{error:>26}{two.accuracy:>10.3f}{two.ece:>8.3f}")
    gaps = [abs(_of(found, "int8") - _of(found, "fp32")) for found in (texts, brands)]
    tables = {"texts": texts, "brands": brands}
    answer = {table: {name: asdict(one) for name, one in found.items()} for table, found in tables.items()}
    print(json.dumps({**answer, "int8_off_fp32": gaps}))
    return 0 if max(gaps) <= 0.005 else 1


def _of(found: dict[str, Any], arithmetic: str) -> float:
    """Give the macro recall of the engine in one arithmetic."""
    return next(float(one.macro_recall) for name, one in found.items() if name.endswith(f"/{arithmetic}"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
