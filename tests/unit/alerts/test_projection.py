"""Alerts as flat fields: what the strict mapping of Elasticsearch takes, and what numbers mean."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from fakes.alert_texts import alert

from alerts.projection import projection
from search.elastic_setup import MAPPINGS

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALERT = alert(started_at=NOON, fired_at=NOON + timedelta(seconds=90), peak_at=NOON, authors=30, stories=12)
READING = ALERT.reading
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
