"""Digests are told once a day or week, in the morning of whoever reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from alerts.book import Precision
from alerts.digest import BrandDay, Summary, due_digests, period, span_of
from alerts.digest_message import digest_message
from alerts.evidence import Reader
from alerts.links import Links
from alerts.subscription import Subscription
from domain.measures import net_sentiment

BERLIN = ZoneInfo("Europe/Berlin")
READER = Reader(Links("https://s.example", b"k" * 32), BERLIN, datetime(2026, 3, 30, 6, tzinfo=UTC))


def subscription(digest: str = "daily", **changed: object) -> Subscription:
    fields: dict[str, object] = {
        "subscription_id": "ann",
        "channel": "mail",
        "recipient": "ann@acme.example",
        "timezone": "Europe/Berlin",
        "digest": digest,
    }
    return Subscription(**fields | changed)  # type: ignore[arg-type]


def test_a_day_is_told_from_eight_on_and_lasts_from_midnight_to_midnight_of_the_zone() -> None:
    assert period("daily", datetime(2026, 3, 30, 5, 59, tzinfo=UTC), BERLIN) is None
    # The day before has 23 hours there: clocks went forward.
    found = period("daily", datetime(2026, 3, 30, 6, 0, tzinfo=UTC), BERLIN)
    assert found is not None
    assert [each.astimezone(UTC) for each in found] == [
        datetime(2026, 3, 28, 23, tzinfo=UTC),
        datetime(2026, 3, 29, 22, tzinfo=UTC),
    ]


def test_a_week_is_told_on_monday() -> None:
    assert period("weekly", datetime(2026, 3, 29, 12, tzinfo=UTC), BERLIN) is None
    found = period("weekly", datetime(2026, 3, 30, 12, tzinfo=UTC), BERLIN)
    assert found is not None
    assert (found[0].date().isoformat(), found[1].date().isoformat()) == ("2026-03-23", "2026-03-30")


def test_a_digest_is_the_same_message_however_often_it_is_planned() -> None:
    first, later = (due_digests(datetime(2026, 3, 30, hour, 7, tzinfo=UTC), [subscription()])[0] for hour in (6, 21))
    assert first == later
    (next_day,) = due_digests(datetime(2026, 3, 31, 6, 7, tzinfo=UTC), [subscription()])
    assert next_day.notification_id != first.notification_id
    assert span_of(first)[1] == datetime(2026, 3, 29, 22, tzinfo=UTC)


@pytest.mark.parametrize("other", [subscription("none"), subscription(audience="it")])
def test_nobody_else_gets_one(other: Subscription) -> None:
    assert due_digests(datetime(2026, 3, 30, 12, tzinfo=UTC), [other]) == []


def test_a_digest_says_what_changed_and_only_what_is_no_chance() -> None:
    calm = net_sentiment(negative=10, neutral=80, positive=10)
    sour = net_sentiment(negative=70, neutral=20, positive=10)
    alike = net_sentiment(negative=11, neutral=80, positive=9)
    days = (
        BrandDay("acme", "Acme", 979, 19, sour, calm),
        BrandDay("globex", "Globex", 100, 80, alike, calm),
        BrandDay("new", "New <b>", 7, 0, None, None),
        BrandDay("still", "Still", 0, 0, None, None),
    )
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    precision = (Precision("negative-spike", 4, 2, 1), Precision("quiet", 0, 0, 0))
    summary = Summary(start, start + timedelta(hours=23), days, (), precision)
    (notification,) = due_digests(READER.now, [subscription()])
    message = digest_message(notification, summary, READER)
    assert message.subject == "Day in mentions: Sunday, 29 Mar 2026, no alert"
    for line in (
        "Acme: 979 mentions (51 times as many), net sentiment −60 (−60)",
        "Globex: 100 mentions (+25 %), net sentiment −2 (no clear change)",
        "New <b>: 7 mentions (none before)",
        "Still: 0 mentions (none before either)",
        "negative-spike: 4 alerts, 2 of 3 marked were useful (67 %)",
    ):
        assert line in message.text
    assert "quiet" not in message.text
    assert "<b>" not in message.html
    assert [brand["mentions"] for brand in message.payload["brands"]] == [979, 100, 7, 0]
