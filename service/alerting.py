"""Alerts as a process runs them: each minute, under the lease, what is watched is evaluated and what is due is told."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from alerts.book import AlertBook
from alerts.evaluator import LATE, Evaluator, Minute
from alerts.lease import Lease
from alerts.records import Alert, Notification
from alerts.rule import Rule, Watch, watches
from alerts.standing import EVALUATOR, STATUS
from alerts.subscription import Subscription
from alerts.teller import Teller
from domain.brand import Brand
from domain.clock import Clock, to_ms
from domain.documents import Change, Conflict, Documents
from domain.errors import BackendDown, RetryLater
from domain.query.parser import parse
from service.alert_mentions import StoreMentions
from service.settings import Settings

log = logging.getLogger(__name__)

MINUTE_SECONDS: Final = 60.0
# How often what is due is told: a message waits for no minute.
DELIVER_SECONDS: Final = 5.0


@dataclass(slots=True)
class Parts:
    """What alerts are made of here, each open."""

    settings: Settings
    mentions: StoreMentions
    documents: Documents
    # The lowest watermark.
    watermark: Callable[[], datetime]
    brands: Callable[[], Sequence[Brand]]
    clock: Clock
    put: Callable[[Notification], Change]
    # Tells what is due; gives how many messages went.
    deliver: Callable[[datetime], int] = lambda now: 0
    publish: Callable[[Sequence[Alert]], None] = lambda alerts: None
    # What is wrong with the pipeline itself, as alerts; and what they were.
    health: Callable[[datetime], None] = lambda now: None
    told: Callable[[Minute], None] = lambda minute: None
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}")


def all_watches(rules: Sequence[Rule], brands: Sequence[Brand]) -> list[Watch]:
    """Give what is watched: each rule for each brand that it is about."""
    nodes = {rule.query: parse(rule.query) for rule in rules if rule.query.strip()}
    return watches(tuple(rules), {brand.brand_id: brand.name for brand in brands}, nodes)


class Alerting:
    """Runs the evaluator and the outbox. `run` ends with `stop`; a dependency that is away is waited for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._lease = Lease(parts.documents, EVALUATOR, parts.holder)
        self._evaluator = Evaluator(parts.mentions, parts.documents, parts.clock, parts.publish)
        self._book = AlertBook(parts.documents, parts.publish)
        self._teller = Teller(parts.documents, parts.put, parts.settings.alerts.pace)
        self._next_at = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Look every minute, and tell what is due in between, until told to stop."""
        try:
            while not stop.is_set():
                self.step()
                stop.wait(DELIVER_SECONDS)
        finally:
            self._let_go()

    def step(self) -> None:
        """Do what is due now, if it is ours to do."""
        parts = self._parts
        now = parts.clock.now()
        try:
            if not self._lease.take(now):
                return
            if parts.clock.monotonic() >= self._next_at:
                self._next_at = parts.clock.monotonic() + MINUTE_SECONDS
                self.minute(now)
            parts.deliver(parts.clock.now())
        except Conflict as exc:
            log.info("alerts: %s; it is looked at again in a minute", exc)
        except (RetryLater, BackendDown) as exc:
            log.warning("alerts wait for what they need: %s", exc)

    def minute(self, now: datetime) -> Minute:
        """Look at everything once, and put what is to be told into the outbox.

        Raises:
            Conflict, RetryLater, BackendDown: some may be done; the next minute goes on.
        """
        parts = self._parts
        parts.mentions.refresh()
        edge = parts.watermark()
        found = self._evaluator.evaluate(all_watches(parts.settings.alerts.rules, parts.brands()), edge)
        parts.health(now)
        told = self._teller.tell(now, self.subscriptions(), self._book.silences(now), self._book.current(now))
        self._note(found, now, len(told))
        parts.told(found)
        for alert in found.began:
            log.warning("alert: %s: %s", alert.brand, alert.rule)
        return found

    def subscriptions(self) -> list[Subscription]:
        """Give those of the configuration and those made on the page whose channel there is."""
        settings = self._parts.settings.alerts
        channels = {channel.channel_id for channel in settings.channels}
        made = {each.subscription_id: each for each in self._book.subscriptions()}
        made |= {each.subscription_id: each for each in settings.subscriptions}
        return [each for each in made.values() if each.channel in channels]

    def _note(self, found: Minute, now: datetime, told: int) -> None:
        """Say for pages and machines that this minute was looked at."""
        body = {
            "at_ms": to_ms(now),
            "edge_ms": to_ms(found.edge),
            "late": now - found.edge > LATE,
            "holder": self._parts.holder,
            "watches": found.watches,
            "states": found.states,
            "recounted_hours": found.recounted_hours,
            "told": told,
        }
        self._parts.documents.apply([Change(STATUS, EVALUATOR, body)])

    def _let_go(self) -> None:
        try:
            self._lease.release()
        except (RetryLater, BackendDown) as exc:
            log.info("the lease of alerts is not given back and ends by itself: %s", exc)


def lag_of(edge: datetime, now: datetime) -> timedelta:
    """Give how far back what alerts can judge lies."""
    return max(now - edge, timedelta())
