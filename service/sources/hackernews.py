"""Settings of Hacker News."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource


def _build(context: SourceContext) -> LiveSource:
    from ingest.hackernews import HackerNewsSettings, HackerNewsSource

    settings = HackerNewsSettings(
        address=context.values["address"],
        updates_address=context.values["updates_address"] if context.values["updates"] else "",
        poll_seconds=context.values["poll_seconds"],
        normalise=replace(context.normalise, html="always"),
        allow_private=context.allow_private,
    )
    return HackerNewsSource(settings, context.clock)


HACKERNEWS = SourceKind(
    name="hackernews",
    summary="stories and comments of Hacker News",
    settings=(
        Setting("source.hackernews.address", "text", "https://hn.algolia.com", "where its search is"),
        Setting(
            "source.hackernews.updates",
            "boolean",
            True,
            "whether edits and deletions are heard, by its live data",
        ),
        Setting(
            "source.hackernews.updates_address",
            "text",
            "https://hacker-news.firebaseio.com",
            "where its live data is",
        ),
        Setting(
            "source.hackernews.poll_seconds",
            "number",
            60.0,
            "how often it is asked (seconds)",
            minimum=1,
            maximum=86400,
        ),
    ),
    build=_build,
    has_past=True,
    keyless=True,
    tells_engagement=True,
)
