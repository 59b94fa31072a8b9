"""Hacker News: stories and comments from its public search, in slices of time, and what becomes of them. No key."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from domain.clock import Clock
from domain.errors import ConfigError
from ingest.hackernews_engagement import ItemNumbers
from ingest.hackernews_items import hit_id, in_order, item_of, written
from ingest.hackernews_search import MAX_HITS, Search, Slice
from ingest.hackernews_updates import Updates
from ingest.normalise import NormaliserSettings
from ingest.polling import Polled, PollingReader
from ingest.site_time import not_ahead
from ingest.source import Extent, Gap, Item, Source, SourceReader, Vitals
from ingest.web import Fetcher

# The search lags behind the site by some seconds: what was indexed late is looked for again.
OVERLAP_SECONDS = 120
# Some 600 items in usual times, so that a slice of the past seldom has to be cut.
SLICE_SECONDS = 3_600
# Nothing is older.
FIRST = datetime(2006, 10, 9, tzinfo=UTC)


def _html() -> NormaliserSettings:
    return NormaliserSettings(html="always")


@dataclass(frozen=True, slots=True, kw_only=True)
class HackerNewsSettings:
    """Where the search and the live data are, and how often they are asked (seconds).

    Without `updates_address` edits and deletions are not heard, nor are numbers looked up again.
    """

    address: str = "https://hn.algolia.com"
    updates_address: str = "https://hacker-news.firebaseio.com"
    poll_seconds: float = 60.0
    normalise: NormaliserSettings = field(default_factory=_html)
    allow_private: bool = False


class HackerNewsSource:
    """`ingest.source.LiveSource`, `History` and `TellsEngagement` over Hacker News.

    A cursor is a time in seconds since 1970.
    """

    name = "hackernews"
    key = "hackernews"

    def __init__(self, settings: HackerNewsSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return _is_second(cursor)

    def open(self, cursor: str | None) -> PollingReader:
        start = int(cursor) if cursor is not None and self.can_resume(cursor) else None
        fetcher = Fetcher(allow_private=self._settings.allow_private)
        rounds = _Rounds(
            Search(self._settings.address, fetcher, self._clock),
            Updates(self._settings.updates_address, fetcher, self._clock),
            self._clock,
            start,
        )
        return PollingReader(rounds.poll, self._settings.poll_seconds, self._clock, fetcher.close)

    def history(self, start: datetime, end: datetime) -> Source:
        if end <= FIRST:
            raise ConfigError(f"Hacker News gives nothing of before {FIRST:%Y-%m-%d}")
        return _Past(self._settings, self._clock, int(max(start, FIRST).timestamp()), int(end.timestamp()))

    def lookup(self) -> ItemNumbers | None:
        address = self._settings.updates_address
        return ItemNumbers(address, self._clock, allow_private=self._settings.allow_private) if address else None

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            hit = json.loads(payload)
        except (ValueError, RecursionError):
            hit = None
        if not isinstance(hit, dict):
            raise ConfigError(f"found no hit of Hacker News in the dead letter from {position}, expected a JSON object")
        return replace(item_of(hit, str(written(hit))), position=position)


class _Rounds:
    """Asks, round by round, for all that was written since the newest thing known, and some time before it once more.

    A round is one question, or after a long absence many, an hour each: no more than a slice is held at a time. Where a
    round begins is told by the times of items, and none beyond the present of the site is believed: whatever claims
    one is given and moves nothing.
    """

    def __init__(self, search: Search, updates: Updates, clock: Clock, start: int | None) -> None:
        self._search, self._updates, self._clock = search, updates, clock
        self._newest = start
        # Its place is of a cursor, and was not held against the present of the site yet.
        self._kept = start is not None
        self._next = 0 if start is None else max(0, start - OVERLAP_SECONDS)
        # When each item that may come again was written: it is given once.
        self._given: dict[str, int] = {}
        # The last second whose rest could not be had: it is told once.
        self._overfull = 0

    def poll(self) -> Polled:
        if self._updates.waiting:
            return self._polled(self._updates.take(str(self._newest or 0)), again=self._updates.waiting)
        if self._newest is None:
            newest = self._search.newest()
            if newest is None:
                return self._polled([])
            self._newest = min(newest, self._search.present())
            self._next = max(0, self._newest - OVERLAP_SECONDS)
        end = self._next + SLICE_SECONDS
        found = self._search.slice(self._next, end if end < self._search.present() else None)
        if self._kept and self._newest > self._search.present():
            self._kept, self._newest = False, not_ahead(self._newest, self._search.present(), slack=OVERLAP_SECONDS)
            self._next = max(0, self._newest - OVERLAP_SECONDS)
            return self._polled([], again=True)
        self._kept = False
        items = self._take(found, self._search.present())
        if found.until is not None:
            self._next = found.until + 1
            self._forget(min(self._next, self._newest - OVERLAP_SECONDS))
            return self._polled(items, again=True)
        self._next = max(0, self._newest - OVERLAP_SECONDS)
        self._forget(self._next)
        self._updates.look()
        return self._polled(items, again=self._updates.waiting)

    def _take(self, found: Slice, present: int) -> list[Item]:
        assert self._newest is not None
        fresh = {hit_id(hit): hit for hit in found.hits if hit_id(hit) not in self._given}
        hits = sorted(fresh.values(), key=in_order)
        self._given |= {name: max(written(hit), self._next) for name, hit in fresh.items()}
        self._updates.gave(hits)
        items: list[Item] = []
        for hit in hits:
            if written(hit) <= present:
                self._newest = max(self._newest, written(hit))
            items.append(item_of(hit, str(self._newest)))
        if found.overfull and self._next > self._overfull:
            self._overfull = self._next
            items.append(_overfull(self._next, str(self._newest)))
        return items

    def _forget(self, before: int) -> None:
        self._given = {name: at for name, at in self._given.items() if at >= before}

    def _polled(self, items: Sequence[Item], *, again: bool = False) -> Polled:
        event_at = datetime.fromtimestamp(self._newest, UTC) if self._newest is not None else None
        vitals = Vitals(connected=True, event_at=event_at, errors=self._updates.errors, note=self._updates.trouble)
        return Polled(items, vitals, 0.0 if again else None)


def _overfull(second: int, cursor: str) -> Item:
    at = datetime.fromtimestamp(second, UTC)
    gap = Gap(
        start=at,
        end=datetime.fromtimestamp(second + 1, UTC),
        reason=f"the search gives {MAX_HITS:,} hits of one second and no more",
        recovered=MAX_HITS,
        method="search",
    )
    return Item(position=f"hackernews@{second}", cursor=cursor, raw=b"", content=gap)


def _is_second(cursor: str) -> bool:
    return cursor.isascii() and cursor.isdigit() and len(cursor) <= 10


class _Past:
    """`ingest.source.Source` over what was written in a span of seconds. A cursor is the second to go on with."""

    name = "hackernews"

    def __init__(self, settings: HackerNewsSettings, clock: Clock, start: int, end: int) -> None:
        self._settings, self._clock, self._start, self._end = settings, clock, start, end
        self.key = f"hackernews:{start}-{end}"

    def can_resume(self, cursor: str) -> bool:
        return _is_second(cursor) and self._start <= int(cursor) <= self._end

    def open(self, cursor: str | None) -> SourceReader:
        start = int(cursor) if cursor is not None and self.can_resume(cursor) else self._start
        fetcher = Fetcher(allow_private=self._settings.allow_private)
        search = Search(self._settings.address, fetcher, self._clock)
        return _PastReader(search, fetcher, self._start, start, self._end)


class _PastReader:
    def __init__(self, search: Search, fetcher: Fetcher, start: int, at: int, end: int) -> None:
        self._search, self._fetcher = search, fetcher
        self._start, self._next, self._end = start, at, end
        self._waiting: deque[Item] = deque()

    def read(self, max_items: int) -> Sequence[Item] | None:
        if not self._waiting:
            if self._next >= self._end:
                return None
            self._ask()
        return [self._waiting.popleft() for _ in range(min(max_items, len(self._waiting)))]

    def _ask(self) -> None:
        low = self._next
        found = self._search.slice(low, min(low + SLICE_SECONDS, self._end) - 1)
        # Within a slice a kill comes back to the second of the last item, whose others then come again.
        for hit in sorted(found.hits, key=in_order):
            self._waiting.append(item_of(hit, str(min(max(written(hit), low), self._end))))
        if found.overfull:
            self._waiting.append(_overfull(low, str(low)))
        assert found.until is not None
        self._next = found.until + 1

    def extent(self) -> Extent | None:
        """In seconds of the span."""
        return Extent(self._next - self._start, self._end - self._start)

    def close(self) -> None:
        self._fetcher.close()
