"""What a brand's own history leads to expect of a window, and how far from it a window must lie to be a spike."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from alerts.rarity import Tail, divergence, tail_of
from alerts.rule import Metric, Rule
from alerts.season import DAY, LEAST, MONDAY, WEEK, Season, season_of, size_of
from alerts.series import BUCKET_MS, Series
from alerts.tuning import THRESHOLDS, Tuning

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]

HOUR_MS: Final = 3_600_000
PER_HOUR: Final = HOUR_MS // BUCKET_MS
MAX_BUCKETS: Final = DAY * PER_HOUR
# Overlapping windows say much the same: four of each length are judged, the rest would only cost time.
STEPS: Final = 4
# What diverges further is left out when the size of the negative binomial is found: three deviations.
OUTLIER: Final = 4.5
# A window of which less is known says nothing.
LEAST_KNOWN: Final = 0.5
# A share of fewer mentions says nothing about how shares vary.
LEAST_MENTIONS: Final = 5


@dataclass(frozen=True, slots=True)
class Span:
    """Windows of one length: what they are compared with.

    `level` is mentions an hour for counts; for shares and net sentiment the usual value. `spread` is the size of the
    negative binomial; there the deviation from window to window. A window that diverges by `limit` is a spike.
    `ready`: the brand was heard for long enough to tell a spike from the beginning of listening. `passed` is the
    profile of the week, summed up to each hour: 169 numbers, for counts only.
    """

    buckets: int
    level: float
    spread: float
    limit: float
    tail: Tail
    ready: bool
    passed: tuple[float, ...] = ()

    def expected(self, end_ms: int) -> float:
        """Give the count that is expected of the window that ends at a moment."""
        return self.level * (self._until(end_ms) - self._until(end_ms - self.buckets * BUCKET_MS))

    def _until(self, ms: int) -> float:
        weeks, hours = divmod(ms / HOUR_MS + MONDAY, WEEK)
        hour = int(hours)
        before = self.passed[hour]
        return weeks * self.passed[WEEK] + before + (self.passed[hour + 1] - before) * (hours - hour)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is usual of one filter and rule, as known at `at_ms`; it holds for about an hour.

    `spans` are the rule's window and the longer one by which slow rises are seen.
    """

    at_ms: int
    metric: Metric
    spans: tuple[Span, ...]
    little_history: bool


@dataclass(frozen=True, slots=True)
class _Past:
    """The part of a series that teaches: whole hours since the brand was first heard. Arrays have a row a bucket.

    `counts` are what the metric counts: for net sentiment positive less negative mentions. `judged` is what shares
    and net sentiment are of.
    """

    first_hour: int
    counts: Floats
    judged: Floats
    known: Floats

    @property
    def hours(self) -> int:
        return len(self.known) // PER_HOUR


def fit(series: Series, at_ms: int, rule: Rule, tuning: Tuning) -> Baseline:
    """Learn what is usual from what was known before a moment.

    Args:
        series: counts; what lies at or after `at_ms` is not looked at. It may be empty.
        at_ms: the moment, in milliseconds since 1970.
        rule: gives metric, window and sensitivity.
        tuning: how to learn.
    """
    lengths = [rule.window_buckets]
    if rule.window_buckets < MAX_BUCKETS:
        lengths.append(min(rule.window_buckets * tuning.sustained, MAX_BUCKETS))
    spans = tuple(_span(series, at_ms, rule, length, tuning) for length in lengths)
    heard = float(_past(series, at_ms, rule, tuning).known.sum()) / PER_HOUR
    return Baseline(at_ms, rule.metric, spans, heard < tuning.little_history_hours)


def _span(series: Series, at_ms: int, rule: Rule, buckets: int, tuning: Tuning) -> Span:
    """Compare past windows of a length with what was usual, of before the window that will be judged.

    A long window would else teach that it is usual itself.
    """
    behind = max(-(-buckets // PER_HOUR) - 1, 0)
    past = _past(series, at_ms - behind * HOUR_MS, rule, tuning)
    ends = _ends(past, buckets, tuning)
    passed: tuple[float, ...] = ()
    if rule.metric in (Metric.VOLUME, Metric.NEGATIVE):
        season = _season(past, tuning)
        level = float(season.levels[-1])
        passed = tuple(float(each) for each in np.concatenate([[0.0], np.cumsum(season.profile)]))
        spread, far = _counts(past, season, ends, buckets, behind, tuning)
    else:
        level, spread, far = _means(past, rule.metric, ends, buckets, tuning)
    tail = _tail(far, ends, past, tuning)
    threshold = THRESHOLDS[rule.sensitivity]
    # A history of five days cannot tell what happens once in fourteen.
    every_days = min(threshold.every_days, max(past.hours / DAY, 1.0))
    by_history = tail.limit(tuning.block_hours / DAY / every_days)
    limit = max(-math.log(threshold.chance), by_history)
    # A day, and four windows to compare with.
    ready = float(past.known.sum()) / PER_HOUR >= tuning.min_history_hours + STEPS * buckets / PER_HOUR
    return Span(buckets, level, spread, limit, tail, ready, passed)


def _past(series: Series, at_ms: int, rule: Rule, tuning: Tuning) -> _Past:
    end_hour = min(at_ms, series.end_ms) // HOUR_MS
    first_hour = max(-(-series.start_ms // HOUR_MS), end_hour - tuning.history_days * DAY)
    size = max(end_hour - first_hour, 0) * PER_HOUR
    start = max(series.place(first_hour * HOUR_MS), 0)
    # Before it was first heard nobody listened; that is no evidence of silence.
    said = series.mentions[start : start + size] > 0
    silent = (int(np.argmax(said)) if said.any() else size) // PER_HOUR
    if series.listened:
        silent = 0
    rows = slice(start + silent * PER_HOUR, start + size)
    known = series.known[rows].astype(np.float64)
    judged = np.zeros(0)
    counts = series.mentions[rows] if rule.metric is Metric.VOLUME else series.negative[rows]
    if rule.metric in (Metric.NEGATIVE_SHARE, Metric.NET_SENTIMENT):
        judged = (series.negative[rows] + series.neutral[rows] + series.positive[rows]) * known
    if rule.metric is Metric.NET_SENTIMENT:
        counts = series.positive[rows] - counts
    return _Past(first_hour + silent, counts * known, judged, known)


def _season(past: _Past, tuning: Tuning) -> Season:
    if not past.hours:
        return Season(np.ones(WEEK), np.full(1, tuning.prior_rate), np.zeros(0))
    by_hour = past.counts.reshape(past.hours, PER_HOUR).sum(axis=1)
    heard = past.known.reshape(past.hours, PER_HOUR).sum(axis=1) / PER_HOUR
    return season_of(by_hour, heard, past.first_hour, tuning)


def _counts(
    past: _Past, season: Season, ends: Places, buckets: int, behind: int, tuning: Tuning
) -> tuple[float, Floats]:
    """Give the size of the negative binomial of past windows, and how far each diverged."""
    levels = np.concatenate([np.full(behind, season.levels[0]), season.levels])
    observed, known = _sums(past.counts, ends, buckets), _sums(past.known, ends, buckets) / buckets
    passed = np.concatenate([[0.0], np.cumsum(np.tile(season.profile, 2 + past.hours // WEEK))])
    offset = (past.first_hour + MONDAY) % WEEK
    upto = np.interp(offset + np.concatenate([ends - buckets, ends]) / PER_HOUR, np.arange(len(passed)), passed)
    shape = (upto[len(ends) :] - upto[: len(ends)]) * known
    usual = np.maximum(levels[(ends - 1) // PER_HOUR] * shape, LEAST)
    weights = _weights(ends, past, tuning.season_half_days) * (known >= LEAST_KNOWN)
    # As many windows as there are in an hour overlap; together they weigh as much as the hour.
    prior_rows = tuning.size_prior_hours * STEPS * PER_HOUR / buckets
    # How much counts vary is asked around a level that also knows what came after, or each change of level would make
    # the brand seem restless for weeks.
    upto = np.concatenate([[0.0], np.cumsum(season.settled)])
    settled = np.interp(np.concatenate([ends - buckets, ends]) / PER_HOUR, np.arange(len(upto)), upto)
    settled = np.maximum(settled[len(ends) :] - settled[: len(ends)], LEAST)
    size = tuning.size_prior
    for _ in range(3):
        inside = weights * (divergence(observed, settled, size) < OUTLIER)
        size = size_of(observed, settled, inside, tuning.size_prior, prior_rows)
    far = divergence(observed, usual, size)
    return size, far * (known >= LEAST_KNOWN)


def _means(past: _Past, metric: Metric, ends: Places, buckets: int, tuning: Tuning) -> tuple[float, float, Floats]:
    """Give the usual share or net sentiment, its deviation from window to window, and how far each window diverged."""
    weights = 0.5 ** (np.arange(len(past.counts))[::-1] / PER_HOUR / tuning.share_half_hours)
    # As if twenty mentions had been seen, a third of them negative, as many positive.
    third = 1 / 3 if metric is Metric.NEGATIVE_SHARE else 0.0
    level = float((np.sum(weights * past.counts) + 20 * third) / (np.sum(weights * past.judged) + 20))
    of, said = _sums(past.judged, ends, buckets), _sums(past.counts, ends, buckets)
    enough = of >= LEAST_MENTIONS
    counted = np.maximum(of, 1.0)
    each = level * (1 - level) if metric is Metric.NEGATIVE_SHARE else 2 / 3 - level**2
    strayed = said / counted - level
    fit_weights = _weights(ends, past, tuning.season_half_days) * enough
    prior_rows = tuning.size_prior_hours * STEPS * PER_HOUR / buckets
    variance = tuning.share_spread**2
    for _ in range(3):
        calm = fit_weights * (strayed**2 < 2 * OUTLIER * (each / counted + variance))
        extra = float(np.sum(calm * (strayed**2 - each / counted)))
        variance = (prior_rows * tuning.share_spread**2 + max(extra, 0.0)) / (prior_rows + float(np.sum(calm)))
    sign = 1.0 if metric is Metric.NEGATIVE_SHARE else -1.0
    far = np.maximum(sign * strayed, 0.0) ** 2 / (2 * (each / counted + variance)) * enough
    return level, math.sqrt(variance), far


def _tail(far: Floats, ends: Places, past: _Past, tuning: Tuning) -> Tail:
    """Give the tail of what strayed."""
    block = (past.hours * PER_HOUR - ends) // (tuning.block_hours * PER_HOUR)
    blocks = int(block[0]) if len(block) else 0
    largest = np.zeros(blocks)
    # The block that is not whole, the oldest, is left out.
    inside = block < blocks
    np.maximum.at(largest, block[inside], far[inside])
    ages = (np.arange(blocks) + 0.5) * tuning.block_hours / DAY
    largest = _episodes(largest)
    return tail_of(largest, 0.5 ** (ages / tuning.tail_half_days), tuning.tail_prior, tuning.tail_steepness)


def _episodes(largest: Floats) -> Floats:
    """Leave of blocks in a row that stand out only the one that does most: one crisis of two days is one event."""
    found = largest.copy()
    peak = -1
    for place, beyond in enumerate((largest > OUTLIER).tolist()):
        if not beyond:
            peak = -1
        elif peak < 0:
            peak = place
        elif found[place] > found[peak]:
            found[peak], peak = 0.0, place
        else:
            found[place] = 0.0
    return found


def _ends(past: _Past, buckets: int, tuning: Tuning) -> Places:
    """Give the ends of the windows that teach, as numbers of buckets: none of the first day, when all was new."""
    size = past.hours * PER_HOUR
    step = max(buckets // STEPS, 1)
    first = tuning.min_history_hours * PER_HOUR + buckets
    return np.arange(size, first, -step, dtype=np.int64)[::-1]


def _sums(values: Floats, ends: Places, buckets: int) -> Floats:
    passed = np.concatenate([[0.0], np.cumsum(values)])
    return np.asarray(passed[ends] - passed[ends - buckets])


def _weights(ends: Places, past: _Past, half_days: float) -> Floats:
    ages = (past.hours * PER_HOUR - ends) / (DAY * PER_HOUR)
    return np.asarray(0.5 ** (ages / half_days))
