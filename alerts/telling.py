"""When a subscriber is told of what: grouping, repeats, inhibition and silences.

Words and defaults are Alertmanager's (its documentation: configuration, routes and inhibition).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from alerts.ids import notification_id
from alerts.records import Alert, Notification, Telling
from alerts.rule import Severity
from alerts.silence import Silence, silenced_by
from alerts.subscription import Subscription
from domain.clock import from_ms, to_ms

KIND: Final = "group"


@dataclass(frozen=True, slots=True)
class Pace:
    """How patient a group is: before its first telling, before it tells of what is new, before it says it again."""

    group_wait: timedelta = timedelta(seconds=30)
    group_interval: timedelta = timedelta(minutes=5)
    repeat_interval: timedelta = timedelta(hours=4)


@dataclass(frozen=True, slots=True)
class Group:
    """What one subscription was told of one brand: by alert, "firing" or "resolved"; when last, and how often."""

    told: Mapping[str, str] = field(default_factory=dict)
    last_at: datetime | None = None
    rounds: int = 0


def group_id(subscription_id: str, brand_id: str) -> str:
    """Give the id of a group as a document."""
    return f"{subscription_id}/{brand_id}"


def to_body(group: Group) -> dict[str, Any]:
    """Give a group as the body of a document."""
    last = None if group.last_at is None else to_ms(group.last_at)
    return {"told": dict(group.told), "last_ms": last, "rounds": group.rounds}


def from_body(body: Mapping[str, Any]) -> Group:
    """Read what `to_body` wrote."""
    last = body["last_ms"]
    return Group(dict(body["told"]), None if last is None else from_ms(last), int(body["rounds"]))


def inhibited(alert: Alert, alerts: Sequence[Alert]) -> bool:
    """Tell whether a more urgent alert of the same brand is among those that fire: one message of a crisis is enough.

    `alerts` are those that the same subscriber asks for: who never hears of the other must hear of this one. As the
    rule that Alertmanager's example configuration has, critical silences warning, for each step of severity.
    """
    return any(
        other.alert_id != alert.alert_id
        and other.brand_id == alert.brand_id
        and other.resolved_at is None
        and other.severity != alert.severity
        and other.severity.reaches(alert.severity)
        for other in alerts
        if alert.brand_id
    )


def plan(
    now: datetime,
    subscription: Subscription,
    brand_id: str,
    alerts: Sequence[Alert],
    group: Group,
    silences: Sequence[Silence] = (),
    pace: Pace = Pace(),
) -> tuple[Notification | None, Group]:
    """Decide what one subscription is told of one brand now; at most one message for all its alerts.

    Args:
        now: by our clock.
        subscription: who is told.
        brand_id: the group's brand; "" for the pipeline's own health.
        alerts: all alerts of the brand that fire or ended lately, whoever wants them.
        group: what was told before.
        silences: that stand.
        pace: how patient the group is.

    Returns:
        The message, or None, and the group as it is once that is in the outbox.
    """
    present = {alert.alert_id for alert in alerts}
    kept = {alert_id: state for alert_id, state in group.told.items() if alert_id in present}
    group = Group(kept, group.last_at, group.rounds)
    wanted = [alert for alert in alerts if subscription.wants(alert)]
    if not wanted or subscription.is_quiet(now):
        return None, group
    audible = [a for a in wanted if silenced_by(a, silences, now) is None and not inhibited(a, wanted)]
    begun = [a for a in audible if a.resolved_at is None and a.alert_id not in kept]
    # What ended before anybody was told of it is told to nobody.
    ended = [a for a in wanted if a.resolved_at is not None and kept.get(a.alert_id) == "firing"]
    going_on = [
        a for a in audible if a.resolved_at is None and kept.get(a.alert_id) == "firing" and a.acknowledged_at is None
    ]
    telling = _telling(now, begun, ended if subscription.resolved else [], going_on, group, pace)
    quietly = {a.alert_id: "resolved" for a in ended} if not subscription.resolved else {}
    if telling is None:
        return None, Group({**kept, **quietly}, group.last_at, group.rounds)
    told = [*begun, *going_on, *(ended if subscription.resolved else [])]
    ids = [alert.alert_id for alert in told]
    rounds = group.rounds + 1
    after = {a.alert_id: "resolved" if a.resolved_at is not None else "firing" for a in told}
    made = Notification(
        notification_id=notification_id(subscription.subscription_id, brand_id, telling.value, ids, rounds),
        telling=telling,
        channel=subscription.channel,
        recipient=subscription.recipient,
        created_at=now,
        alert_ids=tuple(ids),
        subscription=subscription.subscription_id,
    )
    return made, Group({**kept, **quietly, **after}, now, rounds)


def _telling(
    now: datetime,
    begun: Sequence[Alert],
    ended: Sequence[Alert],
    going_on: Sequence[Alert],
    group: Group,
    pace: Pace,
) -> Telling | None:
    """Give what there is to say and may be said by now."""
    fires = any(state == "firing" for state in group.told.values())
    since = None if group.last_at is None else now - group.last_at
    if begun and not fires:
        oldest = min(alert.fired_at for alert in begun)
        return Telling.FIRING if now - oldest >= pace.group_wait else None
    if (begun or ended) and (since is None or since >= pace.group_interval):
        return Telling.FIRING if begun else Telling.RESOLVED
    # A repeat waits for a whole number of group intervals, as there.
    if going_on and since is not None and since >= _rounded(pace.repeat_interval, pace.group_interval):
        return Telling.REPEAT
    return None


def _rounded(wait: timedelta, step: timedelta) -> timedelta:
    # Without an interval there is nothing to round to.
    return -(-wait // step) * step if step else wait


def most_urgent(alerts: Sequence[Alert]) -> Severity:
    """Give the highest severity among alerts; info where there is none."""
    return max((alert.severity for alert in alerts), key=list(Severity).index, default=Severity.INFO)
