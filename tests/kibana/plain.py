"""A described panel answered in plain Python over documents: what any engine must say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from deploy.kibana.describe import RECORDS, Answers, Bucketing, Metric, Over, Panel

Document = dict[str, Any]
Row = dict[str, Any]
HOUR_MS = 3_600_000


def rows(panel: Panel, documents: Sequence[Document]) -> list[Row]:
    """Give the panel's rows, in its order, a key for each bucketing and metric; empty buckets are left out."""
    return list(_rows(panel, panel.buckets, [one for one in documents if holds(panel.where, one)]))


def holds(where: str, document: Document) -> bool:
    """Tell whether a document is what `field : value and not field : * ...` asks for."""
    for part in filter(None, where.split(" and ")):
        match = re.fullmatch(r"(not )?(\w+) : (\S+)", part)
        assert match is not None, part
        negated, name, value = match.groups()
        found = [str(one).lower() for one in _values(document, name)]
        if (bool(found) if value == "*" else value in found) == bool(negated):
            return False
    return True


def _rows(panel: Panel, buckets: Sequence[Bucketing], documents: Sequence[Document]) -> Iterator[Row]:
    if not buckets:
        yield {metric.key: _calculated(metric, documents) for metric in panel.metrics}
        return
    first, *inner = buckets
    for name, inside in _parts(first, panel.metrics[0], documents):
        for rest in _rows(panel, inner, inside):
            yield {first.key: name, **rest}


def _parts(bucket: Bucketing, metric: Metric, documents: Sequence[Document]) -> Iterator[tuple[Any, list[Document]]]:
    if isinstance(bucket, Answers):
        for label, where in bucket.questions:
            yield label, [one for one in documents if holds(where, one)]
    elif isinstance(bucket, Over):
        hours = {moment_ms(one[bucket.field]) // HOUR_MS for one in documents if bucket.field in one}
        for hour in sorted(hours):
            yield hour * HOUR_MS, [one for one in documents if moment_ms(one.get(bucket.field)) // HOUR_MS == hour]
    else:
        names = {name for one in documents for name in _values(one, bucket.field)}
        parts = {name: [one for one in documents if name in _values(one, bucket.field)] for name in names}
        most = {name: 0 if bucket.by_name else -_calculated(metric, part) for name, part in parts.items()}
        for name in sorted(names, key=lambda name: (most[name], name))[: bucket.size]:
            yield name, parts[name]


def _calculated(metric: Metric, documents: Sequence[Document]) -> Any:
    within = [one for one in documents if holds(metric.where, one)]
    if metric.field == RECORDS:
        return len(within)
    values = [value for one in within for value in _values(one, metric.field)]
    if metric.kind == "date":
        values = [moment_ms(value) for value in values]
    match metric.calculation:
        case "unique_count":
            return len(set(values))
        case "sum":
            return sum(values)
        case "average":
            return sum(values) / len(values) if values else None
        case "min":
            return min(values, default=None)
        case "max":
            return max(values, default=None)
    raise ValueError(metric.calculation)


def _values(document: Document, name: str) -> list[Any]:
    value = document.get(name)
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def moment_ms(text: str | None) -> int:
    """Give an ISO moment in ms since 1970; a moment before all others for None."""
    if text is None:
        return -1
    moment = datetime.fromisoformat(text)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
