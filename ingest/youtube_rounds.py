"""Listening to YouTube, round by round: which videos there are, and which of them have new comments."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.clock import Clock
from domain.errors import RetryLater
from ingest.polling import Polled
from ingest.source import Item, Vitals
from ingest.youtube_api import Api, QuotaSpent, Refused, objects, text_at
from ingest.youtube_reading import OVERLAP_SECONDS, Comments, Place
from ingest.youtube_settings import VIDEO_ID, YouTubeSettings

logger = logging.getLogger(__name__)

MAX_VIDEOS = 500
# A list of ids takes so many.
_IDS = 50
_GONE = "is gone or private"
_DISABLED = "its comments are disabled"


@dataclass(slots=True)
class _Video:
    """A tracked video. `comments` is how many the API counted when they were read, at `looked_at`; `counted` now."""

    counted: int = 0
    comments: int | None = None
    looked_at: float = float("-inf")
    title: str | None = None
    was_read: bool = False
    trouble: str = ""


class Rounds:
    """Asks, round by round: which videos there are, which of them have new comments, and for these.

    A step of a round is one video at most; a round that was broken off begins anew, and loses nothing.
    """

    def __init__(self, settings: YouTubeSettings, api: Api, clock: Clock, place: Place) -> None:
        self._settings, self._api, self._clock, self._place = settings, api, clock, place
        self._videos: dict[str, _Video] = {}
        self._uploads: dict[str, str] = {}
        self._discovered_at = self._searched_at = float("-inf")
        self._found: list[str] = []
        self._searched: list[str] = []
        self._comments = Comments(api, place)
        self._steps: Iterator[Sequence[Item]] | None = None
        self._channel_trouble: dict[str, str] = {}
        self._errors = 0

    def poll(self) -> Polled:
        self._steps = self._steps or self._round()
        try:
            items = next(self._steps, None)
        except BaseException:
            self._steps = None
            raise
        if items is None:
            self._steps = None
        return Polled(items or (), self._vitals(), None if items is None else 0.0)

    def _round(self) -> Iterator[Sequence[Item]]:
        self._discover()
        for video in self._changed():
            yield self._read(video)

    def _vitals(self) -> Vitals:
        newest = max(self._place.marks.values(), default=0)
        told = [f"{name}: {trouble}" for name, trouble in self._channel_trouble.items()]
        told += [f"video {name}: {video.trouble}" for name, video in self._videos.items() if video.trouble]
        return Vitals(
            connected=True,
            event_at=datetime.fromtimestamp(newest, UTC) if newest else None,
            errors=self._errors,
            spent_today=float(self._api.spent.units),
            currency="units",
            note="; ".join(told[:5]) + (f"; and {len(told) - 5} more" if len(told) > 5 else ""),
        )

    def _discover(self) -> None:
        """Learn which videos to track: those named, the newest of the channels, what searches found."""
        now = self._clock.monotonic()
        if self._settings.channels and now - self._discovered_at >= self._settings.discover_seconds:
            self._found = [video for channel in self._settings.channels for video in self._uploaded(channel)]
            self._discovered_at = now
        if self._settings.searches and now - self._searched_at >= self._settings.search_seconds:
            self._searched = [video for words in self._settings.searches for video in self._search(words)]
            self._searched_at = now
        named = list(dict.fromkeys([*self._settings.videos, *self._found, *self._searched]))[:MAX_VIDEOS]
        self._videos = {video: self._videos.get(video) or _Video() for video in named}
        self._place.marks = {video: mark for video, mark in self._place.marks.items() if video in self._videos}

    def _uploaded(self, channel: str) -> list[str]:
        try:
            if channel not in self._uploads:
                self._uploads[channel] = self._playlist(channel)
            said = self._api.ask(
                "playlistItems",
                {
                    "part": "contentDetails",
                    "playlistId": self._uploads[channel],
                    "maxResults": self._settings.videos_per_channel,
                },
            )
        except Refused as exc:
            self._channel_trouble[channel] = f"its uploads cannot be read ({exc.reason})"
            return []
        self._channel_trouble.pop(channel, None)
        videos = [text_at(item, "contentDetails", "videoId") for item in objects(said.body)]
        return [video for video in videos if VIDEO_ID.fullmatch(video)]

    def _playlist(self, channel: str) -> str:
        which = {"forHandle": channel} if channel.startswith("@") else {"id": channel}
        for item in objects(self._api.ask("channels", {"part": "contentDetails", **which}).body):
            if found := text_at(item, "contentDetails", "relatedPlaylists", "uploads"):
                return found
        raise Refused("there is no such channel")

    def _search(self, words: str) -> list[str]:
        try:
            asked: dict[str, str | int] = {
                "part": "id",
                "type": "video",
                "order": "date",
                "q": words,
                "maxResults": _IDS,
            }
            said = self._api.ask("search", asked, bucket="searches")
        except Refused as exc:
            self._channel_trouble["search"] = exc.reason
            return []
        except QuotaSpent as exc:
            # Its own bucket is empty; comments go on.
            self._channel_trouble["search"] = str(exc)
            return self._searched
        self._channel_trouble.pop("search", None)
        videos = [text_at(item, "id", "videoId") for item in objects(said.body)]
        return [video for video in videos if VIDEO_ID.fullmatch(video)]

    def _changed(self) -> list[str]:
        """Give the tracked videos that must be asked for comments."""
        changed: list[str] = []
        names = list(self._videos)
        for at in range(0, len(names), _IDS):
            some = names[at : at + _IDS]
            try:
                said = self._api.ask("videos", {"part": "snippet,statistics", "id": ",".join(some)})
            except Refused as exc:
                raise RetryLater(f"YouTube refuses to say which videos there are ({exc.reason})", 60.0) from exc
            if self._place.since is None:
                # By their clock: ours may be wrong.
                self._place.since = int(said.at.timestamp()) - OVERLAP_SECONDS
            there = {item.get("id"): item for item in objects(said.body)}
            changed += [name for name in some if self._must_read(name, there.get(name))]
        return changed

    def _must_read(self, name: str, said: Mapping[str, Any] | None) -> bool:
        video = self._videos[name]
        if said is None:
            self._tell(name, _GONE)
            return False
        count = text_at(said, "statistics", "commentCount")
        if not (count.isascii() and count.isdigit()):
            self._tell(name, _DISABLED)
            return False
        if video.trouble in (_GONE, _DISABLED):
            video.trouble = ""
        video.title = text_at(said, "snippet", "title") or None
        video.counted = int(count[:18])
        due = self._clock.monotonic() - video.looked_at >= self._settings.edits_seconds
        return due or video.counted != video.comments

    def _tell(self, name: str, trouble: str) -> None:
        if self._videos[name].trouble != trouble:
            logger.warning("source youtube: video %s: %s", name, trouble)
            self._videos[name].trouble = trouble
            self._errors += 1

    def _read(self, name: str) -> list[Item]:
        video = self._videos[name]
        title = video.title if self._settings.titles else None
        items, refused = self._comments.read(name, title=title, again=video.was_read)
        video.comments, video.looked_at = video.counted, self._clock.monotonic()
        if refused:
            self._tell(name, f"its comments cannot be read ({refused})")
        else:
            video.trouble, video.was_read = "", True
        return items
