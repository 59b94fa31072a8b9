"""Runs: one passage of a file (or of a source's past) through the pipeline, named so that a killed one goes on."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

from domain.errors import ConfigError
from stream.protocol import Log, Settlement, StateWrite

_SPACE = "runs"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `run_id` is the same on every machine for the same work and attempt; `resumed`: it had begun before.

    `fingerprint` is the key under which it is kept: of a file, the hash of its content.
    """

    run_id: str
    fingerprint: str
    attempt: int
    resumed: bool

    @property
    def is_file(self) -> bool:
        """Tell a passage of a file from one of a source's past, whose key names it."""
        return ":" not in self.fingerprint


def fingerprint(path: Path) -> str:
    """Give a hash of the whole content of a file: 24 hexadecimal digits.

    Raises:
        ConfigError: it cannot be read.
    """
    digest = blake2b(digest_size=12)
    try:
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                digest.update(block)
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file") from None
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Last:
    """The last attempt at some content: its number, 0 when there was none, and whether it is done."""

    attempt: int
    done: bool


def last(log: Log, path: Path) -> Last:
    """Give the last attempt at a file's content.

    Raises:
        ConfigError: the file cannot be read.
    """
    content = fingerprint(path)
    found = log.state(_SPACE, [content]).get(content)
    row: dict[str, Any] = json.loads(found) if found is not None else {"attempt": 0, "done": False}
    return Last(row["attempt"], row["done"])


def begin(log: Log, path: Path) -> Run:
    """Give the unfinished run of this content, or start the next one. Durable when it returns.

    Raises:
        ConfigError: the file cannot be read.
        BackendDown: the log cannot be written.
    """
    content = fingerprint(path)
    stem = re.sub(r"[^a-z0-9]+", "-", path.name.split(".")[0].lower())[:40].strip("-") or "file"
    return begin_named(log, f"{stem}-{content[:8]}", content)


def begin_named(log: Log, stem: str, key: str) -> Run:
    """Give the unfinished run under `key`, or start the next one, called `stem` and its number.

    Raises:
        BackendDown: the log cannot be written.
    """
    before = log.state(_SPACE, [key]).get(key)
    last: dict[str, Any] = json.loads(before) if before is not None else {"attempt": 0, "done": True}
    if not last["done"]:
        return Run(last["run"], key, last["attempt"], resumed=True)
    attempt = last["attempt"] + 1
    run = Run(f"{stem}-{attempt}", key, attempt, resumed=False)
    _write(log, run, done=False)
    return run


def begin_span(log: Log, source: str, start: datetime, end: datetime) -> Run:
    """Give the unfinished run of a source's past, or start the next one.

    Raises:
        BackendDown: the log cannot be written.
    """
    key = f"backfill:{source}:{start.isoformat()}..{end.isoformat()}"
    return begin_named(log, f"backfill-{source}-{start:%Y%m%d}-{end:%Y%m%d}", key)


def finish(log: Log, run: Run) -> None:
    """Note that a run is done: the same content again is a new run."""
    _write(log, run, done=True)


def _write(log: Log, run: Run, *, done: bool) -> None:
    value = json.dumps({"run": run.run_id, "attempt": run.attempt, "done": done}).encode()
    log.settle(Settlement(state=[StateWrite(_SPACE, run.fingerprint, value)]))
