"""A receiver of webhooks on loopback that keeps what it takes, and fails by script."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from fakes.live_worlds import serve_http

# A status with headers, or: taken and then cut, taken and never answered.
Answer = tuple[int, Mapping[str, str]] | str


@dataclass
class Hooks:
    """What came: path, headers in lower case and body, in order; what is answered next, else 200."""

    came: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)
    answers: deque[Answer] = field(default_factory=deque)
    released: threading.Event = field(default_factory=threading.Event)
    address: str = ""
    # What is to be closed when the server goes.
    opened: ExitStack = field(default_factory=ExitStack)

    @property
    def keys(self) -> list[str]:
        """The idempotency keys that came, in order."""
        return [headers["idempotency-key"] for _, headers, _ in self.came]


@contextmanager
def serve_hooks() -> Iterator[Hooks]:
    """Serve until the block ends."""
    made = Hooks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(size)
            made.came.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            answer = made.answers.popleft() if made.answers else (200, {})
            if isinstance(answer, str):
                if answer == "hang":
                    made.released.wait(60)
                self.close_connection = True
                self.connection.close()
                return
            status, headers = answer
            self.send_response(status)
            for name, value in {"Content-Length": "0", **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        do_PUT = do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serve_http(Handler) as address:
        made.address = address
        try:
            yield made
        finally:
            made.released.set()
            made.opened.close()
