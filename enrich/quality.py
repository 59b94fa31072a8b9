"""How good a model is: the measures of SemEval task 4A, calibration, and the temperature that mends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from domain.records import SENTIMENTS
from enrich.engine import POINTS
from enrich.labelled import LabelledBrand

Labels: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.floating[Any]]

NEGATIVE, POSITIVE = SENTIMENTS.index("negative"), SENTIMENTS.index("positive")
BINS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Measures of one model on one labelled set, each in [0, 1]. `ece` is None for a model without probabilities.

    `macro_recall_95` is the central 95 % of `macro_recall` over resampled sets.
    """

    macro_recall: float
    macro_recall_95: tuple[float, float]
    f1_positive_negative: float
    accuracy: float
    ece: float | None


def macro_recall(gold: Labels, found: Labels) -> float:
    """Give the mean of the three classes' recalls, in [0, 1]; a class that is absent counts as 0."""
    right = np.bincount(gold[gold == found], minlength=len(SENTIMENTS))
    there = np.bincount(gold, minlength=len(SENTIMENTS))
    return float(np.mean(right / np.maximum(there, 1)))


def f1_positive_negative(gold: Labels, found: Labels) -> float:
    """Give the mean of the F1 of positive and of negative, in [0, 1] (task 4A's second measure)."""
    scores = []
    for label in (NEGATIVE, POSITIVE):
        right = np.sum((gold == label) & (found == label))
        named = np.sum(gold == label) + np.sum(found == label)
        scores.append(2 * right / named if named else 0.0)
    return float(np.mean(scores))


def mae_macro(gold: Labels, found: Labels, topics: Labels) -> float:
    """Give the mean absolute error in points, every class of a topic alike, every topic alike, in [0, 4].

    As the scorer of SemEval task 4C does: classes are averaged within a topic where they occur, then topics.
    `gold` and `found` count into `POINTS`, `topics` numbers the topics; shapes (N,).
    """
    # One cell for each class of each topic; an evaluation asks for this a thousand times.
    cells = topics * len(POINTS) + gold
    size = (int(topics.max()) + 1) * len(POINTS)
    errors = np.bincount(cells, weights=np.abs(gold - found), minlength=size).reshape(-1, len(POINTS))
    rows = np.bincount(cells, minlength=size).reshape(-1, len(POINTS))
    classes = (rows > 0).sum(axis=1)
    by_topic = (errors / np.maximum(rows, 1)).sum(axis=1)[classes > 0] / classes[classes > 0]
    return float(np.mean(by_topic))


def as_classes(points: Labels) -> Labels:
    """Give negative, neutral, positive (0, 1, 2) for points (0 to 4). Shape (N,)."""
    return np.sign(points - len(POINTS) // 2) + 1


def best_points(towards: Floats, weights: Floats) -> Labels:
    """Give the point with the least expected error when a class counts as `weights` says. (M, 5), (5,) -> (M,).

    With weights of one over a class's share, rare classes count as much as frequent ones: what `mae_macro` asks for.
    """
    places = np.arange(len(POINTS))
    return np.asarray(((towards * weights) @ np.abs(places[:, None] - places)).argmin(axis=1))


def expected_calibration_error(probs: Floats, gold: Labels) -> float:
    """Give how far confidence lies from accuracy on average, in [0, 1], over 15 equal bins (Guo et al. 2017)."""
    confidence, found = probs.max(axis=1), probs.argmax(axis=1)
    places = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    error = 0.0
    for place in range(BINS):
        chosen = places == place
        if chosen.any():
            error += float(chosen.mean() * abs(np.mean(found[chosen] == gold[chosen]) - confidence[chosen].mean()))
    return error


def resampled_95(measure: Callable[[Labels], float], size: int) -> tuple[float, float]:
    """Give the central 95 % of a measure of row numbers over 1,000 resampled sets; the same draws every time."""
    low, high = np.percentile([measure(draw) for draw in resampled(size)], [2.5, 97.5])
    return float(low), float(high)


def resampled(size: int) -> Iterator[Labels]:
    """Give 1,000 draws of row numbers with replacement, shape (size,); the same draws every time."""
    rng = np.random.default_rng(20261123)
    return (rng.integers(0, size, size) for _ in range(1_000))


def quality(gold: Labels, found: Labels, probs: Floats | None = None) -> Quality:
    """Measure labels, and probabilities where a model gives them. Shapes: (N,), (N,), (N, 3); N > 0."""
    return Quality(
        macro_recall=macro_recall(gold, found),
        macro_recall_95=resampled_95(lambda draw: macro_recall(gold[draw], found[draw]), len(gold)),
        f1_positive_negative=f1_positive_negative(gold, found),
        accuracy=float(np.mean(gold == found)),
        ece=None if probs is None else expected_calibration_error(probs, gold),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrandQuality:
    """Measures of feelings towards brands, on one labelled set. Intervals are the central 95 % over resampled rows.

    `mae_macro` is in points, [0, 4], of the point with the least expected balanced error (`best_points`);
    the other measures are of three classes, in [0, 1].
    """

    macro_recall: float
    macro_recall_95: tuple[float, float]
    mae_macro: float
    mae_macro_95: tuple[float, float]
    accuracy: float
    ece: float


def brand_quality(rows: Sequence[LabelledBrand], towards: Floats, weights: Floats) -> BrandQuality:
    """Measure five-point probabilities, shape (N, 5), N > 0; `weights` as for `best_points`."""
    gold = np.array([row.label for row in rows])
    names = sorted({row.topic for row in rows})
    topics = np.array([names.index(row.topic) for row in rows])
    three = np.stack([towards[:, :2].sum(axis=1), towards[:, 2], towards[:, 3:].sum(axis=1)], axis=1)
    classes, found, points = as_classes(gold), three.argmax(axis=1), best_points(towards, weights)
    return BrandQuality(
        macro_recall=macro_recall(classes, found),
        macro_recall_95=resampled_95(lambda draw: macro_recall(classes[draw], found[draw]), len(rows)),
        mae_macro=mae_macro(gold, points, topics),
        mae_macro_95=resampled_95(lambda draw: mae_macro(gold[draw], points[draw], topics[draw]), len(rows)),
        accuracy=float(np.mean(classes == found)),
        ece=expected_calibration_error(three, classes),
    )


def tempered(logits: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Give softmax(logits / temperature) over the last axis."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def fit_temperature(logits: Floats, gold: Labels) -> float:
    """Give the temperature with the least negative log likelihood (Guo et al. 2017, sec. 4.2), to three digits.

    The likelihood has one optimum in the temperature, so narrowing an interval finds it.
    """

    def loss(temperature: float) -> float:
        return float(-np.log(tempered(logits, temperature)[np.arange(len(gold)), gold] + 1e-12).mean())

    low, high = 0.2, 5.0
    while high - low > 1e-4:
        third = (high - low) / 3
        if loss(low + third) < loss(high - third):
            high -= third
        else:
            low += third
    return round((low + high) / 2, 3)
