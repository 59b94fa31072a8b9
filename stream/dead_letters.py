"""Building dead letters: the original bytes are kept whole up to 16 MiB, their beginning and hash beyond."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from domain.errors import BadRecord
from domain.records import DeadLetter
from stream.protocol import LIVE_RUN, LogRecord

MAX_WHOLE_PAYLOAD = 16 * 1024 * 1024
KEPT_OF_LARGER = 64 * 1024
# A detail is read by people in a list; an engine's message may hold a whole stack of causes.
MAX_DETAIL = 2_000


def make_dead_letter(
    payload: bytes,
    error: BadRecord,
    *,
    stage: str,
    position: str,
    at: datetime,
    source: str | None = None,
    post_id: str | None = None,
    run: str = LIVE_RUN,
) -> DeadLetter:
    """Give the dead letter of `payload`, the original bytes as they came.

    Args:
        payload: kept whole up to `MAX_WHOLE_PAYLOAD` bytes; beyond, the first `KEPT_OF_LARGER`.
        error: why it cannot be processed.
        stage: who found out.
        position: where it came from: a file and row, or a topic and offset.
        at: when, aware and in UTC.
        source: the source it came from, when known.
        post_id: the post's id, when known.
        run: the replay it belongs to.
    """
    return DeadLetter(
        stage=stage,
        reason=error.reason.value,
        detail=error.detail[:MAX_DETAIL],
        position=position,
        payload=payload if len(payload) <= MAX_WHOLE_PAYLOAD else payload[:KEPT_OF_LARGER],
        payload_bytes=len(payload),
        payload_sha256=sha256(payload).hexdigest(),
        parked_at=at,
        source=source,
        post_id=post_id,
        run=run,
    )


def letter_of_record(record: LogRecord, error: BadRecord, *, stage: str, at: datetime) -> DeadLetter:
    """Give the dead letter of a record of the log; its key is the post id, of which the source is the beginning."""
    return make_dead_letter(
        record.value,
        error,
        stage=stage,
        position=f"{record.topic}/{record.partition}@{record.offset}",
        at=at,
        source=record.key.partition(":")[0] or None,
        post_id=record.key or None,
        run=record.run,
    )
