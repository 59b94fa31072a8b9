"""Puts into the outbox what subscribers are to be told, once: the message and that it was planned, together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from alerts.records import Alert, Notification
from alerts.silence import Silence
from alerts.subscription import Subscription
from alerts.telling import KIND, Group, Pace, from_body, group_id, plan, to_body
from domain.documents import ABSENT, Change, Conflict, Documents


@dataclass(frozen=True, slots=True)
class Teller:
    """Plans messages. `put` gives the change that puts one into the outbox, where it is not yet."""

    documents: Documents
    put: Callable[[Notification], Change]
    pace: Pace = field(default_factory=Pace)

    def tell(
        self,
        now: datetime,
        subscriptions: Sequence[Subscription],
        silences: Sequence[Silence],
        alerts: Sequence[Alert],
    ) -> list[Notification]:
        """Plan for every subscription what it is told of every brand now; gives what came into the outbox.

        Args:
            now: by our clock.
            subscriptions: who is told.
            silences: that stand.
            alerts: that fire or ended lately.

        Raises:
            RetryLater, BackendDown: as the documents; the same call again goes on.
        """
        by_brand: dict[str, list[Alert]] = {}
        for alert in alerts:
            by_brand.setdefault(alert.brand_id, []).append(alert)
        pairs = [(each, brand_id) for each in subscriptions for brand_id in by_brand]
        ids = [group_id(subscription.subscription_id, brand_id) for subscription, brand_id in pairs]
        kept = self.documents.get(KIND, ids)
        told = []
        for (subscription, brand_id), name in zip(pairs, ids, strict=True):
            document = kept.get(name)
            group = from_body(document.body) if document is not None else Group()
            message, after = plan(now, subscription, brand_id, by_brand[brand_id], group, silences, self.pace)
            if after == group:
                continue
            noted = Change(KIND, name, to_body(after), document.revision if document is not None else ABSENT)
            if self._keep(message, noted) and message is not None:
                told.append(message)
        return told

    def _keep(self, message: Notification | None, noted: Change) -> bool:
        """Make both durable; False where another evaluator did."""
        try:
            if message is not None:
                self._put(message)
            self.documents.apply([noted])
        except Conflict:
            return False
        return True

    def _put(self, message: Notification) -> None:
        try:
            self.documents.apply([self.put(message)])
        except Conflict:
            # It lies there already: whoever put it there was cut off before it could note that.
            return
