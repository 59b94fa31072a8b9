"""The outbox forgets nothing and repeats nothing, wherever a process was cut off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.delivery import Patience
from alerts.outbox import DUE, KEPT, KIND, Outbox, State
from alerts.records import Notification, Telling
from domain.documents import Change, Conflict
from search.sqlite_documents import SqliteDocuments

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def documents(tmp_path: Path) -> Iterator[SqliteDocuments]:
    with closing(SqliteDocuments.open(tmp_path / "alerts.db")) as made:
        yield made


@pytest.fixture
def outbox(documents: SqliteDocuments) -> Outbox:
    return Outbox(documents)


def told(name: str = "a1", channel: str = "hook", at: datetime = NOW) -> Notification:
    return Notification(
        notification_id=name,
        telling=Telling.FIRING,
        channel=channel,
        recipient="",
        created_at=at,
        alert_ids=("1", "2"),
        subscription="s",
        detail={"x": [1, "é"]},
    )


def names(outbox: Outbox, at: datetime = NOW, channel: str = "hook") -> list[str]:
    return [entry.notification.notification_id for entry in outbox.due(channel, at)]


def test_what_is_put_is_due_the_oldest_first_by_channel(outbox: Outbox) -> None:
    outbox.put([told("b", at=NOW), told("a", at=NOW - MINUTE), told("c", "mail")])
    assert names(outbox) == ["a", "b"]
    assert names(outbox, channel="mail") == ["c"]
    assert outbox.due("hook", NOW)[1].notification == told("b")


def test_putting_again_changes_nothing_even_after_it_was_sent(outbox: Outbox) -> None:
    outbox.put([told()])
    outbox.put([told(at=NOW + MINUTE)])
    (first, *others) = outbox.due("hook", NOW + MINUTE)
    claimed = outbox.claim(first, NOW, 60)
    assert claimed is not None
    assert all(outbox.claim(other, NOW, 60) is None for other in others)
    outbox.finish(claimed, State.SENT, NOW)
    outbox.put([told()])
    outbox.put([told(at=NOW + 2 * MINUTE)])
    assert names(outbox, NOW + 60 * MINUTE) == []
    with pytest.raises(Conflict):
        outbox._documents.apply([outbox.change(told())])


def test_a_claim_keeps_others_away_until_its_time_is_over(outbox: Outbox) -> None:
    outbox.put([told()])
    (entry,) = outbox.due("hook", NOW)
    assert outbox.claim(entry, NOW, 60) is not None
    assert outbox.claim(entry, NOW, 60) is None
    assert names(outbox, NOW + timedelta(seconds=59)) == []
    (again,) = outbox.due("hook", NOW + timedelta(seconds=60))
    assert again.tries == 1


def test_what_was_planned_and_cut_off_before_it_was_put_is_found(outbox: Outbox, documents: SqliteDocuments) -> None:
    documents.apply([outbox.change(told())])
    assert names(outbox) == []
    assert outbox.mend() == 1
    assert names(outbox) == ["a1"]
    assert outbox.mend() == 0


def test_what_was_cut_off_after_it_was_done_is_due_no_more(outbox: Outbox, documents: SqliteDocuments) -> None:
    outbox.put([told()])
    (due,) = documents.scan(DUE)
    claimed = outbox.claim(outbox.due("hook", NOW)[0], NOW, 60)
    assert claimed is not None
    outbox.finish(claimed, State.SENT, NOW)
    documents.apply([Change(DUE, due.doc_id, due.body)])
    assert names(outbox, NOW + 60 * MINUTE) == []
    assert documents.scan(DUE) == []


def test_the_tally_counts_every_message_once(outbox: Outbox) -> None:
    outbox.put([told(f"a{number}") for number in range(5)])
    for state, entry in zip((State.SENT, State.REFUSED), outbox.due("hook", NOW), strict=False):
        claimed = outbox.claim(entry, NOW, 60)
        assert claimed is not None
        outbox.finish(claimed, state, NOW)
    assert dict(outbox.tally()) == {
        ("hook", State.SENT): 1,
        ("hook", State.REFUSED): 1,
        ("hook", State.WAITING): 3,
    }


def test_what_was_done_long_ago_is_forgotten_and_what_waits_is_not(outbox: Outbox, documents: SqliteDocuments) -> None:
    outbox.put([told("old"), told("waits")])
    claimed = outbox.claim(outbox.due("hook", NOW)[0], NOW, 60)
    assert claimed is not None
    outbox.finish(claimed, State.SENT, NOW)
    assert outbox.forget(NOW + KEPT) == 0
    assert outbox.forget(NOW + KEPT + MINUTE) == 1
    assert documents.scan(KIND) == []
    assert names(outbox) == ["waits"]


def test_more_messages_than_one_page_of_documents_are_all_found(outbox: Outbox) -> None:
    outbox.put([told(f"a{number:04d}") for number in range(1200)])
    assert len(names(outbox)) == 1200


def test_waits_double_to_half_an_hour_and_part_messages_that_failed_together() -> None:
    patience = Patience()
    for tries, rung in ((1, 10), (2, 20), (5, 160), (9, 1800), (99, 1800)):
        waits = {patience.wait(f"key{number}", tries) for number in range(50)}
        assert rung / 2 <= min(waits)
        assert max(waits) <= rung
        assert len(waits) == 50
    assert patience.wait("key", 3) == patience.wait("key", 3)
