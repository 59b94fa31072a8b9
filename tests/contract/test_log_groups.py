"""What the log over Kafka promises beyond the embedded one: several members, several processes, either client.

The embedded log has one partition and one process: there one member reads and the others stand by (see test_log).
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from fakes.clock import START as PARKED_AT
from fakes.clock import FakeClock
from fakes.cutting_broker import Cut, CuttingBroker, When
from fakes.kafka_world import CLIENTS, KafkaWorld
from servers.kafka import SASL_PASSWORD, SASL_USER, KafkaServer
from servers.process import free_port

from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from domain.records import DeadLetter, Outcome
from stream.dead_letters import letter_of_record, make_dead_letter
from stream.kafka_broker import Broker, LostPartitions
from stream.kafka_log import KafkaLog
from stream.kafka_setup import prepare
from stream.kafka_sources import SourceClaim
from stream.protocol import Consumer, Count, LogRecord, OutRecord, Settlement, StateWrite


@pytest.fixture(params=CLIENTS)
def world(request: pytest.FixtureRequest, kafka_server: KafkaServer, prefix: str) -> KafkaWorld:
    """Topics of four partitions."""
    world = KafkaWorld(kafka_server.address, prefix, request.param, partitions=4)
    world.prepare()
    return world


@pytest.fixture
def logs(world: KafkaWorld) -> Iterator[Callable[[], KafkaLog]]:
    """Open the log as another process would, as often as wanted."""
    opened: list[KafkaLog] = []

    def open_log() -> KafkaLog:
        opened.append(world.open())
        return opened[-1]

    yield open_log
    for log in opened:
        log.close()


def append(log: KafkaLog, number: int, *, first: int = 0) -> None:
    log.settle(
        Settlement(outputs=[OutRecord("posts", f"x:{n}", str(n).encode()) for n in range(first, first + number)])
    )


def settled(records: Sequence[LogRecord], group: str = "g") -> Settlement:
    settlement = Settlement(group=group)
    for record in records:
        settlement.offsets[record.topic, record.partition] = record.offset + 1
    settlement.counts = [Count(group, "live", Outcome.OK, len(records))]
    return settlement


def parked(records: Sequence[LogRecord], group: str = "g") -> Settlement:
    settlement = settled(records, group)
    error = BadRecord(BadReason.MISSING_TEXT, "no text")
    settlement.dead = [letter_of_record(record, error, stage=group, at=PARKED_AT) for record in records]
    settlement.counts = [Count(group, "live", Outcome.PARKED, len(records), "missing_text")]
    return settlement


def read_all(consumer: Consumer, number: int, seconds: float = 30.0) -> list[LogRecord]:
    records: list[LogRecord] = []
    deadline = time.monotonic() + seconds
    while len(records) < number and time.monotonic() < deadline:
        records += consumer.poll(number - len(records), 0.5)
    return records


class Reading:
    """Members that read and settle, each in a thread of its own as each worker is a process of its own."""

    def __init__(self, logs: Callable[[], KafkaLog]) -> None:
        self._open = logs
        self._stops: list[tuple[threading.Event, threading.Thread]] = []
        self._lock = threading.Lock()
        self.settled: Counter[bytes] = Counter()
        self.by_member: Counter[int] = Counter()
        self.failures: list[BaseException] = []

    def join(self) -> None:
        stop, log = threading.Event(), self._open()
        thread = threading.Thread(target=self._work, args=(len(self._stops), log, stop))
        self._stops.append((stop, thread))
        thread.start()

    def _work(self, number: int, log: KafkaLog, stop: threading.Event) -> None:
        try:
            consumer = log.consumer("g", ["posts"])
            while not stop.is_set():
                records = consumer.poll(5, 0.2)
                if not records:
                    continue
                try:
                    log.settle(settled(records))
                except LostPartitions:
                    consumer.rewind()
                    continue
                with self._lock:
                    self.settled.update(record.value for record in records)
                    self.by_member[number] += len(records)
            consumer.close()
        except BaseException as exc:
            self.failures.append(exc)

    def leave(self, number: int) -> None:
        stop, thread = self._stops[number]
        stop.set()
        thread.join()

    def has(self, number: int) -> bool:
        return len(self.settled) == number

    def until(self, done: Callable[[], bool], seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert self.failures == []
            assert time.monotonic() < deadline, f"settled {len(self.settled)}, by member {self.by_member}"
            time.sleep(0.02)

    def end(self) -> None:
        for number in range(len(self._stops)):
            self.leave(number)
        assert self.failures == []


@pytest.fixture
def reading(logs: Callable[[], KafkaLog]) -> Iterator[Reading]:
    reading = Reading(logs)
    yield reading
    reading.end()


def everything(number: int) -> dict[bytes, int]:
    return {str(n).encode(): 1 for n in range(number)}


def ok(number: int) -> list[Count]:
    return [Count("g", "live", Outcome.OK, number)]


def test_each_record_goes_to_exactly_one_of_several_members(logs: Callable[[], KafkaLog], reading: Reading) -> None:
    log = logs()
    for _ in range(3):
        reading.join()
    total = 0
    while len(reading.by_member) < 3 and total < 4_000:
        append(log, 40, first=total)
        total += 40
        reading.until(partial(reading.has, total))
    assert set(reading.by_member) == {0, 1, 2}
    assert reading.settled == everything(total)
    assert log.counts() == ok(total)
    assert log.lag("g", ["posts"]) == 0


def test_members_that_join_and_leave_lose_and_double_nothing_that_was_settled(
    logs: Callable[[], KafkaLog], reading: Reading
) -> None:
    log = logs()
    append(log, 1_000)
    reading.join()
    reading.until(lambda: len(reading.settled) >= 100)
    reading.join()
    append(log, 1_000, first=1_000)
    reading.until(lambda: len(reading.settled) >= 1_200)
    reading.leave(0)
    append(log, 1_000, first=2_000)
    reading.join()
    reading.until(lambda: len(reading.settled) == 3_000)
    reading.end()
    assert reading.settled == everything(3_000)
    assert log.counts() == ok(3_000)


def test_what_was_polled_before_its_partition_went_to_another_member_is_not_settled(
    logs: Callable[[], KafkaLog], reading: Reading
) -> None:
    log, first = logs(), logs()
    append(log, 40)
    mine = first.consumer("g", ["posts"])
    records = read_all(mine, 40)
    assert len(records) == 40
    reading.join()
    deadline = time.monotonic() + 60
    while not reading.settled:
        # Nothing new comes to us; polling is how a member hears of the other one.
        mine.poll(1, 0.1)
        assert time.monotonic() < deadline
    with pytest.raises(LostPartitions):
        first.settle(settled(records))
    mine.rewind()
    rest: list[LogRecord] = []
    while len(rest) + len(reading.settled) < 40:
        rest += mine.poll(40, 0.1)
        assert time.monotonic() < deadline
    first.settle(settled(rest))
    reading.settled.update(record.value for record in rest)
    assert reading.settled == everything(40)
    assert log.counts() == ok(40)


def test_a_member_that_was_replaced_cannot_settle_any_more(world: KafkaWorld) -> None:
    """Like a process that was stopped for longer than its session and does not know it yet."""
    log, sleeper = world.open(), world.open(session_seconds=2.0, max_poll_seconds=2.0)
    try:
        append(log, 20)
        asleep = sleeper.consumer("g", ["posts"])
        records = read_all(asleep, 20)
        awake = log.consumer("g", ["posts"])
        again = read_all(awake, 20, seconds=60)
        log.settle(settled(again))
        with pytest.raises(LostPartitions):
            sleeper.settle(settled(records))
        assert log.counts() == ok(20)
        asleep.rewind()
        assert log.lag("g", ["posts"]) == 0
    finally:
        sleeper.close()
        log.close()


def test_settling_what_was_never_given_is_a_mistake_of_the_caller(logs: Callable[[], KafkaLog]) -> None:
    log = logs()
    append(log, 4)
    consumer = log.consumer("g", ["posts"])
    (record,) = read_all(consumer, 1)
    with pytest.raises(ValueError, match="given was up to"):
        log.settle(Settlement(group="g", offsets={("posts", record.partition): record.offset + 100}))
    with pytest.raises(ValueError, match="needs its group"):
        log.settle(Settlement(offsets={("posts", 0): 1}))


def _cut_brokers(world: KafkaWorld) -> tuple[CuttingBroker, KafkaLog]:
    broker = CuttingBroker(world.broker(), world.prefix)
    return broker, KafkaLog(broker, world.settings)  # type: ignore[arg-type]


def _end(log: KafkaLog) -> None:
    """Leave the broker as a killed process does, only sooner: without settling anything."""
    for member in list(log._members):
        member.close()
    log._broker.close()


# The steps of a settlement with outputs and letters.
CUTS: list[tuple[str, When]] = [
    ("mentions", "before"),
    ("mentions", "after"),
    ("dead", "before"),
    ("dead", "after"),
    ("commit", "before"),
    ("commit", "after"),
]


def test_the_books_are_exact_and_letters_are_there_once_wherever_a_worker_dies(world: KafkaWorld) -> None:
    log = world.open()
    try:
        append(log, 60)
        settled_records = 0
        for step, when in CUTS:
            broker, dying = _cut_brokers(world)
            consumer = dying.consumer("g", ["posts"])
            records = read_all(consumer, 10)
            settlement = parked(records)
            settlement.outputs = [OutRecord("mentions", record.key, record.value) for record in records]
            broker.cut(step, when)
            with pytest.raises(Cut):
                dying.settle(settlement)
            broker.mend()
            settled_records += 10 if (step, when) == ("commit", "after") else 0
            _end(dying)
            assert sum(count.number for count in log.counts()) == settled_records
        last = log.consumer("g", ["posts"])
        while records := read_all(last, 10, seconds=5):
            log.settle(parked(records))
        assert log.counts() == [Count("g", "live", Outcome.PARKED, 60, "missing_text")]
        assert log.lag("g", ["posts"]) == 0
        letters = log.dead_letters(limit=1_000)
        assert Counter(row.letter.payload for row in letters) == everything(60)
    finally:
        log.close()


def _claimed(log: KafkaLog, source: str) -> SourceClaim:
    claim = log.claim([source])
    deadline = time.monotonic() + 60
    while source not in claim.owned(0.1):
        assert time.monotonic() < deadline
    return claim


def test_a_settlement_of_a_source_is_whole_or_not_there_wherever_its_owner_dies(world: KafkaWorld) -> None:
    """What the journal says (the first record in `sources`) is done by the next owner, though no row was written."""
    reader = world.open()
    try:
        handled = 0
        for step, nth in (("commit", 1), ("posts", 1), ("dead", 1), ("commit", 2), ("sources", 1), ("sources", 2)):
            broker, dying = _cut_brokers(world)
            claim = _claimed(dying, "bluesky")
            cursor = dying.state("cursor", ["bluesky"]).get("bluesky", b"0")
            assert int(cursor) == handled
            error = BadRecord(BadReason.NOT_JSON, "found a brace")
            letter = make_dead_letter(
                b"{", error, stage="ingest", position=f"bluesky:{cursor.decode()}", at=PARKED_AT, source="bluesky"
            )
            broker.cut(step, nth=nth)
            with pytest.raises(Cut):
                dying.settle(
                    Settlement(
                        group="ingest",
                        source="bluesky",
                        outputs=[OutRecord("posts", f"bluesky:{handled}", b"post")],
                        dead=[letter],
                        state=[
                            StateWrite("cursor", "bluesky", str(handled + 1).encode()),
                            StateWrite("seen", f"bluesky:{handled}", b"row"),
                        ],
                        counts=[Count("ingest", "live", Outcome.PARKED, 1, "not_json")],
                    )
                )
            broker.mend()
            claim.close()
            _end(dying)
            handled += step == "sources"
            expected = [Count("ingest", "live", Outcome.PARKED, handled, "not_json")] if handled else []
            assert reader.counts() == expected
            seen = reader.state("seen", [f"bluesky:{n}" for n in range(10)])
            assert seen == {f"bluesky:{n}": b"row" for n in range(handled)}
        # The first position was tried until it was settled; each has exactly one letter.
        letters = Counter(row.letter.position for row in reader.dead_letters())
        assert letters == {"bluesky:0": 1, "bluesky:1": 1}
    finally:
        reader.close()


def test_a_source_is_read_by_one_worker_and_taken_over_with_its_cursor(logs: Callable[[], KafkaLog]) -> None:
    names = [f"rss:{n}" for n in range(8)]
    first, second = logs(), logs()
    one, other = first.claim(names), second.claim(names)
    owned: dict[str, frozenset[str]] = {}
    stop_one, stop = threading.Event(), threading.Event()

    def hold(name: str, claim: SourceClaim, stop: threading.Event) -> None:
        while not stop.is_set():
            owned[name] = claim.owned(0.2)
        claim.close()

    holding = [
        threading.Thread(target=hold, args=("one", one, stop_one)),
        threading.Thread(target=hold, args=("other", other, stop)),
    ]
    for thread in holding:
        thread.start()
    try:
        _await(lambda: all(owned.values()) and len(owned) == 2 and frozenset.union(*owned.values()) == set(names))
        assert not owned["one"] & owned["other"]
        name = min(owned["one"])
        write = Settlement(source=name, state=[StateWrite("cursor", name, b"7")])
        first.settle(write)
        with pytest.raises(LostPartitions):
            second.settle(write)
        stop_one.set()
        _await(lambda: owned["other"] == set(names))
        assert second.state("cursor", [name]) == {name: b"7"}
        second.settle(Settlement(source=name, state=[StateWrite("cursor", name, b"8")]))
        assert second.state("cursor", [name]) == {name: b"8"}
    finally:
        stop_one.set()
        stop.set()
        for thread in holding:
            thread.join()


def _await(done: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_counts_of_more_runs_than_fit_beside_an_offset_stay_exact(logs: Callable[[], KafkaLog]) -> None:
    log = logs()
    append(log, 300)
    number = 0
    # Another process each time: totals go on from where they were moved to.
    for _ in range(3):
        worker = logs()
        consumer = worker.consumer("g", ["posts"])
        for record in read_all(consumer, 100):
            settlement = settled([record])
            runs = (f"replay-of-a-file-with-a-long-name-{number % 75}", "live")
            settlement.counts = [Count("g", run, Outcome.OK, 1) for run in runs]
            worker.settle(settlement)
            number += 1
        consumer.close()
    by_run = {count.run: count.number for count in log.counts()}
    assert by_run == {"live": 300, **{f"replay-of-a-file-with-a-long-name-{n}": 4 for n in range(75)}}


def test_state_that_was_kept_in_a_file_goes_on_from_there_and_is_made_again_without_it(
    world: KafkaWorld, tmp_path: Path
) -> None:
    kept = tmp_path / "view.sqlite"
    for opened in (1, 2):
        log = world.open(kept)
        log.settle(Settlement(state=[StateWrite("s", f"k{opened}", b"v"), StateWrite("s", "gone", b"v")]))
        log.settle(Settlement(state=[StateWrite("s", "gone", None)]))
        assert log.state("s", ["k1", "k2", "gone"]) == {f"k{n}": b"v" for n in range(1, opened + 1)}
        log.close()
    kept.write_bytes(b"overwritten")
    log = world.open(kept)
    assert log.state("s", ["k1", "k2", "gone"]) == {"k1": b"v", "k2": b"v"}
    log.close()


def test_the_clients_read_what_the_other_one_wrote(world: KafkaWorld) -> None:
    (other_client,) = set(CLIENTS) - {world.client}
    log, other = world.open(), replace(world, client=other_client).open()
    try:
        append(log, 40)
        for number, (worker, consumer) in enumerate([(log, log.consumer("g", ["posts"])), (other, None)]):
            consumer = consumer or worker.consumer("g", ["posts"])
            # Texts of many lengths beside the offset.
            for record in read_all(consumer, 20):
                settlement = settled([record])
                settlement.counts = [Count("g", f"run{'x' * number * record.offset}", Outcome.OK, 1)]
                worker.settle(settlement)
            assert log.counts() == other.counts()
            consumer.close()
        assert sum(count.number for count in log.counts()) == 40
        error = BadRecord(BadReason.NOT_JSON, "found é")
        dead = make_dead_letter(b"{", error, stage="ingest", position="file:1", at=PARKED_AT, post_id="x:é")
        log.settle(Settlement(dead=[dead], state=[StateWrite("s", "é", b"v")]))
        assert [row.letter for row in other.dead_letters()] == [dead]
        assert other.state("s", ["é"]) == {"é": b"v"}
    finally:
        log.close()
        other.close()


def test_a_log_without_topics_says_how_to_make_them(world: KafkaWorld) -> None:
    with pytest.raises(ConfigError, match=r"has no topic nobody-posts.*soundings setup"):
        world.open(prefix="nobody-")


def test_a_user_and_password_let_in_and_wrong_ones_are_told_apart_from_a_broker_that_is_away(
    world: KafkaWorld, kafka_server: KafkaServer
) -> None:
    who = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "sasl_username": SASL_USER}
    let_in = world.open(bootstrap_servers=kafka_server.sasl_address, sasl_password=SASL_PASSWORD, **who)
    append(let_in, 3)
    assert len(read_all(let_in.consumer("g", ["posts"]), 3)) == 3
    let_in.close()
    refused = world.broker(
        bootstrap_servers=kafka_server.sasl_address, sasl_password="not-this-one", request_seconds=3.0, **who
    )
    with pytest.raises((ConfigError, RetryLater)) as error:
        KafkaLog(refused, world.settings)
    refused.close()
    assert "not-this-one" not in str(error.value)
    away = world.broker(bootstrap_servers=f"127.0.0.1:{free_port()}", request_seconds=2.0)
    with pytest.raises(RetryLater, match=r"did not answer.*check that it runs"):
        KafkaLog(away, world.settings)
    away.close()


def test_preparing_again_changes_nothing_and_tells_what_differs(world: KafkaWorld) -> None:
    again = world.prepare()
    assert again.created == ()
    assert again.differing == ()
    world.partitions = 2
    found = "\n".join(world.prepare().differing)
    assert f"topic {world.prefix}posts has 4 partitions, the settings say 2" in found
    assert f"topic {world.prefix}sources has 4 partitions, the settings say 2" in found


def letter(number: int, at: datetime) -> DeadLetter:
    error = BadRecord(BadReason.MISSING_TEXT, "no text")
    return make_dead_letter(str(number).encode(), error, stage="ingest", position=f"file:{number}", at=at)


def test_dead_letters_are_dropped_by_the_broker_when_their_time_is_over(kafka_server: KafkaServer, prefix: str) -> None:
    clock = FakeClock(datetime.now(UTC) - timedelta(days=40))
    world = KafkaWorld(kafka_server.address, prefix, clock=clock)
    with closing(world.broker()) as broker:
        prepare(broker, replace(world.settings, dead_retention_hours=24.0 * 30))
    with closing(world.open()) as log:
        log.settle(Settlement(dead=[letter(1, clock.now())]))
        deadline = time.monotonic() + 60.0
        while log.dead_letters(unresolved_only=False):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        clock.advance(40 * 24 * 3600)
        # What comes afterwards stays, and has the number that follows.
        log.settle(Settlement(dead=[letter(2, clock.now())]))
        assert [(row.number, row.letter.payload) for row in log.dead_letters()] == [(2, b"2")]
        assert log.dead_letter(1) is None


class AsShipped:
    """A broker that was told nothing of how long it keeps offsets, as ours are."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def broker_configs(self) -> Mapping[str, str]:
        return {**self._broker.broker_configs(), "offsets.retention.minutes": "10080"}


def test_preparing_tells_that_a_broker_forgets_the_books(world: KafkaWorld) -> None:
    with closing(world.broker()) as broker:
        (found,) = prepare(cast(Broker, AsShipped(broker)), world.settings).differing
    assert "after 7 days, and with them its books: set offsets.retention.minutes to 525600" in found
