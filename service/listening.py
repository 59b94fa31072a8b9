"""Ports: taken at the start, so that a busy one is told at once."""

from __future__ import annotations

import errno
import socket
from argparse import ArgumentTypeError

from domain.errors import Busy, ConfigError

# Connections that wait while what serves them starts again.
_BACKLOG = 128


def port_number(text: str) -> int:
    """Read a port from the command line."""
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise ArgumentTypeError(f"found {text!r}, expected a port from 0 to 65535")
    return int(text)


def listen(host: str, port: int, setting: str = "web.port") -> socket.socket:
    """Take the port now, so that a busy one is told at once and a restarted page keeps it.

    Raises:
        Busy: somebody else listens there.
        ConfigError: the address cannot be used.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as exc:
        listening.close()
        place = f"{host}:{port}"
        if exc.errno == errno.EADDRINUSE:
            raise Busy(
                f"{place}: another program listens there; set {setting} to another port, or to 0 for a free one"
            ) from exc
        raise ConfigError(f"{place}: cannot listen there: {exc.strerror}; see {setting}") from exc
    return listening


def address_of(listening: socket.socket) -> str:
    """Give the address of a socket that listens."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
