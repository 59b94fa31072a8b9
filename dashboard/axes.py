"""Where things stand on a chart that the server draws: ticks of time and of value, in percent of the plot."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

# Steps of time that people count in; five labels or so fit a telephone.
_STEPS: Final = tuple(
    timedelta(minutes=minutes)
    for minutes in (15, 30, 60, 120, 180, 360, 720, 1440, 2 * 1440, 7 * 1440, 14 * 1440, 30 * 1440, 91 * 1440)
)
_MOST_TICKS: Final = 5
_MOST_LEVELS: Final = 4


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place, in percent from the left or from the top."""

    place: float
    words: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time on the chart, in percent from the left, with what it is."""

    left: float
    width: float
    words: str


def place(moment: datetime, start: datetime, end: datetime) -> float:
    """Give where a moment stands between two others, in percent; it may lie outside."""
    return 100 * ((moment - start) / (end - start))


def stretch(first: datetime, last: datetime, start: datetime, end: datetime, words: str) -> Span:
    """Give a stretch of time, cut to what is shown; a moment is still seen."""
    left, right = max(0.0, place(first, start, end)), min(100.0, place(last, start, end))
    return Span(left, max(0.3, right - left), words)


def time_ticks(start: datetime, end: datetime) -> tuple[Tick, ...]:
    """Give labels of UTC times; the day stands where it changes."""
    step = next((step for step in _STEPS if (end - start) / step <= _MOST_TICKS), None)
    if step is None:
        step = timedelta(days=math.ceil((end - start) / timedelta(days=_MOST_TICKS)))
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    moment = epoch + math.ceil((start - epoch) / step) * step
    ticks = []
    while moment <= end:
        at_midnight = not (moment.hour or moment.minute)
        words = f"{moment.day} {moment:%b}" if at_midnight else f"{moment:%H:%M}"
        if step > timedelta(days=80):
            words = f"{moment:%b %Y}"
        ticks.append(Tick(place(moment, start, end), words))
        moment += step
    # A label at the very edge would be cut.
    return tuple(tick for tick in ticks if 4 <= tick.place <= 96)


def levels(low: float, high: float) -> tuple[float, ...]:
    """Give round values that cover `[low, high]`: the first at or below it, the last at or above."""
    rough = max(high - low, 1e-9) / _MOST_LEVELS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * size for factor in (1, 2, 5, 10) if factor * size >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(number * step, 10) for number in range(first, max(last, first + 1) + 1))
