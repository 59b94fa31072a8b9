"""Fetching: what may not be reached is not, what is too much is not read, what is refused says where to mend it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from fakes.live_worlds import serve_http

from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.web import MAX_REDIRECTS, Asker, Fetcher, NotAllowed, TooLarge, check_address, resolve, retry_after, shown

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
Said = tuple[int, Mapping[str, str], bytes]


class Site:
    """A server whose answers are set by path, and that keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Said] = {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.address = ""


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            made.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            status, headers, body = made.answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serve_http(Handler) as address:
        made.address = address
        yield made


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    made = Fetcher(allow_private=True)
    yield made
    made.close()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
    ],
)
def test_private_addresses_may_not_be_connected_to(address: str) -> None:
    with pytest.raises(NotAllowed, match=r"private address; sources\.allow_private"):
        check_address(address, allow_private=False)
    check_address(address, allow_private=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.216.34", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_may(address: str) -> None:
    check_address(address, allow_private=False)


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f000001", "[::1]"])
def test_a_private_host_is_refused_however_it_is_written(host: str) -> None:
    with Listening() as port, closing(Fetcher()) as fetcher, pytest.raises((NotAllowed, RetryLater)):
        fetcher.get(f"http://{host}:{port}/")


class Listening:
    """A port that somebody listens on; whoever connects fails the test."""

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        port: int = self._socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self._socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            self._socket.accept()
        self._socket.close()


def test_a_host_with_one_private_address_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(NotAllowed):
        resolve("two.example", 80, allow_private=False)


def test_a_name_is_asked_for_once_and_what_was_checked_is_connected_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second answer of the name server leads nowhere."""
    port = int(site.address.rpartition(":")[2])
    asked: list[str] = []
    real = socket.getaddrinfo

    def lying(host: str, *arguments: object, **more: object) -> object:
        if host != "rebound.example":
            return real(host, *arguments, **more)  # type: ignore[call-overload]
        asked.append(host)
        return [(2, 1, 6, "", ("127.0.0.1" if len(asked) == 1 else "10.9.9.9", port))]

    monkeypatch.setattr(socket, "getaddrinfo", lying)
    site.answers["/"] = (200, {}, b"here")
    fetcher = Fetcher(allow_private=True)
    assert fetcher.get(f"http://rebound.example:{port}/").body == b"here"
    assert asked == ["rebound.example"]
    fetcher.close()


def test_another_address_of_a_host_is_tried_where_one_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(site.address.rpartition(":")[2])
    real = socket.getaddrinfo

    def both(host: str, *arguments: object, **more: object) -> object:
        if host != "both.example":
            return real(host, *arguments, **more)  # type: ignore[call-overload]
        return [(10, 1, 6, "", ("::1", port, 0, 0)), (2, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    site.answers["/"] = (200, {}, b"here")
    fetcher = Fetcher(allow_private=True)
    assert fetcher.get(f"http://both.example:{port}/").body == b"here"
    fetcher.close()


def test_redirects_are_followed_and_a_permanent_one_is_told(site: Site, fetcher: Fetcher) -> None:
    site.answers |= {
        "/a": (301, {"Location": "/b"}, b""),
        "/b": (308, {"Location": f"{site.address}/c"}, b""),
        "/c": (200, {}, b"end"),
        "/t": (302, {"Location": "/c"}, b""),
    }
    answer = fetcher.get(f"{site.address}/a")
    assert (answer.body, answer.url, answer.moved_to) == (b"end", f"{site.address}/c", f"{site.address}/c")
    assert fetcher.get(f"{site.address}/t").moved_to == ""


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest", "http://[::1]/", "file:///etc/passwd", "gopher://x/", "ftp://x/y"]
)
def test_a_redirect_is_checked_like_the_first_address(target: str, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first server stands for a public one here."""
    real = check_address

    def first_is_public(address: str, *, allow_private: bool, setting: str) -> None:
        if address != "127.0.0.1":
            real(address, allow_private=allow_private, setting=setting)

    monkeypatch.setattr("net.fetch.check_address", first_is_public)
    site.answers["/"] = (302, {"Location": target}, b"")
    with closing(Fetcher()) as fetcher, pytest.raises(NotAllowed):
        fetcher.get(f"{site.address}/")


def test_redirects_that_go_on_for_ever_are_left(site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = (302, {"Location": "/"}, b"")
    with pytest.raises(NotAllowed, match="redirects"):
        fetcher.get(f"{site.address}/")
    assert len(site.asked) == MAX_REDIRECTS + 1


def test_a_secret_is_not_sent_on_to_another_host(site: Site, fetcher: Fetcher) -> None:
    port = site.address.rpartition(":")[2]
    site.answers |= {"/": (302, {"Location": f"http://localhost:{port}/there"}, b""), "/there": (200, {}, b"")}
    fetcher.get(f"{site.address}/", headers={"Authorization": "Bearer canary"})
    (_, first), (_, second) = site.asked
    assert first["authorization"] == "Bearer canary"
    assert "authorization" not in second


def test_a_body_that_is_too_large_is_not_read(site: Site, fetcher: Fetcher) -> None:
    site.answers["/?key=canary"] = (200, {}, b"x" * 1001)
    with pytest.raises(TooLarge, match="1,000 bytes") as told:
        fetcher.get(f"{site.address}/?key=canary", max_bytes=1000)
    assert "canary" not in str(told.value)
    assert len(fetcher.get(f"{site.address}/?key=canary", max_bytes=1001).body) == 1001


def test_what_is_shown_of_an_address_holds_no_key() -> None:
    assert shown("https://user:canary@host.example/path?key=canary#canary") == "https://host.example/path"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:canary@Host.example:8080/feed?key=canary", "http://host.example:8080/feed"),
        ("http://[::1]:8080/feed", "http://[::1]:8080/feed"),
        ("http://host.example:what/feed", "http://host.example:what/feed"),
    ],
)
def test_what_is_shown_of_an_address_has_its_port(url: str, said: str) -> None:
    assert shown(url) == said


def test_nobody_there_is_patience(fetcher: Fetcher) -> None:
    with Listening() as port:
        pass
    with pytest.raises(RetryLater, match=r"127\.0\.0\.1 cannot be reached"):
        fetcher.get(f"http://127.0.0.1:{port}/?key=canary")


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    later = (NOW + timedelta(seconds=90)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    assert retry_after({"retry-after": "7"}, NOW) == 7.0
    assert retry_after({"retry-after": later}, NOW) == 90.0
    assert retry_after({"retry-after": "99999999999"}, NOW) == 86_400.0
    assert retry_after({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, NOW) == 0.0
    assert [retry_after({"retry-after": value}, NOW) for value in ("soon", "-5", "")] == [None, None, None]
    assert retry_after({}, NOW) is None


def asker(fetcher: Fetcher) -> Asker:
    return Asker(
        fetcher, setting="source.x.token", page="docs/sources/x.md", backoff=Backoff(first_seconds=8, least_seconds=8)
    )


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_names_the_setting_and_its_page(status: int, site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = (status, {}, b"")
    with pytest.raises(ConfigError, match=rf"source\.x\.token: 127\.0\.0\.1 refuses it \({status}\); see docs/sources"):
        asker(fetcher).ask(f"{site.address}/")


def test_patience_is_what_the_server_asks_and_grows_where_it_asks_nothing(site: Site, fetcher: Fetcher) -> None:
    asks = asker(fetcher)
    site.answers["/"] = (429, {"Retry-After": "100"}, b"")
    with pytest.raises(RetryLater) as asked:
        asks.ask(f"{site.address}/")
    assert asked.value.after_seconds == 100.0
    site.answers["/"] = (503, {}, b"")
    waits = []
    for _ in range(40):
        with pytest.raises(RetryLater) as climbing:
            asks.ask(f"{site.address}/")
        waits.append(climbing.value.after_seconds)
    assert max(waits) > 8.0
    assert min(waits) >= 8.0


@pytest.mark.parametrize("body", [b"<html>", b"", b"[" * 100_000, b"\xff\xfe{"])
def test_what_is_no_json_is_patience(body: bytes, site: Site, fetcher: Fetcher) -> None:
    site.answers["/"] = (200, {}, body)
    with pytest.raises(RetryLater):
        asker(fetcher).ask_json(f"{site.address}/")
    site.answers["/"] = (200, {}, json.dumps({"a": 1}).encode())
    assert asker(fetcher).ask_json(f"{site.address}/") == {"a": 1}


def test_what_the_client_says_of_a_header_is_not_told(site: Site, fetcher: Fetcher) -> None:
    with pytest.raises(RetryLater) as told:
        fetcher.get(f"{site.address}/", headers={"Authorization": "Bearer canary\r"})
    assert "canary" not in str(told.value)
