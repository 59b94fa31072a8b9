"""Between those who bring and the one who settles: each gets its own outcomes, nobody an answer too early."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.clock import FakeClock

from domain.errors import BadReason, BadRecord
from domain.records import Outcome
from ingest.intake import Intake, Settled
from ingest.rate import TokenBucket
from ingest.source import Item, RawPost


def items(*names: str) -> list[Item]:
    return [Item(position=name, cursor="0", raw=b"", content=RawPost(fields={})) for name in names]


def names(found: Sequence[Item]) -> list[str]:
    return [item.position for item in found]


def test_a_delivery_is_durable_when_all_of_it_is_settled() -> None:
    intake = Intake(10)
    first, second = intake.offer(items("a", "b", "c")), intake.offer(items("d"))
    assert first is not None
    assert second is not None
    assert names(intake.take(2, 0.0)) == ["a", "b"]
    intake.settled([Outcome.OK, Outcome.PARKED], [bad := BadRecord(BadReason.MISSING_TEXT, "")])
    assert not first.durable
    assert names(intake.take(2, 0.0)) == ["c", "d"]
    intake.settled([Outcome.DUPLICATE, Outcome.FILTERED], [])
    assert intake.wait(first, 0.0)
    assert intake.wait(second, 0.0)
    assert first.results == [Settled(Outcome.OK), Settled(Outcome.PARKED, bad), Settled(Outcome.DUPLICATE)]
    assert second.results == [Settled(Outcome.FILTERED)]


def test_what_nobody_waits_for_any_more_is_not_given() -> None:
    intake = Intake(3)
    delivery = intake.offer(items("a", "b", "c"))
    assert delivery is not None
    assert names(intake.take(1, 0.0)) == ["a"]
    assert not intake.wait(delivery, 0.0)
    assert intake.take(9, 0.0) == []
    # Its room is free again.
    assert intake.offer(items("d", "e", "f")) is not None
    assert intake.offer(items("g")) is None


def test_what_is_read_on_without_being_settled_is_not_durable() -> None:
    intake = Intake(10)
    delivery = intake.offer(items("a"))
    assert delivery is not None
    intake.take(1, 0.0)
    assert not delivery.over
    intake.take(1, 0.0)
    # Whoever waits is told at once.
    assert delivery.over
    assert not intake.wait(delivery, 60.0)


def test_closing_ends_every_wait() -> None:
    intake = Intake(10)
    waiting, given = intake.offer(items("a")), intake.offer(items("b"))
    assert waiting is not None
    assert given is not None
    intake.take(1, 0.0)
    intake.close()
    assert waiting.over
    assert given.over
    assert not intake.wait(waiting, 60.0)
    assert not intake.wait(given, 60.0)
    assert intake.offer(items("c")) is None
    assert intake.take(1, 60.0) == []


def test_among_many_threads_each_gets_the_outcomes_of_its_own() -> None:
    intake, ended, chance = Intake(1_000), threading.Event(), random.Random(7)
    kinds = (Outcome.OK, Outcome.DUPLICATE, Outcome.FILTERED)

    def outcome(name: str) -> Outcome:
        return kinds[sum(name.encode()) % 3]

    def settle() -> None:
        while not ended.is_set():
            if found := intake.take(chance.randint(1, 9), 0.01):
                intake.settled([outcome(item.position) for item in found], [])

    def bring(number: int) -> bool:
        own = [f"{number}-{n}" for n in range(number % 13 + 1)]
        delivery = intake.offer(items(*own))
        assert delivery is not None
        assert intake.wait(delivery, 60.0)
        return [result.outcome for result in delivery.results] == [outcome(name) for name in own]

    settling = threading.Thread(target=settle)
    settling.start()
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(bring, range(300)))
    ended.set()
    settling.join()


def test_a_bucket_fills_up_again_and_no_further() -> None:
    clock = FakeClock()
    bucket = TokenBucket(0.5, 2.0, clock)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, pytest.approx(2.0)]
    clock.advance(1.0)
    assert bucket.take() == pytest.approx(1.0)
    clock.advance(1_000.0)
    assert [bucket.take() for _ in range(3)] == [0.0, 0.0, pytest.approx(2.0)]
