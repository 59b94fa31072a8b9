"""What every Log promises, whatever is underneath: one suite, run on each implementation, Kafka's on a real broker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from fakes.clock import START, FakeClock
from fakes.kafka_world import CLIENTS, KafkaWorld

from domain.clock import Clock
from domain.errors import BadReason, BadRecord
from domain.records import Outcome
from stream.dead_letters import make_dead_letter
from stream.embedded import EmbeddedLog
from stream.protocol import Consumer, Count, Log, LogRecord, OutRecord, Settlement, StateWrite

Open = Callable[[], Log]


def _embedded(folder: Path, clock: Clock) -> Log:
    return EmbeddedLog.open(folder / "log.sqlite", clock=clock)


LOGS = ("embedded", *CLIENTS)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=LOGS)
def opened(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, prefix: str) -> Iterator[Open]:
    """Open the same log, as often as wanted (one after the other); on Kafka, topics of one partition."""
    logs: list[Log] = []
    if request.param == "embedded":
        world = None
    else:
        world = KafkaWorld(request.getfixturevalue("kafka_server").address, prefix, request.param, clock)
        world.prepare()

    def open_log() -> Log:
        logs.append(_embedded(tmp_path, clock) if world is None else world.open(tmp_path / "view.sqlite"))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()


@pytest.fixture
def log(opened: Open) -> Log:
    return opened()


def append(log: Log, *values: str, topic: str = "posts", key: str = "k", run: str = "live") -> None:
    log.settle(Settlement(outputs=[OutRecord(topic, key, value.encode(), run) for value in values]))


def read(consumer: Consumer, number: int) -> list[LogRecord]:
    """Poll until `number` records came, or until a poll finds none."""
    records: list[LogRecord] = []
    while len(records) < number and (some := consumer.poll(number - len(records), 5.0)):
        records += some
    return records


def values(records: Sequence[LogRecord]) -> list[str]:
    return [record.value.decode() for record in records]


def settled(records: Sequence[LogRecord], group: str) -> Settlement:
    return Settlement(group=group, offsets={(r.topic, r.partition): r.offset + 1 for r in records})


def letter(detail: str, run: str = "live") -> Settlement:
    error = BadRecord(BadReason.NOT_JSON, detail)
    dead = make_dead_letter(detail.encode(), error, stage="ingest", position="file:1", at=START, run=run)
    return Settlement(dead=[dead])


def test_records_come_back_whole_and_in_order(log: Log, clock: FakeClock) -> None:
    append(log, "a", "b", key="x:1", run="replay-1")
    append(log, "c", key="x:2 😀")
    records = read(log.consumer("g", ["posts"]), 3)
    assert values(records) == ["a", "b", "c"]
    assert [record.key for record in records] == ["x:1", "x:1", "x:2 😀"]
    assert [record.run for record in records] == ["replay-1", "replay-1", "live"]
    assert {record.topic for record in records} == {"posts"}
    assert records[0].appended_at == clock.now()


def test_records_of_one_key_keep_their_order_among_others(log: Log) -> None:
    for number in range(50):
        append(log, str(number), key=f"x:{number % 7}")
    records = read(log.consumer("g", ["posts"]), 50)
    for key in {record.key for record in records}:
        numbers = [int(record.value) for record in records if record.key == key]
        assert numbers == sorted(numbers)


def test_offsets_count_up_within_a_topic_and_topics_are_apart(log: Log) -> None:
    append(log, "a", "b", topic="posts")
    append(log, "m", topic="mentions")
    append(log, "c", topic="posts")
    posts = read(log.consumer("g", ["posts"]), 3)
    offsets = [record.offset for record in posts]
    assert offsets == sorted(set(offsets))
    assert values(posts) == ["a", "b", "c"]
    assert values(read(log.consumer("h", ["mentions"]), 1)) == ["m"]


def test_one_consumer_reads_several_topics(log: Log) -> None:
    append(log, "a", topic="posts")
    append(log, "m", topic="mentions")
    assert sorted(values(read(log.consumer("g", ["posts", "mentions"]), 2))) == ["a", "m"]


def test_a_busy_topic_does_not_starve_another(log: Log) -> None:
    append(log, *map(str, range(20)), topic="posts")
    append(log, "m", topic="mentions")
    consumer = log.consumer("g", ["posts", "mentions"])
    assert "m" in values(consumer.poll(4, 5.0)) + values(consumer.poll(4, 5.0))


def test_a_poll_gives_at_most_what_was_asked_and_goes_on_after_it(log: Log) -> None:
    append(log, "a", "b", "c")
    consumer = log.consumer("g", ["posts"])
    assert values(consumer.poll(2, 5.0)) == ["a", "b"]
    assert values(consumer.poll(2, 5.0)) == ["c"]
    assert consumer.poll(2, 0.0) == []


def test_a_poll_for_nothing_loses_nothing(log: Log) -> None:
    append(log, "a")
    consumer = log.consumer("g", ["posts"])
    assert consumer.poll(0, 0.0) == []
    assert values(read(consumer, 1)) == ["a"]


def test_rewind_gives_again_what_was_not_settled(log: Log) -> None:
    append(log, "a", "b", "c")
    consumer = log.consumer("g", ["posts"])
    records = read(consumer, 3)
    log.settle(settled(records[:1], "g"))
    consumer.rewind()
    assert values(read(consumer, 2)) == ["b", "c"]


def test_a_new_member_starts_at_the_settled_offset(log: Log) -> None:
    append(log, "a", "b", "c")
    consumer = log.consumer("g", ["posts"])
    log.settle(settled(read(consumer, 3)[:2], "g"))
    consumer.close()
    assert values(read(log.consumer("g", ["posts"]), 1)) == ["c"]


def test_two_members_of_a_group_do_not_share_a_record_and_one_takes_over_from_the_other(log: Log) -> None:
    append(log, *map(str, range(10)))
    first, second = log.consumer("g", ["posts"]), log.consumer("g", ["posts"])
    mine, others = read(first, 10), second.poll(10, 0.0)
    assert len(mine) + len(others) == 10
    assert not {record.offset for record in mine} & {record.offset for record in others}
    log.settle(settled(mine[:4], "g"))
    first.close()
    assert set(values(read(second, 6))) | set(values(mine[:4])) == set(map(str, range(10)))


def test_groups_are_independent(log: Log) -> None:
    append(log, "a", "b")
    log.settle(settled(read(log.consumer("g", ["posts"]), 2), "g"))
    assert values(read(log.consumer("h", ["posts"]), 2)) == ["a", "b"]
    assert (log.lag("g", ["posts"]), log.lag("h", ["posts"])) == (0, 2)


def test_settled_offsets_never_go_back(log: Log) -> None:
    append(log, "a", "b", "c")
    consumer = log.consumer("g", ["posts"])
    records = read(consumer, 3)
    log.settle(settled(records, "g"))
    log.settle(settled(records[:1], "g"))
    assert log.lag("g", ["posts"]) == 0
    consumer.rewind()
    assert consumer.poll(3, 0.0) == []


def test_lag_counts_what_is_not_settled_and_knows_groups_and_topics_that_nobody_saw(log: Log) -> None:
    assert log.lag("g", ["posts"]) == 0
    append(log, "a", "b")
    append(log, "m", topic="mentions")
    assert log.lag("g", ["posts"]) == 2
    assert log.lag("g", ["posts", "mentions"]) == 3
    log.settle(settled(read(log.consumer("g", ["posts"]), 1)[:1], "g"))
    assert log.lag("g", ["posts"]) == 1


def test_a_waiting_consumer_is_woken_by_an_append(log: Log) -> None:
    consumer = log.consumer("g", ["posts"])
    got: list[LogRecord] = []
    waiting = threading.Thread(target=lambda: got.extend(consumer.poll(1, 30.0)))
    waiting.start()
    append(log, "a")
    waiting.join(30.0)
    assert values(got) == ["a"]


def test_a_consumer_may_come_before_its_topic(log: Log) -> None:
    consumer = log.consumer("g", ["posts"])
    assert consumer.poll(1, 0.0) == []
    append(log, "a")
    assert values(read(consumer, 1)) == ["a"]


def test_everything_of_a_settlement_is_there_after_it(log: Log) -> None:
    append(log, "a")
    (record,) = read(log.consumer("enrich", ["posts"]), 1)
    settlement = settled([record], "enrich")
    settlement.outputs.append(OutRecord("mentions", "k", b"m"))
    settlement.state.append(StateWrite("cursor", "x", b"7"))
    settlement.dead += letter("broken").dead
    settlement.counts.append(Count("enrich", "live", Outcome.OK, 1))
    log.settle(settlement)
    assert log.lag("enrich", ["posts"]) == 0
    assert values(read(log.consumer("index", ["mentions"]), 1)) == ["m"]
    assert log.state("cursor", ["x"]) == {"x": b"7"}
    assert [row.letter.detail for row in log.dead_letters()] == ["broken"]
    assert log.counts() == [Count("enrich", "live", Outcome.OK, 1)]


def test_an_empty_settlement_changes_nothing(log: Log) -> None:
    log.settle(Settlement())
    assert log.counts() == []


def test_state_is_the_last_write_in_its_space(log: Log) -> None:
    log.settle(Settlement(state=[StateWrite("seen", "a", b"1"), StateWrite("cursor", "a", b"9")]))
    log.settle(
        Settlement(state=[StateWrite("seen", "a", b"2"), StateWrite("seen", "b", b""), StateWrite("seen", "c", b"3")])
    )
    log.settle(Settlement(state=[StateWrite("seen", "c", b"4"), StateWrite("seen", "c", None)]))
    assert log.state("seen", ["a", "b", "c", "unheard"]) == {"a": b"2", "b": b""}
    assert log.state("cursor", ["a"]) == {"a": b"9"}
    assert log.state("seen", []) == {}


def test_a_state_deleted_and_written_in_one_settlement_is_there(log: Log) -> None:
    log.settle(Settlement(state=[StateWrite("s", "a", b"1")]))
    log.settle(Settlement(state=[StateWrite("s", "a", None), StateWrite("s", "a", b"2")]))
    assert log.state("s", ["a"]) == {"a": b"2"}


def test_state_is_found_in_lists_of_thousands_of_keys(log: Log) -> None:
    keys = [f"x:{number}" for number in range(3_000)]
    log.settle(Settlement(state=[StateWrite("seen", key, key.encode()) for key in keys[::2]]))
    assert log.state("seen", keys) == {key: key.encode() for key in keys[::2]}


def test_counts_add_up_by_stage_run_outcome_and_reason(log: Log) -> None:
    ok, parked = Count("enrich", "live", Outcome.OK, 2), Count("enrich", "live", Outcome.PARKED, 1, "not_json")
    log.settle(Settlement(counts=[ok, ok, parked]))
    log.settle(
        Settlement(counts=[ok, Count("enrich", "replay-1", Outcome.OK, 5), Count("index", "live", Outcome.OK, 1)])
    )
    assert sorted(log.counts(), key=repr) == sorted(
        [
            Count("enrich", "live", Outcome.OK, 6),
            Count("enrich", "live", Outcome.PARKED, 1, "not_json"),
            Count("enrich", "replay-1", Outcome.OK, 5),
            Count("index", "live", Outcome.OK, 1),
        ],
        key=repr,
    )


def test_a_dead_letter_comes_back_as_it_was(log: Log) -> None:
    payload = b"\x00\xff{not json"
    whole = make_dead_letter(
        payload,
        BadRecord(BadReason.NOT_JSON, "found a brace"),
        stage="ingest",
        position="file.jsonl:7",
        at=START + timedelta(microseconds=123),
        source="file",
        post_id="file:1",
        run="replay-1",
    )
    log.settle(Settlement(dead=[whole]))
    (row,) = log.dead_letters()
    assert row.letter == whole
    assert row.letter.payload_sha256 == sha256(payload).hexdigest()
    assert (row.resolved_at, row.resolution) == (None, None)
    assert log.dead_letter(row.number) == row
    assert log.dead_letter(row.number + 1) is None


def test_a_payload_of_16_mib_is_kept_whole_and_of_one_of_20_mb_its_beginning_length_and_hash(log: Log) -> None:
    whole, large = b"\x01" * (16 * 1024 * 1024), b"\x02" * 20_000_000
    error = BadRecord(BadReason.TOO_LARGE, "found 20 MB")
    for payload in (whole, large):
        dead = make_dead_letter(payload, error, stage="ingest", position="file.jsonl:7", at=START)
        log.settle(Settlement(dead=[dead]))
    kept, cut = (row.letter for row in log.dead_letters())
    assert kept.payload == whole
    assert cut.payload == large[: 64 * 1024]
    assert (cut.payload_bytes, cut.payload_sha256) == (20_000_000, sha256(large).hexdigest())
    assert cut.position == "file.jsonl:7"


def test_dead_letters_are_paged_oldest_first_and_chosen_by_run(log: Log) -> None:
    for name, run in (("a", "live"), ("b", "replay-1"), ("c", "live")):
        log.settle(letter(name, run))
    first = log.dead_letters(limit=2)
    assert [row.letter.detail for row in first] == ["a", "b"]
    assert [row.letter.detail for row in log.dead_letters(after=first[-1].number)] == ["c"]
    assert [row.letter.detail for row in log.dead_letters(run="replay-1")] == ["b"]


def test_a_dead_letter_is_resolved_once_and_kept(log: Log) -> None:
    log.settle(letter("a"))
    log.settle(letter("b"))
    one, two = log.dead_letters()
    assert log.resolve_dead_letters([one.number, 999], "retried", START) == 1
    assert log.resolve_dead_letters([one.number], "discarded", START) == 0
    assert log.resolve_dead_letters([], "discarded", START) == 0
    assert [row.number for row in log.dead_letters()] == [two.number]
    resolved = log.dead_letters(unresolved_only=False)[0]
    assert (resolved.resolved_at, resolved.resolution) == (START, "retried")


def test_a_dead_letter_that_is_forgotten_says_nothing_any_more_dealt_with_or_not(opened: Open) -> None:
    log = opened()
    for text in "abc":
        log.settle(letter(text))
    dealt, still_open, other = log.dead_letters()
    log.resolve_dead_letters([dealt.number], "retried", START)
    both = [dealt.number, still_open.number]
    assert log.forget_dead_letters([*both, 999], START + timedelta(hours=1)) == 2
    assert log.forget_dead_letters(both, START) == 0
    assert log.resolve_dead_letters(both, "retried", START) == 0
    log.close()
    log = opened()
    assert [row.number for row in log.dead_letters()] == [other.number]
    rows = log.dead_letters(unresolved_only=False)
    assert [(row.letter.payload, row.letter.detail, row.resolution) for row in rows] == [
        (b"", "", "retracted"),
        (b"", "", "retracted"),
        (other.letter.payload, other.letter.detail, None),
    ]
    assert [row.resolved_at for row in rows] == [START, START + timedelta(hours=1), None]
    assert rows[0].letter.payload_sha256 == dealt.letter.payload_sha256


def test_pruning_waits_for_every_group_and_for_age(log: Log, clock: FakeClock) -> None:
    append(log, "a", "b")
    clock.advance(3_600)
    append(log, "c")
    slow, fast = log.consumer("slow", ["posts"]), log.consumer("fast", ["posts"])
    log.settle(settled(read(fast, 3), "fast"))
    assert log.prune(timedelta(minutes=30), clock.now()) == 0
    records = read(slow, 3)
    assert values(records) == ["a", "b", "c"]
    log.settle(settled(records[:1], "slow"))
    assert log.prune(timedelta(minutes=30), clock.now()) == 1
    log.settle(settled(records, "slow"))
    assert log.prune(timedelta(minutes=30), clock.now()) == 1
    assert log.prune(timedelta(0), clock.now() + timedelta(seconds=1)) == 1


def test_offsets_go_on_after_everything_was_pruned(opened: Open, clock: FakeClock) -> None:
    log = opened()
    append(log, "a", "b")
    records = read(log.consumer("g", ["posts"]), 2)
    log.settle(settled(records, "g"))
    clock.advance(60)
    assert log.prune(timedelta(0), clock.now()) == 2
    log.close()
    log = opened()
    append(log, "c")
    (record,) = read(log.consumer("g", ["posts"]), 1)
    assert record.offset > records[-1].offset
    assert values(read(log.consumer("new", ["posts"]), 1)) == ["c"]
    assert log.lag("newer", ["posts"]) == 1


def test_everything_is_there_after_reopening(opened: Open) -> None:
    log = opened()
    append(log, "a", "b")
    settlement = settled(read(log.consumer("g", ["posts"]), 2)[:1], "g")
    settlement.state.append(StateWrite("cursor", "x", b"7"))
    settlement.counts.append(Count("g", "live", Outcome.OK, 1))
    settlement.dead += letter("broken").dead
    log.settle(settlement)
    log.close()
    log = opened()
    assert values(read(log.consumer("g", ["posts"]), 1)) == ["b"]
    assert log.state("cursor", ["x"]) == {"x": b"7"}
    assert log.counts() == [Count("g", "live", Outcome.OK, 1)]
    assert [row.letter.detail for row in log.dead_letters()] == ["broken"]


def test_closing_twice_is_fine(log: Log) -> None:
    log.close()
    log.close()


def test_threads_settling_at_once_lose_and_double_nothing(log: Log) -> None:
    threads, batches = 6, 20

    def work(name: int) -> None:
        for batch in range(batches):
            settlement = Settlement(
                outputs=[OutRecord("posts", str(name), f"{name} {batch} {n}".encode()) for n in range(3)],
                state=[StateWrite("last", str(name), str(batch).encode())],
                counts=[Count("ingest", "live", Outcome.OK, 3)],
            )
            log.settle(settlement)

    running = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    records = read(log.consumer("g", ["posts"]), threads * batches * 3)
    for name in range(threads):
        mine = [record.value.decode() for record in records if record.key == str(name)]
        assert mine == [f"{name} {batch} {n}" for batch in range(batches) for n in range(3)]
    assert len({record.offset for record in records}) == threads * batches * 3
    assert log.counts() == [Count("ingest", "live", Outcome.OK, threads * batches * 3)]
    assert set(log.state("last", list(map(str, range(threads)))).values()) == {str(batches - 1).encode()}


def test_a_stage_in_its_own_thread_sees_each_record_once(log: Log) -> None:
    total, got = 200, list[LogRecord]()
    consumer = log.consumer("g", ["posts"])

    def work() -> None:
        while len(got) < total and (some := consumer.poll(7, 30.0)):
            got.extend(some)
            log.settle(settled(some, "g"))

    reading = threading.Thread(target=work)
    reading.start()
    for number in range(total):
        append(log, str(number))
    reading.join()
    assert values(got) == list(map(str, range(total)))
    assert log.lag("g", ["posts"]) == 0


def test_a_member_has_joined_once_it_was_given_its_share(log: Log) -> None:
    append(log, "a")
    first = log.consumer("g", ["posts"])
    assert values(read(first, 1)) == ["a"]
    assert first.joined()
    # There is one partition: the share of a second member is nothing, and it is told so.
    second = log.consumer("g", ["posts"])
    while not second.joined():
        assert second.poll(1, 0.2) == []
        first.poll(1, 0.0)


def test_the_records_of_a_key_are_found_in_order_whoever_settled_them(log: Log) -> None:
    append(log, "a1", key="a")
    append(log, "b1", key="b")
    append(log, "a2", key="a", run="replay-1")
    append(log, "other", key="a", topic="mentions")
    records = read(log.consumer("g", ["posts"]), 3)
    log.settle(settled(records, "g"))
    found = log.records_of("posts", "a")
    assert values(found) == ["a1", "a2"]
    assert [(one.key, one.run) for one in found] == [("a", "live"), ("a", "replay-1")]
    assert [one.offset for one in found] == [one.offset for one in records if one.key == "a"]
    assert log.records_of("posts", "nobody") == []
    assert log.appended("posts") == 3
