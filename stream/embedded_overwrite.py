"""Records of the embedded log that must not be read any more: something else in their place, at the same offset."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from stream.embedded import EmbeddedLog
from stream.embedded_file import OFFSET_BITS

# Read at a time, so that a scan of gigabytes needs little memory and holds up no settlement.
_AT_ONCE = 500


class Overwritten(NamedTuple):
    """How many records were overwritten, and how many were left because a group has not settled them yet."""

    done: int
    left: int


def overwrite(
    log: EmbeddedLog,
    topic: str,
    instead: Callable[[str, bytes], bytes | None],
    looked: Callable[[], None] = lambda: None,
) -> Overwritten:
    """Look at all records of a topic, and overwrite those for which there is something instead.

    Offsets stay without holes; what was there is overwritten with zeros, in the WAL as soon as that is cut. Takes a
    second for some 100,000 records.

    Args:
        log: open for writing.
        topic: its name; one that nobody wrote to has no records.
        instead: gives, by key and value of a record, the value to put in its place, or None to leave it.
        looked: called between two steps; what it raises ends the work, and what was done stays.

    Raises:
        BackendDown: the disk is full or broken.
    """
    with log._readers.connection() as connection:
        query = "SELECT id, first_offset, next_offset FROM topic WHERE name = ?"
        found = connection.execute(query, (topic,)).fetchone()
        if found is None:
            return Overwritten(0, 0)
        number, first, end = found
        query = "SELECT coalesce(min(next_offset), ?) FROM group_offset WHERE topic = ?"
        (settled,) = connection.execute(query, (end, topic)).fetchone()
    base, done, left = number << OFFSET_BITS, 0, 0
    for start in range(first, end, _AT_ONCE):
        looked()
        with log._readers.connection() as connection:
            query = "SELECT id, key, value FROM record WHERE id >= ? AND id < ?"
            rows = connection.execute(query, (base | start, base | min(start + _AT_ONCE, end))).fetchall()
        changes = [(new, row) for row, key, value in rows if (new := instead(key, value)) is not None]
        ready = [(new, row) for new, row in changes if row - base < settled]
        left += len(changes) - len(ready)
        if ready:
            with log._overwriting() as connection:
                connection.executemany("UPDATE record SET value = ? WHERE id = ?", ready)
            done += len(ready)
    return Overwritten(done, left)
