"""Fetching over HTTP for sources: guarded against private addresses, bounded in size and time.

A host is resolved once, all its addresses are checked, and the connection goes to one that was checked, so that no
second answer of a name server leads elsewhere. Every redirect is checked again. Nothing is read from proxy variables of
the environment.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpcore

from domain.clock import Clock, SystemClock
from domain.errors import ConfigError, RetryLater
from ingest.backoff import Backoff
from ingest.failure import connection_failure

USER_AGENT = "Soundings (self-hosted social listening)"
MAX_REDIRECTS = 5
MAX_BODY_BYTES = 10 * 1024 * 1024
TIMEOUT_SECONDS = 20.0
# A server that sends a byte now and then keeps within every single timeout.
TOTAL_SECONDS = 120.0
# A host that asks for a day is asked again tomorrow, not next year.
MAX_RETRY_AFTER_SECONDS = 86_400.0
# Stands in an address as it is.
_KEPT = "%:@!$&'()*+,;=~-._"
_REDIRECTS = (301, 302, 303, 307, 308)
# They hold secrets, and belong to the host that they were meant for.
_SECRET_HEADERS = ("authorization", "x-goog-api-key")


class NotAllowed(Exception):
    """An address that may not be fetched. The message says which, and what would allow it."""


class TooLarge(Exception):
    """A body of more bytes than allowed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said. Names of `headers` are in lower case; `url` is the last one after redirects.

    `moved_to` is where all redirects on the way were permanent, else "".
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str
    moved_to: str = ""


def check_address(address: str, *, allow_private: bool) -> None:
    """See that an address of the network may be connected to.

    Raises:
        NotAllowed: it is private, loopback, link-local, multicast or reserved.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found.sixtofour or found
        if isinstance(found, ipaddress.IPv6Address) and found in _NAT64:
            found = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
    if not allow_private and (not found.is_global or found.is_multicast):
        raise NotAllowed(f"{address} is a private address; sources.allow_private = true would allow it")


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def resolve(host: str, port: int, *, allow_private: bool) -> tuple[str, ...]:
    """Give the addresses of a host, in the order to try them in; all of them may be connected to.

    Raises:
        NotAllowed: one of them may not.
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        check_address(address, allow_private=allow_private)
    return addresses


class _Guarded(httpcore.SyncBackend):
    """Connects to addresses that were checked; TLS still checks the name."""

    def __init__(self, allow_private: bool) -> None:
        self._allow_private = allow_private

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port, allow_private=self._allow_private)
        except OSError as exc:
            raise httpcore.ConnectError(str(exc.strerror or exc)) from exc
        # A host of two kinds of addresses is reached where only one of them is.
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class Fetcher:
    """Fetches addresses, keeping connections. Thread-safe."""

    def __init__(self, *, allow_private: bool = False, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._timeout = timeout_seconds
        self._pool = httpcore.ConnectionPool(
            max_connections=16, keepalive_expiry=30.0, network_backend=_Guarded(allow_private)
        )

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BODY_BYTES,
        method: str = "GET",
        body: bytes | None = None,
    ) -> Answer:
        """Fetch an address, following redirects.

        Args:
            url: http or https.
            headers: beside our own; those that hold secrets are not sent on to another host.
            max_bytes: of the body as it comes; it is asked for without compression.
            method: of the first request.
            body: to send with it.

        Raises:
            NotAllowed: the address, or one on the way, may not be fetched.
            TooLarge: the body.
            RetryLater: nobody answered, or not in time.
        """
        permanent, here = True, url
        for _ in range(MAX_REDIRECTS + 1):
            answer = self._ask(method, here, url, headers or {}, max_bytes, body)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target:
                moved = here if permanent and here != url else ""
                return Answer(answer.status, answer.headers, answer.body, here, moved)
            permanent = permanent and answer.status in (301, 308)
            here = urljoin(here, target)
            if answer.status == 303:
                method, body = "GET", None
        raise NotAllowed(f"{shown(url)}: more than {MAX_REDIRECTS} redirects")

    def _ask(
        self, method: str, url: str, first: str, headers: Mapping[str, str], max_bytes: int, body: bytes | None
    ) -> Answer:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise NotAllowed(f"{shown(url)}: only http and https are fetched")
        sent = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if parts.netloc != urlsplit(first).netloc:
            sent = {name: value for name, value in sent.items() if name.lower() not in _SECRET_HEADERS}
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)
        try:
            with self._pool.stream(
                method, _ascii(url), headers=list(sent.items()), content=body, extensions={"timeout": timeout}
            ) as response:
                return Answer(response.status, _names(response.headers), _limited(response, max_bytes, url), url)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as exc:
            raise RetryLater(f"{parts.hostname} cannot be reached: {connection_failure(exc)}", 1.0) from exc
        except UnicodeError as exc:
            raise NotAllowed(f"{shown(url)}: is no address") from exc

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.close()


def _ascii(url: str) -> str:
    """Write an address in ASCII: its host by IDNA, the rest percent-encoded."""
    parts = urlsplit(url)
    host = (parts.hostname or "").encode("idna").decode("ascii")
    host = f"[{host}]" if ":" in host else host
    port = f":{parts.port}" if parts.port is not None else ""
    path, query = quote(parts.path, safe="/" + _KEPT), quote(parts.query, safe="/?" + _KEPT)
    return urlunsplit((parts.scheme, host + port, path, query, ""))


def shown(url: str) -> str:
    """Give an address as it may be shown: with its port, without its query, which may hold a key, and cut."""
    parts = urlsplit(url)
    # Not by `port`, which fails on one that is none; what stands before "@" may be a password.
    host = parts.netloc.rpartition("@")[2].lower()
    return ascii(f"{parts.scheme}://{host}{parts.path}"[:200])[1:-1]


def _names(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _limited(response: httpcore.Response, max_bytes: int, url: str) -> bytes:
    parts: list[bytes] = []
    size, until = 0, monotonic() + TOTAL_SECONDS
    for part in response.iter_stream():
        if monotonic() > until:
            raise RetryLater(f"{urlsplit(url).hostname} takes more than {TOTAL_SECONDS:.0f} s for one answer", 1.0)
        size += len(part)
        if size > max_bytes:
            raise TooLarge(f"{shown(url)}: more than {max_bytes:,} bytes")
        parts.append(part)
    return b"".join(parts)


def retry_after(headers: Mapping[str, str], now: datetime) -> float | None:
    """Give the seconds that `Retry-After` asks for, as a number or a date; None where it says nothing sensible."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
        except (TypeError, ValueError):
            return None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


class Asker:
    """Asks one service over HTTP and turns what it refuses into our errors, waiting longer each time. Not thread-safe.

    `setting` and `page` are named where a key is missing or wrong.
    """

    def __init__(
        self, fetcher: Fetcher, *, setting: str, page: str, clock: Clock | None = None, backoff: Backoff | None = None
    ) -> None:
        self._fetcher, self._setting, self._page = fetcher, setting, page
        self._clock = clock or SystemClock()
        self._backoff = backoff or Backoff(first_seconds=1.0, most_seconds=300.0)
        # The last answer could not be read.
        self._unread = False

    def ask(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BODY_BYTES,
        taken: Collection[int] = (),
    ) -> Answer:
        """Give an answer of status 2xx, 304, 400, 404 or 410, or of one in `taken`.

        Raises:
            RetryLater: no answer, 429 or 5xx: after what `Retry-After` says, else by the ladder.
            ConfigError: 401 or 403, or an address that may not be fetched.
        """
        host = urlsplit(url).hostname
        try:
            answer = self._fetcher.get(url, headers=headers, max_bytes=max_bytes)
        except RetryLater as exc:
            raise RetryLater(str(exc), self._backoff.next()) from exc
        except (NotAllowed, TooLarge) as exc:
            raise ConfigError(str(exc)) from exc
        if answer.status in (401, 403) and answer.status not in taken:
            raise ConfigError(f"{self._setting}: {host} refuses it ({answer.status}); see {self._page}")
        if answer.status == 429 or answer.status >= 500:
            wait = retry_after(answer.headers, self._clock.now())
            climbed = self._backoff.next()
            raise RetryLater(f"{host} answers {answer.status}", climbed if wait is None else max(wait, climbed))
        if not self._unread:
            self._backoff.reset()
        return answer

    def ask_json(self, url: str, *, headers: Mapping[str, str] | None = None, max_bytes: int = MAX_BODY_BYTES) -> Any:
        """Give what an answer of status 200 says in JSON.

        Raises:
            RetryLater, ConfigError: as `ask`; RetryLater also where it is of another status or cannot be read.
        """
        return self.read_json(self.ask(url, headers=headers, max_bytes=max_bytes))

    def read_json(self, answer: Answer) -> Any:
        """Give what an answer of status 200 says in JSON.

        Raises:
            RetryLater: it is of another status or cannot be read.
        """
        if answer.status != 200:
            raise self.unreadable(f"{urlsplit(answer.url).hostname} answers {answer.status}")
        try:
            found = json.loads(answer.body)
        except (ValueError, RecursionError) as exc:
            raise self.unreadable(f"{urlsplit(answer.url).hostname} gave something else than JSON") from exc
        self.understood()
        return found

    def understood(self) -> None:
        """What an answer said could be read: the next wait is a short one again."""
        self._unread = False
        self._backoff.reset()

    def unreadable(self, message: str) -> RetryLater:
        """Give the error for an answer that came and says nothing: the wait grows until one could be read."""
        self._unread = True
        return RetryLater(message, self._backoff.next())
