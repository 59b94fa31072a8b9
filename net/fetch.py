"""Fetching over HTTP: guarded against private addresses, bounded in size and time.

A host is resolved once, all its addresses are checked, and the connection goes to one that was checked, so that no
second answer of a name server leads elsewhere. Every redirect is checked again. Nothing is read from proxy variables of
the environment.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

import httpcore

from domain.errors import RetryLater
from net.failure import connection_failure

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
# What would allow a private address to be fetched, for the message of one that is refused.
SOURCES_SETTING = "sources.allow_private"
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


def check_address(address: str, *, allow_private: bool, setting: str = SOURCES_SETTING) -> None:
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
        raise NotAllowed(f"{address} is a private address; {setting} = true would allow it")


def is_web(url: str) -> bool:
    """Tell whether it is an address that can be fetched: of http or https, with a host."""
    try:
        parts = urlsplit(url)
        # Reading the port fails where it is no number.
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and url.isprintable()
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Tell whether an address surely leads to a private network, by itself and without asking for a name."""
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    try:
        check_address(host, allow_private=False)
    except NotAllowed:
        return True
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    return False


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def resolve(host: str, port: int, *, allow_private: bool, setting: str = SOURCES_SETTING) -> tuple[str, ...]:
    """Give the addresses of a host, in the order to try them in; all of them may be connected to.

    Raises:
        NotAllowed: one of them may not.
        OSError: the name is not known.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = tuple(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        check_address(address, allow_private=allow_private, setting=setting)
    return addresses


class _Guarded(httpcore.SyncBackend):
    """Connects to addresses that were checked; TLS still checks the name."""

    def __init__(self, allow_private: bool, setting: str) -> None:
        self._allow_private, self._setting = allow_private, setting

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port, allow_private=self._allow_private, setting=self._setting)
        except OSError as exc:
            raise httpcore.ConnectError(str(exc.strerror or exc)) from exc
        # A host of two kinds of addresses is reached where only one of them is.
        for address in addresses[:-1]:
            with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
        return super().connect_tcp(addresses[-1], port, timeout, local_address, socket_options)


class Fetcher:
    """Fetches addresses, keeping connections. Thread-safe.

    `setting` is named where a private address is refused.
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        timeout_seconds: float = TIMEOUT_SECONDS,
        setting: str = SOURCES_SETTING,
    ) -> None:
        self._timeout = timeout_seconds
        self._pool = httpcore.ConnectionPool(
            max_connections=16, keepalive_expiry=30.0, network_backend=_Guarded(allow_private, setting)
        )

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BODY_BYTES,
        method: str = "GET",
        body: bytes | None = None,
        redirects: int = MAX_REDIRECTS,
    ) -> Answer:
        """Fetch an address, following redirects.

        Args:
            url: http or https.
            headers: beside our own; those that hold secrets are not sent on to another host.
            max_bytes: of the body as it comes; it is asked for without compression.
            method: of the first request.
            body: to send with it.
            redirects: followed at most; with 0 an answer that leads elsewhere is given as it is.

        Raises:
            NotAllowed: the address, or one on the way, may not be fetched.
            TooLarge: the body.
            RetryLater: nobody answered, or not in time.
        """
        permanent, here = True, url
        for _ in range(redirects + 1):
            answer = self._ask(method, here, url, headers or {}, max_bytes, body)
            target = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not target or redirects == 0:
                moved = here if permanent and here != url else ""
                return Answer(answer.status, answer.headers, answer.body, here, moved)
            permanent = permanent and answer.status in (301, 308)
            here = urljoin(here, target)
            if answer.status == 303:
                method, body = "GET", None
        raise NotAllowed(f"{shown(url)}: more than {redirects} redirects")

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
