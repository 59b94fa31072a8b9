"""A stream over HTTP that many listen to, with the faults of one: what the servers of X and Mastodon share."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from queue import Empty, Queue

from fakes.live_worlds import Fault

_CUT, _STALE = object(), object()
ALIVE_SECONDS = 0.1


class Broadcast:
    """Whoever listens is told all that appears.

    `greeting` comes first, `alive` when nothing came for a moment, `cut` is the half message that a connection ends in,
    and `malformed` a whole one that cannot be read. Faults of answers go into `due`.
    """

    def __init__(self, *, greeting: bytes, alive: bytes, cut: bytes, malformed: bytes) -> None:
        self._greeting, self._alive, self._cut, self._malformed = greeting, alive, cut, malformed
        self.due: deque[Fault] = deque()
        self.closed = threading.Event()
        self._listeners: list[Queue[object]] = []
        self._lock = threading.Lock()

    @property
    def listeners(self) -> int:
        with self._lock:
            return len(self._listeners)

    def tell(self, message: object, kept: Callable[[], None] | None = None) -> None:
        """Send bytes to all who listen; `kept` is done with it, so that nobody begins to listen in between."""
        with self._lock:
            if kept is not None:
                kept()
            for listener in self._listeners:
                listener.put(message)

    def fail(self, fault: Fault) -> None:
        """Meet the streams with a fault, or the next answer where it is one of an answer."""
        if fault is Fault.MALFORMED:
            self.tell(self._malformed)
        elif fault is Fault.STALE:
            self.tell(_STALE)
        else:
            if fault is not Fault.CUT:
                self.due.append(fault)
            self.tell(_CUT)

    def serve(self, handler: BaseHTTPRequestHandler, content_type: str) -> None:
        """Answer a request with what appears, in chunks, until the connection is cut."""

        def begin() -> None:
            handler.send_response(200)
            handler.send_header("Content-Type", content_type)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()

        self._stream(begin, lambda data: handler.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n"))
        handler.close_connection = True

    def _stream(self, begin: Callable[[], None], write: Callable[[bytes], object]) -> None:
        """Whoever sees it begin misses nothing from then on."""
        queue: Queue[object] = Queue()
        with self._lock:
            self._listeners.append(queue)
        try:
            begin()
            write(self._greeting)
            stale = False
            while not self.closed.is_set():
                try:
                    message = queue.get(timeout=ALIVE_SECONDS)
                except Empty:
                    message = self._alive
                if message is _CUT:
                    write(self._cut)
                    return
                stale = stale or message is _STALE
                if not stale and isinstance(message, bytes):
                    write(message)
        except OSError:
            return
        finally:
            with self._lock:
                self._listeners.remove(queue)
