"""What a live source is tested in: a server on loopback that speaks the source's protocol, and faults on command.

Another source is a module `tests/fakes/live_<name>.py` with one `World`, and one line in `WORLDS`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Protocol

from ingest.source import LiveSource


class Fault(Enum):
    """What happens to the next thing that a source asks of the server, or to the stream that it reads."""

    # The connection ends in the middle of a message.
    CUT = "cut"
    # Nothing comes any more, and the connection stays; for sources that are pushed to.
    STALE = "stale"
    # 429 with `Retry-After: 1`, and without.
    TOO_MANY = "too many, come again"
    TOO_MANY_SILENT = "too many"
    UNAUTHORISED = "unauthorised"
    BROKEN = "broken"
    # An answer or a frame that is not what the protocol says.
    MALFORMED = "malformed"


class World(Protocol):
    """One source and its server. `name` of it is the key in `WORLDS`."""

    @property
    def faults(self) -> frozenset[Fault]:
        """The faults that this protocol can have."""

    def source(self) -> LiveSource:
        """Give a new source that listens to this server, impatient enough for a test."""

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        """Have posts appear at the server, in this order; the native id of each ends in its number."""

    def publish_bad(self) -> None:
        """Have something appear that has the form of a post and cannot be one: it is parked."""

    def fail(self, fault: Fault) -> None:
        """Meet the next request (or the stream that is open, or the next one) with a fault, once."""


@contextmanager
def serve_http(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a free port of loopback; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class FaultyHandler(BaseHTTPRequestHandler):
    """Answers by `answer`, except where a fault is due. Make a subclass with `faults` and `answer` of its own."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second would wait for the first to be acknowledged.
    disable_nagle_algorithm = True
    faults: deque[Fault]

    def answer(self) -> tuple[int, Mapping[str, str], bytes]:
        """Give status, headers and body for the request at hand."""
        raise NotImplementedError

    def do_GET(self) -> None:
        try:
            fault = self.faults.popleft()
        except IndexError:
            self._send(*self.answer())
            return
        if fault is Fault.CUT:
            status, _, body = self.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + 100))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault is Fault.MALFORMED:
            self._send(200, {}, b'{"hits": [{"objectID"')
        elif fault is Fault.TOO_MANY:
            self._send(429, {"Retry-After": "1"}, b"")
        elif fault is Fault.TOO_MANY_SILENT:
            self._send(429, {}, b"")
        else:
            self._send({Fault.UNAUTHORISED: 401, Fault.BROKEN: 503}[fault], {}, b"no")

    def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


# Opens the world of a source for one test.
Open = Callable[[], AbstractContextManager[World]]
