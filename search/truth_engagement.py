"""Engagement in the embedded store: new numbers in mentions as they are, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Final

from domain.engagement import Engagement
from domain.errors import BackendDown
from domain.records import Mention
from search.engagement import engaged, is_news
from stream.codec import decode, encode

# What was withdrawn or retracted has no content.
_LIVE_SQL: Final = (
    "SELECT row, post_id, json FROM mention"
    " WHERE post_id IN (SELECT value FROM json_each(?)) AND json IS NOT NULL ORDER BY row"
)


def engage(connection: sqlite3.Connection, seq: int, posts: Mapping[str, Engagement]) -> int:
    """Give mentions of posts new numbers, in the transaction of the caller; gives the last number of a change.

    Neither version nor story changes. Each change has a number of its own, by which the index learns of it.
    """
    for row, post_id, content in connection.execute(_LIVE_SQL, (json.dumps(list(posts)),)).fetchall():
        mention = decode(content)
        if not isinstance(mention, Mention):
            raise BackendDown(f"the store holds a {type(mention).__name__} where a mention was expected")
        engagement = posts[post_id]
        if is_news(engagement, mention.engagement_at):
            seq += 1
            changed = encode(engaged(mention, engagement))
            connection.execute("UPDATE mention SET seq = ?, json = ? WHERE row = ?", (seq, changed, row))
    return seq
