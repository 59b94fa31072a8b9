"""A copy of a SQLite file as it is at one moment, while other processes go on writing to it, and the copy put back."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from domain.errors import BackendDown, ConfigError

# Between two steps others may write: 4 MB of pages of 4 KB.
_PAGES: Final = 1_000
# Read at once when a file is put back.
_BLOCK_BYTES: Final = 4_000_000


@dataclass(frozen=True, slots=True)
class Seal:
    """What a copied file was when it was made: its length, its SHA-256 in hex, and the schema number in it."""

    bytes: int
    sha256: str
    schema: int


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
            if (said := _quick_check(writing)) != "ok":
                raise BackendDown(f"the copy of {source} is damaged: {said}. Check the disk")
        make_durable(partial)
        partial.rename(target)
        make_durable(target.parent)
    except (sqlite3.Error, OSError) as exc:
        raise BackendDown(f"{source} cannot be copied to {target}: {exc}. Check the disk and the permissions") from exc
    finally:
        partial.unlink(missing_ok=True)


def seal_of(path: Path) -> Seal:
    """Give the seal of a database that nobody has open.

    Raises:
        BackendDown: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as reading:
            (schema,) = reading.execute("PRAGMA user_version").fetchone()
        return Seal(path.stat().st_size, digest, schema)
    except (sqlite3.Error, OSError) as exc:
        raise BackendDown(f"{path} cannot be read: {exc}. Check the disk and the permissions") from exc


def put_back(source: Path, target: Path, seal: Seal, progress: Callable[[int, int], None] | None = None) -> None:
    """Copy a file that nobody has open, as it was sealed, into one that is checked and durable.

    The bytes are copied as they are: SQLite would take up a journal that lies beside them.

    Args:
        source: the file; only read.
        target: must not exist; its folder must. Whoever gets an error removes what was written.
        seal: what `source` must be.
        progress: told bytes done and bytes in all.

    Raises:
        ConfigError: the source is missing, cannot be read, or is not as it was sealed.
        BackendDown: the target cannot be written, or is damaged.
    """
    digest, done = hashlib.sha256(), 0
    try:
        reading = source.open("rb")
    except OSError as exc:
        raise ConfigError(f"{source}: cannot be read: {exc.strerror}") from exc
    with reading:
        try:
            with open(target, "xb", opener=_own) as writing:
                while block := _read(reading.read, source):
                    digest.update(block)
                    writing.write(block)
                    done += len(block)
                    if progress is not None:
                        progress(done, seal.bytes)
            make_durable(target)
            make_durable(target.parent)
        except OSError as exc:
            raise BackendDown(f"{target} cannot be written: {exc}. Check the disk and the permissions") from exc
    if done != seal.bytes:
        raise ConfigError(f"{source}: found {done:,} bytes, expected {seal.bytes:,}")
    if digest.hexdigest() != seal.sha256:
        raise ConfigError(f"{source}: found SHA-256 {digest.hexdigest()[:16]}…, expected {seal.sha256[:16]}…")
    try:
        with closing(sqlite3.connect(target)) as connection:
            said = _quick_check(connection)
    except sqlite3.Error as exc:
        said = str(exc)
    if said != "ok":
        raise BackendDown(f"{target} is damaged and {source} is not: {said}. Check the disk of {target.parent}")


def _own(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _read(read: Callable[[int], bytes], source: Path) -> bytes:
    try:
        return read(_BLOCK_BYTES)
    except OSError as exc:
        raise ConfigError(f"{source}: cannot be read: {exc.strerror}") from exc


def _quick_check(connection: sqlite3.Connection) -> str:
    """Say "ok", or what is damaged; reads the whole file once."""
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    return str(said)


def make_durable(path: Path) -> None:
    """Bring a file, or the names in a folder, onto the disk.

    Raises:
        OSError.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
