"""The search of Hacker News, asked for slices of time that fit its ceiling of 1,000 hits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from domain.clock import Clock
from ingest.hackernews_items import written
from ingest.site_time import said_at
from ingest.web import Asker, Fetcher

PAGE = "docs/sources/hackernews.md"
# The search gives no more than this of one question, newest first: of a slice that is full the old end is missing.
MAX_HITS = 1_000
_TAGS = "(story,comment)"


@dataclass(frozen=True, slots=True)
class Slice:
    """What was written from a second on until `until`, both included; None is until now.

    `overfull`: a single second held more than the search gives, and the rest of it cannot be had.
    """

    hits: Sequence[dict[str, Any]]
    until: int | None
    overfull: bool = False


class Search:
    """Asks the search. Not thread-safe; errors as of `ingest.web.Asker`."""

    def __init__(self, address: str, fetcher: Fetcher, clock: Clock) -> None:
        self._address, self._clock = address, clock
        self._present: int | None = None
        self._asker = Asker(fetcher, setting="source.hackernews.address", page=PAGE, clock=clock)

    def present(self) -> int:
        """Give what time it was at the site when it last answered, else what it is here (seconds since 1970)."""
        return int(self._clock.now().timestamp()) if self._present is None else self._present

    def slice(self, low: int, high: int | None) -> Slice:
        """Give the oldest part of `[low, high]` that is whole: a slice that is full is cut into halves."""
        while True:
            hits = self._hits(low, high)
            if len(hits) < MAX_HITS:
                return Slice(hits, high)
            top = max(map(written, hits)) if high is None else high
            if top <= low:
                return Slice(hits, low, overfull=True)
            high = low + (top - low) // 2

    def newest(self) -> int | None:
        """Give when the newest of all was written; None where nothing ever was."""
        return max(map(written, self._hits(0, None, most=1)), default=None)

    def _hits(self, low: int, high: int | None, *, most: int = MAX_HITS) -> list[dict[str, Any]]:
        limits = f"created_at_i>={low}" + (f",created_at_i<={high}" if high is not None else "")
        query = urlencode({"tags": _TAGS, "numericFilters": limits, "hitsPerPage": most})
        answer = self._asker.ask(f"{self._address}/api/v1/search_by_date?{query}")
        found = self._asker.read_json(answer)
        self._present = int(said_at(answer.headers, self._clock.now()).timestamp())
        hits = found.get("hits") if isinstance(found, dict) else None
        if not isinstance(hits, list):
            raise self._asker.unreadable("the search of Hacker News gave no hits")
        return [hit for hit in hits if isinstance(hit, dict)]
