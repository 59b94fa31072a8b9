"""Counts by sentiment, asked of the store in one aggregation and read back as measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from dashboard.answers import Problem
from dashboard.question import BadParameter
from domain.aggregation import Aggregation, Bucket, Buckets, Histogram, Result, Terms
from domain.clock import from_ms, to_ms
from domain.fields import FIELDS
from domain.measures import NetSentiment, net_sentiment
from domain.query.ast import Node
from domain.records import SENTIMENTS, Sentiment
from search.store import SearchRequest, Sort, Store

# Below this many reliable mentions a net sentiment says more about chance than about the brand.
FEW = 30
# Brands in one count; more than anybody compares, and it bounds the answer.
MAX_BRANDS = 1_000
MAX_GROUPS = 100
# Intervals in one answer, over all groups: 250 days of hours. Each may hold nine rows of the store's 60,000.
MAX_INTERVALS = 6_000
INTERVALS: Mapping[str, int] = {"hour": 3_600, "day": 86_400}
FACETS: tuple[str, ...] = tuple(field.name for field in FIELDS if field.facet)

# What is counted within each group: by label, reliable ones apart from the others.
BY_SENTIMENT: Mapping[str, Aggregation] = {
    "reliable": Terms("sentiment_reliable", size=2, sub={"sentiment": Terms("sentiment", size=len(SENTIMENTS))})
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """Mentions by sentiment. `unreliable` ones (a language without a model) are in no other count but `mentions`."""

    mentions: int = 0
    negative: int = 0
    neutral: int = 0
    positive: int = 0
    unreliable: int = 0

    @property
    def reliable(self) -> int:
        """How many mentions net sentiment rests on."""
        return self.negative + self.neutral + self.positive

    @property
    def too_few(self) -> bool:
        """Whether the sample is too small to compare."""
        return self.reliable < FEW

    def net(self) -> NetSentiment | None:
        """Give net sentiment with its 95 % interval, or None where nothing reliable was counted."""
        return net_sentiment(negative=self.negative, neutral=self.neutral, positive=self.positive)


def measures_of(results: Mapping[str, Result]) -> Measures:
    """Read the answer to `BY_SENTIMENT`."""
    labels: dict[Sentiment, int] = dict.fromkeys(SENTIMENTS, 0)
    unreliable = 0
    for reliable in rows(results["reliable"]):
        if not reliable.key:
            unreliable += reliable.count
            continue
        counted = {row.key: row.count for row in rows(reliable.sub["sentiment"])}
        labels = {label: counted.get(label, 0) for label in SENTIMENTS}
    return Measures(mentions=sum(labels.values()) + unreliable, unreliable=unreliable, **labels)


def rows(result: Result) -> tuple[Bucket, ...]:
    """Give the rows of a count."""
    if not isinstance(result, Buckets):
        raise TypeError(f"expected Buckets, found {type(result).__name__}")
    return result.buckets


@dataclass(frozen=True, slots=True)
class Group:
    """Mentions with one value of a field; `moments` only where a timeline was asked for."""

    key: str | int | float | bool
    measures: Measures
    moments: tuple[tuple[datetime, Measures], ...] | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """All that matches, by the values of a field, and over time. `other` matches have values not listed."""

    measures: Measures
    groups: tuple[Group, ...] = ()
    other: int = 0
    moments: tuple[tuple[datetime, Measures], ...] | None = None


def count_by_brand(store: Store, node: Node) -> Counts:
    """Count what matches, and each brand of it."""
    return count(store, node, by="brand_id", size=MAX_BRANDS)


def count(store: Store, node: Node, *, by: str | None = None, size: int = 10, interval: str | None = None) -> Counts:
    """Count what matches: by the `size` most frequent values of a field, and by `interval` of `published_at` in UTC.

    Raises:
        BadParameter: the timeline would have more than `MAX_INTERVALS` points.
    """
    over_time: Mapping[str, Aggregation] = {}
    if interval is not None:
        _check_intervals(store, node, interval, lines=1 + (size if by else 0))
        over_time = {"time": Histogram("published_at", INTERVALS[interval], sub=BY_SENTIMENT)}
    within = {**BY_SENTIMENT, **over_time}
    results = store.aggregate(node, {**within, **({"by": Terms(by, size, sub=within)} if by else {})})
    groups: tuple[Group, ...] = ()
    other = 0
    if by:
        found = results["by"]
        groups = tuple(Group(row.key, measures_of(row.sub), _moments(row.sub)) for row in rows(found))
        other = found.other if isinstance(found, Buckets) else 0
    return Counts(measures_of(results), groups, other, _moments(results))


def _moments(results: Mapping[str, Result]) -> tuple[tuple[datetime, Measures], ...] | None:
    if "time" not in results:
        return None
    return tuple((from_ms(int(row.key)), measures_of(row.sub)) for row in rows(results["time"]))


def _check_intervals(store: Store, node: Node, interval: str, lines: int) -> None:
    """See that a timeline stays small: it has no more points than mentions, and no more than fit between its ends.

    Raises:
        BadParameter: it might not.
    """
    ends = [store.search(SearchRequest(node, sort=sort, limit=1)) for sort in (Sort.OLDEST, Sort.NEWEST)]
    total = ends[0].total
    first, last = (next((to_ms(found.published_at or found.collected_at) for found in end.mentions), 0) for end in ends)
    points = min(total, (last - first) // (INTERVALS[interval] * 1_000) + 2) * lines
    if points > MAX_INTERVALS:
        raise BadParameter(
            Problem(
                code="too_many_intervals",
                parameter="interval",
                found=f"up to {points:,} points",
                expected=f"at most {MAX_INTERVALS:,}",
                hint="narrow `from` and `to`, ask for fewer groups, or use a longer interval",
            )
        )
