"""X's API v2 as far as its source asks it: rules, the filtered stream, recent search, batch compliance."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes.live_stream import Broadcast
from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.brand import Brand
from domain.clock import Clock, SystemClock
from ingest.x import XSettings, XSource
from ingest.x_ladder import LadderSettings
from ingest.x_post import id_time

TOKEN = "a token"
ACME = Brand(brand_id="acme", name="Acme", query="acme")
IMPATIENT = LadderSettings(
    network_step=0.005, network_most=0.05, http_first=0.01, http_most=0.05, limited_first=0.01, limited_most=0.05
)
_EPOCH_MS = 1_288_834_974_657


def new_id(n: int, seconds_ago: float = 0.0) -> str:
    """Give an id of about now that ends in a number of at most three digits."""
    made = (int((time.time() - seconds_ago) * 1000) - _EPOCH_MS) << 22
    return str(made // 1000 * 1000 + n)


def tweet(n: int, text: str, **changed: Any) -> dict[str, Any]:
    """Give a post as X gives it, without its envelope."""
    name = str(changed.get("id", new_id(n)))
    made: dict[str, Any] = {
        "id": name,
        "text": text,
        "author_id": "7",
        "conversation_id": name,
        "edit_history_tweet_ids": [name],
        "lang": "en",
        "public_metrics": {"like_count": 1, "retweet_count": 2, "reply_count": 3, "impression_count": 4},
    }
    return made | changed


class XWorld(Broadcast):
    faults = frozenset(Fault)

    def __init__(self) -> None:
        super().__init__(greeting=b"\r\n", alive=b"\r\n", cut=b'{"data": {"id": "1', malformed=b'{"data": {"id"\r\n')
        self.address = ""
        self.tweets: list[dict[str, Any]] = []
        self.rules: list[dict[str, str]] = []
        self.users: list[dict[str, Any]] = []
        # Faults of single paths, each met once.
        self.due_at: dict[str, deque[Fault]] = {}
        self.asked: list[tuple[str, str]] = []
        self.jobs: dict[str, dict[str, Any]] = {}
        self.uploaded: list[str] = []
        # Ids that batch compliance tells to delete, with the reason.
        self.gone: dict[str, str] = {}

    def source(self, brands: Sequence[Brand] = (ACME,), clock: Clock | None = None, **changed: Any) -> XSource:
        settings = XSettings(
            **{
                "token": TOKEN,
                "address": self.address,
                "silence_seconds": 1.0,
                "ladder": IMPATIENT,
                "compliance_poll_seconds": 0.05,
                "allow_private": True,
                **changed,
            }
        )
        return XSource(settings, brands, clock or SystemClock())

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        self.send(*[tweet(n, text.format(n=n)) for n in numbers])

    def publish_bad(self) -> None:
        self.send(tweet(999, "") | {"text": ["no text"]})

    def send(self, *tweets: dict[str, Any]) -> None:
        """Have posts appear, at the stream and in search."""
        for one in tweets:
            self.tell(json.dumps(self.envelope(one)).encode() + b"\r\n", partial(self.tweets.append, one))

    def envelope(self, one: dict[str, Any]) -> dict[str, Any]:
        """Give a post as the stream does."""
        rule = self.rules[0] if self.rules else {"id": "1", "tag": "none"}
        includes = {"includes": {"users": self.users}} if self.users else {}
        return {"data": one, "matching_rules": [{"id": rule["id"], "tag": rule["tag"]}], **includes}

    # Questions with an answer

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        parts = urlsplit(path)
        if parts.path == "/2/tweets/search/stream/rules":
            return self._json(self._change_rules(json.loads(body)) if method == "POST" else {"data": self.rules})
        if parts.path == "/2/tweets/search/recent":
            return self._search(parse_qs(parts.query))
        if parts.path.startswith("/2/compliance/jobs"):
            return self._compliance(method, parts.path)
        if parts.path == "/upload":
            self.uploaded.append(body.decode())
            self._job()["status"] = "complete"
            return 200, {}, b""
        if parts.path == "/download":
            rows = [
                {"id": name, "action": "delete", "reason": reason, "redacted_at": "2026-01-12T08:30:00.000Z"}
                for name, reason in self.gone.items()
                if name in self.uploaded[-1].split()
            ]
            return 200, {}, "\n".join(map(json.dumps, rows)).encode()
        return 404, {}, b"{}"

    @staticmethod
    def _json(content: Any) -> tuple[int, Mapping[str, str], bytes]:
        return 200, {"Content-Type": "application/json"}, json.dumps(content).encode()

    def _change_rules(self, asked: dict[str, Any]) -> dict[str, Any]:
        gone = asked.get("delete", {}).get("ids", [])
        self.rules = [rule for rule in self.rules if rule["id"] not in gone]
        errors = []
        for rule in asked.get("add", []):
            if "refuse" in rule["value"]:
                errors.append({"value": rule["value"], "title": "UnprocessableEntity"})
            elif len(rule["value"]) > 1024:
                errors.append({"value": rule["value"], "title": "RuleLengthExceeded"})
            else:
                self.rules.append({"id": str(time.monotonic_ns()), **rule})
        return {"meta": {}, **({"errors": errors} if errors else {})}

    def _search(self, asked: Mapping[str, list[str]]) -> tuple[int, Mapping[str, str], bytes]:
        assert len(asked["query"][0]) <= 512
        one = {name: values[0] for name, values in asked.items()}
        if "since_id" in one and "start_time" in one:
            return 400, {}, b'{"title": "Invalid Request"}'
        low, high = int(one.get("since_id", "0")), int(one.get("until_id", str(2**62)))
        start = datetime.fromisoformat(one["start_time"]) if "start_time" in one else None
        end = datetime.fromisoformat(one["end_time"]) if "end_time" in one else None
        if start is not None and start < SystemClock().now() - timedelta(days=7):
            return 400, {}, b'{"title": "Invalid Request"}'
        found = [
            post
            for post in sorted(self.tweets, key=lambda post: -int(post["id"]))
            if low < int(post["id"]) < high
            and (start is None or (id_time(post["id"]) or start) >= start)
            and (end is None or (id_time(post["id"]) or end) < end)
        ]
        at, most = int(one.get("next_token", "0")), int(one["max_results"])
        page = found[at : at + most]
        more = {"next_token": str(at + most)} if at + most < len(found) else {}
        includes = {"includes": {"users": self.users}} if self.users else {}
        return self._json({"data": page, "meta": {"result_count": len(page), **more}, **includes})

    def _job(self) -> dict[str, Any]:
        return list(self.jobs.values())[-1]

    def _compliance(self, method: str, path: str) -> tuple[int, Mapping[str, str], bytes]:
        if method == "POST":
            name = str(len(self.jobs) + 1)
            self.jobs[name] = {
                "id": name,
                "type": "tweets",
                "status": "created",
                "upload_url": f"{self.address}/upload?token=signed",
                "download_url": f"{self.address}/download?token=signed",
            }
            return self._json({"data": self.jobs[name]})
        return self._json({"data": self.jobs[path.rpartition("/")[2]]})


def _handler(world: XWorld) -> type[FaultyHandler]:
    class Handler(FaultyHandler):
        faults = world.due

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            world.asked.append((self.command, self.path))
            length = int(self.headers.get("Content-Length") or 0)
            self.body = self.rfile.read(length)
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self._send(401, {}, b"{}")
                return
            streams = path == "/2/tweets/search/stream"
            self.faults = world.due if streams else world.due_at.get(path, deque())
            if streams and not world.due:
                world.serve(self, "application/json")
            else:
                super().do_GET()

        do_POST = do_PUT = do_GET

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return world.answer(self.command, self.path, self.body)

    return Handler


@contextmanager
def open_x() -> Iterator[XWorld]:
    """Serve it."""
    world = XWorld()
    with serve_http(_handler(world)) as address:
        world.address = address
        try:
            yield world
        finally:
            world.closed.set()
