"""What stories and comments of Hacker News have earned meanwhile: points and comments, from its live data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from domain.clock import Clock
from domain.engagement import Engagement, count_of
from ingest.hackernews_search import PAGE
from ingest.web import Asker, Fetcher

# An item is one question, and whoever asks us to stop is not kept waiting for many.
MOST: Final = 5


class ItemNumbers:
    """Asks the live data, item by item. `ingest.source.EngagementLookup`; errors as of `ingest.web.Asker`."""

    most = MOST

    def __init__(self, address: str, clock: Clock, *, allow_private: bool) -> None:
        self._address, self._clock = address, clock
        self._fetcher = Fetcher(allow_private=allow_private)
        self._asker = Asker(self._fetcher, setting="source.hackernews.updates_address", page=PAGE, clock=clock)

    def engagement(self, native_ids: Sequence[str]) -> Mapping[str, Engagement]:
        found: dict[str, Engagement] = {}
        for name in native_ids:
            if not (name.isascii() and name.isdigit()):
                continue
            item = self._asker.ask_json(f"{self._address}/v0/item/{name}.json")
            if isinstance(item, dict) and not (item.get("deleted") is True or item.get("dead") is True):
                found[name] = self._read(item)
        return {name: engagement for name, engagement in found.items() if engagement.tells}

    def close(self) -> None:
        self._fetcher.close()

    def _read(self, item: Mapping[str, Any]) -> Engagement:
        now = self._clock.now()
        if item.get("type") != "comment":
            return Engagement(at=now, likes=count_of(item.get("score")), replies=count_of(item.get("descendants")))
        # Points of comments are not shown. Where nobody has answered, the list of answers is left out.
        answers = item.get("kids", [])
        return Engagement(at=now, replies=len(answers) if isinstance(answers, list) else None)
