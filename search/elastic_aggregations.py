"""The closed list of aggregations in Elasticsearch's JSON, and its answers as our results: exact, ties by value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
from domain.text import fold_keyword
from search.aggregations import field_of, range_keys

# Matches up to which `Distinct` is exact: their values are counted one by one.
MOST_COUNTED: Final = 20_000
# Below so many values HyperLogLog is asked to be near to exact; the most that Elasticsearch takes.
_PRECISION: Final = 40_000
# Candidates counted again one by one; beyond that one full look is cheaper.
_MOST_RECOUNTS: Final = 1_000
_MS: Final = 1_000

Answer: TypeAlias = Mapping[str, Any]
# Answers requests by name over all matches; with them how many matches there are.
Ask: TypeAlias = Callable[[Mapping[str, Any]], tuple[Mapping[str, Answer], int]]


@dataclass(frozen=True, slots=True)
class _Look:
    """How many values each month's index tells, and how many rows beyond those wanted it tells them for."""

    shard_size: int
    inner_shard_size: int
    spare: int


# A few thousand values of each month prove the most frequent words and authors; what they leave open is counted again.
_FIRST_LOOK: Final = _Look(shard_size=3_000, inner_shard_size=300, spare=50)
# All there are, of every month.
_FULL_LOOK: Final = _Look(shard_size=(1 << 31) - 1, inner_shard_size=(1 << 31) - 1, spare=0)


def aggregate(ask: Ask, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
    """Count over all matches; answers under the same names.

    Terms, histograms, ranges and sums are exact over all months: an index that kept a value to itself is asked again.
    `Distinct` is exact up to `MOST_COUNTED` matches; beyond that, and inside another aggregation, it is a HyperLogLog
    estimate (measured error: docs/decisions/0010-elasticsearch-store.md).

    Args:
        ask: sends aggregations in Elasticsearch's JSON, restricted to the matches.
        aggregations: what to count, by name.

    Raises:
        ValueError: an aggregation that `search.aggregations.field_of` refuses.
        RetryLater, BackendDown: as `ask`.
    """
    for aggregation in aggregations.values():
        _checked(aggregation)
    if not aggregations:
        return {}
    answers, matches = ask({name: _request(each, _FIRST_LOOK) for name, each in aggregations.items()})
    results: dict[str, Result] = {}
    doubtful: dict[str, Aggregation] = {}
    for name, aggregation in aggregations.items():
        doubt = _Doubt()
        results[name] = _read(aggregation, answers[name], doubt)
        if doubt.found:
            doubtful[name] = aggregation
        elif isinstance(aggregation, Distinct) and 0 < matches <= MOST_COUNTED:
            results[name] = _counted_one_by_one(ask, aggregation) or results[name]
    return results | _settled(ask, doubtful, answers)


def _checked(aggregation: Aggregation) -> None:
    field_of(aggregation)
    for inner in getattr(aggregation, "sub", {}).values():
        _checked(inner)


# --- asking until the answer is exact


def _counted_one_by_one(ask: Ask, distinct: Distinct) -> DistinctResult | None:
    """Count different values exactly where the matches are few; a page that says 986 of 1,000 looks broken.

    One request for each: together they would be more rows than Elasticsearch answers (`search.max_buckets`).
    """
    answers, _ = ask({"a": {"terms": {"field": distinct.field, "size": MOST_COUNTED}}})
    answer = answers["a"]
    return DistinctResult(len(answer["buckets"])) if answer["sum_other_doc_count"] == 0 else None


def _settled(ask: Ask, doubtful: Mapping[str, Aggregation], answers: Mapping[str, Answer]) -> dict[str, Result]:
    """Ask again for what a first look left open: once for candidates, and once in full for what that cannot prove."""
    candidates = {
        name: found
        for name, each in doubtful.items()
        if isinstance(each, Terms) and (found := _candidates(each, answers[name]))
    }
    results: dict[str, Result] = {}
    if candidates:
        counted, _ = ask({name: _request(doubtful[name], _FULL_LOOK, only) for name, only in candidates.items()})
        for name in candidates:
            recounted = _recounted(doubtful[name], counted[name], answers[name])
            if recounted is not None:
                results[name] = recounted
    rest = {name: each for name, each in doubtful.items() if name not in results}
    if rest:
        full, _ = ask({name: _request(each, _FULL_LOOK) for name, each in rest.items()})
        results |= {name: _read(each, full[name], _Doubt()) for name, each in rest.items()}
    return results


def _candidates(terms: Terms, answer: Answer) -> list[str]:
    """Give the values that may be among the most frequent; none where counting them again would prove nothing."""
    rows, error = answer["buckets"], answer["doc_count_error_upper_bound"]
    # Where the error is 0, it is the counts inside that are in doubt.
    if field_of(terms).kind != "keyword" or len(rows) < terms.size or error <= 0:
        return []
    reach = rows[terms.size - 1]["doc_count"]
    kept = [row["key"] for row in rows if row["doc_count"] + row["doc_count_error_upper_bound"] >= reach]
    return [] if len(kept) > _MOST_RECOUNTS or reach <= rows[-1]["doc_count"] else kept


def _recounted(aggregation: Aggregation, counted: Answer, answer: Answer) -> Buckets | None:
    """Give the most frequent of the candidates where nothing else can be among them; None where that is not proven."""
    result = _read(aggregation, counted, _Doubt())
    if not isinstance(aggregation, Terms) or not isinstance(result, Buckets):
        raise TypeError("candidates are counted for Terms only")
    rows = result.buckets
    # What did not come holds as much as the last row that did, and what the indices kept to themselves.
    elsewhere = answer["buckets"][-1]["doc_count"] + answer["doc_count_error_upper_bound"]
    if rows[-1].count <= elsewhere:
        return None
    total = sum(row["doc_count"] for row in answer["buckets"]) + answer["sum_other_doc_count"]
    return Buckets(rows, other=total - sum(row.count for row in rows))


# --- to Elasticsearch's JSON


def _request(aggregation: Aggregation, look: _Look, only: list[str] | None = None) -> dict[str, Any]:
    field = field_of(aggregation)
    match aggregation:
        case Terms(size=size):
            asked = size + look.spare if only is None else len(only)
            terms: dict[str, Any] = {
                "field": field.name,
                "size": asked,
                "shard_size": max(look.shard_size, asked),
                "order": [{"_count": "desc"}, {"_key": "asc"}],
                "show_term_doc_count_error": True,
            }
            if only is not None:
                terms["include"] = only
            request: dict[str, Any] = {"terms": terms}
        case Histogram(interval=interval):
            request = _histogram(field.kind, field.name, interval)
        case Ranges(edges=edges):
            ranges = [
                {name: edge for name, edge in (("from", low), ("to", high)) if edge is not None}
                for low, high in pairwise((None, *edges, None))
            ]
            request = {"range": {"field": field.name, "ranges": ranges}}
        case Stats():
            return {"stats": {"field": field.name}}
        case Distinct():
            return {"cardinality": {"field": field.name, "precision_threshold": _PRECISION}}
    if aggregation.sub:
        inside = replace(look, shard_size=look.inner_shard_size)
        request["aggs"] = {name: _request(inner, inside) for name, inner in aggregation.sub.items()}
    return request


def _histogram(kind: str, name: str, interval: float) -> dict[str, Any]:
    if kind != "date":
        return {"histogram": {"field": name, "interval": interval, "min_doc_count": 1}}
    ms = round(interval * _MS)
    if ms < 1 or abs(ms - interval * _MS) > 1e-6:
        raise ValueError(f"interval of {name} must be whole milliseconds, found {interval} seconds")
    return {"date_histogram": {"field": name, "fixed_interval": f"{ms}ms", "min_doc_count": 1}}


# --- from Elasticsearch's JSON


def nothing(requests: Mapping[str, Any]) -> dict[str, Answer]:
    """Give the answers of an empty store to requests."""
    answers: dict[str, Answer] = {}
    for name, request in requests.items():
        if "range" in request:
            inner = nothing(request.get("aggs", {}))
            answers[name] = {"buckets": [{"doc_count": 0, **inner} for _ in request["range"]["ranges"]]}
        else:
            # Read as one kind of answer or the other.
            answers[name] = {
                **{"buckets": [], "doc_count_error_upper_bound": 0, "sum_other_doc_count": 0},
                **{"value": 0, "count": 0, "sum": 0.0, "avg": None},
            }
    return answers


class _Doubt:
    """Whether an answer that was read left a count or an order unproven, on any level."""

    found = False


def _read(aggregation: Aggregation, answer: Answer, doubt: _Doubt) -> Result:
    return _reader(aggregation, doubt)(answer)


def _reader(aggregation: Aggregation, doubt: _Doubt) -> Callable[[Answer], Result]:
    """Give a function that reads answers; made once per request, for a timeline holds thousands of them."""
    if isinstance(aggregation, Stats):
        return lambda answer: StatsResult(answer["count"], answer["sum"], answer["avg"] if answer["count"] else None)
    if isinstance(aggregation, Distinct):
        return lambda answer: DistinctResult(answer["value"])
    rows = _rows_reader(aggregation, doubt)
    if not isinstance(aggregation, Terms):
        return lambda answer: Buckets(tuple(rows(answer)))
    size = aggregation.size

    def read(answer: Answer) -> Result:
        # -1 says that it cannot be told.
        if answer["doc_count_error_upper_bound"] != 0:
            doubt.found = True
        found = sorted(rows(answer), key=_by_count)
        kept = found[:size]
        rest = sum(bucket.count for bucket in found[size:])
        return Buckets(tuple(kept), other=answer["sum_other_doc_count"] + rest)

    return read


def _by_count(bucket: Bucket) -> tuple[int, str | int | float | bool]:
    return -bucket.count, bucket.key


def _rows_reader(aggregation: Terms | Histogram | Ranges, doubt: _Doubt) -> Callable[[Answer], list[Bucket]]:
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
    if isinstance(aggregation, Histogram) and kind == "integer":
        return lambda key: int(key) if key.is_integer() else float(key)
    if kind == "boolean":
        return bool
    if kind == "keyword":
        # The index knows letters by their lower case; folding prefers the capitals of Cherokee.
        return lambda key: key if key.isascii() else fold_keyword(key)
    return lambda key: key
