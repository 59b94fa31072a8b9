"""Documents in one index of Elasticsearch, changed by compare-and-set on the sequence of their last write."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from domain.documents import ABSENT, MAX_SCAN, Change, Conflict, Document, require_changes, require_ids, require_scan
from domain.errors import BadRecord
from search import elastic_bulk
from search.document_body import body_bytes
from search.elastic_bulk import Bulk, Op
from search.elastic_http import Elastic
from search.elastic_reads import ALL_FIELDS, WHOLE, Found, Wanted, get_many, refresh
from search.elastic_settings import ElasticSettings
from search.elastic_setup import check_ready
from stream.codec import to_json

_REVISION: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,18})", re.ASCII)
# A revision of another store, or of none: nothing has it.
_NOBODYS: Final = (2**53, 1)


class ElasticDocuments:
    """`Documents` in an index. A body is kept as it is and not indexed.

    Each call of `apply` signs what it writes: when an answer was lost, a conflict with what we wrote ourselves is told
    from one with somebody else.
    """

    def __init__(self, elastic: Elastic, settings: ElasticSettings) -> None:
        self._elastic, self._index = elastic, settings.names.documents
        self._bulk = Bulk(elastic, settings)

    @classmethod
    def open(cls, settings: ElasticSettings) -> ElasticDocuments:
        """Connect, and see that the index is as expected.

        Raises:
            ConfigError: the settings cannot be used, or `soundings setup` has not run.
            RetryLater, BackendDown.
        """
        elastic = Elastic(settings)
        try:
            check_ready(elastic, settings, "documents")
        except BaseException:
            elastic.close()
            raise
        return cls(elastic, settings)

    def close(self) -> None:
        """Wait for what is in flight and close the connections."""
        self._bulk.close()
        self._elastic.close()

    def get(self, kind: str, doc_ids: Sequence[str]) -> Mapping[str, Document]:
        """Give documents by id as last changed by anybody; absent ones are left out."""
        require_ids(kind, doc_ids)
        found = self._found([(kind, doc_id) for doc_id in doc_ids])
        return {
            doc_id: Document(kind, doc_id, one.source["body"], _revision(one.sequence, one.term))
            for doc_id, one in zip(doc_ids, found, strict=True)
            if one is not None
        }

    def scan(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = MAX_SCAN, descending: bool = False
    ) -> Sequence[Document]:
        """Give a page of a kind by id. The index is refreshed by nobody but its readers."""
        require_scan(kind, prefix, after, limit)
        refresh(self._elastic, self._index)
        filters: list[dict[str, Any]] = [{"term": {"kind": kind}}]
        if prefix:
            filters.append({"prefix": {"doc_id": prefix}})
        body: dict[str, Any] = {
            "query": {"bool": {"filter": filters}},
            "sort": [{"doc_id": "desc" if descending else "asc"}],
            "size": limit,
            "seq_no_primary_term": True,
            "track_total_hits": False,
            "_source": ["doc_id", "body"],
        }
        if after:
            body["search_after"] = [after]
        answer = self._elastic.ask("POST", f"/{self._index}/_search", body, parameters=WHOLE)
        return [
            Document(
                kind, hit["_source"]["doc_id"], hit["_source"]["body"], _revision(hit["_seq_no"], hit["_primary_term"])
            )
            for hit in answer.body["hits"]["hits"]
        ]

    def apply(self, changes: Sequence[Change]) -> None:
        """Make changes durable, each by itself: after a conflict, the others may have been made."""
        require_changes(changes)
        token = uuid4().hex
        # Written before anything is sent: a body that cannot be written changes nothing.
        written = [(change, self._op(change, token)) for change in changes]
        # Elasticsearch has no way to delete what is not there, on condition that it is not there.
        taken = self._present([change for change in changes if _deletes_nothing(change)])
        sent = [(change, op) for change, op in written if not _deletes_nothing(change)]
        unsure: list[Change] = []
        for (change, _), outcome in zip(sent, self._bulk.write([op for _, op in sent]), strict=True):
            if isinstance(outcome, BadRecord):
                raise outcome
            if isinstance(outcome, elastic_bulk.Conflict):
                (unsure if outcome.repeated else taken).append(change)
        taken += self._of_others(unsure, token)
        if taken:
            kind = taken[0].kind
            raise Conflict(kind, [change.doc_id for change in taken if change.kind == kind])

    def _op(self, change: Change, token: str) -> Op:
        expected = None if not change.expected else _sequence(change.expected)
        name = _name(change.kind, change.doc_id)
        if change.body is None:
            return Op("delete", self._index, name, expected=expected)
        about = {"kind": change.kind, "doc_id": change.doc_id, "written_by": token}
        # The body as it was written and checked, not once more.
        document = b'%b,"body":%b}' % (to_json(about)[:-1], body_bytes(change.body))
        return Op("create" if change.expected == ABSENT else "index", self._index, name, document, expected=expected)

    def _present(self, changes: Sequence[Change]) -> list[Change]:
        """Give those changes whose document is there."""
        found = self._found([(change.kind, change.doc_id) for change in changes])
        return [change for change, one in zip(changes, found, strict=True) if one is not None]

    def _of_others(self, changes: Sequence[Change], token: str) -> list[Change]:
        """Give those changes that somebody else was sooner with; the others were made, by a try that was not heard."""
        found = self._found([(change.kind, change.doc_id) for change in changes])
        return [
            change
            for change, one in zip(changes, found, strict=True)
            if (one is not None if change.body is None else one is None or one.source["written_by"] != token)
        ]

    def _found(self, names: Sequence[tuple[str, str]]) -> list[Found | None]:
        wanted = [Wanted(self._index, _name(kind, doc_id), ALL_FIELDS) for kind, doc_id in names]
        return get_many(self._elastic, wanted) if wanted else []


def _deletes_nothing(change: Change) -> bool:
    return change.body is None and change.expected == ABSENT


def _name(kind: str, doc_id: str) -> str:
    """Give the id in the index: a kind has no colon."""
    return f"{kind}:{doc_id}"


def _revision(sequence: int, term: int) -> str:
    return f"{sequence}.{term}"


def _sequence(revision: str) -> tuple[int, int]:
    found = _REVISION.fullmatch(revision)
    return (int(found[1]), int(found[2])) if found else _NOBODYS
