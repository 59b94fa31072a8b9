"""An alert as flat fields, as charts of other tools count it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from alerts.records import Alert

FIRING: Final = "firing"
ACKNOWLEDGED: Final = "acknowledged"
RESOLVED: Final = "resolved"

_OF_ALERT: Final = (
    "alert_id",
    "rule_id",
    "rule",
    "query",
    "brand_id",
    "brand",
    "reason",
    "started_at",
    "peak_at",
    "fired_at",
    "resolved_at",
    "acknowledged_at",
    "acknowledged_by",
    "mark",
    "marked_at",
    "marked_by",
    "authors",
    "stories",
)
_OF_READING: Final = ("observed", "expected", "low", "high", "ratio", "surprise", "little_history", "mentions")


def state_of(alert: Alert) -> str:
    """Tell where an alert is in its life: firing, acknowledged or resolved."""
    if alert.resolved_at is not None:
        return RESOLVED
    return FIRING if alert.acknowledged_at is None else ACKNOWLEDGED


def projection(alert: Alert) -> dict[str, Any]:
    """Give an alert as one flat document: numbers of its peak, times as they are, what is unknown or empty left out.

    An alert of the pipeline itself has no brand, no metric and no numbers.

    `told_after_seconds` is from the end of the first window that fired to when it was found, `lasted_minutes` from
    that same end until it was over.
    """
    fields: dict[str, Any] = {name: getattr(alert, name) for name in _OF_ALERT}
    fields |= {"severity": alert.severity.value, "state": state_of(alert)}
    if alert.brand_id:
        fields |= {name: getattr(alert.reading, name) for name in _OF_READING}
        fields |= {"metric": alert.metric.value, "window_minutes": alert.window_minutes}
    fields["told_after_seconds"] = max((alert.fired_at - alert.started_at).total_seconds(), 0.0)
    if alert.resolved_at is not None:
        fields["lasted_minutes"] = max((alert.resolved_at - alert.started_at) / timedelta(minutes=1), 0.0)
    return {name: value for name, value in fields.items() if value is not None and value != ""}
