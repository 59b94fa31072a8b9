"""Listening to YouTube, round by round: which videos there are, which have new comments, and what these are."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from domain.clock import Clock
from domain.errors import RetryLater
from ingest.polling import Polled
from ingest.source import Gap, Item, Vitals
from ingest.youtube_api import Api, QuotaSpent, Refused, Spent
from ingest.youtube_comments import changed_at, comments_of, item_of, key_of, published_at, replies_left_out
from ingest.youtube_settings import VIDEO_ID, YouTubeSettings

logger = logging.getLogger(__name__)

# The API shows some comments late.
OVERLAP_SECONDS = 120
MAX_VIDEOS = 500
# Of one video in one round: 2,000 threads, some 25 MB. What is older is a gap.
MAX_PAGES = 20
MAX_REPLY_PAGES = 10
# Comments whose time of change is remembered, so that each is given once: 20 MB.
MAX_KNOWN = 100_000
# A list of ids takes so many.
_IDS = 50
# What claims to be later than this is no place to go on from.
_AHEAD_SECONDS = 3_600
_GONE = "is gone or private"
_DISABLED = "its comments are disabled"


@dataclass(slots=True)
class Place:
    """Where to go on: since when it listens, the newest change given of each video (since 1970), what was spent."""

    since: int | None = None
    marks: dict[str, int] = field(default_factory=dict)
    spent: Spent = field(default_factory=Spent)

    def write(self) -> str:
        return json.dumps({"since": self.since, "marks": self.marks, "spent": asdict(self.spent)})

    @classmethod
    def read(cls, cursor: str) -> Place | None:
        try:
            found = json.loads(cursor)
            marks = {str(video): int(mark) for video, mark in found["marks"].items()}
            spent = found["spent"]
            return cls(
                int(found["since"]), marks, Spent(str(spent["day"]), int(spent["units"]), int(spent["searches"]))
            )
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return None


@dataclass(slots=True)
class _Video:
    """A tracked video. `comments` is how many the API counted when they were read, at `looked_at`; `counted` now."""

    counted: int = 0
    comments: int | None = None
    looked_at: float = float("-inf")
    title: str | None = None
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
        # When each comment was last changed, oldest first.
        self._known: dict[str, int] = {}
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
        yield ()
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
        videos = [_text(item, "contentDetails", "videoId") for item in _objects(said.body)]
        return [video for video in videos if VIDEO_ID.fullmatch(video)]

    def _playlist(self, channel: str) -> str:
        which = {"forHandle": channel} if channel.startswith("@") else {"id": channel}
        for item in _objects(self._api.ask("channels", {"part": "contentDetails", **which}).body):
            if found := _text(item, "contentDetails", "relatedPlaylists", "uploads"):
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
        videos = [_text(item, "id", "videoId") for item in _objects(said.body)]
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
            there = {item.get("id"): item for item in _objects(said.body)}
            changed += [name for name in some if self._must_read(name, there.get(name))]
        return changed

    def _must_read(self, name: str, said: Mapping[str, Any] | None) -> bool:
        video = self._videos[name]
        if said is None:
            self._tell(name, _GONE)
            return False
        count = _text(said, "statistics", "commentCount")
        if not (count.isascii() and count.isdigit()):
            self._tell(name, _DISABLED)
            return False
        if video.trouble in (_GONE, _DISABLED):
            video.trouble = ""
        video.title = _text(said, "snippet", "title") or None
        video.counted = int(count[:18])
        due = self._clock.monotonic() - video.looked_at >= self._settings.edits_seconds
        return due or video.counted != video.comments

    def _tell(self, name: str, trouble: str) -> None:
        if self._videos[name].trouble != trouble:
            logger.warning("source youtube: video %s: %s", name, trouble)
            self._videos[name].trouble = trouble
            self._errors += 1

    def _read(self, name: str) -> list[Item]:
        """Read the comments of a video, newest first, until what is known."""
        video = self._videos[name]
        reading = _Reading(name, self._place.marks.get(name, self._place.since or 0), video.comments is not None)
        try:
            for page in range(MAX_PAGES + 1):
                if page == MAX_PAGES or not self._read_page(reading):
                    break
            video.trouble = ""
        except Refused as exc:
            # Of what was read before, the rest is a gap: a page that is refused may be so for ever.
            reading.refused = exc.reason
            self._tell(name, f"its comments cannot be read ({exc.reason})")
        items = self._give(reading, video)
        video.comments, video.looked_at = video.counted, self._clock.monotonic()
        return items

    def _read_page(self, reading: _Reading) -> bool:
        """Read the next page; tell whether there is more of what is not known."""
        said = self._api.ask(
            "commentThreads",
            {
                "part": "snippet,replies",
                "videoId": reading.video,
                "order": "time",
                "maxResults": 100,
                "textFormat": "plainText",
                **_page(reading.token),
            },
        )
        reading.said_at = int(said.at.timestamp())
        threads = _objects(said.body)
        for thread in threads:
            first, *replies = comments_of(thread)
            if self._owes_replies(thread, first, replies, reading):
                replies = self._replies(first, reading.video) or replies
            reading.seen.update({key_of(comment): comment for comment in (first, *replies)})
        reading.token = _text(said.body, "nextPageToken")
        # A pinned thread stands first, whatever its age.
        reading.oldest = published_at(threads[-1]) if threads else 0
        if not reading.token or reading.oldest <= reading.mark - OVERLAP_SECONDS:
            reading.token = ""
        return bool(reading.token)

    def _owes_replies(
        self,
        thread: Mapping[str, Any],
        first: Mapping[str, Any],
        replies: Sequence[Mapping[str, Any]],
        reading: _Reading,
    ) -> bool:
        """Tell whether a thread has replies that it did not bring along and that may be new."""
        total = first.get("totalReplyCount")
        name = f"{key_of(first)} replies"
        before = self._known.get(name)
        if not replies_left_out(thread) or not isinstance(total, int):
            return False
        reading.totals[name] = total
        if before is not None:
            return total != before
        return any(changed_at(comment) > reading.mark - OVERLAP_SECONDS for comment in (first, *replies))

    def _replies(self, first: Mapping[str, Any], video: str) -> list[dict[str, Any]]:
        """Give all replies to a comment; none where it was deleted meanwhile."""
        replies: list[dict[str, Any]] = []
        asked: dict[str, str | int] = {"part": "snippet", "parentId": _text(first, "id"), "maxResults": 100}
        asked["textFormat"] = "plainText"
        token = ""
        for _ in range(MAX_REPLY_PAGES):
            try:
                said = self._api.ask("comments", asked | _page(token))
            except Refused:
                break
            replies += [reply | {"videoId": video} for reply in _objects(said.body)]
            if not (token := _text(said.body, "nextPageToken")):
                break
        return replies

    def _give(self, reading: _Reading, video: _Video) -> list[Item]:
        """Give what is new of what was read, oldest first; the last one moves the mark."""
        fresh = [comment for name, comment in reading.seen.items() if self._is_fresh(name, comment, reading)]
        # Within a second too, the order of the API turned round.
        fresh.reverse()
        fresh.sort(key=changed_at)
        before = self._place.write()
        if fresh:
            newest = min(changed_at(fresh[-1]), reading.said_at + _AHEAD_SECONDS)
            self._place.marks[reading.video] = max(reading.mark, newest)
        for name, comment in reading.seen.items():
            self._remember(name, changed_at(comment))
        for name, total in reading.totals.items():
            self._remember(name, total)
        title = {"videoTitle": video.title} if self._settings.titles and video.title else {}
        items = [item_of(comment | title, before) for comment in fresh]
        if items:
            items[-1] = replace(items[-1], cursor=self._place.write())
        if reading.token:
            items.insert(0, _gap(reading, len(fresh), before))
        return items

    def _is_fresh(self, name: str, comment: Mapping[str, Any], reading: _Reading) -> bool:
        at = changed_at(comment)
        if name in self._known:
            return at > self._known[name]
        if at == 0:
            # It says no time: it is given once, to be parked.
            return True
        # Of a video that was read before, what is not known was held back until now, whatever its age.
        return at > ((self._place.since or 0) if reading.again else reading.mark - OVERLAP_SECONDS)

    def _remember(self, name: str, value: int) -> None:
        self._known.pop(name, None)
        self._known[name] = value
        if len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]


@dataclass(slots=True)
class _Reading:
    """What was read of one video in one round. `mark` is the newest change known; `again`: it was read before."""

    video: str
    mark: int
    again: bool
    token: str = ""
    oldest: int = 0
    said_at: int = 0
    refused: str = ""
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)


def _gap(reading: _Reading, recovered: int, cursor: str) -> Item:
    why = f"has more new comments than are read at once ({MAX_PAGES * 100:,} threads)"
    if reading.refused:
        why = f"is not read further back ({reading.refused})"
    gap = Gap(
        start=datetime.fromtimestamp(reading.mark, UTC),
        end=datetime.fromtimestamp(max(reading.oldest, reading.mark), UTC),
        reason=f"video {reading.video} {why}",
        recovered=recovered,
        method="commentThreads",
    )
    return Item(position=f"youtube:{reading.video}", cursor=cursor, raw=b"", content=gap)


def _page(token: str) -> dict[str, str | int]:
    return {"pageToken": token} if token else {}


def _objects(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [item for item in body.get("items", []) if isinstance(item, dict)]


def _text(value: Mapping[str, Any], *path: str) -> str:
    found: Any = value
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""
