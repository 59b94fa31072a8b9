"""WebSocket connections that sources listen on: guarded as fetching is, bounded in the size of what comes.

A host is resolved once and the connection goes to the address that was checked; TLS still checks the name. No redirect
is followed, no compression is offered, and nothing is read from proxy variables of the environment.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from time import monotonic
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from domain.errors import RetryLater
from ingest.web import USER_AGENT, Answer, NotAllowed, resolve, shown
from net.failure import connection_failure

TIMEOUT_SECONDS = 10.0
# Whoever does not answer our goodbye is left without it.
_CLOSE_SECONDS = 0.5
# Messages that wait to be read, at most so many and about so many bytes; what comes after waits in the network.
_QUEUED = 64
_QUEUED_BYTES = 32 * 1024 * 1024
_TOO_LARGE = 1009
_REASON_CHARS = 80


class Closed(Exception):
    """The connection has ended. The message says how, in a few words that hold no text of a message.

    `too_large`: a message of more bytes than allowed ended it.
    """

    def __init__(self, message: str, *, too_large: bool = False) -> None:
        self.too_large = too_large
        super().__init__(message)


class Refused(Exception):
    """The server answered, and not with a connection: `answer` is what it said."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(f"status {answer.status}")


class WebSocket:
    """An open connection that is read. Not thread-safe."""

    def __init__(self, stack: ExitStack, connection: ClientConnection) -> None:
        self._stack, self._connection = stack, connection

    def receive(self, wait_seconds: float) -> bytes | None:
        """Give the next message, text or binary, as bytes; None when none came in time.

        Args:
            wait_seconds: 0 gives only what has come already.

        Raises:
            Closed: the connection has ended, also by a message that is too large or compressed. What came before it
                was given.
        """
        try:
            return self._connection.recv(wait_seconds, decode=False)
        except TimeoutError:
            return None
        except ConnectionClosed as exc:
            too_large = exc.sent is not None and exc.sent.code == _TOO_LARGE
            raise Closed(_how(exc), too_large=too_large) from exc

    def receive_many(self, most: int, wait_seconds: float, linger_seconds: float = 0.0) -> list[bytes]:
        """Give the next messages, at most `most`; none when nothing came within `wait_seconds`.

        After the first it waits `linger_seconds` for more, so that whoever settles them in batches has fewer to settle.

        Raises:
            Closed: as `receive`, once everything that came before it was given.
        """
        first = self.receive(wait_seconds)
        if first is None:
            return []
        messages = [first]
        until = monotonic() + linger_seconds
        # That the connection has ended is said by the next call.
        with suppress(Closed):
            while len(messages) < most and (message := self.receive(max(0.0, until - monotonic()))) is not None:
                messages.append(message)
        return messages

    def close(self) -> None:
        """Let go of it."""
        self._stack.close()


def _connected(addresses: Sequence[str], port: int, timeout_seconds: float) -> socket.socket:
    """Connect to the first address that answers: a host of two kinds is reached where only one of them is."""
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), timeout_seconds)
    return socket.create_connection((addresses[-1], port), timeout_seconds)


def open_websocket(
    url: str,
    *,
    max_bytes: int,
    allow_private: bool = False,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> WebSocket:
    """Connect.

    Args:
        url: ws or wss.
        max_bytes: of one message; a larger one ends the connection.
        allow_private: whether addresses of private networks are allowed.
        headers: beside our own.
        subprotocols: offered, in order of preference; the server may choose none.
        timeout_seconds: for resolving and TCP, and again for TLS and the handshake.

    Raises:
        NotAllowed: the address may not be connected to.
        RetryLater: nobody answered, or not as a WebSocket server does.
        Refused: the server answered with another status than 101.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise NotAllowed(f"{shown(url)}: only ws and wss are connected to")
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    stack = ExitStack()
    try:
        addresses = resolve(parts.hostname, port, allow_private=allow_private)
        sock = stack.enter_context(_connected(addresses, port, timeout_seconds))
        connection = stack.enter_context(
            connect(
                url,
                sock=sock,
                subprotocols=[Subprotocol(name) for name in subprotocols] or None,
                compression=None,
                additional_headers=dict(headers or {}),
                user_agent_header=USER_AGENT,
                proxy=None,
                open_timeout=timeout_seconds,
                # What is listened to is never silent for long: its reader watches the messages themselves.
                ping_interval=None,
                close_timeout=_CLOSE_SECONDS,
                max_size=max_bytes,
                max_queue=max(1, min(_QUEUED, _QUEUED_BYTES // max_bytes)),
                logger=logging.getLogger(__name__),
            )
        )
    except InvalidStatus as exc:
        stack.close()
        response = exc.response
        answer = Answer(response.status_code, _names(response.headers), bytes(response.body or b""), url)
        raise Refused(answer) from exc
    except (OSError, EOFError, ValueError, WebSocketException) as exc:
        stack.close()
        raise RetryLater(f"{parts.hostname} cannot be reached: {_why(exc)}", 1.0) from exc
    except BaseException:
        stack.close()
        raise
    return WebSocket(stack, connection)


def _names(headers: Headers) -> dict[str, str]:
    pairs: Iterable[tuple[str, str]] = headers.raw_items()
    return {name.lower(): value for name, value in pairs}


def _why(error: Exception) -> str:
    if isinstance(error.__cause__ or error.__context__, InvalidStatus):
        # The client would go after it, were it not for the address that was checked.
        return "it answers with a redirect, which is not followed"
    return connection_failure(error)


def _how(error: ConnectionClosed) -> str:
    """Say who ended the connection, with which code; a reason of the server's is shown as ASCII and cut."""
    if error.rcvd is not None and not (error.sent is not None and error.rcvd_then_sent is False):
        who, close = "the server closed the connection", error.rcvd
    elif error.sent is not None:
        who, close = "the connection was given up", error.sent
    else:
        return "the connection was cut off"
    reason = ascii(close.reason)[1:-1][:_REASON_CHARS]
    return f"{who} ({int(close.code)}{' ' + reason if reason else ''})"
