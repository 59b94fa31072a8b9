"""What only the embedded log has: one file, one writer, full disks, damage, and a WAL that must not grow."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.clock import START, FakeClock

from domain.errors import BackendDown, BadReason, BadRecord, Busy, ConfigError
from domain.records import Outcome
from stream.dead_letters import make_dead_letter
from stream.embedded import MAX_POLL_BYTES, EmbeddedLog
from stream.embedded_file import SCHEMA, WAL_KEPT_BYTES, WAL_MOST_BYTES
from stream.protocol import Count, OutRecord, Settlement, StateWrite

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.sqlite"


@pytest.fixture
def log(path: Path) -> Iterator[EmbeddedLog]:
    opened = EmbeddedLog.open(path, clock=FakeClock())
    yield opened
    opened.close()


def append(log: EmbeddedLog, *values: bytes, topic: str = "posts") -> None:
    log.settle(Settlement(outputs=[OutRecord(topic, "k", value) for value in values]))


def everything(log: EmbeddedLog, topic: str = "posts") -> list[bytes]:
    consumer = log.consumer("everything", [topic])
    found: list[bytes] = []
    while some := consumer.poll(10_000, 0.0):
        found += [record.value for record in some]
    consumer.close()
    return found


def in_another_process(code: str, path: Path) -> str:
    """Run Python code with `path` defined in a second process; give what it printed."""
    setup = f"from pathlib import Path; from stream.embedded import EmbeddedLog; path = Path({str(path)!r})\n"
    done = subprocess.run(
        [sys.executable, "-c", setup + code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()


def test_a_second_writer_in_another_process_is_refused_with_folder_and_process(log: EmbeddedLog, path: Path) -> None:
    said = in_another_process(
        "from domain.errors import Busy\ntry:\n    EmbeddedLog.open(path)\nexcept Busy as exc:\n    print(exc)", path
    )
    assert said == (
        f"the data folder {path.parent} is in use by process {os.getpid()}: stop it first, or name another folder"
    )


def test_a_second_writer_in_this_process_is_refused_until_the_first_closes(log: EmbeddedLog, path: Path) -> None:
    with pytest.raises(Busy):
        EmbeddedLog.open(path)
    log.close()
    EmbeddedLog.open(path).close()


def test_another_process_reads_while_this_one_writes(log: EmbeddedLog, path: Path) -> None:
    consumer = log.consumer("g", ["posts"])
    append(log, b"a", b"b")
    log.settle(
        Settlement(
            group="g",
            offsets={("posts", 0): consumer.poll(1, 0.0)[0].offset + 1},
            counts=[Count("g", "live", Outcome.OK, 1)],
            state=[StateWrite("cursor", "x", b"7")],
        )
    )
    said = in_another_process(
        "import json\nlog = EmbeddedLog.open(path, read_only=True)\n"
        "print(json.dumps([log.lag('g', ['posts']), log.counts()[0].number, log.state('cursor', ['x'])['x'].decode(),"
        " len(log.dead_letters())]))",
        path,
    )
    assert json.loads(said) == [1, 1, "7", 0]


def test_a_reader_sees_what_is_settled_after_it_opened(log: EmbeddedLog, path: Path) -> None:
    reader = EmbeddedLog.open(path, read_only=True)
    append(log, b"a")
    assert (reader.lag("g", ["posts"]), reader.appended("posts"), reader.appended("unheard")) == (1, 1, 0)
    with pytest.raises(ValueError, match="open for reading only"):
        reader.settle(Settlement())
    with pytest.raises(ValueError, match="open for reading only"):
        reader.consumer("g", ["posts"])
    reader.close()


def test_a_reader_without_a_log_says_what_to_start(path: Path) -> None:
    with pytest.raises(BackendDown, match="start the pipeline"):
        EmbeddedLog.open(path, read_only=True)


def test_the_folder_and_the_file_belong_to_their_owner_alone(log: EmbeddedLog, path: Path) -> None:
    assert path.parent.stat().st_mode & 0o077 == 0
    assert path.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"cannot use the data folder .*file"):
        EmbeddedLog.open(tmp_path / "file" / "log.sqlite")


def test_a_log_of_a_newer_program_is_refused(log: EmbeddedLog, path: Path) -> None:
    log.close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(ConfigError, match=f"found log schema {SCHEMA + 1}, this program reads up to {SCHEMA}"):
            EmbeddedLog.open(path, read_only=read_only)


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (a)")
    connection.close()
    with pytest.raises(ConfigError, match="another program"):
        EmbeddedLog.open(path)


def test_a_file_that_is_no_database_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    path.write_text("hello " * 1_000)
    with pytest.raises(BackendDown, match=r"is damaged or no log of ours .* restore them from a backup"):
        EmbeddedLog.open(path)


def test_a_damaged_file_says_what_to_do(log: EmbeddedLog, path: Path) -> None:
    append(log, *[b"x" * 3_000] * 200)
    log.close()
    whole = bytearray(path.read_bytes())
    whole[4096:] = b"\xa5" * (len(whole) - 4096)
    path.write_bytes(whole)
    with pytest.raises(BackendDown, match=r"is damaged .* restore them from a backup"):
        everything(EmbeddedLog.open(path))


def test_a_full_disk_is_said_clearly_and_costs_nothing_that_was_settled(path: Path) -> None:
    log = EmbeddedLog.open(path, max_bytes=300_000)
    stored: list[bytes] = []
    batches = [[f"{number} {place} ".encode() + b"x" * 2_000 for place in range(3)] for number in range(100)]

    def fill() -> None:
        for batch in batches:
            append(log, *batch)
            stored.extend(batch)

    with pytest.raises(BackendDown, match=r"no room left to write .*: free space on the disk of"):
        fill()
    assert stored
    # Still full, and still whole.
    batch = batches[-1]
    with pytest.raises(BackendDown):
        append(log, *batch)
    assert everything(log) == stored
    log.close()
    log = EmbeddedLog.open(path)
    append(log, *batch)
    assert everything(log) == stored + batch
    log.close()


def test_writes_refused_by_the_system_are_said_clearly_and_cost_nothing(path: Path) -> None:
    """A real fault: the kernel refuses to let any file of the process grow beyond 400 kB, then does again."""
    code = """
import json, resource
from domain.errors import BackendDown
from stream.protocol import OutRecord, Settlement
log = EmbeddedLog.open(path)
most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
stored, said = 0, ""
def append():
    log.settle(Settlement(outputs=[OutRecord("posts", "k", f"{stored} ".encode() + b"x" * 2_000)]))
while not said:
    try:
        append()
        stored += 1
    except BackendDown as exc:
        said = str(exc)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
append()
log.close()
print(json.dumps([stored + 1, said]))
"""
    stored, said = json.loads(in_another_process(code, path))
    assert f"{path}" in said
    log = EmbeddedLog.open(path)
    assert [value.split()[0] for value in everything(log)] == [str(number).encode() for number in range(stored)]
    log.close()


def test_a_settlement_that_makes_no_sense_changes_nothing(log: EmbeddedLog) -> None:
    append(log, b"a")
    with pytest.raises(ValueError, match="needs its group"):
        log.settle(Settlement(offsets={("posts", 0): 1}))
    for topic in ("posts", "unheard"):
        with pytest.raises(ValueError, match=f"cannot settle {topic} up to 9"):
            log.settle(Settlement(group="g", offsets={(topic, 0): 9}, counts=[Count("g", "live", Outcome.OK, 9)]))
    assert log.counts() == []
    assert log.lag("g", ["posts"]) == 1


def test_a_bad_settlement_of_one_thread_does_not_fail_those_of_others(log: EmbeddedLog) -> None:
    good, failed = 30, list[Exception]()

    def settle_badly() -> None:
        for _ in range(good):
            try:
                log.settle(Settlement(group="g", offsets={("posts", 0): 10**6}))
            except ValueError as exc:
                failed.append(exc)

    def settle_well(name: bytes) -> None:
        for _ in range(good):
            append(log, name)

    threads = [threading.Thread(target=settle_badly)]
    threads += [threading.Thread(target=settle_well, args=(name,)) for name in (b"a", b"b", b"c")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == good
    assert sorted(everything(log)) == sorted([b"a", b"b", b"c"] * good)


def test_a_closed_log_says_so(log: EmbeddedLog) -> None:
    consumer = log.consumer("g", ["posts"])
    log.close()
    for use in (lambda: log.settle(Settlement()), log.counts, lambda: consumer.poll(1, 0.0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_poll_is_bounded_in_bytes_but_always_gives_a_record(log: EmbeddedLog) -> None:
    large = b"x" * (MAX_POLL_BYTES // 2 + 1)
    append(log, large, large, large)
    consumer = log.consumer("g", ["posts"])
    assert [len(consumer.poll(256, 0.0)) for _ in range(4)] == [1, 1, 1, 0]


def test_the_clock_going_back_does_not_prune_young_records_or_leave_holes(path: Path) -> None:
    clock = FakeClock()
    log = EmbeddedLog.open(path, clock=clock)
    append(log, b"a")
    clock.set(START - timedelta(days=2))
    append(log, b"b")
    log.settle(Settlement(group="g", offsets={("posts", 0): 2}))
    assert log.prune(timedelta(hours=1), START) == 0
    assert log.prune(timedelta(hours=1), START + timedelta(hours=2)) == 2
    log.close()


def test_pruning_goes_through_more_records_than_one_transaction_takes(log: EmbeddedLog) -> None:
    append(log, *[b"x"] * 5_000)
    append(log, *[b"m"] * 10, topic="mentions")
    assert log.prune(timedelta(0), START + timedelta(seconds=1)) == 5_010
    assert everything(log) == []


def test_the_wal_is_cut_even_when_a_slow_reader_stood_in_the_way(log: EmbeddedLog, path: Path) -> None:
    wal = path.with_name("log.sqlite-wal")
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM record").fetchone()
    chunk = b"x" * (8 * 1024 * 1024)
    for number in range(WAL_MOST_BYTES // len(chunk) + 1):
        log.settle(Settlement(state=[StateWrite("space", str(number), chunk)]))
    assert wal.stat().st_size > WAL_MOST_BYTES
    reader.close()
    for number in range(3):
        log.settle(Settlement(state=[StateWrite("space", "key", str(number).encode())]))
    assert wal.stat().st_size <= WAL_KEPT_BYTES


def test_the_wal_stays_bounded_while_a_consumer_polls(log: EmbeddedLog, path: Path) -> None:
    wal = path.with_name("log.sqlite-wal")
    consumer = log.consumer("g", ["posts"])
    sizes = []
    for _ in range(60):
        append(log, b"x" * 1_000_000)
        assert consumer.poll(1, 5.0)
        sizes.append(wal.stat().st_size)
    assert max(sizes) <= WAL_MOST_BYTES


def test_a_letter_that_is_forgotten_is_nowhere_in_the_file(log: EmbeddedLog, path: Path) -> None:
    error = BadRecord(BadReason.MISSING_TEXT, "what a very unusual detail says")
    payload = b"a very unusual sentence " * 500
    log.settle(Settlement(dead=[make_dead_letter(payload, error, stage="ingest", position="here", at=START)]))
    append(log, b"and more", b"after it")
    assert log.forget_dead_letters([1], START) == 1
    log.close()
    raw = path.read_bytes()
    assert b"very unusual sentence" not in raw
    assert b"very unusual detail" not in raw
    assert b"and more" in raw
