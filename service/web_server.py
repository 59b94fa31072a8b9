"""Serving the dashboard over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from dashboard.app import Application

# Requests under way get this long when the page stops; the pages ask again by themselves.
GRACE_SECONDS = 5


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Whoever runs us listens to signals: the library would end the process by the signal once more.
        yield


class WebServer:
    """Serves an application on a socket that listens already."""

    def __init__(self, app: Application, ready: Callable[[], None]) -> None:
        """Prepare; `ready` is called once requests are answered."""
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            # Its lines go where ours go.
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            # What a client says about its address or scheme is not believed; `dashboard.access` knows the proxies.
            proxy_headers=False,
        )
        self._server = _Server(config, ready)

    def serve(self, listening: socket.socket) -> None:
        """Answer until `stop`."""
        self._server.run(sockets=[listening])

    def stop(self) -> None:
        """End serving; requests under way are answered. May be called from a signal handler, and before `serve`."""
        self._server.should_exit = True
