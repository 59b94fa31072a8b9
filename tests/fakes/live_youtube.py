"""The YouTube Data API, as far as its source asks for it."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import Clock, SystemClock
from ingest.youtube import YouTubeSource
from ingest.youtube_settings import YouTubeSettings

VIDEO = "dQw4w9WgXcQ"
KEY = "AIza-a-key-that-nobody-may-see"
_PAGE = 100

_Answer = tuple[int, Mapping[str, str], bytes]


def refusal(status: int, reason: str, domain: str) -> _Answer:
    """Give an error as the API writes it."""
    error = {"code": status, "message": "no", "errors": [{"message": "no", "domain": domain, "reason": reason}]}
    return status, {}, json.dumps({"error": error}).encode()


def comment(name: str, text: str, at: datetime, **more: object) -> dict[str, Any]:
    """Give a comment as the API writes it."""
    when = at.isoformat().replace("+00:00", "Z")
    snippet = {
        "videoId": VIDEO,
        "textDisplay": text,
        "textOriginal": text,
        "authorDisplayName": "@somebody",
        "authorChannelId": {"value": "UCsomebody"},
        "likeCount": 3,
        "publishedAt": when,
        "updatedAt": when,
    }
    return {"kind": "youtube#comment", "id": name, "snippet": snippet | more}


class YouTubeWorld:
    """`threads` by video, oldest first: first comments and their replies. `gone` and `disabled` are videos.

    `refuses` gives the answer to the next questions for a resource; `asked` counts questions by resource.
    """

    faults = frozenset(Fault) - {Fault.STALE}

    def __init__(self) -> None:
        self.threads: dict[str, list[tuple[dict[str, Any], list[dict[str, Any]]]]] = {VIDEO: []}
        self.uploads: dict[str, list[str]] = {}
        self.found: list[str] = []
        self.gone: set[str] = set()
        self.disabled: set[str] = set()
        self.refuses: dict[str, deque[_Answer]] = {}
        self.asked: Counter[str] = Counter()
        self.keys: set[str | None] = set()
        self.paths: list[str] = []
        self.due: deque[Fault] = deque()
        self.clock: Clock = SystemClock()
        self.settings = YouTubeSettings(
            api_key=KEY, videos=(VIDEO,), poll_seconds=0.05, edits_seconds=0.05, allow_private=True
        )

    def source(self) -> YouTubeSource:
        return YouTubeSource(self.settings, self.clock)

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme", video: str = VIDEO) -> None:
        now = self.clock.now().replace(microsecond=0)
        for n in numbers:
            name = f"UgxAaABAg{1_000_000 + n}"
            self.threads.setdefault(video, []).append((comment(name, text.format(n=n), now), []))

    def publish_bad(self) -> None:
        self.threads[VIDEO].append((comment("UgxBad", "", self.clock.now(), textDisplay=["no text"]), []))

    def fail(self, fault: Fault) -> None:
        self.due.append(fault)

    def answer(self, path: str, key: str | None) -> _Answer:
        parts = urlsplit(path)
        what = parts.path.rsplit("/", 1)[-1]
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked[what] += 1
        self.paths.append(path)
        self.keys.add(key)
        if self.refuses.get(what):
            return self.refuses[what].popleft()
        if what == "commentThreads" and asked["videoId"] not in self.threads:
            return refusal(404, "videoNotFound", "youtube.commentThread")
        found: dict[str, Any] = {
            "videos": self._videos,
            "commentThreads": self._threads,
            "comments": self._replies,
            "channels": self._channels,
            "playlistItems": self._uploads,
            "search": self._search,
        }[what](asked)
        date = self.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")
        return 200, {"Content-Type": "application/json", "Date": date}, json.dumps(found).encode()

    def _videos(self, asked: Mapping[str, str]) -> dict[str, Any]:
        there = [name for name in asked["id"].split(",") if name in self.threads and name not in self.gone]
        return {"items": [self._video(name) for name in there]}

    def _video(self, name: str) -> dict[str, Any]:
        count = sum(1 + len(replies) for _, replies in self.threads[name])
        counted = {} if name in self.disabled else {"commentCount": str(count)}
        return {"id": name, "snippet": {"title": "A film of acme"}, "statistics": {"viewCount": "1"} | counted}

    def _threads(self, asked: Mapping[str, str]) -> dict[str, Any]:
        at = int(asked.get("pageToken", "0"))
        newest_first = self.threads[asked["videoId"]][::-1]
        items = [
            {
                "id": first["id"],
                "snippet": {"videoId": asked["videoId"], "topLevelComment": first, "totalReplyCount": len(replies)},
                **({"replies": {"comments": replies[:5]}} if replies else {}),
            }
            for first, replies in newest_first[at : at + _PAGE]
        ]
        more = {"nextPageToken": str(at + _PAGE)} if at + _PAGE < len(newest_first) else {}
        return {"items": items} | more

    def _replies(self, asked: Mapping[str, str]) -> dict[str, Any]:
        for threads in self.threads.values():
            for first, replies in threads:
                if first["id"] == asked["parentId"]:
                    return {"items": replies}
        return {"items": []}

    def _channels(self, asked: Mapping[str, str]) -> dict[str, Any]:
        name = asked.get("id") or asked["forHandle"]
        playlist = {"contentDetails": {"relatedPlaylists": {"uploads": f"UU{name}"}}}
        return {"items": [playlist] if name in self.uploads else []}

    def _uploads(self, asked: Mapping[str, str]) -> dict[str, Any]:
        names = self.uploads[asked["playlistId"].removeprefix("UU")]
        return {"items": [{"contentDetails": {"videoId": name}} for name in names[: int(asked["maxResults"])]]}

    def _search(self, asked: Mapping[str, str]) -> dict[str, Any]:
        return {"items": [{"id": {"kind": "youtube#video", "videoId": name}} for name in self.found]}


@contextmanager
def open_youtube() -> Iterator[YouTubeWorld]:
    """Serve it."""
    world = YouTubeWorld()

    class Handler(FaultyHandler):
        faults = world.due

        def answer(self) -> _Answer:
            return world.answer(self.path, self.headers.get("X-Goog-Api-Key"))

    with serve_http(Handler) as address:
        world.settings = replace(world.settings, address=f"{address}/youtube/v3")
        yield world


def later(moment: datetime) -> str:
    """Write a time as the API does."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
