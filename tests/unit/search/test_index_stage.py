from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.clock import FakeClock
from fakes.mentions import START, mention, retraction, withdrawal

from domain.errors import BadReason
from domain.records import Event, Outcome
from search.embedded import EmbeddedStore
from search.stage import IndexStage
from stream.codec import Record, encode
from stream.protocol import LogRecord


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path)
    yield store
    store.close()


def log_record(value: bytes | Record, offset: int = 0) -> LogRecord:
    raw = value if isinstance(value, bytes) else encode(value)
    return LogRecord("mentions", 0, offset, "x:1", raw, "live", START)


def test_every_record_of_the_topic_reaches_the_store(store: EmbeddedStore) -> None:
    kept, withdrawn, retracted = mention("1"), mention("2"), mention("3")
    stage = IndexStage(store, FakeClock())
    records = [kept, withdrawn, retracted, withdrawal(withdrawn), retraction(retracted)]
    handled = stage.handle([log_record(record, offset) for offset, record in enumerate(records)])
    assert [one.outcome for one in handled] == [Outcome.OK] * 5
    assert store.get(kept.mention_id) == kept
    assert store.count() == 1


def test_a_record_that_comes_again_is_ok_again(store: EmbeddedStore) -> None:
    """A crash between the store and the offset gives it twice; the books must read as if it came once."""
    stage = IndexStage(store, FakeClock())
    records = [log_record(mention("1")), log_record(withdrawal(mention("2"))), log_record(retraction(mention("3")))]
    assert stage.handle(records) == stage.handle(records)
    assert store.count() == 1


def test_a_mention_that_another_record_brought_is_a_duplicate(store: EmbeddedStore) -> None:
    """Enrich appends a mention again when it was killed before it could say that it had: the books tell them apart."""
    stage = IndexStage(store, FakeClock())
    first = mention("1")
    twice = replace(first, enriched_at=first.enriched_at + timedelta(seconds=3))
    both = [log_record(first, 0), log_record(twice, 1)]
    for _ in range(2):
        assert [one.outcome for one in stage.handle(both)] == [Outcome.OK, Outcome.DUPLICATE]
    assert store.count() == 1


def test_bad_records_are_parked_and_the_rest_goes_on(store: EmbeddedStore) -> None:
    stage = IndexStage(store, FakeClock())
    foreign = Event(kind="heartbeat", source="x", at=START)
    handled = stage.handle(
        [log_record(b"{"), log_record(mention("1")), log_record(foreign), log_record(mention("2", likes=1 << 63))]
    )
    assert [one.outcome for one in handled] == [Outcome.PARKED, Outcome.OK, Outcome.PARKED, Outcome.PARKED]
    reasons = [one.letter.reason for one in handled if one.letter is not None]
    assert reasons == [BadReason.NOT_JSON, BadReason.BAD_SCHEMA, BadReason.STORE_REFUSED]
    assert all(one.letter.stage == "index" for one in handled if one.letter is not None)
    assert store.count() == 1


def test_nothing_but_bad_records_is_no_write(store: EmbeddedStore) -> None:
    (only,) = IndexStage(store, FakeClock()).handle([log_record(b"[]")])
    assert only.outcome is Outcome.PARKED
