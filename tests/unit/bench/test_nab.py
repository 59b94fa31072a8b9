"""The score of the Numenta benchmark, on values worked out by hand."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.nab import PROFILES, Labelled, probation_rows, read_folder, scaled_sigmoid, score

START = datetime(2015, 3, 1, tzinfo=UTC)
STANDARD, LOW_FP, LOW_FN = (PROFILES[name] for name in ("standard", "low_fp", "low_fn"))


def labelled(*windows: tuple[int, int], rows: int = 1000) -> Labelled:
    times = tuple(START + timedelta(minutes=5 * row) for row in range(rows))
    return Labelled("one", times, (0,) * rows, windows)


def raw(flags: list[int], *windows: tuple[int, int]) -> float:
    return score([(labelled(*windows), flags)], STANDARD).raw


@pytest.mark.parametrize(
    ("position", "worth"),
    [(-1.0, 0.98661), (-0.5, 0.84828), (0.0, 0.0), (0.5, -0.84828), (1.0, -0.98661), (2.99, -0.99999), (3.0, -1.0)],
)
def test_a_flag_is_worth_what_the_sigmoid_says_of_its_place(position: float, worth: float) -> None:
    assert scaled_sigmoid(position) == pytest.approx(worth, abs=1e-5)


def test_a_flag_in_the_first_row_of_its_window_is_worth_all() -> None:
    found = score([(labelled((400, 499)), [400])], STANDARD)
    assert found.raw == pytest.approx(1.0)
    assert found.normalised == pytest.approx(100.0)
    assert (found.hits, found.windows, found.false_positives) == (1, 1, 0)


def test_a_flag_half_through_and_one_in_the_last_row_are_worth_less() -> None:
    assert raw([450], (400, 499)) == pytest.approx(0.84828 / 0.98661, abs=1e-4)
    # One row before its end, of a hundred: 2 / (1 + exp(-0.05)) - 1 = 0.0249948.
    assert raw([499], (400, 499)) == pytest.approx(0.0249948 / 0.98661, abs=1e-4)


def test_of_several_flags_in_a_window_the_first_counts_and_the_others_cost_nothing() -> None:
    assert raw([410, 420, 420, 480], (400, 499)) == raw([410], (400, 499))


def test_a_window_without_a_flag_costs_a_miss_and_no_flag_at_all_is_zero() -> None:
    assert raw([], (400, 499), (700, 799)) == -2.0
    for profile in PROFILES.values():
        assert score([(labelled((400, 499)), [])], profile).normalised == 0.0


def test_a_flag_before_any_window_costs_all_that_a_false_one_can() -> None:
    assert raw([200, 400], (400, 499)) == pytest.approx(1 - 0.11)
    assert score([(labelled((400, 499)), [200, 400])], LOW_FP).raw == pytest.approx(1 - 0.22)


def test_a_flag_behind_a_window_costs_the_more_the_further_it_lies() -> None:
    # 50 of 99 rows behind: 2 / (1 + exp(5 * 50 / 99)) - 1 = -0.85184.
    assert raw([400, 549], (400, 499)) == pytest.approx(1 - 0.11 * 0.85184, abs=1e-4)
    assert raw([400, 500], (400, 499)) > raw([400, 549], (400, 499)) > raw([400, 900], (400, 499))
    assert raw([400, 900], (400, 499)) == pytest.approx(1 - 0.11)


def test_misses_cost_twice_where_they_matter_most() -> None:
    one_of_two = [(labelled((400, 499), (700, 799)), [400])]
    assert score(one_of_two, STANDARD).normalised == pytest.approx(50.0)
    assert score(one_of_two, LOW_FN).raw == pytest.approx(1 - 2.0)
    assert score(one_of_two, LOW_FN).normalised == pytest.approx(100 * (-1 + 4) / (2 + 4))


def test_nothing_counts_in_the_first_rows_of_a_series() -> None:
    assert (probation_rows(1000), probation_rows(5_000), probation_rows(15_902)) == (150, 750, 750)
    assert raw([10, 149, 400], (400, 499)) == pytest.approx(1.0)
    # A window that ends in them cannot be hit, and is none.
    assert score([(labelled((50, 120), (400, 499)), [60, 400])], STANDARD).windows == 1


def test_scores_of_series_are_added_before_they_are_normalised() -> None:
    found = score([(labelled((400, 499)), [400]), (labelled((400, 499), (700, 799)), [])], STANDARD)
    assert found.normalised == pytest.approx(100 * (1 - 2 + 3) / 6)


def test_a_folder_of_labelled_series_is_read(tmp_path: Path) -> None:
    rows = "".join(f"2015-03-01 00:{minute:02d}:53,{minute}\n" for minute in range(2, 60, 5))
    (tmp_path / "Acme.csv.gz").write_bytes(gzip.compress(f"timestamp,value\n{rows}".encode()))
    labels = {"Acme.csv": [["2015-03-01 00:12:53.000000", "2015-03-01 00:22:53.000000"]]}
    (tmp_path / "windows.json").write_text(json.dumps(labels), encoding="utf-8")
    (one,) = read_folder(tmp_path)
    assert one.name == "Acme"
    assert one.values[:3] == (2, 7, 12)
    assert one.windows == ((2, 4),)
