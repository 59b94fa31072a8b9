"""Dead letters and times as rows of the embedded log."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from domain.records import DeadLetter
from stream.protocol import DeadLetterRow

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# One letter in, and all of them out: add conditions and an order.
ADD_LETTER = """INSERT INTO dead_letter (stage, reason, detail, position, payload_bytes, payload_sha256, parked_us,
    source, post_id, run, schema_version, payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
LETTERS = """SELECT number, stage, reason, detail, position, payload_bytes, payload_sha256, parked_us,
    source, post_id, run, schema_version, resolved_us, resolution, payload FROM dead_letter"""


def to_us(moment: datetime) -> int:
    """Give a time as it is kept: microseconds since 1970."""
    return (moment - _EPOCH) // _MICROSECOND


def from_us(microseconds: int) -> datetime:
    """Give back what `to_us` was given, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def letter_values(letter: DeadLetter) -> tuple[object, ...]:
    """Give the values for `ADD_LETTER`."""
    return (
        letter.stage,
        letter.reason,
        letter.detail,
        letter.position,
        letter.payload_bytes,
        letter.payload_sha256,
        to_us(letter.parked_at),
        letter.source,
        letter.post_id,
        letter.run,
        letter.schema_version,
        letter.payload,
    )


def letter_row(row: tuple[Any, ...]) -> DeadLetterRow:
    """Give the letter of a row of `LETTERS`."""
    number, stage, reason, detail, position, payload_bytes, sha256, parked_us = row[:8]
    source, post_id, run, schema_version, resolved_us, resolution, payload = row[8:]
    letter = DeadLetter(
        stage=stage,
        reason=reason,
        detail=detail,
        position=position,
        payload=payload,
        payload_bytes=payload_bytes,
        payload_sha256=sha256,
        parked_at=from_us(parked_us),
        source=source,
        post_id=post_id,
        run=run,
        schema_version=schema_version,
    )
    return DeadLetterRow(number, letter, None if resolved_us is None else from_us(resolved_us), resolution)
