"""Driving the real command line: each call is a process of its own, as a user's would be."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parent.parent.parent
# Far beyond what anything here takes on an idle machine: a test that hangs ends, a busy machine fails nothing.
PATIENCE_SECONDS = 300.0

CONFIG = """
[[brands]]
id = "acme"
name = "Acme"
query = '@acme OR "acme rocket"'

[[brands]]
id = "globex"
name = "Globex"
query = 'globex* NOT giveaway'
"""


@dataclass
class Soundings:
    """The command line in a folder of its own, with a configuration of two brands."""

    folder: Path
    data: Path
    config: Path
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    # More of the environment.
    extra: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "service.cli", *arguments]

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDINGS_")}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "SOUNDINGS_DATA_DIR": str(self.data),
            **self.extra,
        }

    def run(self, *arguments: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *arguments: str, output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
        """Start a command and leave it running; the fixture ends it."""
        process = subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=output or subprocess.DEVNULL,
        )
        self.running.append(process)
        return process

    def replay(self, file: Path, *arguments: str, engine: str = "tiny") -> dict[str, Any]:
        """Replay a file and give its books."""
        done = self.run("replay", str(file), "--json", "--engine", engine, *arguments)
        assert done.returncode == 0, done.stderr
        books: dict[str, Any] = json.loads(done.stdout)
        return books

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{what}: it did not happen"
            time.sleep(0.02)


def make_soundings(folder: Path) -> Soundings:
    """Give the command line over an empty data folder in `folder`."""
    config = folder / "soundings.toml"
    config.write_text(CONFIG, encoding="utf-8")
    return Soundings(folder, folder / "data", config)


def make_posts(number: int, seed: int = 7) -> list[dict[str, Any]]:
    """Make posts: most name a brand or two, some name none, some come twice, some are edited later."""
    chance = random.Random(seed)
    moods = ("love it", "hate it", "is fine", "broke again, awful", "works great", "arrived today")
    posts: list[dict[str, Any]] = []
    while len(posts) < number:
        index = len(posts)
        draw = chance.random()
        if posts and draw < 0.04:
            posts.append(chance.choice(posts))
            continue
        if posts and draw < 0.07:
            earlier = chance.choice(posts)
            posts.append({**earlier, "text": f"edited {index}: @acme", "edited_at": "2026-03-09T12:00:00Z"})
            continue
        subject = chance.choice(("@acme", "my acme rocket", "Globexico", "@acme and globex", "the weather"))
        posts.append(
            {
                "id": f"p{index}",
                "platform": "x",
                "created_at": f"2026-03-{1 + index % 8:02d}T{index % 24:02d}:00:00Z",
                "author": f"user{index % 50}",
                "text": f"{subject} {chance.choice(moods)} #{index}",
            }
        )
    return posts


def write_posts(path: Path, posts: Sequence[Mapping[str, Any]]) -> Path:
    """Write posts as JSON lines."""
    path.write_text("".join(json.dumps(post) + "\n" for post in posts), encoding="utf-8")
    return path
