"""Stories in the embedded store: which posts say nearly the same, settled in the transaction that stores mentions."""

from __future__ import annotations

import sqlite3
from collections import Counter
from datetime import timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from domain import ids
from domain.clock import to_ms
from domain.records import Mention
from domain.stories import KEYS_KEPT, WINDOW, Signature, are_alike, shingles, story_words
from stream.codec import glance

# A post of a story, with its time in ms, the version and text hash that put it there, and the keys under which the
# story is found while this post is its original. In order of time, so that the first row of a story is its original.
# Only originals are looked for: a text told a hundred thousand times is compared once for each copy.
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

# Stories looked at under one key, the newest first: "customer service is" begins thousands. A near-duplicate shares
# several keys, of which one is rare enough.
MOST_OF_A_KEY: Final = 16
# Stories compared word for word, those with the most common keys first: a flood of posts of one template costs 0.17 ms
# a post.
MOST_COMPARED: Final = 8
# Texts whose shingles are kept in memory, some 3 KB each.
MOST_KEPT: Final = 8_192
_KEY_BYTES: Final = 4
_WINDOW_MS: Final = WINDOW // timedelta(milliseconds=1)


class _Place(NamedTuple):
    """A row of `story_post` without its post: where a post stands."""

    story_id: str
    at_ms: int
    version: int
    text: int
    keys: bytes


class _Original(NamedTuple):
    at_ms: int
    post_id: str
    text: int
    keys: bytes


class ShinglesCache:
    """Shingles by the hash of the text that they come from, so that they never age; bounded, for one thread.

    Only saves time: most comparisons are with originals that were read, or compared, a moment ago.
    """

    def __init__(self) -> None:
        self._kept: dict[int, frozenset[str]] = {}

    def get(self, text: int) -> frozenset[str] | None:
        """Give the shingles of a text, or None when they are not kept."""
        return self._kept.get(text)

    def put(self, text: int, found: frozenset[str]) -> None:
        """Keep shingles, the oldest making room."""
        if len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[text] = found


class Stories:
    """The stories of one transaction. Everything it knows is in the tables, so that a restart changes nothing."""

    def __init__(self, connection: sqlite3.Connection, cache: ShinglesCache) -> None:
        self._execute, self._executemany = connection.execute, connection.executemany
        self._cache = cache

    def put(self, mention: Mention, signature: Signature) -> bool:
        """Give the post of a mention its story; tells whether that is another than before.

        The same text keeps its story, however often it comes; an older version than the one known changes nothing.
        """
        at_ms = to_ms(mention.published_at or mention.collected_at)
        keys = b"".join(key.to_bytes(_KEY_BYTES, "big") for key in signature.keys[:KEYS_KEPT])
        place = self._place(mention.post_id)
        if place is None:
            found = self._found(mention, signature, at_ms)
            story_id = found or ids.story_id(mention.post_id, mention.version)
            place = _Place(story_id, at_ms, mention.version, signature.text, keys)
            self._join(mention.post_id, place, alone=found is None)
            return True
        if mention.version <= place.version:
            return False
        if (place.text, place.at_ms) == (signature.text, at_ms):
            # Scored again, or edited where it does not count.
            sql = "UPDATE story_post SET version = ? WHERE story_id = ? AND at_ms = ? AND post_id = ?"
            self._execute(sql, (mention.version, place.story_id, at_ms, mention.post_id))
            return False
        # The search is for others: a post that is alone keeps the name of its story whatever it says now.
        self._leave(mention.post_id, place)
        story_id = place.story_id
        if place.text != signature.text:
            found = self._found(mention, signature, at_ms)
            if found is not None:
                story_id = found
            elif self._original(story_id) is not None:
                story_id = ids.story_id(mention.post_id, mention.version)
        self._join(mention.post_id, _Place(story_id, at_ms, mention.version, signature.text, keys))
        return story_id != place.story_id

    def remove(self, post_id: str) -> None:
        """Take a post out of its story; the next one becomes the original."""
        place = self._place(post_id)
        if place is not None:
            self._leave(post_id, place)

    # --- one post

    def _place(self, post_id: str) -> _Place | None:
        sql = "SELECT story_id, at_ms, version, text, keys FROM story_post WHERE post_id = ?"
        row = self._execute(sql, (post_id,)).fetchone()
        return None if row is None else _Place(*row)

    def _original(self, story_id: str) -> _Original | None:
        sql = "SELECT at_ms, post_id, text, keys FROM story_post WHERE story_id = ? ORDER BY at_ms, post_id LIMIT 1"
        row = self._execute(sql, (story_id,)).fetchone()
        return None if row is None else _Original(*row)

    def _join(self, post_id: str, place: _Place, *, alone: bool = False) -> None:
        """Put a post into its story; `alone` promises that nobody is there yet."""
        before = None if alone else self._original(place.story_id)
        self._execute(
            "INSERT INTO story_post (story_id, at_ms, post_id, version, text, keys) VALUES (?, ?, ?, ?, ?, ?)",
            (place.story_id, place.at_ms, post_id, place.version, place.text, place.keys),
        )
        if before is None or (place.at_ms, post_id) < before[:2]:
            if before is not None:
                self._remove_keys(place.story_id, before.at_ms, before.keys)
            self._add_keys(place.story_id, place.at_ms, place.keys)

    def _leave(self, post_id: str, place: _Place) -> None:
        before = self._original(place.story_id)
        self._execute(
            "DELETE FROM story_post WHERE story_id = ? AND at_ms = ? AND post_id = ?",
            (place.story_id, place.at_ms, post_id),
        )
        if before is not None and before.post_id == post_id:
            self._remove_keys(place.story_id, place.at_ms, place.keys)
            following = self._original(place.story_id)
            if following is not None:
                self._add_keys(place.story_id, following.at_ms, following.keys)

    def _add_keys(self, story_id: str, at_ms: int, keys: bytes) -> None:
        rows = [(key, at_ms, story_id) for key in _numbers(keys)]
        self._executemany("INSERT INTO story_key (key, at_ms, story_id) VALUES (?, ?, ?)", rows)

    def _remove_keys(self, story_id: str, at_ms: int, keys: bytes) -> None:
        rows = [(key, at_ms, story_id) for key in _numbers(keys)]
        self._executemany("DELETE FROM story_key WHERE key = ? AND at_ms = ? AND story_id = ?", rows)

    # --- finding

    def _found(self, mention: Mention, signature: Signature, at_ms: int) -> str | None:
        """Give the story whose original says nearly the same; of several the oldest."""
        keys = signature.keys
        if not keys:
            return None
        bounds = (at_ms - _WINDOW_MS, at_ms + _WINDOW_MS, MOST_OF_A_KEY)
        votes = Counter(story_id for (story_id,) in self._execute(_search_for(len(keys)), (*bounds, *keys)))
        own: frozenset[str] | None = None
        fitting: list[tuple[int, str, str]] = []
        for story_id, _ in sorted(votes.items(), key=_most_votes)[:MOST_COMPARED]:
            original = self._original(story_id)
            if original is None:
                continue
            if original.text != signature.text:
                own = own or shingles(story_words(mention.tokens, mention.domains))
                if not are_alike(own, self._shingles(original)):
                    continue
            fitting.append((original.at_ms, original.post_id, story_id))
        return min(fitting)[2] if fitting else None

    def _shingles(self, original: _Original) -> frozenset[str]:
        """Give the shingles of the original of a story, which always has a mention."""
        found = self._cache.get(original.text)
        if found is None:
            sql = (
                "SELECT json FROM mention WHERE post_id = ? AND json IS NOT NULL"
                " ORDER BY version DESC, mention_id LIMIT 1"
            )
            document = glance(self._execute(sql, (original.post_id,)).fetchone()[0])
            found = shingles(story_words(document["tokens"], document.get("domains", ())))
            self._cache.put(original.text, found)
        return found


def _most_votes(item: tuple[str, int]) -> tuple[int, str]:
    story_id, votes = item
    return -votes, story_id


def _numbers(keys: bytes) -> list[int]:
    return [int.from_bytes(keys[place : place + _KEY_BYTES], "big") for place in range(0, len(keys), _KEY_BYTES)]


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
