"""WebSocket connections of sources: to checked addresses only, by the name in TLS, bounded, and nothing compressed."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from servers.certificates import Certificates
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Response
from websockets.sync.server import ServerConnection, serve

from domain.errors import RetryLater
from ingest.web import NotAllowed
from ingest.websocket import Closed, Refused, WebSocket, open_websocket

MAX_BYTES = 1_000


@contextmanager
def served(stream: Callable[[ServerConnection], None], **options: Any) -> Iterator[int]:
    """Serve on loopback; gives the port."""

    def handle(connection: ServerConnection) -> None:
        try:
            stream(connection)
            connection.recv()
        except ConnectionClosed:
            pass

    settings: dict[str, Any] = {"compression": None, "ping_interval": None, "close_timeout": 0.2} | options
    server = serve(handle, "127.0.0.1", 0, **settings)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        thread.join()


def read_to_the_end(socket: WebSocket) -> tuple[list[bytes], Closed]:
    """Give all messages, and how the connection ended."""
    found: list[bytes] = []
    while True:
        try:
            found += socket.receive_many(2, 10.0)
        except Closed as closed:
            socket.close()
            return found, closed


def connect(port: int, *, host: str = "127.0.0.1", scheme: str = "ws") -> WebSocket:
    return open_websocket(f"{scheme}://{host}:{port}/", max_bytes=MAX_BYTES, allow_private=True, timeout_seconds=10)


def test_messages_come_in_order_and_the_end_after_them() -> None:
    def stream(connection: ServerConnection) -> None:
        connection.send("one")
        connection.send(b"two")
        connection.send(["th", "ree"])
        connection.close(1012, "restart")

    with served(stream) as port:
        found, closed = read_to_the_end(connect(port))
    assert found == [b"one", b"two", b"three"]
    assert str(closed) == "the server closed the connection (1012 restart)"
    assert not closed.too_large


def test_nothing_to_read_is_no_message() -> None:
    with served(lambda connection: None) as port:
        socket = connect(port)
        assert socket.receive(0.0) is None
        assert socket.receive_many(5, 0.01) == []
        socket.close()


@pytest.mark.parametrize("message", ["x" * (MAX_BYTES + 1), ["x" * 600, "x" * 600]])
def test_a_message_that_is_too_large_ends_the_connection_after_what_came_before(message: Any) -> None:
    def stream(connection: ServerConnection) -> None:
        connection.send("before")
        connection.send(message)

    with served(stream) as port:
        found, closed = read_to_the_end(connect(port))
    assert found == [b"before"]
    assert closed.too_large


def test_compression_is_not_offered_and_not_taken() -> None:
    offers: list[str] = []

    def note(connection: ServerConnection, request: Any) -> None:
        offers.append(request.headers.get("Sec-WebSocket-Extensions", ""))

    def deflated(connection: ServerConnection) -> None:
        # A frame marked as compressed: the first reserved bit is set.
        connection.socket.sendall(b"\xc1\x03abc")

    with served(deflated, process_request=note, extensions=[ServerPerMessageDeflateFactory()]) as port:
        found, closed = read_to_the_end(connect(port))
    assert (offers, found) == ([""], [])
    assert "given up" in str(closed)


def test_a_redirect_is_not_followed() -> None:
    asked: list[str] = []

    def elsewhere(connection: ServerConnection, request: Any) -> Response:
        asked.append(request.path)
        headers = Headers({"Location": "ws://127.0.0.1:9/inside", "Content-Length": "0", "Connection": "close"})
        return Response(302, HTTPStatus(302).phrase, headers, b"")

    with (
        served(lambda connection: None, process_request=elsewhere) as port,
        pytest.raises(RetryLater, match="redirect"),
    ):
        connect(port)
    assert asked == ["/"]


def test_another_answer_than_a_connection_is_given_whole() -> None:
    def refuse(connection: ServerConnection, request: Any) -> Response:
        headers = Headers({"Retry-After": "7", "Content-Length": "4", "Connection": "close"})
        return Response(429, HTTPStatus(429).phrase, headers, b"slow")

    with served(lambda connection: None, process_request=refuse) as port, pytest.raises(Refused) as told:
        connect(port)
    answer = told.value.answer
    assert (answer.status, answer.headers["retry-after"], answer.body) == (429, "7", b"slow")


@pytest.mark.parametrize(
    "url", ["ws://127.0.0.1/", "wss://localhost/", "ws://[::1]/", "ws://10.0.0.1/", "ws://[::ffff:127.0.0.1]/"]
)
def test_private_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(NotAllowed, match="private address"):
        open_websocket(url, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("url", ["http://example.com/", "file:///etc/passwd", "ws:///nowhere"])
def test_only_addresses_of_websockets_are_connected_to(url: str) -> None:
    with pytest.raises(NotAllowed, match="only ws and wss"):
        open_websocket(url, max_bytes=MAX_BYTES)


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with served(lambda connection: connection.send("direct")) as port:
        socket = connect(port)
        assert socket.receive(10.0) == b"direct"
        socket.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls") / "files")


@contextmanager
def served_securely(certificates: Certificates, names: list[str | None]) -> Iterator[int]:
    """Serve with the certificate of 127.0.0.1; `names` takes in which name each client asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server_keystore)

    def note(socket: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        names.append(name)

    context.sni_callback = note
    with served(lambda connection: connection.send("secret"), ssl=context) as port:
        yield port


def test_the_certificate_must_be_of_the_name_and_of_an_authority_that_is_known(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str | None] = []
    with served_securely(certificates, names) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        socket = connect(port, scheme="wss")
        assert socket.receive(10.0) == b"secret"
        socket.close()
        with pytest.raises(RetryLater, match=r"localhost cannot be reached: .*ertificate"):
            connect(port, scheme="wss", host="localhost")
        monkeypatch.setenv("SSL_CERT_FILE", str(Path(certificates.stranger)))
        with pytest.raises(RetryLater, match=r"127\.0\.0\.1 cannot be reached: .*ertificate"):
            connect(port, scheme="wss")
    # It connects to the address that was checked, and asks for the name.
    assert "localhost" in names
