"""The search of Hacker News, as far as its source asks for it."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import SystemClock
from ingest.hackernews import HackerNewsSettings, HackerNewsSource


class HackerNewsWorld:
    faults = frozenset(Fault) - {Fault.STALE}

    def __init__(self) -> None:
        self.hits: list[dict[str, object]] = []
        self.due: deque[Fault] = deque()
        self.address = ""

    def source(self) -> HackerNewsSource:
        return HackerNewsSource(
            HackerNewsSettings(address=self.address, poll_seconds=0.05, allow_private=True), SystemClock()
        )

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        self.hits += [
            {
                "objectID": str(1_000_000 + n),
                "comment_text": text.format(n=n),
                "author": "somebody",
                "created_at_i": int(time.time()),
                "story_id": 1,
                "parent_id": 1,
            }
            for n in numbers
        ]

    def publish_bad(self) -> None:
        self.hits.append({"objectID": "999", "comment_text": ["no text"], "created_at_i": int(time.time())})

    def fail(self, fault: Fault) -> None:
        self.due.append(fault)

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        asked = parse_qs(urlsplit(path).query)
        limits = dict(re.findall(r"created_at_i([<>]=)(\d+)", asked["numericFilters"][0]))
        low, high = int(limits.get(">=", 0)), int(limits.get("<=", 2**40))
        found = [hit for hit in self.hits if low <= int(str(hit["created_at_i"])) <= high]
        most = min(1_000, int(asked["hitsPerPage"][0]))
        return 200, {"Content-Type": "application/json"}, json.dumps({"hits": found[::-1][:most]}).encode()


def environment(world: HackerNewsWorld) -> dict[str, str]:
    """Give the settings that listen to a world."""
    return {
        "SOUNDINGS_SOURCES_ENABLED": "hackernews",
        "SOUNDINGS_SOURCES_ALLOW_PRIVATE": "true",
        "SOUNDINGS_SOURCE_HACKERNEWS_ADDRESS": world.address,
        "SOUNDINGS_SOURCE_HACKERNEWS_POLL_SECONDS": "1",
    }


@contextmanager
def open_hackernews() -> Iterator[HackerNewsWorld]:
    """Serve it."""
    world = HackerNewsWorld()

    class Handler(FaultyHandler):
        faults = world.due

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return world.answer(self.path)

    with serve_http(Handler) as address:
        world.address = address
        yield world
