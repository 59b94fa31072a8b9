"""The worker loop on a real embedded log, with a stage that does what each record says."""

from __future__ import annotations

import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import pytest
from fakes.clock import FakeClock
from fakes.stages import OverlappingScriptedStage, ScriptedStage
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import BackendDown, ConfigError, RetryLater
from domain.records import Outcome
from stream.embedded import EmbeddedLog
from stream.observer import SettledBatch
from stream.park_cap import ParkCap
from stream.protocol import Count, LogRecord, OutRecord, Settlement
from stream.stage import Finish, Handled
from stream.worker import Worker, WorkerSettings

Scripted: TypeAlias = type[ScriptedStage]


@pytest.fixture(params=[ScriptedStage, OverlappingScriptedStage], ids=["in turn", "overlapping"])
def scripted(request: pytest.FixtureRequest) -> Scripted:
    """The worker keeps its promises for a stage that it begins ahead as well."""
    return request.param


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(tmp_path: Path, clock: FakeClock) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog.open(tmp_path / "log.sqlite", clock=clock)
    yield opened
    opened.close()


def append(log: EmbeddedLog, *words: str, run: str = "live") -> None:
    log.settle(Settlement(outputs=[OutRecord("posts", f"x:{n}", w.encode(), run) for n, w in enumerate(words)]))


def outputs(log: EmbeddedLog) -> list[str]:
    consumer = log.consumer("test", ["mentions"])
    records = consumer.poll(100_000, 0.0)
    consumer.close()
    return [record.value.decode() for record in records]


def books(log: EmbeddedLog) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for count in log.counts():
        totals[count.outcome.value] += count.number
    return dict(totals)


def worker(log: EmbeddedLog, stage: ScriptedStage, clock: FakeClock, **options: object) -> Worker:
    return Worker(
        log,
        stage,
        clock=clock,
        settings=WorkerSettings(**options),
        jitter=random.Random(7),  # type: ignore[arg-type]
    )


def test_each_record_leaves_with_its_outcome_and_its_outputs(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "ok 1", "duplicate", "filtered", "parked", "ok 2")
    assert worker(log, scripted(), clock).drain() == 5
    assert outputs(log) == ["ok 1", "ok 2"]
    assert books(log) == {"ok": 2, "duplicate": 1, "filtered": 1, "parked": 1}
    assert log.lag("enrich", ["posts"]) == 0


def test_the_books_of_a_replay_are_its_own(log: EmbeddedLog, clock: FakeClock, scripted: Scripted) -> None:
    append(log, "ok", "parked")
    append(log, "ok", "ok", "parked", run="replay-1")
    worker(log, scripted(), clock).drain()
    assert set(log.counts()) == {
        Count("enrich", "live", Outcome.OK, 1),
        Count("enrich", "live", Outcome.PARKED, 1, "missing_text"),
        Count("enrich", "replay-1", Outcome.OK, 2),
        Count("enrich", "replay-1", Outcome.PARKED, 1, "missing_text"),
    }
    assert [row.letter.run for row in log.dead_letters()] == ["live", "replay-1"]


def test_one_poisoned_record_is_parked_with_its_bytes_and_the_rest_goes_on(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, *["ok"] * 100, "poison \x00", *["ok"] * 100, "bad", *["ok"] * 30)
    worker(log, scripted(), clock).drain()
    assert books(log) == {"ok": 230, "parked": 2}
    poison, bad = [row.letter for row in log.dead_letters()]
    assert (poison.payload, poison.reason, poison.position) == (b"poison \x00", "engine_failed", "posts/0@100")
    assert poison.detail == "ZeroDivisionError: a fault of the code"
    assert (bad.reason, bad.detail) == ("wrong_type", "a fault of the record")
    assert (bad.post_id, bad.source, bad.stage, bad.parked_at) == ("x:201", "x", "enrich", clock.now())


def test_records_before_a_retried_one_are_settled_and_those_after_it_come_again(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "ok 1", "retry 2", "ok 3")
    working = worker(log, scripted(retries=1), clock)
    assert working.step() == 1
    assert (log.lag("enrich", ["posts"]), outputs(log)) == (2, ["ok 1"])
    assert working.step() == 0
    clock.advance(working.waiting_seconds())
    assert working.step() == 2
    assert outputs(log) == ["ok 1", "retry 2", "ok 3"]


@pytest.mark.parametrize("word", ["later", "down"])
def test_a_backend_that_comes_back_within_the_budget_costs_no_record(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted, word: str
) -> None:
    append(log, "ok 1", word, "ok 2", "poison")
    assert worker(log, scripted(retries=5), clock).drain() == 4
    assert books(log) == {"ok": 3, "parked": 1}
    assert clock.monotonic() < 600


def test_a_wait_is_never_shorter_than_the_backend_asks_for(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "later")
    working = worker(log, scripted(retries=1), clock)
    working.step()
    assert working.waiting_seconds() >= 2.0


def test_a_backend_that_stays_down_ends_the_worker_after_the_budget(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "ok", "down")
    with pytest.raises(BackendDown, match="stage enrich made no progress for 600 s: nobody there"):
        worker(log, scripted(retries=10**9), clock).drain()
    assert 599 <= clock.monotonic() <= 601
    assert log.lag("enrich", ["posts"]) == 2


def test_the_budget_begins_anew_when_records_went_through(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, *["retry"] * 5)
    stage = scripted(retries=3)
    assert (
        worker(log, stage, clock, retry_budget_seconds=20.0, most_wait_seconds=4.0, first_wait_seconds=4.0).drain() == 5
    )
    assert books(log) == {"ok": 5}


class _AwayLog:
    """A log whose next settlements fail as when a broker is away, or when the records went to another worker."""

    def __init__(self, log: EmbeddedLog, failures: int) -> None:
        self._log, self._failures = log, failures

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    def settle(self, settlement: Settlement) -> None:
        if self._failures > 0:
            self._failures -= 1
            raise RetryLater("the broker is away", 0.5)
        self._log.settle(settlement)


def test_a_log_that_asks_for_patience_when_it_settles_gets_the_same_records_again(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "ok 1", "ok 2", "parked")
    assert worker(_AwayLog(log, 4), scripted(), clock, batch_records=2).drain() == 3  # type: ignore[arg-type]
    assert outputs(log) == ["ok 1", "ok 2"]
    assert books(log) == {"ok": 2, "parked": 1}


def test_a_log_that_settles_nothing_ends_the_worker_after_the_budget(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "ok")
    with pytest.raises(BackendDown, match="stage enrich made no progress for 600 s: the broker is away"):
        worker(_AwayLog(log, 10**9), scripted(), clock).drain()  # type: ignore[arg-type]
    assert books(log) == {}


def test_a_partition_that_was_stuck_long_ago_does_not_use_up_the_budget_of_now(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "retry")
    stage = scripted(retries=2)
    working = worker(log, stage, clock)
    working.step()
    # Another worker has it meanwhile; then it comes back, and is stuck once more.
    clock.advance(100_000)
    working.step()
    assert 0 < working.waiting_seconds() <= 30
    clock.advance(working.waiting_seconds())
    assert working.step() == 1


def test_no_single_sleep_is_long_so_that_stopping_is_prompt(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "later")
    worker(log, scripted(retries=8), clock).drain()
    assert max(clock.slept) <= 0.1


def test_a_row_of_bad_records_stops_the_worker_and_leaves_the_rest(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, *["ok"] * 10, *["bad"] * 3_000)
    with pytest.raises(ConfigError, match=r"enrich could not process 1,000 records in a row \(lately wrong_type\)"):
        worker(log, scripted(), clock).drain()
    parked = books(log)["parked"]
    assert 1_000 <= parked < 1_000 + 256
    assert log.lag("enrich", ["posts"]) == 3_010 - 10 - parked


def test_too_great_a_share_of_bad_records_stops_the_worker(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, *["parked", "parked", "ok"] * 1_000)
    with pytest.raises(ConfigError, match=r"of the last 2,000 records"):
        worker(log, scripted(), clock).drain()
    assert sum(books(log).values()) < 3_000


def test_half_of_them_bad_is_not_too_many(log: EmbeddedLog, clock: FakeClock, scripted: Scripted) -> None:
    append(log, *["parked", "ok"] * 1_500)
    assert worker(log, scripted(), clock).drain() == 3_000


def test_the_cap_can_be_raised_for_a_replay(log: EmbeddedLog, clock: FakeClock, scripted: Scripted) -> None:
    append(log, *["parked"] * 3_000)
    cap = ParkCap(consecutive=2**63, share=1.0)
    assert worker(log, scripted(), clock, park_cap=cap).drain() == 3_000


class Listener:
    """Keeps what an observer is told."""

    def __init__(self) -> None:
        self.batches: list[SettledBatch] = []
        self.again: list[tuple[str, int, str]] = []
        self.rests = 0

    def settled(self, batch: SettledBatch) -> None:
        self.batches.append(batch)

    def retried(self, stage: str, records: int, trouble: str) -> None:
        self.again.append((stage, records, trouble))

    def at_rest(self, stage: str) -> None:
        self.rests += 1


def test_an_observer_is_told_of_each_settlement(log: EmbeddedLog, clock: FakeClock, scripted: Scripted) -> None:
    append(log, *["ok"] * 300)
    listener = Listener()
    stage = scripted(before=lambda records: clock.advance(1.5))
    Worker(log, stage, clock=clock, observer=listener).drain()
    assert [(batch.stage, len(batch.records)) for batch in listener.batches] == [("enrich", 256), ("enrich", 44)]
    # What is begun ahead waits for what is before it, and that belongs to its time.
    first, second = (batch.seconds for batch in listener.batches)
    assert first == 1.5
    assert second in (1.5, 3.0)
    assert [count.number for batch in listener.batches for count in batch.counts] == [256, 44]
    assert listener.again == []


def test_an_observer_is_told_what_comes_again_and_why(log: EmbeddedLog, clock: FakeClock, scripted: Scripted) -> None:
    append(log, "ok", "retry", "ok")
    append(log, "down")
    listener = Listener()
    Worker(log, scripted(retries=1), clock=clock, observer=listener).drain()
    assert listener.again == [("enrich", 4, "nobody there"), ("enrich", 3, "the stage asked to retry")]
    assert sum(len(batch.records) for batch in listener.batches) == 4


class _DeafLog:
    """A log whose next polls fail as when a broker is away."""

    def __init__(self, log: EmbeddedLog, failures: int) -> None:
        self._log, self._failures = log, failures

    def __getattr__(self, name: str) -> object:
        return getattr(self._consumer if name in ("rewind", "close", "joined") else self._log, name)

    def consumer(self, group: str, topics: Sequence[str]) -> _DeafLog:
        self._consumer = self._log.consumer(group, topics)
        return self

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[LogRecord]:
        if self._failures > 0:
            self._failures -= 1
            raise RetryLater("the broker is away", 0.5)
        return self._consumer.poll(max_records, timeout_seconds)


def test_an_observer_is_told_that_the_log_answers_again_though_it_has_nothing_to_do(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    listener = Listener()
    idle = Worker(_DeafLog(log, 2), scripted(), clock=clock, observer=listener)  # type: ignore[arg-type]
    told = []
    for _ in range(4):
        idle.step()
        told.append((len(listener.again), listener.rests))
        clock.advance(60)
    assert told == [(1, 0), (2, 0), (2, 1), (2, 1)]


def test_an_observer_is_told_that_another_worker_did_what_came_again(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "retry")
    listener = Listener()
    first = Worker(log, scripted(retries=10**9), clock=clock, observer=listener)
    for _ in range(2):
        first.step()
        clock.advance(60)
    assert (len(listener.again), listener.rests) == (2, 0)
    log.settle(Settlement(group="enrich", offsets={("posts", 0): 1}))
    first.step()
    clock.advance(60)
    first.step()
    assert (len(listener.again), listener.rests) == (2, 1)


def test_run_works_until_it_is_told_to_stop_and_leaves_the_group(
    log: EmbeddedLog, clock: FakeClock, scripted: Scripted
) -> None:
    append(log, "ok", "ok")
    stop = threading.Event()
    stage = scripted(before=lambda records: stop.set())
    worker(log, stage, clock).run(stop)
    assert books(log) == {"ok": 2}
    append(log, "ok")
    assert worker(log, scripted(), clock).drain() == 1


def test_a_stage_that_answers_too_little_is_a_mistake_in_the_code(log: EmbeddedLog, clock: FakeClock) -> None:
    class Short(ScriptedStage):
        def handle(self, records: Sequence[LogRecord]) -> Sequence[Handled]:
            return list(super().handle(records))[1:]

    append(log, "ok", "ok")
    with pytest.raises(ValueError, match="stage enrich gave 1 outcomes for 2 records"):
        worker(log, Short(), clock).drain()
    assert log.lag("enrich", ["posts"]) == 2


def test_an_output_of_another_run_is_a_mistake_in_the_code(log: EmbeddedLog, clock: FakeClock) -> None:
    class Forgetful(ScriptedStage):
        def handle(self, records: Sequence[LogRecord]) -> Sequence[Handled]:
            return [Handled(Outcome.OK, (OutRecord("mentions", r.key, r.value),)) for r in records]

    append(log, "ok", run="replay-1")
    with pytest.raises(ValueError, match="answered run 'replay-1' with records of"):
        worker(log, Forgetful(), clock).drain()


def test_a_letter_comes_with_parked_and_only_with_it() -> None:
    with pytest.raises(ValueError, match="only with it, found parked"):
        Handled(Outcome.PARKED)
    with pytest.raises(ValueError, match="has no outputs"):
        Handled(Outcome.RETRIED, (OutRecord("mentions", "k", b""),))


def test_settings_that_make_no_sense_are_refused() -> None:
    for options in ({"batch_records": 0}, {"retry_budget_seconds": -1.0}, {"first_wait_seconds": 0.0}):
        with pytest.raises(ValueError, match="expected"):
            WorkerSettings(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="share in"):
        ParkCap(share=1.5)


words = st.lists(
    st.sampled_from(["ok", "duplicate", "filtered", "parked", "poison", "bad", "retry", "later", "down"]), max_size=60
)


@pytest.mark.parametrize("scripted", [ScriptedStage, OverlappingScriptedStage])
@settings(max_examples=60)
@given(words=words, batch_records=st.integers(1, 20), retries=st.integers(0, 3), crash_after=st.integers(0, 12))
def test_what_comes_in_is_what_went_out_plus_what_is_in_flight(
    scripted: Scripted, words: list[str], batch_records: int, retries: int, crash_after: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        clock = FakeClock()
        path = Path(folder) / "log.sqlite"
        log = EmbeddedLog.open(path, clock=clock)
        append(log, *(f"{word} {n}" for n, word in enumerate(words)))
        working = worker(log, scripted(retries), clock, batch_records=batch_records)
        for _ in range(crash_after):
            working.step()
            assert sum(books(log).values()) + log.lag("enrich", ["posts"]) == len(words)
            clock.advance(1.0)
        # Let go of everything half-way, as a stop does, and finish in a new process's place.
        log.close()
        log = EmbeddedLog.open(path, clock=clock)
        worker(log, scripted(retries), clock, batch_records=batch_records).drain()
        expected = Counter(
            {
                "poison": "parked",
                "bad": "parked",
                "duplicate": "duplicate",
                "filtered": "filtered",
                "parked": "parked",
            }.get(word, "ok")
            for word in words
        )
        assert books(log) == dict(expected)
        assert len(log.dead_letters(limit=1_000)) == expected["parked"]
        passed = ("ok", "retry", "later", "down")
        assert outputs(log) == [f"{word} {n}" for n, word in enumerate(words) if word in passed]
        log.close()


def test_a_batch_that_cannot_be_begun_is_handled_and_its_bad_record_found(log: EmbeddedLog, clock: FakeClock) -> None:
    append(log, "ok 1", "ok 2", "stumble", "poison", "ok 3")
    assert worker(log, OverlappingScriptedStage(), clock, batch_records=2).drain() == 5
    assert outputs(log) == ["ok 1", "ok 2", "stumble", "ok 3"]
    assert books(log) == {"ok": 4, "parked": 1}


def test_the_next_batch_is_begun_before_this_one_is_settled(log: EmbeddedLog, clock: FakeClock) -> None:
    lags: list[int] = []

    class Watching(OverlappingScriptedStage):
        def begin(self, records: Sequence[LogRecord]) -> Finish:
            lags.append(log.lag("enrich", ["posts"]))
            return super().begin(records)

    append(log, *["ok"] * 6)
    assert worker(log, Watching(), clock, batch_records=2).drain() == 6
    assert lags == [6, 6, 4]


def test_a_batch_begun_ahead_is_given_up_when_the_one_before_it_must_be_tried_again(
    log: EmbeddedLog, clock: FakeClock
) -> None:
    append(log, "ok 1", "later 2", "ok 3", "ok 4")
    working = worker(log, OverlappingScriptedStage(retries=1), clock, batch_records=2)
    assert working.step() == 0
    assert working.drain() == 4
    assert outputs(log) == ["ok 1", "later 2", "ok 3", "ok 4"]
