"""What a message is made of: what is known of an alert, and who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from alerts.drivers import Drivers
from alerts.links import Links
from alerts.records import Alert, Notification, Telling
from alerts.rule import Metric, Severity
from domain.records import Mention


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the store knows of an alert when its message is made. All may be missing: what is told stays true."""

    alert: Alert
    drivers: Drivers = field(default_factory=Drivers)
    samples: tuple[Mention, ...] = ()
    chart: bytes | None = field(default=None, repr=False)
    chart_words: str = ""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads a message: the zone of its times, and where its links lead."""

    links: Links
    zone: tzinfo
    now: datetime


def urgency(alert: Alert) -> tuple[bool, int, float, str]:
    """Give what alerts are sorted by: what goes on before what is over, the more urgent, the more improbable."""
    severities = list(Severity)
    return alert.resolved_at is not None, -severities.index(alert.severity), -alert.reading.surprise, alert.alert_id


def ordered(notification: Notification, found: Sequence[Evidence]) -> list[Evidence]:
    """Sort as a message tells them: first what is new in it, then by urgency."""
    new = _new(notification, [each.alert for each in found])
    return sorted(found, key=lambda each: (each.alert.alert_id not in new, *urgency(each.alert)))


def _new(notification: Notification, alerts: Sequence[Alert]) -> frozenset[str]:
    """Give the alerts that the notification is made for; of a repeat, none.

    When something ended, it is what ended. When something began, the first that is named is new (`telling.plan`), and
    so is what fired no earlier than that.
    """
    if notification.telling is Telling.RESOLVED:
        return frozenset(alert.alert_id for alert in alerts if alert.resolved_at is not None)
    if notification.telling is not Telling.FIRING:
        return frozenset()
    first = next((alert for name in notification.alert_ids for alert in alerts if alert.alert_id == name), None)
    return frozenset(alert.alert_id for alert in alerts if first is not None and alert.fired_at >= first.fired_at)


def mentions_link(alert: Alert, links: Links) -> str:
    """Give the page of the mentions that an alert is about: its windows from the first to the peak; "" for health."""
    if not alert.brand_id:
        return ""
    start = min(alert.started_at, alert.peak_at) - timedelta(minutes=alert.window_minutes)
    sentiments = () if alert.metric in (Metric.VOLUME, Metric.NET_SENTIMENT) else ("negative",)
    return links.mentions(alert.brand_id, start, alert.peak_at, query=alert.query, sentiments=sentiments)


def acknowledge_link(alert: Alert, reader: Reader, who: str) -> str:
    """Give the page by which `who` says that an alert was seen; "" for one that somebody saw, or that is over."""
    if alert.resolved_at is not None or alert.acknowledged_at is not None:
        return ""
    return reader.links.signed("acknowledge", alert.alert_id, reader.now, who)
