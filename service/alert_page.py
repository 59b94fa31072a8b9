"""Alerts as the pages see and change them: over the documents and the mentions of a running service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from alerts.book import AlertBook, new_id
from alerts.drivers import drivers, samples
from alerts.errands import Errand, Errands
from alerts.evaluator import EVALUATOR
from alerts.lease import Lease
from alerts.links import Links, shared_key
from alerts.outbox import Outbox
from alerts.recipients import Recipients
from alerts.records import Alert, Notification, Telling
from alerts.rule import Rule, Watch, watches
from alerts.standing import Pulse, Standing, judged_until, pulse, standings
from alerts.subscription import Subscription
from dashboard.alert_desk import Cause, ChannelView, Curve
from domain.clock import to_ms
from domain.documents import Documents
from domain.errors import ConfigError
from domain.query.parser import parse
from search.store import Store
from service.alert_mentions import StoreMentions
from service.alert_messages import readings_of
from service.settings import Settings


class ServiceAlertDesk:
    """See `dashboard.alert_desk.AlertDesk`. Keeps nothing of its own; many processes may have one each."""

    def __init__(self, settings: Settings, store: Store, documents: Documents) -> None:
        """Open nothing.

        Args:
            settings: rules, channels, subscriptions, and the address of the page.
            store: whose mentions alerts are about; may be open for reading only.
            documents: where alerts are kept.
        """
        self._settings, self._documents = settings, documents
        self._mentions = StoreMentions(store)
        self._recipients = Recipients(documents)
        self._outbox = Outbox(documents)
        # The page may not write where Kibana looks; whoever evaluates publishes what was said here.
        self.book = AlertBook(documents)
        self.rules: Sequence[Rule] = settings.alerts.rules
        self.configured: Sequence[Subscription] = settings.alerts.subscriptions
        self.channels: Sequence[ChannelView] = tuple(
            ChannelView(one.channel_id, one.type, one.type == "email") for one in settings.alerts.channels
        )
        self.public = bool(settings.web.public_url)

    def standings(self) -> Sequence[Standing]:
        """Give what every rule sees of every brand."""
        return standings(self._documents)

    def pulse(self) -> Pulse | None:
        """Give how the evaluator's last look went."""
        return pulse(self._documents)

    def holder(self, now: datetime) -> str:
        """Tell who has the lease."""
        return Lease(self._documents, EVALUATOR, "the page").holder(now)

    def curve(self, alert: Alert, start: datetime, end: datetime) -> Curve:
        """Give how the windows of an alert's rule went, by the counts that are kept; nothing is counted anew.

        What was not judged yet is left out: it would be drawn as if nothing were said.
        """
        watch = self._watch(alert)
        if watch is None:
            return Curve()
        judged = judged_until(self._documents, end)
        readings = readings_of(self._mentions, self._documents, watch, to_ms(start), to_ms(judged))
        return Curve(tuple(readings), tuple(self._mentions.gaps(start, end)))

    def cause(self, alert: Alert) -> Cause:
        """Give what drives an alert, from its first window to its peak."""
        watch = self._watch(alert)
        if watch is None:
            return Cause()
        start = min(alert.started_at, alert.peak_at) - timedelta(minutes=alert.window_minutes)
        found = drivers(self._mentions, watch, start, alert.peak_at)
        return Cause(found, tuple(samples(self._mentions, watch, start, alert.peak_at, found)))

    def _watch(self, alert: Alert) -> Watch | None:
        """Give what an alert watched: by its rule as it is now, by what it remembers where that is gone or changed."""
        try:
            now = next((rule for rule in self.rules if rule.rule_id == alert.rule_id), Rule(rule_id=alert.rule_id))
            rule = replace(now, brands=(), query=alert.query, metric=alert.metric, window_minutes=alert.window_minutes)
            nodes = {alert.query: parse(alert.query)} if alert.query.strip() else {}
            return watches((rule,), {alert.brand_id: alert.brand}, nodes)[0]
        except ConfigError:
            # Its query can be read no more; the alert is shown without what came of it.
            return None

    # --- who is told

    def is_confirmed(self, address: str) -> bool:
        """Tell whether whoever reads an address agreed to be told."""
        return self._recipients.agreed(address)

    def invite(self, subscription: Subscription, now: datetime) -> None:
        """Ask whoever reads a subscription's address, as often as is decent."""
        # A person typed it: whoever left before is asked once more.
        asked = self._recipients.ask(subscription.recipient, subscription.channel, now, anew=True)
        if asked is not None:
            self._outbox.put([asked])

    def test(self, subscription: Subscription, now: datetime) -> None:
        """Have a test sent; whoever delivers finds it within seconds."""
        self._outbox.put(
            [
                Notification(
                    notification_id=new_id(now).rpartition("-")[2] + f"{to_ms(now):x}",
                    telling=Telling.TEST,
                    channel=subscription.channel,
                    recipient=subscription.recipient,
                    created_at=now,
                    subscription=subscription.subscription_id,
                    detail={"timezone": subscription.timezone},
                )
            ]
        )

    # --- signed links

    def errand(self, token: str, now: datetime) -> Errand:
        """Tell what a signed link is for."""
        return self._errands().look(token, now)

    def run_errand(self, token: str, word: str, now: datetime) -> Errand:
        """Do what a signed link is for."""
        return self._errands().run(token, word, now)

    def _errands(self) -> Errands:
        # The address of the page is for making links; reading one needs the key alone, which another process may have
        # made meanwhile.
        links = Links(self._settings.web.public_url, shared_key(self._documents))
        return Errands(links, self.book, self._recipients)
