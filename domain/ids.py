"""Ids, versions and the routing month: pure functions, the same on every machine and in every replay."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b

# The model's epoch sits in the low 16 bits of a version (decision: `version = revision_ms << 16 | model_epoch`).
MODEL_EPOCH_BITS = 16
MAX_MODEL_EPOCH = (1 << MODEL_EPOCH_BITS) - 1
# SQLite, tantivy and Elasticsearch all hold a version in a signed 64-bit integer.
MAX_REVISION_MS = (1 << (63 - MODEL_EPOCH_BITS)) - 1

# Base32, two digits at a time.
_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_PAIRS = [first + second for first in _DIGITS for second in _DIGITS]
_PAIR_BITS = 10
_PAIR_MASK = (1 << _PAIR_BITS) - 1

# An author's clock may run ahead of ours by this much before we stop believing the date.
MAX_AHEAD = timedelta(minutes=5)


def _digest(*parts: str, size: int = 16) -> str:
    """Hash parts to 26 lower-case base32 characters (`size` bytes, 128 bits); parts cannot run into each other."""
    raws = [part.encode("utf-8", "surrogatepass") for part in parts]
    whole = b"".join([piece for raw in raws for piece in (len(raw).to_bytes(8, "big"), raw)])
    return _base32(blake2b(whole, digest_size=size).digest())


def _base32(raw: bytes) -> str:
    """Give bytes in base32, in small letters and without padding; of 10 or 16 bytes, where two digits come out even.

    Not `base64.b32encode`, which takes three times as long: there is a digest for each mention and each story.
    """
    missing = -len(raw) * 8 % _PAIR_BITS
    number = int.from_bytes(raw, "big") << missing
    shifts = range(len(raw) * 8 + missing - _PAIR_BITS, -1, -_PAIR_BITS)
    return "".join([_PAIRS[number >> shift & _PAIR_MASK] for shift in shifts])


def post_id(source: str, native_id: str) -> str:
    """Give the id of a post: readable, `source:native_id`; a native id over 400 characters is hashed."""
    return f"{source}:{native_id}" if len(native_id) <= 400 else f"{source}:#{_digest(native_id)}"


def author_key(source: str, author_id: str) -> str:
    """Give the id of an author across sources: readable, `source:author_id`, however long."""
    return f"{source}:{author_id}"


def row_id(source: str, row: str) -> str:
    """Give the id of a row that has none: a hash of its content, so the same row is the same post."""
    return f"{source}:#{_digest(row)}"


def post_key(post_id: str) -> str:
    """Give 26 lower-case base32 characters that stand for a post where ids must be short (Elasticsearch: 512 bytes)."""
    return _digest(post_id)


def mention_id(post_id: str, brand_id: str) -> str:
    """Give the id of the mention of one brand in one post: 26 lower-case base32 characters."""
    return _digest(post_id, brand_id)


def story_id(post_id: str, version: int) -> str:
    """Give the id of the story that a post founds: 16 lower-case base32 characters (80 bits).

    Another model changes nothing; a later revision of the post, which may tell something else, founds another.
    """
    return _digest(post_id, str(version >> MODEL_EPOCH_BITS), size=10)


def version(revision_ms: int, model_epoch: int) -> int:
    """Order writes of one mention: by the post's revision, then by the model that scored it.

    Raises:
        ValueError: the revision is not in [0, 2**47), or the epoch not in [0, 2**16).
    """
    if not 0 <= revision_ms <= MAX_REVISION_MS:
        raise ValueError(f"revision_ms must be in [0, {MAX_REVISION_MS}], found {revision_ms}")
    if not 0 <= model_epoch <= MAX_MODEL_EPOCH:
        raise ValueError(f"model_epoch must be in [0, {MAX_MODEL_EPOCH}], found {model_epoch}")
    return revision_ms << MODEL_EPOCH_BITS | model_epoch


def routing_month(published_at: datetime | None, collected_at: datetime, retention: timedelta) -> str:
    """Give the month `YYYY.MM` whose index keeps the post. Set once, at first sight, and carried on every edit.

    Taken from `published_at`, or from `collected_at` where that is missing, more than `MAX_AHEAD` ahead,
    or older than `retention`.
    """
    if published_at is None or published_at > collected_at + MAX_AHEAD or published_at < collected_at - retention:
        published_at = collected_at
    return f"{published_at.year}.{published_at.month:02}"
