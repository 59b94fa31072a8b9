"""The past of Mastodon: what its timelines show of a span of time, page by page."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from domain.clock import to_ms
from ingest.mastodon_status import dump, event_time, is_taken, local_id, read_status
from ingest.mastodon_stream import Instance, id_at, newer
from ingest.source import Extent, Item
from ingest.web import Fetcher

# Gives each timeline with its instance.
Timelines = Callable[[Fetcher], Sequence[tuple[Instance, str]]]


class MastodonHistory:
    """`ingest.source.Source` that ends. A cursor is the place of a timeline and the last id read of it."""

    name = "mastodon"

    def __init__(
        self, start: datetime, end: datetime, *, timelines: Timelines, allow_private: bool, respect_noindex: bool
    ) -> None:
        self.key = f"mastodon {to_ms(start)} {to_ms(end)}"
        self._start, self._end, self._timelines = start, end, timelines
        self._allow_private, self._respect_noindex = allow_private, respect_noindex

    def can_resume(self, cursor: str) -> bool:
        return _read(cursor) is not None

    def open(self, cursor: str | None) -> _HistoryReader:
        fetcher = Fetcher(allow_private=self._allow_private)
        place, after = (_read(cursor) if cursor is not None else None) or (0, "")
        timelines = self._timelines(fetcher)
        return _HistoryReader(timelines, self._start, self._end, place, after, self._respect_noindex, fetcher)


class _HistoryReader:
    def __init__(
        self,
        timelines: Sequence[tuple[Instance, str]],
        start: datetime,
        end: datetime,
        place: int,
        after: str,
        respect_noindex: bool,
        fetcher: Fetcher,
    ) -> None:
        self._timelines, self._start, self._end, self._place = timelines, start, end, place
        # A post that arrived from elsewhere has an id of the time when it was written, so ids begin where time does.
        self._first = str(int(id_at(start)) - 1)
        self._after = after or self._first
        self._respect_noindex, self._fetcher = respect_noindex, fetcher
        self._waiting: list[Item] = []

    def read(self, max_items: int) -> Sequence[Item] | None:
        if not self._waiting:
            if self._place >= len(self._timelines):
                return None
            self._fetch(*self._timelines[self._place])
        given, self._waiting = self._waiting[:max_items], self._waiting[max_items:]
        return given

    def _fetch(self, instance: Instance, tag: str) -> None:
        page = instance.page(tag, self._after)
        newest = local_id(page[-1]) if page else ""
        ended = not newest or newer(newest, self._after) == self._after
        for status in page:
            written = event_time({**status, "edited_at": None})
            if written is not None and written >= self._end:
                # Ids grow with time: everything behind it is later as well.
                ended = True
                break
            if written is None or written < self._start or not is_taken(status, respect_noindex=self._respect_noindex):
                continue
            self._waiting.append(self._item(instance, status))
        if ended:
            self._place, self._after = self._place + 1, self._first
        else:
            self._after = newest

    def _item(self, instance: Instance, status: Mapping[str, Any]) -> Item:
        name = local_id(status)
        content = read_status(status, instance.host, seen_at=None, uri_by_id=lambda _: None)
        cursor = json.dumps([self._place, name])
        return Item(position=f"{instance.host}:{name}", cursor=cursor, raw=dump(status), content=content)

    def extent(self) -> Extent | None:
        return None

    def close(self) -> None:
        self._fetcher.close()


def _read(cursor: str) -> tuple[int, str] | None:
    try:
        place, after = json.loads(cursor)
    except (ValueError, TypeError, RecursionError):
        return None
    return (place, after) if isinstance(place, int) and place >= 0 and isinstance(after, str) else None
