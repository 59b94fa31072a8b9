"""Messages made of a real store: what drives a crisis is named, and what was retracted since is not told."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.alert_world import ANN, BRANDS, CRISIS, MINUTE, AlertWorld, crisis, said
from fakes.mentions import retraction

from alerts.book import AlertBook
from alerts.channel import Message
from alerts.chart import chart_spec
from alerts.composer import CHART_AFTER, Composer
from alerts.digest import due_digests
from alerts.drivers import drivers
from alerts.links import Links
from alerts.records import Alert, Notification, Reading, Telling
from alerts.rule import DEFAULT_RULES, Watch
from alerts.standing import Pulse, noted
from service.alert_mentions import StoreMentions

RULE = DEFAULT_RULES[0].rule_id
SUBSCRIPTION = replace(ANN, timezone="Europe/Berlin", digest="daily")


@pytest.fixture
def world(quiet_weeks: Path, tmp_path: Path) -> Iterator[AlertWorld]:
    folder = tmp_path / "world"
    shutil.copytree(quiet_weeks, folder)
    with closing(AlertWorld(folder)) as made:
        yield made


def composer(world: AlertWorld) -> Composer:
    def watch_of(alert: Alert) -> Watch | None:
        return next((each for each in world.watches if each.brand_id == alert.brand_id), None)

    return Composer(
        documents=world.documents,
        mentions=StoreMentions(world.store),
        links=Links("https://soundings.acme.example", b"k" * 32),
        watch_of=watch_of,
        readings=world.evaluator.judge.readings,
        subscription_of=lambda name: SUBSCRIPTION if name == SUBSCRIPTION.subscription_id else None,
        brands=lambda: BRANDS,
        rules=lambda: [RULE],
        book=AlertBook(world.documents),
    )


def fire(world: AlertWorld) -> Notification:
    """Look once the crisis is in full swing, and give what is told of it."""
    world.look(CRISIS + 35 * MINUTE)
    world.clock.set(CRISIS + 36 * MINUTE)
    (message,) = world.tell()
    assert message.telling is Telling.FIRING
    return message


def make(world: AlertWorld, notification: Notification) -> Message:
    message = composer(world)(notification, world.clock.now())
    assert message is not None
    return message


def values(message: Message, field: str) -> Sequence[str]:
    return [each["value"] for each in message.payload["alerts"][0][field]]


def test_a_crisis_is_told_with_its_words_its_posts_and_its_chart(world: AlertWorld) -> None:
    world.write(crisis(text="the lid leaks again"))
    message = make(world, fire(world))
    assert message.subject.startswith("Acme: ")
    assert "(Europe/Berlin)" in message.text
    assert set(values(message, "words")) == {"lid", "leaks"}
    samples = message.payload["alerts"][0]["samples"]
    assert len(samples) == 5
    assert len({each["author"] for each in samples}) == 5
    assert {each["text"] for each in samples} == {"the lid leaks again"}
    assert message.chart is not None
    assert message.chart[:4] == b"\x89PNG"


def seen(world: AlertWorld, notification: Notification, now: datetime) -> list[Reading]:
    """Give the readings that the chart of a message draws at a moment."""
    drawn: list[Sequence[Reading]] = []

    def kept(readings: Sequence[Reading], *given: object, **named: object) -> dict[str, Any]:
        drawn.append(readings)
        return chart_spec(readings, *given, **named)  # type: ignore[arg-type]  # as it came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("alerts.composer.chart_spec", kept)
        assert composer(world)(notification, now) is not None
    return list(drawn[0])


@pytest.mark.parametrize("judged", [None, CRISIS + 28 * MINUTE])
def test_the_chart_ends_with_the_last_complete_bucket_that_was_judged(
    world: AlertWorld, judged: datetime | None
) -> None:
    world.write(crisis())
    notification = fire(world)
    if judged is not None:
        world.documents.apply([noted(Pulse(at=world.clock.now(), edge=judged))])
    now = CRISIS + 48 * MINUTE
    readings = seen(world, notification, now)
    (alert,) = [each for each in world.alerts() if each.alert_id in notification.alert_ids]
    if judged is None:
        assert readings[-1].end == CRISIS + 45 * MINUTE
    else:
        # What it fired by is seen, though its bucket was not complete then.
        assert [each.end for each in readings[-2:]] == [CRISIS + 25 * MINUTE, alert.peak_at]
        assert readings[-1].observed == alert.reading.observed
    assert readings[-1].observed > 20
    # Within the bucket that had only begun, it is no later than now.
    assert all(each.end <= CRISIS + 36 * MINUTE for each in seen(world, notification, CRISIS + 36 * MINUTE))


def test_the_chart_of_an_alert_that_goes_on_or_ended_shows_how_it_went_on(world: AlertWorld) -> None:
    world.write(crisis())
    notification = fire(world)
    late = CRISIS + timedelta(hours=9)
    assert seen(world, notification, late)[-1].end == late
    world.look(late)
    (alert,) = [each for each in world.alerts() if each.alert_id in notification.alert_ids]
    assert alert.resolved_at == late
    assert seen(world, notification, late + timedelta(hours=9))[-1].end == late + CHART_AFTER


def test_a_loud_author_among_many_is_named(world: AlertWorld) -> None:
    world.write(crisis())
    loud = [said(f"loud{n}", CRISIS + MINUTE * n, "negative", author_id="loud", author_handle="loud") for n in range(9)]
    world.write(loud)
    message = make(world, fire(world))
    assert values(message, "loud_authors") == ["loud"]


def test_a_post_that_was_retracted_since_is_not_told(world: AlertWorld) -> None:
    posts = crisis(text="gone")
    world.write(posts)
    notification = fire(world)
    assert "gone" in make(world, notification).text
    world.store.write([retraction(each) for each in posts])
    world.store.refresh()
    message = make(world, notification)
    assert "gone" not in message.text + message.html + str(message.payload)
    assert message.subject.startswith("Acme: ")


def test_an_alert_that_is_gone_is_not_told(world: AlertWorld) -> None:
    world.write(crisis())
    notification = replace(fire(world), alert_ids=("nothing",))
    assert composer(world)(notification, world.clock.now()) is None


def test_an_alert_whose_brand_is_gone_is_told_without_posts(world: AlertWorld) -> None:
    world.write(crisis())
    notification = fire(world)
    world.watches.clear()
    message = make(world, notification)
    assert message.chart is None
    assert message.payload["alerts"][0]["samples"] == []
    assert "negative mentions" in message.subject


def test_nothing_stands_out_of_a_quiet_hour(world: AlertWorld) -> None:
    found = drivers(StoreMentions(world.store), world.watches[0], CRISIS - timedelta(hours=1), CRISIS)
    assert (found.words, found.authors) == ((), ())


def test_a_digest_counts_what_the_store_holds(world: AlertWorld) -> None:
    world.write(crisis())
    fire(world)
    (notification,) = due_digests(CRISIS + timedelta(hours=20), [SUBSCRIPTION])
    message = make(world, notification)
    acme, globex = message.payload["brands"]
    assert (acme["brand_id"], globex["brand_id"]) == ("acme", "globex")
    assert acme["mentions"] >= globex["mentions"] + 40
    assert acme["net"] < acme["net_before"]
    assert [each["brand_id"] for each in message.payload["alerts"]] == ["acme"]
    assert message.payload["precision"] == [{"rule_id": RULE, "alerts": 1, "useful": 0, "noise": 0}]
