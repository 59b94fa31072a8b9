"""A proxy before a real server that loses requests, answers, or the second half of a bulk, when it is told to."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from fakes.scripted_bulk import QuietServer, reset


class Fault(Enum):
    """What happens to a request."""

    NONE = "none"
    LOST = "the request never arrives"
    UNANSWERED = "carried out, and the answer is lost"
    HALVED = "of a bulk the first half is carried out, and the answer is lost"


# Given the number of a request, its path and its body, says what happens to it.
Judge = Callable[[int, str, bytes], Fault]


class FaultyProxy:
    """Passes requests on; `judge` may be changed at any time, `requests` counts them since it last was."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._lock = threading.Lock()
        self.judge: Judge = lambda number, path, body: Fault.NONE
        self.requests = 0
        self.url = ""

    def after(self, requests: int, fault: Fault) -> None:
        """Let some requests pass, let the next one meet a fault, and lose all others: the client has died."""
        self.requests = 0
        self.judge = lambda number, path, body: (
            Fault.NONE if number <= requests else fault if number == requests + 1 else Fault.LOST
        )

    def mend(self) -> None:
        """Let everything pass."""
        self.judge = lambda number, path, body: Fault.NONE

    def handle(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, str] | None:
        """Give the answer, None where the client gets none."""
        with self._lock:
            self.requests += 1
            fault = self.judge(self.requests, path, body)
        if fault is Fault.LOST:
            return None
        if fault is Fault.HALVED and path.startswith("/_bulk"):
            body = _first_half(body)
        connection = http.client.HTTPConnection(self._target.hostname or "", self._target.port, timeout=60)
        try:
            kept = {name: value for name, value in headers.items() if name.lower() in ("content-type", "accept")}
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            said = answer.read()
            kind = answer.getheader("content-type") or "application/json"
        finally:
            connection.close()
        return (answer.status, said, kind) if fault is Fault.NONE else None


def _first_half(body: bytes) -> bytes:
    """Give the first half of the items of a bulk."""
    lines = body.splitlines(keepends=True)
    items: list[bytes] = []
    at = 0
    while at < len(lines):
        size = 1 if lines[at].startswith(b'{"delete"') else 2
        items.append(b"".join(lines[at : at + size]))
        at += size
    return b"".join(items[: (len(items) + 1) // 2])


@contextmanager
def faulty(url: str) -> Iterator[FaultyProxy]:
    """Run a proxy before a server; its `url` is set."""
    proxy = FaultyProxy(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            answer = proxy.handle(self.command, self.path, dict(self.headers.items()), body)
            if answer is None:
                reset(self)
                return
            status, said, kind = answer
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_DELETE = _pass

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
