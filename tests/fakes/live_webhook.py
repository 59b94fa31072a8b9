"""Somebody who sends posts, signed, and sends them again until they are taken."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from fakes.live_worlds import Fault

from domain.clock import SystemClock
from domain.signature import SIGNATURE_HEADER, TIMESTAMP_HEADER, sign
from ingest.webhook import WebhookSettings, WebhookSource

SECRET = "a secret of more than thirty-two characters"


def free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def signed(body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Give the headers of a request."""
    timestamp = int(time.time() if at is None else at)
    return {TIMESTAMP_HEADER: str(timestamp), SIGNATURE_HEADER: sign(secret, timestamp, body)}


def post(
    port: int, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], dict[str, object]]:
    """Send one request; gives status, headers (names in lower case) and what the body says."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("POST", "/api/posts", body, signed(body) if headers is None else headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, json.loads(response.read())


def raw(port: int, data: bytes, *, end: bool) -> bytes:
    """Send bytes, no more after them if `end`; gives all that comes back."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=30)) as connection:
        connection.sendall(data)
        if end:
            connection.shutdown(socket.SHUT_WR)
        found = b""
        while part := connection.recv(65_536):
            found += part
        return found


class WebhookWorld:
    # What a sender can do to us; the rest is what a server does.
    faults = frozenset({Fault.CUT, Fault.STALE, Fault.MALFORMED})

    def __init__(self) -> None:
        self.port = free_port()
        self._work: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def source(self) -> WebhookSource:
        settings = WebhookSettings(
            secrets=(SECRET,), port=self.port, read_seconds=0.3, requests_per_minute=60_000, answer_seconds=5.0
        )
        return WebhookSource(settings, SystemClock())

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        posts = [{"id": f"ticket-{n}", "text": text.format(n=n)} for n in numbers]
        self._work.put(lambda: self._until_taken(json.dumps(posts).encode()))

    def publish_bad(self) -> None:
        self._work.put(lambda: self._until_taken(b'{"id": "ticket-999", "text": ["no text"]}'))

    def fail(self, fault: Fault) -> None:
        body = b'{"id": "ticket-1"' if fault is Fault.MALFORMED else b'{"id": "ticket-1", "text": "acme"}'
        head = f"POST /api/posts HTTP/1.1\r\nContent-Length: {len(body)}\r\n".encode()
        head += "".join(f"{name}: {value}\r\n" for name, value in signed(body).items()).encode()
        whole = head + b"\r\n" + body
        data = {Fault.CUT: whole[:-9], Fault.STALE: head, Fault.MALFORMED: whole}[fault]
        self._work.put(lambda: self._sent(data, end=fault is Fault.CUT))

    def close(self) -> None:
        self._ended.set()
        self._work.put(None)
        self._thread.join()

    def _send(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _until_taken(self, body: bytes) -> None:
        while not self._ended.is_set():
            with suppress(OSError, http.client.HTTPException):
                if post(self.port, body)[0] == 202:
                    return
            time.sleep(0.02)

    def _sent(self, data: bytes, *, end: bool) -> None:
        assert b"HTTP/1.1 4" in raw(self.port, data, end=end)


@contextmanager
def open_webhook() -> Iterator[WebhookWorld]:
    """Send for one test."""
    world = WebhookWorld()
    try:
        yield world
    finally:
        world.close()
