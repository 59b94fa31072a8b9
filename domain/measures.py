"""The measures, once: what volume, net sentiment and share of voice are, and how hours become days."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, Literal

from domain.clock import from_ms

# Two-sided 95 % of the normal distribution.
_Z95: Final = 1.959963984540054
# Chi-squared with one degree of freedom at p = 0.001: hundreds of words are tested at a time.
STRONG_EVIDENCE: Final = 10.83

Unit = Literal["hour", "day", "week"]


@dataclass(frozen=True, slots=True)
class Volume:
    """How much was said: mentions, the posts they are in, and the stories those tell."""

    mentions: int
    posts: int
    stories: int


@dataclass(frozen=True, slots=True)
class NetSentiment:
    """(positive - negative) / reliable mentions, in [-1, 1], with a 95 % interval; `mentions` are the reliable ones."""

    value: float
    low: float
    high: float
    mentions: int


def net_sentiment(*, negative: int, neutral: int, positive: int) -> NetSentiment | None:
    """Give the net sentiment of reliable mentions by label; None where there are none.

    The value is the average of `sentiment_value`. The interval is the adjusted Wald interval for the difference of
    two shares of one sample: one count is added to either side, so that three mentions of one mind do not look
    certain (Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based
    on paired data").

    Raises:
        ValueError: a negative count.
    """
    if min(negative, neutral, positive) < 0:
        raise ValueError(f"counts must not be below 0, found {(negative, neutral, positive)}")
    mentions = negative + neutral + positive
    if mentions == 0:
        return None
    value = (positive - negative) / mentions
    widened = mentions + 2
    centre = (positive - negative) / widened
    spread = (positive + negative + 2) / widened - centre * centre
    half = _Z95 * math.sqrt(spread / widened)
    return NetSentiment(value, max(-1.0, centre - half), min(1.0, centre + half), mentions)


def share_of_voice(mentions: Mapping[str, int]) -> dict[str, float]:
    """Give each brand's share of the mentions of all brands compared, in [0, 1]; empty where there are none.

    A post that names two of the brands is a mention of each, so shares sum to 1.
    """
    total = sum(mentions.values())
    return {brand: count / total for brand, count in mentions.items()} if total else {}


# --- words that stand out


def significance(count: int, total: int, background_count: int, background_total: int) -> float:
    """Tell how much a word stands out: (share - background share) x (share / background share), 0 where it does not.

    The JLH score, Elasticsearch's default for significant terms, so Kibana ranks alike. The background holds the
    foreground: `count <= background_count`, `total <= background_total`.

    Raises:
        ValueError: counts that do not fit together.
    """
    if not (0 <= count <= total and count <= background_count <= background_total and total <= background_total):
        raise ValueError(
            f"expected a part of the background, found {count} of {total} in {background_count} of {background_total}"
        )
    if count == 0:
        return 0.0
    share, background = count / total, background_count / background_total
    return (share - background) * (share / background) if share > background else 0.0


def evidence(count: int, total: int, background_count: int, background_total: int) -> float:
    """Give how surely a word's share differs from that of the rest: the G statistic, 0 or more.

    Beyond `STRONG_EVIDENCE` chance would do it less than once in 1,000 words (Dunning 1993, "Accurate methods for the
    statistics of surprise and coincidence"). The rest is the background without the foreground.

    Raises:
        ValueError: counts that do not fit together.
    """
    significance(count, total, background_count, background_total)
    rest_count, rest_total = background_count - count, background_total - total
    cells = ((count, total), (total - count, total), (rest_count, rest_total), (rest_total - rest_count, rest_total))
    sides = (background_count, background_total - background_count) * 2
    return 2 * sum(
        seen * math.log(seen * background_total / (side * row))
        for (seen, row), side in zip(cells, sides, strict=True)
        if seen
    )


@dataclass(frozen=True, slots=True)
class StandingOut:
    """A word that is more frequent here than in general. `score`: see `significance`."""

    word: str
    score: float
    count: int
    background_count: int


def standing_out(
    counts: Mapping[str, int], total: int, background: Mapping[str, int], background_total: int, *, size: int = 20
) -> list[StandingOut]:
    """Rank words by how much they stand out, those with strong evidence only; ties by word.

    Args:
        counts: mentions per word in what is looked at, of `total` mentions.
        background: mentions per word in everything it is compared with, of `background_total`; a word that is
            missing there (a list cut at its most frequent) is left out.
        total: mentions looked at.
        background_total: mentions compared with, `total` of them included.
        size: how many to give at most.
    """
    found = [
        StandingOut(word, significance(count, total, everywhere, background_total), count, everywhere)
        for word, count in counts.items()
        if (everywhere := background.get(word)) is not None
        and evidence(count, total, everywhere, background_total) >= STRONG_EVIDENCE
    ]
    ranked = sorted((one for one in found if one.score > 0), key=lambda one: (-one.score, one.word))
    return ranked[:size]


# --- days and weeks of a zone


@dataclass(frozen=True, slots=True)
class Period:
    """An hour, day or week of a zone: `[start, end)`, both aware in that zone, and what was counted in it.

    The lengths differ where clocks change: a day has 23 to 25 hours.
    """

    start: datetime
    end: datetime
    count: int


def counting_interval(zone: tzinfo, start: datetime, end: datetime) -> int:
    """Give the seconds by which to count so that every day of the zone in `[start, end)` is a sum of intervals.

    An hour for most zones; 1,800 or 900 where midnight falls inside an hour of UTC, as in Kolkata or Kathmandu.
    """
    interval = 3600
    moment = start
    while True:
        offset = moment.astimezone(zone).utcoffset() or timedelta()
        interval = math.gcd(interval, int(offset.total_seconds()))
        if moment >= end:
            return interval
        moment = min(moment + timedelta(days=1), end)


def regroup(counts: Mapping[int, int], zone: tzinfo, unit: Unit, start: datetime, end: datetime) -> list[Period]:
    """Sum short intervals into the hours, days or weeks (from Monday) of a zone.

    Args:
        counts: per interval, keyed by the milliseconds since 1970 at which it begins; `counting_interval` tells how
            long intervals may be.
        zone: whose days are meant; changes of its clocks are followed.
        unit: what to sum to.
        start: the period that holds this moment is the first.
        end: the period that holds the moment before this is the last; nothing is given unless `start < end`.

    Returns:
        One period each without a gap, 0 where nothing was counted. Counts outside of them are left out.
    """
    periods = list(_periods(zone, unit, start, end))
    sums = [0] * len(periods)
    place = 0
    for ms in sorted(counts):
        moment = from_ms(ms)
        while place < len(periods) and moment >= periods[place][1]:
            place += 1
        if place < len(periods) and moment >= periods[place][0]:
            sums[place] += counts[ms]
    return [
        Period(first.astimezone(zone), last.astimezone(zone), count)
        for (first, last), count in zip(periods, sums, strict=True)
    ]


def _periods(zone: tzinfo, unit: Unit, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Give the bounds of periods in UTC: arithmetic on local times would ignore that clocks change."""
    edges = _hours(zone, start) if unit == "hour" else _midnights(zone, start, 7 if unit == "week" else 1)
    first = next(edges)
    for last in edges:
        if first >= end or start >= end:
            return
        yield first, last
        first = last


def _hours(zone: tzinfo, start: datetime) -> Iterator[datetime]:
    local = start.astimezone(zone)
    within = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    moment = start.astimezone(UTC) - within
    while True:
        yield moment
        moment += timedelta(hours=1)


def _midnights(zone: tzinfo, start: datetime, days: int) -> Iterator[datetime]:
    day = start.astimezone(zone).replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0, fold=0)
    if days == 7:
        day -= timedelta(days=day.weekday())
    while True:
        # A midnight that the clocks skip is the moment of the change; of one that comes twice it is the first.
        yield day.replace(tzinfo=zone).astimezone(UTC)
        day += timedelta(days=days)
