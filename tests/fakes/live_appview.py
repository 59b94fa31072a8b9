"""The public view of Bluesky's network, as far as numbers of posts are asked of it."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from fakes.live_worlds import Fault, FaultyHandler, serve_http


class AppView:
    """`posts` are what it knows, by uri; `refused` uris that it does not take; `asked` the uris of each question."""

    def __init__(self) -> None:
        self.posts: dict[str, object] = {}
        self.refused: set[str] = set()
        self.due: deque[Fault] = deque()
        self.asked: list[list[str]] = []
        self.address = ""

    def says(self, uri: str, **numbers: object) -> None:
        """Have a post there, with these numbers beside what every one has."""
        author = {"did": uri.split("/")[2], "handle": "somebody.example"}
        self.posts[uri] = {"uri": uri, "cid": "bafyreih", "author": author, "record": {"text": "acme"}} | numbers

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        parts = urlsplit(path)
        if parts.path != "/xrpc/app.bsky.feed.getPosts":
            return 404, {}, b"{}"
        uris = parse_qs(parts.query).get("uris", [])
        self.asked.append(uris)
        if not 0 < len(uris) <= 25 or self.refused.intersection(uris):
            return 400, {}, json.dumps({"error": "InvalidRequest", "message": "uris"}).encode()
        return 200, {}, json.dumps({"posts": [self.posts[uri] for uri in uris if uri in self.posts]}).encode()


@contextmanager
def open_appview() -> Iterator[AppView]:
    """Serve it."""
    view = AppView()

    class Handler(FaultyHandler):
        faults = view.due

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return view.answer(self.path)

    with serve_http(Handler) as address:
        view.address = address
        yield view
