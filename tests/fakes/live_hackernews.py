"""The search and the live data of Hacker News, as far as its source asks for them."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import Clock, SystemClock
from ingest.hackernews import HackerNewsSettings, HackerNewsSource


class HackerNewsWorld:
    """`hits` are what the search knows; `changed` and `live` what the live data says; `asked` each path asked for.

    The server says what time it is by `site_clock`, where there is one, else by the clock of who asks.

    A fault meets the search; one in `live_due` the live data.
    """

    faults = frozenset(Fault) - {Fault.STALE}

    def __init__(self) -> None:
        self.hits: list[dict[str, object]] = []
        self.changed: list[object] = []
        self.live: dict[int, object] = {}
        self.due: deque[Fault] = deque()
        self.live_due: deque[Fault] = deque()
        self.asked: list[str] = []
        self.clock: Clock = SystemClock()
        self.site_clock: Clock | None = None
        self.poll_seconds = 0.05
        self.address = ""

    def source(self) -> HackerNewsSource:
        settings = HackerNewsSettings(
            address=self.address, updates_address=self.address, poll_seconds=self.poll_seconds, allow_private=True
        )
        return HackerNewsSource(settings, self.clock)

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme", at: int | None = None) -> None:
        self.hits += [
            {
                "objectID": str(1_000_000 + n),
                "comment_text": text.format(n=n),
                "author": "somebody",
                "created_at_i": int(time.time()) if at is None else at,
                "story_id": 1,
                "parent_id": 1,
            }
            for n in numbers
        ]

    def publish_bad(self) -> None:
        self.hits.append({"objectID": "999", "comment_text": ["no text"], "created_at_i": int(time.time())})

    def change(self, number: int, **says: object) -> None:
        """Have the live data say this of a post."""
        name = 1_000_000 + number
        hit = next((hit for hit in self.hits if hit["objectID"] == str(name)), {})
        known = {"id": name, "type": "comment", "by": hit.get("author"), "time": hit.get("created_at_i"), "parent": 1}
        self.live[name] = known | {"text": hit.get("comment_text")} | says
        self.changed.append(name)

    def fail(self, fault: Fault) -> None:
        self.due.append(fault)

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        self.asked.append(path)
        now = (self.site_clock or self.clock).now()
        kind = {"Content-Type": "application/json", "Date": now.strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if path == "/v0/updates.json":
            return 200, kind, json.dumps({"items": self.changed, "profiles": []}).encode()
        if match := re.fullmatch(r"/v0/item/(\d+)\.json", path):
            return 200, kind, json.dumps(self.live.get(int(match[1]))).encode()
        asked = parse_qs(urlsplit(path).query)
        limits = dict(re.findall(r"created_at_i([<>]=)(\d+)", asked["numericFilters"][0]))
        low, high = int(limits.get(">=", 0)), int(limits.get("<=", 2**40))
        found = [hit for hit in self.hits if low <= int(str(hit["created_at_i"])) <= high]
        found.sort(key=lambda hit: int(str(hit["created_at_i"])), reverse=True)
        most = min(1_000, int(asked["hitsPerPage"][0]))
        return 200, kind, json.dumps({"hits": found[:most]}).encode()


def environment(world: HackerNewsWorld) -> dict[str, str]:
    """Give the settings that listen to a world."""
    return {
        "SOUNDINGS_SOURCES_ENABLED": "hackernews",
        "SOUNDINGS_SOURCES_ALLOW_PRIVATE": "true",
        "SOUNDINGS_SOURCE_HACKERNEWS_ADDRESS": world.address,
        "SOUNDINGS_SOURCE_HACKERNEWS_UPDATES_ADDRESS": world.address,
        "SOUNDINGS_SOURCE_HACKERNEWS_POLL_SECONDS": "1",
    }


@contextmanager
def open_hackernews() -> Iterator[HackerNewsWorld]:
    """Serve it."""
    world = HackerNewsWorld()

    class Handler(FaultyHandler):
        @property
        def faults(self) -> deque[Fault]:  # type: ignore[override]
            return world.live_due if self.path.startswith("/v0/") else world.due

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return world.answer(self.path)

    with serve_http(Handler) as address:
        world.address = address
        yield world
