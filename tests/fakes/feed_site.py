"""A site with pages that a test writes, and what it was asked; public names may lead to it."""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from typing import Any, TypeAlias

import pytest
from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.errors import ConfigError, RetryLater
from ingest.feed_reader import FeedReader
from ingest.source import Gap, Item, RawPost, Removed

Page: TypeAlias = tuple[int, Mapping[str, str], bytes]
PATIENCE_SECONDS = 30.0
PUBLIC_ADDRESS = "93.184.215.14"


@dataclass
class FeedSite:
    """`pages` by path; `asked` lists path and headers (names in small letters) of each question."""

    address: str = ""
    pages: dict[str, Page | Callable[[Mapping[str, str]], Page]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def answer(self, path: str, headers: Mapping[str, str]) -> Page:
        self.asked.append((path, {name.lower(): value for name, value in headers.items()}))
        page = self.pages.get(path, (404, {}, b"no such page"))
        return page(self.asked[-1][1]) if callable(page) else page


@contextmanager
def open_site() -> Iterator[FeedSite]:
    """Serve it."""
    site = FeedSite()
    no_faults: deque[Fault] = deque()

    class Handler(FaultyHandler):
        faults = no_faults

        def answer(self) -> Page:
            return site.answer(self.path, dict(self.headers.items()))

    with serve_http(Handler) as address:
        site.address = address
        yield site


def entry(guid: str, text: str = "about acme", *, published: str = "", extra: str = "") -> str:
    """Give one item of RSS."""
    date = f"<pubDate>{published}</pubDate>" if published else ""
    name = f'<guid isPermaLink="false">{escape(guid)}</guid>' if guid else ""
    return f"<item>{name}{date}<description>{escape(text)}</description>{extra}</item>"


def rss(*entries: str, title: str = "A site") -> Page:
    """Give a feed of these items."""
    body = f'<?xml version="1.0"?><rss version="2.0"><channel><title>{title}</title>{"".join(entries)}</channel></rss>'
    return 200, {"Content-Type": "application/rss+xml"}, body.encode()


class Reading:
    """What a reader gave so far, and what it complained of."""

    def __init__(self, reader: FeedReader) -> None:
        self.reader = reader
        self.items: list[Item] = []
        self.refusals: list[ConfigError] = []
        self.waits: list[RetryLater] = []

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what}: it did not happen; {self.reader.vitals()}, {self.items}"
            self.once()

    def once(self) -> None:
        try:
            self.items += self.reader.read(100)
        except ConfigError as exc:
            self.refusals.append(exc)
        except RetryLater as exc:
            self.waits.append(exc)

    def posts(self) -> list[RawPost]:
        return [item.content for item in self.items if isinstance(item.content, RawPost)]

    def texts(self) -> list[str]:
        return [str(post.fields["text"]) for post in self.posts()]

    def gaps(self) -> list[Gap]:
        return [item.content for item in self.items if isinstance(item.content, Gap)]

    def removals(self) -> list[Removed]:
        return [item.content for item in self.items if isinstance(item.content, Removed)]


def make_public(monkeypatch: pytest.MonkeyPatch, site: FeedSite, names: Sequence[str]) -> list[str]:
    """Have names lead to a public address, and that address to the site; gives the addresses that were connected to."""
    resolve, connect = socket.getaddrinfo, socket.create_connection
    connected: list[str] = []
    port = int(site.address.rsplit(":", 1)[1])

    def getaddrinfo(host: str, *args: Any, **kwargs: Any) -> Any:
        if host in names:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC_ADDRESS, 80))]
        if host == "inside.example":
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80)) for address in (PUBLIC_ADDRESS, "10.0.0.7")
            ]
        return resolve(host, *args, **kwargs)

    def create_connection(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        connected.append(address[0])
        return connect(("127.0.0.1", port) if address[0] == PUBLIC_ADDRESS else address, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    return connected
