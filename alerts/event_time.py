"""Mentions of a span of event time: when they were published, else, where no source tells, when they were collected."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from domain.query.ast import And, Node, Not, Or, Range

_UNDATED: Final = Not(Range("published_at", None, None))


def published(node: Node, start: datetime, end: datetime) -> Node:
    """Give those of a node that were published in `[start, end)`."""
    return And((node, Range("published_at", start, end, include_high=False)))


def collected(node: Node, start: datetime, end: datetime) -> Node:
    """Give those of a node that say nothing of when they were published, and were collected in `[start, end)`."""
    return And((node, _UNDATED, Range("collected_at", start, end, include_high=False)))


def within(node: Node, start: datetime, end: datetime) -> Node:
    """Give both."""
    undated = And((_UNDATED, Range("collected_at", start, end, include_high=False)))
    return And((node, Or((Range("published_at", start, end, include_high=False), undated))))
