"""Alerts as flat fields: what the strict mapping of Elasticsearch takes, and what numbers mean."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alerts.projection import projection
from alerts.records import Alert, Level, Reading
from alerts.rule import Metric, Severity
from search.elastic_setup import MAPPINGS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
READING = Reading(
    end=NOON,
    metric=Metric.NEGATIVE,
    level=Level.SPIKE,
    observed=40.0,
    expected=8.0,
    low=2.0,
    high=15.0,
    ratio=5.0,
    surprise=9.5,
    mentions=40,
)
ALERT = Alert(
    alert_id="00001-ab",
    rule_id="negative-spike",
    rule="Spike of negative mentions",
    brand_id="acme",
    brand="Acme",
    metric=Metric.NEGATIVE,
    severity=Severity.CRITICAL,
    window_minutes=60,
    started_at=NOON,
    fired_at=NOON + timedelta(seconds=90),
    reading=READING,
    peak_at=NOON,
    authors=30,
    stories=12,
)
WHOLE = replace(
    ALERT,
    resolved_at=NOON + timedelta(hours=2),
    acknowledged_at=NOON + timedelta(minutes=5),
    acknowledged_by="ada",
    mark="useful",
    marked_at=NOON + timedelta(hours=3),
    marked_by="ada",
    reason="a source is silent",
    query="delay",
)


def test_every_field_is_in_the_shipped_mapping_and_none_of_it_is_never_filled() -> None:
    fields = json.loads((MAPPINGS / "alerts.json").read_text())["template"]["mappings"]["properties"]
    assert projection(WHOLE).keys() == fields.keys()


def test_what_is_unknown_is_absent() -> None:
    fields = projection(replace(ALERT, reading=replace(READING, ratio=None), authors=None, stories=0))
    assert not fields.keys() & {"ratio", "authors", "resolved_at", "lasted_minutes", "reason", "mark", "query"}
    assert fields["stories"] == 0


def test_states_follow_a_life() -> None:
    states = [ALERT, replace(ALERT, acknowledged_at=NOON), WHOLE, replace(ALERT, resolved_at=NOON)]
    assert [projection(one)["state"] for one in states] == ["firing", "acknowledged", "resolved", "resolved"]


def test_times_are_told_from_the_end_of_the_window_that_fired() -> None:
    fields = projection(WHOLE)
    assert (fields["told_after_seconds"], fields["lasted_minutes"]) == (90.0, 120.0)
