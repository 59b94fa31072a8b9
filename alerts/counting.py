"""Counts by five minutes of every filter that rules watch: derived from the store, kept, and mended where it changed.

What is kept of a filter says, hour by hour, how its brand looked when it was counted (how many mentions, and the sum
of their scores). An hour that looks otherwise now was touched by something late, edited or retracted, and is counted
again; so is what was lost. No list of changes is needed, which a store of many machines could not keep in step.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np

from alerts.asking import Mentions
from alerts.event_time import collected, published
from alerts.rule import BUCKET_SECONDS, Watch
from alerts.series import BUCKET_MS, Series, empty
from domain.aggregation import Aggregation, Buckets, Histogram, Result, Stats, StatsResult, Terms
from domain.clock import from_ms, to_ms
from domain.documents import Change, Documents
from domain.query.ast import Everything, Flag, Keyword, Node, Or

KIND: Final = "counts"
# What a baseline looks back on.
HISTORY: Final = timedelta(days=56)
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
# More brands than the page of brands shows at once; the list is cut nowhere below it.
MAX_BRANDS: Final = 2_000
# Filters of one brand each that are asked for together: an answer of some megabytes at most.
MAX_TOGETHER: Final = 250
# Both stores refuse an answer of more than some 65,000 rows, those inside others counted.
MAX_ROWS: Final = 50_000
# Documents of some kilobytes, written together.
SAVED_AT_ONCE: Final = 500
# Rows of a bucket: itself, reliable or not, and three feelings in each.
_ROWS_A_BUCKET: Final = 9

_OUTCOMES: Final = ("negative", "neutral", "positive")
# How an hour of a brand looks: mentions, and the sum of their scores in millionths. A sum of floats depends on the
# order of its parts from the tenth digit on, which rounding hides.
Look = tuple[int, int]


@dataclass(slots=True)
class _Day:
    """One day of a filter: rows of (bucket of the day, mentions, negative, neutral, positive), and how hours looked."""

    rows: dict[int, tuple[int, int, int, int]] = field(default_factory=dict)
    looks: dict[int, Look] = field(default_factory=dict)


class CountBook:
    """Keeps the counts of filters. Not thread-safe: one evaluator at a time has the lease."""

    def __init__(self, mentions: Mentions, documents: Documents) -> None:
        self._mentions, self._documents = mentions, documents
        self._days: dict[str, dict[int, _Day]] = {}
        self._backfilled: dict[str, list[int]] = {}
        # Whether anything came without a date: most sources give one, and then half of the requests is saved.
        self._undated = True
        self._first: dict[str, int | None] = {}
        self._unsaved: list[Change] = []

    def refresh(self, watches: Sequence[Watch], start: datetime, end: datetime) -> int:
        """Bring the counts of all that is watched up to what the store holds of `[start, end)`.

        Gives how many hours of filters were counted again. Only these are asked for: filters that are a brand
        together, others one by one.

        Raises:
            RetryLater, BackendDown: some may be up to date; the same call again goes on.
        """
        first, last = to_ms(start) // HOUR_MS * HOUR_MS, -(-to_ms(end) // HOUR_MS) * HOUR_MS
        filters = {watch.filter_id: watch for watch in watches}
        self._load(filters, first, last)
        looks = self._looks(from_ms(first), from_ms(last))
        self._note_backfilled(from_ms(first), from_ms(last))
        stale: dict[str, list[int]] = {}
        for filter_id, watch in filters.items():
            hours = self._stale(filter_id, looks.get(watch.brand_id, {}), first, last)
            if hours:
                stale[filter_id] = hours
        self._count_again(filters, stale, looks)
        self._save()
        return sum(len(hours) for hours in stale.values())

    def read(self, watches: Sequence[Watch], start: datetime, end: datetime) -> None:
        """Take up what is kept of all that is watched, as whoever only looks does: nothing is counted or written.

        Raises:
            RetryLater, BackendDown: as store and documents.
        """
        self._load((watch.filter_id for watch in watches), to_ms(start), to_ms(end))
        self._note_backfilled(start, end)

    def series(self, filter_id: str, start_ms: int, end_ms: int) -> Series:
        """Give the counts of a filter by bucket for `[start_ms, end_ms)`; nothing said where nothing was counted."""
        series = empty(start_ms, end_ms)
        size = len(series)
        for day_ms, day in self._days.get(filter_id, {}).items():
            if day_ms + DAY_MS <= start_ms or day_ms >= end_ms:
                continue
            first = (day_ms - start_ms) // BUCKET_MS
            for bucket, (mentions, negative, neutral, positive) in day.rows.items():
                place = first + bucket
                if 0 <= place < size:
                    series.mentions[place] = mentions
                    series.negative[place], series.neutral[place], series.positive[place] = negative, neutral, positive
        return series

    def backfilled(self, brand_id: str, start_ms: int, end_ms: int) -> list[int]:
        """Give the buckets of `[start_ms, end_ms)` in which something of a brand was filled up afterwards."""
        found = self._backfilled.get(brand_id, [])
        return found[bisect_left(found, start_ms) : bisect_left(found, end_ms)]

    def first_ms(self, filter_id: str) -> int | None:
        """Give the hour in which a filter's brand was first heard of, None where it never was.

        From then on it was listened for: that nobody said what a query asks for is known, and no lack of history.
        """
        if filter_id not in self._first:
            days = self._days.get(filter_id, {})
            first = min((day_ms for day_ms, day in days.items() if day.looks), default=None)
            self._first[filter_id] = None if first is None else first + min(days[first].looks) * HOUR_MS
        return self._first[filter_id]

    def forget(self, watches: Sequence[Watch]) -> None:
        """Let go of what is watched no more, in memory; what is kept of it is harmless and small."""
        wanted = {watch.filter_id for watch in watches}
        for filter_id in list(self._days):
            if filter_id not in wanted:
                del self._days[filter_id]
                self._first.pop(filter_id, None)

    # --- what is kept

    def _load(self, filters: Iterable[str], first: int, last: int) -> None:
        for filter_id in filters:
            if filter_id in self._days:
                continue
            days: dict[int, _Day] = {}
            after = ""
            while page := self._documents.scan(KIND, prefix=f"{filter_id}/", after=after):
                for document in page:
                    days[int(document.doc_id.rpartition("/")[2])] = _day_of(document.body)
                after = page[-1].doc_id
            self._days[filter_id] = days
            self._first.pop(filter_id, None)

    def _looks(self, start: datetime, end: datetime) -> dict[str, dict[int, Look]]:
        """Give how each hour of each brand looks now."""
        by_brand = {"brand": Terms("brand_id", MAX_BRANDS, sub={"score": Stats("sentiment_score")})}
        looks: dict[str, dict[int, Look]] = {}
        self._undated = False
        for node, time_field in self._pieces(Everything(), start, end, self._rows_an_hour(), undated=True):
            answer = self._mentions.aggregate(node, {"hour": Histogram(time_field, 3600, sub=by_brand)})
            hours_found = _rows(answer["hour"])
            if time_field == "collected_at" and hours_found:
                self._undated = True
            for hour in hours_found:
                for brand in _rows(hour.sub["brand"]):
                    score = brand.sub["score"]
                    total = round(score.sum * 1e6) if isinstance(score, StatsResult) else 0
                    hours = looks.setdefault(str(brand.key), {})
                    known = hours.get(int(hour.key), (0, 0))
                    hours[int(hour.key)] = (known[0] + brand.count, known[1] + total)
        return looks

    def _note_backfilled(self, start: datetime, end: datetime) -> None:
        by_brand: Mapping[str, Aggregation] = {"brand": Terms("brand_id", MAX_BRANDS)}
        found: dict[str, set[int]] = {}
        rows = 12 * self._rows_an_hour()
        for node, time_field in self._pieces(Flag("backfilled", True), start, end, rows, undated=self._undated):
            answer = self._mentions.aggregate(node, {"at": Histogram(time_field, BUCKET_SECONDS, sub=by_brand)})
            for bucket in _rows(answer["at"]):
                for brand in _rows(bucket.sub["brand"]):
                    found.setdefault(str(brand.key), set()).add(int(bucket.key))
        low, high = to_ms(start), to_ms(end)
        for brand_id in self._backfilled.keys() | found.keys():
            kept = [ms for ms in self._backfilled.get(brand_id, []) if not low <= ms < high]
            self._backfilled[brand_id] = sorted([*kept, *found.get(brand_id, ())])

    def _stale(self, filter_id: str, looks: Mapping[int, Look], first: int, last: int) -> list[int]:
        """Give the hours of `[first, last)` that look otherwise than when they were counted."""
        days = self._days[filter_id]
        counted = {
            day_ms + hour * HOUR_MS: look
            for day_ms, day in days.items()
            if first - DAY_MS < day_ms < last
            for hour, look in day.looks.items()
            if first <= day_ms + hour * HOUR_MS < last
        }
        return sorted(ms for ms in looks.keys() | counted.keys() if looks.get(ms) != counted.get(ms))

    # --- counting

    def _count_again(
        self,
        filters: Mapping[str, Watch],
        stale: Mapping[str, Sequence[int]],
        looks: Mapping[str, Mapping[int, Look]],
    ) -> None:
        whole = [filter_id for filter_id in stale if filter_id == filters[filter_id].brand_id]
        # Brands of which the same hours changed are asked for together: in a steady minute, all of them.
        together: dict[tuple[int, ...], list[str]] = {}
        for filter_id in whole:
            together.setdefault(tuple(stale[filter_id]), []).append(filter_id)
        for hours, brands in together.items():
            for begin in range(0, len(brands), MAX_TOGETHER):
                self._count_brands(brands[begin : begin + MAX_TOGETHER], hours, looks)
        for filter_id, hours_of in stale.items():
            if filter_id not in whole:
                watch = filters[filter_id]
                rows = self._rows_of(watch.node, hours_of)
                self._keep(filter_id, hours_of, rows, looks.get(watch.brand_id, {}))

    def _count_brands(
        self, brands: Sequence[str], hours: Sequence[int], looks: Mapping[str, Mapping[int, Look]]
    ) -> None:
        node = Or(tuple(Keyword("brand_id", brand_id) for brand_id in brands))
        rows: dict[str, dict[int, tuple[int, int, int, int]]] = {brand_id: {} for brand_id in brands}
        rows_an_hour = len(brands) * 12 * _ROWS_A_BUCKET
        for start, end in _spans(hours):
            for moment, time_field in self._pieces(node, start, end, rows_an_hour, undated=self._undated):
                by_brand = {"brand": Terms("brand_id", len(brands), sub={"at": _by_bucket(time_field)})}
                for brand in _rows(self._mentions.aggregate(moment, by_brand)["brand"]):
                    _add(rows[str(brand.key)], brand.sub["at"])
        for brand_id in brands:
            self._keep(brand_id, hours, rows[brand_id], looks.get(brand_id, {}))

    def _pieces(
        self, node: Node, start: datetime, end: datetime, rows_an_hour: int, *, undated: bool
    ) -> Iterator[tuple[Node, str]]:
        """Give what to ask for a span, piece by piece, so that no answer has more than MAX_ROWS rows."""
        step = timedelta(hours=max(MAX_ROWS // max(rows_an_hour, 1), 1))
        while start < end:
            yield from _moments(node, start, min(start + step, end), undated=undated)
            start += step

    def _rows_an_hour(self) -> int:
        """Give how many rows an hour of all brands has at most."""
        answer = self._mentions.aggregate(Everything(), {"brand": Terms("brand_id", MAX_BRANDS)})
        return len(_rows(answer["brand"])) + 1

    def _rows_of(self, node: Node, hours: Sequence[int]) -> dict[int, tuple[int, int, int, int]]:
        rows: dict[int, tuple[int, int, int, int]] = {}
        for start, end in _spans(hours):
            for moment, time_field in self._pieces(node, start, end, 12 * _ROWS_A_BUCKET, undated=self._undated):
                _add(rows, self._mentions.aggregate(moment, {"at": _by_bucket(time_field)})["at"])
        return rows

    def _keep(
        self,
        filter_id: str,
        hours: Sequence[int],
        rows: Mapping[int, tuple[int, int, int, int]],
        looks: Mapping[int, Look],
    ) -> None:
        """Put what was counted of hours in the place of what was known of them, in memory and in documents."""
        days = self._days[filter_id]
        self._first.pop(filter_id, None)
        changed = set()
        for hour_ms in hours:
            day_ms, hour = hour_ms // DAY_MS * DAY_MS, hour_ms % DAY_MS // HOUR_MS
            day = days.setdefault(day_ms, _Day())
            changed.add(day_ms)
            for bucket in range(hour * 12, hour * 12 + 12):
                day.rows.pop(bucket, None)
                if (row := rows.get(day_ms + bucket * BUCKET_MS)) is not None:
                    day.rows[bucket] = row
            if hour_ms in looks:
                day.looks[hour] = looks[hour_ms]
            else:
                day.looks.pop(hour, None)
        self._unsaved += [
            Change(KIND, f"{filter_id}/{day_ms:014d}", _body_of(days[day_ms])) for day_ms in sorted(changed)
        ]
        if len(self._unsaved) >= SAVED_AT_ONCE:
            self._save()

    def _save(self) -> None:
        """Make what was counted durable: many filters at once, for each time waits for the disk."""
        try:
            for begin in range(0, len(self._unsaved), SAVED_AT_ONCE):
                self._documents.apply(self._unsaved[begin : begin + SAVED_AT_ONCE])
        except BaseException:
            # What is in memory must not be ahead of what is kept.
            self._days.clear()
            self._first.clear()
            raise
        finally:
            self._unsaved.clear()


def _moments(node: Node, start: datetime, end: datetime, *, undated: bool) -> list[tuple[Node, str]]:
    """Give what to ask, and by which field, to count by event time; what has no date only where there is some."""
    dated = (published(node, start, end), "published_at")
    return [dated, (collected(node, start, end), "collected_at")] if undated else [dated]


def _by_bucket(time_field: str) -> Histogram:
    reliable = {"sentiment": Terms("sentiment", len(_OUTCOMES))}
    return Histogram(time_field, BUCKET_SECONDS, sub={"reliable": Terms("sentiment_reliable", 2, sub=reliable)})


def _rows(result: Result) -> Sequence[Any]:
    return result.buckets if isinstance(result, Buckets) else ()


def _add(rows: dict[int, tuple[int, int, int, int]], result: Result) -> None:
    for bucket in _rows(result):
        known = rows.get(int(bucket.key), (0, 0, 0, 0))
        felt = dict.fromkeys(_OUTCOMES, 0)
        for reliable in _rows(bucket.sub["reliable"]):
            if reliable.key:
                felt |= {str(each.key): each.count for each in _rows(reliable.sub["sentiment"])}
        rows[int(bucket.key)] = (
            known[0] + bucket.count,
            known[1] + felt["negative"],
            known[2] + felt["neutral"],
            known[3] + felt["positive"],
        )


def _spans(hours: Sequence[int]) -> list[tuple[datetime, datetime]]:
    """Join neighbouring hours: one request for each stretch."""
    spans: list[tuple[int, int]] = []
    for ms in sorted(hours):
        if spans and spans[-1][1] == ms:
            spans[-1] = (spans[-1][0], ms + HOUR_MS)
        else:
            spans.append((ms, ms + HOUR_MS))
    return [(from_ms(start), from_ms(end)) for start, end in spans]


def _body_of(day: _Day) -> dict[str, Any]:
    return {
        "rows": [[bucket, *row] for bucket, row in sorted(day.rows.items())],
        "looks": [[hour, *look] for hour, look in sorted(day.looks.items())],
    }


def _day_of(body: Mapping[str, Any]) -> _Day:
    return _Day(
        {int(bucket): (int(a), int(b), int(c), int(d)) for bucket, a, b, c, d in body["rows"]},
        {int(hour): (int(count), int(score)) for hour, count, score in body["looks"]},
    )


def known_buckets(series: Series, closed: Iterable[tuple[int, int]], backfilled: Iterable[int]) -> Series:
    """Give a series in which no evidence comes from spans of deafness `[start_ms, end_ms)` and what was filled up."""
    known = np.ones(len(series), np.bool_)
    for start_ms, end_ms in closed:
        first = max(series.place(start_ms), 0)
        known[first : max(series.place(end_ms - 1) + 1, first)] = False
    for ms in backfilled:
        if 0 <= (place := series.place(ms)) < len(series):
            known[place] = False
    return replace(series, known=known)
