"""Reading several documents at once: by id as last written, and by several searches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import RetryLater
from search.elastic_http import IMPATIENT, LATER_SECONDS, SEVERAL_INDICES, Answer, Elastic, said_of
from search.elastic_settings import Names

# An alias without indices is an empty store; an answer that misses a shard is no answer.
LENIENT: Final = {"ignore_unavailable": "true", "allow_no_indices": "true"}
WHOLE: Final = {**LENIENT, "allow_partial_search_results": "false"}
_MOST_IDS: Final = 2_000
_MOST_SEARCHES: Final = 500
_SCANNED_AT_ONCE: Final = 1_000
# Of a scan, between two of its requests: what is done with a thousand documents may take that long.
_KEEP_ALIVE: Final = "10m"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document by its id. `fields` names the parts of its source to give; none: only whether it is there."""

    index: str
    doc_id: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A document: the index that has it, its version, what was asked of its source, and what its last write was."""

    index: str
    doc_id: str
    version: int
    source: Mapping[str, Any]
    sequence: int = -1
    term: int = 0


ALL_FIELDS: Final = ("*",)


def get_many(elastic: Elastic, wanted: Sequence[Wanted], *, patient: bool = False) -> list[Found | None]:
    """Give documents as last written, no waiting for a refresh; None for one that is not there.

    Raises:
        RetryLater, BackendDown.
    """
    found: list[Found | None] = []
    for start in range(0, len(wanted), _MOST_IDS):
        part = wanted[start : start + _MOST_IDS]
        docs = [{"_index": one.index, "_id": one.doc_id, "_source": _filter(one.fields)} for one in part]
        answer = elastic.ask("POST", "/_mget", {"docs": docs}, patient=patient)
        found += [_found(doc) for doc in answer.body["docs"]]
    return found


def _filter(fields: tuple[str, ...]) -> bool | list[str]:
    return list(fields) if fields and fields != ALL_FIELDS else bool(fields)


def _found(doc: Mapping[str, Any]) -> Found | None:
    error = doc.get("error")
    if error is not None and error.get("type") != "index_not_found_exception":
        # An alias of several indices is refused as an argument.
        hint = f". {doc['_index']} {SEVERAL_INDICES}" if "more than one ind" in str(error.get("reason", "")) else ""
        raise RetryLater(
            f"Elasticsearch could not look up a document of {doc['_index']}: {said_of(error)}{hint}", LATER_SECONDS
        )
    if not doc.get("found"):
        return None
    last = doc.get("_seq_no", -1), doc.get("_primary_term", 0)
    return Found(doc["_index"], doc["_id"], doc.get("_version", 0), doc.get("_source", {}), *last)


def search_many(
    elastic: Elastic, index: str, searches: Sequence[Mapping[str, Any]], *, patient: bool = False
) -> list[Mapping[str, Any]]:
    """Give the answers to several searches of one index, in order.

    Raises:
        RetryLater, BackendDown.
    """
    answers: list[Mapping[str, Any]] = []
    header = {"index": index, "allow_partial_search_results": False}
    for start in range(0, len(searches), _MOST_SEARCHES):
        part = searches[start : start + _MOST_SEARCHES]
        lines = [line for one in part for line in (header, one)]
        answer = elastic.ask("POST", "/_msearch", lines, patient=patient)
        for one in answer.body["responses"]:
            if one["status"] in IMPATIENT:
                raise elastic.impatient(Answer(one["status"], one))
            if one["status"] != 200:
                raise elastic.refused(Answer(one["status"], one), "a search")
            answers.append(one)
    return answers


def refresh(elastic: Elastic, index: str, *, patient: bool = False) -> None:
    """Make what was written to an index, or to those of an alias, searchable."""
    elastic.ask("POST", f"/{index}/_refresh", parameters=LENIENT, patient=patient)


def month_indices(elastic: Elastic, names: Names) -> list[str]:
    """Give the indices behind the alias of mentions, the newest month first; a migrated one has a longer name."""
    answer = elastic.ask("GET", f"/{names.mentions}/_alias", also=(404,))
    return sorted(answer.body, reverse=True) if answer.status == 200 else []


def scan(
    elastic: Elastic,
    index: str,
    query: Mapping[str, Any],
    *,
    after_sequence: int | None = None,
    fields: tuple[str, ...] = ALL_FIELDS,
) -> Iterator[Mapping[str, Any]]:
    """Give every document that matches, with `_id`, `_version`, `_seq_no` and `_source`, as they are now.

    Writes go on meanwhile and are not seen. An alias without indices has none.

    Args:
        elastic: where to read.
        index: an index or an alias.
        query: what must match.
        after_sequence: only writes with a higher number; for an index of one shard.
        fields: parts of the source to give.

    Raises:
        RetryLater, BackendDown.
    """
    if elastic.ask("GET", f"/{index}/_alias", also=(404,)).status == 404:
        return
    keep = {"keep_alive": _KEEP_ALIVE}
    opened = elastic.ask("POST", f"/{index}/_pit", parameters=keep, patient=True)
    pit = opened.body["id"]
    filters = [query]
    if after_sequence is not None:
        filters.append({"range": {"_seq_no": {"gt": after_sequence}}})
    body: dict[str, Any] = {
        "size": _SCANNED_AT_ONCE,
        "query": {"bool": {"filter": filters}},
        "sort": ["_shard_doc"],
        "version": True,
        "seq_no_primary_term": True,
        "track_total_hits": False,
        "_source": _filter(fields),
    }
    try:
        while True:
            body["pit"] = {"id": pit, **keep}
            strict = {"allow_partial_search_results": "false"}
            answer = elastic.ask("POST", "/_search", body, parameters=strict, patient=True).body
            pit = answer.get("pit_id", pit)
            hits = answer["hits"]["hits"]
            yield from hits
            if len(hits) < _SCANNED_AT_ONCE:
                return
            body["search_after"] = hits[-1]["sort"]
    finally:
        elastic.ask("DELETE", "/_pit", {"id": pit}, also=(404,))
