"""The process that feeds are read in: started when it is needed, and again after one that was too much for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

from ingest.feed_entry import Feed

# A real feed of 10 MB takes some seconds.
PARSE_SECONDS = 30


class Unreadable(Exception):
    """The bytes are no feed that can be used; the message says why, and goes on after the feed's address."""


class FeedProcess:
    """Reads feeds in a child process, one at a time, each within `seconds`. Thread-safe."""

    def __init__(self, seconds: int = PARSE_SECONDS) -> None:
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def parse(self, body: bytes, content_type: str, base: str) -> Feed:
        """As `ingest.feed.parse_feed`, within its time and memory.

        Raises:
            Unreadable: it is no feed, or takes too long.
        """
        header = json.dumps({"length": len(body), "content_type": content_type, "base": base}).encode("ascii")
        with self._lock:
            line = self._exchange(header + b"\n", body)
        if not line.endswith(b"\n"):
            raise Unreadable("it takes too long or too much memory to read")
        found = json.loads(line)
        if "refused" in found:
            raise Unreadable(found["refused"])
        return Feed.from_json(found)

    def _exchange(self, header: bytes, body: bytes) -> bytes:
        process = self._process = self._process or _start(self._seconds)
        if self._closed:
            # Asked only now: `close` either saw the process, or was seen here.
            self._end()
            return b""
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process has no pipes")
        try:
            process.stdin.write(header)
            process.stdin.write(body)
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            self._end()
        return line

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def close(self) -> None:
        """End the process; what is being read in it is given up."""
        self._closed = True
        if (process := self._process) is not None:
            # Whoever waits for its answer goes on, and lets go of the lock.
            process.kill()
        with self._lock:
            self._end()


def _start(seconds: int) -> subprocess.Popen[bytes]:
    # It needs nothing of our environment, which may hold secrets.
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    return subprocess.Popen(  # noqa: S603  our own interpreter and module
        [sys.executable, "-P", "-m", "ingest.feed", str(seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": path, "PATH": os.environ.get("PATH", "")},
        start_new_session=True,
    )
