"""What Kibana shows IT: health documents of the stages, and dead letters without their text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from domain.errors import BackendDown, BadRecord
from domain.records import Health
from search.elastic_bulk import Bulk, Op
from search.elastic_settings import Names
from stream.codec import to_json
from stream.protocol import DeadLetterRow, LogRecord


class HealthIndex:
    """Writes the indices of events and dead letters. Writing the same again changes nothing. Thread-safe."""

    def __init__(self, bulk: Bulk, names: Names) -> None:
        self._bulk, self._names = bulk, names

    def write_health(self, documents: Iterable[tuple[LogRecord, Health]]) -> None:
        """Write health documents of the log; the place of each in the log is its id.

        Raises:
            RetryLater, BackendDown: as the bulk caller.
        """
        self._write(
            [
                Op("index", self._names.events, f"{record.partition}@{record.offset}", to_json(_event(event)))
                for record, event in documents
            ]
        )

    def write_letters(self, rows: Sequence[DeadLetterRow]) -> None:
        """Write dead letters; the number of each is its id, so that one that was dealt with takes its own place.

        Raises:
            RetryLater, BackendDown: as the bulk caller.
        """
        self._write([Op("index", self._names.dead, str(row.number), to_json(_letter(row))) for row in rows])

    def _write(self, ops: Sequence[Op]) -> None:
        for outcome in self._bulk.write(ops, in_order=True):
            if isinstance(outcome, BadRecord):
                raise BackendDown(f"{outcome.detail}: an index for Kibana is not as expected; run `soundings setup`")


def _event(event: Health) -> dict[str, Any]:
    document = {
        "kind": "health",
        "stage": event.stage,
        "worker": event.worker,
        "at": event.at,
        "ready": event.ready,
        "in": event.came_in,
        "ok": event.ok,
        "duplicate": event.duplicate,
        "filtered": event.filtered,
        "parked": event.parked,
        "retried": event.retried,
    }
    return document if event.lag is None else {**document, "lag": event.lag}


def _letter(row: DeadLetterRow) -> dict[str, Any]:
    """Give where a letter lies and why. What was found is left out: it may quote what somebody wrote."""
    letter = row.letter
    document = {
        "number": row.number,
        "stage": letter.stage,
        "reason": letter.reason,
        "source": letter.source,
        "post_id": letter.post_id,
        "position": letter.position,
        "run": letter.run,
        "payload_bytes": letter.payload_bytes,
        "payload_sha256": letter.payload_sha256,
        "parked_at": letter.parked_at,
        "resolved_at": row.resolved_at,
        "resolution": row.resolution,
    }
    return {name: value for name, value in document.items() if value is not None}
