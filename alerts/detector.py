"""Whether a window is a spike: one reading of it, and the walk over a history by the same code."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from alerts.baseline import HOUR_MS, LEAST_KNOWN, Baseline, Span, fit
from alerts.episode import MINUTE_MS, Change, Episode, step
from alerts.rarity import divergence_of, fallen_to, reached_at, share_divergence
from alerts.records import Doubt, Level, Reading
from alerts.rule import Metric, Rule
from alerts.season import LEAST
from alerts.series import BUCKET_MS, Series, bucket_time
from alerts.tuning import SHIPPED, Tuning

_TO_SURPRISE: Final = 1 / math.log(10)
# A slow rise must still go on in the latest window, and be of more mentions than a sudden one.
GOES_ON: Final = 1.5
SUSTAINED_MENTIONS: Final = 2


@dataclass(frozen=True, slots=True)
class Detector:
    """Compares windows with what a brand's own history leads to expect. Pure; thread-safe."""

    tuning: Tuning = SHIPPED

    def fit(self, series: Series, at_ms: int, rule: Rule) -> Baseline:
        """Learn from what was known before a moment. Costs some milliseconds; to be done again about once an hour."""
        return fit(series, at_ms, rule, self.tuning)

    def read(self, baseline: Baseline, series: Series, end_ms: int, rule: Rule) -> Reading | None:
        """Read the window that ends at a moment; None where less than half of it is known.

        Args:
            baseline: fitted for the same filter and rule.
            series: counts that reach from a day before `end_ms` up to it.
            end_ms: a multiple of BUCKET_MS.
            rule: with its floors.
        """
        own = self._window(baseline, baseline.spans[0], series, end_ms, rule)
        if own is None:
            return None
        for span in baseline.spans[1:]:
            longer = self._window(baseline, span, series, end_ms, rule)
            if longer is None or _ORDER[longer.level] <= _ORDER[own.level]:
                continue
            if _goes_on(own, longer):
                return longer
        return own

    def read_own(self, baseline: Baseline, series: Series, end_ms: int, rule: Rule) -> Reading | None:
        """Read the window of the rule's own length alone, as `read` else: the readings of a chart are alike."""
        return self._window(baseline, baseline.spans[0], series, end_ms, rule)

    def _window(self, baseline: Baseline, span: Span, series: Series, end_ms: int, rule: Rule) -> Reading | None:
        stop = series.place(end_ms)
        start = max(stop - span.buckets, 0)
        if not 0 < stop <= len(series):
            return None
        known = series.known[start:stop]
        part = int(known.sum()) / span.buckets
        if part < LEAST_KNOWN:
            return None
        negative = int(series.negative[start:stop][known].sum()) if rule.metric is not Metric.VOLUME else 0
        if rule.metric in (Metric.VOLUME, Metric.NEGATIVE):
            count = negative if rule.metric is Metric.NEGATIVE else int(series.mentions[start:stop][known].sum())
            return self._count(baseline, span, count, part, end_ms, rule)
        positive = int(series.positive[start:stop][known].sum())
        judged = negative + positive + int(series.neutral[start:stop][known].sum())
        return self._mean(baseline, span, negative, positive, judged, end_ms, rule)

    def _count(self, baseline: Baseline, span: Span, count: int, part: float, end_ms: int, rule: Rule) -> Reading:
        expected = max(span.expected(end_ms) * part, LEAST)
        far = divergence_of(count, expected, span.spread)
        floor = rule.min_mentions * (SUSTAINED_MENTIONS if span is not baseline.spans[0] else 1)
        level = self._level(span, far, count >= floor, count / expected, rule.min_ratio)
        return Reading(
            end=bucket_time(end_ms),
            metric=rule.metric,
            level=level,
            observed=float(count),
            expected=expected,
            low=fallen_to(span.limit, expected, span.spread),
            high=reached_at(span.limit, expected, span.spread),
            ratio=count / expected,
            surprise=far * _TO_SURPRISE,
            mentions=count,
            little_history=baseline.little_history,
            window_minutes=span.buckets * BUCKET_MS // MINUTE_MS,
            needed=span.limit * _TO_SURPRISE,
        )

    def _mean(
        self, baseline: Baseline, span: Span, negative: int, positive: int, judged: int, end_ms: int, rule: Rule
    ) -> Reading:
        usual, of = span.level, max(judged, 1)
        if rule.metric is Metric.NEGATIVE_SHARE:
            each = usual * (1 - usual)
            observed = negative / of if judged else usual
            # Mentions of one window depend on each other as much as shares differ between windows.
            alike = of / (1 + of * span.spread**2 / each)
            far = share_divergence(observed, usual, alike)
        else:
            each = max(2 / 3 - usual**2, 0.05)
            observed = (positive - negative) / of if judged else usual
            far = max(usual - observed, 0.0) ** 2 / (2 * (each / of + span.spread**2))
        band = math.sqrt(2 * span.limit * (each / of + span.spread**2))
        floor = rule.min_mentions * (SUSTAINED_MENTIONS if span is not baseline.spans[0] else 1)
        level = self._level(span, far, negative >= floor, math.inf, rule.min_ratio)
        least = 0.0 if rule.metric is Metric.NEGATIVE_SHARE else -1.0
        return Reading(
            end=bucket_time(end_ms),
            metric=rule.metric,
            level=level,
            observed=observed,
            expected=usual,
            low=max(usual - band, least),
            high=min(usual + band, 1.0),
            ratio=None,
            surprise=far * _TO_SURPRISE,
            mentions=judged,
            little_history=baseline.little_history,
            window_minutes=span.buckets * BUCKET_MS // MINUTE_MS,
            needed=span.limit * _TO_SURPRISE,
        )

    def _level(self, span: Span, far: float, enough: bool, ratio: float, min_ratio: float) -> Level:
        if not span.ready:
            return Level.CALM
        if enough and far >= span.limit and ratio >= min_ratio:
            return Level.SPIKE
        halfway = 1 + (min_ratio - 1) / 2
        return Level.ELEVATED if far >= self.tuning.exit_share * span.limit and ratio >= halfway else Level.CALM


_ORDER: Final = {Level.CALM: 0, Level.ELEVATED: 1, Level.SPIKE: 2}


def _goes_on(own: Reading, longer: Reading) -> bool:
    """Tell whether the latest window takes part in what is seen in the longer one."""
    if own.ratio is not None:
        return own.ratio >= GOES_ON
    excess, of_longer = own.observed - own.expected, longer.observed - longer.expected
    return excess * of_longer > 0 and abs(excess) >= abs(of_longer) / 2


@dataclass(frozen=True, slots=True)
class Step:
    """One bucket of a walk over history."""

    end_ms: int
    reading: Reading | None
    episode: Episode


def backtest(
    series: Series,
    rule: Rule,
    start_ms: int,
    end_ms: int,
    *,
    detector: Detector = Detector(),
    doubts: Callable[[Reading], frozenset[Doubt]] = lambda reading: frozenset(),
) -> list[Step]:
    """Walk over `[start_ms, end_ms)` bucket by bucket as the evaluator would have, and give each step.

    Args:
        series: counts, with the history before `start_ms` that there is.
        rule: what is asked.
        start_ms: first moment; the first window that is read ends one bucket later.
        end_ms: last moment.
        detector: by which.
        doubts: asked of each reading that is a spike by its numbers.
    """
    steps: list[Step] = []
    episode, baseline = Episode(), None
    for ms in range(-(-start_ms // BUCKET_MS) * BUCKET_MS + BUCKET_MS, end_ms + 1, BUCKET_MS):
        # A baseline holds from one full hour to the next.
        if baseline is None or (ms - BUCKET_MS) % HOUR_MS == 0:
            baseline = detector.fit(series, ms - BUCKET_MS, rule)
        reading = detector.read(baseline, series, ms, rule)
        against = doubts(reading) if reading is not None and reading.level is Level.SPIKE else frozenset()
        episode = step(episode, reading, against, rule)
        steps.append(Step(ms, reading, episode))
    return steps


def begun(steps: list[Step]) -> list[Step]:
    """Give the steps in which an alert began."""
    return [each for each in steps if each.episode.change is Change.BEGAN]
