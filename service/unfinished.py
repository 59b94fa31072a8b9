"""A folder that takes its name when it is whole: it is made beside it, and what a kill leaves is cleared away."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.errors import BackendDown, Busy, ConfigError
from service.data_folder import DataFolder, FolderLock
from stream.sqlite_backup import make_durable

_SUFFIX = ".unfinished"


@contextmanager
def unfinished(target: Path) -> Iterator[DataFolder]:
    """Give an empty folder beside `target` to fill; it is there as `target` at the end, and gone after an error.

    What a killed process left of the same target is removed first.

    Args:
        target: must not exist, or be an empty folder. A link is followed.

    Raises:
        Busy: another process is making the same folder.
        ConfigError: something else is in the way, or the place cannot be written to.
        BackendDown: the disk failed.
    """
    target = target.resolve()
    if target.is_mount():
        raise ConfigError(f"{target}: is a mount point, which cannot be put in place as a whole; name a folder in it")
    folder = DataFolder(target.with_name(f"{target.name}{_SUFFIX}"))
    lock = _lock(folder)
    try:
        yield folder
        _put_in_place(folder, target)
    except BaseException:
        with suppress(OSError):
            _clear(folder)
            folder.lock.unlink()
            folder.root.rmdir()
        raise
    finally:
        lock.release()


def _lock(folder: DataFolder) -> FolderLock:
    """Make the folder, lock and empty it."""
    if folder.root.is_dir() and not folder.lock.is_file() and any(folder.root.iterdir()):
        raise ConfigError(f"{folder.root}: is in the way and was not left by Soundings; move it away first")
    try:
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{folder.root}: cannot be made: {exc.strerror}; name another place") from exc
    try:
        lock = FolderLock.take(folder)
    except Busy as exc:
        raise Busy(f"{folder.root}: another Soundings process is writing it; wait until it ends") from exc
    try:
        # Between our look and our lock another may have finished: then what we hold is no longer what has the name.
        if os.fstat(lock.descriptor).st_ino != folder.lock.stat().st_ino:
            raise FileNotFoundError
        _clear(folder)
    except FileNotFoundError as exc:
        lock.release()
        raise Busy(f"{folder.root}: another Soundings process has just finished it; try again") from exc
    except BaseException:
        lock.release()
        raise
    return lock


def _put_in_place(folder: DataFolder, target: Path) -> None:
    try:
        folder.root.rename(target)
        make_durable(target.parent)
    except OSError as exc:
        if exc.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise ConfigError(f"{target}: something was put there meanwhile; nothing is overwritten") from exc
        raise BackendDown(f"{target}: cannot be put in place: {exc.strerror}. Check the disk and its rights") from exc


def _clear(folder: DataFolder) -> None:
    """Remove all but the lock, which says that the folder is ours."""
    for path in folder.root.iterdir() if folder.root.is_dir() else ():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != folder.lock:
            path.unlink()
