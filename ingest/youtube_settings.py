"""What is listened to on YouTube."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ingest.normalise import NormaliserSettings
from ingest.youtube_api import KEY_SETTING, PAGE

VIDEO_ID = re.compile(r"[A-Za-z0-9_-]{11}")
_CHANNEL = re.compile(r"UC[A-Za-z0-9_-]{22}|@[\w.\-\u00b7]{3,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class YouTubeSettings:
    """What is listened to, and how often.

    `videos`: ids. `channels`: ids (UC...) or handles (@name), of which the newest `videos_per_channel` uploads are
    tracked. `searches`: words; the newest videos that have them are tracked. `titles`: a comment carries the title of
    its video, so that a query finds it by that too. A video is asked for its comments when its number of comments has
    changed, and every `edits_seconds` for edits.
    """

    api_key: str = field(repr=False)
    address: str = "https://www.googleapis.com/youtube/v3"
    videos: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    titles: bool = False
    videos_per_channel: int = 20
    daily_units: int = 10_000
    daily_searches: int = 100
    poll_seconds: float = 300.0
    discover_seconds: float = 1_800.0
    search_seconds: float = 21_600.0
    edits_seconds: float = 21_600.0
    normalise: NormaliserSettings = field(default_factory=NormaliserSettings)
    allow_private: bool = False


def check(settings: YouTubeSettings) -> list[str]:
    """Tell what is wrong with settings, one line each."""
    problems = []
    if not settings.api_key:
        problems.append(f"{KEY_SETTING}: is missing; see {PAGE}")
    if not (settings.videos or settings.channels or settings.searches):
        problems.append(f"source.youtube.videos, channels or searches: name what to listen to; see {PAGE}")
    problems += [
        f"source.youtube.{name}: found {value!r}, expected {expected}"
        for name, values, pattern, expected in (
            ("videos", settings.videos, VIDEO_ID, "the id of a video: the 11 characters after v="),
            ("channels", settings.channels, _CHANNEL, "the id of a channel (UC and 22 characters) or its @handle"),
        )
        for value in values
        if not pattern.fullmatch(value)
    ]
    return problems
