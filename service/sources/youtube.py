"""Settings of YouTube."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from service.setting import Setting
from service.sources.kind import SourceContext, SourceKind

if TYPE_CHECKING:
    from ingest.source import LiveSource

_NUMBERS = (
    "videos_per_channel", "daily_units", "daily_searches", "poll_seconds", "discover_seconds", "search_seconds",
    "edits_seconds",
)  # fmt: skip


def _build(context: SourceContext) -> LiveSource:
    from ingest.youtube import YouTubeSource
    from ingest.youtube_settings import YouTubeSettings

    settings = YouTubeSettings(
        api_key=context.values["api_key"],
        address=context.values["address"],
        videos=context.texts("videos"),
        channels=context.texts("channels"),
        searches=context.texts("searches"),
        titles=context.values["titles"],
        **{name: context.values[name] for name in _NUMBERS},
        normalise=replace(context.normalise, html="never"),
        allow_private=context.allow_private,
    )
    return YouTubeSource(settings, context.clock)


def _seconds(name: str, default: float, meaning: str) -> Setting:
    return Setting(f"source.youtube.{name}", "number", default, f"{meaning} (seconds)", minimum=1, maximum=604_800)


YOUTUBE = SourceKind(
    name="youtube",
    summary="comments of videos and channels on YouTube",
    settings=(
        Setting("source.youtube.api_key", "secret", "", "key of the YouTube Data API"),
        Setting("source.youtube.api_key_file", "path", "", "file that holds `source.youtube.api_key`"),
        Setting("source.youtube.address", "text", "https://www.googleapis.com/youtube/v3", "where its API is"),
        Setting("source.youtube.videos", "texts", (), "videos to track, by id"),
        Setting("source.youtube.channels", "texts", (), "channels whose newest videos are tracked, by id or @handle"),
        Setting(
            "source.youtube.searches", "texts", (), "words; the newest videos that a search finds by them are tracked"
        ),
        Setting("source.youtube.titles", "boolean", False, "whether a comment is found by the title of its video too"),
        Setting(
            "source.youtube.videos_per_channel",
            "integer",
            20,
            "how many of the newest videos of a channel are tracked",
            minimum=1,
            maximum=50,
        ),
        Setting(
            "source.youtube.daily_units",
            "integer",
            10_000,
            "units of quota that may be used a day; then it stops until midnight in California",
            minimum=1,
            maximum=100_000_000,
        ),
        Setting(
            "source.youtube.daily_searches",
            "integer",
            100,
            "searches that may be made a day",
            minimum=0,
            maximum=1_000_000,
        ),
        _seconds("poll_seconds", 300.0, "how often it looks which videos have new comments"),
        _seconds("discover_seconds", 1_800.0, "how often it looks for new videos of channels"),
        _seconds("search_seconds", 21_600.0, "how often it searches"),
        _seconds("edits_seconds", 21_600.0, "how often the newest comments of a video are read for edits"),
    ),
    build=_build,
)
