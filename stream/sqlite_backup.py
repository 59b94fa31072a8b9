"""A copy of a SQLite file as it is at one moment, while other processes go on writing to it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

from domain.errors import BackendDown, ConfigError

# Between two steps others may write: 4 MB of pages of 4 KB.
_PAGES: Final = 1_000


def copy_database(source: Path, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a database into a file that takes its name once it is whole, checked and durable.

    Args:
        source: the file; may be in use.
        target: must not exist; its folder must.
        progress: told pages done and pages in all.

    Raises:
        ConfigError: there is no source, or the target exists.
        BackendDown: it cannot be read or written, or the copy is damaged.
    """
    if not source.is_file():
        raise ConfigError(f"found no file {source} to copy")
    if target.exists():
        raise ConfigError(f"{target} exists: nothing is overwritten, choose another place")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True)) as reading,
            closing(sqlite3.connect(partial)) as writing,
        ):

            def told(status: int, remaining: int, total: int) -> None:
                if progress is not None:
                    progress(total - remaining, total)

            # A step at a time would start again at each write of another process; in one, the snapshot is kept.
            reading.execute("BEGIN")
            reading.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
            reading.backup(writing, pages=_PAGES, progress=told)
            reading.execute("ROLLBACK")
            (said,) = writing.execute("PRAGMA quick_check(1)").fetchone()
            if said != "ok":
                raise BackendDown(f"the copy of {source} is damaged: {said}. Check the disk")
        _make_durable(partial)
        partial.rename(target)
        _make_durable(target.parent)
    except (sqlite3.Error, OSError) as exc:
        raise BackendDown(f"{source} cannot be copied to {target}: {exc}. Check the disk and the permissions") from exc
    finally:
        partial.unlink(missing_ok=True)


def _make_durable(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
