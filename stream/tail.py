"""The end of each topic in memory: what this process appended a moment ago need not be read from the disk again."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from stream.protocol import LogRecord

# Of one topic. Ingest is held back when some 4,000 posts wait: those are found here.
MAX_RECORDS = 6_000
MAX_BYTES = 8 * 1024 * 1024


@dataclass(slots=True)
class _End:
    """The last records of one topic, without a gap, and the bytes of their values."""

    records: list[LogRecord] = field(default_factory=list)
    size: int = 0


class Tail:
    """The last records of each topic, bounded by number and bytes. Thread-safe; only saves time."""

    def __init__(self) -> None:
        self._ends: dict[str, _End] = {}
        self._lock = threading.Lock()

    def add(self, records: Iterable[LogRecord]) -> None:
        """Keep records; in each topic they follow those added before. The oldest make room."""
        with self._lock:
            for record in records:
                end = self._ends.setdefault(record.topic, _End())
                end.records.append(record)
                end.size += len(record.value)
            for end in self._ends.values():
                surplus = 0
                while len(end.records) - surplus > MAX_RECORDS or end.size > MAX_BYTES:
                    end.size -= len(end.records[surplus].value)
                    surplus += 1
                del end.records[:surplus]

    def drop(self, topic: str, stop: int) -> None:
        """Forget the records of a topic before offset `stop`."""
        with self._lock:
            end = self._ends.get(topic)
            if end is not None:
                end.records = [record for record in end.records if record.offset >= stop]
                end.size = sum(len(record.value) for record in end.records)

    def records(self, topic: str, start: int, limit: int, max_bytes: int) -> list[LogRecord]:
        """Give records from offset `start` on, at least one, then while they fit in `max_bytes`; none if not kept."""
        with self._lock:
            end = self._ends.get(topic)
            if end is None or not end.records or start < (first := end.records[0].offset):
                return []
            found = end.records[start - first : start - first + limit]
        for place, record in enumerate(found):
            max_bytes -= len(record.value)
            if place and max_bytes < 0:
                return found[:place]
        return found
