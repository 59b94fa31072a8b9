"""The closed list of aggregations in tantivy's JSON, and its answers as our results: exact, ties by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, TypeAlias

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
from domain.query.ast import And, Keyword, Node
from search.aggregations import field_of, range_keys
from search.tantivy_index import Snapshot
from search.tantivy_schema import MICROSECONDS_PER_MS, MICROSECONDS_PER_SECOND

# Matches up to which `Distinct` is exact: 20,000 values take about 20 ms to count one by one.
MOST_COUNTED: Final = 20_000
# Counting one value again costs 1 to 4 ms in a million mentions; beyond this many one full look is cheaper.
_MOST_RECOUNTS: Final = 60


@dataclass(frozen=True, slots=True)
class _Look:
    """How much to ask for: values that each segment tells, and rows beyond those wanted, at the top and inside.

    The spare rows are there for ties at the cut, which usually end among them.
    """

    segment_size: int
    spare: int
    inner_spare: int


# Each value that a segment tells costs about a microsecond: 150 of each prove the ten most frequent words or authors,
# all 200,000 authors take half a second.
_FIRST_LOOK: Final = _Look(segment_size=150, spare=50, inner_spare=20)
_FULL_LOOK: Final = _Look(segment_size=1 << 30, spare=2_000, inner_spare=200)


def aggregate(
    snapshot: Snapshot, node: Node, aggregations: Mapping[str, Aggregation], executor: Executor
) -> Mapping[str, Result]:
    """Count over all mentions that `node` matches; answers under the same names.

    Terms, histograms, ranges and sums are exact. A `Terms` inside another aggregation keeps ties in order of
    their values as long as fewer than 200 values share the count at the cut. `Distinct` is exact up to
    `MOST_COUNTED` matches; beyond that, and inside another aggregation, it is a HyperLogLog estimate (measured
    error: docs/decisions/0005-embedded-store.md).

    Args:
        snapshot: what to count in.
        node: what must match.
        aggregations: what to count, by name.
        executor: runs one half of the work beside this thread; tantivy lets go of the interpreter meanwhile.

    Raises:
        ValueError: an aggregation that `search.aggregations.field_of` refuses.
        BackendDown: the index cannot be read.
    """
    # Fields of several values take about half of the time of all facets together.
    several = {name: aggregation for name, aggregation in aggregations.items() if field_of(aggregation).multiple}
    single = {name: aggregation for name, aggregation in aggregations.items() if name not in several}
    if not several or not single:
        return _answered(snapshot, node, aggregations)
    beside = executor.submit(_answered, snapshot, node, several)
    answers = _answered(snapshot, node, single) | beside.result()
    return {name: answers[name] for name in aggregations}


def _answered(snapshot: Snapshot, node: Node, aggregations: Mapping[str, Aggregation]) -> dict[str, Result]:
    if not aggregations:
        return {}
    answers = snapshot.aggregate(node, {name: _request(each, _FIRST_LOOK) for name, each in aggregations.items()})
    return {name: _settled(snapshot, node, each, answers[name]) for name, each in aggregations.items()}


# --- asking until the answer is exact


def _settled(snapshot: Snapshot, node: Node, aggregation: Aggregation, answer: _Answer) -> Result:
    """Turn a first answer into a result, asking again where it leaves a count or an order unproven."""
    if isinstance(aggregation, Distinct) and (exact := _counted_one_by_one(snapshot, node, aggregation)) is not None:
        return exact
    doubt = _Doubt()
    result = _reader(aggregation, doubt)(answer)
    if not doubt.found:
        return result
    if isinstance(aggregation, Terms) and (recounted := _recounted(snapshot, node, aggregation, answer)) is not None:
        return recounted
    answer = snapshot.aggregate(node, {"a": _request(aggregation, _FULL_LOOK)})["a"]
    if isinstance(aggregation, Terms) and not _is_exact(aggregation, answer):
        return _with_smallest_of_tie(snapshot, node, aggregation, answer)
    return _reader(aggregation, doubt)(answer)


def _counted_one_by_one(snapshot: Snapshot, node: Node, distinct: Distinct) -> DistinctResult | None:
    """Count different values exactly where the matches are few; a page that says 986 of 1,000 looks broken."""
    if snapshot.count(node) > MOST_COUNTED:
        return None
    request = {"terms": {"field": distinct.field, "size": MOST_COUNTED, "segment_size": _FULL_LOOK.segment_size}}
    answer = snapshot.aggregate(node, {"a": request})["a"]
    return DistinctResult(len(answer["buckets"])) if answer["sum_other_doc_count"] == 0 else None


def _recounted(snapshot: Snapshot, node: Node, terms: Terms, answer: _Answer) -> Buckets | None:
    """Count the candidates of a first look again, each by a search; None where that would not prove the order."""
    rows, error = answer["buckets"], answer["doc_count_error_upper_bound"]
    # Where the segments told all, the counts are right already: it is a tie that has no end among the rows.
    if error == 0 or terms.sub or len(rows) < terms.size or field_of(terms).kind != "keyword":
        return None
    # What did not come can hold as much as the last row, plus what the segments kept to themselves.
    elsewhere = rows[-1]["doc_count"] + error
    # Likewise for the rows: those that cannot reach the cut need no counting.
    reach = rows[terms.size - 1]["doc_count"]
    candidates = [row["key"] for row in rows if row["doc_count"] + error >= reach]
    # A count can grow by the error at most, so some distributions are hopeless from the start.
    if len(candidates) > _MOST_RECOUNTS or reach + error <= elsewhere:
        return None
    counted = [Bucket(key, snapshot.count(And((node, Keyword(terms.field, key))))) for key in candidates]
    result = _cut(counted, terms.size, _total(answer))
    return result if result.buckets[-1].count > elsewhere else None


def _with_smallest_of_tie(snapshot: Snapshot, node: Node, terms: Terms, answer: _Answer) -> Buckets:
    """Complete a full look in which more values share the count at the cut than came.

    Asks for the smallest values that reach that count. Those above it are fewer than `size`, so `size` rows hold all
    that are needed.
    """
    read = _rows_reader(terms, _Doubt())
    least = answer["buckets"][terms.size - 1]["doc_count"]
    request = _request(terms, _FULL_LOOK)
    request["terms"] |= {"order": {"_key": "asc"}, "min_doc_count": least, "size": terms.size}
    smallest = read(snapshot.aggregate(node, {"a": request})["a"])
    above = [row for row in read(answer) if row.count > least]
    return _cut([*above, *(row for row in smallest if row.count == least)], terms.size, _total(answer))


def _is_exact(terms: Terms, answer: _Answer) -> bool:
    """Tell whether the counts are right, and the rows reach below the count at the cut or are all there are."""
    if answer["doc_count_error_upper_bound"]:
        return False
    if answer["sum_other_doc_count"] == 0:
        return True
    rows = answer["buckets"]
    return len(rows) > terms.size and bool(rows[-1]["doc_count"] < rows[terms.size - 1]["doc_count"])


def _total(answer: _Answer) -> int:
    listed: int = sum(row["doc_count"] for row in answer["buckets"])
    return listed + int(answer["sum_other_doc_count"])


def _by_count(bucket: Bucket) -> tuple[int, str | int | float | bool]:
    return -bucket.count, bucket.key


def _cut(rows: list[Bucket], size: int, total: int) -> Buckets:
    kept = sorted(rows, key=_by_count)[:size]
    return Buckets(tuple(kept), other=total - sum(bucket.count for bucket in kept))


# --- to tantivy's JSON


def _request(aggregation: Aggregation, look: _Look) -> dict[str, Any]:
    field = field_of(aggregation)
    match aggregation:
        case Terms(size=size):
            asked = size + look.spare
            request: dict[str, Any] = {
                "terms": {"field": field.name, "size": asked, "segment_size": max(look.segment_size, 2 * asked)}
            }
        case Histogram(interval=interval):
            step = round(interval * MICROSECONDS_PER_SECOND) if field.kind == "date" else interval
            # Without min_doc_count one stray date would fill the gap with an empty row for each hour of centuries.
            request = {"histogram": {"field": field.name, "interval": step, "min_doc_count": 1}}
        case Ranges(edges=edges):
            ranges = [
                {name: edge for name, edge in (("from", low), ("to", high)) if edge is not None}
                for low, high in pairwise((None, *edges, None))
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

_Answer: TypeAlias = Mapping[str, Any]


class _Doubt:
    """Whether an answer that was read left a count or an order unproven, on any level."""

    found = False


def _reader(aggregation: Aggregation, doubt: _Doubt) -> Callable[[_Answer], Result]:
    """Give a function that reads answers; made once per request, for a timeline holds thousands of them."""
    if isinstance(aggregation, Stats):
        return lambda answer: StatsResult(answer["count"], answer["sum"], answer["avg"] if answer["count"] else None)
    if isinstance(aggregation, Distinct):
        return lambda answer: DistinctResult(round(answer["value"]))
    rows = _rows_reader(aggregation, doubt)
    if not isinstance(aggregation, Terms):
        return lambda answer: Buckets(tuple(rows(answer)))
    terms = aggregation

    def read(answer: _Answer) -> Result:
        if not _is_exact(terms, answer):
            doubt.found = True
        found = rows(answer)
        # Most answers inside others are short and whole: nothing to sum up.
        whole = len(found) <= terms.size and answer["sum_other_doc_count"] == 0
        return Buckets(tuple(sorted(found, key=_by_count))) if whole else _cut(found, terms.size, _total(answer))

    return read


def _rows_reader(aggregation: Terms | Histogram | Ranges, doubt: _Doubt) -> Callable[[_Answer], list[Bucket]]:
    key_of = _key_reader(aggregation)
    inner = [(name, _reader(each, doubt)) for name, each in aggregation.sub.items()]
    if isinstance(aggregation, Ranges):
        names = range_keys(aggregation.edges)
        return lambda answer: [
            Bucket(key, row["doc_count"], {name: read(row[name]) for name, read in inner})
            for key, row in zip(names, answer["buckets"], strict=True)
        ]
    return lambda answer: [
        Bucket(key_of(row["key"]), row["doc_count"], {name: read(row[name]) for name, read in inner})
        for row in answer["buckets"]
    ]


def _key_reader(aggregation: Terms | Histogram | Ranges) -> Callable[[Any], str | int | float | bool]:
    kind = field_of(aggregation).kind
    if isinstance(aggregation, Histogram) and kind == "date":
        return lambda key: round(key) // MICROSECONDS_PER_MS
    if isinstance(aggregation, Histogram) and kind == "integer":
        return lambda key: int(key) if key.is_integer() else float(key)
    if kind == "boolean":
        return bool
    return lambda key: key
