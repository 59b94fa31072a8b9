"""The schema of the embedded index, made from the table of fields, and how a mention becomes its document."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Final

import tantivy

from domain.fields import FIELDS
from domain.records import Mention
from search.cursor import Position, position_of
from search.keywords import KEYWORDS, MULTIPLE, folded, folded_values

# Raise when documents are made differently while the table of fields stays the same.
LAYOUT: Final = 1

# Fields of the index that no query names: the row of the truth, and the order of results.
ROW: Final = "row"
ORDER: Final = "order_key"

MICROSECONDS_PER_SECOND: Final = 1_000_000
MICROSECONDS_PER_MS: Final = 1_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

# The years 1 to 9999 are 3.2e14 milliseconds: 49 bits; the rest of 64 goes to the id.
_ID_BITS: Final = 15
_FIRST_MS: Final = -62_135_596_800_000
_MAX_MS: Final = (1 << (64 - _ID_BITS)) - 1

_PLAIN: Final = tuple(f.name for f in FIELDS if f.kind in ("integer", "number", "boolean"))
_DATES: Final = tuple(f.name for f in FIELDS if f.kind == "date")
_keyword_values = attrgetter(*KEYWORDS)
_multiple_values = attrgetter(*MULTIPLE)
_plain_values = attrgetter(*_PLAIN)
_date_values = attrgetter(*_DATES)


def date_value(moment: datetime) -> int:
    """Give the number that stands for a date in the index: microseconds since 1970.

    Not tantivy's own date: that one keeps whole seconds in its fast field and ends in the year 2262, so that a
    range would match other mentions than the matcher does.
    """
    return (moment - _EPOCH) // _MICROSECOND


def build_schema() -> tantivy.Schema:
    """Give the schema: text as whitespace-separated tokens with positions, all others whole, indexed and fast.

    Dates are integers (see `date_value`); keywords are stored folded, so facets show folded values.
    """
    builder = tantivy.SchemaBuilder()
    # Signed: the binding makes a signed term of any number to delete by, which in an unsigned field finds nothing.
    builder.add_integer_field(ROW, indexed=True, fast=True)
    builder.add_unsigned_field(ORDER, indexed=True, fast=True)
    for field in FIELDS:
        match field.kind:
            case "text":
                builder.add_text_field(field.name, tokenizer_name="whitespace", index_option="position")
            case "keyword":
                builder.add_text_field(field.name, fast=True, tokenizer_name="raw", index_option="basic")
            case "integer" | "date":
                builder.add_integer_field(field.name, indexed=True, fast=True)
            case "number":
                builder.add_float_field(field.name, indexed=True, fast=True)
            case "boolean":
                builder.add_boolean_field(field.name, indexed=True, fast=True)
    return builder.build()


SCHEMA: Final = build_schema()


def order_key(position: Position) -> int:
    """Give the number by which results are ordered: 49 bits of milliseconds, then 15 bits of the mention id.

    It only rises with the position. Mentions of one moment whose ids begin alike share a key; within a key the
    search orders by id. With random ids about a thousandth of a moment's mentions share one, so even a burst of a
    million with the same timestamp is paged a thousand rows at a time.
    """
    ms = min(max(position.ms - _FIRST_MS, 0), _MAX_MS)
    return ms << _ID_BITS | _id_bits(position.mention_id)


def ms_of_order_key(key: int) -> int:
    """Give back the milliseconds since 1970 of an order key."""
    return (key >> _ID_BITS) + _FIRST_MS


def _id_bits(mention_id: str) -> int:
    # The first bytes as a number: whatever the id's alphabet, ids in order give numbers in order.
    head = mention_id.encode("utf-8", "surrogatepass")[:2].ljust(2, b"\0")
    return int.from_bytes(head, "big") >> (16 - _ID_BITS)


def document_of(row: int, mention: Mention, story_id: str | None = None) -> tantivy.Document:
    """Give the document of a mention. Unknown stays absent; a repeated keyword counts once per mention.

    `story_id` stands in the place of the mention's own.
    """
    values: dict[str, int | float | bool | str | list[str]] = {
        ROW: row,
        ORDER: order_key(position_of(mention)),
        "tokens": mention.tokens,
    }
    for name, value in zip(KEYWORDS, _keyword_values(mention), strict=True):
        if value and (one := folded(value)):
            values[name] = one
    if story_id is not None:
        values["story_id"] = folded(story_id)
    for name, many in zip(MULTIPLE, _multiple_values(mention), strict=True):
        if many:
            values[name] = folded_values(many)
    for name, plain in zip(_PLAIN, _plain_values(mention), strict=True):
        if plain is not None:
            values[name] = plain
    for name, moment in zip(_DATES, _date_values(mention), strict=True):
        if moment is not None:
            values[name] = date_value(moment)
    return tantivy.Document.from_dict(values, SCHEMA)
