"""How good an engine is on labelled texts of the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.records import SENTIMENTS
from enrich.engine import POINTS, Floats, Passage, SentimentEngine, as_five, as_three
from enrich.own_data import OwnData, OwnRow, Task
from enrich.quality import (
    Labels,
    best_points,
    expected_calibration_error,
    f1_positive_negative,
    mae_macro,
    resampled,
)

CALIBRATION_BINS = 10
MEASURES = ("macro_recall", "accuracy", "f1_pn", "mae_macro", "ece")


@dataclass(frozen=True, slots=True)
class Bin:
    """Texts whose label was given a probability in [low, high): how many, its mean, and the share that was right."""

    low: float
    high: float
    n: int
    confidence: float
    right: float


@dataclass(frozen=True, slots=True)
class BrandFigures:
    """One brand's texts: the mean expected score beside the mean label, on the labels' own scale."""

    n: int
    macro_recall: float
    expected_mean: float
    label_mean: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """A text with a wrong label; `prob` is what the engine gave the right one."""

    row: OwnRow
    found: str
    expected_label: str
    prob: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measures of an engine on N texts.

    `measures` has `MEASURES`, each in [0, 1] but `mae_macro`, which is in steps between labels; `ci95` is the central
    95 % of each over resampled texts. `confusion` counts by label (row) and by what was found (column);
    `confusion_points` the same for five points, None where labels are classes or the task is the post.
    `unnamed` counts texts in which the brand is not found: they are measured by the post's own label.
    """

    task: Task
    scale: str
    n: int
    counts: dict[str, int]
    measures: dict[str, float]
    ci95: dict[str, tuple[float, float]]
    confusion: tuple[tuple[int, ...], ...]
    confusion_points: tuple[tuple[int, ...], ...] | None
    bins: tuple[Bin, ...]
    brands: dict[str, BrandFigures]
    mistakes: tuple[Mistake, ...]
    unnamed: int
    truncated: int


def balanced_recall(gold: Labels, found: Labels) -> float:
    """Give the mean recall of the classes that occur in `gold`, in [0, 1]. Shapes (N,), N > 0."""
    right, there = np.bincount(gold[gold == found], minlength=3), np.bincount(gold, minlength=3)
    return float(np.mean(right[there > 0] / there[there > 0]))


def evaluate(engine: SentimentEngine, data: OwnData, task: Task, weights: Sequence[float]) -> Evaluation:
    """Measure an engine.

    Args:
        engine: asked once, with all texts.
        data: at least one row; for the task `brand`, each with a brand.
        task: the label of the post as a whole, or that of the feeling towards the row's brand.
        weights: what each of five points counts when the best one is chosen (`quality.best_points`).
    """
    rows = data.rows
    of_brand = task == "brand"
    passages = [row.passage() if of_brand else Passage(row.text) for row in rows]
    prediction = engine.predict(passages)
    towards = prediction.towards if of_brand else as_five(prediction.probs)
    three = as_three(towards) if of_brand else prediction.probs
    labels = np.array([row.label for row in rows], dtype=np.int64)
    gold, found = np.sign(labels) + 1, three.argmax(axis=1)
    # A post as a whole is told in three classes only, whatever its labels are.
    in_points = data.scale == "points" and of_brand
    if in_points:
        steps, chosen = labels + len(POINTS) // 2, best_points(towards, np.array(weights))
    else:
        steps, chosen = gold, found
    names = sorted({row.brand for row in rows})
    topics = np.array([names.index(row.brand) if of_brand else 0 for row in rows])

    def measured(draw: Labels) -> dict[str, float]:
        return {
            "macro_recall": balanced_recall(gold[draw], found[draw]),
            "accuracy": float(np.mean(gold[draw] == found[draw])),
            "f1_pn": f1_positive_negative(gold[draw], found[draw]),
            "mae_macro": mae_macro(steps[draw], chosen[draw], topics[draw]),
            "ece": expected_calibration_error(three[draw], gold[draw]),
        }

    expected = towards @ np.array(POINTS) if data.scale == "points" else three @ np.array([-1, 0, 1])
    on_scale = labels if data.scale == "points" else gold - 1
    return Evaluation(
        task=task,
        scale=data.scale,
        n=len(rows),
        counts=_counts(labels, data.scale),
        measures=measured(np.arange(len(rows))),
        ci95=_intervals(measured, len(rows)),
        confusion=_confusion(gold, found, len(SENTIMENTS)),
        confusion_points=_confusion(steps, chosen, len(POINTS)) if in_points else None,
        bins=_bins(three, gold),
        brands=_brands(rows, gold, found, expected, on_scale),
        mistakes=_mistakes(rows, three, gold, found),
        unnamed=sum(not places for passage in passages for places in passage.brands),
        truncated=int(prediction.truncated.sum()),
    )


def _intervals(measured: Callable[[Labels], dict[str, float]], size: int) -> dict[str, tuple[float, float]]:
    """Give the central 95 % of each measure over resampled rows."""
    draws = [measured(draw) for draw in resampled(size)]
    bounds = {name: np.percentile([draw[name] for draw in draws], [2.5, 97.5]).tolist() for name in MEASURES}
    return {name: (low, high) for name, (low, high) in bounds.items()}


def _counts(labels: Labels, scale: str) -> dict[str, int]:
    if scale == "points":
        return {str(point): int(np.sum(labels == point)) for point in POINTS}
    return {name: int(np.sum(labels == place - 1)) for place, name in enumerate(SENTIMENTS)}


def _confusion(gold: Labels, found: Labels, size: int) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(gold * size + found, minlength=size * size).reshape(size, size)
    return tuple(tuple(row) for row in counts.tolist())


def _bins(probs: Floats, gold: Labels) -> tuple[Bin, ...]:
    confidence, right = probs.max(axis=1), probs.argmax(axis=1) == gold
    places = np.minimum((confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    bins = []
    for place in np.unique(places).tolist():
        here = places == place
        low, high = place / CALIBRATION_BINS, (place + 1) / CALIBRATION_BINS
        bins.append(Bin(low, high, int(here.sum()), float(confidence[here].mean()), float(right[here].mean())))
    return tuple(bins)


def _brands(
    rows: Sequence[OwnRow], gold: Labels, found: Labels, expected: Floats, labels: Labels
) -> dict[str, BrandFigures]:
    """Give each brand's figures, the most texts first."""
    of_brand: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        if row.brand:
            of_brand.setdefault(row.brand, []).append(place)
    return {
        brand: BrandFigures(
            n=len(places),
            macro_recall=balanced_recall(gold[places], found[places]),
            expected_mean=float(expected[places].mean()),
            label_mean=float(labels[places].mean()),
        )
        for brand, places in sorted(of_brand.items(), key=lambda item: (-len(item[1]), item[0]))
    }


def _mistakes(rows: Sequence[OwnRow], three: Floats, gold: Labels, found: Labels) -> tuple[Mistake, ...]:
    """Give the texts with a wrong label, those of which the engine was surest first."""
    right_prob = three[np.arange(len(rows)), gold]
    wrong = np.flatnonzero(gold != found)
    order = wrong[np.argsort(right_prob[wrong], kind="stable")].tolist()
    return tuple(
        Mistake(rows[place], SENTIMENTS[found[place]], SENTIMENTS[gold[place]], float(right_prob[place]))
        for place in order
    )


def document(found: Evaluation, data: OwnData, engine: str) -> dict[str, Any]:
    """Give an evaluation as plain JSON; figures with four digits. No text of a row is in it."""
    answer: dict[str, Any] = {name: round(value, 4) for name, value in found.measures.items()}
    return answer | {
        "ci95": {name: [round(low, 4), round(high, 4)] for name, (low, high) in found.ci95.items()},
        "n": found.n,
        "task": found.task,
        "engine": engine,
        "labels": {"scale": found.scale, "found": found.counts},
        "mae_steps": "points" if found.confusion_points is not None else "classes",
        "confusion": [list(row) for row in found.confusion],
        "confusion_labels": list(SENTIMENTS),
        "confusion_points": [list(row) for row in found.confusion_points] if found.confusion_points else None,
        "reliability": {
            brand: {
                "n": figures.n,
                "macro_recall": round(figures.macro_recall, 4),
                "expected_mean": round(figures.expected_mean, 4),
                "label_mean": round(figures.label_mean, 4),
            }
            for brand, figures in found.brands.items()
        },
        "brand_not_found": found.unnamed,
        "truncated": found.truncated,
        "bad_rows": {
            "n": len(data.bad),
            "rows": [{"line": row.line, "problem": row.problem} for row in data.bad[:100]],
        },
    }
