"""Which windows are spikes: by a brand's own day and week, level and restlessness."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest

from alerts.baseline import HOUR_MS
from alerts.detector import Detector, Step, backtest, begun
from alerts.records import Doubt, Level, Reading, WatchState
from alerts.rule import Metric, Rule, Sensitivity
from alerts.series import BUCKET_MS, Series

# A Monday, 00:00 UTC.
START = 1_772_409_600_000
HOUR, DAY = 12, 288
WEEK = 7 * DAY
RULE = Rule(rule_id="negative")
SHARE = Rule(rule_id="share", metric=Metric.NEGATIVE_SHARE)
NET = Rule(rule_id="net", metric=Metric.NET_SENTIMENT)
DETECTOR = Detector()


def brand(
    an_hour: float = 12.0, weeks: int = 4, seed: int = 5, size: float = 20.0, day: float = 0.0, weekend: float = 1.0
) -> np.ndarray:
    """Draw negative mentions by bucket: a mean, a daily swing and a weekend, and hours that vary."""
    draw = np.random.default_rng(seed)
    place = np.arange(weeks * WEEK)
    means = np.exp(day * np.sin((place / HOUR - 9) / 24 * 2 * np.pi)) * np.where(place // DAY % 7 >= 5, weekend, 1.0)
    noise = np.repeat(draw.gamma(size, 1 / size, len(place) // HOUR), HOUR)
    return draw.poisson(an_hour / HOUR * means / means.mean() * noise)


def series(negative: np.ndarray, others: np.ndarray | int = 0, known: np.ndarray | None = None) -> Series:
    """Give counts in which all that is not negative is half neutral, half positive."""
    rest = np.zeros(len(negative), np.int64) + others
    return Series(
        START,
        (negative + rest).astype(np.int64),
        negative.astype(np.int64),
        rest // 2,
        rest - rest // 2,
        np.ones(len(negative), np.bool_) if known is None else known,
    )


def with_more(counts: np.ndarray, start: int, length: int, more: int) -> np.ndarray:
    changed = counts.copy()
    changed[start : start + length] += more
    return changed


def read(counts: Series, bucket: int, rule: Rule = RULE) -> Reading | None:
    """Read the window that ends with a bucket, by what was known before its hour."""
    end = START + (bucket + 1) * BUCKET_MS
    return DETECTOR.read(DETECTOR.fit(counts, (end - BUCKET_MS) // HOUR_MS * HOUR_MS, rule), counts, end, rule)


def walk(counts: Series, rule: Rule = RULE, first: int = 0) -> list[Step]:
    """Walk on from a bucket."""
    return backtest(counts, rule, START + first * BUCKET_MS, counts.end_ms)


def alerts(counts: Series, rule: Rule = RULE, first: int = 0) -> list[int]:
    """Give the buckets with which alerts begin."""
    return [counts.place(each.end_ms) - 1 for each in begun(walk(counts, rule, first))]


def test_nothing_happens_to_a_brand_to_which_nothing_happens() -> None:
    for an_hour in (0.5, 12.0, 300.0):
        assert alerts(series(brand(an_hour, day=0.8, weekend=0.6)), first=2 * WEEK) == []


def test_a_crisis_is_told_within_half_an_hour_and_once() -> None:
    start = 3 * WEEK + DAY
    found = alerts(series(with_more(brand(), start, 24, 8)), first=start - 2 * DAY)
    assert len(found) == 1
    assert start <= found[0] < start + 6


def test_as_many_mentions_are_usual_by_day_and_a_spike_by_night() -> None:
    counts = brand(120.0, day=1.5, size=50.0)
    # The swing is largest at 15:00 and smallest at 03:00.
    noon, night = 3 * WEEK + DAY + 15 * HOUR, 3 * WEEK + DAY + 3 * HOUR
    by_day = read(series(counts), noon + HOUR - 1)
    assert by_day is not None
    assert by_day.level is Level.CALM
    changed = counts.copy()
    changed[night : night + HOUR] = counts[noon : noon + HOUR]
    by_night = read(series(changed), night + HOUR - 1)
    assert by_night is not None
    assert by_night.observed == by_day.observed
    assert by_night.level is Level.SPIKE
    assert by_night.expected < by_day.expected / 4


def test_days_of_the_week_are_learned() -> None:
    counts = series(brand(120.0, weekend=0.3, size=50.0, weeks=5))
    monday, sunday = 4 * WEEK + 12 * HOUR, 4 * WEEK - DAY + 12 * HOUR
    by_week, at_rest = read(counts, monday), read(counts, sunday)
    assert by_week is not None
    assert at_rest is not None
    assert at_rest.expected < 0.6 * by_week.expected


def test_past_spikes_hardly_move_what_is_expected() -> None:
    counts = brand(60.0)
    restless = counts.copy()
    for week in (1, 2):
        restless[week * WEEK + 12 * HOUR : week * WEEK + 18 * HOUR] *= 15
    calm, after = read(series(counts), 3 * WEEK + 15 * HOUR), read(series(restless), 3 * WEEK + 15 * HOUR)
    assert calm is not None
    assert after is not None
    assert after.expected == pytest.approx(calm.expected, rel=0.35)


def test_a_level_that_shifts_is_told_and_then_is_the_level() -> None:
    counts = brand(30.0)
    counts[2 * WEEK :] = brand(150.0)[2 * WEEK :]
    found = alerts(series(counts), first=2 * WEEK - DAY)
    assert found
    assert 2 * WEEK <= found[0] < 2 * WEEK + HOUR
    assert all(place < 2 * WEEK + 2 * DAY for place in found)
    assert len(found) <= 3
    later = read(series(counts), 3 * WEEK)
    assert later is not None
    assert later.level is Level.CALM
    assert later.expected > 75


def test_a_slow_rise_is_found_though_no_hour_of_it_is_a_spike() -> None:
    counts = brand(10.0, size=60.0)
    start = 3 * WEEK + DAY
    rising = with_more(counts, start, 11 * HOUR, 1)
    rule = replace(RULE, min_ratio=1.5)
    steps = [each for each in begun(walk(series(rising), rule, start - DAY)) if each.reading is not None]
    assert len(steps) == 1
    assert steps[0].reading is not None
    assert steps[0].reading.window_minutes == 720
    assert start < series(rising).place(steps[0].end_ms) < start + 11 * HOUR


def test_a_slow_rise_that_is_over_is_told_no_more() -> None:
    counts = with_more(brand(20.0, size=40.0), 3 * WEEK, 10 * HOUR, 2)
    quiet = 3 * WEEK + 10 * HOUR
    counts[quiet : quiet + 2 * HOUR] = 1
    found = read(series(counts), quiet + 2 * HOUR - 1)
    assert found is not None
    assert found.level is Level.CALM


def test_a_burst_as_a_restless_brand_often_has_is_none() -> None:
    restless = brand(30.0)
    draw = np.random.default_rng(2)
    for day in range(2, 26, 2):
        start = day * DAY + int(draw.integers(DAY - HOUR))
        restless[start : start + 6] += 30
    last = 27 * DAY + 6 * HOUR
    on_restless = read(series(with_more(restless, last, 6, 30)), last + 5)
    on_calm = read(series(with_more(brand(30.0), last, 6, 30)), last + 5)
    assert on_restless is not None
    assert on_calm is not None
    assert on_calm.level is Level.SPIKE
    assert on_restless.level is not Level.SPIKE
    assert on_restless.needed > on_calm.needed


def test_nothing_that_comes_later_is_looked_at() -> None:
    counts = brand()
    at = START + 3 * WEEK * BUCKET_MS
    tampered = counts.copy()
    tampered[3 * WEEK :] = 999
    assert DETECTOR.fit(series(counts), at, RULE) == DETECTOR.fit(series(tampered), at, RULE)
    assert DETECTOR.fit(series(counts).before(at), at, RULE) == DETECTOR.fit(series(counts), at, RULE)


def test_a_brand_that_begins_to_be_heard_does_not_spike() -> None:
    counts = np.concatenate([np.zeros(2 * WEEK, np.int64), brand(200.0, weeks=1)])
    assert alerts(series(counts), first=2 * WEEK - DAY) == []


def test_little_history_is_said_for_a_week() -> None:
    counts = series(brand())
    early, late = read(counts, 3 * DAY), read(counts, 8 * DAY)
    assert early is not None
    assert late is not None
    assert (early.little_history, late.little_history) == (True, False)


def test_a_spike_needs_the_rules_mentions_and_ratio() -> None:
    small, start = brand(0.5), 3 * WEEK
    quiet = small.copy()
    quiet[start - HOUR : start + HOUR] = 0
    nine, ten = quiet.copy(), quiet.copy()
    nine[start], ten[start] = 9, 10
    for counts, level in ((nine, Level.ELEVATED), (ten, Level.SPIKE)):
        found = read(series(counts), start + 5)
        assert found is not None
        assert found.level is level
    large = brand(3000.0, size=200.0)
    more = with_more(large, start, HOUR, 180)
    found = read(series(more), start + HOUR - 1)
    assert found is not None
    assert found.surprise > found.needed
    assert found.ratio is not None
    assert found.ratio < 2
    assert found.level is Level.ELEVATED
    eager = read(series(more), start + HOUR - 1, replace(RULE, min_ratio=1.5))
    assert eager is not None
    assert eager.level is Level.SPIKE


def test_the_band_is_where_a_window_becomes_improbable_enough() -> None:
    counts = series(brand(60.0))
    found = read(counts, 3 * WEEK)
    assert found is not None
    assert found.low <= found.expected < found.high
    start = 3 * WEEK - HOUR + 1
    for count, beyond in ((int(found.high * 0.97), False), (int(found.high * 1.03) + 1, True)):
        changed = brand(60.0)
        changed[start : start + HOUR] = 0
        changed[start] = count
        again = DETECTOR.read_own(
            DETECTOR.fit(counts, START + 3 * WEEK * BUCKET_MS, RULE),
            series(changed),
            START + (3 * WEEK + 1) * BUCKET_MS,
            RULE,
        )
        assert again is not None
        assert (again.surprise >= again.needed) is beyond


def test_what_is_not_known_is_neither_silence_nor_evidence() -> None:
    counts = brand(60.0)
    known = np.ones(len(counts), np.bool_)
    known[2 * WEEK : 2 * WEEK + 3 * DAY] = False
    silent = counts.copy()
    silent[2 * WEEK : 2 * WEEK + 3 * DAY] = 0
    full, deaf = read(series(counts), 3 * WEEK), read(series(silent, known=known), 3 * WEEK)
    assert full is not None
    assert deaf is not None
    assert deaf.expected == pytest.approx(full.expected, rel=0.15)


def test_a_window_of_which_most_is_unknown_is_not_read_and_of_half_less_is_expected() -> None:
    counts, stop = brand(60.0), 3 * WEEK
    known = np.ones(len(counts), np.bool_)
    known[stop - 6 : stop] = False
    half, whole = read(series(counts, known=known), stop - 1), read(series(counts), stop - 1)
    assert half is not None
    assert whole is not None
    assert half.expected == pytest.approx(whole.expected / 2, rel=0.01)
    known[stop - 7] = False
    assert read(series(counts, known=known), stop - 1) is None


def test_windows_outside_of_what_was_counted_are_not_read() -> None:
    counts = series(brand(weeks=1))
    baseline = DETECTOR.fit(counts, counts.end_ms, RULE)
    assert DETECTOR.read(baseline, counts, counts.end_ms + BUCKET_MS, RULE) is None
    assert DETECTOR.read(baseline, counts, counts.start_ms, RULE) is None
    nothing = series(np.zeros(0, np.int64))
    assert DETECTOR.read(DETECTOR.fit(nothing, START, RULE), nothing, START, RULE) is None


@pytest.mark.parametrize("metric", list(Metric))
def test_a_brand_of_which_nothing_was_ever_said_is_calm(metric: Metric) -> None:
    counts = series(np.zeros(WEEK, np.int64))
    found = read(counts, WEEK - 1, replace(RULE, metric=metric))
    assert found is not None
    assert found.level is Level.CALM
    assert found.little_history


def test_who_wants_fewer_alerts_needs_more_to_happen() -> None:
    counts = series(brand())
    limits = []
    for sensitivity in (Sensitivity.MORE, Sensitivity.BALANCED, Sensitivity.FEWER):
        found = read(counts, 3 * WEEK, replace(RULE, sensitivity=sensitivity))
        assert found is not None
        limits.append(found.needed)
    assert limits[0] < limits[1] < limits[2]


def test_a_change_of_clocks_is_no_spike() -> None:
    for shift in (HOUR, -HOUR):
        counts = brand(200.0, day=1.2, size=60.0, weeks=4)
        counts[3 * WEEK :] = np.roll(counts, shift)[3 * WEEK :]
        assert alerts(series(counts), first=3 * WEEK - 2 * DAY) == []


def test_a_share_that_shifts_at_the_same_volume_is_a_spike_and_more_of_all_is_none() -> None:
    draw = np.random.default_rng(4)
    all_of = brand(240.0, seed=6)
    share = np.full(len(all_of), 0.2)
    start = 3 * WEEK + DAY
    share[start : start + 3 * HOUR] = 0.6
    negative = draw.binomial(all_of, share)
    found = alerts(series(negative, all_of - negative), SHARE, start - DAY)
    assert len(found) == 1
    assert start <= found[0] < start + HOUR
    more = all_of.copy()
    more[start : start + 3 * HOUR] *= 8
    negative = draw.binomial(more, 0.2)
    assert alerts(series(negative, more - negative), SHARE, start - DAY) == []
    assert alerts(series(negative, more - negative), first=start - DAY) != []


def test_a_share_of_a_handful_is_no_evidence() -> None:
    few = np.zeros(2 * WEEK, np.int64)
    few[::48] = 1
    negative = few.copy()
    negative[: -2 * DAY] = 0
    assert alerts(series(negative, few - negative), SHARE, WEEK) == []


def test_net_sentiment_that_falls_is_a_spike_and_one_that_rises_is_none() -> None:
    draw = np.random.default_rng(8)
    all_of = brand(240.0, seed=9)
    start = 3 * WEEK + DAY
    for shifted, told in ((0.7, True), (0.02, False)):
        share = np.full(len(all_of), 0.25)
        share[start : start + 3 * HOUR] = shifted
        negative = draw.binomial(all_of, share)
        found = alerts(series(negative, all_of - negative), NET, start - DAY)
        assert bool(found) is told


def test_doubts_suppress_what_the_numbers_say() -> None:
    counts = series(with_more(brand(), 3 * WEEK, 24, 8))
    steps = backtest(
        counts, RULE, START + 2 * WEEK * BUCKET_MS, counts.end_ms, doubts=lambda reading: frozenset({Doubt.FEW_AUTHORS})
    )
    assert begun(steps) == []
    assert any(each.episode.state is WatchState.SUPPRESSED for each in steps)


def test_a_baseline_can_be_kept() -> None:
    baseline = DETECTOR.fit(series(brand()), START + 3 * WEEK * BUCKET_MS, RULE)
    assert pickle.loads(pickle.dumps(baseline)) == baseline
