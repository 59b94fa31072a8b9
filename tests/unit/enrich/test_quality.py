"""The measures of a model, against numbers worked out by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from enrich.labelled import LabelledBrand, read_labelled, read_labelled_brands
from enrich.quality import (
    as_classes,
    best_points,
    brand_quality,
    expected_calibration_error,
    f1_positive_negative,
    fit_temperature,
    macro_recall,
    mae_macro,
    quality,
    tempered,
)

GOLD = np.array([0, 0, 1, 1, 2, 2, 2, 2])
FOUND = np.array([0, 1, 1, 1, 2, 2, 0, 2])


def test_macro_recall_is_the_mean_of_the_three_recalls() -> None:
    assert macro_recall(GOLD, FOUND) == pytest.approx((1 / 2 + 1 + 3 / 4) / 3)


def test_f1_counts_positive_and_negative_only() -> None:
    negative, positive = 2 * 1 / (2 + 2), 2 * 3 / (4 + 3)
    assert f1_positive_negative(GOLD, FOUND) == pytest.approx((negative + positive) / 2)


def test_a_model_as_sure_as_it_is_right_has_no_calibration_error() -> None:
    probs = np.tile([0.75, 0.125, 0.125], (4, 1))
    assert expected_calibration_error(probs, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert expected_calibration_error(probs, np.array([1, 1, 1, 1])) == pytest.approx(0.75)


def test_the_fitted_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(7)
    logits = rng.normal(0, 2, (4_000, 3))
    gold = np.array([rng.choice(3, p=row) for row in tempered(logits, 1.0)])
    assert fit_temperature(logits * 2.5, gold) == pytest.approx(2.5, rel=0.1)


def test_the_interval_holds_the_measure_and_repeats_exactly() -> None:
    first, second = quality(GOLD, FOUND), quality(GOLD, FOUND)
    assert first == second
    low, high = first.macro_recall_95
    assert low <= first.macro_recall <= high
    assert first.ece is None


def test_labelled_rows_lose_the_quoting_of_their_export(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write('1\tpositive\t"so ""good"" &amp; kind"\n2\tnegative\tlate "again"\n')
    assert [(row.id, row.label, row.text) for row in read_labelled(path)] == [
        ("1", 2, 'so "good" & kind'),
        ("2", 0, 'late "again"'),
    ]


@pytest.mark.parametrize("line", ["1\tpositive", "1\thappy\ttext"])
def test_a_row_that_is_not_labelled_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rows.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write(f"1\tneutral\tfine\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        read_labelled(path)


def test_macro_averaged_error_counts_every_class_of_a_topic_and_every_topic_alike() -> None:
    gold = np.array([0, 0, 0, 3, 4, 4])
    found = np.array([0, 0, 3, 3, 2, 4])
    topics = np.array([1, 1, 1, 1, 2, 2])
    first = (np.mean([0, 0, 3]) + 0) / 2
    assert mae_macro(gold, found, topics) == pytest.approx((first + 1) / 2)


def test_points_fall_into_three_classes() -> None:
    assert as_classes(np.array([0, 1, 2, 3, 4])).tolist() == [0, 0, 1, 2, 2]


def test_the_best_point_errs_least_when_rare_classes_weigh_more() -> None:
    towards = np.array([[0.1, 0.0, 0.3, 0.6, 0.0]])
    assert best_points(towards, np.ones(5)).tolist() == [3]
    assert best_points(towards, np.array([20.0, 1.0, 1.0, 1.0, 1.0])).tolist() == [0]


def test_a_perfect_model_of_brands_has_no_error() -> None:
    rows = [LabelledBrand(str(at), "a topic", label, "text") for at, label in enumerate([0, 1, 2, 3, 4])]
    found = brand_quality(rows, np.eye(5), np.ones(5))
    assert (found.macro_recall, found.mae_macro, found.accuracy, found.ece) == (1.0, 0.0, 1.0, 0.0)


def test_brand_rows_know_where_their_topic_stands(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv.gz"
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write("1\twhite sox\t-2\tThe White Sox? Oh, white sox.\n")
    (row,) = read_labelled_brands(path)
    assert (row.label, row.passage().brands) == (0, (((4, 13), (19, 28)),))
    with gzip.open(path, "wt", encoding="utf-8") as out:
        out.write("1\ttopic\t3\ttext\n")
    with pytest.raises(ValueError, match="line 1: expected id, topic, score, text"):
        read_labelled_brands(path)
