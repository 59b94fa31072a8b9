"""Recent search for what the stream did not give, or for the past: the same questions as the rules, within a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ingest.x_client import XClient
from ingest.x_post import as_id

# X's recent search goes back seven days; a minute less, so that a request under way is not refused.
MAX_AGE = timedelta(days=7) - timedelta(minutes=1)
# The end of a search must lie in the past by this much.
SETTLED = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Found:
    """Posts, oldest first, each once; `whole` is False where more were there than were asked for."""

    posts: Sequence[Mapping[str, Any]]
    whole: bool


def search_since(
    client: XClient, queries: Sequence[str], *, since_id: str, start: datetime, now: datetime, most: int
) -> Found:
    """Ask all queries for what is newer than an id, or than a time where that is too old.

    Raises:
        XFault, ConfigError: X does not give it.
    """
    old = start < now - MAX_AGE
    by_id: dict[int, Mapping[str, Any]] = {}
    for query in queries:
        token = ""
        while True:
            left = most - len(by_id)
            if left <= 0:
                return Found(_ordered(by_id), False)
            page = client.search(
                query,
                since_id="" if old else since_id,
                start=max(start, now - MAX_AGE) if old or not since_id else None,
                next_token=token,
                most=left,
            )
            for envelope in page.posts:
                by_id.setdefault(post_id(envelope), envelope)
            token = page.next_token
            if not token or not page.posts:
                break
    return Found(_ordered(by_id), not old)


def post_id(envelope: Mapping[str, Any]) -> int:
    """Give the id of a post as a number; 0 for one without."""
    data = envelope.get("data")
    return int(as_id(data.get("id")) or 0) if isinstance(data, Mapping) else 0


def _ordered(by_id: Mapping[int, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [by_id[number] for number in sorted(by_id)]
