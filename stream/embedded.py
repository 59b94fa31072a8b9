"""The log in one SQLite file: one writer process, any number of readers, each settlement all or nothing."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from domain.clock import Clock, SystemClock
from domain.records import Outcome
from stream.embedded_file import (
    OFFSET_BITS,
    Readers,
    WalKeeper,
    WriterLock,
    cut_wal,
    open_writer,
    translated,
)
from stream.embedded_letters import ADD_LETTER, LETTERS, from_us, letter_row, letter_values, to_us
from stream.protocol import RETRACTED, Consumer, Count, DeadLetterRow, LogRecord, OutRecord, Settlement, StateWrite
from stream.tail import Tail

# There is one partition; the number is kept so that stages run unchanged on Kafka.
PARTITION = 0

# A poll stops at this many bytes of values, so that 256 posts of the greatest size do not fill the memory.
MAX_POLL_BYTES = 16 * 1024 * 1024
# Keys asked for in one statement, far below SQLite's limit of 32,766; longer lists gain nothing.
KEYS_PER_QUERY = 500
# Records that one transaction of a pruning drops, so that stages settle in between.
PRUNED_AT_ONCE = 2_000

_ADD_RECORD = "INSERT INTO record (id, key, run, appended_us, value) VALUES (?, ?, ?, ?, ?)"
_ADD_STATE = """INSERT INTO state (space, key, value) VALUES (?, ?, ?)
    ON CONFLICT (space, key) DO UPDATE SET value = excluded.value"""
_DROP_STATE = "DELETE FROM state WHERE space = ? AND key = ?"
_ADD_COUNT = """INSERT INTO book (stage, run, outcome, reason, number) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (stage, run, outcome, reason) DO UPDATE SET number = number + excluded.number"""
_MOVE_OFFSET = """INSERT INTO group_offset (group_name, topic, next_offset) VALUES (?, ?, ?)
    ON CONFLICT (group_name, topic) DO UPDATE SET next_offset = max(next_offset, excluded.next_offset)"""
_JOIN_GROUP = """INSERT INTO group_offset (group_name, topic, next_offset)
    SELECT ?, name, first_offset FROM topic WHERE name = ? ON CONFLICT DO NOTHING"""


@dataclass(frozen=True, slots=True)
class _Topic:
    """A topic as last committed: its number in row ids, and the offset that its next record gets."""

    number: int
    next_offset: int


@dataclass(slots=True)
class _Waiting:
    """A settlement on its way into a transaction, and what became of it."""

    settlement: Settlement
    done: bool = False
    error: Exception | None = None


class EmbeddedLog:
    """The log of one machine; see `stream.protocol.Log` for the contract. Open it with `EmbeddedLog.open`.

    Settlements of several threads that wait at the same time share one transaction, and so one wait for the disk.
    A topic has one partition, so in a group one member reads it and the others stand by until that one closes.
    """

    def __init__(
        self, path: Path, clock: Clock, readers: Readers, lock: WriterLock | None, writer: sqlite3.Connection | None
    ) -> None:
        """Use `open` instead."""
        self._path, self._clock, self._readers, self._lock, self._writer = path, clock, readers, lock, writer
        self._wal, self._tail = WalKeeper(path), Tail()
        # Replaced as a whole after each commit, under `_writing` and `_changed`.
        self._topics: dict[str, _Topic] = {}
        self._writing = threading.Lock()
        self._queue: list[_Waiting] = []
        self._queueing = threading.Lock()
        # Guards what consumers wait for: ends of topics, who reads what, and closing.
        self._changed = threading.Condition()
        self._owners: dict[tuple[str, str], _EmbeddedConsumer] = {}
        self._closed = False

    @classmethod
    def open(
        cls, path: Path, *, read_only: bool = False, clock: Clock | None = None, max_bytes: int | None = None
    ) -> EmbeddedLog:
        """Open the log in the file `path`, creating file and folder when there are none.

        Args:
            path: the SQLite file; `-wal`, `-shm` and `.lock` files lie beside it.
            read_only: for a second process: counts, lag, state and dead letters; never waits for the writer.
            clock: for `appended_at`; the machine's by default.
            max_bytes: how large the file may grow, 1 or more; beyond it a settlement fails as on a full disk.

        Raises:
            Busy: another process writes this log.
            ConfigError: the folder cannot be used, or the file is not ours or newer than this program.
            BackendDown: the file is damaged or cannot be read, or (read-only) is not there yet.
        """
        readers = Readers(path)
        clock = clock or SystemClock()
        if read_only:
            readers.check()
            return cls(path, clock, readers, None, None)
        lock = WriterLock(path)
        try:
            log = cls(path, clock, readers, lock, open_writer(path, max_bytes))
            log._load_topics()
        except BaseException:
            lock.release()
            raise
        return log

    def _load_topics(self) -> None:
        with self._readers.connection() as connection:
            rows = connection.execute("SELECT name, id, next_offset FROM topic").fetchall()
        self._topics = {name: _Topic(number, next_offset) for name, number, next_offset in rows}

    # Reading

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group; from now on `prune` keeps what the group has not settled.

        Raises:
            BackendDown: the disk is full or broken.
            ValueError: the log is open for reading only.
        """
        with self._writing:
            known = dict(self._topics)
            with self._begun() as connection:
                for topic in topics:
                    self._ensure_topic(connection, known, topic)
                    connection.execute(_JOIN_GROUP, (group, topic))
            self._publish(known)
        return _EmbeddedConsumer(self, group, tuple(topics))

    def state(self, space: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        found: dict[str, bytes] = {}
        with self._readers.connection() as connection:
            for start in range(0, len(keys), KEYS_PER_QUERY):
                some = keys[start : start + KEYS_PER_QUERY]
                # The statement holds nothing but question marks.
                marks = ",".join("?" * len(some))
                query = f"SELECT key, value FROM state WHERE space = ? AND key IN ({marks})"  # noqa: S608
                found.update(connection.execute(query, (space, *some)))
        return found

    def counts(self) -> Sequence[Count]:
        with self._readers.connection() as connection:
            rows = connection.execute("SELECT stage, run, outcome, number, reason FROM book").fetchall()
        return [Count(stage, run, Outcome(outcome), number, reason) for stage, run, outcome, number, reason in rows]

    def lag(self, group: str, topics: Sequence[str]) -> int:
        query = """SELECT t.next_offset - coalesce(g.next_offset, t.first_offset) FROM topic AS t
            LEFT JOIN group_offset AS g ON g.topic = t.name AND g.group_name = ? WHERE t.name = ?"""
        with self._readers.connection() as connection:
            rows = [connection.execute(query, (group, topic)).fetchone() for topic in dict.fromkeys(topics)]
        return sum(row[0] for row in rows if row is not None)

    def appended(self, topic: str) -> int:
        with self._readers.connection() as connection:
            row = connection.execute("SELECT next_offset FROM topic WHERE name = ?", (topic,)).fetchone()
        return 0 if row is None else int(row[0])

    def records_of(self, topic: str, key: str) -> Sequence[LogRecord]:
        query = """SELECT r.id & ?, r.run, r.appended_us, r.value FROM topic AS t JOIN record AS r
            ON r.id >= t.id << ? AND r.id < (t.id + 1) << ? WHERE t.name = ? AND r.key = ? ORDER BY r.id"""
        arguments = ((1 << OFFSET_BITS) - 1, OFFSET_BITS, OFFSET_BITS, topic, key)
        with self._readers.connection() as connection:
            rows = connection.execute(query, arguments).fetchall()
        return [
            LogRecord(topic, PARTITION, offset, key, value, run, from_us(appended_us))
            for offset, run, appended_us, value in rows
        ]

    def dead_letters(
        self, *, after: int = 0, limit: int = 50, run: str | None = None, unresolved_only: bool = True
    ) -> Sequence[DeadLetterRow]:
        query = f"{LETTERS} WHERE number > ?"
        arguments: list[object] = [after]
        if run is not None:
            query += " AND run = ?"
            arguments.append(run)
        if unresolved_only:
            query += " AND resolved_us IS NULL"
        with self._readers.connection() as connection:
            rows = connection.execute(f"{query} ORDER BY number LIMIT ?", (*arguments, limit)).fetchall()
        return [letter_row(row) for row in rows]

    def dead_letter(self, number: int) -> DeadLetterRow | None:
        with self._readers.connection() as connection:
            row = connection.execute(f"{LETTERS} WHERE number = ?", (number,)).fetchone()
        return None if row is None else letter_row(row)

    # Writing

    def settle(self, settlement: Settlement) -> None:
        """Store all of the settlement in one transaction, or nothing of it.

        Raises:
            BackendDown: the disk is full or broken.
            ValueError: read-only, closed, offsets without a group, or an offset beyond the end of its topic.
        """
        if settlement.offsets and not settlement.group:
            raise ValueError("a settlement with offsets needs its group, found none")
        waiting = _Waiting(settlement)
        with self._queueing:
            self._queue.append(waiting)
        with self._writing:
            # Whoever held the lock before may have stored ours with its own.
            if not waiting.done:
                with self._queueing:
                    batch, self._queue = self._queue, []
                self._store(batch)
        if waiting.error is not None:
            raise waiting.error

    def _store(self, batch: list[_Waiting]) -> None:
        """Store settlements together; when that fails, one by one, so that each gets its own error."""
        try:
            self._store_at_once([waiting.settlement for waiting in batch])
        except Exception as exc:
            if len(batch) > 1:
                for waiting in batch:
                    self._store([waiting])
                return
            batch[0].error = exc
        for waiting in batch:
            waiting.done = True

    def _store_at_once(self, settlements: Sequence[Settlement]) -> None:
        known = dict(self._topics)
        appended: list[LogRecord] = []
        with self._begun() as connection:
            for settlement in settlements:
                appended += self._append(connection, known, settlement.outputs)
                _write_state(connection, settlement.state)
                connection.executemany(ADD_LETTER, [letter_values(letter) for letter in settlement.dead])
                connection.executemany(
                    _ADD_COUNT, [(c.stage, c.run, c.outcome.value, c.reason, c.number) for c in settlement.counts]
                )
                for (topic, _), next_offset in settlement.offsets.items():
                    end = known[topic].next_offset if topic in known else 0
                    if next_offset > end:
                        raise ValueError(f"cannot settle {topic} up to {next_offset}: its end is {end}")
                    connection.execute(_MOVE_OFFSET, (settlement.group, topic, next_offset))
            connection.executemany(
                "UPDATE topic SET next_offset = ? WHERE id = ?",
                [(topic.next_offset, topic.number) for name, topic in known.items() if topic != self._topics.get(name)],
            )
        self._publish(known, appended)

    def _append(
        self, connection: sqlite3.Connection, known: dict[str, _Topic], outputs: Sequence[OutRecord]
    ) -> list[LogRecord]:
        """Store outputs and give them as they are read back."""
        now = self._clock.now()
        ends: dict[str, int] = {}
        records: list[LogRecord] = []
        for out in outputs:
            topic = known.get(out.topic) or self._ensure_topic(connection, known, out.topic)
            offset = ends.get(out.topic, topic.next_offset)
            ends[out.topic] = offset + 1
            records.append(LogRecord(out.topic, PARTITION, offset, out.key, out.value, out.run, now, out.content))
        bases = {name: topic.number << OFFSET_BITS for name, topic in known.items()}
        us = to_us(now)
        connection.executemany(_ADD_RECORD, [(bases[r.topic] | r.offset, r.key, r.run, us, r.value) for r in records])
        for name, end in ends.items():
            known[name] = replace(known[name], next_offset=end)
        return records

    def _ensure_topic(self, connection: sqlite3.Connection, known: dict[str, _Topic], name: str) -> _Topic:
        if name not in known:
            added = connection.execute("INSERT INTO topic (name, first_offset, next_offset) VALUES (?, 0, 0)", (name,))
            known[name] = _Topic(int(added.lastrowid or 0), 0)
        return known[name]

    def resolve_dead_letters(self, numbers: Iterable[int], resolution: str, at: datetime) -> int:
        query = "UPDATE dead_letter SET resolved_us = ?, resolution = ? WHERE number = ? AND resolved_us IS NULL"
        with self._transaction() as connection:
            done = connection.executemany(query, [(to_us(at), resolution, number) for number in numbers])
            return max(done.rowcount, 0)

    def forget_dead_letters(self, numbers: Iterable[int], at: datetime) -> int:
        query = """UPDATE dead_letter SET payload = x'', detail = '', resolution = ?,
            resolved_us = coalesce(resolved_us, ?) WHERE number = ? AND resolution IS NOT ?"""
        with self._overwriting() as connection:
            rows = [(RETRACTED, to_us(at), number, RETRACTED) for number in numbers]
            return max(connection.executemany(query, rows).rowcount, 0)

    def cut_wal(self) -> bool:
        """Empty the write-ahead file, which may hold what was overwritten since; False where somebody reads right now.

        Raises:
            BackendDown: the disk is full or broken.
        """
        with self._writing:
            if self._writer is None:
                raise ValueError("the log is not open for writing")
            with translated(self._path):
                return cut_wal(self._writer, self._path)

    def prune(self, retention: timedelta, now: datetime) -> int:
        """Drop records older than `retention` that every group has settled, oldest first, in small transactions."""
        before_us = to_us(now - retention)
        return sum(self._prune_topic(name, before_us) for name in list(self._topics))

    def _prune_topic(self, name: str, before_us: int) -> int:
        dropped = 0
        while True:
            with self._transaction() as connection:
                (number, first, end) = connection.execute(
                    "SELECT id, first_offset, next_offset FROM topic WHERE name = ?", (name,)
                ).fetchone()
                (settled,) = connection.execute(
                    "SELECT coalesce(min(next_offset), ?) FROM group_offset WHERE topic = ?", (end, name)
                ).fetchone()
                base = number << OFFSET_BITS
                stop = min(settled, first + PRUNED_AT_ONCE)
                # Only the oldest stretch goes, even if the clock once jumped back: offsets stay without holes.
                (young,) = connection.execute(
                    "SELECT min(id) FROM (SELECT id, appended_us FROM record WHERE id >= ? AND id < ? ORDER BY id)"
                    " WHERE appended_us >= ?",
                    (base | first, base | stop, before_us),
                ).fetchone()
                stop = stop if young is None else young - base
                if stop <= first:
                    return dropped
                connection.execute("DELETE FROM record WHERE id >= ? AND id < ?", (base | first, base | stop))
                connection.execute("UPDATE topic SET first_offset = ? WHERE id = ?", (stop, number))
            self._tail.drop(name, stop)
            dropped += stop - first

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Wait until no other thread writes, then lend the writer inside a transaction of its own."""
        with self._writing, self._begun() as connection:
            yield connection

    @contextmanager
    def _overwriting(self) -> Iterator[sqlite3.Connection]:
        """As `_transaction`; what is freed in it is overwritten with zeros, which else would be work for nothing."""
        with self._writing:
            if self._writer is not None:
                self._writer.execute("PRAGMA secure_delete = ON")
            try:
                with self._begun() as connection:
                    yield connection
            finally:
                if self._writer is not None:
                    self._writer.execute("PRAGMA secure_delete = OFF")

    @contextmanager
    def _begun(self) -> Iterator[sqlite3.Connection]:
        """Lend the writer inside a transaction, committed at the end or undone; the caller holds `_writing`."""
        writer = self._writer
        if writer is None:
            raise ValueError("the log is open for reading only" if self._lock is None else "the log is closed")
        with translated(self._path):
            writer.execute("BEGIN IMMEDIATE")
            try:
                yield writer
                writer.execute("COMMIT")
            except BaseException:
                # SQLite has undone it by itself after some errors, a full disk among them.
                if writer.in_transaction:
                    writer.execute("ROLLBACK")
                raise
            self._wal.keep_small(writer)

    def _publish(self, known: dict[str, _Topic], appended: Sequence[LogRecord] = ()) -> None:
        """Let consumers see what was committed; the caller holds `_writing`."""
        with self._changed:
            self._tail.add(appended)
            self._topics = known
            self._changed.notify_all()

    # Waiting and closing

    def close(self) -> None:
        """Wake the waiting consumers, copy the WAL into the file and release it. Closing twice is fine."""
        with self._changed:
            if self._closed:
                return
            self._closed = True
            self._changed.notify_all()
        self._readers.close()
        with self._writing:
            writer, self._writer = self._writer, None
            try:
                if writer is not None:
                    writer.close()
            finally:
                if self._lock is not None:
                    self._lock.release()

    # For its consumers

    def _settled(self, group: str, topic: str) -> int:
        query = "SELECT next_offset FROM group_offset WHERE group_name = ? AND topic = ?"
        with self._readers.connection() as connection:
            (settled,) = connection.execute(query, (group, topic)).fetchone()
        return int(settled)

    def _records(self, topic: str, start: int, limit: int, max_bytes: int) -> list[LogRecord]:
        """Give records of a topic from offset `start` on: at least one, then while they fit in `max_bytes`."""
        records = self._tail.records(topic, start, limit, max_bytes)
        if records:
            return records
        known = self._topics[topic]
        base = known.number << OFFSET_BITS
        query = "SELECT id, key, run, appended_us, value FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        with self._readers.connection() as connection:
            rows = connection.execute(query, (base | start, base | known.next_offset, limit))
            for row_id, key, run, appended_us, value in rows:
                max_bytes -= len(value)
                if records and max_bytes < 0:
                    break
                records.append(LogRecord(topic, PARTITION, row_id - base, key, value, run, from_us(appended_us)))
            # An unfinished read would keep the WAL from being copied.
            rows.close()
        return records


class _EmbeddedConsumer:
    """A member of a group: reads the topics that no other member of this process reads."""

    def __init__(self, log: EmbeddedLog, group: str, topics: tuple[str, ...]) -> None:
        self._log, self._group, self._topics = log, group, topics
        # The next offset to give, for the topics that are ours; read from the file when a topic becomes ours.
        self._positions: dict[str, int] = {}
        self._turn = 0
        self._closed = False

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[LogRecord]:
        deadline = time.monotonic() + timeout_seconds
        with self._log._changed:
            while not (ready := self._ready()):
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    return []
                self._log._changed.wait(remaining)
        records: list[LogRecord] = []
        room = MAX_POLL_BYTES
        # Another topic first each time, so that a busy one cannot starve the others.
        self._turn += 1
        first = self._turn % len(ready)
        for topic in ready[first:] + ready[:first]:
            if len(records) >= max_records or room <= 0:
                break
            some = self._log._records(topic, self._positions[topic], max_records - len(records), room)
            room -= sum(len(record.value) for record in some)
            self._positions[topic] += len(some)
            records += some
        return records

    def _ready(self) -> list[str]:
        """Give our topics that have more than we read; the caller holds `_changed`."""
        if self._closed or self._log._closed:
            raise ValueError("the consumer or its log is closed")
        ready = []
        for topic in self._topics:
            if self._log._owners.setdefault((self._group, topic), self) is not self:
                continue
            if topic not in self._positions:
                self._positions[topic] = self._log._settled(self._group, topic)
            if self._log._topics[topic].next_offset > self._positions[topic]:
                ready.append(topic)
        return ready

    def joined(self) -> bool:
        return True

    def rewind(self) -> None:
        self._positions.clear()

    def close(self) -> None:
        with self._log._changed:
            self._closed = True
            for topic in self._topics:
                if self._log._owners.get((self._group, topic)) is self:
                    del self._log._owners[self._group, topic]
            self._log._changed.notify_all()


def _write_state(connection: sqlite3.Connection, writes: Sequence[StateWrite]) -> None:
    last = {(write.space, write.key): write.value for write in writes}
    connection.executemany(
        _ADD_STATE, [(space, key, value) for (space, key), value in last.items() if value is not None]
    )
    connection.executemany(_DROP_STATE, [place for place, value in last.items() if value is None])
