"""Troubles of the pipeline as alerts: once each, whoever looks and however often."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.health import ChannelHealth, Facts, SourceHealth
from alerts.health_book import HealthBook
from alerts.projection import projection
from alerts.records import Alert
from alerts.rule import Severity
from alerts.stored import ALERT, alert_of
from alerts.subscription import Subscription
from domain.documents import Change, Conflict, Documents
from search.sqlite_documents import SqliteDocuments

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
REFUSED = SourceHealth(source="x", at=NOON, state="refused", since=NOON, reason="401")


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[Documents]:
    documents = SqliteDocuments.open(tmp_path / "alerts.db")
    yield documents
    documents.close()


def facts(minutes: float, *sources: SourceHealth) -> Facts:
    now = NOON + minutes * MINUTE
    return Facts(now=now, sources=[replace(one, at=now) for one in sources])


def alerts(documents: Documents) -> list[Alert]:
    return [alert_of(one.doc_id, one.body) for one in documents.scan(ALERT)]


def test_an_alert_begins_once_it_lasted_and_ends_when_it_is_over(documents: Documents) -> None:
    published: list[Alert] = []
    book = HealthBook(documents, published.extend)
    book.look(facts(1, REFUSED))
    assert alerts(documents) == []
    for minutes in (10, 11, 30):
        book.look(facts(minutes, REFUSED))
    (alert,) = alerts(documents)
    assert (alert.brand_id, alert.rule_id, alert.severity) == ("", "deaf", Severity.CRITICAL)
    assert (alert.started_at, alert.fired_at, alert.resolved_at) == (NOON, NOON + 10 * MINUTE, None)
    assert alert.reason.startswith("The source x refuses us since 2026-03-01 12:00 UTC: 401.")
    well = replace(REFUSED, state="listening")
    book.look(facts(40, well))
    assert alerts(documents)[0].resolved_at is None
    book.look(facts(45, well))
    assert alerts(documents)[0].resolved_at == NOON + 45 * MINUTE
    assert book.conditions() == []
    assert [one.resolved_at is None for one in published] == [True, False]


def test_the_sentence_of_an_alert_follows_its_trouble_while_it_goes_on(documents: Documents) -> None:
    published: list[Alert] = []
    book = HealthBook(documents, published.extend)
    lost = ChannelHealth(channel="mail", waiting=0, since=None, lost=4, why="no such mailbox")
    for minutes, number in ((1, 4), (2, 4), (3, 25), (4, 25)):
        book.look(Facts(now=NOON + minutes * MINUTE, channels=[replace(lost, lost=number)]))
    (alert,) = alerts(documents)
    assert alert.reason == "25 messages could not be delivered by the channel mail lately: no such mailbox."
    assert (alert.started_at, alert.fired_at) == (NOON + MINUTE, NOON + MINUTE)
    assert [one.reason.partition(" ")[0] for one in published] == ["4", "25"]
    (document,) = documents.scan(ALERT)
    seen = {**document.body, "acknowledged_by": "ada"}
    documents.apply([Change(ALERT, document.doc_id, seen, document.revision)])
    book.look(Facts(now=NOON + 5 * MINUTE, channels=[replace(lost, lost=26)]))
    assert [(one.acknowledged_by, one.reason[:2]) for one in alerts(documents)] == [("ada", "26")]


def test_a_trouble_that_comes_again_is_another_alert(documents: Documents) -> None:
    book = HealthBook(documents)
    well = replace(REFUSED, state="listening")
    book.look(facts(10, REFUSED))
    book.look(facts(20, well))
    book.look(facts(26, well))
    book.look(facts(60, replace(REFUSED, since=NOON + 50 * MINUTE)))
    assert [one.resolved_at is None for one in alerts(documents)] == [False, True]


def test_it_is_told_to_it_and_not_to_marketing(documents: Documents) -> None:
    HealthBook(documents).look(facts(10, REFUSED))
    (alert,) = alerts(documents)
    asked = Subscription(subscription_id="s", channel="c")
    assert replace(asked, audience="it").wants(alert)
    assert not asked.wants(alert)
    assert replace(asked, audience="it", rules=("deaf",)).wants(alert)


def test_two_that_look_at_once_begin_one_alert(documents: Documents) -> None:
    HealthBook(documents).look(facts(1, REFUSED))
    one, other = HealthBook(documents), HealthBook(documents)
    one.look(facts(10, REFUSED))
    other.look(facts(10.1, REFUSED))
    assert len(alerts(documents)) == 1


def test_a_look_that_was_cut_off_after_the_alert_goes_on(documents: Documents) -> None:
    class CutOff(SqliteDocuments):
        def apply(self, changes: object) -> None:
            super().apply(changes)  # type: ignore[arg-type]  # as it came
            raise Conflict("health", ["now"])

    HealthBook(documents).look(facts(1, REFUSED))
    assert isinstance(documents, SqliteDocuments)
    cut_off = CutOff.open(documents._path)
    with pytest.raises(Conflict):
        HealthBook(cut_off).look(facts(10, REFUSED))
    cut_off.close()
    assert len(alerts(documents)) == 1
    conditions = HealthBook(documents).look(facts(11, REFUSED))
    assert [one.condition_id for one in conditions] == ["deaf:x"]
    assert len(alerts(documents)) == 1


def test_what_somebody_said_to_an_alert_stays_when_it_ends(documents: Documents) -> None:
    book = HealthBook(documents)
    book.look(facts(10, REFUSED))
    (document,) = documents.scan(ALERT)
    body = {**document.body, "acknowledged_by": "ada"}
    documents.apply([Change(ALERT, document.doc_id, body, document.revision)])
    well = replace(REFUSED, state="listening")
    book.look(facts(20, well))
    book.look(facts(26, well))
    (alert,) = alerts(documents)
    assert (alert.acknowledged_by, alert.resolved_at) == ("ada", NOON + 26 * MINUTE)


def test_its_document_for_kibana_has_no_brand_and_no_numbers(documents: Documents) -> None:
    HealthBook(documents).look(facts(10, REFUSED))
    shown = projection(alerts(documents)[0])
    assert not shown.keys() & {"brand_id", "brand", "metric", "observed", "expected", "mentions", "window_minutes"}
    assert shown["told_after_seconds"] == 600.0
