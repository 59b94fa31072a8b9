"""Made-up alerts for tests of what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from alerts.records import Alert, Level, Reading
from alerts.rule import Metric, Severity

PEAK = datetime(2026, 3, 1, 20, 30, tzinfo=UTC)


def reading(metric: Metric = Metric.NEGATIVE, **changed: Any) -> Reading:
    """Give the reading of a clear spike; `changed` sets any field."""
    fields: dict[str, Any] = {
        "end": PEAK,
        "metric": metric,
        "level": Level.SPIKE,
        "observed": 84.0,
        "expected": 6.2,
        "low": 1.0,
        "high": 14.0,
        "ratio": 13.5,
        "surprise": 4.3,
        "mentions": 84,
    }
    return Reading(**fields | changed)


def alert(**changed: Any) -> Alert:
    """Give an alert of that reading; `changed` sets any field."""
    fields: dict[str, Any] = {
        "alert_id": "00001-ab",
        "rule_id": "negative-spike",
        "rule": "Spike of negative mentions",
        "brand_id": "acme",
        "brand": "Acme",
        "metric": Metric.NEGATIVE,
        "severity": Severity.CRITICAL,
        "window_minutes": 60,
        "started_at": PEAK - timedelta(minutes=30),
        "fired_at": PEAK,
        "reading": reading(),
        "peak_at": PEAK,
        "authors": 61,
        "stories": 57,
    }
    return Alert(**fields | changed)
