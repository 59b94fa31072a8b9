"""Listening in the embedded store: the last heartbeat of each source and all gaps, in SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Final

from domain.clock import to_ms
from domain.records import Event
from search.listening import gap_of
from stream.codec import encode

LISTENING_TABLES: Final = """
CREATE TABLE IF NOT EXISTS heartbeat (source TEXT PRIMARY KEY, at_ms INTEGER NOT NULL, json BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS gap (
    source TEXT NOT NULL,
    start_ms INTEGER NOT NULL,
    end_ms INTEGER NOT NULL,
    json BLOB NOT NULL,
    PRIMARY KEY (source, start_ms)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS gap_end ON gap (end_ms);
"""

HEARTBEATS_SQL: Final = "SELECT json FROM heartbeat ORDER BY source"
GAPS_SQL: Final = "SELECT json FROM gap WHERE end_ms > ? AND start_ms < ? ORDER BY start_ms, source LIMIT ?"


def note(connection: sqlite3.Connection, events: Iterable[Event]) -> None:
    """Keep events, in the transaction of the caller; an older heartbeat changes nothing, the same gap is kept anew."""
    for event in events:
        gap = gap_of(event)
        if gap is not None:
            connection.execute(
                "INSERT INTO gap VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET end_ms = excluded.end_ms, "
                "json = excluded.json",
                (gap.source, to_ms(gap.start), to_ms(gap.end), encode(event)),
            )
        elif event.kind == "heartbeat":
            connection.execute(
                "INSERT INTO heartbeat VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET at_ms = excluded.at_ms, "
                "json = excluded.json WHERE excluded.at_ms >= heartbeat.at_ms",
                (event.source, to_ms(event.at), encode(event)),
            )
