"""Ids of alerts and notifications: the same whoever evaluates, however often."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

from alerts.subscription import Subscription
from domain.clock import to_ms


def _digest(*parts: str) -> str:
    whole = b"".join(len(raw).to_bytes(8, "big") + raw for raw in (part.encode("utf-8") for part in parts))
    return blake2b(whole, digest_size=8).hexdigest()


def alert_id(rule_id: str, brand_id: str, started_at: datetime) -> str:
    """Give the id of the alert of a rule and brand that began with the window that ends at a moment.

    Ids sort by that moment.
    """
    return f"{to_ms(started_at):014d}-{_digest(rule_id, brand_id)}"


def told_by(subscription: Subscription) -> str:
    """Give the id of a subscription that is made on a page: the same for who is told the same by the same channel."""
    parts = (subscription.channel, subscription.recipient.lower(), subscription.audience, subscription.severity.value)
    return f"page-{_digest(*parts, *sorted(subscription.brands), '', *sorted(subscription.rules))}"


def notification_id(subscription_id: str, group: str, telling: str, alerts: Sequence[str], round_: int) -> str:
    """Give the idempotency key of telling a subscription something of a group's alerts, for the `round_`th time."""
    return _digest(subscription_id, group, telling, str(round_), *sorted(alerts))
