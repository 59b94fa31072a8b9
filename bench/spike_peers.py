"""What spikes are found by elsewhere: a windowed Gaussian, and S-H-ESD over a daily season. Implementations of our own.

Each gives one number a row, the higher the more unusual, from what came before it only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

DAY: Final = 288
# The Gaussian looks back on as many rows as the benchmark's own detector of that name.
GAUSSIAN_ROWS: Final = 6400
# S-H-ESD wants some seasons: two weeks.
SEASONS: Final = 14


def windowed_gaussian(values: np.ndarray) -> np.ndarray:
    """Give how many deviations each value lies above the mean of the rows before it; shape (N,)."""
    passed = np.concatenate([[0.0], np.cumsum(values)])
    squares = np.concatenate([[0.0], np.cumsum(values**2)])
    rows = np.arange(len(values))
    first = np.maximum(rows - GAUSSIAN_ROWS, 0)
    count = np.maximum(rows - first, 1)
    mean = (passed[rows] - passed[first]) / count
    deviation = np.sqrt(np.maximum((squares[rows] - squares[first]) / count - mean**2, 0))
    return np.where(rows > DAY, (values - mean) / np.maximum(deviation, 1e-3), 0.0)


def seasonal_esd(values: np.ndarray) -> np.ndarray:
    """Give how many robust deviations each value lies above its season and level; shape (N,).

    Of the days before: the median of each time of day is the season, the median of what is left the level, and its
    median absolute deviation the scale, as S-H-ESD has them; tested one by one, as it arrives.
    """
    found = np.zeros(len(values))
    for start in range(2 * DAY, len(values), DAY):
        past = values[max(start - SEASONS * DAY, 0) : start]
        past = past[len(past) % DAY :].reshape(-1, DAY)
        season = np.median(past, axis=0) - np.median(past)
        rest = past - season
        level = np.median(rest)
        scale = max(1.4826 * float(np.median(np.abs(rest - level))), 0.5)
        now = values[start : start + DAY]
        found[start : start + DAY] = (now - season[: len(now)] - level) / scale
    return found


PEERS: Final[Mapping[str, Callable[[np.ndarray], np.ndarray]]] = {
    "windowed_gaussian": windowed_gaussian,
    "seasonal_s_h_esd": seasonal_esd,
}
