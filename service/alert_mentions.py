"""What alerts ask of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from alerts.asking import Deaf
from domain.aggregation import Aggregation, Result
from domain.query.ast import Node
from domain.records import Mention
from search.store import SearchRequest, Store


class StoreMentions:
    """`alerts.asking.Mentions` over a store. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def aggregate(self, node: Node, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
        return self._store.aggregate(node, aggregations)

    def newest(self, node: Node, limit: int) -> Sequence[Mention]:
        return self._store.search(SearchRequest(node, limit=limit)).mentions

    def refresh(self) -> None:
        self._store.refresh()

    def gaps(self, start: datetime, end: datetime) -> Sequence[Deaf]:
        return [Deaf(gap.source, gap.start, gap.end, gap.reason) for gap in self._store.gaps(start, end)]
