"""Stories in the embedded store: the shelf in SQLite, written in the transaction that stores mentions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence, Set
from functools import lru_cache
from typing import Final

from domain.records import Mention
from domain.stories import shingles, story_words
from search.stories import MOST_OF_A_KEY, Original, Place, ShinglesCache
from stream.codec import glance

# In order of time, so that the first row of a story is its original.
STORY_TABLES: Final = """
CREATE TABLE IF NOT EXISTS story_post (
    story_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    post_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    text INTEGER NOT NULL,
    keys BLOB NOT NULL,
    PRIMARY KEY (story_id, at_ms, post_id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS story_of_post ON story_post (post_id);
CREATE TABLE IF NOT EXISTS story_key (
    key INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    story_id TEXT NOT NULL,
    PRIMARY KEY (key, at_ms, story_id)
) STRICT, WITHOUT ROWID;
"""

# Originals kept in memory, some 300 bytes each.
MOST_ORIGINALS: Final = 16_384
_KEY_BYTES: Final = 4
_KEY_BITS: Final = 8 * _KEY_BYTES
_GROUP_BITS: Final = 9


class KeyFilter:
    """Knows under which keys no story was ever kept: of the keys of a new post nearly all.

    A byte for each of 8 million groups of keys. Among a million keys kept, one in nine of the others passes.
    """

    def __init__(self) -> None:
        self._held: bytearray | None = None

    def load(self, connection: sqlite3.Connection) -> None:
        """Read all keys, the first time: a second for some millions."""
        if self._held is None:
            self._held = bytearray(1 << (_KEY_BITS - _GROUP_BITS))
            self.add(key for (key,) in connection.execute("SELECT key FROM story_key"))

    def add(self, keys: Iterable[int]) -> None:
        """Note keys under which a story is kept; they are never taken back, for a filter may hold too many."""
        held = self._held
        assert held is not None, "load it first"
        for key in keys:
            held[key >> _GROUP_BITS] = 1

    def among(self, keys: Sequence[int]) -> list[int]:
        """Give those keys under which stories may be kept."""
        held = self._held
        assert held is not None, "load it first"
        return [key for key in keys if held[key >> _GROUP_BITS]]


class ShelfMemory:
    """What shelves of one store read or wrote a moment ago: bounded, for one thread, and only saves time.

    Originals are as the last transaction left them: `forget` them when one was undone.
    """

    def __init__(self) -> None:
        self.shingles = ShinglesCache()
        self.keys = KeyFilter()
        self._originals: dict[str, Original] = {}

    def original(self, story_id: str) -> Original | None:
        """Give the original of a story, or None when it is not remembered."""
        return self._originals.get(story_id)

    def keep(self, story_id: str, original: Original) -> None:
        """Remember the original of a story, the oldest making room."""
        if len(self._originals) >= MOST_ORIGINALS:
            del self._originals[next(iter(self._originals))]
        self._originals[story_id] = original

    def change(self, story_id: str) -> None:
        """Forget the original of a story that changes."""
        self._originals.pop(story_id, None)

    def forget(self) -> None:
        """Forget all originals."""
        self._originals.clear()


class TruthShelf:
    """`search.stories.Shelf` in the tables of one transaction."""

    def __init__(self, connection: sqlite3.Connection, memory: ShelfMemory, known: Set[str]) -> None:
        """Make a shelf.

        Args:
            connection: in a transaction.
            memory: the store's.
            known: posts that may stand somewhere already, as it changes; others are not looked for.
        """
        self._execute, self._executemany = connection.execute, connection.executemany
        self._memory, self._known = memory, known
        memory.keys.load(connection)

    def place(self, post_id: str) -> Place | None:
        if post_id not in self._known:
            return None
        sql = "SELECT story_id, at_ms, version, text, keys FROM story_post WHERE post_id = ?"
        row = self._execute(sql, (post_id,)).fetchone()
        if row is None:
            return None
        story_id, at_ms, version, text, keys = row
        return Place(story_id, at_ms, version, text, numbers(keys))

    def original(self, story_id: str) -> Original | None:
        found = self._memory.original(story_id)
        if found is None:
            first = self._first(story_id)
            if first is None:
                return None
            found = first[0]
            self._memory.keep(story_id, found)
        return found

    def votes(self, keys: tuple[int, ...], low_ms: int, high_ms: int) -> Mapping[str, int]:
        held = self._memory.keys.among(keys)
        if not held:
            return {}
        votes: dict[str, int] = {}
        for (story_id,) in self._execute(_search_for(len(held)), (low_ms, high_ms, MOST_OF_A_KEY, *held)):
            votes[story_id] = votes.get(story_id, 0) + 1
        return votes

    def shingles(self, story_id: str, original: Original) -> frozenset[str]:
        # The original of a story always has a mention.
        found = self._memory.shingles.get(original.text)
        if found is None:
            sql = (
                "SELECT json FROM mention WHERE post_id = ? AND json IS NOT NULL"
                " ORDER BY version DESC, mention_id LIMIT 1"
            )
            row = self._execute(sql, (original.post_id,)).fetchone()
            if row is None:
                # Adopted a moment ago, and its mention is on its way.
                return frozenset()
            document = glance(row[0])
            found = shingles(story_words(document["tokens"], document.get("domains", ())))
            self._memory.shingles.put(original.text, found)
        return found

    def join(self, mention: Mention, place: Place, *, alone: bool) -> None:
        self._join(mention.post_id, place, alone=alone)

    def adopt(self, post_id: str, place: Place) -> None:
        """Put a post where another store has it, unless it stands somewhere here."""
        if self.place(post_id) is None:
            self._join(post_id, place, alone=False)

    def _join(self, post_id: str, place: Place, *, alone: bool) -> None:
        self._memory.change(place.story_id)
        before = None if alone else self._first(place.story_id)
        keys = b"".join(key.to_bytes(_KEY_BYTES, "big") for key in place.keys)
        self._execute(
            "INSERT INTO story_post (story_id, at_ms, post_id, version, text, keys) VALUES (?, ?, ?, ?, ?, ?)",
            (place.story_id, place.at_ms, post_id, place.version, place.text, keys),
        )
        if before is None or (place.at_ms, post_id) < before[0][:2]:
            if before is not None:
                self._remove_keys(place.story_id, before[0].at_ms, before[1])
            self._add_keys(place.story_id, place.at_ms, place.keys)

    def leave(self, post_id: str, place: Place, *, for_good: bool) -> None:
        self._memory.change(place.story_id)
        before = self._first(place.story_id)
        self._execute(
            "DELETE FROM story_post WHERE story_id = ? AND at_ms = ? AND post_id = ?",
            (place.story_id, place.at_ms, post_id),
        )
        if before is not None and before[0].post_id == post_id:
            self._remove_keys(place.story_id, place.at_ms, place.keys)
            following = self._first(place.story_id)
            if following is not None:
                self._add_keys(place.story_id, following[0].at_ms, following[1])

    def rescore(self, post_id: str, place: Place, version: int) -> None:
        sql = "UPDATE story_post SET version = ? WHERE story_id = ? AND at_ms = ? AND post_id = ?"
        self._execute(sql, (version, place.story_id, place.at_ms, post_id))

    def _first(self, story_id: str) -> tuple[Original, tuple[int, ...]] | None:
        sql = "SELECT at_ms, post_id, text, keys FROM story_post WHERE story_id = ? ORDER BY at_ms, post_id LIMIT 1"
        row = self._execute(sql, (story_id,)).fetchone()
        return None if row is None else (Original(*row[:3]), numbers(row[3]))

    def _add_keys(self, story_id: str, at_ms: int, keys: tuple[int, ...]) -> None:
        self._memory.keys.add(keys)
        rows = [(key, at_ms, story_id) for key in keys]
        self._executemany("INSERT INTO story_key (key, at_ms, story_id) VALUES (?, ?, ?)", rows)

    def _remove_keys(self, story_id: str, at_ms: int, keys: tuple[int, ...]) -> None:
        rows = [(key, at_ms, story_id) for key in keys]
        self._executemany("DELETE FROM story_key WHERE key = ? AND at_ms = ? AND story_id = ?", rows)


def numbers(keys: bytes) -> tuple[int, ...]:
    """Give keys as they are kept as numbers."""
    return tuple(int.from_bytes(keys[place : place + _KEY_BYTES], "big") for place in range(0, len(keys), _KEY_BYTES))


@lru_cache(maxsize=64)
def _search_for(keys: int) -> str:
    """Give the SQL that looks under a number of keys, each with its own limit."""
    one = (
        "SELECT * FROM (SELECT story_id FROM story_key WHERE key = ?{} AND at_ms BETWEEN ?1 AND ?2"
        " ORDER BY at_ms DESC LIMIT ?3)"
    )
    return " UNION ALL ".join(one.format(place) for place in range(4, 4 + keys))


# --- asking, from any process

STORY_SQL: Final = """
SELECT post_id, json, at_ms,
    (SELECT count(*) FROM story_post WHERE story_id = ?1),
    (SELECT count(*) FROM story_post CROSS JOIN mention USING (post_id) WHERE story_id = ?1 AND json IS NOT NULL),
    (SELECT max(at_ms) FROM story_post WHERE story_id = ?1)
FROM (SELECT post_id, at_ms FROM story_post WHERE story_id = ?1 ORDER BY at_ms, post_id LIMIT 1)
JOIN mention USING (post_id) WHERE json IS NOT NULL ORDER BY mention.version DESC, mention_id LIMIT 1
"""
