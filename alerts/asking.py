"""What alerts ask of the rest of the house; filled in by the room `service`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.aggregation import Aggregation, Result
from domain.query.ast import Node
from domain.records import Mention


@dataclass(frozen=True, slots=True)
class Deaf:
    """A span of time in which a source did not listen."""

    source: str
    start: datetime
    end: datetime
    reason: str = ""


class Mentions(Protocol):
    """The mentions that are stored. Thread-safe."""

    def aggregate(self, node: Node, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
        """Count over all mentions that `node` matches; answers under the same names. As `search.store.Store`."""

    def newest(self, node: Node, limit: int) -> Sequence[Mention]:
        """Give the newest mentions that `node` matches; at most `limit`, which is in [1, 500]."""

    def refresh(self) -> None:
        """Make everything written so far countable."""

    def gaps(self, start: datetime, end: datetime) -> Sequence[Deaf]:
        """Give when sources were deaf, of what touches `[start, end)`."""
