"""Ticks of time and of value on charts that the server draws."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.axes import levels, stretch, time_ticks

START = datetime(2026, 3, 14, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, (0, 50, 100)),
        (0, 41, (0, 20, 40, 60)),
        (0, 4, (0, 1, 2, 3, 4)),
        (0, 0.2, (0, 0.05, 0.1, 0.15, 0.2)),
        (-0.4, 0.3, (-0.4, -0.2, 0, 0.2, 0.4)),
        (0, 0, (0,)),
    ],
)
def test_levels_are_round_and_cover_what_is_drawn(low: float, high: float, expected: tuple[float, ...]) -> None:
    found = levels(low, high)
    assert found[: len(expected)] == pytest.approx(expected)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_levels_cover_any_span_with_few_of_them(low: float, length: float) -> None:
    found = levels(low, low + length)
    assert 2 <= len(found) <= 7
    assert found[0] <= low + 1e-6 * abs(low) + 1e-9
    assert found[-1] >= low + length - 1e-6 * abs(low + length) - 1e-9
    assert list(found) == sorted(set(found))


@pytest.mark.parametrize("hours", [1, 3, 24, 48, 24 * 14, 24 * 100, 24 * 365 * 15])
def test_times_have_few_labels_in_order_wherever_a_span_begins(hours: int) -> None:
    found = time_ticks(START, START + timedelta(hours=hours))
    assert 1 <= len(found) <= 6
    assert [tick.place for tick in found] == sorted(tick.place for tick in found)
    assert len({tick.words for tick in found}) == len(found)
    assert all(4 <= tick.place <= 96 for tick in found)


def test_the_day_is_named_where_it_changes() -> None:
    found = time_ticks(START, START + timedelta(hours=24))
    assert [tick.words for tick in found] == ["18:00", "15 Mar", "06:00"]


def test_a_stretch_is_cut_to_what_is_shown_and_a_moment_is_seen() -> None:
    end = START + timedelta(hours=10)
    whole = stretch(START - timedelta(days=1), end + timedelta(days=1), START, end, "")
    assert (whole.left, whole.width) == (0, 100)
    assert stretch(START, START, START, end, "").width == 0.3
