"""What both stores refuse and name alike when they count by value."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Final

from domain.aggregation import Aggregation, Distinct, Histogram, Ranges, Stats, Terms
from domain.fields import Field, find_field

# tantivy refuses answers of more than 65,000 rows over all levels, Elasticsearch of more than 65,536.
MAX_TERMS: Final = 2_000


def field_of(aggregation: Aggregation) -> Field:
    """Give the field that is counted, checked with everything else about the aggregation and those inside it.

    Raises:
        ValueError: a field that is not in the table or does not fit, a size outside of [1, MAX_TERMS], an interval
            that is not above 0, edges that do not rise or are not whole numbers for an integer field.
    """
    field = find_field(aggregation.field)
    if field is None or field.name != aggregation.field:
        raise ValueError(f"found {aggregation.field!r}, expected a field of domain.fields by its own name")
    match aggregation:
        case Terms(size=size):
            _expect(field, "keyword", "integer", "boolean")
            if not 1 <= size <= MAX_TERMS:
                raise ValueError(f"size must be in [1, {MAX_TERMS}], found {size}")
        case Histogram(interval=interval):
            _expect(field, "integer", "number", "date")
            if not (interval > 0 and math.isfinite(interval)):
                raise ValueError(f"interval must be above 0, found {interval}")
        case Ranges(edges=edges):
            _expect(field, "integer", "number")
            if any(not low < high for low, high in pairwise(edges)):
                raise ValueError(f"edges must rise, found {edges}")
            # tantivy would cut 0.5 down to 0, and so count what lies at 0.
            if field.kind == "integer" and any(edge != int(edge) for edge in edges):
                raise ValueError(f"edges of {field.name} must be whole numbers, found {edges}")
        case Stats():
            _expect(field, "integer", "number")
        case Distinct():
            _expect(field, "keyword")
    return field


def range_keys(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Name the ranges that edges cut: `("*-0", "0-100", "100-*")` for (0, 100); one range, `"*-*"`, for none."""
    ends = ["*", *(f"{edge:g}" for edge in edges), "*"]
    return tuple(f"{low}-{high}" for low, high in pairwise(ends))


def _expect(field: Field, *kinds: str) -> None:
    if field.kind not in kinds:
        raise ValueError(f"{field.name} is of kind {field.kind}, expected one of {', '.join(kinds)}")
