"""A shipped Lens panel as the search that Kibana sends for it: read from the saved object, not from its description."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kibana.kql import kql

Object = dict[str, Any]
# What the time picker's automatic width is in these tests.
INTERVAL = "1h"
_NAMES = {"average": "avg", "unique_count": "cardinality"}


def search_of(panel: Object) -> Object:
    """Give the body of the search: no hits, the panel's query, its buckets nested with the metrics inside."""
    state = panel["attributes"]["state"]
    (layer,) = state["datasourceStates"]["formBased"]["layers"].values()
    columns = layer["columns"]
    order = layer["columnOrder"]
    buckets = [key for key in order if columns[key]["isBucketed"]]
    metrics = {key: columns[key] for key in order if not columns[key]["isBucketed"]}
    return {
        "size": 0,
        "track_total_hits": True,
        "query": kql(state["query"]["query"]),
        "aggs": _nested(buckets, columns, metrics),
    }


def _nested(buckets: list[str], columns: Object, metrics: Object) -> Object:
    counted = {key: _metric(column) for key, column in metrics.items()}
    if not buckets:
        return counted
    key, *inner = buckets
    column = columns[key]
    inside = _nested(inner, columns, metrics)
    ordering = _order(column, metrics)
    if ordering is not None and ordering[0] in metrics and ordering[0] not in inside:
        inside = {ordering[0]: counted[ordering[0]], **inside}
    return {key: {**_bucketing(column, ordering, metrics), "aggs": inside}}


def _order(column: Object, metrics: Object) -> tuple[str, str] | None:
    if column["operationType"] != "terms":
        return None
    by, direction = column["params"]["orderBy"], column["params"]["orderDirection"]
    return ("_key" if by["type"] == "alphabetical" else by["columnId"]), direction


def _bucketing(column: Object, ordering: tuple[str, str] | None, metrics: Object) -> Object:
    params = column["params"]
    if column["operationType"] == "filters":
        questions = {one["label"]: kql(one["input"]["query"]) for one in params["filters"]}
        return {"filters": {"filters": questions}}
    if column["operationType"] == "date_histogram":
        assert params["interval"] == "auto"
        return {"date_histogram": {"field": column["sourceField"], "fixed_interval": INTERVAL, "min_doc_count": 1}}
    assert ordering is not None
    by, direction = ordering
    if by != "_key" and metrics[by]["operationType"] == "count" and "filter" not in metrics[by]:
        by = "_count"
    terms = {"field": column["sourceField"], "size": params["size"], "order": [{by: direction}, {"_key": "asc"}]}
    return {"terms": terms if by != "_key" else {**terms, "order": {"_key": direction}}}


def _metric(column: Object) -> Object:
    kind = column["operationType"]
    if kind == "count":
        # A bucket knows its number of documents; within a filter it is that filter's.
        return {"filter": kql(column.get("filter", {}).get("query", ""))}
    counted = {_NAMES.get(kind, kind): {"field": column["sourceField"]}}
    if "filter" not in column:
        return counted
    return {"filter": kql(column["filter"]["query"]), "aggs": {"value": counted}}


def rows_of(panel: Object, answer: Object) -> list[Object]:
    """Give the answer as a table: one row a bucket with every column's value by its key."""
    state = panel["attributes"]["state"]
    (layer,) = state["datasourceStates"]["formBased"]["layers"].values()
    columns = layer["columns"]
    buckets = [key for key in layer["columnOrder"] if columns[key]["isBucketed"]]
    metrics = [key for key in layer["columnOrder"] if not columns[key]["isBucketed"]]
    return list(_rows(buckets, metrics, columns, answer["aggregations"]))


def _rows(buckets: list[str], metrics: list[str], columns: Object, found: Object) -> Iterator[Object]:
    if not buckets:
        yield {key: _value(found[key]) for key in metrics}
        return
    key, *inner = buckets
    rows = found[key]["buckets"]
    if isinstance(rows, dict):
        # Elasticsearch sorts them by name, Lens shows them as they were written.
        pairs = [(one["label"], rows[one["label"]]) for one in columns[key]["params"]["filters"]]
    else:
        pairs = [(row["key"], row) for row in rows]
    for name, row in pairs:
        for rest in _rows(inner, metrics, columns, row):
            yield {key: name, **rest}


def _value(found: Object) -> Any:
    if "value" in found:
        inner = found["value"]
        return inner["value"] if isinstance(inner, dict) else inner
    return found["doc_count"]
