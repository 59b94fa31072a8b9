"""What is usual for a brand at a time of the week: a profile of its hours, and a level that moves with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alerts.tuning import Tuning

Floats = npt.NDArray[np.float64]
Hours = npt.NDArray[np.int64]

DAY: Final = 24
WEEK: Final = 168
# 1970-01-01 was a Thursday; weeks here begin on Monday.
MONDAY: Final = 72
# Nothing is expected to be impossible.
LEAST: Final = 1e-3
# The estimate of what is usual and of what is too much to be usual need each other; by four rounds nothing moves.
ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Season:
    """What was usual of a history of N hours.

    `profile`, shape (168,): how each hour of the week compares with the level, Monday 00:00 UTC first. `levels`, shape
    (N + 1,): mentions an hour as known before each hour, and at the end. `settled`, shape (N,): what each hour would
    have been expected to have by one who also knows what came after it, so that a level that changed is no surprise.
    """

    profile: Floats
    levels: Floats
    settled: Floats


def season_of(counts: Floats, heard: Floats, first_hour: int, tuning: Tuning) -> Season:
    """Find what is usual. What is far above it counts only as far as it could be usual: spikes teach nothing.

    Args:
        counts: shape (N,), mentions of each hour; N is 1 or more.
        heard: shape (N,), which part of each hour is known, in [0, 1].
        first_hour: number of the first hour since 1970.
        tuning: how fast to learn.
    """
    size = len(counts)
    hours = first_hour + np.arange(size)
    of_day, of_week = hours % DAY, (hours + MONDAY) % WEEK
    age = np.arange(size)[::-1] / DAY
    weights = 0.5 ** (age / tuning.season_half_days)
    # A mean of roots is moved by spikes much less than a mean.
    known = max(float(np.sum(weights * heard)), 1e-9)
    level = max(float(np.sum(weights * np.sqrt(counts * heard))) / known, 0.0) ** 2
    levels = np.full(size + 1, max(level, LEAST))
    usual = np.maximum(levels[:-1] * heard, LEAST)
    profile, spread, half = np.ones(WEEK), tuning.size_prior, tuning.level_half_hours
    for _ in range(ROUNDS):
        cap = usual + tuning.cap_deviations * np.sqrt(usual + usual**2 / spread) + 1
        capped = np.minimum(counts, cap)
        # Two spikes at the same hour would make a habit, so what is cut says nothing of the time of day and week. The
        # level it moves, as far as it may: a new level is one that stays.
        plain = np.where(counts > cap, usual, counts)
        profile = _profile(weights * plain, weights * levels[:-1] * heard, of_day, of_week, tuning)
        shape = profile[of_week] * heard
        overall = (np.sum(weights * capped) + tuning.prior_rate * tuning.prior_hours) / (
            np.sum(weights * shape) + tuning.prior_hours
        )
        levels = (_faded(capped, half) + overall * tuning.prior_hours) / (_faded(shape, half) + tuning.prior_hours)
        usual = np.maximum(levels[:-1] * shape, LEAST)
        spread = size_of(capped, usual, weights, tuning.size_prior, tuning.size_prior_hours)
    around = _faded(capped, half) + _faded(capped[::-1], half)[::-1]
    of = _faded(shape, half) + _faded(shape[::-1], half)[::-1]
    levels_after = (around[:-1] + overall * tuning.prior_hours) / (of[:-1] + tuning.prior_hours)
    return Season(profile, np.maximum(levels, LEAST), levels_after * shape)


def size_of(counts: Floats, usual: Floats, weights: Floats, prior: float, prior_rows: float) -> float:
    """Give the size of the negative binomial that fits counts around what is usual; from 0.1 to 200.

    By moments, the prior weighing as much as `prior_rows` rows of weight 1.
    """
    squares, total = float(np.sum(weights * usual**2)), float(np.sum(weights))
    extra = float(np.sum(weights * ((counts - usual) ** 2 - usual)))
    as_much = prior_rows * (squares / total if total > 0 else 1.0)
    return float(np.clip((squares + as_much) / (max(extra, 0.0) + as_much / prior + 1e-9), 0.1, 200.0))


def _profile(counts: Floats, usual: Floats, of_day: Hours, of_week: Hours, tuning: Tuning) -> Floats:
    """Give the profile of the week: of the day first, then how days differ, each drawn towards knowing nothing."""
    rows = max(len(counts), 1)
    an_hour = max(float(np.sum(usual)) / rows, LEAST)
    prior = tuning.day_prior * an_hour
    day = (np.bincount(of_day, counts, DAY) + prior) / (np.bincount(of_day, usual, DAY) + prior)
    # Neighbouring hours are alike, also across a change of clocks.
    day = 0.25 * np.roll(day, 1) + 0.5 * day + 0.25 * np.roll(day, -1)
    day /= day.mean()
    by_week = np.tile(day, WEEK // DAY)
    seen = np.bincount(of_week, counts, WEEK).astype(np.float64)
    expected = np.bincount(of_week, usual * day[of_day], WEEK).astype(np.float64)
    weight = tuning.week_prior * an_hour * 3 * by_week
    week = (_three(seen) + weight) / (_three(expected) + weight)
    return np.asarray(by_week * week)


def _three(values: Floats) -> Floats:
    """Give the sum of each hour and its neighbours."""
    return np.asarray(np.roll(values, 1) + values + np.roll(values, -1))


def _faded(values: Floats, half_hours: float) -> Floats:
    """Give, before each row and at the end, the sum of what came before, fading by half in so many rows."""
    # Growing weights and one running sum: of 56 days and half-lives of some hours, floats hold the largest easily.
    grown = 2.0 ** (np.arange(len(values) + 1) / half_hours)
    sums: Floats = np.concatenate([[0.0], np.cumsum(values * grown[:-1])]) / grown
    return np.asarray(sums * 2.0 ** (1 / half_hours))
