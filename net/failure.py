"""Why something failed, in words of people: no names of types, and nothing that a message of a client may quote."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from typing import Final

# What is said of a fault that nobody thought of; whoever says it has the log tell type and place.
UNEXPECTED: Final = "failed on something that it did not expect; the log of the program says where"
_MOST_CAUSES: Final = 10
_BUILT_IN: Final = (
    (socket.gaierror, "its name cannot be looked up"),
    (ConnectionRefusedError, "nobody listens there"),
    (ConnectionError, "the connection was cut off"),
    (TimeoutError, "no answer in time"),
    (ssl.SSLError, "no encrypted connection could be made"),
    (EOFError, "the connection was cut off"),
)
# Kinds of clients, by what their names have in common, so that no client is imported here.
_BY_NAME: Final = (
    ("Timeout", "no answer in time"),
    ("Protocol", "the answer does not keep to the protocol"),
    ("Handshake", "the answer does not keep to the protocol"),
    ("Message", "the answer does not keep to the protocol"),
    ("ReadError", "the connection was cut off"),
    ("WriteError", "the connection was cut off"),
)


def connection_failure(error: BaseException) -> str:
    """Say why a host was not reached, by the error or whatever caused it; never empty."""
    chain = tuple(_chain(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({ascii(cause.verify_message)[1:-1][:100]})"
    for cause in reversed(chain):
        for kind, words in _BUILT_IN:
            if isinstance(cause, kind):
                return words
        if isinstance(cause, OSError) and type(cause).__module__ == "builtins" and cause.strerror:
            # Of the operating system, in its words: "Network is unreachable".
            return cause.strerror[:1].lower() + cause.strerror[1:]
    for cause in chain:
        for part, words in _BY_NAME:
            if part in type(cause).__name__:
                return words
    return "the connection failed"


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Give an error and what caused it, the first cause last."""
    found: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__
