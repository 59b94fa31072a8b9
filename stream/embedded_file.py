"""The file of the embedded log: one writer process, its schema, its connections, and SQLite's errors in our words."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import BackendDown, Busy, ConfigError

logger = logging.getLogger(__name__)

SCHEMA = 1
# "SNDG": tells our file from any other SQLite file, and `file` shows it.
APPLICATION_ID = 0x534E4447

# A record's row id is its topic's number and its offset in one integer, so a topic is one stretch of the table's own
# tree: appending and scanning need no second index. 2**48 offsets a topic.
OFFSET_BITS = 48

# Long enough for a checkpoint on a slow disk; only a foreign program can hold the write lock at all.
BUSY_SECONDS = 10.0
# A reader in the way of cutting the WAL is not waited for longer than this: the next try comes soon enough.
_READER_WAIT_MS = 100
# The log file of the WAL is cut back to this once it has been copied, and copied by force beyond the second.
WAL_KEPT_BYTES = 16 * 1024 * 1024
WAL_MOST_BYTES = 64 * 1024 * 1024
# 4 KiB pages before a commit copies the WAL into the file: the ledger's pages are copied less often than at 1,000.
CHECKPOINT_PAGES = 2_000
# KiB of pages that the writer keeps: the inner pages of a seen ledger of some millions of keys.
WRITER_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 4 * 1024

_TABLES = f"""
CREATE TABLE topic (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, first_offset INTEGER NOT NULL, next_offset INTEGER NOT NULL
) STRICT;
CREATE TABLE record (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, run TEXT NOT NULL, appended_us INTEGER NOT NULL, value BLOB NOT NULL
) STRICT;
CREATE TABLE group_offset (
    group_name TEXT NOT NULL, topic TEXT NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (group_name, topic)
) STRICT, WITHOUT ROWID;
CREATE TABLE state (
    space TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE book (
    stage TEXT NOT NULL, run TEXT NOT NULL, outcome TEXT NOT NULL, reason TEXT NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (stage, run, outcome, reason)
) STRICT, WITHOUT ROWID;
CREATE TABLE dead_letter (
    number INTEGER PRIMARY KEY AUTOINCREMENT, stage TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    position TEXT NOT NULL, payload_bytes INTEGER NOT NULL, payload_sha256 TEXT NOT NULL, parked_us INTEGER NOT NULL,
    source TEXT, post_id TEXT, run TEXT NOT NULL, schema_version INTEGER NOT NULL,
    resolved_us INTEGER, resolution TEXT, payload BLOB NOT NULL
) STRICT;
CREATE INDEX dead_letter_open ON dead_letter (number) WHERE resolved_us IS NULL;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA};
"""


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn SQLite's errors about the file into `BackendDown`, saying what to do."""
    try:
        yield
    except sqlite3.ProgrammingError:
        # A mistake in our code (a wrong statement, a closed connection) is not the disk's fault.
        raise
    except sqlite3.DatabaseError as exc:
        raise BackendDown(_advice(path, exc)) from exc


def _advice(path: Path, exc: sqlite3.DatabaseError) -> str:
    name = getattr(exc, "sqlite_errorname", "") or "SQLITE_ERROR"
    if name.startswith("SQLITE_FULL"):
        return (
            f"no room left to write {path} ({exc}): free space on the disk of {path.parent}, then start again; "
            "what was stored before is whole, the batch in work was not stored and comes again"
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return (
            f"{path} is damaged or no log of ours ({exc}): stop Soundings, move {path.name} and its -wal and -shm "
            f"aside, and restore them from a backup; without one, `sqlite3 {path.name} .recover` saves what is readable"
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"another program keeps {path} locked ({exc}): close it, then start again"
    return f"cannot read or write {path} ({name}: {exc}): check the disk and the rights of {path.parent}"


class WriterLock:
    """The right of one process to write a log: a locked file beside it. The kernel frees it, even after `kill -9`."""

    def __init__(self, path: Path) -> None:
        """Take the lock of the log at `path`.

        Raises:
            Busy: another process (or another open log of this one) has it.
            ConfigError: the folder cannot be created or written.
        """
        lock_path = path.with_name(path.name + ".lock")
        try:
            # Mentions are personal data: the folder is its owner's.
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as exc:
            raise ConfigError(f"cannot use the data folder {path.parent}: {exc.strerror}; name another one") from exc
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = os.read(self._file, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise Busy(
                f"the data folder {path.parent} is in use by process {holder}: stop it first, or name another folder"
            ) from exc
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let others write. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._file)


def open_writer(path: Path, max_bytes: int | None = None) -> sqlite3.Connection:
    """Open the one connection that writes, creating the schema in a new file; see `EmbeddedLog.open` for `max_bytes`.

    Raises:
        ConfigError: the file is another program's, or a newer Soundings wrote it.
        BackendDown: it cannot be read or written.
    """
    with translated(path):
        connection = _connect(path, "rwc", WRITER_CACHE_KIB)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL: a commit returns after the WAL is on the disk, so what was settled survives a power cut.
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
            if max_bytes is not None:
                (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
                connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_bytes)}")
            if _schema_of(connection, path) == 0:
                connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        except BaseException:
            connection.close()
            raise
    path.chmod(0o600)
    return connection


def _schema_of(connection: sqlite3.Connection, path: Path) -> int:
    """Give the schema number of the file, 0 for an empty one.

    Raises:
        ConfigError: it is not ours, or newer than this program.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables == 0 and application == 0:
        return 0
    if application != APPLICATION_ID:
        raise ConfigError(f"{path} is a SQLite file of another program; name another data folder")
    if schema > SCHEMA:
        raise ConfigError(
            f"{path} was written by a newer Soundings: found log schema {schema}, this program reads up to {SCHEMA}; "
            "upgrade it, or name another data folder"
        )
    return int(schema)


def _connect(path: Path, mode: str, cache_kib: int) -> sqlite3.Connection:
    # isolation_level None: transactions are ours to begin and end. Connections move between threads under a lock.
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    return connection


def cut_wal(writer: sqlite3.Connection, path: Path) -> bool:
    """Copy the WAL of the file at `path` into it and cut it to nothing, outside a transaction of `writer`.

    Returns:
        False where a reader is in the way, who is not waited for longer than a tenth of a second: ask again later.

    Raises:
        sqlite3.DatabaseError: the disk is full or broken; what was committed is safe in the WAL.
    """
    writer.execute(f"PRAGMA busy_timeout = {_READER_WAIT_MS}")
    try:
        (busy, *_) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        writer.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    return not busy and _size(_wal_of(path)) == 0


def _wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class WalKeeper:
    """Copies the WAL into the file by force once it is large: a reader can keep SQLite's own copying from finishing."""

    def __init__(self, path: Path) -> None:
        self._path, self._wal = path, _wal_of(path)
        self._limit = WAL_MOST_BYTES

    def keep_small(self, writer: sqlite3.Connection) -> None:
        """Copy and cut the WAL when it is over its limit; call it outside a transaction. Never fails."""
        if _size(self._wal) <= self._limit:
            return
        try:
            cut_wal(writer, self._path)
        except sqlite3.DatabaseError as exc:
            # The commit before it is safe in the WAL all the same; a broken disk shows at the next write.
            logger.warning("the WAL %s could not be copied into its file: %s", self._wal, exc)
        # Not cut: try again after some growth and not at every commit.
        self._limit = max(WAL_MOST_BYTES, _size(self._wal) + WAL_KEPT_BYTES)


class Readers:
    """Read-only connections, lent to one thread at a time. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def check(self) -> None:
        """See that the file is there and ours.

        Raises:
            ConfigError: it is another program's, or newer than this program.
            BackendDown: there is none yet, or it cannot be read.
        """
        if not self._path.exists():
            raise BackendDown(f"no log at {self._path}: start the pipeline of this data folder first")
        with self.connection() as connection:
            if _schema_of(connection, self._path) == 0:
                raise BackendDown(f"the log at {self._path} is still empty: start its pipeline first")

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection; SQLite's errors come out as `BackendDown`."""
        with translated(self._path):
            connection = self._take()
            try:
                yield connection
            except BaseException:
                # In doubt about its state: a fresh one costs a millisecond.
                connection.close()
                raise
            with self._lock:
                if not self._closed:
                    self._idle.append(connection)
                    return
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise ValueError("the log is closed")
            if self._idle:
                return self._idle.pop()
        return _connect(self._path, "ro", READER_CACHE_KIB)

    def close(self) -> None:
        """Close all idle connections; lent ones close when they come back."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
