"""The digest: what a day or a week was like, brand by brand, and how useful the alerts were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta, tzinfo
from typing import Any, Final

from alerts.asking import Mentions
from alerts.book import Precision
from alerts.escaping import one_line
from alerts.event_time import within
from alerts.ids import notification_id
from alerts.records import Alert, Notification, Telling
from alerts.sentences import MAX_NAME
from alerts.subscription import Subscription, zone_of
from domain.aggregation import Buckets, Result, Terms
from domain.clock import from_ms, to_ms
from domain.measures import NetSentiment, net_sentiment
from domain.query.ast import Keyword, Node, Or

# On the desk when the day begins, and after the last of the quiet hours that people have.
AT: Final = time(8, 0)
MAX_BRANDS: Final = 50


@dataclass(frozen=True, slots=True)
class BrandDay:
    """What was said of a brand in a period, and in the one before. `mentions` counts all, `net` the reliable ones."""

    brand_id: str
    brand: str
    mentions: int
    mentions_before: int
    net: NetSentiment | None
    net_before: NetSentiment | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A digest before it is written: brands by mentions, the most first; alerts that began in `[start, end)`."""

    start: datetime
    end: datetime
    brands: tuple[BrandDay, ...]
    alerts: tuple[Alert, ...]
    precision: tuple[Precision, ...]


def period(digest: str, now: datetime, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Give the day or week that ended last, as a clock of the zone has it; None before it is told, or for "none".

    It is told from eight in the morning on, a week's on Monday; days are from midnight to midnight.
    """
    local = now.astimezone(zone)
    if digest == "none" or local.time() < AT or (digest == "weekly" and local.weekday() != 0):
        return None
    today = local.date()
    first = today - timedelta(days=7 if digest == "weekly" else 1)
    return _midnight(first, zone), _midnight(today, zone)


def _midnight(day: Any, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(0), zone)


def due_digests(now: datetime, subscriptions: Sequence[Subscription]) -> list[Notification]:
    """Give the digests that are to be told by now: the same ones until the day is over, for the outbox to take once."""
    made = []
    for each in subscriptions:
        found = period(each.digest, now, zone_of(each.timezone))
        if found is None or each.audience == "it":
            continue
        start_ms, end_ms = to_ms(found[0]), to_ms(found[1])
        key = notification_id(each.subscription_id, each.digest, Telling.DIGEST.value, (), end_ms)
        made.append(
            Notification(
                notification_id=key,
                telling=Telling.DIGEST,
                channel=each.channel,
                recipient=each.recipient,
                # The same for whoever plans it: when it could first be told, not when it was planned.
                created_at=datetime.combine(found[1].date(), AT, zone_of(each.timezone)),
                subscription=each.subscription_id,
                detail={"digest": each.digest, "start_ms": start_ms, "end_ms": end_ms, "brands": list(each.brands)},
            )
        )
    return made


def summarise(
    mentions: Mentions,
    brands: Mapping[str, str],
    start: datetime,
    end: datetime,
    alerts: Sequence[Alert],
    precision: Sequence[Precision],
) -> Summary:
    """Ask what was said of brands (id -> name) in `[start, end)` and in the period before, which is as long.

    Args:
        mentions: what is counted.
        brands: who it is about; at most MAX_BRANDS are shown, the most spoken of.
        start: of the period.
        end: of the period.
        alerts: that began in it.
        precision: of rules.

    Raises:
        RetryLater, BackendDown: as the store.
    """
    before = start - (end - start)
    if not brands:
        return Summary(start, end, (), tuple(alerts), tuple(precision))
    node = Or(tuple(Keyword("brand_id", brand_id) for brand_id in brands))
    now_counts = _counts(mentions, node, start, end, len(brands))
    old_counts = _counts(mentions, node, before, start, len(brands))
    days = [
        BrandDay(brand_id, one_line(name, MAX_NAME), *_pair(now_counts, old_counts, brand_id))
        for brand_id, name in brands.items()
    ]
    days.sort(key=lambda day: (-day.mentions, day.brand_id))
    return Summary(start, end, tuple(days[:MAX_BRANDS]), tuple(alerts), tuple(precision))


_Counts = Mapping[str, tuple[int, NetSentiment | None]]


def _pair(now: _Counts, before: _Counts, brand_id: str) -> tuple[int, int, NetSentiment | None, NetSentiment | None]:
    (count, net), (old_count, old_net) = now.get(brand_id, (0, None)), before.get(brand_id, (0, None))
    return count, old_count, net, old_net


def _counts(mentions: Mentions, node: Node, start: datetime, end: datetime, brands: int) -> _Counts:
    felt = Terms("sentiment_reliable", 2, sub={"sentiment": Terms("sentiment", 3)})
    asked = {"brand": Terms("brand_id", brands, sub={"reliable": felt})}
    found: dict[str, tuple[int, NetSentiment | None]] = {}
    for row in _rows(mentions.aggregate(within(node, start, end), asked)["brand"]):
        sums = dict.fromkeys(("negative", "neutral", "positive"), 0)
        for reliable in _rows(row.sub["reliable"]):
            if reliable.key:
                sums |= {str(each.key): each.count for each in _rows(reliable.sub["sentiment"])}
        found[str(row.key)] = (row.count, net_sentiment(**sums))
    return found


def _rows(result: Result) -> Sequence[Any]:
    return result.buckets if isinstance(result, Buckets) else ()


def span_of(notification: Notification) -> tuple[datetime, datetime]:
    """Give the period of a digest's notification."""
    return from_ms(int(notification.detail["start_ms"])), from_ms(int(notification.detail["end_ms"]))
