"""Makes the message of a notification when it is sent: of what the store holds then, so that what is gone is gone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from alerts.asking import Mentions
from alerts.book import AlertBook, Precision
from alerts.channel import Message
from alerts.chart import chart_png, chart_spec, chart_words
from alerts.digest import span_of, summarise
from alerts.digest_message import digest_message
from alerts.drivers import drivers, samples
from alerts.evidence import Evidence, Reader, ordered
from alerts.links import Links
from alerts.message import alert_message
from alerts.notices import confirm_message, delayed_message, trial_message
from alerts.records import Alert, Notification, Reading, Telling
from alerts.rule import Watch
from alerts.standing import judged_until
from alerts.stored import ALERT, alert_of
from alerts.subscription import Subscription, zone_of
from alerts.wording import span
from domain.clock import to_ms
from domain.documents import Documents
from domain.errors import BackendDown, ConfigError, RetryLater

log = logging.getLogger(__name__)

# What the chart of an alert shows: a day and a half before it began, so that the same hours of the day before are seen,
# up to now, or to when it has been over for a while; one that goes on for weeks as it began.
CHART_BEFORE: Final = timedelta(hours=36)
CHART_AFTER: Final = timedelta(hours=2)
CHART_MOST: Final = timedelta(days=3)

Readings = Callable[[Watch, int, int], Sequence[Reading]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composer:
    """Makes messages; called by several threads at once. It is an `alerts.delivery.Compose`.

    `watch_of` gives what an alert's rule and brand watch, None where either is gone; `readings` the readings of a watch
    between two moments in ms, for the chart; `subscription_of` a subscription by its id. `brands` are those that there
    are, id -> name, and `rules` the ids of rules, for digests.
    """

    documents: Documents
    mentions: Mentions
    links: Links
    watch_of: Callable[[Alert], Watch | None]
    readings: Readings
    subscription_of: Callable[[str], Subscription | None]
    brands: Callable[[], Mapping[str, str]] = dict
    rules: Callable[[], Sequence[str]] = tuple
    charts: bool = True
    book: AlertBook | None = field(default=None)

    def __call__(self, notification: Notification, now: datetime) -> Message | None:
        """Give the message, or None where there is nothing to tell any more.

        Raises:
            RetryLater, BackendDown: as documents and store.
        """
        reader = Reader(self.links, self._zone(notification), now)
        if notification.telling is Telling.CONFIRM:
            return confirm_message(notification, reader)
        if notification.telling is Telling.TEST:
            return trial_message(notification, reader)
        if notification.telling is Telling.DELAYED:
            return delayed_message(notification, reader)
        if notification.telling is Telling.DIGEST:
            return self._digest(notification, reader)
        return self._alerts(notification, reader)

    def _zone(self, notification: Notification) -> tzinfo:
        subscription = self.subscription_of(notification.subscription)
        try:
            return zone_of(subscription.timezone) if subscription is not None else UTC
        except ConfigError:
            return UTC

    def _alerts(self, notification: Notification, reader: Reader) -> Message | None:
        known = self.documents.get(ALERT, notification.alert_ids)
        alerts = [alert_of(doc_id, known[doc_id].body) for doc_id in notification.alert_ids if doc_id in known]
        if not alerts:
            return None
        # The evidence of the one that leads is shown; of the others their numbers are enough.
        first, *others = ordered(notification, [Evidence(alert) for alert in alerts])
        found = [self.evidence(first.alert, reader), *others]
        return alert_message(notification, found, reader)

    def evidence(self, alert: Alert, reader: Reader) -> Evidence:
        """Gather what the store knows of an alert: what drives it, posts, and its chart; nothing for health."""
        watch = self.watch_of(alert) if alert.brand_id else None
        if watch is None:
            return Evidence(alert)
        start = alert.peak_at - timedelta(minutes=alert.window_minutes)
        found = drivers(self.mentions, watch, start, alert.peak_at)
        shown = samples(self.mentions, watch, start, alert.peak_at, found)
        chart, words = self._chart(alert, watch, reader) if self.charts else (None, "")
        return Evidence(alert, found, tuple(shown), chart, words)

    def _chart(self, alert: Alert, watch: Watch, reader: Reader) -> tuple[bytes | None, str]:
        """Draw the chart; a message without one is better than none."""
        zone, start = reader.zone, alert.started_at - CHART_BEFORE
        judged = judged_until(self.documents, reader.now)
        end = min(judged, (alert.resolved_at or judged) + CHART_AFTER, start + CHART_MOST)
        try:
            readings = [*self.readings(watch, to_ms(start), to_ms(end))]
            peak_at = min(alert.peak_at, reader.now)
            if peak_at > judged == end and alert.window_minutes == watch.rule.window_minutes:
                # It fired within a bucket that had only begun: drawn is what was judged of it.
                readings.append(replace(alert.reading, end=peak_at))
            if not readings:
                return None, ""
            spec = chart_spec(
                readings,
                metric=alert.metric,
                window=f"in {span(watch.rule.window_minutes)}",
                zone=zone,
                alerts=[alert.started_at],
                gaps=self.mentions.gaps(start, end),
            )
            return chart_png(spec), chart_words(readings, alert.metric, zone)
        except (RetryLater, BackendDown):
            raise
        except (ValueError, RuntimeError) as exc:
            log.warning("the chart of alert %s cannot be drawn: %s", alert.alert_id, type(exc).__name__)
            return None, ""

    def _digest(self, notification: Notification, reader: Reader) -> Message:
        start, end = span_of(notification)
        wanted = set(notification.detail.get("brands", ()))
        brands = {each: name for each, name in self.brands().items() if not wanted or each in wanted}
        alerts: Sequence[Alert] = ()
        precision: Sequence[Precision] = ()
        if self.book is not None:
            began = [each for each in self.book.between(start, end) if each.started_at >= start]
            alerts = [each for each in began if each.brand_id in brands]
            precision = self.book.precision(self.rules(), start, end)
        return digest_message(notification, summarise(self.mentions, brands, start, end, alerts, precision), reader)
