"""A site with a feed, and a fault now and then."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import blake2b
from html import escape

from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import SystemClock
from ingest.rss import FeedSource, RssSettings, rss_source

# As many entries as a feed holds.
WINDOW = 50


class RssWorld:
    faults = frozenset(Fault) - {Fault.STALE}

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.due: deque[Fault] = deque()
        self.address = ""

    def source(self) -> FeedSource:
        settings = RssSettings(
            feeds=(f"{self.address}/feed.xml",), poll_seconds=0.05, host_seconds=0.0, allow_private=True
        )
        return rss_source(settings, SystemClock())

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        now = format_datetime(datetime.now(UTC))
        self.entries += [
            f"<item><guid>https://news.example/{n}</guid><pubDate>{now}</pubDate>"
            f"<title>News {n}</title><description>{escape(text.format(n=n))}</description></item>"
            for n in numbers
        ]

    def publish_bad(self) -> None:
        self.entries.append("<item><guid>https://news.example/999</guid><title></title></item>")

    def fail(self, fault: Fault) -> None:
        self.due.append(fault)

    def answer(self, asked: Mapping[str, str | None]) -> tuple[int, Mapping[str, str], bytes]:
        entries = "".join(self.entries[: -WINDOW - 1 : -1])
        body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>News</title>{entries}</channel></rss>'.encode()
        etag = f'"{blake2b(body, digest_size=8).hexdigest()}"'
        if asked["if-none-match"] == etag:
            return 304, {"ETag": etag}, b""
        return 200, {"Content-Type": "application/rss+xml", "ETag": etag}, body


@contextmanager
def open_rss() -> Iterator[RssWorld]:
    """Serve it."""
    world = RssWorld()

    class Handler(FaultyHandler):
        faults = world.due

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return world.answer({"if-none-match": self.headers["If-None-Match"]})

    with serve_http(Handler) as address:
        world.address = address
        yield world
