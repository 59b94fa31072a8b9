"""Documents in one SQLite file, which the processes of one machine share."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from domain.documents import ABSENT, MAX_SCAN, Change, Conflict, Document, require_changes, require_ids, require_scan
from domain.errors import ConfigError, RetryLater
from search.document_body import body_bytes, body_of
from search.truth import translated
from stream.codec import to_json

log = logging.getLogger(__name__)

# Raise when the tables change in a way that older programs cannot read, or cannot write without harm.
DOCUMENTS_SCHEMA: Final = 1
# Who writes holds the file for some milliseconds; a first build of counts for a second or two.
_BUSY_SECONDS: Final = 10.0
_OPEN_WAIT_SECONDS: Final = 0.05
# Above every character that an id may have.
_BEYOND: Final = "\x7f"
_MEND: Final = "Restore it from a backup; without it, alerts begin anew and subscriptions made on the page are gone"

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS document (
    kind TEXT NOT NULL,
    doc_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, doc_id)
) STRICT;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO fact VALUES ('revision', 0);
"""


class SqliteDocuments:
    """`Documents` in a file, made when it is missing. Any number of processes may have it open and write."""

    def __init__(self, path: Path) -> None:
        """Open or make the file.

        Raises:
            ConfigError: a newer program made it.
            RetryLater, BackendDown: it cannot be opened.
        """
        self._path = path
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._open()

    def _open(self) -> None:
        with self._translated():
            # Its owner's alone, as are the files that SQLite lays beside it.
            with suppress(OSError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._writer = self._connect()
            try:
                self._make()
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only = ON")
                self._inode = self._path.stat().st_ino
            except BaseException:
                self._writer.close()
                raise

    def _follow(self) -> None:
        """Open the file that is there now, where ours was deleted or replaced: what is written to it would be lost."""
        if self._is_ours():
            return
        with self._writing, self._reading:
            if self._is_ours():
                return
            log.warning("%s was deleted or replaced while it was in use; going on with what is there now", self._path)
            self._reader.close()
            self._writer.close()
            self._open()

    def _is_ours(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    @classmethod
    def open(cls, path: Path) -> SqliteDocuments:
        """Open or make the file, as the constructor."""
        return cls(path)

    def close(self) -> None:
        """Release the file."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def get(self, kind: str, doc_ids: Sequence[str]) -> Mapping[str, Document]:
        """Give documents by id as last changed by anybody; absent ones are left out."""
        require_ids(kind, doc_ids)
        sql = (
            "SELECT doc_id, revision, body FROM document WHERE kind = ? AND doc_id IN (SELECT value FROM json_each(?))"
        )
        return {one.doc_id: one for one in self._found(kind, sql, kind, to_json(list(doc_ids)).decode())}

    def scan(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = MAX_SCAN, descending: bool = False
    ) -> Sequence[Document]:
        """Give a page of a kind by id."""
        require_scan(kind, prefix, after, limit)
        low, high = prefix, prefix + _BEYOND
        edge, order = "TRUE", "DESC" if descending else "ASC"
        if after:
            edge = "doc_id < ?" if descending else "doc_id > ?"
        asked = f"kind = ? AND doc_id >= ? AND doc_id < ? AND {edge} ORDER BY doc_id {order} LIMIT ?"
        sql = f"SELECT doc_id, revision, body FROM document WHERE {asked}"  # noqa: S608  # words of ours
        return self._found(kind, sql, kind, low, high, *([after] if after else []), limit)

    def apply(self, changes: Sequence[Change]) -> None:
        """Make all changes durable, or none of them."""
        require_changes(changes)
        bodies = [None if change.body is None else body_bytes(change.body).decode() for change in changes]
        if not changes:
            return
        self._follow()
        with self._writing, self._translated(), _transaction(self._writer) as connection:
            self._compare(connection, changes)
            sql = "UPDATE fact SET value = value + ? WHERE name = 'revision' RETURNING value"
            ((last,),) = connection.execute(sql, (len(changes),)).fetchall()
            first = last - len(changes) + 1
            rows = zip(range(first, last + 1), changes, bodies, strict=True)
            put = [(one.kind, one.doc_id, number, body) for number, one, body in rows if body is not None]
            connection.executemany(
                "INSERT INTO document (kind, doc_id, revision, body) VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET revision = excluded.revision, body = excluded.body",
                put,
            )
            gone = [(one.kind, one.doc_id) for one in changes if one.body is None]
            connection.executemany("DELETE FROM document WHERE kind = ? AND doc_id = ?", gone)

    def _compare(self, connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
        """Raise Conflict where something else is there than was read."""
        other = []
        for change in changes:
            if change.expected is None:
                continue
            sql = "SELECT revision FROM document WHERE kind = ? AND doc_id = ?"
            found = connection.execute(sql, (change.kind, change.doc_id)).fetchone()
            if (ABSENT if found is None else str(found[0])) != change.expected:
                other.append(change)
        if other:
            kind = other[0].kind
            raise Conflict(kind, [change.doc_id for change in other if change.kind == kind])

    def _found(self, kind: str, sql: str, *parameters: object) -> list[Document]:
        self._follow()
        with self._reading, self._translated():
            rows: list[Any] = self._reader.execute(sql, parameters).fetchall()
        return [Document(kind, doc_id, body_of(body), str(revision)) for doc_id, revision, body in rows]

    def _translated(self) -> AbstractContextManager[None]:
        return translated(self._path, _MEND)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=rwc",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._patiently(connection, "PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Addresses of recipients that were deleted are gone.
            connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _patiently(self, connection: sqlite3.Connection, sql: str) -> None:
        """Run what SQLite does not wait for by itself: a new file changes its mode while others open it too."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                with self._translated():
                    connection.execute(sql)
                return
            except RetryLater:
                if time.monotonic() > until:
                    raise
                time.sleep(_OPEN_WAIT_SECONDS)

    def _make(self) -> None:
        with _transaction(self._writer) as connection:
            ((found,),) = connection.execute("PRAGMA user_version").fetchall()
            if found > DOCUMENTS_SCHEMA:
                raise ConfigError(
                    f"{self._path} has schema {found}, this program reads {DOCUMENTS_SCHEMA}: "
                    "use the version that wrote it"
                )
            if found == 0:
                # One by one: a script would commit what was begun.
                for statement in _TABLES.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {DOCUMENTS_SCHEMA}")


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Hold the right to write; commit what was done, or undo all of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has undone it already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
