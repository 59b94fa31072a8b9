"""Listening: a source is never given up, its trouble is its own, and what was settled is never read again."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.clock import FakeClock

from domain.brand import Brand
from domain.errors import BackendDown, BadReason, BadRecord, ConfigError, RetryLater
from domain.listening import SourceReport, SourceState, report_of
from domain.records import Event, MatchedPost, Outcome, Topic
from ingest.heartbeat import beat
from ingest.live import FLOOD_SECONDS, PLACE_SECONDS, REFUSED_SECONDS, listen
from ingest.matching import BrandMatcher
from ingest.normalise import NormaliserSettings
from ingest.runner import RunnerSettings, books_of, saved_cursor
from ingest.source import Gap, Item, RawPost, Vitals
from ingest.stage import IngestStage
from ingest.status import Rhythm, SourceWatch
from search.listening import gap_of
from stream.embedded import EmbeddedLog
from stream.park_cap import ParkCap
from stream.protocol import LIVE_RUN, Settlement

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACME = Brand(brand_id="acme", name="Acme", query="acme", query_revision=1)
Step = Sequence[Item] | Exception


def post(number: int) -> Item:
    raw = RawPost(fields={"id": str(number), "text": f"acme {number}"})
    return Item(position=f"s:{number}", cursor=str(number), raw=b"{}", content=raw)


def bad(number: int) -> Item:
    error = BadRecord(BadReason.NOT_JSON, "no JSON")
    return Item(position=f"s:{number}", cursor=str(number), raw=b"{%d" % number, content=error)


class Script:
    """A source that does what a script says, one step a read; then it calls `end`."""

    name = "s"
    key = "s"
    normalise = NormaliserSettings()

    def __init__(self, steps: Sequence[Step], end: Callable[[], None]) -> None:
        self.steps, self.end = list(steps), end
        self.opened: list[str | None] = []

    def can_resume(self, cursor: str) -> bool:
        return True

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        raise NotImplementedError

    def open(self, cursor: str | None) -> Script:
        self.opened.append(cursor)
        return self

    def read(self, max_items: int) -> Sequence[Item]:
        if not self.steps:
            self.end()
            return ()
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    def extent(self) -> None:
        return None

    def vitals(self) -> Vitals:
        return Vitals(connected=True)

    def close(self) -> None:
        """Nothing is held."""


class World:
    """One script being listened to, over a real log and a clock of our own."""

    def __init__(self, folder: Path) -> None:
        self.clock = FakeClock(START)
        self.log = EmbeddedLog.open(folder / "log.sqlite", clock=self.clock)
        self.watch = SourceWatch("s", self.clock)

    def listen(
        self,
        *steps: Step,
        hold: Callable[[], str] | None = None,
        cap: ParkCap | None = None,
        script: type[Script] | None = None,
    ) -> Script:
        stop = threading.Event()
        opened = (script or Script)(steps, stop.set)
        listen(
            opened,
            IngestStage(self.log, BrandMatcher((ACME,)), self.clock),
            self.log,
            self.clock,
            stop=stop,
            watch=self.watch,
            settings=RunnerSettings(park_cap=cap or ParkCap()),
            hold=hold or (lambda: ""),
        )
        return opened

    def told(self, topic: Topic) -> list[object]:
        with closing(self.log.consumer(f"look-{id(object())}", [topic.value])) as consumer:
            return [record.read() for record in consumer.poll(1_000, 0.0)]

    def posts(self) -> list[str]:
        return [one.post.native_id for one in self.told(Topic.POSTS) if isinstance(one, MatchedPost)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_source_is_asked_again_for_ever_and_each_time_after_the_wait_that_it_asks(world: World) -> None:
    script = world.listen(*[RetryLater("away", 3600.0)] * 30, [post(1)])
    assert script.opened == [None]
    assert world.posts() == ["1"]
    assert world.clock.now() - START >= timedelta(hours=30)


def test_a_refusal_is_tried_again_when_somebody_may_have_mended_it(world: World) -> None:
    world.listen(ConfigError("source.s.key: refused; see docs/sources/s.md"), [post(1)])
    assert world.posts() == ["1"]
    assert world.clock.now() - START >= timedelta(seconds=REFUSED_SECONDS)


@pytest.mark.parametrize("fault", [ZeroDivisionError("canary"), RecursionError(), UnicodeError("x")])
def test_a_fault_that_nobody_thought_of_opens_it_again_at_its_cursor(
    fault: Exception, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    script = world.listen([post(1), post(2)], fault, [post(3)])
    assert script.opened == [None, "2"]
    assert world.posts() == ["1", "2", "3"]
    assert "canary" not in "".join(record.getMessage() for record in caplog.records)


def test_after_such_a_fault_the_connection_is_closed_before_the_wait_and_no_type_is_named(world: World) -> None:
    closed: list[datetime] = []
    reasons: list[str] = []

    class Noting(Script):
        def open(self, cursor: str | None) -> Script:
            reasons.append(world.watch.look().reason)
            return super().open(cursor)

        def close(self) -> None:
            closed.append(world.clock.now())

    world.listen([post(1)], ZeroDivisionError(), [post(2)], script=Noting)
    assert closed[0] == START
    assert "ZeroDivisionError" not in reasons[1]
    assert reasons[1].startswith("failed on something that it did not expect")


def test_only_the_log_ends_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BackendDown("the disk is broken")

    monkeypatch.setattr(world.log, "settle", broken)
    with pytest.raises(BackendDown, match="the disk is broken"):
        world.listen([post(1)])
    assert world.watch.look().state is SourceState.STOPPED


def test_a_flood_of_bad_ones_pauses_it_loudly_and_then_it_goes_on_behind_them(world: World) -> None:
    states: list[SourceState] = []
    real = world.watch.trouble

    def noted(state: SourceState, reason: str, vitals: Vitals | None = None) -> bool:
        states.append(state)
        return real(state, reason, vitals)

    world.watch.trouble = noted  # type: ignore[method-assign]
    world.listen([bad(number) for number in range(20)], [post(21)], cap=ParkCap(consecutive=20))
    assert states == [SourceState.REFUSED]
    assert world.clock.now() - START >= timedelta(seconds=FLOOD_SECONDS)
    assert world.posts() == ["21"]
    assert len(world.log.dead_letters()) == 20


def test_what_cannot_be_read_and_comes_again_is_one_letter(world: World) -> None:
    world.listen([bad(1), post(2), bad(1)])
    world.listen([bad(1), bad(3)])
    assert [row.letter.payload for row in world.log.dead_letters()] == [b"{1", b"{3"]
    books = books_of(world.log, LIVE_RUN)
    assert books.outcomes == {Outcome.OK: 1, Outcome.PARKED: 2, Outcome.DUPLICATE: 2}


def test_nothing_is_read_while_there_is_no_room(world: World) -> None:
    reasons = ["the disk is full"] * 50
    script = world.listen([post(1)], hold=lambda: reasons.pop() if reasons else "")
    assert script.opened == [None]
    assert world.posts() == ["1"]
    assert world.watch.look().errors == 0


def test_a_gap_is_told_where_it_was_and_stands_in_no_books(world: World) -> None:
    gap = Gap(start=START - timedelta(hours=2), end=START - timedelta(hours=1), reason="cut", recovered=3, method="api")
    told = Item(position="s:gap", cursor="1", raw=b"", content=gap)
    world.listen([post(1), told, post(2)])
    (event,) = world.told(Topic.EVENTS)
    assert isinstance(event, Event)
    found = gap_of(event)
    assert found is not None
    assert (found.source, found.start, found.end) == ("s", gap.start, gap.end)
    assert (found.reason, found.recovered, found.method) == ("cut", 3, "api")
    assert sum(count.number for count in world.log.counts()) == 2
    assert world.watch.look().items == 2
    assert world.watch.look().gaps == 1


def test_it_goes_on_at_what_was_settled_last(world: World) -> None:
    world.listen([post(1), post(2)])
    script = world.listen([post(3)])
    assert script.opened == ["2"]


class Quiet(Script):
    """A source whose place moves on with every read though nothing comes."""

    reads = 0

    def read(self, max_items: int) -> Sequence[Item]:
        self.reads += 1
        return super().read(max_items)

    def place(self) -> str | None:
        return f"place {self.reads}" if self.reads > 1 else None


def test_a_place_is_settled_though_nothing_comes_but_seldom(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[tuple[float, str | None]] = []
    real = world.log.settle

    def noted(settlement: Settlement) -> None:
        real(settlement)
        settled.append((world.clock.monotonic(), saved_cursor(world.log, "s")[0]))

    monkeypatch.setattr(world.log, "settle", noted)
    steps: list[Step] = [[post(1)], *[RetryLater("away", 1.0), ()] * 60, [post(2)]]
    script = world.listen(*steps, script=Quiet)
    places = [(at, cursor) for at, cursor in settled if cursor is not None and cursor.startswith("place")]
    # A minute goes by.
    assert 4 <= len(places) <= 6
    assert all(later - at >= PLACE_SECONDS for (at, _), (later, _) in itertools.pairwise(places))
    assert settled[0][1] == "1"
    assert settled[-1][1] == "2"
    assert world.posts() == ["1", "2"]
    assert script.opened == [None]
    assert sum(count.number for count in world.log.counts()) == 2


def test_it_goes_on_at_a_place_that_was_settled(world: World) -> None:
    world.listen([post(1)], *[RetryLater("away", 30.0), ()] * 2, script=Quiet)
    assert world.listen().opened == ["place 5"]


def test_a_place_that_fails_does_not_end_it(world: World) -> None:
    class Failing(Quiet):
        def place(self) -> str | None:
            raise ZeroDivisionError

    script = world.listen((), [post(1)], script=Failing)
    assert script.opened == [None, None]
    assert world.posts() == ["1"]


def test_heartbeats_say_how_it_fares(world: World) -> None:
    world.listen([post(1)])
    stop = threading.Event()
    stop.set()
    beat(world.log, lambda: [world.watch.look()], stop)
    events = [event for event in world.told(Topic.EVENTS) if isinstance(event, Event)]
    reports = [report for event in events if (report := report_of(event)) is not None]
    assert {report.state for report in reports} == {"stopped"}
    assert reports[0].items == 1
    assert json.dumps(dict(events[0].detail))


def test_a_quiet_source_is_silent_only_beyond_its_own_rhythm() -> None:
    quick, slow = Rhythm(), Rhythm()
    for number in range(200):
        quick.came(float(number))
        slow.came(3600.0 * number)
    assert not quick.is_silent(199.0 + 59.0)
    assert quick.is_silent(199.0 + 61.0)
    assert not slow.is_silent(3600.0 * 199 + 4 * 3600.0)
    assert slow.is_silent(3600.0 * 199 + 6 * 3600.0)


def test_of_a_source_that_is_hardly_known_no_silence_is_unusual() -> None:
    rhythm = Rhythm()
    for number in range(Rhythm.ENOUGH):
        rhythm.came(float(number))
    assert not rhythm.is_silent(1e9)


def test_the_reason_of_a_trouble_is_one_line_and_short() -> None:
    clock = FakeClock(START)
    watch = SourceWatch("s", clock)
    assert watch.trouble(SourceState.WAITING, "a\nb\t" + "c" * 1000)
    status = watch.look()
    assert isinstance(status, SourceReport)
    assert status.reason.startswith("a b c")
    assert len(status.reason) == 300
    assert not watch.trouble(SourceState.WAITING, "a\nb\t" + "c" * 1000)
