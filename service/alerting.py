"""Alerts as a process runs them: each minute, under the lease, what is watched is evaluated and what is due is told."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from typing import Final

from alerts.book import AlertBook
from alerts.composer import Composer
from alerts.delivery import Delivery
from alerts.digest import due_digests
from alerts.evaluator import EVALUATOR, LATE, Evaluator, Minute, Publish
from alerts.health_book import HealthBook
from alerts.ids import notification_id
from alerts.lease import Lease
from alerts.links import Links, shared_key
from alerts.outbox import Outbox
from alerts.recipients import Recipients
from alerts.records import Alert, Notification, Telling
from alerts.rule import Rule, Watch, watches
from alerts.standing import Pulse, noted, pulse
from alerts.subscription import Subscription
from alerts.teller import Teller
from domain.brand import Brand
from domain.clock import Clock, to_ms
from domain.documents import Conflict, Documents
from domain.errors import BackendDown, ConfigError, RetryLater
from domain.metrics import ALERT_SECONDS
from domain.query.parser import parse
from search.store import Store
from service.alert_health import HealthLook
from service.alert_heartbeat import Heartbeat
from service.alert_mentions import StoreMentions
from service.alert_messages import readings_of
from service.channels import routes
from service.prometheus import Meter
from service.settings import Settings
from service.watermark import Watermark
from stream.protocol import Log

log = logging.getLogger(__name__)

# The lease is renewed this often, and whoever waits for it looks as often.
LOOK_SECONDS: Final = 5.0


def all_watches(rules: Sequence[Rule], brands: Sequence[Brand]) -> list[Watch]:
    """Give what is watched: each rule for each brand that it is about."""
    nodes = {rule.query: parse(rule.query) for rule in rules if rule.query.strip()}
    return watches(tuple(rules), {brand.brand_id: brand.name for brand in brands}, nodes)


def lease_seconds(look_seconds: float) -> float:
    """Give how long the lease holds: a look and a half, so that a slow look does not lose it; ten seconds at least."""
    return max(1.5 * look_seconds, 10.0)


def delays(
    now: datetime, since: datetime | None, found: Minute, subscriptions: Sequence[Subscription]
) -> list[Notification]:
    """Give what subscribers are told when alerts are late: once for each time that they are, not in quiet hours.

    The same ones as long as it lasts, for the outbox to take once. Who is of `it` hears of the lag itself.
    """
    if since is None:
        return []
    behind = (now - found.edge) // timedelta(minutes=1)
    return [
        Notification(
            notification_id=notification_id(each.subscription_id, "", Telling.DELAYED.value, (), to_ms(since)),
            telling=Telling.DELAYED,
            channel=each.channel,
            recipient=each.recipient,
            created_at=since,
            subscription=each.subscription_id,
            detail={"behind_minutes": behind},
        )
        for each in subscriptions
        if each.audience == "marketing" and not each.is_quiet(now)
    ]


class Alerting:
    """The evaluator and the outbox of one process. `run` ends with `stop`; what is away is waited for."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        store: Store,
        documents: Documents,
        brands: Callable[[], Sequence[Brand]],
        clock: Clock,
        *,
        publish: Publish = lambda alerts: None,
        meter: Meter | None = None,
        holder: str = "",
    ) -> None:
        """Prepare; nothing runs before `run`.

        Args:
            settings: rules, channels and subscriptions.
            log: how far stages lag.
            store: whose mentions are watched.
            documents: where alerts are kept.
            brands: those that are listened for now.
            clock: the time.
            publish: told of alerts that changed.
            meter: counts how long a look takes.
            holder: who has the lease; this process of this machine by default. A name that no other running process
                has lets a process that was killed go on at once.

        Raises:
            ConfigError: a channel cannot be used.
        """
        self._settings, self._documents, self._brands, self._clock = settings, documents, brands, clock
        self._meter = meter
        self._mentions = StoreMentions(store)
        self._watermark = Watermark(log, store, clock)
        self.holder = holder or f"{socket.gethostname()}/{os.getpid()}"
        self._lease = Lease(documents, EVALUATOR, self.holder, lease_seconds(settings.alerts.look_seconds))
        self._evaluator = Evaluator(self._mentions, documents, clock, publish)
        self._health = HealthBook(documents, publish)
        self._health_look = HealthLook(settings, log, store, documents, clock)
        self._book = AlertBook(documents, publish)
        self._recipients = Recipients(documents)
        self._outbox = Outbox(documents)
        self._teller = Teller(documents, self._outbox.change, settings.alerts.pace)
        self._emails = {each.channel_id for each in settings.alerts.channels if each.type == "email"}
        self._holds = False
        self._delivery = Delivery(
            self._outbox,
            routes(settings.alerts.channels, settings.web.public_url, clock),
            self._composer(),
            bar=self._bar,
            may_send=lambda: self._holds,
            clock=clock,
        )
        self._next_at = float("-inf")
        self._tell_at = float("inf")
        # When the last look was done, by the monotonic clock.
        self._looked_at = float("-inf")
        url = settings.alerts.heartbeat_url.reveal()
        self._heartbeat = (
            Heartbeat(
                url,
                settings.alerts.heartbeat_minutes,
                self._lives,
                allow_private=settings.alerts.heartbeat_private,
            )
            if url
            else None
        )

    def run(self, stop: threading.Event) -> None:
        """Look every minute and tell what is due, until told to stop."""
        with ExitStack() as opened:
            opened.callback(self._let_go)
            opened.enter_context(closing(self._delivery))
            self._delivery.start()
            if self._heartbeat is not None:
                beating = threading.Thread(target=self._heartbeat.run, args=(stop,), name="heartbeat", daemon=True)
                beating.start()
                opened.callback(beating.join)
            while not stop.is_set():
                self.step()
                stop.wait(min(LOOK_SECONDS, self._settings.alerts.look_seconds))

    def step(self) -> None:
        """Do what is due now, if it is ours to do."""
        now = self._clock.now()
        try:
            self._holds = self._lease.take(now)
            if self._holds and self._clock.monotonic() >= self._next_at:
                self._next_at = self._clock.monotonic() + self._settings.alerts.look_seconds
                self.minute(now)
            elif self._holds and self._clock.monotonic() >= self._tell_at:
                # What has begun waits for its group, and not for the next look.
                self._tell(now, self._subscriptions(now))
        except Conflict as exc:
            log.info("alerts: %s; it is looked at again in a minute", exc)
        except (RetryLater, BackendDown) as exc:
            log.warning("alerts wait for what they need: %s", exc)
        except Exception:
            # Listening goes on without alerts; that nothing is looked at is seen by the page, metrics and heartbeat.
            log.exception("alerts failed on something that they did not expect; they are looked at again in a minute")

    def minute(self, now: datetime) -> Minute:
        """Look at everything once, and put what is to be told into the outbox.

        Raises:
            Conflict, RetryLater, BackendDown: some may be done; the next minute goes on.
        """
        began = self._clock.monotonic()
        # Before the brands: a store that cannot count them is a trouble to be told of; so is a channel that is away.
        self._health.look(self._health_look.facts())
        self._mentions.refresh()
        found = self._evaluator.evaluate(self._watches(), self._watermark.look())
        subscriptions = self._subscriptions(now)
        told = self._tell(now, subscriptions)
        if found.began:
            self._tell_at = self._clock.monotonic() + self._settings.alerts.group_wait_seconds
        late_since = self._late_since(found, now)
        self._delivery.put([*due_digests(now, subscriptions), *delays(now, late_since, found, subscriptions)])
        self._book.publish_noted()
        self._note(found, now, len(told), late_since)
        self._looked_at = self._clock.monotonic()
        if self._meter is not None:
            self._meter.observe(ALERT_SECONDS, self._clock.monotonic() - began)
        for alert in found.began:
            log.warning("alert: %s: %s", alert.brand, alert.rule)
        return found

    def _tell(self, now: datetime, subscriptions: Sequence[Subscription]) -> list[Notification]:
        """Put into the outbox what is to be told now."""
        self._tell_at = float("inf")
        told = self._teller.tell(now, subscriptions, self._book.silences(now), self._book.current(now))
        self._delivery.put(told)
        return told

    def _watches(self) -> list[Watch]:
        return all_watches(self._settings.alerts.rules, self._brands())

    def _composer(self) -> Composer:
        """Give what makes messages when they are sent."""
        documents, mentions = self._documents, self._mentions
        return Composer(
            documents=documents,
            mentions=mentions,
            links=Links(self._settings.web.public_url, shared_key(documents)),
            watch_of=self._watch_of,
            readings=lambda watch, start_ms, end_ms: readings_of(mentions, documents, watch, start_ms, end_ms),
            subscription_of=lambda name: self._all_subscriptions().get(name),
            brands=lambda: {brand.brand_id: brand.name for brand in self._brands()},
            rules=lambda: [rule.rule_id for rule in self._settings.alerts.rules],
            book=self._book,
        )

    def _watch_of(self, alert: Alert) -> Watch | None:
        """Give what an alert watches, None where that is gone."""
        wanted = (alert.rule_id, alert.brand_id)
        return next((each for each in self._watches() if (each.rule.rule_id, each.brand_id) == wanted), None)

    def _all_subscriptions(self) -> dict[str, Subscription]:
        made = {each.subscription_id: each for each in self._book.subscriptions()}
        return made | {each.subscription_id: each for each in self._settings.alerts.subscriptions}

    def _subscriptions(self, now: datetime) -> list[Subscription]:
        """Give those that may be told: their channel is there, and who has an address agreed. Others are asked."""
        channels = {channel.channel_id for channel in self._settings.alerts.channels}
        agreed = []
        for each in self._all_subscriptions().values():
            if each.channel not in channels:
                continue
            if each.channel not in self._emails or self._recipients.agreed(each.recipient):
                agreed.append(each)
            else:
                self._ask(each, now)
        return agreed

    def _ask(self, subscription: Subscription, now: datetime) -> None:
        try:
            question = self._recipients.ask(subscription.recipient, subscription.channel, now)
        except ConfigError as exc:
            log.warning("subscription %s: %s", subscription.subscription_id, exc)
            return
        if question is not None:
            self._outbox.put([question])
            self._delivery.wake()

    def _bar(self, notification: Notification) -> str:
        """Say why a message may not go out after all: who was to get it left meanwhile."""
        if notification.channel not in self._emails or notification.telling is Telling.CONFIRM:
            return ""
        return "" if self._recipients.agreed(notification.recipient) else "the address has not agreed to be told"

    def _lives(self) -> bool:
        """Tell whether everything was looked at of late, here."""
        return self._holds and self._clock.monotonic() - self._looked_at < 3 * self._settings.alerts.look_seconds

    def _late_since(self, found: Minute, now: datetime) -> datetime | None:
        """Give since when alerts are late, None while they are not; it outlives a restart."""
        if now - found.edge <= LATE:
            return None
        last = pulse(self._documents)
        return last.late_since or now if last is not None else now

    def _note(self, found: Minute, now: datetime, told: int, late_since: datetime | None) -> None:
        """Say for pages and machines that this minute was looked at."""
        given = Pulse(
            at=now,
            edge=found.edge,
            late_since=late_since,
            holder=self.holder,
            watches=found.watches,
            recounted_hours=found.recounted_hours,
            told=told,
            states=found.states,
        )
        self._documents.apply([noted(given)])

    def _let_go(self) -> None:
        self._holds = False
        try:
            self._lease.release()
        except (RetryLater, BackendDown) as exc:
            log.info("the lease of alerts is not given back and ends by itself: %s", exc)
