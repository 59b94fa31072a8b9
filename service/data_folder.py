"""The data folder: what lies in it, who may write to it, and whether its disk has room."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from domain.errors import BackendDown, Busy, ConfigError

_MEGABYTE = 1_000_000
# Children end within moments of their supervisor; a batch under way is finished first.
ORPHAN_SECONDS = 30.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class DataFolder:
    """Names of what lies in the folder.

    `lock`: held by the one process that writes. `log.sqlite`: the log. `store/`: the mentions and their index.
    `alerts.db`: alerts and what belongs to them, written by the pipeline, the page and commands alike.
    `control.sock` (or `control.path`, which says where it is): how commands reach a running pipeline. `spool/`:
    standard input while it is being replayed.
    """

    root: Path

    @property
    def lock(self) -> Path:
        """File whose lock says that somebody writes."""
        return self.root / "lock"

    @property
    def log(self) -> Path:
        """The log's database."""
        return self.root / "log.sqlite"

    @property
    def store(self) -> Path:
        """Folder of the store."""
        return self.root / "store"

    @property
    def alerts(self) -> Path:
        """The database of alerts: counts, states, the outbox, what people said to them."""
        return self.root / "alerts.db"

    @property
    def spool(self) -> Path:
        """Folder for standard input."""
        return self.root / "spool"

    def require(self, *, log: bool = True) -> None:
        """Make sure that there is something to read, and that it can be read; `log`: a log as well as a store.

        Raises:
            ConfigError: nothing was ever stored here, or the folder cannot be written to.
        """
        for place in (self.root, self.store):
            # Readers lock: SQLite and tantivy make files for that beside what they read.
            if os.access(place, os.F_OK) and not os.access(place, os.R_OK | os.W_OK | os.X_OK):
                raise ConfigError(
                    f"{place}: cannot be written to, and reading it needs that, for lock files; run this as the "
                    "folder's owner, or name a copy of the whole data folder with --data-dir"
                )
        if not (self.log.is_file() if log else self.store.is_dir()):
            raise ConfigError(
                f"{self.root}: holds no Soundings data; `soundings replay FILE` or `soundings up` fills it, "
                "--data-dir names another folder"
            )

    def create(self) -> None:
        """Make the folder, readable by its owner only: it holds what people wrote.

        Raises:
            ConfigError: it cannot be made or written to.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise ConfigError(f"{self.root}: found a file, expected a folder; name another with --data-dir") from None
        except OSError as exc:
            raise ConfigError(f"{self.root}: cannot be made: {exc.strerror}; name another with --data-dir") from exc
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise ConfigError(f"{self.root}: cannot be written to; name another with --data-dir")

    def own_file(self, name: str) -> Path | None:
        """Give the path of a file that is this process's alone until it ends, or None while another process has it."""
        descriptor = os.open(self.root / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # The descriptor stays open, and with it the lock, as long as the process lives.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return self.root / name


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _runs(process: str) -> bool:
    """Tell whether a process of this number runs, as far as that is known."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError, OverflowError):
        return True
    return True


class FolderLock:
    """The right to write to a data folder. Freed when the last process that holds it ends, however it ends."""

    def __init__(self, descriptor: int, *, waited: bool = False) -> None:
        self.descriptor = descriptor
        # Children of a process that is no more had it until a moment ago.
        self.waited = waited

    @classmethod
    def take(cls, folder: DataFolder) -> FolderLock:
        """Lock the folder, which is made when it is missing.

        Raises:
            Busy: another process writes to it.
            ConfigError: it cannot be made or written to.
        """
        folder.create()
        try:
            descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise ConfigError(f"{folder.lock}: cannot be opened: {exc.strerror}") from exc
        waited = False
        until = time.monotonic() + ORPHAN_SECONDS
        while not _locks(descriptor):
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            # A supervisor that was killed leaves children that end by themselves within moments.
            if _runs(holder) or time.monotonic() >= until:
                os.close(descriptor)
                raise Busy(
                    f"{folder.root}: in use by another Soundings process{f' (process {holder})' if holder else ''}; "
                    "stop it, or name another folder with --data-dir"
                )
            waited = True
            time.sleep(_LOOK_SECONDS)
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        except OSError as exc:
            os.close(descriptor)
            raise ConfigError(f"{folder.lock}: cannot be written: {exc.strerror}") from exc
        return cls(descriptor, waited=waited)

    def release(self) -> None:
        """Let others write."""
        os.close(self.descriptor)

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.release()


def free_megabytes(root: Path) -> int:
    """Give the free space of the folder's disk in MB (millions of bytes), as the user may use it."""
    return shutil.disk_usage(root).free // _MEGABYTE


def require_room(root: Path, floor_mb: int, free: Callable[[Path], int] = free_megabytes) -> None:
    """Make sure that the disk has room before more is read.

    Raises:
        BackendDown: less than `floor_mb` is free.
    """
    found = free(root)
    if found < floor_mb:
        raise BackendDown(
            f"{root}: {found} MB free on its disk, expected at least {floor_mb} MB (data.disk_floor_mb); nothing is "
            "lost: make room and run the same command again to go on"
        )
