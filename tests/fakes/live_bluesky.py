"""A Jetstream server, versions 1 and 2, as far as its source needs one: a stream of events with a past, and faults."""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fakes.live_worlds import Fault
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from domain.clock import Clock, SystemClock
from ingest.bluesky import BlueskySettings, BlueskySource

COLLECTION = "app.bsky.feed.post"
LEXICON = "network.bsky.jetstream.subscribeEvents"
SOMEBODY = "did:plc:somebody234567abcdefghij"
_TID_DIGITS = "234567abcdefghijklmnopqrstuvwxyz"
_STATUSES = {
    Fault.TOO_MANY: (429, {"Retry-After": "1"}),
    Fault.TOO_MANY_SILENT: (429, {}),
    Fault.UNAUTHORISED: (401, {}),
    Fault.BROKEN: (503, {}),
}


def tid(micros: int) -> str:
    """Give a revision that was made then."""
    number, digits = micros << 10, ""
    for _ in range(13):
        digits = _TID_DIGITS[number & 31] + digits
        number >>= 5
    return digits


def iso(micros: int) -> str:
    """Give a time as the server of version 2 writes it."""
    return f"{datetime.fromtimestamp(micros // 10**6, UTC):%Y-%m-%dT%H:%M:%S}.{micros % 10**6:06}Z"


def now_micros() -> int:
    """Give the time."""
    return time.time_ns() // 1_000


@dataclass
class Happened:
    """One event of the network as this server has it. `frame`: bytes that are sent instead of it."""

    seq: int
    micros: int
    kind: str
    did: str
    detail: Mapping[str, Any]
    frame: bytes | None = None

    def encode(self, version: int, *, with_cursor: bool) -> bytes:
        if self.frame is not None:
            return self.frame
        if version == 1:
            made: dict[str, Any] = {"did": self.did, "time_us": self.micros, "kind": self.kind, self.kind: self.detail}
            return json.dumps(made | {"cursor": self.seq} if with_cursor else made).encode()
        inner = self.detail if self.kind == "commit" else {self.kind: self.detail}
        times = {"time": iso(self.micros), "witnessedAt": iso(self.micros)}
        payload = {"$type": f"{LEXICON}#{self.kind}", "seq": self.seq, "did": self.did, **times, **inner}
        return json.dumps({"$type": "message", "payload": payload}).encode()


@dataclass
class JetstreamWorld:
    """`fakes.live_worlds.World` of one server. What its AppView says is in `fakes.live_appview`.

    `versions` that it speaks; a server that speaks both adds its numbers to version 1. `floor` is the time before which
    it keeps nothing. `seq` is the number of the last event. `asked` holds the query of each connection that was asked
    for. `repeats_hour`: a time is answered from the beginning of what is kept.
    """

    versions: tuple[int, ...] = (2, 1)
    faults = frozenset(Fault)
    happened: list[Happened] = field(default_factory=list)
    due: deque[Fault] = field(default_factory=deque)
    asked: list[dict[str, list[str]]] = field(default_factory=list)
    floor: int = 0
    seq: int = 1_000
    repeats_hour: bool = False
    address: str = ""
    changed: threading.Condition = field(default_factory=threading.Condition)
    open: set[ServerConnection] = field(default_factory=set)

    def source(self, *others: JetstreamWorld, clock: Clock | None = None, **settings: Any) -> BlueskySource:
        hosts = (self.address, *(other.address for other in others))
        asked: dict[str, Any] = {"silence_seconds": 1.0, "allow_private": True, "hosts": hosts} | settings
        return BlueskySource(BlueskySettings(**asked), clock or SystemClock())

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        for n in numbers:
            self.post(n, {"text": text.format(n=n)})

    def publish_bad(self) -> None:
        self.post(999, {"text": ["no text"]})

    def fail(self, fault: Fault) -> None:
        with self.changed:
            self.due.append(fault)
            self.changed.notify_all()

    def post(
        self, n: int, record: object, *, operation: str = "create", micros: int | None = None, rev: str | None = None
    ) -> Happened:
        """Have a post appear; a record that is an object is a good one but for what is given."""
        at = micros or now_micros()
        if isinstance(record, dict):
            record = {"$type": COLLECTION, "createdAt": iso(at), "langs": ["en"], **record}
        detail = {"rev": rev or tid(at), "operation": operation, "collection": COLLECTION, "rkey": f"3kpost{n}"}
        if operation != "delete":
            detail |= {"record": record, "cid": "bafyreih"}
        return self.happen("commit", detail, micros=at)

    def account(self, did: str = SOMEBODY, *, active: bool, status: str | None = None) -> Happened:
        detail: dict[str, Any] = {"active": active, "did": did, "seq": 7, "time": iso(now_micros())}
        return self.happen("account", detail | ({"status": status} if status else {}), did=did)

    def happen(
        self, kind: str, detail: Mapping[str, Any], *, did: str = SOMEBODY, micros: int | None = None
    ) -> Happened:
        """Have any event appear."""
        with self.changed:
            self.seq += 1
            event = Happened(self.seq, micros or now_micros(), kind, did, detail)
            self.happened.append(event)
            self.changed.notify_all()
        return event

    def frame(self, raw: bytes) -> None:
        """Have a frame sent that is no event of ours."""
        with self.changed:
            self.seq += 1
            self.happened.append(Happened(self.seq, now_micros(), "", "", {}, raw))
            self.changed.notify_all()

    def take(self, event: Happened) -> None:
        """Have an event of another server appear here, a moment later and with a number of this one's."""
        with self.changed:
            self.seq += 1
            self.happened.append(
                Happened(self.seq, event.micros + 1_000, event.kind, event.did, event.detail, event.frame)
            )
            self.changed.notify_all()

    # What the server does.

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a handshake; None lets it in."""
        path, query = urlsplit(request.path).path, parse_qs(urlsplit(request.path).query)
        with self.changed:
            self.asked.append({**query, "path": [path]})
            if self.due and self.due[0] in _STATUSES:
                status, headers = _STATUSES[self.due.popleft()]
                return _response(status, headers, b"no")
        version = {"/subscribe": 1, f"/xrpc/{LEXICON}": 2}.get(path)
        if version not in self.versions:
            return _response(404, {}, b"404")
        cursor = int(query.get("cursor", ["0"])[0])
        first = next((event.seq for event in self.happened if event.micros >= self.floor), self.seq + 1)
        if version == 2 and 0 < cursor < 10**15 and cursor < first and self.floor:
            return _response(400, {}, json.dumps({"error": "CursorTooOld", "message": f"floor {first}"}).encode())
        return None

    def stream(self, connection: ServerConnection) -> None:
        """Serve one listener to its end."""
        assert connection.request is not None
        parts = urlsplit(connection.request.path)
        version = 1 if parts.path == "/subscribe" else 2
        cursor = int(parse_qs(parts.query).get("cursor", ["0"])[0])
        with self.changed:
            self.open.add(connection)
            at, notice = self._start(cursor)
        try:
            if notice and version == 2:
                info = {"$type": f"{LEXICON}#info", "name": notice, "message": "..."}
                connection.send(json.dumps({"$type": "message", "payload": info}))
            self._send_all(connection, version, at)
        except ConnectionClosed:
            pass
        finally:
            with self.changed:
                self.open.discard(connection)

    def _start(self, cursor: int) -> tuple[int, str]:
        """Give the index of the first event to send, and what there is to say about the cursor."""
        kept = next((at for at, event in enumerate(self.happened) if event.micros >= self.floor), len(self.happened))
        if not cursor:
            return len(self.happened), ""
        if cursor < 10**15:
            if cursor > self.seq + 1:
                return len(self.happened), "FutureCursor"
            wanted = (at for at, event in enumerate(self.happened) if event.seq >= cursor)
            return max(kept, next(wanted, len(self.happened))), ""
        if self.repeats_hour:
            return kept, ""
        wanted = (at for at, event in enumerate(self.happened) if event.micros >= cursor)
        return max(kept, next(wanted, len(self.happened))), "OutdatedCursor" if cursor < self.floor else ""

    def _send_all(self, connection: ServerConnection, version: int, at: int) -> None:
        while True:
            with self.changed:
                while at >= len(self.happened) and not self.due and connection in self.open:
                    self.changed.wait(0.05)
                    if connection.state.name != "OPEN":
                        return
                fault = None
                if self.due:
                    fault = self.due[0] if self.due[0] in _STATUSES else self.due.popleft()
                event = self.happened[at] if at < len(self.happened) else None
            if fault is not None:
                self._meet(fault, connection)
                if fault is not Fault.MALFORMED:
                    return
            elif event is not None:
                connection.send(event.encode(version, with_cursor=2 in self.versions), text=True)
                at += 1
            else:
                return

    def _meet(self, fault: Fault, connection: ServerConnection) -> None:
        if fault in _STATUSES:
            connection.close(1012, "restart")
        elif fault is Fault.CUT:
            # A text frame of 100 bytes of which 10 come.
            connection.socket.sendall(b'\x81\x64{"did":"di')
            connection.socket.close()
        elif fault is Fault.STALE:
            while connection.state.name == "OPEN":
                time.sleep(0.02)
        elif fault is Fault.MALFORMED:
            connection.send('{"did": "did:plc:', text=True)

    def cut(self) -> None:
        """End all that is open, without a goodbye."""
        with self.changed:
            for connection in tuple(self.open):
                with suppress(OSError):
                    connection.socket.shutdown(2)


def _response(status: int, headers: Mapping[str, str], body: bytes) -> Response:
    named = Headers({"Content-Length": str(len(body)), "Connection": "close", **headers})
    return Response(status, HTTPStatus(status).phrase, named, body)


@contextmanager
def serve_jetstream(world: JetstreamWorld, port: int = 0) -> Iterator[None]:
    """Serve a world, on a free port or on the one given; its address is set. In the end all that listen are cut off."""

    def choose(_: ServerConnection, offered: Sequence[Any]) -> Any:
        return "xrpc.v1.json" if "xrpc.v1.json" in offered else None

    server: Server = serve(
        world.stream,
        "127.0.0.1",
        port,
        process_request=world.admit,
        subprotocols=None,
        select_subprotocol=choose,
        compression=None,
        ping_interval=None,
        close_timeout=0.2,
    )
    world.address = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        world.cut()
        server.shutdown()
        thread.join()
        # Whoever came in between.
        world.cut()


@contextmanager
def open_bluesky(versions: tuple[int, ...] = (2, 1)) -> Iterator[JetstreamWorld]:
    """Serve a new one."""
    world = JetstreamWorld(versions=versions)
    with serve_jetstream(world):
        yield world


@contextmanager
def open_bluesky_1() -> Iterator[JetstreamWorld]:
    """Serve version 1 alone, as the servers did that came first."""
    with open_bluesky((1,)) as world:
        yield world
