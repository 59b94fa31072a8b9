"""Messages as they are sent: what the store knows then of the alerts that they are about."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from alerts.channel import Message
from alerts.counting import HISTORY, CountBook
from alerts.delivery import Compose
from alerts.detector import Detector
from alerts.drivers import drivers, samples
from alerts.evidence import Evidence, Reader
from alerts.judging import Judge
from alerts.links import Links, shared_key
from alerts.message import alert_message
from alerts.records import Alert, Notification, Reading, Telling
from alerts.rule import Watch
from alerts.stored import ALERT, alert_of
from alerts.subscription import zone_of
from alerts.wording import span
from domain.clock import to_ms
from domain.documents import Documents
from domain.errors import ConfigError
from service.alert_mentions import StoreMentions
from service.settings import Settings

log = logging.getLogger(__name__)

# What the picture shows before an alert began: enough to see what is usual.
CHART_SPAN = timedelta(hours=48)

WatchOf = Callable[[str, str], Watch | None]


def composer(
    settings: Settings,
    mentions: StoreMentions,
    documents: Documents,
    watch_of: WatchOf,
) -> Compose:
    """Give what makes the message of a notification; thread-safe.

    Args:
        settings: the address that links lead to.
        mentions: what the store knows.
        documents: where alerts and the key of links are.
        watch_of: gives what a rule watches of a brand.
    """

    def compose(notification: Notification, now: datetime) -> Message | None:
        links = Links(settings.web.public_url, shared_key(documents))
        reader = Reader(links, zone_of(str(notification.detail.get("timezone", "UTC"))), now)
        if notification.telling is Telling.CONFIRM:
            from alerts.letters import confirm_message

            return confirm_message(notification, reader)
        if notification.telling is Telling.TEST:
            from alerts.letters import test_message

            return test_message(notification, reader)
        found = documents.get(ALERT, notification.alert_ids)
        alerts = [alert_of(name, found[name].body) for name in notification.alert_ids if name in found]
        if not alerts:
            return None
        return alert_message(
            notification, [evidence(alert, mentions, documents, watch_of, reader) for alert in alerts], reader
        )

    return compose


def evidence(
    alert: Alert, mentions: StoreMentions, documents: Documents, watch_of: WatchOf, reader: Reader
) -> Evidence:
    """Give what the store knows of an alert now; what cannot be had is left out, for the alert itself must be told.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    watch = watch_of(alert.rule_id, alert.brand_id) if alert.brand_id else None
    if watch is None:
        return Evidence(alert)
    start = min(alert.started_at, alert.peak_at) - timedelta(minutes=alert.window_minutes)
    driving = drivers(mentions, watch, start, alert.peak_at)
    shown = tuple(samples(mentions, watch, start, alert.peak_at, driving))
    chart, words = _chart(alert, watch, mentions, documents, reader)
    return Evidence(alert, driving, shown, chart, words)


def readings_of(
    alert: Alert, watch: Watch, mentions: StoreMentions, documents: Documents
) -> tuple[list[Reading], datetime, datetime]:
    """Give the readings around an alert, and the span that they are of: two days before it began to its end or peak.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    start, end = alert.started_at - CHART_SPAN, max(alert.resolved_at or alert.peak_at, alert.peak_at)
    # Apart from the evaluator, which is at work in another thread; what is kept is read, and mended where it is not.
    counts = CountBook(mentions, documents)
    counts.refresh([watch], start - HISTORY, end)
    return Judge(mentions, counts, Detector()).readings(watch, to_ms(start), to_ms(end)), start, end


def _chart(
    alert: Alert, watch: Watch, mentions: StoreMentions, documents: Documents, reader: Reader
) -> tuple[bytes | None, str]:
    """Draw an alert; None where that fails: a message without a picture is better than none."""
    from alerts.chart import chart_png, chart_spec, chart_words

    readings, start, end = readings_of(alert, watch, mentions, documents)
    if not readings:
        return None, ""
    try:
        spec = chart_spec(
            readings,
            metric=alert.metric,
            window=f"in {span(alert.window_minutes)}",
            zone=reader.zone,
            alerts=[alert.started_at],
            gaps=mentions.gaps(start, end),
        )
        return chart_png(spec), chart_words(readings, alert.metric, reader.zone)
    except (ValueError, OSError, ConfigError) as exc:
        log.warning("the chart of alert %s cannot be drawn: %s", alert.alert_id, type(exc).__name__)
        return None, ""
