"""News and blogs by their feeds: RSS, RDF and Atom; no key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from weakref import WeakSet

from domain.clock import Clock
from domain.errors import ConfigError
from ingest.feed_entry import Revised, article
from ingest.feed_reader import FeedPlan, FeedReader, feed_item
from ingest.feed_window import is_cursor
from ingest.normalise import NormaliserSettings
from ingest.source import Item, RawPost

PAGE = "docs/sources/rss.md"


def _html() -> NormaliserSettings:
    return NormaliserSettings(html="always")


@dataclass(frozen=True, slots=True, kw_only=True)
class RssSettings:
    """Which feeds are read, and how often (seconds)."""

    feeds: tuple[str, ...]
    poll_seconds: float = 600.0
    host_seconds: float = 2.0
    normalise: NormaliserSettings = field(default_factory=_html)
    allow_private: bool = False


class FeedSource:
    """`ingest.source.LiveSource` over feeds. A cursor tells of each feed when it was read and what was its newest."""

    def __init__(self, plan: FeedPlan, normalise: NormaliserSettings, clock: Clock) -> None:
        self.name = self.key = plan.name
        self._plan, self._normalise, self._clock = plan, normalise, clock
        self._readers: WeakSet[FeedReader] = WeakSet()

    @property
    def normalise(self) -> NormaliserSettings:
        return self._normalise

    def can_resume(self, cursor: str) -> bool:
        return is_cursor(cursor)

    def open(self, cursor: str | None) -> FeedReader:
        reader = FeedReader(self._plan, self._clock, cursor)
        self._readers.add(reader)
        return reader

    def follow(self, urls: Sequence[str]) -> None:
        """Read these feeds from now on. Called from any thread."""
        self._plan = replace(self._plan, urls=tuple(urls))
        for reader in list(self._readers):
            reader.follow(urls)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            revised = Revised.from_json(payload)
        except ValueError as exc:
            problem = f"found no entry of a feed in the dead letter from {position}, expected a JSON object"
            raise ConfigError(problem) from exc
        content = self._plan.shape(revised)
        if id_owed and isinstance(content, RawPost):
            content = replace(content, row=None)
        return replace(feed_item(self._plan, revised, ""), position=position, content=content)


def rss_source(settings: RssSettings, clock: Clock) -> FeedSource:
    """Give the source of these feeds."""
    plan = FeedPlan(
        name="rss",
        setting="source.rss.feeds",
        page=PAGE,
        urls=settings.feeds,
        poll_seconds=settings.poll_seconds,
        host_seconds=settings.host_seconds,
        shape=article,
        allow_private=settings.allow_private,
    )
    return FeedSource(plan, settings.normalise, clock)
