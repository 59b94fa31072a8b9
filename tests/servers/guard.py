"""Runs a server for a process that may die at any moment: when that one ends, however it ends, so does the server.

Run as a program: `guard.py USER FOLDER COMMAND ...`. Standard input is the lifeline: the kernel closes it with the
process that holds the other end. The server gets a process group of its own, whose number is the first line printed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress


def main(user: str, folder: str, command: list[str]) -> int:
    """Run the command until it ends, and give its exit code; or until the lifeline does, and remove its folder.

    `user` "" is the current one.
    """
    # Ctrl-C in a terminal reaches the whole group: the holder of the lifeline decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    as_user = {"user": user, "group": user, "extra_groups": []} if user else {}
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2, stderr=2, start_new_session=True, **as_user)
    print(server.pid, flush=True)

    lost = threading.Event()

    def watch() -> None:
        while os.read(0, 4096):
            pass
        lost.set()
        with suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    code = server.wait()
    if lost.is_set():
        watching.join()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
