"""What a store takes: the same of every record whichever store it is, so that what one holds goes into the other."""

from __future__ import annotations

from typing import Final

from domain.errors import BadReason, BadRecord
from domain.fields import FIELDS
from domain.records import AuthorRetraction, Mention, Restoration, Retraction, Withdrawal
from domain.stories import Signature, read_signature
from search.elastic_settings import is_month
from search.retractions import Record

# SQLite, tantivy and Elasticsearch all hold a number in 63 bits and a sign.
MAX_INTEGER: Final = (1 << 63) - 1
# Elasticsearch takes ids of 512 bytes, and values of 32,766.
_MOST_ID_BYTES: Final = 512
_MOST_POST_ID_BYTES: Final = 8_000
_INTEGERS: Final = tuple(field.name for field in FIELDS if field.kind == "integer")


def accepted(record: Record) -> Signature | None:
    """Let through what a store can hold; gives the signature of a mention, None where there is none.

    Raises:
        BadRecord: an id that is empty, too long or no valid Unicode, a number that no store can hold, a month that is
            none, or no signature of ours.
    """
    _check_ids(record)
    if isinstance(record, Retraction | AuthorRetraction | Restoration):
        return None
    if not 0 <= record.version <= MAX_INTEGER:
        raise BadRecord(BadReason.STORE_REFUSED, f"version is {record.version}, expected 0 or more in 63 bits")
    if isinstance(record, Withdrawal):
        return None
    for name in _INTEGERS:
        value = getattr(record, name)
        if value is not None and not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise BadRecord(BadReason.STORE_REFUSED, f"{name} is {value}, expected a number of at most 63 bits")
    if not is_month(record.routing_month):
        raise BadRecord(BadReason.STORE_REFUSED, "routing_month is none, expected one like 2026.03 of this century")
    return None if record.signature is None else read_signature(record.signature)


def _check_ids(record: Record) -> None:
    subject = "author_key" if isinstance(record, AuthorRetraction) else "post_id"
    if isinstance(record, Restoration) and record.post_id is None:
        subject = "author_key"
    try:
        subject_bytes = len((getattr(record, subject) or "").encode())
        mention_bytes = len(record.mention_id.encode()) if isinstance(record, Mention | Withdrawal) else 1
    except UnicodeEncodeError as exc:
        raise BadRecord(BadReason.BAD_ENCODING, "an id is not valid Unicode") from exc
    if not 0 < mention_bytes <= _MOST_ID_BYTES:
        found = f"a mention_id of {mention_bytes} bytes, expected 1 to {_MOST_ID_BYTES}"
        raise BadRecord(BadReason.STORE_REFUSED, f"found {found}")
    if not 0 < subject_bytes <= _MOST_POST_ID_BYTES:
        found = f"a {subject} of {subject_bytes} bytes, expected 1 to {_MOST_POST_ID_BYTES}"
        raise BadRecord(BadReason.STORE_REFUSED, f"found {found}")
