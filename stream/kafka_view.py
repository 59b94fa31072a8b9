"""What the compacted topics say, in an SQLite file that is derived from them and never the truth.

Both topics are read to their end before anything is answered. A file that fell too far behind, or that belongs to
topics that were created anew since, is thrown away and made again.
"""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.clock import Clock, to_ms
from domain.errors import BackendDown, RetryLater
from stream.kafka_broker import Broker, Fetched, Place, Reader
from stream.kafka_layout import BOOKS, SOURCES, Layout
from stream.protocol import RETRACTED, StateWrite

SCHEMA = 1
READ_AT_ONCE = 2_000
# A deletion stays in a compacted topic for a day (delete.retention.ms): a file that was not read for longer may have
# missed some.
MOST_BEHIND_MS = 12 * 3_600_000
# Nothing came for so long although the topic has more: the broker is in trouble.
PATIENCE_SECONDS = 5.0
TRIES = 3
KEYS_PER_QUERY = 500

_TABLES = """
CREATE TABLE position (topic TEXT, partition INTEGER, next_offset INTEGER, PRIMARY KEY (topic, partition));
CREATE TABLE state (space TEXT, key TEXT, value BLOB, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE journal (name TEXT PRIMARY KEY, epoch INTEGER, body TEXT);
CREATE TABLE reader_group (name TEXT PRIMARY KEY, topics TEXT);
CREATE TABLE moved (place TEXT, offset INTEGER, runs TEXT, PRIMARY KEY (place, offset));
CREATE TABLE resolved (number INTEGER PRIMARY KEY, at_ms INTEGER, resolution TEXT);
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT);
"""


def state_key(space: str, key: str) -> bytes:
    """Give the record key of a row of state in the topic `sources`."""
    return _key("state", space, key)


def journal_key(name: str) -> bytes:
    """Give the record key of a journal in the topic `sources`."""
    return _key("journal", name)


def group_key(group: str) -> bytes:
    """Give the record key of a consumer group in the topic `books`."""
    return _key("group", group)


def moved_key(group: str, place: Place, offset: int) -> bytes:
    """Give the record key of moved totals in the topic `books`; each move has its own, so none is compacted away."""
    return _key("moved", _moved_place(group, place), str(offset))


def resolved_key(number: int) -> bytes:
    """Give the record key of a dead letter's resolution in the topic `books`."""
    return _key("resolved", str(number))


def _key(*parts: str) -> bytes:
    return json.dumps(parts).encode()


def _moved_place(group: str, place: Place) -> str:
    return json.dumps([group, *place])


@dataclass(frozen=True, slots=True)
class Journal:
    """The last settlement of a source, or of a writer without one: redone by whoever takes the source over.

    `counts` are totals since the beginning, as [stage, run, outcome, reason, number]. `epoch` grows with each owner.
    """

    epoch: int = 0
    counts: tuple[tuple[str, str, str, str, int], ...] = ()
    state: tuple[StateWrite, ...] = ()
    dead_from: int = 0

    def write(self) -> bytes:
        """Give the record value."""
        state = [
            [one.space, one.key, None if one.value is None else base64.b64encode(one.value).decode()]
            for one in self.state
        ]
        document = {"v": 1, "epoch": self.epoch, "counts": self.counts, "state": state, "dead_from": self.dead_from}
        return json.dumps(document, separators=(",", ":")).encode()

    @staticmethod
    def read(body: str) -> Journal:
        """Read what `write` wrote."""
        found = json.loads(body)
        state = (
            StateWrite(space, key, None if value is None else base64.b64decode(value))
            for space, key, value in found["state"]
        )
        counts = (tuple(one) for one in found["counts"])
        return Journal(found["epoch"], tuple(counts), tuple(state), found["dead_from"])


class KafkaView:
    """Thread-safe. Nothing is read before the first question."""

    def __init__(self, broker: Broker, layout: Layout, clock: Clock, path: Path | None) -> None:
        """Keep the view in `path`, or in memory when there is none."""
        self._broker, self._layout, self._clock = broker, layout, clock
        self._lock = threading.RLock()
        self._path = path
        self._reader: Reader | None = None
        self._db: sqlite3.Connection | None = None
        self._positions: dict[Place, int] = {}

    # --- questions; each reads the topics to their end first

    def state(self, space: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Give the rows of these keys."""
        found: dict[str, bytes] = {}
        with self._lock:
            db = self._caught_up()
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM state WHERE space = ? AND key IN ({marks})"  # noqa: S608
                found.update(db.execute(query, (space, *some)))
        return found

    def journals(self) -> Mapping[str, Journal]:
        """Give all journals by name."""
        with self._lock:
            rows = self._caught_up().execute("SELECT name, body FROM journal").fetchall()
        return {name: Journal.read(body) for name, body in rows}

    def journal(self, name: str) -> Journal | None:
        """Give one journal."""
        with self._lock:
            row = self._caught_up().execute("SELECT body FROM journal WHERE name = ?", (name,)).fetchone()
        return None if row is None else Journal.read(row[0])

    def groups(self) -> Mapping[str, Sequence[str]]:
        """Give the topics of every group that ever read."""
        with self._lock:
            rows = self._caught_up().execute("SELECT name, topics FROM reader_group").fetchall()
        return {name: json.loads(topics) for name, topics in rows}

    def moved(self, group: str, place: Place, committed: int) -> Mapping[str, dict[str, int]]:
        """Give the newest moved totals of each run that hold at this committed offset."""
        query = "SELECT runs FROM moved WHERE place = ? AND offset <= ? ORDER BY offset"
        runs: dict[str, dict[str, int]] = {}
        with self._lock:
            for (body,) in self._caught_up().execute(query, (_moved_place(group, place), committed)):
                runs.update(json.loads(body))
        return runs

    def resolutions(self, numbers: Iterable[int]) -> Mapping[int, tuple[int, str]]:
        """Give when (ms) and how dead letters were resolved; open ones are left out."""
        with self._lock:
            db = self._caught_up()
            query = "SELECT at_ms, resolution FROM resolved WHERE number = ?"
            rows = {number: db.execute(query, (number,)).fetchone() for number in numbers}
        return {number: (row[0], row[1]) for number, row in rows.items() if row is not None}

    # --- catching up

    def _caught_up(self) -> sqlite3.Connection:
        """Read both topics to their end.

        Raises:
            RetryLater: the broker does not answer.
            BackendDown: the file cannot be written.
        """
        try:
            db = self._db or self._open()
            ends = self._broker.ends(self._positions)
            heard_at, tries = time.monotonic(), 0
            while any(self._positions[place] < end for place, end in ends.items()):
                if self._reader is None:
                    self._reader = self._broker.reader()
                    self._reader.assign(self._positions)
                fetched = self._reader.poll(READ_AT_ONCE, 0.5)
                # Compaction may have left nothing at the very end.
                reached = dict(self._reader.positions())
                if fetched or reached != self._positions:
                    heard_at = time.monotonic()
                    self._apply(db, fetched, reached)
                elif time.monotonic() - heard_at > PATIENCE_SECONDS:
                    # A client may stop asking when the broker was away for a moment: a new one does ask.
                    self._drop_reader()
                    heard_at, tries = time.monotonic(), tries + 1
                    if tries == TRIES:
                        raise RetryLater("the broker gives no records of the topics of state: look at its log", 1.0)
            return db
        except sqlite3.DatabaseError as exc:
            raise BackendDown(
                f"cannot read or write {self._path} ({exc}): check the disk; the file may be deleted, it is made again"
            ) from exc

    def _open(self) -> sqlite3.Connection:
        places = [*self._layout.places(SOURCES), *self._layout.places(BOOKS)]
        about = {topic: self._layout.topic_id(topic) for topic in (SOURCES, BOOKS)}
        about |= {"schema": str(SCHEMA), "partitions": str(len(places))}
        db = self._usable_file(about) if self._path else None
        if db is None:
            db = self._new_file(about)
        kept = {Place(topic, number): offset for topic, number, offset in db.execute("SELECT * FROM position")}
        beginnings = self._broker.beginnings(places)
        self._positions = {place: max(kept.get(place, 0), beginnings[place]) for place in places}
        self._drop_reader()
        self._db = db
        return db

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _usable_file(self, about: Mapping[str, str]) -> sqlite3.Connection | None:
        """Give the file of an earlier process, or None when it must be made anew."""
        if self._path is None or not self._path.exists():
            return None
        db = sqlite3.connect(self._path)
        try:
            found: dict[str, Any] = dict(db.execute("SELECT name, value FROM about"))
            behind_ms = to_ms(self._clock.now()) - int(found.pop("read_at_ms", "0"))
            usable = found == about and 0 <= behind_ms < MOST_BEHIND_MS
        except (sqlite3.DatabaseError, ValueError):
            usable = False
        finally:
            db.close()
        return self._connect(str(self._path)) if usable else None

    def _new_file(self, about: Mapping[str, str]) -> sqlite3.Connection:
        if self._path is not None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.unlink(missing_ok=True)
        db = self._connect(":memory:" if self._path is None else str(self._path))
        db.executescript(_TABLES)
        db.executemany("INSERT INTO about VALUES (?, ?)", about.items())
        db.commit()
        return db

    @staticmethod
    def _connect(path: str) -> sqlite3.Connection:
        db = sqlite3.connect(path, check_same_thread=False)
        # Derived: after a power cut it is made again. An exclusive lock keeps a second process out.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = MEMORY")
        db.execute("PRAGMA synchronous = OFF")
        return db

    def _apply(self, db: sqlite3.Connection, fetched: Sequence[Fetched], reached: dict[Place, int]) -> None:
        with db:
            for record in fetched:
                _apply(db, record)
            db.executemany(
                "INSERT OR REPLACE INTO position VALUES (?, ?, ?)", [(*place, end) for place, end in reached.items()]
            )
            read_at = str(to_ms(self._clock.now()))
            db.execute("INSERT OR REPLACE INTO about VALUES ('read_at_ms', ?)", (read_at,))
        self._positions = reached

    def close(self) -> None:
        """Release file and connection."""
        with self._lock:
            self._drop_reader()
            if self._db is not None:
                self._db.close()
                self._db = None


def _apply(db: sqlite3.Connection, record: Fetched) -> None:
    kind, *key = json.loads(record.key or b"[null]")
    if kind == "state":
        _write_state(db, StateWrite(key[0], key[1], record.value))
    elif kind == "journal":
        _apply_journal(db, key[0], record.value)
    elif kind == "group" and record.value is not None:
        db.execute("INSERT OR REPLACE INTO reader_group VALUES (?, ?)", (key[0], record.value.decode()))
    elif kind == "moved" and record.value is not None:
        db.execute("INSERT OR REPLACE INTO moved VALUES (?, ?, ?)", (key[0], int(key[1]), record.value.decode()))
    elif kind == "resolved" and record.value is not None:
        how = json.loads(record.value)
        # The first counts; only what is retracted later has lost its payload, whatever became of it before.
        sql = "INSERT INTO resolved VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET resolution = excluded.resolution WHERE ?"
        overrules = how["resolution"] == RETRACTED
        db.execute(sql, (int(key[0]), how["at_ms"], how["resolution"], overrules))


def _write_state(db: sqlite3.Connection, write: StateWrite) -> None:
    if write.value is None:
        db.execute("DELETE FROM state WHERE space = ? AND key = ?", (write.space, write.key))
    else:
        db.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", (write.space, write.key, write.value))


def _apply_journal(db: sqlite3.Connection, name: str, value: bytes | None) -> None:
    if value is None:
        db.execute("DELETE FROM journal WHERE name = ?", (name,))
        return
    journal = Journal.read(value.decode())
    row = db.execute("SELECT epoch FROM journal WHERE name = ?", (name,)).fetchone()
    if row is not None and journal.epoch < row[0]:
        # An earlier owner that did not know yet that it was replaced.
        return
    db.execute("INSERT OR REPLACE INTO journal VALUES (?, ?, ?)", (name, journal.epoch, value.decode()))
    for write in journal.state:
        _write_state(db, write)
