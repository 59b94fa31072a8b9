"""Keyword values as both stores compare them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from domain.fields import FIELDS
from domain.text import MAX_KEYWORD, fold_keyword

KEYWORDS: Final = tuple(f.name for f in FIELDS if f.kind == "keyword" and not f.multiple)
MULTIPLE: Final = tuple(f.name for f in FIELDS if f.kind == "keyword" and f.multiple)

_folded_other = lru_cache(maxsize=16_384)(fold_keyword)


def folded(value: str) -> str:
    """Give `fold_keyword(value)`, sooner: of 30 values of a mention nearly all are plain or were seen before."""
    if value.isascii() and value.isprintable() and " " not in value and len(value) <= MAX_KEYWORD:
        return value.lower()
    return _folded_other(value)


def folded_values(values: tuple[str, ...]) -> list[str]:
    """Give the different folded values of a field of several, in order; what folds to nothing is left out."""
    return [one for one in dict.fromkeys(map(folded, values)) if one]
