"""Positions in an ordered result: opaque, safe in an address, the same for both stores."""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from domain.clock import to_ms
from domain.errors import ConfigError
from domain.records import Mention
from search.store import Sort

# Changes when the order of results changes, so that an old cursor is refused and not misread.
_FORMAT = 1
# Ours are under 120 characters; whatever is far longer need not be decoded to be refused.
_LONGEST = 2_000


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a mention stands in time: the milliseconds of `published_at` (else `collected_at`), then its id.

    Positions of different mentions differ, so "all after this one" is exact however many share a moment.
    """

    ms: int
    mention_id: str


def position_of(mention: Mention) -> Position:
    """Give the place of a mention in the order of results."""
    return Position(to_ms(mention.published_at or mention.collected_at), mention.mention_id)


def encode_cursor(sort: Sort, position: Position) -> str:
    """Write a position as letters, digits, `-` and `_`."""
    raw = json.dumps([_FORMAT, sort.value, position.ms, position.mention_id], separators=(",", ":"))
    return urlsafe_b64encode(raw.encode("ascii")).decode("ascii").rstrip("=")


def decode_cursor(cursor: str, sort: Sort) -> Position:
    """Read a cursor back.

    Raises:
        ConfigError: it is not one of ours, or belongs to the other order.
    """
    try:
        if len(cursor) > _LONGEST:
            raise ValueError("too long")
        padded = cursor + "=" * (-len(cursor) % 4)
        fields = json.loads(urlsafe_b64decode(padded.encode("ascii")))
    except (ValueError, binascii.Error, RecursionError) as exc:
        raise _foreign() from exc
    match fields:
        case [int(form), str(order), int(ms), str(mention_id)] if form == _FORMAT:
            if order != sort.value:
                raise ConfigError(
                    f"the cursor belongs to the order {order!r}, the search asks for {sort.value!r}: "
                    "start again without a cursor"
                )
            return Position(ms, mention_id)
        case _:
            raise _foreign()


def _foreign() -> ConfigError:
    return ConfigError("the cursor is not one that a search of this version gave: start again without a cursor")
