"""The metric table keeps its own rules."""

from __future__ import annotations

import re

import pytest

from domain.metrics import LABELS, METRICS, Metric

ROOMS = "stream|ingest|enrich|search|alerts|dashboard|service"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_name_says_room_noun_and_unit(metric: Metric) -> None:
    assert re.fullmatch(rf"soundings_({ROOMS})(_[a-z]+)+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    if metric.unit in ("seconds", "bytes", "records"):
        assert metric.unit in metric.name.removesuffix("_total").split("_")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert tuple(sorted(metric.buckets)) == metric.buckets
    assert metric.meaning


def test_names_are_unique_and_each_label_is_explained_and_used() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert {label for metric in METRICS for label in metric.labels} == set(LABELS)
