"""`/healthz`, `/readyz` and `/metrics` on a port of their own, for machines: no personal text, nothing changes."""

from __future__ import annotations

import json
import logging
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from service.prometheus import CONTENT_TYPE, Meter
from service.readiness import Readiness

log = logging.getLogger(__name__)

# A client that sends nothing holds a thread for this long.
_CLIENT_SECONDS = 10


class HealthServer:
    """Answers on a socket that listens already, until closed."""

    def __init__(self, listening: socket.socket, meter: Meter, readiness: Readiness) -> None:
        class Handler(BaseHTTPRequestHandler):
            timeout = _CLIENT_SECONDS
            server_version = "soundings"
            sys_version = ""

            def do_GET(self) -> None:
                status, kind, body = _answer(self.path, meter, readiness)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.send_header("X-Content-Type-Options", "nosniff")
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, format: str, *args: object) -> None:
                log.debug(format, *args)

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            # Connections under way may end by themselves.
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                log.debug("a client of the health port went away", exc_info=True)

        self._server = Server(listening.getsockname()[:2], Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listening
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and close the socket."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _answer(path: str, meter: Meter, readiness: Readiness) -> tuple[int, str, bytes]:
    match path.partition("?")[0]:
        case "/healthz":
            return 200, "text/plain; charset=utf-8", b"ok\n"
        case "/readyz":
            ready, parts = readiness.ready, readiness.parts()
            # Why a part is away stands in the log: it may name hosts and paths.
            body = json.dumps({"ready": ready, "parts": {part: "ok" if up else "down" for part, up in parts.items()}})
            return (200 if ready else 503), "application/json", body.encode() + b"\n"
        case "/metrics":
            readiness.tell()
            return 200, CONTENT_TYPE, meter.text()
    return 404, "text/plain; charset=utf-8", b"here are /healthz, /readyz and /metrics\n"
