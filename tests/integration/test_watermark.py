"""The lowest watermark over a real log: what waits holds it back, what is handled lets it go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.clock import START, FakeClock

from domain.clock import to_ms
from domain.records import Event
from search.embedded import EmbeddedStore
from service.watermark import SLACK, Watermark
from stream.embedded import EmbeddedLog
from stream.protocol import OutRecord, Settlement

MINUTE = timedelta(minutes=1)


class World:
    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(START)
        self.log = EmbeddedLog.open(folder / "log.sqlite", clock=self.clock)
        self.store = EmbeddedStore.open(folder / "store", clock=self.clock)
        self.watermark = Watermark(self.log, self.store, self.clock)
        self.appended = 0

    def append(self, number: int) -> None:
        """Put records where `enrich` reads."""
        names = range(self.appended, self.appended + number)
        self.appended += number
        self.log.settle(Settlement(outputs=[OutRecord("posts", f"x:{n}", b"{}") for n in names]))

    def handle(self, upto: int) -> None:
        """Have `enrich` settle the first `upto` records."""
        self.log.settle(Settlement(group="enrich", offsets={("posts", 0): upto}))

    def look_at(self, minutes: float) -> float:
        """Give the minute that is reached, when it is looked at in a minute; both since the beginning."""
        self.clock.set(START + minutes * MINUTE)
        return (self.watermark.look() + SLACK - START) / MINUTE

    def beat(self, source: str, behind: timedelta) -> None:
        now = self.clock.now()
        detail = {"state": "listening", "item_at_ms": to_ms(now), "event_at_ms": to_ms(now - behind)}
        self.store.note([Event(kind="heartbeat", source=source, at=now, detail=detail)])

    def close(self) -> None:
        self.store.close()
        self.log.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with closing(World(tmp_path)) as made:
        made.handle(0)
        yield made


def test_where_nothing_waits_it_is_now(world: World) -> None:
    assert world.look_at(0) == 0
    assert world.look_at(7) == 7


def test_what_waits_holds_it_where_all_was_handled(world: World) -> None:
    assert world.look_at(1) == 1
    world.append(10)
    assert world.look_at(2) == 1
    assert world.look_at(60) == 1
    world.handle(10)
    assert world.look_at(61) == 61


def test_a_stage_that_lags_steadily_is_as_far_behind_as_its_oldest_record(world: World) -> None:
    world.look_at(0)
    for minute in range(1, 6):
        world.append(10)
        world.look_at(minute)
    # What was there in the third minute is handled.
    world.handle(30)
    assert world.look_at(6) == 3


def test_it_never_goes_back(world: World) -> None:
    assert world.look_at(10) == 10
    world.append(5)
    assert world.look_at(9) == 10


def test_who_begins_while_something_waits_knows_nothing_newer_until_that_is_handled(world: World) -> None:
    world.append(5)
    a_day_ago = 3 - 24 * 60
    assert world.look_at(3) == a_day_ago
    world.append(5)
    assert world.look_at(4) == a_day_ago
    world.handle(5)
    assert world.look_at(5) == 3


def test_a_stream_that_catches_up_holds_it_back_and_a_feed_that_is_always_late_does_not(world: World) -> None:
    world.clock.set(START + 30 * MINUTE)
    world.beat("rss", timedelta(hours=3))
    assert world.look_at(30) == 30
    world.clock.set(START + 60 * MINUTE)
    world.beat("bluesky", timedelta(minutes=20))
    assert (world.watermark.look() - START) / MINUTE == 40
