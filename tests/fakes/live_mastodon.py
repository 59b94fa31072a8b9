"""An instance of Mastodon, as far as its source asks it: the stream of public posts and the public timeline."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes.live_stream import Broadcast
from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import SystemClock
from ingest.mastodon import MastodonSettings, MastodonSource

TOKEN = "a token"


def status(n: int, text: str, *, home: str = "home.example", **changed: Any) -> dict[str, Any]:
    """Give a status as an instance gives it; its local id is of the time of the call and ends in its number."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    made = {
        "id": str(((int(time.time() * 1000) << 16) // 1000 * 1000) + n),
        "uri": f"https://{home}/users/somebody/statuses/{n:03d}",
        "url": f"https://{home}/@somebody/{n:03d}",
        "created_at": now,
        "edited_at": None,
        "content": f"<p>{text}</p>",
        "spoiler_text": "",
        "language": "en",
        "visibility": "public",
        "sensitive": False,
        "reblog": None,
        "in_reply_to_id": None,
        "favourites_count": 0,
        "reblogs_count": 0,
        "replies_count": 0,
        "tags": [],
        "account": {
            "acct": "somebody",
            "url": f"https://{home}/@somebody",
            "display_name": "Somebody",
            "followers_count": 7,
            "bot": False,
            "noindex": False,
        },
    }
    return made | changed


class Server(Broadcast):
    """One instance. Faults are for what comes next at its stream or its timeline."""

    def __init__(self) -> None:
        super().__init__(
            greeting=b":)\n",
            alive=b":thump\n",
            cut=b'event: update\ndata: {"id": "17',
            malformed=b'event: update\ndata: {"id": "1", "con\n\n',
        )
        self.address = ""
        self.statuses: list[dict[str, Any]] = []
        self.asked: list[str] = []
        self.silent = False

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    def send(self, event: str, data: str) -> None:
        """Send an event to all who listen."""
        self.tell(f"event: {event}\ndata: {data}\n\n".encode())

    def publish(self, *statuses: dict[str, Any]) -> None:
        """Have posts appear."""
        for one in statuses:
            self.tell(f"event: update\ndata: {json.dumps(one)}\n\n".encode(), partial(self.statuses.append, one))

    def edit(self, one: dict[str, Any]) -> None:
        """Have a post change."""
        self.statuses = [one if other["id"] == one["id"] else other for other in self.statuses]
        self.send("status.update", json.dumps(one))

    def delete(self, one: dict[str, Any]) -> None:
        """Have a post go."""
        self.statuses = [other for other in self.statuses if other["id"] != one["id"]]
        self.send("delete", one["id"])

    def timeline(self, path: str) -> bytes:
        asked = parse_qs(urlsplit(path).query)
        after = int(asked.get("min_id", ["0"])[0])
        found = sorted((one for one in self.statuses if int(one["id"]) > after), key=lambda one: int(one["id"]))
        return json.dumps(found[: int(asked["limit"][0])][::-1]).encode()


class MastodonWorld:
    """Instances that each give the same posts under ids of their own."""

    faults = frozenset(Fault)

    def __init__(self, servers: Sequence[Server]) -> None:
        self.servers = servers

    @property
    def server(self) -> Server:
        return self.servers[0]

    def source(self, **changed: Any) -> MastodonSource:
        is_ours = changed.pop("is_ours", lambda post: "acme" in str(post.fields.get("text")))
        settings = MastodonSettings(
            **{
                "tokens": {server.address: TOKEN for server in self.servers},
                "silence_seconds": 1.0,
                "retry_seconds": 0.01,
                "allow_private": True,
                **changed,
            }
        )
        return MastodonSource(settings, SystemClock(), is_ours=is_ours)

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        for n in numbers:
            for server in self.servers:
                server.publish(status(n, text.format(n=n)))

    def publish_bad(self) -> None:
        for server in self.servers:
            server.publish(status(999, "bad", content=["no text"]))

    def fail(self, fault: Fault) -> None:
        for server in self.servers:
            server.fail(fault)


def _handler(server: Server) -> type[FaultyHandler]:
    class Handler(FaultyHandler):
        faults = server.due

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            server.asked.append(self.path)
            if path.startswith(("/api/v1/instance", "/api/v2/instance")):
                self._send(*_instance(server))
                return
            if path.startswith("/api/v1/streaming/") and not server.due:
                self._stream()
            else:
                super().do_GET()

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                return 401, {}, b"{}"
            return 200, {"Content-Type": "application/json"}, server.timeline(self.path)

        def _stream(self) -> None:
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, {}, b"{}")
                return
            server.serve(self, "text/event-stream")

    return Handler


def _instance(server: Server) -> tuple[int, Mapping[str, str], bytes]:
    streaming = server.address.replace("http://", "ws://")
    access = {"local": "authenticated", "remote": "authenticated"}
    found = {
        "uri": server.host,
        "domain": server.host,
        "version": "4.5.0",
        "urls": {"streaming_api": streaming},
        "configuration": {
            "urls": {"streaming": streaming},
            "timelines_access": {"live_feeds": access, "hashtag_feeds": access},
        },
    }
    return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()


@contextmanager
def open_instances(number: int) -> Iterator[MastodonWorld]:
    """Serve several instances."""
    servers = [Server() for _ in range(number)]
    with ExitStack() as stack:
        for server in servers:
            server.address = stack.enter_context(serve_http(_handler(server)))
            stack.callback(server.closed.set)
        yield MastodonWorld(servers)


@contextmanager
def open_mastodon() -> Iterator[MastodonWorld]:
    """Serve one instance."""
    with open_instances(1) as world:
        yield world
