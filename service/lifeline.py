"""The tie between the supervisor and a child: settings come in on standard input, which then stays open as a lifeline.

The kernel closes the supervisor's end when it ends, however it ends (`kill -9` too), and the child stops.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import IO

# A stage finishes the batch under way when it is told to stop; this long is far beyond one batch.
GRACE_SECONDS = 30.0


def send_task(stream: IO[bytes], task: bytes) -> None:
    """Supervisor: hand a child its task on its standard input, which the caller keeps open."""
    stream.write(len(task).to_bytes(8, "big") + task)
    stream.flush()


def receive_task() -> bytes:
    """Child: take the task from standard input.

    Raises:
        EOFError: the supervisor is gone already.
    """
    header = os.read(0, 8)
    wanted = int.from_bytes(header, "big")
    parts: list[bytes] = []
    while wanted and header:
        part = os.read(0, wanted)
        if not part:
            break
        parts.append(part)
        wanted -= len(part)
    if not parts or wanted:
        raise EOFError("the supervisor ended before it gave this child its task")
    return b"".join(parts)


def hold() -> None:
    """Child: from now on, stop like on SIGTERM when the supervisor is gone, and end for good after a grace time."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(GRACE_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()


def announce_ready() -> None:
    """Child: tell the supervisor that it can be used."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
