"""The files of a watched folder: which are whole, and where those go that were read."""

from __future__ import annotations

import heapq
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from domain.clock import Clock
from domain.errors import ConfigError, RetryLater

logger = logging.getLogger(__name__)

SETTING = "source.folder.path"
PAGE = "docs/sources/folder.md"
DONE, FAILED = "done", "failed"
# Names of files that somebody is still writing.
UNFINISHED = (".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".swp", "~")
# Names that are remembered at once; of more files the oldest come first.
MAX_KNOWN = 4_096
_AWAY_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Sight:
    """A file as it was seen. While this is the same, nobody wrote to it."""

    name: str
    inode: int
    size: int
    mtime_ns: int


class DropFolder:
    """Looks for files that are whole, oldest first, and puts files away. Not thread-safe.

    A file is whole when it did not change for `settle_seconds` between looks, by our own clock: that of a network share
    may be wrong. Names that begin with a dot or end as in `UNFINISHED`, empty files and folders are left alone; links,
    pipes and devices are refused. What is remembered does not grow with the number of files.
    """

    def __init__(self, path: Path, settle_seconds: float, clock: Clock) -> None:
        self.path, self._settle_seconds, self._clock = path, settle_seconds, clock
        self._since: dict[Sight, float] = {}
        self._refused: set[str] = set()

    def look(self) -> tuple[list[Sight], int]:
        """Give the files that are whole, oldest first, and how many others wait, as far as they are known.

        Raises:
            ConfigError: the folder is not there, or may not be read and written.
            RetryLater: it cannot be read right now.
        """
        try:
            seen = heapq.nsmallest(MAX_KNOWN, self._sights(), key=lambda sight: (sight.mtime_ns, sight.name))
        except (FileNotFoundError, NotADirectoryError) as exc:
            raise ConfigError(f"{SETTING}: {self.path} is no folder; see {PAGE}") from exc
        except PermissionError as exc:
            raise ConfigError(f"{SETTING}: {self.path} may not be read; see {PAGE}") from exc
        except OSError as exc:
            raise RetryLater(f"{self.path} cannot be read: {exc.strerror or exc}", _AWAY_SECONDS) from exc
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ConfigError(f"{SETTING}: {self.path} may not be written, but files are moved in it; see {PAGE}")
        now = self._clock.monotonic()
        self._since = {sight: self._since.get(sight, now) for sight in seen}
        whole = [sight for sight in seen if now - self._since[sight] >= self._settle_seconds]
        return whole, len(seen) - len(whole)

    def _sights(self) -> Iterator[Sight]:
        refused: set[str] = set()
        with os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if stat.S_ISREG(status.st_mode):
                    if status.st_size:
                        yield Sight(entry.name, status.st_ino, status.st_size, status.st_mtime_ns)
                elif not stat.S_ISDIR(status.st_mode) and len(refused) < MAX_KNOWN:
                    refused.add(entry.name)
        for name in sorted(refused - self._refused)[:10]:
            logger.warning(
                "%s: %s is refused: found a link, a pipe or a device, expected a file", self.path, shown(name)
            )
        self._refused = refused

    def sight(self, name: str) -> Sight | None:
        """Look at one file again; None when it is gone or is no file any more.

        Raises:
            RetryLater: it cannot be looked at right now.
        """
        try:
            status = os.lstat(self.path / name)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise RetryLater(f"{self.path} cannot be read: {exc.strerror or exc}", _AWAY_SECONDS) from exc
        is_file = stat.S_ISREG(status.st_mode)
        return Sight(name, status.st_ino, status.st_size, status.st_mtime_ns) if is_file else None

    def put_away(self, name: str, into: str, now: datetime) -> str:
        """Move a file to `done/` or `failed/`; gives the name that it has there. Nothing there is ever overwritten.

        Raises:
            ConfigError: that is not allowed.
            RetryLater: it does not work right now.
        """
        target = self.path / into
        try:
            target.mkdir(exist_ok=True)
            if target.is_symlink():
                raise ConfigError(f"{SETTING}: {target} is a link, expected a folder; see {PAGE}")
            claimed = _claim(target, name, now)
            try:
                # Takes the place of the empty file that claimed the name.
                os.rename(self.path / name, claimed)
            except OSError:
                claimed.unlink()
                raise
        except FileNotFoundError:
            logger.warning("%s: %s was taken away by somebody else", self.path, shown(name))
            return name
        except (PermissionError, FileExistsError, NotADirectoryError) as exc:
            why = exc.strerror or str(exc)
            raise ConfigError(f"{SETTING}: {shown(name)} cannot be moved to {target}: {why}; see {PAGE}") from exc
        except OSError as exc:
            raise RetryLater(f"{self.path} cannot be written: {exc.strerror or exc}", _AWAY_SECONDS) from exc
        return claimed.name


def shown(name: str) -> str:
    """Give a name of a file as it may be shown and stored, whatever bytes it is made of."""
    text = os.fsencode(name).decode("utf-8", "replace")[-120:]
    return text if text.isprintable() else ascii(text)[1:-1]


def _claim(folder: Path, name: str, now: datetime) -> Path:
    """Make an empty file under a free name: the same, else one with the time before its ending, within 255 bytes."""
    stem, dot, ending = name.partition(".")
    start, end = os.fsdecode(os.fsencode(stem)[:100]), os.fsdecode(os.fsencode(dot + ending)[-100:])
    for candidate in (name, *(f"{start}.{now:%Y%m%dT%H%M%S}{part}{end}" for part in ("", f"-{now:%f}"))):
        try:
            os.close(os.open(folder / candidate, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            continue
        return folder / candidate
    raise RetryLater(f"{folder} has a file of this name and of this moment already", 1.0)
