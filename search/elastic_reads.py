"""Reading several documents at once: by id as last written, and by several searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import RetryLater
from search.elastic_http import IMPATIENT, LATER_SECONDS, Elastic
from search.elastic_settings import Names

# An alias without indices is an empty store; an answer that misses a shard is no answer.
LENIENT: Final = {"ignore_unavailable": "true", "allow_no_indices": "true"}
WHOLE: Final = {**LENIENT, "allow_partial_search_results": "false"}
_MOST_IDS: Final = 2_000
_MOST_SEARCHES: Final = 500


@dataclass(frozen=True, slots=True)
class Wanted:
    """A document by its id. `fields` names the parts of its source to give; none: only whether it is there."""

    index: str
    doc_id: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """A document: the index that has it, its version, and what was asked of its source."""

    index: str
    doc_id: str
    version: int
    source: Mapping[str, Any]


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
        raise RetryLater(f"Elasticsearch could not read a document: {error.get('type')}", LATER_SECONDS)
    if not doc.get("found"):
        return None
    return Found(doc["_index"], doc["_id"], doc.get("_version", 0), doc.get("_source", {}))


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
                raise RetryLater(f"Elasticsearch answers a search with {one['status']}", LATER_SECONDS)
            if one["status"] != 200:
                raise elastic.refused(type(answer)(one["status"], one), "a search of stories")
            answers.append(one)
    return answers


def refresh(elastic: Elastic, index: str, *, patient: bool = False) -> None:
    """Make what was written to an index, or to those of an alias, searchable."""
    elastic.ask("POST", f"/{index}/_refresh", parameters=LENIENT, patient=patient)


def month_indices(elastic: Elastic, names: Names) -> list[str]:
    """Give the indices behind the alias of mentions, the newest month first; a migrated one has a longer name."""
    answer = elastic.ask("GET", f"/{names.mentions}/_alias", also=(404,))
    return sorted(answer.body, reverse=True) if answer.status == 200 else []
