"""Ready means: every part was there when it was last looked at, and that was lately."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from fakes.clock import FakeClock

from domain.errors import BackendDown
from service.prometheus import Meter
from service.readiness import STALE_SECONDS, Readiness


class Part:
    """Something that can be away, or not answer at all."""

    def __init__(self) -> None:
        self.away = False
        self.asked = threading.Event()
        self.answers = threading.Event()
        self.answers.set()

    def check(self) -> None:
        self.asked.set()
        self.answers.wait()
        if self.away:
            raise BackendDown("the broker at kafka:9092 does not answer")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def readiness(clock: FakeClock) -> Iterator[Readiness]:
    readiness = Readiness("enrich", Meter(), clock)
    yield readiness
    readiness.close()


def test_it_is_not_ready_before_everything_was_opened_and_found(readiness: Readiness) -> None:
    assert not readiness.ready
    part = Part()
    part.answers.clear()
    readiness.need({"log": part.check})
    readiness.started()
    assert part.asked.wait(60)
    assert not readiness.ready
    part.answers.set()
    readiness.look("log")
    assert readiness.ready


def test_a_part_that_goes_away_and_comes_back_changes_it(readiness: Readiness) -> None:
    log, store = Part(), Part()
    readiness.need({"log": log.check, "store": store.check})
    readiness.started()
    readiness.look("log")
    readiness.look("store")
    store.away = True
    readiness.look("store")
    assert readiness.parts() == {"log": True, "store": False}
    assert not readiness.ready
    store.away = False
    readiness.look("store")
    assert readiness.ready


def test_a_part_that_does_not_answer_is_as_good_as_away(readiness: Readiness, clock: FakeClock) -> None:
    part = Part()
    readiness.need({"log": part.check})
    readiness.started()
    readiness.look("log")
    assert readiness.ready
    part.answers.clear()
    clock.advance(STALE_SECONDS)
    assert not readiness.ready
    part.answers.set()


def test_a_check_that_fails_on_something_else_does_not_pass_for_well(readiness: Readiness) -> None:
    def broken() -> None:
        raise ZeroDivisionError

    readiness.need({"log": broken})
    readiness.started()
    readiness.look("log")
    assert not readiness.ready


def test_a_process_that_stops_is_not_ready(readiness: Readiness) -> None:
    readiness.started()
    assert readiness.ready
    readiness.close()
    assert not readiness.ready
