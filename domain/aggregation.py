"""What can be counted: a closed list, so that both stores answer it and give the same numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """Count by value of a keyword, integer or boolean field: the `size` most frequent, ties by value."""

    field: str
    size: int = 10
    sub: Mapping[str, Aggregation] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Count by fixed intervals of a date field (`interval_seconds`, from 1970 in UTC) or of a number.

    Days, weeks and zones are regrouped from hours (`domain.measures`). Empty buckets are left out.
    """

    field: str
    interval: float
    sub: Mapping[str, Aggregation] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ranges:
    """Count by half-open ranges `[edges[i], edges[i+1])` of a number field; outermost ranges are open."""

    field: str
    edges: tuple[float, ...]
    sub: Mapping[str, Aggregation] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stats:
    """Count, sum and average of a number field over the documents that have it."""

    field: str


@dataclass(frozen=True, slots=True)
class Distinct:
    """About how many different values a keyword field has; see the store for its error."""

    field: str


Aggregation = Terms | Histogram | Ranges | Stats | Distinct


@dataclass(frozen=True, slots=True)
class Bucket:
    """One row of a count. `key`: the value; for dates, milliseconds since 1970 of the interval's start."""

    key: str | int | float | bool
    count: int
    sub: Mapping[str, Result] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Buckets:
    """Answer to Terms (most frequent first), Histogram and Ranges (ascending). `other`: matches not listed (Terms)."""

    buckets: tuple[Bucket, ...]
    other: int = 0


@dataclass(frozen=True, slots=True)
class StatsResult:
    """Answer to Stats: `average` is None where nothing was counted."""

    count: int
    sum: float
    average: float | None


@dataclass(frozen=True, slots=True)
class DistinctResult:
    """Answer to Distinct."""

    count: int


Result = Buckets | StatsResult | DistinctResult
