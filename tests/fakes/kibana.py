"""A stand-in for Kibana, which the tests cannot fetch: it takes an import and answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Import:
    """One import as it arrived: path and query, headers by lower-case name, and the file of the form."""

    path: str
    headers: dict[str, str]
    file_name: str
    content: bytes


@dataclass
class FakeKibana:
    """`answers` are (status, body) in order, the last one for ever; `imports` is what came in."""

    answers: list[tuple[int, Any]]
    url: str = ""
    imports: list[Import] = field(default_factory=list)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        form = BytesParser(policy=HTTP).parsebytes(
            b"Content-Type: " + headers["content-type"].encode() + b"\n\n" + body
        )
        (part,) = form.iter_parts()
        self.imports.append(Import(path, headers, part.get_filename() or "", part.get_payload(decode=True)))
        status, answer = self.answers[min(len(self.imports), len(self.answers)) - 1]
        return status, json.dumps(answer).encode()


@contextmanager
def fake_kibana(*answers: tuple[int, Any]) -> Iterator[FakeKibana]:
    """Run one on a free port of 127.0.0.1."""
    kibana = FakeKibana(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = kibana.take(self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kibana.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield kibana
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
