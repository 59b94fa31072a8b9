"""The closed list of aggregations in tantivy's JSON, and its answers as our results: exact, ties by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from domain.aggregation import (
    Aggregation,
    Bucket,
    Buckets,
    Distinct,
    DistinctResult,
    Histogram,
    Ranges,
    Result,
    Stats,
    StatsResult,
    Terms,
)
from domain.fields import Field
from domain.query.ast import And, Keyword, Node
from search.aggregations import field_of, range_keys
from search.tantivy_index import Snapshot
from search.tantivy_schema import MICROSECONDS_PER_MS, MICROSECONDS_PER_SECOND

# Matches up to which `Distinct` is exact: 20,000 values take about 20 ms to count one by one.
MOST_COUNTED: Final = 20_000
# Counting one value again costs 1 to 4 ms in a million mentions; beyond this many one full look is cheaper.
_MOST_RECOUNTS: Final = 60


def aggregate(snapshot: Snapshot, node: Node, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
    """Count over all mentions that `node` matches; answers under the same names.

    Terms, histograms, ranges and sums are exact. A `Terms` inside another aggregation keeps ties in order of
    their values as long as fewer than 200 values share the count at the cut. `Distinct` is exact up to
    `MOST_COUNTED` matches; beyond that, and inside another aggregation, it is a HyperLogLog estimate (measured
    error: docs/decisions/0005-embedded-store.md).

    Raises:
        ValueError: a field that is not in the table, or an aggregation that does not fit the field's kind.
        BackendDown: the index cannot be read.
    """
    request = {name: _request(aggregation, _FIRST_LOOK) for name, aggregation in aggregations.items()}
    if not request:
        return {}
    answers = snapshot.aggregate(node, request)
    return {name: _settled(snapshot, node, agg, answers[name]) for name, agg in aggregations.items()}


@dataclass(frozen=True, slots=True)
class _Look:
    """How much to ask for: values that each segment tells, and rows beyond those wanted, at the top and inside.

    The spare rows are there for ties at the cut, which usually end among them.
    """

    segment_size: int
    spare: int
    inner_spare: int


# Telling 1,000 instead of all 200,000 authors takes a tenth of the time; what stays unproven is counted again.
_FIRST_LOOK: Final = _Look(segment_size=1_000, spare=50, inner_spare=20)
_FULL_LOOK: Final = _Look(segment_size=1 << 30, spare=2_000, inner_spare=200)


def _settled(snapshot: Snapshot, node: Node, aggregation: Aggregation, answer: Mapping[str, Any]) -> Result:
    """Turn a first answer into a result, asking again where it leaves a count or an order unproven."""
    if isinstance(aggregation, Terms):
        return _settled_terms(snapshot, node, aggregation, answer)
    if isinstance(aggregation, Distinct) and (exact := _counted_one_by_one(snapshot, node, aggregation)) is not None:
        return exact
    if not _proven(aggregation, answer):
        answer = snapshot.aggregate(node, {"a": _request(aggregation, _FULL_LOOK)})["a"]
    return _result(aggregation, answer)


def _counted_one_by_one(snapshot: Snapshot, node: Node, distinct: Distinct) -> DistinctResult | None:
    """Count different values exactly where the matches are few; a page that says 986 of 1,000 looks broken."""
    if snapshot.count(node) > MOST_COUNTED:
        return None
    request = {"terms": {"field": distinct.field, "size": MOST_COUNTED, "segment_size": _FULL_LOOK.segment_size}}
    answer = snapshot.aggregate(node, {"a": request})["a"]
    return DistinctResult(len(answer["buckets"])) if answer["sum_other_doc_count"] == 0 else None


def _settled_terms(snapshot: Snapshot, node: Node, terms: Terms, answer: Mapping[str, Any]) -> Buckets:
    total = sum(row["doc_count"] for row in answer["buckets"]) + answer["sum_other_doc_count"]
    if _proven(terms, answer):
        return _cut(_rows(terms, answer), terms.size, total)
    recounted = _recounted(snapshot, node, terms, answer)
    if recounted is not None:
        return _cut(recounted, terms.size, total)
    answer = snapshot.aggregate(node, {"a": _request(terms, _FULL_LOOK)})["a"]
    rows = _rows(terms, answer)
    if not _tie_ends(terms, answer):
        # More values share the count at the cut than came: ask for the smallest of those that reach it. The others
        # above the cut are fewer than `size`, so `size` rows hold all that are needed.
        least = sorted((row.count for row in rows), reverse=True)[terms.size - 1]
        request = _request(terms, _FULL_LOOK)
        request["terms"] |= {"order": {"_key": "asc"}, "min_doc_count": least, "size": terms.size}
        smallest = _rows(terms, snapshot.aggregate(node, {"a": request})["a"])
        rows = [*(row for row in rows if row.count > least), *(row for row in smallest if row.count == least)]
    return _cut(rows, terms.size, total)


def _proven(aggregation: Aggregation, answer: Mapping[str, Any]) -> bool:
    """Tell whether an answer and all in it are exact, and every tie at a cut came whole."""
    if isinstance(aggregation, Stats | Distinct):
        return True
    if isinstance(aggregation, Terms) and not (
        answer.get("doc_count_error_upper_bound", 0) == 0 and _tie_ends(aggregation, answer)
    ):
        return False
    return all(_proven(inner, row[name]) for row in answer["buckets"] for name, inner in aggregation.sub.items())


def _tie_ends(terms: Terms, answer: Mapping[str, Any]) -> bool:
    """Tell whether the rows reach below the count at the cut, or are all there are."""
    counts: list[int] = [row["doc_count"] for row in answer["buckets"]]
    all_came = answer.get("sum_other_doc_count", 0) == 0
    return all_came or (len(counts) > terms.size and counts[-1] < counts[terms.size - 1])


def _recounted(snapshot: Snapshot, node: Node, terms: Terms, answer: Mapping[str, Any]) -> list[Bucket] | None:
    """Count the candidates of a first look again, each by a search; None where that would not prove the order."""
    rows, error = answer["buckets"], answer["doc_count_error_upper_bound"]
    # Where the segments told all, the counts are right already: it is a tie that has no end among the rows.
    if error == 0 or terms.sub or field_of(terms).kind != "keyword":
        return None
    # What did not come can hold as much as the last row, plus what the segments kept to themselves.
    elsewhere = (rows[-1]["doc_count"] if rows else 0) + error
    # Likewise for the rows: those that cannot reach the cut need no counting.
    reach = sorted((row["doc_count"] for row in rows), reverse=True)[: terms.size]
    if len(reach) < terms.size:
        return None
    candidates = [row["key"] for row in rows if row["doc_count"] + error >= reach[-1]]
    if len(candidates) > _MOST_RECOUNTS:
        return None
    counted = [Bucket(key, snapshot.count(And((node, Keyword(terms.field, key))))) for key in candidates]
    least = sorted((bucket.count for bucket in counted), reverse=True)[terms.size - 1]
    return counted if least > elsewhere else None


def _cut(rows: list[Bucket], size: int, total: int) -> Buckets:
    kept = sorted(rows, key=lambda bucket: (-bucket.count, bucket.key))[:size]
    return Buckets(tuple(kept), other=total - sum(bucket.count for bucket in kept))


# --- to tantivy's JSON


def _request(aggregation: Aggregation, look: _Look) -> dict[str, Any]:
    field = field_of(aggregation)
    match aggregation:
        case Terms(size=size):
            asked = size + look.spare
            request: dict[str, Any] = {
                "terms": {"field": field.name, "size": asked, "segment_size": max(look.segment_size, 10 * asked)}
            }
        case Histogram(interval=interval):
            step = round(interval * MICROSECONDS_PER_SECOND) if field.kind == "date" else interval
            # Without min_doc_count one stray date would fill the gap with an empty row for each hour of centuries.
            request = {"histogram": {"field": field.name, "interval": step, "min_doc_count": 1}}
        case Ranges(edges=edges):
            ends = (None, *edges, None)
            ranges = [
                {name: edge for name, edge in (("from", low), ("to", high)) if edge is not None}
                for low, high in pairwise(ends)
            ]
            request = {"range": {"field": field.name, "ranges": ranges}}
        case Stats():
            return {"stats": {"field": field.name}}
        case Distinct():
            return {"cardinality": {"field": field.name}}
    if aggregation.sub:
        inside = replace(look, spare=look.inner_spare)
        request["aggs"] = {name: _request(inner, inside) for name, inner in aggregation.sub.items()}
    return request


# --- from tantivy's JSON


def _result(aggregation: Aggregation, answer: Mapping[str, Any]) -> Result:
    match aggregation:
        case Terms(size=size):
            total = sum(row["doc_count"] for row in answer["buckets"]) + answer.get("sum_other_doc_count", 0)
            return _cut(_rows(aggregation, answer), size, total)
        case Stats():
            count = answer["count"]
            return StatsResult(count, answer["sum"], answer["avg"] if count else None)
        case Distinct():
            return DistinctResult(round(answer["value"]))
        case _:
            return Buckets(tuple(_rows(aggregation, answer)))


def _rows(aggregation: Terms | Histogram | Ranges, answer: Mapping[str, Any]) -> list[Bucket]:
    field = field_of(aggregation)
    raw = answer["buckets"]
    keys: tuple[str | int | float | bool, ...]
    match aggregation:
        case Terms():
            keys = tuple(bool(row["key"]) if field.kind == "boolean" else row["key"] for row in raw)
        case Histogram():
            keys = tuple(_histogram_key(field, row["key"]) for row in raw)
        case Ranges(edges=edges):
            keys = range_keys(edges)
    return [
        Bucket(key, row["doc_count"], {name: _result(inner, row[name]) for name, inner in aggregation.sub.items()})
        for key, row in zip(keys, raw, strict=True)
    ]


def _histogram_key(field: Field, key: float) -> int | float:
    if field.kind == "date":
        return round(key) // MICROSECONDS_PER_MS
    return int(key) if field.kind == "integer" and key.is_integer() else key
