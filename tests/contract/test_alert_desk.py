"""What the pages ask of alerts, held against one machine's files and against a real Elasticsearch."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.alert_pages_world import AlertPagesWorld, open_alert_pages
from fakes.elastic_stores import open_elastic, settings_for, wipe

from alerts.book import AlertBook
from alerts.records import Telling, WatchState
from dashboard.alert_changes import subscribe, unsubscribe
from dashboard.problems import Refused
from search.elastic_documents import ElasticDocuments


@pytest.fixture(params=["embedded", "elastic"])
def world(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[AlertPagesWorld]:
    """A crisis that goes on."""
    if request.param == "embedded":
        with open_alert_pages(tmp_path) as opened:
            yield opened
        return
    url = request.getfixturevalue("elastic_server").url
    store, settings = open_elastic(url, prefix), settings_for(url, prefix)
    try:
        with open_alert_pages(tmp_path, store=store, documents=ElasticDocuments.open(settings)) as opened:
            yield opened
    finally:
        wipe(settings)


def test_what_was_found_is_seen_drawn_and_explained(world: AlertPagesWorld) -> None:
    alert, desk = world.alert(), world.desk
    states = {(one.rule_id, one.brand_id): one for one in desk.standings()}
    assert states["negative-spike", "acme"].state is WatchState.FIRING
    assert states["negative-spike", "acme"].alert_id == alert.alert_id
    assert states["negative-spike", "globex"].state is WatchState.QUIET
    # The picture is drawn by what is kept, and shows at the peak what fired.
    peaks = [one for one in desk.curve(alert, alert.started_at, alert.peak_at).readings if one.end == alert.peak_at]
    assert [(one.observed, one.expected) for one in peaks] == [(alert.reading.observed, alert.reading.expected)]
    cause = desk.cause(alert)
    assert {one.word for one in cause.drivers.words} >= {"leaks", "lid"}
    assert len({one.mention_id for one in cause.samples}) == 5
    gaps = desk.curve(alert, world.world.clock.now().replace(hour=0), alert.peak_at).gaps
    assert [gap.source for gap in gaps] == ["x"]


def test_of_many_who_acknowledge_at_once_one_counts_and_it_is_published_once(world: AlertPagesWorld) -> None:
    alert_id, now = world.alert().alert_id, world.world.clock.now()
    names = [f"person{number}" for number in range(4)]
    threads = [threading.Thread(target=world.book.acknowledge, args=(alert_id, name, now)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = world.alert()
    assert first.acknowledged_by in names
    world.book.mark(alert_id, "useful", "ann", now)
    assert world.alert().acknowledged_by == first.acknowledged_by
    published: list[str] = []
    evaluator = AlertBook(world.world.documents, lambda alerts: published.extend(one.mark for one in alerts))
    evaluator.publish_noted()
    evaluator.publish_noted()
    assert published == ["useful"]
    # The evaluator goes on with what people said.
    world.world.minutes(now, now.replace(minute=now.minute + 6))
    assert world.alert().mark == "useful"


def test_a_subscription_is_kept_asked_once_and_goes(world: AlertPagesWorld) -> None:
    now, values = world.world.clock.now(), {"channel": "mail", "recipient": "ann@acme.example", "brands": ["acme"]}
    made = [subscribe(world.desk, values | {"severity": least}, {"acme"}, "ben", now) for least in ("info", "critical")]
    with pytest.raises(Refused, match="there already"):
        subscribe(world.desk, values | {"recipient": "ANN@acme.example"}, {"acme"}, "ben", now)
    assert {one.subscription_id for one in world.book.subscriptions()} == {one.subscription_id for one in made}
    assert [one.telling for one in world.due("mail")] == [Telling.CONFIRM]
    for one in made:
        unsubscribe(world.desk, one.subscription_id)
    assert world.book.subscriptions() == []
