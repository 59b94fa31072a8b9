"""Records handed on within the process: the same as from the disk, as far as memory goes and not beyond."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.clock import START, FakeClock

from domain.records import Withdrawal
from stream import tail
from stream.embedded import EmbeddedLog
from stream.protocol import LogRecord, OutRecord, Settlement


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog.open(path, clock=FakeClock())
    yield opened
    opened.close()


def withdrawal(number: int) -> Withdrawal:
    return Withdrawal(mention_id=f"m{number}", post_id=f"x:{number}", brand_id="acme", version=number)


def outputs(first: int, last: int) -> list[OutRecord]:
    return [OutRecord.of(withdrawal(number), "mentions", f"x:{number}", "run") for number in range(first, last)]


def read(log: EmbeddedLog, group: str, at_once: int = 100) -> list[LogRecord]:
    consumer = log.consumer(group, ["mentions"])
    found: list[LogRecord] = []
    while some := consumer.poll(at_once, 0.0):
        found += some
    consumer.close()
    return found


def versions(records: Sequence[LogRecord]) -> list[int]:
    contents = [record.read() for record in records]
    return [content.version for content in contents if isinstance(content, Withdrawal)]


def test_what_was_appended_a_moment_ago_is_handed_on_as_it_is(log: EmbeddedLog) -> None:
    content = withdrawal(1)
    log.settle(Settlement(outputs=[OutRecord.of(content, "mentions", "x:1", "run")]))
    (record,) = read(log, "g")
    assert record.read() is record.content is content


def test_from_memory_and_from_the_disk_come_the_same_records(log: EmbeddedLog, path: Path) -> None:
    for first in range(0, 50, 10):
        log.settle(Settlement(outputs=[*outputs(first, first + 10), OutRecord("posts", "k", b"raw")]))
    handed_on = read(log, "g", at_once=7)
    log.close()
    again = EmbeddedLog.open(path)
    try:
        from_disk = read(again, "h", at_once=7)
    finally:
        again.close()
    assert from_disk == handed_on
    assert [record.content for record in from_disk] == [None] * 50
    assert versions(from_disk) == versions(handed_on) == list(range(50))


@pytest.mark.parametrize("bound", ["MAX_RECORDS", "MAX_BYTES"])
def test_what_no_longer_fits_in_memory_is_read_from_the_disk(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(tail, bound, 20 if bound == "MAX_RECORDS" else sum(len(out.value) for out in outputs(30, 50)))
    for first in range(0, 50, 10):
        log.settle(Settlement(outputs=outputs(first, first + 10)))
    records = read(log, "g", at_once=7)
    assert versions(records) == list(range(50))
    kept = [record.content is not None for record in records]
    # The last poll from the disk may reach into what memory holds too.
    assert not any(kept[:30])
    assert 20 - 7 < sum(kept) <= 20


def test_a_record_larger_than_the_memory_is_read_from_the_disk(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "MAX_BYTES", 10)
    log.settle(Settlement(outputs=outputs(0, 1)))
    (record,) = read(log, "g")
    assert record.content is None
    assert record.read() == withdrawal(0)


def test_what_was_not_settled_is_not_handed_on(log: EmbeddedLog) -> None:
    consumer = log.consumer("g", ["mentions"])
    with pytest.raises(ValueError, match="its end is"):
        log.settle(Settlement(group="g", outputs=outputs(0, 5), offsets={("mentions", 0): 99}))
    assert consumer.poll(100, 0.0) == []
    log.settle(Settlement(outputs=outputs(5, 6)))
    assert versions(consumer.poll(100, 0.0)) == [5]


def test_what_is_pruned_leaves_the_memory_too(log: EmbeddedLog) -> None:
    log.settle(Settlement(outputs=outputs(0, 5)))
    consumer = log.consumer("g", ["mentions"])
    consumer.poll(3, 0.0)
    log.settle(Settlement(group="g", offsets={("mentions", 0): 3}))
    assert log.prune(timedelta(days=1), START + timedelta(days=30)) == 3
    assert log._tail.records("mentions", 0, 10, 1_000) == []
    assert versions(log._tail.records("mentions", 3, 10, 1_000_000)) == [3, 4]
