"""Keyword values as both stores compare them, and what no store can hold."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from domain.errors import BadReason, BadRecord
from domain.fields import FIELDS
from domain.records import Mention
from domain.stories import Signature, read_signature
from domain.text import MAX_KEYWORD, fold_keyword

KEYWORDS: Final = tuple(f.name for f in FIELDS if f.kind == "keyword" and not f.multiple)
MULTIPLE: Final = tuple(f.name for f in FIELDS if f.kind == "keyword" and f.multiple)

_INTEGERS: Final = ("version", *(field.name for field in FIELDS if field.kind == "integer"))
_MAX_INTEGER: Final = (1 << 63) - 1

_folded_other = lru_cache(maxsize=16_384)(fold_keyword)


def folded(value: str) -> str:
    """Give `fold_keyword(value)`, sooner: of 30 values of a mention nearly all are plain or were seen before."""
    if value.isascii() and value.isprintable() and " " not in value and len(value) <= MAX_KEYWORD:
        return value.lower()
    return _folded_other(value)


def folded_values(values: tuple[str, ...]) -> list[str]:
    """Give the different folded values of a field of several, in order; what folds to nothing is left out."""
    return [one for one in dict.fromkeys(map(folded, values)) if one]


def checked_signature(mention: Mention) -> Signature | None:
    """Give the signature of a mention that can be stored; None where it has none.

    Raises:
        BadRecord: a number that no store can hold, or no signature of ours.
    """
    for name in _INTEGERS:
        value = getattr(mention, name)
        if value is not None and not -_MAX_INTEGER <= value <= _MAX_INTEGER:
            raise BadRecord(BadReason.STORE_REFUSED, f"{name} is {value}, expected a number of at most 63 bits")
    return None if mention.signature is None else read_signature(mention.signature)
