"""The control socket: how a command hands its work to the pipeline that already runs on a data folder.

JSON lines over a Unix socket that only its owner may open. A client sends one request; the server answers with any
number of `{"progress": ...}` lines, then one `{"result": ...}` or `{"error": ...}`. A client that goes away
cancels its request.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from domain.errors import BackendDown, Busy, ConfigError, ServiceError

log = logging.getLogger(__name__)

Request = Mapping[str, Any]
Report = Callable[[Mapping[str, Any]], None]
Handler = Callable[[Request, Report], Mapping[str, Any]]

# Linux holds 108 bytes of a socket's path, macOS 104, the closing NUL among them.
MAX_SOCKET_PATH_BYTES = 103
MAX_LINE_BYTES = 1 << 20
# The server reports progress at least every second; this long without any means that it hangs.
ANSWER_TIMEOUT_SECONDS = 60.0
_ACCEPT_POLL_SECONDS = 0.2
_MAX_CLIENTS = 16

_KINDS: dict[str, type[ServiceError]] = {"config": ConfigError, "busy": Busy, "down": BackendDown}


class ClientGone(ServiceError):
    """Whoever asked is no longer there: the work may stop."""


def _socket_path(root: Path) -> Path:
    """Give where the socket of a data folder is, for a client."""
    pointer = root / "control.path"
    with contextlib.suppress(OSError):
        return Path(pointer.read_text(encoding="utf-8"))
    return root / "control.sock"


def _encode(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode("ascii") + b"\n"


def _error(exc: ServiceError) -> Mapping[str, Any]:
    kind = next((name for name, cls in _KINDS.items() if isinstance(exc, cls)), "down")
    lines = list(exc.problems) if isinstance(exc, ConfigError) else [str(exc)]
    return {"error": {"kind": kind, "lines": lines}}


class ControlServer:
    """Answers requests by name, each in its own thread; the handlers decide what may run together."""

    def __init__(self, root: Path, handlers: Mapping[str, Handler]) -> None:
        """Listen in the data folder `root`, whose lock the caller holds: what is left of an earlier server goes.

        Raises:
            BackendDown: the socket cannot be made.
        """
        self._handlers = dict(handlers)
        self._pointer = root / "control.path"
        self._elsewhere: Path | None = None
        self._stopping = threading.Event()
        self._clients = threading.BoundedSemaphore(_MAX_CLIENTS)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = root / "control.sock"
        try:
            self._pointer.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
            if len(os.fsencode(self._path)) > MAX_SOCKET_PATH_BYTES:
                # mkdtemp's folder is its owner's alone, so nobody can put another socket in its place.
                self._elsewhere = Path(tempfile.mkdtemp(prefix="soundings-"))
                self._path = self._elsewhere / "control.sock"
                self._pointer.write_text(str(self._path), encoding="utf-8")
            before = os.umask(0o177)
            try:
                self._socket.bind(str(self._path))
            finally:
                os.umask(before)
            self._socket.listen(_MAX_CLIENTS)
        except OSError as exc:
            self._socket.close()
            raise BackendDown(f"{self._path}: the control socket cannot be made: {exc.strerror or exc}") from exc
        self._socket.settimeout(_ACCEPT_POLL_SECONDS)
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                client, _ = self._socket.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            if not self._clients.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), name="control-client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client:
                client.settimeout(ANSWER_TIMEOUT_SECONDS)
                with contextlib.suppress(OSError, ClientGone):
                    client.sendall(_encode(self._answer(client)))
        finally:
            self._clients.release()

    def _answer(self, client: socket.socket) -> Mapping[str, Any]:
        def report(progress: Mapping[str, Any]) -> None:
            if self._stopping.is_set():
                raise BackendDown("the pipeline is stopping; nothing is lost: run the same command again to go on")
            try:
                client.sendall(_encode({"progress": progress}))
            except OSError as exc:
                raise ClientGone("the client is gone") from exc

        with client.makefile("rb") as lines:
            line = lines.readline(MAX_LINE_BYTES)
        try:
            request = json.loads(line)
            handler = self._handlers[request["command"]]
        except (ValueError, KeyError, TypeError):
            return _error(ConfigError("the running pipeline does not know this command; is it of another version?"))
        try:
            return {"result": handler(request, report)}
        except ClientGone:
            raise
        except ServiceError as exc:
            return _error(exc)
        except Exception:
            log.exception("control request failed")
            return _error(BackendDown("the running pipeline failed on this command; its log says why"))

    def close(self) -> None:
        """Stop listening, tell running requests to stop, and remove the socket."""
        self._stopping.set()
        self._thread.join()
        self._socket.close()
        self._path.unlink(missing_ok=True)
        self._pointer.unlink(missing_ok=True)
        if self._elsewhere is not None:
            shutil.rmtree(self._elsewhere, ignore_errors=True)


class ControlClient:
    """One request to a running pipeline."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, root: Path) -> ControlClient | None:
        """Reach the pipeline that runs on a data folder, or give None where none answers."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(ANSWER_TIMEOUT_SECONDS)
        try:
            connection.connect(str(_socket_path(root)))
        except OSError:
            # Missing, left behind by a kill, or too long a path for a socket: nobody listens there.
            connection.close()
            return None
        return cls(connection)

    def ask(self, request: Request, report: Report) -> Mapping[str, Any]:
        """Send a request, hand on its progress and give its result.

        Raises:
            ConfigError, Busy, BackendDown: as the pipeline raised it, or BackendDown when it went away.
        """
        gone = "the running pipeline went away; nothing is lost: run the same command again to go on"
        try:
            self._connection.sendall(_encode(request))
            for message in self._messages():
                if "progress" in message:
                    report(message["progress"])
                elif "error" in message:
                    error = message["error"]
                    kind = _KINDS[error["kind"]]
                    raise ConfigError(error["lines"]) if kind is ConfigError else kind("\n".join(error["lines"]))
                else:
                    result: Mapping[str, Any] = message["result"]
                    return result
        except TimeoutError as exc:
            raise BackendDown(f"the running pipeline has not answered for {ANSWER_TIMEOUT_SECONDS:.0f} s") from exc
        except (OSError, ValueError, KeyError) as exc:
            raise BackendDown(gone) from exc
        raise BackendDown(gone)

    def _messages(self) -> Iterator[Mapping[str, Any]]:
        with self._connection.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)

    def close(self) -> None:
        """Hang up; a request under way is cancelled."""
        self._connection.close()
