"""A server on loopback that answers `_bulk` as a script says: faults that a real one does not show on command."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK = 201
Item = tuple[int, str, str]
# What is done with a whole request, in the place of an answer item by item.
RESET_AFTER_APPLYING, RESET_BEFORE, TRUNCATED, CUT_JSON, SHORT, SILENT = (
    "reset after applying",
    "reset before",
    "truncated",
    "cut json",
    "short",
    "silent",
)


@dataclass
class ScriptedBulk:
    """What is done with requests and items, and what came and is stored, by external version.

    `whole` are fates of the next requests: a status or one of the names above, None for item by item. `items` maps an
    id to the answers of its next tries, each a status or (status, error type, reason); without any it is stored.
    """

    whole: list[int | str | None] = field(default_factory=list)
    items: dict[str, list[int | Item]] = field(default_factory=dict)
    # Runs before each answer, for tests that watch what is in flight.
    before: Callable[[], None] = lambda: None
    requests: list[list[str]] = field(default_factory=list)
    stored: dict[str, int] = field(default_factory=dict)
    bytes_of: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def answer(self, operations: Sequence[tuple[str, dict[str, Any]]]) -> tuple[int | str, list[dict[str, Any]]]:
        """Give the fate of a request and what is answered for its items, having applied it."""
        with self.lock:
            self.requests.append([about["_id"] for _, about in operations])
            fate = self.whole.pop(0) if self.whole else None
            if isinstance(fate, int) or fate == RESET_BEFORE:
                return fate, []
            return fate or 200, [self._apply(kind, about) for kind, about in operations]

    def _apply(self, kind: str, about: dict[str, Any]) -> dict[str, Any]:
        doc_id = about["_id"]
        script = self.items.get(doc_id)
        if script:
            said = script.pop(0)
            status, error, reason = said if isinstance(said, tuple) else (said, "", "")
            if status == 404 and not error:
                return {kind: {"status": status, "_seq_no": len(self.stored)}}
            if error or status >= 400:
                return {kind: {"status": status, "error": {"type": error or "some_exception", "reason": reason}}}
        version = about.get("version", 0)
        if doc_id in self.stored and self.stored[doc_id] >= version:
            error = {"type": "version_conflict_engine_exception", "reason": "current version is higher or equal"}
            return {kind: {"status": 409, "error": error}}
        self.stored[doc_id] = version
        return {kind: {"status": OK, "_seq_no": len(self.stored)}}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedBulk

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        operations = list(_operations(body))
        self.script.bytes_of.append(len(body))
        self.script.before()
        fate, items = self.script.answer(operations)
        if fate in (RESET_AFTER_APPLYING, RESET_BEFORE):
            self._reset()
            return
        if fate == SILENT:
            # Longer than any timeout of a test; ends when the client goes.
            self.connection.settimeout(30)
            self.connection.recv(1)
            self.close_connection = True
            return
        errors = any("error" in one for item in items for one in item.values())
        answer = json.dumps({"errors": errors, "items": items[:-1] if fate == SHORT else items}).encode()
        cut = answer[: len(answer) // 2]
        self.send_response(fate if isinstance(fate, int) else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(cut) if fate == CUT_JSON else len(answer)))
        self.end_headers()
        self.wfile.write(cut if fate in (TRUNCATED, CUT_JSON) else answer)
        if fate == TRUNCATED:
            self._reset()

    def _reset(self) -> None:
        # With no lingering, closing sends a reset.
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are part of the script."""


def _operations(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    lines = iter(body.splitlines())
    for line in lines:
        ((kind, about),) = json.loads(line).items()
        if kind != "delete":
            next(lines)
        yield kind, about


@contextmanager
def scripted(script: ScriptedBulk) -> Iterator[ScriptedBulk]:
    """Serve a script; its `url` is set."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"script": script}))
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
