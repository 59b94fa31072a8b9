"""What must not come back, in the embedded store: tombstones, who wrote what, and the ledger, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from domain import ids
from domain.clock import from_ms, to_ms
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from search.retractions import RetractionRow, Stone, author_id_of, author_key_of, row_of
from stream.codec import glance

# The tombstones of posts are older than these tables. `mention_author` finds an author's mentions by a hash of 8 bytes;
# what is found is compared in full.
RETRACTION_TABLES: Final = """
CREATE TABLE IF NOT EXISTS author_tombstone (
    author_key TEXT PRIMARY KEY, retracted_ms INTEGER NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS restoration (
    subject TEXT NOT NULL, key TEXT NOT NULL, restored_ms INTEGER NOT NULL, taken_from_ms INTEGER NOT NULL,
    source TEXT NOT NULL, PRIMARY KEY (subject, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mention_author (
    author INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (author, row)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retraction (
    row_id TEXT PRIMARY KEY, subject TEXT NOT NULL, key TEXT NOT NULL, source TEXT NOT NULL, reason TEXT NOT NULL,
    asked_by TEXT NOT NULL, asked_ms INTEGER NOT NULL, done_ms INTEGER, mentions INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS retraction_asked ON retraction (asked_ms, row_id);
"""

ROWS_SQL: Final = (
    "SELECT subject, key, source, reason, asked_by, asked_ms, done_ms, mentions FROM retraction"
    " WHERE ?1 IS NULL OR done_ms >= ?1 ORDER BY asked_ms DESC, row_id DESC LIMIT ?2"
)
RETRACTED_SQL: Final = """
SELECT retracted_ms FROM tombstone LEFT JOIN restoration ON subject = 'post' AND key = post_id
WHERE post_id = ? AND (restored_ms IS NULL OR retracted_ms >= restored_ms)
"""
AUTHORS_SQL: Final = "SELECT author_key, retracted_ms, source, reason FROM author_tombstone"
RESTORATIONS_SQL: Final = "SELECT subject, key, restored_ms, taken_from_ms, source FROM restoration"
_STONES_SQL: Final = {
    "post": """
        SELECT wanted, retracted_ms, restored_ms, taken_from_ms FROM (SELECT value AS wanted FROM json_each(?))
        LEFT JOIN tombstone ON post_id = wanted LEFT JOIN restoration ON subject = 'post' AND key = wanted
        WHERE retracted_ms IS NOT NULL OR restored_ms IS NOT NULL""",
    "author": """
        SELECT wanted, retracted_ms, restored_ms, taken_from_ms FROM (SELECT value AS wanted FROM json_each(?))
        LEFT JOIN author_tombstone ON author_key = wanted
        LEFT JOIN restoration ON subject = 'author' AND key = wanted
        WHERE retracted_ms IS NOT NULL OR restored_ms IS NOT NULL""",
}
_AT_ONCE: Final = 1_000


def row_from(row: Sequence[Any]) -> RetractionRow:
    """Give a row of `ROWS_SQL`."""
    subject, key, source, reason, asked_by, asked_ms, done_ms, mentions = row
    return RetractionRow(
        subject=subject,
        key=key,
        source=source,
        reason=reason,
        asked_by=asked_by,
        asked_at=from_ms(asked_ms),
        done_at=None if done_ms is None else from_ms(done_ms),
        mentions=mentions,
    )


def keep_rows(connection: sqlite3.Connection, rows: Iterable[RetractionRow]) -> None:
    """Keep rows of the ledger, in the transaction of the caller; one that is kept already stays as it is."""
    for row in rows:
        done_ms = None if row.done_at is None else to_ms(row.done_at)
        connection.execute(
            "INSERT OR IGNORE INTO retraction VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(row.row_id, row.subject, row.key, row.source, row.reason, row.asked_by),
                *(to_ms(row.asked_at), done_ms, row.mentions),
            ),
        )


def restoration_from(row: Sequence[Any]) -> Restoration:
    """Give a row of `RESTORATIONS_SQL`."""
    subject, key, restored_ms, taken_from_ms, source = row
    return Restoration(
        source=source,
        restored_at=from_ms(restored_ms),
        taken_from=from_ms(taken_from_ms),
        post_id=key if subject == "post" else None,
        author_key=key if subject == "author" else None,
    )


def note_authors(connection: sqlite3.Connection) -> None:
    """Note who wrote the mentions that are there, in a folder that is older than the table of it."""
    row = 0
    sql = "SELECT row, json FROM mention WHERE row > ? AND json IS NOT NULL ORDER BY row LIMIT ?"
    while found := connection.execute(sql, (row, _AT_ONCE)).fetchall():
        written = []
        for row, content in found:
            document = glance(content)
            if "author_id" in document:
                written.append((_author(ids.author_key(document["source"], document["author_id"])), row))
        connection.executemany("INSERT OR IGNORE INTO mention_author VALUES (?, ?)", written)


def _author(author_key: str) -> int:
    digest = blake2b(author_key.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


class Live(NamedTuple):
    """A mention that is there: its row and whose it is."""

    row: int
    post_id: str


class Forbidden:
    """What must not come back, as one transaction sees and changes it."""

    def __init__(self, connection: sqlite3.Connection, now: datetime) -> None:
        self._connection, self._now = connection, now
        self._execute = connection.execute
        self._authors: dict[str, Stone] = {}
        self._posts: dict[str, Stone] = {}

    def read(self, records: Iterable[object], known_posts: Iterable[str]) -> None:
        """Read what there is of the authors of these mentions, and of these posts."""
        keys = {key for one in records if isinstance(one, Mention) and (key := author_key_of(one)) is not None}
        self._authors = self._stones("author", keys)
        self._posts = self._stones("post", known_posts)

    def _stones(self, subject: str, keys: Iterable[str]) -> dict[str, Stone]:
        wanted = json.dumps(list(keys))
        return {key: Stone(*rest) for key, *rest in self._execute(_STONES_SQL[subject], (wanted,))}

    def forbids(self, record: Mention | Withdrawal) -> bool:
        """Tell whether a write is refused."""
        stone = self._posts.get(record.post_id)
        if stone is not None and stone.forbids(record):
            return True
        key = author_key_of(record) if isinstance(record, Mention) else None
        stone = None if key is None else self._authors.get(key)
        return stone is not None and stone.forbids(record)

    def wrote(self, row: int, mention: Mention) -> None:
        """Note whose a new row is."""
        key = author_key_of(mention)
        if key is not None:
            self._execute("INSERT OR IGNORE INTO mention_author VALUES (?, ?)", (_author(key), row))

    def retract(self, retraction: Retraction | AuthorRetraction) -> tuple[Stone, Stone]:
        """Keep the tombstone; gives what was known of the subject before and what is known now."""
        if isinstance(retraction, Retraction):
            stones, subject, key = self._posts, "post", retraction.post_id
        else:
            stones, subject, key = self._authors, "author", retraction.author_key
        before = stones.get(key) or self._stone(subject, key)
        at_ms = to_ms(retraction.retracted_at)
        stones[key] = after = before.retracted(at_ms)
        if after != before:
            if isinstance(retraction, Retraction):
                self._execute(
                    "INSERT INTO tombstone VALUES (?, ?) ON CONFLICT DO UPDATE"
                    " SET retracted_ms = excluded.retracted_ms",
                    (key, at_ms),
                )
            else:
                self._execute(
                    "INSERT INTO author_tombstone VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                    " retracted_ms = excluded.retracted_ms, source = excluded.source, reason = excluded.reason",
                    (key, at_ms, retraction.source, retraction.reason),
                )
        return before, after

    def restore(self, restoration: Restoration) -> bool:
        """Keep a restoration; tells whether the subject was gone and no longer is."""
        subject, key, stones = "post", restoration.post_id, self._posts
        if key is None:
            subject, key, stones = "author", restoration.author_key or "", self._authors
        before = stones.get(key) or self._stone(subject, key)
        at_ms, from_ms_ = to_ms(restoration.restored_at), to_ms(restoration.taken_from)
        stones[key] = after = before.restored(at_ms, from_ms_)
        if after != before:
            self._execute(
                "INSERT INTO restoration VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " restored_ms = excluded.restored_ms, taken_from_ms = excluded.taken_from_ms",
                (subject, key, at_ms, from_ms_, restoration.source),
            )
        return before.blocks and not after.blocks

    def _stone(self, subject: str, key: str) -> Stone:
        return self._stones(subject, [key]).get(key, Stone())

    def going(self, post_id: str, stone: Stone) -> list[Live]:
        """Find the mentions of a post that go."""
        sql = "SELECT row, post_id, json FROM mention WHERE post_id = ? AND json IS NOT NULL"
        return [
            Live(row, post_id)
            for row, post_id, content in self._execute(sql, (post_id,)).fetchall()
            if _goes(stone, content)
        ]

    def going_of(self, retraction: AuthorRetraction, stone: Stone) -> list[Live]:
        """Find the mentions of an author that go, and forget that they are the author's."""
        author, author_id = _author(retraction.author_key), author_id_of(retraction)
        sql = (
            "SELECT row, post_id, json FROM mention_author JOIN mention USING (row)"
            " WHERE author = ? AND json IS NOT NULL"
        )
        found = []
        for row, post_id, content in self._execute(sql, (author,)).fetchall():
            document = glance(content)
            is_theirs = (document.get("source"), document.get("author_id")) == (retraction.source, author_id)
            if is_theirs and _goes(stone, content):
                found.append(Live(row, post_id))
                self._execute("DELETE FROM mention_author WHERE author = ? AND row = ?", (author, row))
        return found

    def book(self, record: Retraction | AuthorRetraction, mentions: int) -> None:
        """Keep the row of the ledger; the same record again changes nothing."""
        row = row_of(record)
        if row is not None:
            keep_rows(self._connection, [replace(row, done_at=self._now, mentions=mentions)])


def _goes(stone: Stone, content: bytes) -> bool:
    return stone.blocks or stone.forbids_collected(datetime.fromisoformat(glance(content)["collected_at"]))


def tombstones(
    posts: Iterable[Sequence[Any]], authors: Iterable[Sequence[Any]], restorations: Iterable[Sequence[Any]]
) -> Iterator[Retraction | AuthorRetraction | Restoration]:
    """Give all that must not come back, restorations first: what is back stays where it is read in."""
    yield from map(restoration_from, restorations)
    for post_id, retracted_ms in posts:
        yield Retraction(post_id=post_id, source=post_id.partition(":")[0], retracted_at=from_ms(retracted_ms))
    for author_key, retracted_ms, source, reason in authors:
        yield AuthorRetraction(author_key=author_key, source=source, retracted_at=from_ms(retracted_ms), reason=reason)
