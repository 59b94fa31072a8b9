"""Hacker News: stories and comments, read in slices of time from its public search, no key."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from domain.clock import Clock
from domain.errors import BadReason, BadRecord, ConfigError
from ingest.normalise import NormaliserSettings
from ingest.polling import Polled, PollingReader
from ingest.source import Item, RawPost, Vitals
from ingest.web import Asker, Fetcher

PAGE = "docs/sources/hackernews.md"
# The search gives no more than this of one question, so a slice that is full is cut.
MAX_HITS = 1_000
# The search lags behind the site by some seconds: what was indexed late is looked for again.
OVERLAP_SECONDS = 120


def _html() -> NormaliserSettings:
    return NormaliserSettings(html="always")


@dataclass(frozen=True, slots=True, kw_only=True)
class HackerNewsSettings:
    """Where the search is and how often it is asked (seconds)."""

    address: str = "https://hn.algolia.com"
    poll_seconds: float = 60.0
    normalise: NormaliserSettings = field(default_factory=_html)
    allow_private: bool = False


class HackerNewsSource:
    """`ingest.source.LiveSource` over the search of Hacker News. A cursor is a time in seconds since 1970."""

    name = "hackernews"
    key = "hackernews"

    def __init__(self, settings: HackerNewsSettings, clock: Clock) -> None:
        self._settings, self._clock = settings, clock

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return cursor.isascii() and cursor.isdigit()

    def open(self, cursor: str | None) -> PollingReader:
        now = int(self._clock.now().timestamp())
        start = int(cursor) if cursor is not None and self.can_resume(cursor) else now
        fetcher = Fetcher(allow_private=self._settings.allow_private)
        slices = _Slices(self._settings, self._clock, fetcher, start)
        return PollingReader(slices.poll, self._settings.poll_seconds, self._clock, fetcher.close)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            hit = json.loads(payload)
        except (ValueError, RecursionError):
            hit = None
        if not isinstance(hit, dict):
            raise ConfigError(f"found no hit of Hacker News in the dead letter from {position}, expected a JSON object")
        return replace(_item(hit), position=position)


class _Slices:
    """Asks for what was written since a time, and some time before it once more."""

    def __init__(self, settings: HackerNewsSettings, clock: Clock, fetcher: Fetcher, start: int) -> None:
        self._settings, self._clock, self._start = settings, clock, start
        self._asker = Asker(fetcher, setting="source.hackernews.address", page=PAGE, clock=clock)
        # When each item of the overlap was written: it is given once.
        self._given: dict[str, int] = {}

    def poll(self) -> Polled:
        since = self._start - OVERLAP_SECONDS
        # Newest first: a full slice is cut off at its old end.
        hits, until = self._hits(since, None), None
        while len(hits) == MAX_HITS:
            until = min(_written(hit) for hit in hits)
            older = self._hits(since, until)
            hits += older
            if len(older) < MAX_HITS:
                break
        fresh = {_id(hit): hit for hit in hits if _id(hit) not in self._given}
        items = [_item(hit) for hit in sorted(fresh.values(), key=_order)]
        self._given |= {name: _written(hit) for name, hit in fresh.items()}
        newest = max(self._given.values(), default=self._start)
        self._start = max(self._start, newest)
        self._given = {name: at for name, at in self._given.items() if at >= self._start - OVERLAP_SECONDS}
        event_at = datetime.fromtimestamp(newest, UTC) if self._given else None
        return Polled(items, Vitals(connected=True, event_at=event_at))

    def _hits(self, since: int, until: int | None) -> list[dict[str, Any]]:
        limits = f"created_at_i>={since}" + (f",created_at_i<={until}" if until is not None else "")
        query = urlencode({"tags": "(story,comment)", "numericFilters": limits, "hitsPerPage": MAX_HITS})
        found = self._asker.ask_json(f"{self._settings.address}/api/v1/search_by_date?{query}")
        hits = found.get("hits") if isinstance(found, dict) else None
        if not isinstance(hits, list):
            raise self._asker.unreadable("the search of Hacker News gave no hits")
        return [hit for hit in hits if isinstance(hit, dict)]


def _item(hit: dict[str, Any]) -> Item:
    raw = json.dumps(hit, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return Item(position=f"hackernews:{_id(hit)}", cursor=str(_written(hit)), raw=raw, content=_content(hit))


def _id(hit: dict[str, Any]) -> str:
    return str(hit.get("objectID", ""))


def _written(hit: dict[str, Any]) -> int:
    value = hit.get("created_at_i")
    return value if isinstance(value, int) and 0 <= value < 2**40 else 0


def _order(hit: dict[str, Any]) -> tuple[int, str]:
    return _written(hit), _id(hit).rjust(20)


def _content(hit: dict[str, Any]) -> RawPost | BadRecord:
    name = _id(hit)
    if not name:
        return BadRecord(BadReason.MISSING_ID, "objectID: is absent")
    is_comment = hit.get("comment_text") is not None
    title = None if is_comment else hit.get("title")
    fields = {
        "id": name,
        # A story that is a link has no text but its title.
        "text": hit.get("comment_text") if is_comment else hit.get("story_text") or hit.get("title"),
        "title": title if hit.get("story_text") else None,
        "url": f"https://news.ycombinator.com/item?id={name}",
        "kind": "comment" if is_comment else "story",
        "author_handle": hit.get("author"),
        "author_id": hit.get("author"),
        "published_at": hit.get("created_at_i"),
        "likes": hit.get("points"),
        "replies": hit.get("num_comments"),
        "thread_id": None if hit.get("story_id") is None else str(hit["story_id"]),
        "reply_to": None if hit.get("parent_id") is None else str(hit["parent_id"]),
        "links": [hit["url"]] if isinstance(hit.get("url"), str) and hit["url"] else None,
    }
    return RawPost(fields={key: value for key, value in fields.items() if value is not None})
