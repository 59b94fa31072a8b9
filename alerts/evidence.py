"""What a message is made of: what is known of an alert, and who reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from alerts.drivers import Drivers
from alerts.links import Links
from alerts.records import Alert
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


def ordered(found: Sequence[Evidence]) -> list[Evidence]:
    """Sort by urgency."""
    return sorted(found, key=lambda each: urgency(each.alert))


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
