"""Spikes made up with exact truth: what the detector finds of them, how late, and how often it cries over nothing.

Counts are negative binomial around a daily and weekly cycle of a zone with summer time, times a slow wander. Onto
them come ramps, level shifts and sudden crises, which must be found; and floods by one author, one story printed
everywhere, outages and their backfill, and changes of clocks, which must not be. Shares shift at constant volume.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from alerts.detector import backtest, begun
from alerts.doubts import Spread, doubts
from alerts.records import Doubt, Reading
from alerts.rule import DEFAULT_RULES, Metric, Rule
from alerts.series import Series
from domain.clock import to_ms

ZONE: Final = ZoneInfo("America/New_York")
# Summer time begins there in the second week of what is generated.
START: Final = datetime(2026, 2, 23, tzinfo=UTC)
DAY: Final = 288
WEEK: Final = 7 * DAY
# Negative mentions in five minutes, from a brand that is named thrice a day to one that is named every six seconds.
BASES: Final = (0.01, 0.05, 0.2, 1.0, 5.0, 20.0, 50.0)
# Sizes of the negative binomial of an hour: bursty, and as brands usually are.
SIZES: Final = (4.0, 10.0)
WEEKS: Final = 5
# With events, one about every week after the first two.
EVENTFUL_WEEKS: Final = 8
# What is found so long after an event began was found too late.
IN_TIME: Final = timedelta(hours=12) // timedelta(minutes=5)
KINDS: Final = ("crisis", "ramp", "shift", "flood", "story", "outage")
MUST_BE_FOUND: Final = ("crisis", "ramp", "shift", "share")


@dataclass(frozen=True, slots=True)
class Event:
    """What was put into a series: buckets `[start, end)`."""

    kind: str
    start: int
    end: int


@dataclass(slots=True)
class Made:
    """A made-up brand: its counts, what is in them, and over how many authors and stories a bucket is spread."""

    series: Series
    events: list[Event] = field(default_factory=list)
    # Of each bucket, the mentions that one author, and one story, has.
    by_one_author: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    by_one_story: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True, slots=True)
class Result:
    """How a set of brands was judged. Delays are in minutes."""

    brand_weeks: float
    events: int
    found: int
    alerts: int
    false_alarms: int
    delays: tuple[float, ...]

    @property
    def precision(self) -> float | None:
        """Share of alerts that are of an event; None where there is neither."""
        return 1 - self.false_alarms / self.alerts if self.alerts and self.events else None

    @property
    def recall(self) -> float | None:
        """Share of events that were found in time; None where there are none."""
        return self.found / self.events if self.events else None

    @property
    def median_delay(self) -> float | None:
        """Minutes from the beginning of an event to its alert."""
        return median(self.delays) if self.delays else None

    @property
    def false_per_week(self) -> float:
        """False alarms per brand and week."""
        return self.false_alarms / self.brand_weeks


def cycle(buckets: int, zone: ZoneInfo) -> np.ndarray:
    """Give how each bucket compares with the mean, by the clocks of a zone; shape (buckets,)."""
    shape = np.empty(buckets)
    for hour in range(-(-buckets // 12)):
        local = (START + timedelta(hours=hour)).astimezone(zone)
        by_day = math.exp(0.9 * math.sin((local.hour - 9) / 24 * 2 * math.pi))
        shape[hour * 12 : (hour + 1) * 12] = by_day * (0.65 if local.weekday() >= 5 else 1.0)
    return shape / shape.mean()


def quiet(base: float, size: float, draw: np.random.Generator, weeks: int = WEEKS) -> np.ndarray:
    """Give the expected counts of a brand without any spike, noise of hours included; shape (buckets,)."""
    buckets = weeks * WEEK
    noise = np.repeat(draw.gamma(size, 1 / size, buckets // 12), 12)
    # A slow wander of the level: a deviation of 15 % with a memory of days.
    steps = draw.normal(0, 0.02, buckets // 12)
    wander = np.empty(len(steps))
    value = 0.0
    for place, step in enumerate(steps):
        value = 0.99 * value + step
        wander[place] = value
    return base * cycle(buckets, ZONE) * noise * np.repeat(np.exp(wander), 12)


def calm(base: float, size: float, draw: np.random.Generator) -> Made:
    """Give a brand to which nothing happens."""
    return _made(draw.poisson(quiet(base, size, draw)), [], draw)


def eventful(base: float, size: float, draw: np.random.Generator) -> Made:
    """Give a brand with one event of each kind, one in each week after two weeks of nothing."""
    means = quiet(base, size, draw, EVENTFUL_WEEKS)
    counts = draw.poisson(means)
    one_author, one_story = np.zeros(len(counts), np.int64), np.zeros(len(counts), np.int64)
    events, known = [], np.ones(len(counts), np.bool_)
    for place, kind in enumerate(draw.permutation(KINDS)):
        start = 2 * WEEK + place * 7 * DAY + int(draw.integers(4 * DAY))
        length = int(draw.integers(36, 96))
        # Six times the usual, and never less than 20 mentions an hour: less is no crisis.
        extra = np.maximum(5 * means[start : start + length], 20 / 12)
        if kind == "ramp":
            length = int(draw.integers(120, 200))
            extra = np.maximum(7 * means[start : start + length], 30 / 12) * np.linspace(0, 1, length)
        elif kind == "shift":
            # To four times, for two days.
            length = 2 * DAY
            extra = np.maximum(3 * means[start : start + length], 20 / 12)
        added = draw.poisson(extra)
        if kind == "outage":
            # Nothing, and then all of it at once, filled up afterwards: no evidence either way.
            counts[start + length : start + length + 3] += counts[start : start + length].sum() // 3
            counts[start : start + length] = 0
            known[start : start + length + 3] = False
        else:
            counts[start : start + length] += added
            if kind == "flood":
                one_author[start : start + length] += added
            elif kind == "story":
                one_story[start : start + length] += added
        events.append(Event(str(kind), start, start + length))
    made = _made(counts, events, draw)
    made.series = replace(made.series, known=known)
    made.by_one_author, made.by_one_story = one_author, one_story
    return made


def shifting(base: float, draw: np.random.Generator) -> Made:
    """Give a brand whose volume stays as it is, and whose negative share rises from a fifth by a half at times."""
    buckets = WEEKS * WEEK
    mentions = draw.poisson(quiet(base, 10.0, draw))
    share = np.repeat(draw.beta(20, 80, buckets // 12), 12)
    events = []
    for place in range(4):
        start = 2 * WEEK + place * 4 * DAY + int(draw.integers(2 * DAY))
        length = int(draw.integers(72, 144))
        share[start : start + length] = np.clip(share[start : start + length] + 0.5, 0, 0.95)
        events.append(Event("share", start, start + length))
    negative = draw.binomial(mentions, share)
    made = _made(negative, events, draw)
    rest = mentions - negative
    made.series = replace(made.series, mentions=mentions, neutral=rest - rest // 3, positive=rest // 3)
    return made


def _made(negative: np.ndarray, events: list[Event], draw: np.random.Generator) -> Made:
    others = draw.poisson(np.maximum(negative.mean(), 0.01) * 2, len(negative))
    series = Series(
        to_ms(START),
        (negative + others).astype(np.int64),
        negative.astype(np.int64),
        others.astype(np.int64),
        np.zeros(len(negative), np.int64),
        np.ones(len(negative), np.bool_),
    )
    return Made(series, events, np.zeros(len(negative), np.int64), np.zeros(len(negative), np.int64))


def judge(made: Made, rule: Rule) -> Result:
    """Walk over a made-up brand, from the end of its first week, and compare alerts with events."""
    series = made.series
    steps = backtest(series, rule, series.start_ms, series.end_ms, doubts=lambda reading: _against(made, rule, reading))
    places = [series.place(each.end_ms) - 1 for each in begun(steps)]
    wanted = [event for event in made.events if event.kind in MUST_BE_FOUND]
    delays, explained = [], set()
    for event in wanted:
        # Until a window after its end it is still told of.
        until = event.end + rule.window_buckets
        inside = [place for place in places if event.start <= place < until]
        explained.update(inside)
        if inside and inside[0] - event.start <= IN_TIME:
            delays.append((inside[0] - event.start + 1) * 5.0)
    return Result(
        len(series) / WEEK, len(wanted), len(delays), len(places), len(places) - len(explained), tuple(delays)
    )


def _against(made: Made, rule: Rule, reading: Reading) -> frozenset[Doubt]:
    """Give the doubts of a made-up window: the loud author or story is one, the others are all different."""
    stop = made.series.place(to_ms(reading.end))
    window = slice(max(stop - reading.window_minutes // 5, 0), stop)
    total = int(made.series.negative[window].sum())
    author, story = int(made.by_one_author[window].sum()), int(made.by_one_story[window].sum())
    found = Spread(total, total - max(author - 1, 0), total - max(story - 1, 0), author, story, {})
    return doubts(rule, reading, found, (), (), backfilled=not bool(made.series.known[window].all()))


def together(results: list[Result]) -> Result:
    """Add results up."""
    return Result(
        sum(each.brand_weeks for each in results),
        sum(each.events for each in results),
        sum(each.found for each in results),
        sum(each.alerts for each in results),
        sum(each.false_alarms for each in results),
        tuple(delay for each in results for delay in each.delays),
    )


def cases(seed: int, brands: int) -> Iterator[tuple[str, Made, Rule]]:
    """Give made-up brands by what they are for, with the rule that watches each; the same for the same seed.

    `brands` is how many there are of each base rate and size.
    """
    draw = np.random.default_rng(seed)
    rule = DEFAULT_RULES[0]
    share = Rule(rule_id="share", metric=Metric.NEGATIVE_SHARE)
    for _ in range(brands):
        for base in BASES:
            for size in SIZES:
                yield f"calm, size {size:g}", calm(base, size, draw), rule
            yield "events", eventful(base, SIZES[-1], draw), rule
            if base >= 1:
                yield "share", shifting(base, draw), share
