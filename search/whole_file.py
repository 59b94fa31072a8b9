"""A file that takes its name when it is whole: until then it lies beside it under a name of its own."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from domain.errors import BackendDown, ConfigError
from stream.sqlite_backup import make_durable

_SUFFIX: Final = ".partial"
# Of a long name, what leaves room for the rest of the unfinished file's.
_NAME_KEPT: Final = 50
# What file systems without hard links say.
_NO_LINKS: Final = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write, readable by its owner alone, which is there as `path` at the end and gone after an error.

    Of two that make the same name at once the one that is ready first has it, and the other is refused. What killed
    processes left of this name is removed.

    Raises:
        ConfigError: there is something of that name, or its folder is not there or may not be written to.
        BackendDown: the disk is full or broken.
    """
    descriptor, partial = _begin(path)
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            _take_name(partial, path)
        make_durable(path.parent)
    except FileExistsError as exc:
        raise ConfigError(f"{path} exists: nothing is overwritten, choose another name") from exc
    except OSError as exc:
        raise BackendDown(f"{path} cannot be written: {exc.strerror}. Check the disk and the permissions") from exc
    finally:
        partial.unlink(missing_ok=True)


def _begin(path: Path) -> tuple[int, Path]:
    """Make the unfinished file, and lock it: so others know that it is in work."""
    prefix = f"{path.name[:_NAME_KEPT]}."
    try:
        _clear(path.parent, prefix)
        while True:
            descriptor, name = tempfile.mkstemp(prefix=prefix, suffix=_SUFFIX, dir=path.parent)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return descriptor, Path(name)
            # Somebody who clears away was between our two steps.
            os.close(descriptor)
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be written: {exc.strerror}; name a file in a folder of yours") from exc


def _clear(folder: Path, prefix: str) -> None:
    left = re.compile(re.escape(prefix) + "[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for path in [path for path in folder.iterdir() if left.fullmatch(path.name)]:
        with suppress(OSError), path.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _take_name(partial: Path, path: Path) -> None:
    try:
        # Unlike a rename, a link overwrites nothing.
        os.link(partial, path)
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise FileExistsError from exc
        partial.rename(path)
