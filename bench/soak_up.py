"""`soundings up` as `bench.live_soak` runs it: started, killed, looked at."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from bench.soak import CONFIG, ROOT

# Far beyond what anything takes on an idle machine.
PATIENCE_SECONDS = 300.0
_LOOK_SECONDS = 0.02


class Up:
    """`soundings up` over one data folder, killed and started as is needed."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.data = folder, folder / "data"
        config = folder / "soak.toml"
        config.write_text(CONFIG, encoding="utf-8")
        self._command = [sys.executable, "-m", "service.cli", "up", "--config", str(config), "--engine", "tiny"]
        self._command += ["--port", "0", "--data-dir", str(self.data)]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDINGS_")}
        self._environment = kept | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SOUNDINGS_SOURCES_ENABLED": "bluesky",
            "SOUNDINGS_SOURCES_ALLOW_PRIVATE": "true",
            "SOUNDINGS_SOURCE_BLUESKY_HOSTS": address,
            "SOUNDINGS_SOURCE_BLUESKY_SILENCE_SECONDS": "3",
        }
        self.process: subprocess.Popen[bytes] | None = None
        self.output = folder / "up.log"
        self._output_from = 0

    def start(self) -> None:
        with self.output.open("ab") as output:
            self._output_from = output.tell()
            self.process = subprocess.Popen(
                self._command,
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def told(self) -> str:
        """Give what it wrote since it was started last."""
        return self.output.read_bytes()[self._output_from :].decode(errors="replace")

    def children(self) -> dict[str, int]:
        """Give the process ids of its children by role."""
        found: dict[str, int] = {}
        for folder in Path("/proc").iterdir() if self.process is not None else ():
            try:
                status = (folder / "stat").read_text()
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except (OSError, ValueError):
                continue
            if b"service.child" in words and int(status.rpartition(")")[2].split()[1]) == self.process.pid:
                found[words[words.index(b"service.child") + 1].decode()] = int(folder.name)
        return found

    def total(self) -> int:
        """Give how many mentions the page shows; -1 where it shows none yet."""
        if (found := re.search(r"Soundings serves (http://\S+)", self.told())) is None:
            return -1
        try:
            with urllib.request.urlopen(f"{found.group(1)}/api/mentions?limit=1", timeout=PATIENCE_SECONDS) as answer:
                total: int = json.loads(answer.read())["total"]
                return total
        except OSError:
            return -1

    def kill(self) -> None:
        """Kill it, and wait until its children have noticed."""
        assert self.process is not None
        children = self.children()
        self.process.kill()
        self.process.wait()
        wait_for(lambda: not any(map(is_alive, children.values())), "the end of the children")

    def stop(self) -> int:
        """Ask it to end; gives its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def megabytes(pid: int) -> float:
    """Give the memory of a process that is in use now; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except (OSError, IndexError):
        return 0.0


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: it did not happen in {PATIENCE_SECONDS:.0f} s")
        time.sleep(_LOOK_SECONDS)


def wait_until(look: Callable[[], int], wanted: int) -> int:
    """Wait until a number is what is wanted; gives it, or what it is after long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := look()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
