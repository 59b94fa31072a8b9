"""The derived full-text index: tantivy's files behind a small surface of rows and order keys."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, TypeAlias

import tantivy

from domain.errors import BackendDown
from domain.fields import FIELDS
from domain.query.ast import Node
from domain.records import Mention
from search.tantivy_query import compile as compile_node
from search.tantivy_schema import LAYOUT, ORDER, ROW, SCHEMA, document_of

# Bounds the memory of writing; tantivy starts a new segment when it is full.
WRITER_HEAP_BYTES: Final = 64_000_000
# Lowest and highest order key, inclusive; None is open.
Bounds: TypeAlias = tuple[int | None, int | None]
# tantivy's answer to a broken, missing or full disk, whatever the call: it has no error classes of its own.
_ERRORS: Final = (ValueError, OSError, RuntimeError)


def schema_number() -> int:
    """Give the number of the schema that this program writes: equal if and only if an index can be opened."""
    described = repr((LAYOUT, [(field.name, field.kind, field.multiple) for field in FIELDS]))
    return int.from_bytes(blake2b(described.encode(), digest_size=6).digest(), "big")


@contextmanager
def _translated(doing: str) -> Iterator[None]:
    try:
        yield
    except BaseException as exc:
        # A damaged file can make tantivy panic; PyO3 raises that beside Exception and exports no name for it.
        if not isinstance(exc, _ERRORS) and type(exc).__name__ != "PanicException":
            raise
        if os.strerror(errno.ENOSPC) in str(exc):
            raise BackendDown(
                f"no room left for the search index ({doing}): free space on its disk, then start again; nothing that "
                "was stored is lost"
            ) from exc
        raise BackendDown(
            f"the search index failed while {doing}: {exc}. Check the disk; `soundings reindex` builds it again"
        ) from exc


class TantivyIndex:
    """One index folder. Reading is thread-safe; writing is for one thread of one process.

    Every method that touches the files may raise BackendDown.
    """

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        with _translated("opening it"):
            if create:
                folder.mkdir(parents=True)
                self._index = tantivy.Index(SCHEMA, path=str(folder))
            else:
                self._index = tantivy.Index.open(str(folder))
            # Reloading is ours to time: after a commit here, or when the truth says that another process made one.
            self._index.config_reader("manual")
            self._index.reload()
        self._writer: tantivy.IndexWriter | None = None

    def reload(self) -> None:
        """Show what was last committed, by this process or another."""
        with _translated("reading it again"):
            self._index.reload()

    def snapshot(self) -> Snapshot:
        """Give the index as it is shown now; several questions to one snapshot get answers that fit together."""
        with _translated("reading it"):
            return Snapshot(self._index.searcher())

    # --- writing

    def replace(self, row: int, mention: Mention | None, *, seen_before: bool, story_id: str | None = None) -> None:
        """Put a row's mention in place of what stood there; None only removes. `story_id` overrides the mention's.

        `seen_before` False promises that the index never held this row: a deletion costs a look into every segment.
        """
        with _translated("writing to it"):
            if self._writer is None:
                self._writer = self._index.writer(WRITER_HEAP_BYTES, num_threads=1)
            if seen_before:
                self._writer.delete_documents_by_term(ROW, row)
            if mention is not None:
                self._writer.add_document(document_of(row, mention, story_id))

    def commit(self) -> None:
        """Make what was written durable and visible."""
        if self._writer is not None:
            with _translated("committing"):
                self._writer.commit()
                self._index.reload()

    def close(self) -> None:
        """Let go of the writer; what was not committed is lost, merges under way are given up."""
        self._writer = None


@dataclass(frozen=True, slots=True)
class Hits:
    """Matches as (order key, row) in order, and how many there are within the bounds."""

    rows: list[tuple[int, int]]
    total: int


class Snapshot:
    """The index at one moment, less the rows that are `gone`. Every method may raise BackendDown."""

    def __init__(self, searcher: tantivy.Searcher, gone: Sequence[int] = ()) -> None:
        self._searcher, self._gone = searcher, gone

    def without(self, rows: Sequence[int]) -> Snapshot:
        """Give it less these rows, which the index need not know: no question finds or counts them."""
        return Snapshot(self._searcher, rows)

    @property
    def documents(self) -> int:
        """How many mentions there are, those that are gone included."""
        return self._searcher.num_docs

    def in_order(self, node: Node, limit: int, *, newest: bool, within: Bounds = (None, None)) -> Hits:
        """Give the first `limit` matches in order of their keys.

        `within` bounds the order keys on both sides, inclusive. `limit` is 1 or more.
        """
        query = self._compiled(node, within)
        order = tantivy.Order.Desc if newest else tantivy.Order.Asc
        with _translated("searching"):
            # Counting comes free with ordering: every match is visited either way.
            result = self._searcher.search(query, limit=limit, order_by_field=ORDER, order=order)
            rows = self._searcher.fast_field_values(ROW, [address for _, address in result.hits])
        pairs = [(int(key), int(row or 0)) for (key, _), row in zip(result.hits, rows, strict=True)]
        return Hits(pairs, _count_of(result))

    def count(self, node: Node, within: Bounds = (None, None)) -> int:
        """Count matches whose order key lies within the inclusive bounds."""
        query = self._compiled(node, within)
        with _translated("counting"):
            return _count_of(self._searcher.search(query, limit=1))

    def aggregate(self, node: Node, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer an aggregation request in tantivy's JSON."""
        query = self._compiled(node)
        with _translated("counting by value"):
            answer: Mapping[str, Any] = self._searcher.aggregate(query, dict(request))
        return answer

    def _compiled(self, node: Node, within: Bounds = (None, None)) -> tantivy.Query:
        query = compile_node(node, SCHEMA)
        clauses = []
        if within != (None, None):
            low, high = within
            bounds = tantivy.Query.range_query(SCHEMA, ORDER, tantivy.FieldType.Unsigned, low, high)
            clauses.append((tantivy.Occur.Must, bounds))
        if self._gone:
            clauses.append((tantivy.Occur.MustNot, tantivy.Query.term_set_query(SCHEMA, ROW, self._gone)))
        return tantivy.Query.boolean_query([(tantivy.Occur.Must, query), *clauses]) if clauses else query


def _count_of(result: tantivy.SearchResult) -> int:
    # The binding forgot `count` in its types.
    count: int = result.count  # type: ignore[attr-defined]
    return count
