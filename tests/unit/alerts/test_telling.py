"""Who is told of what and when: grouping, repeats, inhibition, silences and quiet hours."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes.alert_texts import alert as made_up

from alerts.ids import alert_id
from alerts.records import Alert, Notification, Telling
from alerts.rule import Severity
from alerts.silence import Silence
from alerts.subscription import Subscription, quiet_hours
from alerts.telling import Group, Pace, from_body, inhibited, plan, to_body
from domain.errors import ConfigError

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ANN = Subscription(subscription_id="ann", channel="mail", recipient="ann@example.org")


def alert(rule: str = "negative", severity: Severity = Severity.WARNING, brand: str = "acme", **more: object) -> Alert:
    moments = {"started_at": NOON, "fired_at": NOON, "peak_at": NOON}
    name = alert_id(rule, brand, NOON)
    return made_up(alert_id=name, rule_id=rule, brand_id=brand, severity=severity, **moments | more)


class Life:
    """One group, minute by minute."""

    def __init__(self, subscription: Subscription = ANN, brand: str = "acme") -> None:
        self.subscription, self.brand, self.group = subscription, brand, Group()
        self.silences: list[Silence] = []

    def look(self, after: timedelta, *alerts: Alert) -> Notification | None:
        told, group = plan(NOON + after, self.subscription, self.brand, alerts, self.group, self.silences)
        self.group = from_body(to_body(group))
        return told


MINUTE = timedelta(minutes=1)


def test_an_alert_is_told_once_after_the_wait_of_its_group() -> None:
    life = Life()
    assert life.look(timedelta(seconds=10), alert()) is None
    told = life.look(MINUTE, alert())
    assert told is not None
    assert (told.telling, told.alert_ids, told.recipient) == (
        Telling.FIRING,
        (alert().alert_id,),
        "ann@example.org",
    )
    assert all(life.look(minute * MINUTE, alert()) is None for minute in range(2, 240))


def test_what_goes_on_is_said_again_after_four_hours_unless_somebody_saw_it() -> None:
    life = Life()
    life.look(MINUTE, alert())
    again = life.look(timedelta(hours=4, minutes=1), alert())
    assert again is not None
    assert again.telling is Telling.REPEAT
    assert life.look(timedelta(hours=9), alert(acknowledged_at=NOON)) is None


def test_the_end_is_told_to_who_heard_of_the_beginning_only() -> None:
    ended = alert(resolved_at=NOON + 50 * MINUTE)
    assert Life().look(timedelta(hours=1), ended) is None
    life = Life()
    life.look(MINUTE, alert())
    told = life.look(timedelta(hours=1), ended)
    assert told is not None
    assert told.telling is Telling.RESOLVED
    assert life.look(timedelta(hours=2), ended) is None


def test_who_wants_no_ends_gets_none_and_no_repeat_of_what_ended() -> None:
    life = Life(replace(ANN, resolved=False))
    life.look(MINUTE, alert())
    ended = alert(resolved_at=NOON + 50 * MINUTE)
    assert life.look(timedelta(hours=1), ended) is None
    assert life.look(timedelta(hours=9), ended) is None


def test_two_alerts_of_a_brand_come_in_one_message_and_a_third_waits_for_the_interval() -> None:
    life = Life()
    told = life.look(MINUTE, alert("negative"), alert("share"))
    assert told is not None
    assert len(told.alert_ids) == 2
    later = alert("volume", fired_at=NOON + 2 * MINUTE)
    assert life.look(3 * MINUTE, alert("negative"), alert("share"), later) is None
    third = life.look(7 * MINUTE, alert("negative"), alert("share"), later)
    assert third is not None
    assert later.alert_id in third.alert_ids


def test_the_key_of_a_message_is_the_same_for_whoever_plans_it() -> None:
    one, other = Life().look(MINUTE, alert()), Life().look(MINUTE + timedelta(seconds=40), alert())
    assert one is not None
    assert other is not None
    assert one.notification_id == other.notification_id


def test_a_more_urgent_alert_of_the_same_brand_inhibits_a_lesser_one() -> None:
    crisis, stir = alert("negative", Severity.CRITICAL), alert("volume", Severity.WARNING)
    assert inhibited(stir, [crisis, stir])
    assert not inhibited(crisis, [crisis, stir])
    assert not inhibited(stir, [replace(crisis, resolved_at=NOON), stir])
    assert not inhibited(stir, [replace(crisis, brand_id="other"), stir])
    told = Life().look(MINUTE, crisis, stir)
    assert told is not None
    assert told.alert_ids == (crisis.alert_id,)


def test_what_is_silenced_is_told_when_the_silence_ends() -> None:
    life = Life()
    life.silences = [Silence(silence_id="s", start=NOON, end=NOON + timedelta(hours=1), brands=("acme",))]
    assert life.look(30 * MINUTE, alert()) is None
    assert life.look(61 * MINUTE, alert()) is not None


def test_what_still_holds_when_quiet_hours_end_is_told_then() -> None:
    life = Life(replace(ANN, quiet_hours="11:00-13:00"))
    assert life.look(30 * MINUTE, alert()) is None
    assert life.look(61 * MINUTE, alert()) is not None


@pytest.mark.parametrize(("hour", "quiet"), [(21, False), (22, True), (2, True), (6, True), (7, False)])
def test_quiet_hours_go_over_midnight(hour: int, quiet: bool) -> None:
    hours = quiet_hours("22:00-07:00", "UTC")
    assert hours is not None
    assert hours.hold(datetime(2026, 3, 10, hour, tzinfo=UTC)) is quiet


def test_quiet_hours_follow_the_clocks_of_their_zone() -> None:
    hours = quiet_hours("22:00-07:00", "Europe/Berlin")
    assert hours is not None
    # 07:30 in winter, 06:30 before the clocks went forward would be 05:30 UTC.
    assert not hours.hold(datetime(2026, 3, 28, 6, 30, tzinfo=UTC))
    assert hours.hold(datetime(2026, 3, 29, 4, 30, tzinfo=UTC))


@pytest.mark.parametrize("text", ["22-7", "22:00-25:00", "08:00-08:00", "22:00", "ab:cd-ef:gh"])
def test_quiet_hours_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="quiet_hours"):
        quiet_hours(text, "UTC")


def test_marketing_hears_of_brands_and_it_of_the_pipeline() -> None:
    sick = alert("silent-source", brand="")
    assert not ANN.wants(sick)
    assert replace(ANN, audience="it").wants(sick)
    assert not replace(ANN, audience="it").wants(alert())


@pytest.mark.parametrize(
    ("subscription", "wanted"),
    [
        (replace(ANN, brands=("acme",)), True),
        (replace(ANN, brands=("globex",)), False),
        (replace(ANN, rules=("negative",)), True),
        (replace(ANN, rules=("volume",)), False),
        (replace(ANN, severity=Severity.CRITICAL), False),
    ],
)
def test_a_subscription_hears_of_what_it_asks_for(subscription: Subscription, wanted: bool) -> None:
    assert subscription.wants(alert()) is wanted


def test_a_silence_that_would_hide_everything_is_refused() -> None:
    with pytest.raises(ConfigError, match="every alert"):
        Silence(silence_id="s", start=NOON, end=NOON + MINUTE)


def test_an_alert_that_a_subscriber_never_hears_of_keeps_nothing_from_it() -> None:
    crisis, stir = alert("negative", Severity.CRITICAL), alert("volume", Severity.WARNING)
    told = Life(replace(ANN, rules=("volume",))).look(MINUTE, crisis, stir)
    assert told is not None
    assert told.alert_ids == (stir.alert_id,)


def test_without_an_interval_repeats_come_after_their_own() -> None:
    pace = Pace(timedelta(0), timedelta(0), timedelta(hours=1))
    first, group = plan(NOON, ANN, "acme", [alert()], Group(), pace=pace)
    assert first is not None
    soon, _ = plan(NOON + timedelta(minutes=59), ANN, "acme", [alert()], group, pace=pace)
    again, _ = plan(NOON + timedelta(minutes=60), ANN, "acme", [alert()], group, pace=pace)
    assert (soon, again is not None) == (None, True)


def test_a_silence_that_is_over_at_once_is_refused() -> None:
    with pytest.raises(ConfigError, match="less than a minute after its start"):
        Silence(silence_id="s", start=NOON, end=NOON + timedelta(milliseconds=1), brands=("acme",))
