"""One server process: started, stopped, killed, paused and started again with the same data and port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

GUARD = Path(__file__).with_name("guard.py")
# A JVM on a machine that is busy with other things may need this long; an idle one needs under ten seconds.
START_SECONDS = 180.0
STOP_SECONDS = 30.0
# Of the server's own log, shown when it does not start.
SHOWN_LINES = 60


class ServerFailed(Exception):
    """A server could not be found, started or stopped; the message ends with what its log says."""


def free_port() -> int:
    """Give a port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class ServerProcess:
    """A server in a folder of its own.

    `is_ready` is asked until it says yes; `starts` counts the starts and names the log file of each.
    """

    name: str
    folder: Path
    command: Sequence[str]
    is_ready: Callable[[ServerProcess], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    starts: int = 0
    _guard: subprocess.Popen[bytes] | None = None
    _group: int = 0

    @property
    def log_path(self) -> Path:
        """Where the server writes what it says since its last start."""
        return self.folder / f"{self.name}-{self.starts}.log"

    @property
    def running(self) -> bool:
        return self._guard is not None and self._guard.poll() is None

    @property
    def pid(self) -> int:
        """The first process of the server's process group."""
        return self._group

    def start(self) -> None:
        """Start the server and wait until it can be used.

        Raises:
            ServerFailed: it ended, or was not ready in time; with the end of its log.
        """
        if self.running:
            raise ValueError(f"{self.name} runs already")
        self.starts += 1
        with self.log_path.open("wb") as log:
            self._guard = subprocess.Popen(
                [sys.executable, str(GUARD), self.user, str(self.folder), *self.command],
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self.environment},
                # Not the terminal's group: Ctrl-C is for the one who started us.
                start_new_session=True,
            )
        assert self._guard.stdout is not None
        self._group = int(self._guard.stdout.readline() or 0)
        deadline = time.monotonic() + START_SECONDS
        while not self.is_ready(self):
            ended = self._guard.poll()
            if ended is not None or time.monotonic() > deadline:
                self.kill()
                what = "was not ready in time" if ended is None else f"ended with exit code {ended}"
                raise ServerFailed(f"{self.name} {what}; the end of its log:\n{self.log_end()}")
            time.sleep(0.1)

    def log_end(self) -> str:
        """Give the last lines of the server's log."""
        with suppress(OSError):
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-SHOWN_LINES:])
        return "(no log)"

    def stop(self) -> None:
        """Ask the server to end and wait for it; its data stays. Stopping twice is fine."""
        if not self.running:
            self._forget()
            return
        self._signal(signal.SIGTERM)
        # A paused one must run to hear it.
        self._signal(signal.SIGCONT)
        assert self._guard is not None
        try:
            self._guard.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._forget()

    def kill(self) -> None:
        """End the server as a power cut would, as far as a signal can."""
        self._signal(signal.SIGKILL)
        if self._guard is not None:
            self._guard.wait(STOP_SECONDS)
        self._forget()

    def pause(self) -> None:
        """Stop the server's processes where they are: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start again, with the same data and port."""
        self.stop()
        self.start()

    def _signal(self, number: int) -> None:
        if self._group:
            with suppress(ProcessLookupError):
                os.killpg(self._group, number)

    def _forget(self) -> None:
        if self._guard is not None:
            for pipe in (self._guard.stdin, self._guard.stdout):
                if pipe is not None:
                    pipe.close()
            self._guard.wait()
        self._guard, self._group = None, 0


def new_folder(name: str) -> Path:
    """Make a folder for one server's data and logs; others may enter it, as the server may run as another user."""
    folder = Path(tempfile.mkdtemp(prefix=f"soundings-{name}-"))
    folder.chmod(0o755)
    return folder


def remove(folder: Path) -> None:
    """Remove a server's folder."""
    shutil.rmtree(folder, ignore_errors=True)
