"""What machines see of a running pipeline agrees with its books, says whether it is ready, and tells no texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.running_pipeline import Running, post, running_pipeline, write_rows

from dashboard.books import ENDS, StageInfo, read_books
from domain.records import Health, Outcome, Topic
from service.health_events import HealthReporter
from service.stages import STAGES
from stream.codec import decode

CANARY = "canary"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A pipeline that has replayed posts of every outcome."""
    folder = tmp_path_factory.mktemp("operations")
    rows = [post(number, f"acme and globex, {CANARY}") for number in range(40)]
    rows += [post(3, f"acme and globex, {CANARY}"), post(100, "nothing of interest")]
    poison = [f"{{broken {CANARY}", post(101, created_at=f"{CANARY} o'clock"), f"[1, 2, '{CANARY}']"]
    with running_pipeline(folder) as running:
        books = running.replay(write_rows(folder / "posts.jsonl", [*rows, *poison]))
        assert (books["parked"], books["duplicate"], books["filtered"], books["mentions"]) == (3, 1, 1, 80)
        yield running


def samples(running: Running) -> dict[tuple[str, tuple[str, ...]], float]:
    """Give what `/metrics` says: (name, label values) -> value."""
    found = {}
    for line in running.client.get("/metrics").text.splitlines():
        if not line.startswith("#"):
            name, labels, value = re.fullmatch(r"([a-z_]+)(?:\{(.*)\})? (\S+)", line).groups()  # type: ignore[union-attr]
            found[name, tuple(sorted(re.findall(r'"([^"]*)"', labels or "")))] = float(value)
    return found


def test_metrics_the_page_and_the_log_agree(running: Running) -> None:
    log = running.pipeline._log
    page = read_books(log, [StageInfo(one.name, one.meaning, one.group, one.topics) for one in STAGES])
    seen = samples(running)
    letters = Counter((row.letter.stage, row.letter.reason) for row in log.dead_letters())
    assert sum(letters.values()) >= 3
    for stage in page:
        name = stage.info.name
        for end in ENDS:
            key = tuple(sorted((name, end.value)))
            counted = sum(one.number for one in log.counts() if (one.stage, one.outcome) == (name, end))
            assert stage.outcomes[end] == counted
            assert seen["soundings_stream_booked_records", key] == counted
            # All of it was done by this process.
            assert seen["soundings_stream_settled_records_total", key] == counted
        if stage.info.topics:
            assert seen["soundings_stream_lag_records", (name,)] == stage.waiting == 0
        for reason, number in stage.reasons.items():
            key = tuple(sorted((name, reason)))
            assert seen["soundings_stream_dead_letters", key] == number == letters[name, reason]
    assert seen["soundings_search_mentions", ()] == running.pipeline._store.count() > 0


def test_a_dead_letter_that_stays_bad_stays_open_and_no_counter_goes_back(running: Running, tmp_path: Path) -> None:
    running.replay(write_rows(tmp_path / "more.jsonl", [post(200, created_at="2026-13-40"), post(201)]))
    before = samples(running)
    assert before["soundings_stream_dead_letters", ("bad_date", "ingest")] == 2
    running.pipeline.retry(None, lambda progress: None)
    after = samples(running)
    assert after["soundings_stream_dead_letters", ("bad_date", "ingest")] == 2
    for key, value in before.items():
        if key[0].endswith("_total"):
            assert after[key] >= value


def test_it_is_alive_and_ready_and_says_no_more(running: Running) -> None:
    assert running.client.get("/healthz").text == "ok\n"
    answer = running.client.get("/readyz")
    while answer.status_code != 200:
        answer = running.client.get("/readyz")
    assert answer.json() == {
        "ready": True,
        "parts": dict.fromkeys(("log", "store", "engine", "stages", "disk"), "ok"),
    }
    for path in ("/", "/api/mentions", "/metrics/x"):
        assert running.client.get(path).status_code == 404
    assert running.client.post("/metrics").status_code == 501
    head = running.client.head("/metrics")
    assert (head.status_code, head.text) == (200, "")
    assert head.headers["server"] == "soundings"


def test_nothing_that_people_wrote_is_on_the_health_port(running: Running) -> None:
    told = "".join(running.client.get(path).text for path in ("/healthz", "/readyz", "/metrics"))
    assert CANARY not in told
    assert "ann" not in re.findall(r'"([^"]*)"', told)
    assert "more.jsonl" not in told


def test_health_documents_add_up_to_the_books(running: Running, tmp_path: Path) -> None:
    reporter = HealthReporter(
        running.pipeline._log, running.operations.watch, lambda: True, running.pipeline._clock, worker="here/1"
    )
    assert reporter.report()
    running.replay(write_rows(tmp_path / "again.jsonl", [post(number) for number in range(300, 310)]))
    assert reporter.report()
    assert reporter.report()
    consumer = running.pipeline._log.consumer("test", [Topic.EVENTS.value])
    documents = [decode(record.value) for record in consumer.poll(100, 0.0)]
    consumer.close()
    assert len(documents) == 9
    totals: Counter[tuple[str, str]] = Counter()
    for document in documents:
        assert isinstance(document, Health)
        assert (document.worker, document.ready) == ("here/1", True)
        ends = {end: getattr(document, end.value) for end in ENDS}
        assert document.came_in == sum(ends.values())
        totals.update({(document.stage, end.value): number for end, number in ends.items()})
    booked = Counter[tuple[str, str]]()
    for count in running.pipeline._log.counts():
        if count.outcome is not Outcome.RETRIED:
            booked[count.stage, count.outcome.value] += count.number
    assert +totals == +booked
    assert documents[-1].came_in == 0
    assert {document.lag for document in documents if document.stage == "index"} == {0}
