from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from statistics import mean
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.clock import to_ms
from domain.measures import (
    STRONG_EVIDENCE,
    Period,
    counting_interval,
    evidence,
    net_sentiment,
    regroup,
    share_of_voice,
    significance,
    standing_out,
)

COUNTS = st.integers(0, 10_000)
BERLIN, KOLKATA, KATHMANDU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata"), ZoneInfo("Asia/Kathmandu")


@given(COUNTS, COUNTS, COUNTS)
def test_net_sentiment_is_the_average_of_the_values(negative: int, neutral: int, positive: int) -> None:
    net = net_sentiment(negative=negative, neutral=neutral, positive=positive)
    if negative + neutral + positive == 0:
        assert net is None
        return
    assert net is not None
    values = [-1] * negative + [0] * neutral + [1] * positive
    assert net.value == pytest.approx(mean(values), abs=1e-12)
    assert net.mentions == len(values)
    assert -1 <= net.low <= net.value <= net.high <= 1
    assert net.low < net.high


def test_few_mentions_of_one_mind_are_not_certain() -> None:
    few, many = net_sentiment(negative=0, neutral=0, positive=3), net_sentiment(negative=0, neutral=0, positive=3000)
    assert few is not None
    assert many is not None
    assert few.value == many.value == 1
    assert few.low < 0.2
    assert many.low > 0.99


@pytest.mark.parametrize(("shares", "number"), [((0.2, 0.5, 0.3), 40), ((0.05, 0.9, 0.05), 60), ((0.9, 0.1, 0.0), 25)])
def test_the_interval_holds_the_truth_in_about_95_of_100_samples(shares: tuple[float, ...], number: int) -> None:
    draw = random.Random(3)
    truth = shares[2] - shares[0]
    held = 0
    for _ in range(2000):
        counts = Counter(draw.choices(("negative", "neutral", "positive"), shares, k=number))
        net = net_sentiment(negative=counts["negative"], neutral=counts["neutral"], positive=counts["positive"])
        assert net is not None
        held += net.low <= truth <= net.high
    assert 0.93 <= held / 2000 <= 0.99


def test_counts_below_zero_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="below 0"):
        net_sentiment(negative=-1, neutral=0, positive=0)


@given(st.dictionaries(st.text(max_size=5), COUNTS, max_size=8))
def test_shares_of_voice_sum_to_one(mentions: dict[str, int]) -> None:
    shares = share_of_voice(mentions)
    if sum(mentions.values()) == 0:
        assert shares == {}
    else:
        assert shares.keys() == mentions.keys()
        assert sum(shares.values()) == pytest.approx(1)


def test_significance_is_the_jlh_score() -> None:
    """(0.04 - 0.02) x (0.04 / 0.02) = 0.04."""
    assert significance(4, 100, 20, 1000) == pytest.approx(0.04)
    assert significance(2, 100, 20, 1000) == 0
    assert significance(1, 100, 20, 1000) == 0
    assert significance(0, 100, 0, 1000) == 0


@pytest.mark.parametrize("counts", [(5, 4, 9, 10), (5, 10, 4, 20), (1, 20, 2, 10), (-1, 2, 3, 4)])
def test_counts_that_do_not_fit_together_are_a_mistake(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="part of the background"):
        significance(*counts)
    with pytest.raises(ValueError, match="part of the background"):
        evidence(*counts)


def test_evidence_agrees_with_the_textbook_formula() -> None:
    """2 x sum of O ln(O / E) over the four cells."""
    table = ((30, 70), (50, 850))
    total = 1000
    expected = 2 * sum(
        seen * math.log(seen / (sum(row) * sum(other[place] for other in table) / total))
        for row in table
        for place, seen in enumerate(row)
    )
    assert evidence(30, 100, 80, 1000) == pytest.approx(expected)
    assert evidence(30, 100, 80, 1000) > STRONG_EVIDENCE


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_evidence_is_never_below_zero(inside: int, without: int, outside: int, rest: int) -> None:
    total, background = inside + without, inside + without + outside + rest
    assert evidence(inside, total, inside + outside, background) >= -1e-9


def test_words_that_stand_out_are_ranked_and_chance_is_left_out() -> None:
    counts = {"boycott": 40, "the": 95, "once": 1, "delay": 30, "unlisted": 50}
    background = {"boycott": 45, "the": 9500, "once": 2, "delay": 300}
    found = standing_out(counts, 100, background, 10_000)
    assert [one.word for one in found] == ["boycott", "delay"]
    assert found[0].score == pytest.approx(significance(40, 100, 45, 10_000))
    assert standing_out(counts, 100, background, 10_000, size=1) == found[:1]


# --- hours into days


def hourly(start: datetime, end: datetime, seconds: int = 3600) -> dict[int, int]:
    """Give one count per interval."""
    return dict.fromkeys(range(to_ms(start), to_ms(end), seconds * 1000), 1)


def test_a_day_has_as_many_hours_as_its_clocks_say() -> None:
    start, end = datetime(2026, 3, 28, tzinfo=BERLIN), datetime(2026, 3, 31, tzinfo=BERLIN)
    days = regroup(hourly(start, end), BERLIN, "day", start, end)
    assert [(day.start.day, day.count) for day in days] == [(28, 24), (29, 23), (30, 24)]
    start, end = datetime(2026, 10, 24, tzinfo=BERLIN), datetime(2026, 10, 27, tzinfo=BERLIN)
    assert [day.count for day in regroup(hourly(start, end), BERLIN, "day", start, end)] == [24, 25, 24]


def test_periods_meet_and_begin_at_local_midnight() -> None:
    start, end = datetime(2026, 3, 28, 15, tzinfo=UTC), datetime(2026, 4, 2, tzinfo=UTC)
    days = regroup({}, BERLIN, "day", start, end)
    assert [day.start.hour for day in days] == [0] * len(days)
    assert all(one.end == other.start for one, other in itertools.pairwise(days))
    assert days[0].start <= start
    assert days[-1].end >= end
    assert {day.count for day in days} == {0}


def test_weeks_begin_on_monday_across_a_change_of_clocks() -> None:
    start, end = datetime(2026, 3, 25, tzinfo=BERLIN), datetime(2026, 4, 6, tzinfo=BERLIN)
    weeks = regroup(hourly(datetime(2026, 3, 23, tzinfo=BERLIN), end), BERLIN, "week", start, end)
    assert [(week.start.day, week.start.weekday(), week.count) for week in weeks] == [(23, 0, 167), (30, 0, 168)]


def test_hours_follow_the_zone_too() -> None:
    start = datetime(2026, 5, 1, 10, 30, tzinfo=KOLKATA)
    (hour,) = regroup(
        hourly(start, start + timedelta(minutes=30), 1800), KOLKATA, "hour", start, start + timedelta(minutes=9)
    )
    assert hour == Period(start.replace(minute=0), start.replace(hour=11, minute=0), 1)


def test_a_midnight_that_the_clocks_skip_is_where_the_day_begins() -> None:
    zone = ZoneInfo("America/Sao_Paulo")
    start, end = datetime(2018, 11, 3, tzinfo=zone), datetime(2018, 11, 6, tzinfo=zone)
    days = regroup(hourly(start, end), zone, "day", start, end)
    assert [(day.start.day, day.start.hour, day.count) for day in days] == [(3, 0, 24), (4, 1, 23), (5, 0, 24)]


def test_counting_intervals_fit_the_zone() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 12, 31, tzinfo=UTC)
    assert counting_interval(UTC, start, end) == 3600
    assert counting_interval(BERLIN, start, end) == 3600
    assert counting_interval(KOLKATA, start, end) == 1800
    assert counting_interval(KATHMANDU, start, end) == 900
    # Half an hour of daylight saving, in one half of the year only.
    assert counting_interval(ZoneInfo("Australia/Lord_Howe"), start, end) == 1800


@pytest.mark.parametrize(
    "zone", [UTC, BERLIN, KOLKATA, KATHMANDU, ZoneInfo("America/New_York"), ZoneInfo("Pacific/Apia")]
)
@pytest.mark.parametrize("unit", ["hour", "day", "week"])
def test_nothing_is_lost_or_counted_twice(zone: ZoneInfo, unit: str) -> None:
    draw = random.Random(9)
    start, end = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 20, tzinfo=UTC)
    step = counting_interval(zone, start, end) * 1000
    moments = [draw.randrange(to_ms(start), to_ms(end)) for _ in range(2000)]
    counts = Counter(ms // step * step for ms in moments)
    periods = regroup(counts, zone, unit, start, end)  # type: ignore[arg-type]
    assert sum(period.count for period in periods) == len(moments)
    for period in periods[:: max(1, len(periods) // 50)]:
        inside = sum(to_ms(period.start) <= ms < to_ms(period.end) for ms in moments)
        assert period.count == inside


def test_no_time_has_no_periods() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    assert regroup({to_ms(moment): 5}, UTC, "day", moment, moment) == []
