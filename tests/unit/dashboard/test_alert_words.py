"""Alerts as the pages say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from alerts.records import Doubt, WatchState
from alerts.rule import Metric, Rule, Severity
from alerts.standing import Pulse, Standing
from alerts.subscription import Subscription
from dashboard.alert_words import MOODS, NAMES, lasted, life, rule_words, wants, when, why

NOW = datetime(2026, 3, 15, 12, 0, tzinfo=UTC)


def test_every_state_has_a_name_and_a_mood() -> None:
    assert set(MOODS) == set(NAMES) == set(WatchState)


@pytest.mark.parametrize("doubt", list(Doubt))
def test_a_suppressed_spike_names_every_doubt(doubt: Doubt) -> None:
    seen = Standing(rule_id="r", brand_id="b", state=WatchState.SUPPRESSED, end=NOW, doubts=(doubt, Doubt.GAP))
    said = why(seen)
    assert said.startswith("a spike by its numbers, but ")
    assert "deaf" in said
    assert said.count(";") == 1


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (timedelta(seconds=20), "0 min"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=2), "2 h"),
        (timedelta(hours=2, minutes=5), "2 h 5 min"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
        (-timedelta(hours=1), "0 min"),
    ],
)
def test_a_length_of_time_is_said_by_its_two_largest_units(length: timedelta, said: str) -> None:
    assert lasted(length) == said


@pytest.mark.parametrize(
    ("pulse", "holder", "mood", "said"),
    [
        (None, "", "wrong", "Nothing was ever looked at here"),
        (None, "box/7", "waiting", "The first look at everything is under way (box/7)"),
        (Pulse(at=NOW - timedelta(minutes=5), edge=NOW), "", "wrong", "until the service that does it runs again"),
        (Pulse(at=NOW - timedelta(minutes=5), edge=NOW), "box/7", "wrong", "though box/7 is at it"),
        (
            Pulse(at=NOW - timedelta(minutes=1), edge=NOW - timedelta(hours=1), late_since=NOW),
            "box/7",
            "waiting",
            "alerts come 1 h late",
        ),
        (Pulse(at=NOW - timedelta(minutes=1), edge=NOW - timedelta(minutes=1)), "", "good", "Looked 1 min ago"),
    ],
)
def test_whether_somebody_looks_is_said(pulse: Pulse | None, holder: str, mood: str, said: str) -> None:
    found = life(pulse, holder, NOW)
    assert found.mood == mood
    assert said in found.words


def test_what_a_subscription_is_told_of_and_when() -> None:
    plain = Subscription(subscription_id="a", channel="hook")
    assert (wants(plain, {}), when(plain)) == ("all brands", "at once")
    chosen = Subscription(
        subscription_id="b",
        channel="hook",
        brands=("acme", "gone"),
        rules=("r",),
        severity=Severity.CRITICAL,
        quiet_hours="22:00-07:00",
        timezone="Europe/Berlin",
        digest="weekly",
    )
    assert wants(chosen, {"acme": "Acme"}) == "Acme, gone, rules r, critical and above"
    assert when(chosen) == "not 22:00-07:00 (Europe/Berlin), weekly summary"
    assert wants(Subscription(subscription_id="c", channel="hook", audience="it"), {}) == "the pipeline's own health"


def test_a_rule_of_shares_asks_for_no_ratio() -> None:
    assert "2 times what is usual" in rule_words(Rule(rule_id="r"))
    assert "times" not in rule_words(Rule(rule_id="r", metric=Metric.NEGATIVE_SHARE))
