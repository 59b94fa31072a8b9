"""YouTube: comments of tracked videos and channels, under the daily quota of a free key."""

from __future__ import annotations

import json
from dataclasses import replace

from domain.clock import Clock
from domain.errors import ConfigError
from ingest.normalise import NormaliserSettings
from ingest.polling import PollingReader
from ingest.source import Item
from ingest.web import Fetcher
from ingest.youtube_api import Api, Spent
from ingest.youtube_comments import item_of
from ingest.youtube_reading import Place
from ingest.youtube_rounds import Rounds
from ingest.youtube_settings import YouTubeSettings, check


class YouTubeSource:
    """`ingest.source.LiveSource` over the YouTube Data API.

    A cursor is JSON: `since`, when listening began; `marks`, by video the time of the newest change that was given;
    and what was spent. Times in seconds since 1970.

    Raises:
        ConfigError: as `check`.
    """

    name = "youtube"
    key = "youtube"

    def __init__(self, settings: YouTubeSettings, clock: Clock) -> None:
        if problems := check(settings):
            raise ConfigError(problems)
        self._settings, self._clock = settings, clock

    @property
    def normalise(self) -> NormaliserSettings:
        return self._settings.normalise

    def can_resume(self, cursor: str) -> bool:
        return Place.read(cursor) is not None

    def open(self, cursor: str | None) -> PollingReader:
        place = (Place.read(cursor) if cursor is not None else None) or Place()
        fetcher = Fetcher(allow_private=self._settings.allow_private)
        limits = Spent(units=self._settings.daily_units, searches=self._settings.daily_searches)
        api = Api(self._settings.address, self._settings.api_key, fetcher, self._clock, limits, place.spent)
        rounds = Rounds(self._settings, api, self._clock, place)

        def placed() -> str | None:
            # Since when it listens and what was spent hold also where nobody comments.
            return None if place.since is None else place.write()

        return PollingReader(rounds.poll, self._settings.poll_seconds, self._clock, fetcher.close, placed)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        try:
            comment = json.loads(payload)
        except (ValueError, RecursionError):
            comment = None
        if not isinstance(comment, dict):
            raise ConfigError(f"found no comment of YouTube in the dead letter from {position}, expected a JSON object")
        return replace(item_of(comment, Place().write()), position=position)
