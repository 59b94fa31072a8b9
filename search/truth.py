"""The embedded store's truth: mentions by id and version in SQLite, and how far the index has followed it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from domain.engagement import Engagement
from domain.errors import BackendDown, ConfigError, RetryLater
from domain.records import AuthorRetraction, Event, Mention, Restoration, Retraction, Withdrawal
from domain.stories import Signature
from search.retractions import RetractionRow
from search.store import Written
from search.stories import Place, Stories
from search.truth_engagement import engage
from search.truth_listening import GAPS_SQL, HEARTBEATS_SQL, LISTENING_TABLES, note
from search.truth_retractions import (
    AUTHORS_SQL,
    RESTORATIONS_SQL,
    RETRACTED_SQL,
    RETRACTION_TABLES,
    ROWS_SQL,
    Forbidden,
    Live,
    keep_rows,
    note_authors,
    row_from,
    tombstones,
)
from search.truth_stories import STORY_SQL, STORY_TABLES, ShelfMemory, TruthShelf, numbers
from stream.embedded_file import cut_wal

# Raise when the tables change in a way that older programs cannot read, or cannot write without harm.
# 2: stories. A folder of schema 1 is given their tables when a writer opens it; its mentions have no story.
# 3: authors that are gone, which an older program would let in again. An older folder is given their tables likewise.
TRUTH_SCHEMA: Final = 3
_WITHOUT_STORIES: Final = 1
_WITHOUT_AUTHORS: Final = 2
_BUSY_SECONDS: Final = 10.0
# The version of a row that a retraction emptied: below that of any mention that comes after a restoration.
_RETRACTED: Final = 0
# Rows read at a time when all are read.
_PAGE: Final = 1_000
# A page cache of 64 MB keeps the inner pages of the index on random mention ids in memory for a million rows.
_CACHE_KIB: Final = 64_000
# A batch changes hundreds of pages of the indices on random ids, the same ones again and again: at SQLite's own 1,000
# every second batch copies them into the file.
_CHECKPOINT_PAGES: Final = 4_000

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS mention (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    mention_id TEXT NOT NULL UNIQUE,
    post_id TEXT NOT NULL,
    brand_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    json BLOB
) STRICT;
CREATE INDEX IF NOT EXISTS mention_post ON mention (post_id);
CREATE UNIQUE INDEX IF NOT EXISTS mention_seq ON mention (seq);
CREATE TABLE IF NOT EXISTS tombstone (post_id TEXT PRIMARY KEY, retracted_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS fact (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT OR IGNORE INTO fact VALUES ('live', 0), ('indexed_seq', 0), ('index_folder', 0), ('index_schema', 0);
"""


@dataclass(frozen=True, slots=True)
class IndexFacts:
    """Which index belongs to the truth, and the last change that it holds. Folder 0: there is none yet."""

    folder: int
    schema: int
    indexed_seq: int


@dataclass(frozen=True, slots=True)
class Change:
    """A row as it is now, and the number of its last change. `json` None: nothing is there any more."""

    row: int
    seq: int
    mention_id: str
    version: int
    json: bytes | None
    story_id: str | None


class Content(NamedTuple):
    """A mention to write: its JSON, and what its story is found by (None: it gets no story)."""

    mention: Mention
    json: bytes
    signature: Signature | None


class Kept(NamedTuple):
    """A mention as it is kept: its JSON, and its post's story (None: what the JSON says)."""

    json: bytes
    story_id: str | None


class StoryRow(NamedTuple):
    """A story: its original's id, one of its mentions as JSON, times in ms since 1970."""

    post_id: str
    json: bytes
    first_ms: int
    posts: int
    mentions: int
    last_ms: int


Write: TypeAlias = Content | Withdrawal | Retraction | AuthorRetraction | Restoration


@contextmanager
def translated(path: Path, mend: str = "Restore it from a backup, or replay the log") -> Iterator[None]:
    """Turn SQLite's errors into ours; `mend` says what to do about a damaged file."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        if exc.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise RetryLater(f"{path} is locked by another process: {exc}", 1.0) from exc
        if exc.sqlite_errorcode == sqlite3.SQLITE_FULL:
            raise BackendDown(f"the disk of {path} is full: free some space, nothing written so far is lost") from exc
        raise BackendDown(f"{path} cannot be read or written: {exc}. Check the disk and the permissions") from exc
    except sqlite3.DatabaseError as exc:
        raise BackendDown(f"{path} is damaged: {exc}. {mend}") from exc


class Truth:
    """The tables of one data folder. Thread-safe; one process may write (the store holds the lock).

    A row is never removed: what was withdrawn or retracted keeps its ids and version without its content, so that
    the index learns of it and a late lower version finds it. Every method may raise RetryLater and BackendDown.
    """

    def __init__(self, path: Path, *, read_only: bool) -> None:
        self._path = path
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._memory = ShelfMemory()
        self._has_stories = self._has_authors = False
        if read_only and not path.exists():
            raise BackendDown(f"there is no store at {path}: start the pipeline, or check the data folder")
        with translated(path):
            self._writer = None if read_only else self._connect(read_only=False)
            try:
                if self._writer is not None:
                    _create_tables(self._writer)
                self._reader = self._connect(read_only=True)
            except BaseException:
                if self._writer is not None:
                    self._writer.close()
                raise
        try:
            self._check_schema()
            self._last_seq = self.max_seq()
        except BaseException:
            self.close()
            raise

    def _connect(self, *, read_only: bool) -> sqlite3.Connection:
        # "rw" and not "ro": a reader must be able to make the shared-memory file of a database that nobody has open.
        mode = "rw" if read_only else "rwc"
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            if read_only:
                connection.execute("PRAGMA query_only = ON")
            else:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")
                # A retraction must take every trace: freed space is overwritten with zeros.
                connection.execute("PRAGMA secure_delete = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_schema(self) -> None:
        found = self._number("PRAGMA user_version")
        if found == 0:
            raise BackendDown(f"the store at {self._path} is not made yet: wait for the pipeline to start")
        if not _WITHOUT_STORIES <= found <= TRUTH_SCHEMA:
            raise ConfigError(
                f"{self._path} has schema {found}, this program reads {TRUTH_SCHEMA}: use the version that wrote it"
            )
        self._has_stories = found > _WITHOUT_STORIES
        self._has_authors = found > _WITHOUT_AUTHORS

    def close(self) -> None:
        """Release the file."""
        with self._writing, self._reading:
            self._reader.close()
            if self._writer is not None:
                self._writer.close()

    # --- reading

    def _rows(self, sql: str, *parameters: object) -> list[Any]:
        with self._reading, translated(self._path):
            return self._reader.execute(sql, parameters).fetchall()

    def _number(self, sql: str, *parameters: object) -> int:
        ((value,),) = self._rows(sql, *parameters)
        return int(value or 0)

    @property
    def last_seq(self) -> int:
        """The number of the last change that this process wrote, or found when it opened."""
        return self._last_seq

    def max_seq(self) -> int:
        """Give the number of the last change that any process wrote."""
        return self._number("SELECT max(seq) FROM mention")

    def max_row(self) -> int:
        """Give the highest row; 0 when there is none."""
        return self._number("SELECT max(row) FROM mention")

    def count(self) -> int:
        """Give how many mentions are stored."""
        return self._number("SELECT value FROM fact WHERE name = 'live'")

    def count_rows(self) -> int:
        """Give how many rows there are, those without content included."""
        return self._number("SELECT count(seq) FROM mention")

    def _with_story(self, columns: str, rest: str, *parameters: object) -> list[Any]:
        """Read columns of `mention`, and the story of its post last."""
        if not self._has_stories:
            # A reader of a folder that no writer has opened since there are stories.
            self._check_schema()
        story, join = ("story_id", "LEFT JOIN story_post USING (post_id)") if self._has_stories else ("NULL", "")
        return self._rows(f"SELECT {columns}, {story} FROM mention {join} {rest}", *parameters)  # noqa: S608

    def get(self, mention_id: str) -> Kept | None:
        """Give a mention, or None."""
        rows = self._with_story("json", "WHERE mention_id = ? AND json IS NOT NULL", mention_id)
        return Kept(*rows[0]) if rows else None

    def retracted_ms(self, post_id: str) -> int | None:
        """Give when a post was retracted, or None."""
        rows = self._forbidden(RETRACTED_SQL, post_id)
        if not self._has_authors:
            rows = self._rows("SELECT retracted_ms FROM tombstone WHERE post_id = ?", post_id)
        return rows[0][0] if rows else None

    def _forbidden(self, sql: str, *parameters: object) -> list[Any]:
        """Read by a query of `search.truth_retractions`; nothing where no writer made its tables yet."""
        if not self._has_authors:
            self._check_schema()
        return self._rows(sql, *parameters) if self._has_authors else []

    def retractions(self, limit: int, done_since_ms: int | None) -> list[RetractionRow]:
        """Give the newest rows of the ledger."""
        return [row_from(row) for row in self._forbidden(ROWS_SQL, done_since_ms, limit)]

    def story(self, story_id: str) -> StoryRow | None:
        """Give a story as it is now, or None when no post has it."""
        if not self._has_stories:
            self._check_schema()
        rows = self._rows(STORY_SQL, story_id) if self._has_stories else []
        return StoryRow(*rows[0]) if rows else None

    def live_ids(self, rows: Iterable[int]) -> Mapping[int, str]:
        """Give the mention ids of these rows; rows without content are left out."""
        sql = "SELECT row, mention_id FROM mention WHERE row IN (SELECT value FROM json_each(?)) AND json IS NOT NULL"
        return dict(self._rows(sql, _json_list(rows)))

    def contents(self, rows: Iterable[int]) -> Mapping[int, Kept]:
        """Give the mentions of these rows; rows without content are left out."""
        rest = "WHERE row IN (SELECT value FROM json_each(?)) AND json IS NOT NULL"
        return {row: Kept(*kept) for row, *kept in self._with_story("row, json", rest, _json_list(rows))}

    def changes_after(self, seq: int, limit: int) -> list[Change]:
        """Give rows whose last change is above `seq`, in order of the changes, each as it is now."""
        columns, rest = "row, seq, mention_id, mention.version, json", "WHERE seq > ? ORDER BY seq LIMIT ?"
        return [Change(*row) for row in self._with_story(columns, rest, seq, limit)]

    def gone_since(self, seq: int) -> list[int]:
        """Give the rows that lost their content by a change above `seq`."""
        return [row for (row,) in self._rows("SELECT row FROM mention WHERE seq > ? AND json IS NULL", seq)]

    def index_facts(self) -> IndexFacts:
        """Give which index belongs to this truth."""
        facts = dict(self._rows("SELECT name, value FROM fact"))
        return IndexFacts(facts["index_folder"], facts["index_schema"], facts["indexed_seq"])

    # --- reading all of it, while writes go on

    def story_posts(self) -> Iterator[tuple[str, Place, bytes | None]]:
        """Give the posts of stories, each with its place and its newest mention as JSON (None: it has just gone)."""
        after: tuple[str, int, str] = ("", -1 << 63, "")
        columns = "story_id, at_ms, post_id, version, text, keys"
        newest = "SELECT json FROM mention WHERE post_id = story_post.post_id AND json IS NOT NULL"
        sql = (
            f"SELECT {columns}, ({newest} ORDER BY mention.version DESC, mention_id LIMIT 1) FROM story_post"  # noqa: S608
            " WHERE (story_id, at_ms, post_id) > (?, ?, ?) ORDER BY story_id, at_ms, post_id LIMIT ?"
        )
        while self._has_stories and (rows := self._rows(sql, *after, _PAGE)):
            for story_id, at_ms, post_id, version, text, keys, content in rows:
                yield post_id, Place(story_id, at_ms, version, text, numbers(keys)), content
                after = (story_id, at_ms, post_id)

    def mentions(self) -> Iterator[Kept]:
        """Give every mention."""
        row, last = 0, self.max_row()
        while row < last:
            rest = "WHERE row > ? AND row <= ? AND json IS NOT NULL ORDER BY row LIMIT ?"
            found = self._with_story("row, json", rest, row, last, _PAGE)
            yield from (Kept(content, story_id) for _, content, story_id in found)
            row = found[-1][0] if len(found) == _PAGE else last

    def withdrawals(self) -> Iterator[Withdrawal]:
        """Give every mention that was withdrawn and not retracted."""
        row = 0
        sql = (
            "SELECT row, mention_id, post_id, brand_id, version FROM mention WHERE row > ? AND json IS NULL"
            " AND version > ?"
            " AND NOT EXISTS (SELECT 1 FROM tombstone WHERE tombstone.post_id = mention.post_id) ORDER BY row LIMIT ?"
        )
        while found := self._rows(sql, row, _RETRACTED, _PAGE):
            for row, mention_id, post_id, brand_id, version in found:  # noqa: B007
                yield Withdrawal(mention_id=mention_id, post_id=post_id, brand_id=brand_id, version=version)

    def tombstones(self) -> Iterator[Retraction | AuthorRetraction | Restoration]:
        """Give every retracted post and author, and what was restored."""
        # At once: one that comes meanwhile must not hide behind those that were read.
        posts = self._rows("SELECT post_id, retracted_ms FROM tombstone")
        return tombstones(posts, self._forbidden(AUTHORS_SQL), self._forbidden(RESTORATIONS_SQL))

    def _events(self, sql: str, *parameters: object) -> list[bytes]:
        """Give events as JSON by a query of `search.truth_listening`; none where no writer made its table."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'gap'"):
            return []
        return [row[0] for row in self._rows(sql, *parameters)]

    def heartbeats(self) -> list[bytes]:
        """Give the last heartbeat of each source as JSON."""
        return self._events(HEARTBEATS_SQL)

    def gaps(self, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        """Give the gaps that touch `[start_ms, end_ms)` as JSON, the oldest first."""
        return self._events(GAPS_SQL, start_ms, end_ms, limit)

    # --- writing

    def note(self, events: Iterable[Event]) -> None:
        """Keep heartbeats and gaps, all or none."""
        with self._transaction() as connection:
            note(connection, events)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._writer is None:
            raise ValueError("this store was opened for reading only")
        with self._writing, translated(self._path):
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                # A full disk has rolled back already.
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    def apply(self, records: Sequence[Write], now: datetime) -> list[Written]:
        """Write records in order at `now`, all or none; tells for each what it did.

        Stories are assigned on the way. See `search.store.Store.write` for what overrides what.
        """
        try:
            with self._transaction() as connection:
                batch = _Batch(connection, self._last_seq, self._memory, now)
                stored = batch.apply_all(records)
                if batch.live_change:
                    connection.execute("UPDATE fact SET value = value + ? WHERE name = 'live'", (batch.live_change,))
        except BaseException:
            self._memory.forget()
            raise
        self._last_seq = batch.seq
        return stored

    def adopt(self, posts: Iterable[tuple[str, Place]]) -> None:
        """Put posts where another store has them, except those known or retracted here."""
        adopted = list(posts)
        try:
            with self._transaction() as connection:
                shelf = TruthShelf(connection, self._memory, {post_id for post_id, _ in adopted})
                for post_id, place in adopted:
                    if connection.execute(RETRACTED_SQL, (post_id,)).fetchone() is None:
                        shelf.adopt(post_id, place)
        except BaseException:
            self._memory.forget()
            raise

    def engage(self, posts: Mapping[str, Engagement]) -> int:
        """Give mentions of posts new numbers, all or none; gives how many changed. Nobody may `apply` meanwhile."""
        with self._transaction() as connection:
            before = self._last_seq
            seq = engage(connection, before, posts)
        self._last_seq = seq
        return seq - before

    def keep_rows(self, rows: Iterable[RetractionRow]) -> None:
        """Keep rows of the ledger of another store."""
        with self._transaction() as connection:
            keep_rows(connection, rows)

    def cut_wal(self) -> bool:
        """Copy the write-ahead file into the tables' and cut it; tells whether nobody was in the way."""
        if self._writer is None:
            raise ValueError("this store was opened for reading only")
        with self._writing, translated(self._path):
            return cut_wal(self._writer, self._path)

    def set_indexed(self, seq: int) -> None:
        """Record that the index durably holds every change up to `seq`."""
        with self._transaction() as connection:
            connection.execute("UPDATE fact SET value = ? WHERE name = 'indexed_seq'", (seq,))

    def set_index(self, facts: IndexFacts) -> None:
        """Point to another index folder, for every process at once."""
        with self._transaction() as connection:
            connection.executemany(
                "UPDATE fact SET value = ? WHERE name = ?",
                [
                    (facts.folder, "index_folder"),
                    (facts.schema, "index_schema"),
                    (facts.indexed_seq, "indexed_seq"),
                ],
            )


_KNOWN_POSTS_SQL: Final = """
SELECT post_id FROM mention WHERE post_id IN (SELECT value FROM json_each(?1))
UNION SELECT post_id FROM tombstone WHERE post_id IN (SELECT value FROM json_each(?1))
UNION SELECT post_id FROM story_post WHERE post_id IN (SELECT value FROM json_each(?1))
"""


class _Batch:
    """One transaction's worth of writes: numbers the changes and counts what came and went."""

    def __init__(self, connection: sqlite3.Connection, seq: int, memory: ShelfMemory, now: datetime) -> None:
        self._execute = connection.execute
        self._forbidden = Forbidden(connection, now)
        # Posts of which the tables hold something; what they do not hold need not be looked up.
        self._known: set[str] = set()
        self._stories = Stories(TruthShelf(connection, memory, self._known), memory.shingles)
        self.seq = seq
        self.live_change = 0

    def apply_all(self, records: Sequence[Write]) -> list[Written]:
        """Write records in order; tells for each what it did."""
        posts = [_post_of(record) for record in records]
        named = json.dumps([post for post in posts if post is not None])
        self._known.update(post_id for (post_id,) in self._execute(_KNOWN_POSTS_SQL, (named,)))
        self._forbidden.read((one.mention for one in records if isinstance(one, Content)), self._known)
        stored: list[Written] = []
        for post_id, record in zip(posts, records, strict=True):
            stored.append(self._apply(record))
            if post_id is not None:
                self._known.add(post_id)
        return stored

    def _apply(self, record: Write) -> Written:
        if isinstance(record, Retraction):
            return self._retract(record)
        if isinstance(record, AuthorRetraction):
            return self._retract_author(record)
        if isinstance(record, Restoration):
            return _written(self._forbidden.restore(record))
        subject, content, signature = record if isinstance(record, Content) else (record, None, None)
        if self._forbidden.forbids(subject):
            return Written.SUPERSEDED
        if (written := self._put(subject, content)) is not Written.STORED:
            return written
        if isinstance(record, Withdrawal):
            self._end_without_mentions(subject.post_id)
        elif signature is not None and self._stories.put(record.mention, signature):
            self._touch_others(record.mention)
        return Written.STORED

    def _put(self, subject: Mention | Withdrawal, content: bytes | None) -> Written:
        found = None
        if subject.post_id in self._known:
            sql = "SELECT row, version, json IS NOT NULL FROM mention WHERE mention_id = ?"
            found = self._execute(sql, (subject.mention_id,)).fetchone()
        if found is None:
            self.seq += 1
            made = self._execute(
                "INSERT INTO mention (mention_id, post_id, brand_id, version, seq, json) VALUES (?, ?, ?, ?, ?, ?)",
                (subject.mention_id, subject.post_id, subject.brand_id, subject.version, self.seq, content),
            )
            if isinstance(subject, Mention):
                self._forbidden.wrote(made.lastrowid or 0, subject)
            self.live_change += content is not None
            return Written.STORED
        row, version, live = found
        # At equal versions a withdrawal takes the mention away, and nothing else changes anything.
        if subject.version < version or (subject.version == version and (content is not None or not live)):
            same = subject.version == version and live
            if same and isinstance(subject, Mention) and self._enriched_at(row) != subject.enriched_at:
                return Written.REPEATED
            return Written.SUPERSEDED
        self.seq += 1
        self._execute(
            "UPDATE mention SET version = ?, seq = ?, json = ? WHERE row = ?", (subject.version, self.seq, content, row)
        )
        if isinstance(subject, Mention) and not live:
            # Nobody's until now: withdrawn first, or its author was gone meanwhile.
            self._forbidden.wrote(row, subject)
        self.live_change += (content is not None) - live
        return Written.STORED

    def _enriched_at(self, row: int) -> datetime:
        """Give when the stored mention of a row was enriched; asked only where one comes again."""
        (content,) = self._execute("SELECT json FROM mention WHERE row = ?", (row,)).fetchone()
        return datetime.fromisoformat(json.loads(content)["enriched_at"])

    def _retract(self, retraction: Retraction) -> Written:
        before, stone = self._forbidden.retract(retraction)
        going = self._forbidden.going(retraction.post_id, stone) if stone != before else []
        self._empty(going)
        self._forbidden.book(retraction, len(going))
        return _written(stone.blocks and not before.blocks)

    def _retract_author(self, retraction: AuthorRetraction) -> Written:
        before, stone = self._forbidden.retract(retraction)
        going = self._forbidden.going_of(retraction, stone) if stone != before else []
        self._empty(going)
        self._forbidden.book(retraction, len(going))
        return _written(stone.blocks and not before.blocks)

    def _empty(self, going: Sequence[Live]) -> None:
        """Take the content of mentions away; after a restoration any version of them may come."""
        for row, _ in going:
            self.seq += 1
            sql = "UPDATE mention SET seq = ?, version = ?, json = NULL WHERE row = ?"
            self._execute(sql, (self.seq, _RETRACTED, row))
            self.live_change -= 1
        for post_id in dict.fromkeys(post_id for _, post_id in going):
            self._known.add(post_id)
            self._end_without_mentions(post_id)

    def _live(self, post_id: str) -> list[tuple[int, str]]:
        sql = "SELECT row, mention_id FROM mention WHERE post_id = ? AND json IS NOT NULL"
        return self._execute(sql, (post_id,)).fetchall()

    def _end_without_mentions(self, post_id: str) -> None:
        if not self._live(post_id):
            self._stories.remove(post_id)

    def _touch_others(self, mention: Mention) -> None:
        """Let the index learn that the other mentions of a post have another story."""
        if mention.post_id not in self._known:
            return
        for row, mention_id in self._live(mention.post_id):
            if mention_id != mention.mention_id:
                self.seq += 1
                self._execute("UPDATE mention SET seq = ? WHERE row = ?", (self.seq, row))


def _create_tables(connection: sqlite3.Connection) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found < TRUTH_SCHEMA:
        connection.executescript(f"BEGIN; {_TABLES} {STORY_TABLES} {RETRACTION_TABLES}")
        note_authors(connection)
        # One by one: a script would commit what was begun.
        connection.execute(f"PRAGMA user_version = {TRUTH_SCHEMA}")
        connection.execute("COMMIT")
    # Beside the mentions: a program that does not know these tables leaves them alone.
    connection.executescript(LISTENING_TABLES)


def _post_of(record: Write) -> str | None:
    if isinstance(record, Content):
        return record.mention.post_id
    return None if isinstance(record, AuthorRetraction) else record.post_id


def _written(changed: bool) -> Written:
    return Written.STORED if changed else Written.SUPERSEDED


def _json_list(numbers: Iterable[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"
