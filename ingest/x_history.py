"""The past of X: recent search, newest first, as far as a budget of its own goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.clock import Clock, to_ms
from domain.errors import ConfigError, RetryLater
from ingest.source import Extent, Item
from ingest.x_budget import Budget, Meter
from ingest.x_client import XClient, XFault
from ingest.x_ladder import Ladder, LadderSettings
from ingest.x_post import dump, is_retweet, read_post
from ingest.x_search import MAX_AGE, SETTLED, post_id


class XHistory:
    """`ingest.source.Source` that ends. A cursor is the place of a query, its last id, and what was spent."""

    name = "x"

    def __init__(
        self,
        start: datetime,
        end: datetime,
        client: Callable[[], XClient],
        queries: Sequence[str],
        budget: Budget,
        clock: Clock,
    ) -> None:
        self.key = f"x {to_ms(start)} {to_ms(end)}"
        self._start, self._end, self._client = start, end, client
        self._queries, self._budget, self._clock = queries, budget, clock

    def can_resume(self, cursor: str) -> bool:
        return _read(cursor) is not None

    def open(self, cursor: str | None) -> _HistoryReader:
        place, until, spent = (_read(cursor) if cursor is not None else None) or (0, "", 0.0)
        meter = Meter(spent=spent)
        return _HistoryReader(
            self._client(), self._queries, self._start, self._end, place, until, meter, self._budget, self._clock
        )


class _HistoryReader:
    def __init__(
        self,
        client: XClient,
        queries: Sequence[str],
        start: datetime,
        end: datetime,
        place: int,
        until: str,
        meter: Meter,
        budget: Budget,
        clock: Clock,
    ) -> None:
        self._client, self._queries, self._start, self._end = client, queries, start, end
        self._place, self._until, self._meter, self._budget, self._clock = place, until, meter, budget, clock
        self._ladder = Ladder(LadderSettings())
        self._waiting: list[Item] = []

    def read(self, max_items: int) -> Sequence[Item] | None:
        if not self._waiting:
            if self._place >= len(self._queries):
                return None
            if self._meter.spent >= self._budget.daily:
                raise ConfigError(
                    f"source.x.daily_budget: the past has cost {self._meter.spent:.2f} {self._budget.currency}, and no "
                    "more is spent on it; what was found stays, and a larger budget goes on from there"
                )
            self._fetch()
        given, self._waiting = self._waiting[:max_items], self._waiting[max_items:]
        return given

    def _fetch(self) -> None:
        now = self._clock.now()
        try:
            page = self._client.search(
                self._queries[self._place],
                until_id=self._until,
                start=max(self._start, now - MAX_AGE),
                # X takes one of both.
                end=None if self._until else min(self._end, now - SETTLED),
                most=self._budget.affordable(self._meter),
            )
        except XFault as exc:
            raise RetryLater(str(exc), self._ladder.next(exc)) from exc
        self._ladder.reset()
        self._waiting = [item for envelope in page.posts for item in self._items(envelope)]
        ids = [number for envelope in page.posts if (number := post_id(envelope))]
        if ids and page.next_token:
            self._until = str(min(ids))
        else:
            self._place, self._until = self._place + 1, ""

    def _items(self, envelope: Mapping[str, Any]) -> list[Item]:
        self._meter.add(self._budget.price_per_post)
        data = envelope.get("data")
        if not isinstance(data, Mapping) or is_retweet(data):
            return []
        name = str(post_id(envelope))
        cursor = json.dumps([self._place, name, self._meter.spent])
        content = read_post(envelope, seen_at=None)
        return [Item(position=f"x:{name}", cursor=cursor, raw=dump(envelope), content=content)]

    def extent(self) -> Extent | None:
        return None

    def close(self) -> None:
        """Nothing is open between two questions."""


def _read(cursor: str) -> tuple[int, str, float] | None:
    try:
        place, until, spent = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        return None
    good = isinstance(place, int) and place >= 0 and isinstance(until, str) and isinstance(spent, int | float)
    return (place, until, float(spent)) if good else None
