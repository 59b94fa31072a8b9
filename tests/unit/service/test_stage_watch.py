"""What a process counts of its stages, and when a stage is in trouble."""

from __future__ import annotations

import pytest
from fakes.clock import FakeClock

from domain.errors import BackendDown
from domain.records import Outcome
from service.prometheus import Meter
from service.stage_watch import TROUBLE_SECONDS, StageWatch
from stream.observer import SettledBatch
from stream.protocol import Count


def batch(*counts: tuple[Outcome, int]) -> SettledBatch:
    return SettledBatch("enrich", [Count("enrich", "live", outcome, number) for outcome, number in counts], 0.5)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def meter() -> Meter:
    return Meter()


@pytest.fixture
def watch(meter: Meter, clock: FakeClock) -> StageWatch:
    return StageWatch(["enrich"], meter, clock)


def test_every_outcome_is_there_from_the_beginning(watch: StageWatch, meter: Meter) -> None:
    assert b'soundings_stream_settled_records_total{outcome="parked",stage="enrich"} 0.0' in meter.text()


def test_a_dead_letter_that_leaves_the_books_is_no_record_that_ended(watch: StageWatch, meter: Meter) -> None:
    watch.settled(batch((Outcome.OK, 3), (Outcome.PARKED, 2)))
    watch.settled(batch((Outcome.OK, 1), (Outcome.PARKED, -1)))
    assert b'soundings_stream_settled_records_total{outcome="ok",stage="enrich"} 4.0' in meter.text()
    assert b'soundings_stream_settled_records_total{outcome="parked",stage="enrich"} 2.0' in meter.text()


def test_a_minute_is_taken_once_and_what_is_given_back_comes_again(watch: StageWatch) -> None:
    watch.settled(batch((Outcome.OK, 3)))
    watch.retried("enrich", 5, "away")
    taken = watch.take_minute("enrich")
    assert taken == {"ok": 3, "retried": 5}
    assert watch.take_minute("enrich") == {}
    watch.settled(batch((Outcome.OK, 1)))
    watch.give_back("enrich", taken)
    assert watch.take_minute("enrich") == {"ok": 4, "retried": 5}


def test_a_stage_that_only_tries_again_is_in_trouble_until_it_gets_on(watch: StageWatch, clock: FakeClock) -> None:
    watch.retried("enrich", 5, "the store does not answer")
    watch.check()
    clock.advance(TROUBLE_SECONDS)
    watch.retried("enrich", 5, "still not")
    with pytest.raises(BackendDown, match="stage enrich gets nowhere: the store does not answer"):
        watch.check()
    watch.settled(batch((Outcome.OK, 5)))
    watch.check()


def test_a_stage_that_is_at_rest_is_in_no_trouble(watch: StageWatch, clock: FakeClock) -> None:
    watch.retried("enrich", 0, "the log does not answer")
    watch.at_rest("enrich")
    clock.advance(TROUBLE_SECONDS)
    watch.check()
