"""Looking up again what posts have earned: what is asked when, what trouble does, what a downtime leaves to do."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from fakes.clock import START, FakeClock
from fakes.mentions import mention

from domain import ids
from domain.engagement import Engagement
from domain.errors import BackendDown, ConfigError, RetryLater
from domain.metrics import LOOKED_UP
from domain.records import Mention
from search.embedded import EmbeddedStore
from service.engagement import LATE, MAX_PAGE, REFUSED_SECONDS, EngagementRefresher
from service.prometheus import Meter

HOUR = timedelta(hours=1)
AGES = (HOUR, 24 * HOUR)
STOP = threading.Event()


class Source:
    """A source and its lookup: every post that is not in `gone` has as many likes as questions were asked."""

    name = "hackernews"
    most = 10

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.asked: list[Sequence[str]] = []
        self.gone: set[str] = set()
        self.due: list[Exception] = []
        self.closed = 0

    def lookup(self) -> Source:
        return self

    def engagement(self, native_ids: Sequence[str]) -> Mapping[str, Engagement]:
        self.asked.append(tuple(native_ids))
        if self.due:
            raise self.due.pop(0)
        numbers = Engagement(at=self._clock.now(), likes=len(self.asked))
        return {name: numbers for name in native_ids if name not in self.gone}

    def close(self) -> None:
        self.closed += 1

    def all_asked(self) -> list[str]:
        """Give every id that was asked for since the last time."""
        found = [name for names in self.asked for name in names]
        self.asked = []
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def source(clock: FakeClock) -> Source:
    return Source(clock)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    with closing(EmbeddedStore.open(tmp_path / "store")) as opened:
        yield opened


def collected(
    name: str, at: datetime = START, brand: str = "acme", source: str = "hackernews", **more: object
) -> Mention:
    post_id = ids.post_id(source, name)
    one = mention(name, brand, source=source, collected_at=at, enriched_at=at, published_at=at - HOUR / 60)
    return replace(one, post_id=post_id, mention_id=ids.mention_id(post_id, brand), **more)  # type: ignore[arg-type]


def keep(store: EmbeddedStore, *mentions: Mention) -> None:
    store.write(mentions)
    store.refresh()


def likes(store: EmbeddedStore, one: Mention) -> int | None:
    found = store.get(one.mention_id)
    assert found is not None
    return found.likes


def test_a_post_is_looked_up_after_an_hour_and_after_a_day_and_not_else(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    one, other = collected("1", likes=0, engagement_at=START), collected("1", brand="globex")
    keep(store, one, other)
    refresher = EngagementRefresher([source], store, clock, AGES)
    asked = []
    for minute in range(26 * 60):
        clock.advance(60)
        refresher.look(STOP)
        store.refresh()
        asked += [minute] * len(source.all_asked())
    assert len(asked) == 2
    assert 59 <= asked[0] <= 61
    assert 24 * 60 - 1 <= asked[1] <= 24 * 60 + 1
    assert likes(store, one) == likes(store, other) == 1
    found = store.get(one.mention_id)
    assert found is not None
    assert found.engagement_at is not None
    assert found.engagement_at - START >= 24 * HOUR


def test_nobody_is_asked_for_what_cannot_be_known_or_is_of_the_past(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    backfilled = collected("1", backfilled=True)
    elsewhere, hashed = collected("2", source="rss"), collected("n" * 401)
    keep(store, backfilled, elsewhere, hashed, collected("3"))
    clock.advance(2 * 3600)
    EngagementRefresher([source], store, clock, AGES).look(STOP)
    assert source.all_asked() == ["3"]


def test_questions_hold_as_many_posts_as_the_source_takes_and_are_paced(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    keep(store, *(collected(str(number)) for number in range(25)))
    clock.advance(2 * 3600)
    EngagementRefresher([source], store, clock, AGES).look(STOP)
    assert sorted(map(len, source.asked)) == [5, 10, 10]
    assert sum(clock.slept) > 0.5


def test_more_than_a_page_of_posts_is_looked_up_whole(store: EmbeddedStore, source: Source, clock: FakeClock) -> None:
    many = [collected(str(number)) for number in range(MAX_PAGE + 120)]
    keep(store, *many)
    clock.advance(2 * 3600)
    EngagementRefresher([source], store, clock, [HOUR]).look(STOP)
    asked = source.all_asked()
    assert len(asked) == len(set(asked)) == len(many)


def test_after_a_downtime_what_came_of_age_meanwhile_is_looked_up_and_what_has_its_numbers_is_not(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    done = collected("done", likes=1, engagement_at=START + HOUR)
    late, too_late = collected("late", START + HOUR / 2), collected("too late", START - 2 * HOUR)
    young = collected("young", START + timedelta(hours=5.5))
    keep(store, done, late, too_late, young)
    clock.set(START + 6 * HOUR)
    assert LATE == 6 * HOUR
    EngagementRefresher([source], store, clock, AGES).look(STOP)
    assert source.all_asked() == ["late"]


def test_what_a_stage_stored_only_after_it_had_come_of_age_is_found_where_it_has_no_number(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    refresher = EngagementRefresher([source], store, clock, [HOUR])
    clock.advance(3 * 3600)
    refresher.look(STOP)
    late, known = collected("late", START + HOUR), collected("known", START + HOUR, likes=1, engagement_at=START + HOUR)
    keep(store, late, known, collected("unknown", START + HOUR), collected("young", START + 2.9 * HOUR))
    source.gone = {"unknown"}
    for _ in range(40):
        clock.advance(60)
        refresher.look(STOP)
        store.refresh()
    assert sorted(source.all_asked()) == ["late", "unknown"]
    assert likes(store, late) == 1


def test_an_edit_is_looked_up_an_hour_after_it(store: EmbeddedStore, source: Source, clock: FakeClock) -> None:
    one = collected("1")
    keep(store, one)
    refresher = EngagementRefresher([source], store, clock, [HOUR])
    clock.set(START + HOUR + HOUR / 60)
    refresher.look(STOP)
    assert source.all_asked() == ["1"]
    keep(store, replace(one, version=one.version + 1, collected_at=clock.now(), text="edited"))
    clock.advance(3600 + 60)
    refresher.look(STOP)
    assert source.all_asked() == ["1"]
    assert likes(store, one) == 1


def test_what_is_gone_is_not_asked_for_again_and_stays_as_it_was(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    gone = collected("gone", likes=7, engagement_at=START)
    keep(store, gone, collected("there"))
    source.gone = {"gone"}
    meter = Meter()
    refresher = EngagementRefresher([source], store, clock, [HOUR], meter)
    for _ in range(3):
        clock.advance(3600)
        refresher.look(STOP)
    assert sorted(source.all_asked()) == ["gone", "there"]
    assert store.get(gone.mention_id) == gone
    assert counted(meter) == {"numbers": 1.0, "nothing": 1.0, "failed": 0.0}


def counted(meter: Meter) -> dict[str, float]:
    lines = [line for line in meter.text().decode().splitlines() if line.startswith(LOOKED_UP.name + "{")]
    return {line.partition('answer="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


@pytest.mark.parametrize(
    ("trouble", "wait"),
    [
        (RetryLater("in peace", 5.0), 60.0),
        (RetryLater("in peace", 500.0), 500.0),
        (ConfigError("refused"), REFUSED_SECONDS),
        (BackendDown("away"), 60.0),
        (ValueError("what nobody thought of"), REFUSED_SECONDS),
    ],
    ids=lambda one: type(one).__name__,
)
def test_trouble_is_waited_out_and_nothing_is_lost_or_done_twice(
    store: EmbeddedStore, source: Source, clock: FakeClock, trouble: Exception, wait: float
) -> None:
    keep(store, *(collected(str(number)) for number in range(15)))
    clock.advance(2 * 3600)
    meter = Meter()
    refresher = EngagementRefresher([source], store, clock, AGES, meter)
    source.due = [trouble]
    refresher.look(STOP)
    assert len(source.all_asked()) == 10
    clock.advance(wait - 10)
    refresher.look(STOP)
    assert source.all_asked() == []
    clock.advance(20)
    refresher.look(STOP)
    store.refresh()
    assert len(source.all_asked()) == 15
    clock.advance(60)
    refresher.look(STOP)
    assert source.all_asked() == []
    assert counted(meter)["numbers"] == 15.0


def test_a_source_in_trouble_does_not_keep_another_from_being_asked(store: EmbeddedStore, clock: FakeClock) -> None:
    first, second = Source(clock), Source(clock)
    second.name = "bluesky"
    keep(store, collected("1"), collected("2", source="bluesky"))
    clock.advance(2 * 3600)
    first.due = [ConfigError("refused")]
    EngagementRefresher([first, second], store, clock, AGES).look(STOP)
    assert (first.all_asked(), second.all_asked()) == (["1"], ["2"])


def test_it_ends_when_told_to_and_lets_go_of_connections(
    store: EmbeddedStore, source: Source, clock: FakeClock
) -> None:
    keep(store, *(collected(str(number)) for number in range(100)))
    clock.advance(2 * 3600)
    stop = threading.Event()

    class Stopping(Source):
        def engagement(self, native_ids: Sequence[str]) -> Mapping[str, Engagement]:
            stop.set()
            return super().engagement(native_ids)

    stopping = Stopping(clock)
    EngagementRefresher([stopping], store, clock, AGES).run(stop)
    assert len(stopping.asked) == 1
    assert stopping.closed == 1


def test_who_may_not_be_asked_is_left_alone(store: EmbeddedStore, clock: FakeClock) -> None:
    class Silent(Source):
        def lookup(self) -> None:  # type: ignore[override]
            return None

    EngagementRefresher([Silent(clock)], store, clock, AGES).run(threading.Event())
