"""A small HTTP server for one address, hardened: every connection is bounded in time, bytes and number.

It serves one request a connection and closes it. What it does with a request is its desk's.
"""

from __future__ import annotations

import io
import json
import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any, Protocol, cast

logger = logging.getLogger(__name__)

# Request line and headers together: ours are a few hundred bytes, proxies add as many.
MAX_HEAD_BYTES = 16 * 1024
_BUFFER_BYTES = 8 * 1024
# What is still coming when we have answered is read for so long, or whoever sends it never sees the answer.
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 8 * 1024 * 1024
_CLOSE_SECONDS = 2.0


class Refused(Exception):
    """A request that is not taken: the status, a word for programs, a sentence for people, when to come again."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: int | None = None) -> None:
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer in JSON."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict)


class Desk(Protocol):
    """What decides about requests. Called by many threads."""

    def look(self, headers: Mapping[str, str]) -> None:
        """Look at the headers (names in lower case) before the body is read.

        Raises:
            Refused: the body is not worth reading.
        """

    def take(self, headers: Mapping[str, str], body: bytes) -> Reply:
        """Answer a request.

        Raises:
            Refused: it is not taken.
        """

    def refused(self, code: str) -> None:
        """A request was not taken, for whatever reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Where it listens, what it answers to and its bounds; `read_seconds` is for a whole request to arrive."""

    host: str
    port: int
    path: str
    max_body_bytes: int
    read_seconds: float = 10.0
    max_connections: int = 32


class Server:
    """Listens until `close`. Building it takes the port.

    Raises:
        OSError: the port cannot be taken.
    """

    def __init__(self, settings: ServerSettings, desk: Desk) -> None:
        self._http = _Http(settings, desk)
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, name="webhook", daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self._http.server_address[1])

    def close(self) -> None:
        """Take no more, and let those who are being answered have their answer."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._http.wait_until_idle(_CLOSE_SECONDS)


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, settings: ServerSettings, desk: Desk) -> None:
        self.settings, self.desk = settings, desk
        self._idle = threading.Condition()
        self._active = 0
        self.address_family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        super().__init__((settings.host, settings.port), _Handler)

    def server_bind(self) -> None:
        # Not that of the HTTP server: it asks the name server for our own name.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._idle:
            full = self._active >= self.settings.max_connections
            self._active += not full
        if not full:
            try:
                super().process_request(request, client_address)
            except BaseException:
                # No thread could be started.
                self._left()
                raise
            return
        self.desk.refused("busy")
        # This is the thread that accepts: it waits for nobody.
        request.setblocking(False)
        try:
            request.send(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n" + _BUSY)
        except OSError:
            logger.debug("a connection too many was gone before it was told so")
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._left()

    def _left(self) -> None:
        with self._idle:
            self._active -= 1
            self._idle.notify_all()

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until every request is answered."""
        with self._idle:
            self._idle.wait_for(lambda: self._active == 0, seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.desk.refused("failed")
        # What the error says may quote what somebody wrote.
        logger.debug("a request could not be answered", exc_info=True)


_BUSY_BODY = b'{"error": "busy", "message": "too many requests at once; send it again later"}'
_BUSY = b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(_BUSY_BODY) + _BUSY_BODY


class _Metered(io.RawIOBase):
    """Reads a connection until a deadline, and no more bytes than allowed."""

    def __init__(self, connection: socket.socket, until: float, allowed: int) -> None:
        self._connection, self._until, self.allowed = connection, until, allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._until - monotonic()
        if left <= 0:
            raise TimeoutError
        if self.allowed <= 0:
            raise Refused(431, "head_too_large", f"expected at most {MAX_HEAD_BYTES:,} bytes of headers")
        self._connection.settimeout(left)
        count = self._connection.recv_into(buffer)
        self.allowed -= count
        return count


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "Soundings", ""

    def setup(self) -> None:
        super().setup()
        self._http = cast(_Http, self.server)
        self._unread = True
        # What an answer needs to know, should there be one before the request is read.
        self.command, self.requestline, self.request_version = "", "", self.protocol_version
        self.rfile.close()
        self._metered = _Metered(self.connection, monotonic() + self._http.settings.read_seconds, MAX_HEAD_BYTES)
        self.rfile = io.BufferedReader(self._metered, _BUFFER_BYTES)

    def handle(self) -> None:
        try:
            self.raw_requestline = self.rfile.readline(MAX_HEAD_BYTES)
            if not self.raw_requestline:
                return
            if self.parse_request():
                self._serve()
        except Refused as exc:
            self._refuse(exc)
        except TimeoutError:
            seconds = self._http.settings.read_seconds
            self._refuse(Refused(408, "too_slow", f"the request did not arrive within {seconds:.0f} s"))
        except OSError:
            self._http.desk.refused("gone")

    def _serve(self) -> None:
        settings, headers = self._http.settings, {name.lower(): value for name, value in self.headers.items()}
        if self.path.partition("?")[0] != settings.path:
            raise Refused(404, "not_found", f"there is nothing but POST {settings.path}")
        if self.command != "POST":
            raise Refused(405, "not_post", f"expected POST {settings.path}")
        size = self._size(headers)
        self._http.desk.look(headers)
        if headers.get("expect", "").lower() == "100-continue":
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
        self._metered.allowed += size
        body = self.rfile.read(size)
        if len(body) < size:
            raise Refused(400, "cut_off", f"found {len(body):,} bytes of body, expected {size:,} by Content-Length")
        self._unread = False
        self._send(self._http.desk.take(headers, body))

    def _size(self, headers: Mapping[str, str]) -> int:
        most, lengths = self._http.settings.max_body_bytes, self.headers.get_all("Content-Length", [])
        if "transfer-encoding" in headers or not lengths:
            raise Refused(411, "length_required", "expected a Content-Length, and no Transfer-Encoding")
        if len(lengths) > 1 or not (lengths[0].isascii() and lengths[0].isdigit() and len(lengths[0]) < 16):
            raise Refused(400, "bad_length", "Content-Length: expected one whole number")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refused(415, "encoded", "Content-Encoding: expected none")
        if int(lengths[0]) > most:
            raise Refused(
                413, "too_large", f"found {int(lengths[0]):,} bytes, expected at most {most:,}; send fewer posts"
            )
        return int(lengths[0])

    def handle_expect_100(self) -> bool:
        # Only once the headers have been looked at.
        return True

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self._refuse(Refused(int(code), "bad_request", HTTPStatus(code).phrase))

    def _refuse(self, refused: Refused) -> None:
        self._http.desk.refused(refused.code)
        headers = {} if refused.retry_after is None else {"Retry-After": str(refused.retry_after)}
        if refused.status == 405:
            headers["Allow"] = "POST"
        try:
            self._send(Reply(refused.status, {"error": refused.code, "message": refused.message}, headers))
            if self._unread:
                self._linger()
        except OSError:
            logger.debug("nobody waited for the answer")

    def _send(self, reply: Reply) -> None:
        payload = json.dumps(reply.body).encode()
        self.close_connection = True
        # A request line that could not be read counts as HTTP/0.9, which knows no headers.
        self.request_version = self.protocol_version
        self.connection.settimeout(self._http.settings.read_seconds)
        self.send_response(reply.status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(payload)),
            "Connection": "close",
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **reply.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    def _linger(self) -> None:
        self.connection.shutdown(socket.SHUT_WR)
        until, left = monotonic() + _LINGER_SECONDS, _LINGER_BYTES
        while left > 0 and (seconds := until - monotonic()) > 0:
            self.connection.settimeout(seconds)
            part = self.connection.recv(65_536)
            if not part:
                return
            left -= len(part)

    def log_message(self, *_: object) -> None:
        """Say nothing: who asked for what stands in no log."""
