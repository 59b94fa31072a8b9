"""Alerts and notifications as bodies of documents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from alerts.records import Alert, Level, Notification, Reading, Telling
from alerts.rule import Metric, Severity
from domain.clock import from_ms, to_ms

ALERT: Final = "alert"

_NUMBERS: Final = (
    "observed",
    "expected",
    "low",
    "high",
    "ratio",
    "surprise",
    "mentions",
    "little_history",
    "window_minutes",
    "needed",
)
_MOMENTS: Final = ("started_at", "fired_at", "peak_at", "resolved_at", "acknowledged_at", "marked_at")
_PLAIN: Final = tuple(
    each.name for each in fields(Alert) if each.name not in (*_MOMENTS, "metric", "severity", "reading", "alert_id")
)


def alert_body(alert: Alert) -> dict[str, Any]:
    """Give an alert as the body of its document; moments in milliseconds since 1970."""
    body = {name: getattr(alert, name) for name in _PLAIN}
    body |= {name: _ms(getattr(alert, name)) for name in _MOMENTS}
    return body | {
        "metric": alert.metric.value,
        "severity": alert.severity.value,
        "reading": reading_body(alert.reading),
    }


def alert_of(alert_id: str, body: Mapping[str, Any]) -> Alert:
    """Read what `alert_body` wrote."""
    moments = {name: _moment(body.get(name)) for name in _MOMENTS}
    plain = {name: body[name] for name in _PLAIN if name in body}
    return Alert(
        alert_id=alert_id,
        metric=Metric(body["metric"]),
        severity=Severity(body["severity"]),
        reading=reading_of(body["reading"]),
        **moments,  # type: ignore[arg-type]  # the three that are never absent were written
        **plain,
    )


def reading_body(reading: Reading) -> dict[str, Any]:
    """Give a reading as part of a body."""
    body = {name: getattr(reading, name) for name in _NUMBERS}
    return body | {"end_ms": to_ms(reading.end), "metric": reading.metric.value, "level": reading.level.value}


def reading_of(body: Mapping[str, Any]) -> Reading:
    """Read what `reading_body` wrote."""
    numbers = {name: body[name] for name in _NUMBERS}
    return Reading(end=from_ms(body["end_ms"]), metric=Metric(body["metric"]), level=Level(body["level"]), **numbers)


def notification_body(notification: Notification) -> dict[str, Any]:
    """Give a notification as part of a body."""
    return {
        "telling": notification.telling.value,
        "channel": notification.channel,
        "recipient": notification.recipient,
        "created_ms": to_ms(notification.created_at),
        "alert_ids": list(notification.alert_ids),
        "subscription": notification.subscription,
        "detail": dict(notification.detail),
    }


def notification_of(notification_id: str, body: Mapping[str, Any]) -> Notification:
    """Read what `notification_body` wrote."""
    return Notification(
        notification_id=notification_id,
        telling=Telling(body["telling"]),
        channel=body["channel"],
        recipient=body["recipient"],
        created_at=from_ms(body["created_ms"]),
        alert_ids=tuple(body["alert_ids"]),
        subscription=body["subscription"],
        detail=dict(body["detail"]),
    )


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)


def _moment(ms: object) -> datetime | None:
    return from_ms(ms) if isinstance(ms, int) else None
