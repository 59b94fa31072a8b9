"""What the log over Kafka promises beyond the embedded one: several members, several processes, either client.

The embedded log has one partition and one process: there one member reads and the others stand by (see test_log).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fakes.clock import START as PARKED_AT
from fakes.cutting_broker import Cut, CuttingBroker, When
from fakes.kafka_world import CLIENTS, KafkaWorld
from servers.kafka import KafkaServer

from domain.errors import BadReason, BadRecord, ConfigError
from domain.records import Outcome
from stream.dead_letters import letter_of_record, make_dead_letter
from stream.kafka_broker import LostPartitions
from stream.kafka_log import KafkaLog
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
    """Members that poll in turn, as workers of several processes do at once; what each settled."""

    def __init__(self, logs: Callable[[], KafkaLog]) -> None:
        self._open = logs
        self.members: list[tuple[KafkaLog, Consumer]] = []
        self.settled: Counter[bytes] = Counter()
        self.by_member: Counter[int] = Counter()

    def join(self) -> None:
        log = self._open()
        self.members.append((log, log.consumer("g", ["posts"])))

    def leave(self, number: int) -> None:
        self.members.pop(number)[1].close()

    def turn(self, *, settle: bool = True) -> None:
        for number, (log, consumer) in enumerate(self.members):
            records = consumer.poll(5, 0.05)
            if records and settle:
                try:
                    log.settle(settled(records))
                except LostPartitions:
                    consumer.rewind()
                    continue
                self.settled.update(record.value for record in records)
                self.by_member[number] += len(records)

    def until(self, done: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, f"settled {len(self.settled)}, by member {self.by_member}"
            self.turn()


def everything(number: int) -> dict[bytes, int]:
    return {str(n).encode(): 1 for n in range(number)}


def ok(number: int) -> list[Count]:
    return [Count("g", "live", Outcome.OK, number)]


def test_each_record_goes_to_exactly_one_of_several_members(logs: Callable[[], KafkaLog]) -> None:
    reading = Reading(logs)
    for _ in range(3):
        reading.join()
    # Let the partitions settle down among them before there is anything to read.
    for _ in range(60):
        reading.turn()
    log = logs()
    append(log, 400)
    reading.until(lambda: len(reading.settled) == 400)
    assert reading.settled == everything(400)
    assert set(reading.by_member) == {0, 1, 2}
    assert log.counts() == ok(400)
    assert log.lag("g", ["posts"]) == 0


def test_members_that_join_and_leave_lose_and_double_nothing_that_was_settled(logs: Callable[[], KafkaLog]) -> None:
    log = logs()
    append(log, 600)
    reading = Reading(logs)
    reading.join()
    reading.until(lambda: len(reading.settled) >= 100)
    reading.join()
    reading.until(lambda: len(reading.settled) >= 250)
    reading.leave(0)
    reading.until(lambda: len(reading.settled) >= 400)
    reading.join()
    reading.until(lambda: len(reading.settled) == 600)
    assert reading.settled == everything(600)
    assert log.counts() == ok(600)


def test_what_was_polled_before_its_partition_went_to_another_member_is_not_settled(
    logs: Callable[[], KafkaLog],
) -> None:
    log, first = logs(), logs()
    append(log, 40)
    mine = first.consumer("g", ["posts"])
    records = read_all(mine, 40)
    assert len(records) == 40
    second = logs()
    other = second.consumer("g", ["posts"])
    others: list[LogRecord] = []
    deadline = time.monotonic() + 60
    while not others and time.monotonic() < deadline:
        mine.poll(1, 0.05)
        others += other.poll(40, 0.05)
    with pytest.raises(LostPartitions):
        first.settle(settled(records))
    assert log.counts() == []
    second.settle(settled(others))
    mine.rewind()
    rest: list[LogRecord] = []
    while len(rest) + len(others) < 40 and time.monotonic() < deadline:
        rest += mine.poll(40, 0.05)
        more = other.poll(40, 0.05)
        if more:
            second.settle(settled(more))
            others += more
    first.settle(settled(rest))
    assert Counter(record.value for record in [*rest, *others]) == everything(40)
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
    claims = [first.claim(names), second.claim(names)]

    def owners() -> list[frozenset[str]]:
        return [claim.owned(0.1) for claim in claims]

    deadline = time.monotonic() + 60
    while not (all(owned := owners()) and len(owned[0] | owned[1]) == 8):
        assert time.monotonic() < deadline
    assert not owned[0] & owned[1]
    name = min(owned[0])
    write = Settlement(source=name, state=[StateWrite("cursor", name, b"7")], counts=[])
    first.settle(write)
    with pytest.raises(LostPartitions):
        second.settle(write)
    claims.pop(0).close()
    while name not in claims[0].owned(0.1):
        assert time.monotonic() < deadline
    assert second.state("cursor", [name]) == {name: b"7"}
    second.settle(Settlement(source=name, state=[StateWrite("cursor", name, b"8")]))
    assert second.state("cursor", [name]) == {name: b"8"}


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


def test_a_log_without_topics_says_how_to_make_them(world: KafkaWorld) -> None:
    with pytest.raises(ConfigError, match=r"has no topic nobody-posts.*soundings setup"):
        world.open(prefix="nobody-")


def test_preparing_again_changes_nothing_and_tells_what_differs(world: KafkaWorld) -> None:
    again = world.prepare()
    assert again.created == ()
    assert [line for line in again.differing if line.startswith("topic")] == []
    world.partitions = 2
    found = "\n".join(world.prepare().differing)
    assert f"topic {world.prefix}posts has 4 partitions, the settings say 2" in found
    assert f"topic {world.prefix}sources has 4 partitions, the settings say 2" in found
    assert "offsets.retention.minutes" in found
