"""The body of a webhook about alerts: everything as values, for programs. docs/messages.md tells its fields."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from alerts.evidence import Evidence, Reader, acknowledge_link, mentions_link
from alerts.recipients import recipient_id
from alerts.records import Notification
from alerts.sentences import explanation
from alerts.telling import most_urgent
from alerts.wording import headline
from domain.clock import to_ms
from domain.measures import StandingOut
from domain.records import Mention

PAYLOAD_SCHEMA: Final = 1
# Whoever wants more of a post asks for it by its id.
_TEXT_CHARS: Final = 2_000


def payload(notification: Notification, found: Sequence[Evidence], reader: Reader, subject: str) -> dict[str, Any]:
    """Give the body of a webhook. Texts of posts are as people wrote them: whoever shows them has to escape them."""
    return {
        "schema_version": PAYLOAD_SCHEMA,
        "id": notification.notification_id,
        "telling": notification.telling.value,
        "subscription": notification.subscription,
        "created_at": iso(notification.created_at),
        "severity": most_urgent([each.alert for each in found]).value,
        "subject": subject,
        "alerts": [_alert_payload(each, notification, reader) for each in found],
    }


def _alert_payload(found: Evidence, notification: Notification, reader: Reader) -> dict[str, Any]:
    alert, reading = found.alert, found.alert.reading
    links, who = reader.links, recipient_id(notification.recipient)
    return {
        "alert_id": alert.alert_id,
        "rule_id": alert.rule_id,
        "rule": alert.rule,
        "brand_id": alert.brand_id or None,
        "brand": alert.brand or None,
        "metric": alert.metric.value if alert.brand_id else None,
        "severity": alert.severity.value,
        "state": "resolved" if alert.resolved_at else "acknowledged" if alert.acknowledged_at else "firing",
        "headline": headline(alert),
        "sentences": explanation(alert, reader.zone),
        "window_minutes": alert.window_minutes,
        "started_at": iso(alert.started_at),
        "peak_at": iso(alert.peak_at),
        "resolved_at": iso(alert.resolved_at),
        "observed": reading.observed,
        "expected": reading.expected,
        "usual": [reading.low, reading.high],
        "ratio": reading.ratio,
        "surprise": reading.surprise,
        "little_history": reading.little_history,
        "mentions": reading.mentions,
        "authors": alert.authors,
        "stories": alert.stories,
        "words": [_standing(each) for each in found.drivers.words],
        "loud_authors": [_standing(each) for each in found.drivers.authors],
        "sources": dict(found.drivers.sources),
        "samples": [_sample(each) for each in found.samples],
        "links": {
            "alert": links.alert(alert.alert_id) or None,
            "mentions": mentions_link(alert, links) or None,
            "acknowledge": acknowledge_link(alert, reader, who) or None,
        },
    }


def _standing(each: StandingOut) -> dict[str, Any]:
    return {"value": each.word, "mentions": each.count, "mentions_in_28_days": each.background_count}


def _sample(mention: Mention) -> dict[str, Any]:
    return {
        "mention_id": mention.mention_id,
        "source": mention.source,
        "author": mention.author_handle,
        "published_at": iso(mention.published_at),
        "text": mention.text[:_TEXT_CHARS],
        "url": mention.url,
        "sentiment": mention.sentiment,
        "story_id": mention.story_id,
    }


def iso(at: datetime | None) -> str | None:
    """Write a time in UTC with milliseconds; None stays None."""
    return None if at is None else f"{at:%Y-%m-%dT%H:%M:%S}.{to_ms(at) % 1000:03d}Z"
