"""The ingest stage on the real log: one outcome each, repeats dropped, edits told, resumed after a crash."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fakes.clock import FakeClock

from domain.brand import Brand
from domain.errors import BackendDown, ConfigError
from domain.records import MatchedPost, Outcome, Retraction
from ingest.file import FileSource
from ingest.file_shape import FileSettings
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.retry import retry_letter
from ingest.runner import IngestResult, Progress, RunnerSettings, books_of, preview, run_source
from ingest.source import Item, RawPost, Removed
from ingest.stage import IngestStage
from stream.codec import decode
from stream.embedded import EmbeddedLog
from stream.park_cap import ParkCap
from stream.protocol import Settlement

ACME = Brand(brand_id="acme", name="Acme", query="acme")
ZETA = Brand(brand_id="zeta", name="Zeta", query="zeta")
WHEN = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"


class CrashingLog(EmbeddedLog):
    """The real log, whose machine dies at a chosen settlement."""

    crash_at: int | None = None

    def settle(self, settlement: Settlement) -> None:
        if self.crash_at is not None:
            self.crash_at -= 1
            if self.crash_at < 0:
                raise BackendDown("the power went")
        super().settle(settlement)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(tmp_path: Path, clock: FakeClock) -> Iterator[CrashingLog]:
    opened = CrashingLog.open(tmp_path / "log.sqlite", clock=clock)
    assert isinstance(opened, CrashingLog)
    yield opened
    opened.close()


Run = Callable[..., IngestResult]


@pytest.fixture
def run(log: CrashingLog, clock: FakeClock, tmp_path: Path) -> Run:
    """Write rows to a file and run it."""

    def run_rows(
        *rows: Mapping[str, object] | str, brands: tuple[Brand, ...] = (ACME, ZETA), name: str = "run", **more: object
    ) -> IngestResult:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        source = FileSource(FileSettings(path=str(path)))
        stage = IngestStage(log, BrandMatcher(brands), clock)
        more.setdefault("settings", RunnerSettings(batch_items=2))
        return run_source(source, _normaliser(), stage, log, clock, run=name, **more)  # type: ignore[arg-type]

    return run_rows


def _normaliser() -> Normaliser:
    return Normaliser("file", FileSettings(path="-").normalise)


def row(number: int, text: str = "acme", at: str | None = WHEN) -> dict[str, object]:
    return {"id": str(number), "text": text, "created_at": at}


def outputs(log: EmbeddedLog) -> list[MatchedPost | Retraction]:
    consumer = log.consumer("test", ["posts"])
    found = [decode(record.value) for record in consumer.poll(1000, 0.0)]
    consumer.close()
    return [record for record in found if isinstance(record, MatchedPost | Retraction)]


def told(log: EmbeddedLog) -> list[tuple[str, list[str], list[str]]]:
    return [
        (record.post.native_id, [match.brand_id for match in record.matches], list(record.withdrawn))
        for record in outputs(log)
        if isinstance(record, MatchedPost)
    ]


OK, DUPLICATE, FILTERED, PARKED = Outcome.OK, Outcome.DUPLICATE, Outcome.FILTERED, Outcome.PARKED


def test_every_item_has_exactly_one_outcome_and_the_books_say_so(run: Run, log: CrashingLog) -> None:
    result = run(row(1), row(2, "nobody"), row(1), "{broken", row(3, "acme zeta"), row(4, ""), row(5, at="soon"))
    assert result.books.outcomes == {OK: 2, DUPLICATE: 1, FILTERED: 1, PARKED: 3}
    assert result.books.reasons == {"not_json": 1, "missing_text": 1, "bad_date": 1}
    assert result.books.read == 7
    assert result.brands == {"acme": 2, "zeta": 1}
    assert result.finished
    assert not result.nothing_mapped
    assert told(log) == [("1", ["acme"], []), ("3", ["acme", "zeta"], [])]


def test_a_dead_letter_says_where_it_came_from_and_holds_the_bytes(run: Run, log: CrashingLog) -> None:
    run(row(1), "{broken", name="replay")
    (letter,) = [one.letter for one in log.dead_letters()]
    assert (letter.stage, letter.reason, letter.position) == ("ingest", "not_json", "replay.jsonl:2")
    assert (letter.payload, letter.run, letter.source) == (b"{broken", "replay", "file")


def test_the_same_file_again_adds_nothing(run: Run, log: CrashingLog) -> None:
    run(row(1), row(2), row(3, "nobody"), name="first")
    again = run(row(1), row(2), row(3, "nobody"), name="second")
    assert again.books.outcomes == {DUPLICATE: 2, FILTERED: 1}
    assert len(outputs(log)) == 2


def test_a_finished_run_gives_its_books_and_reads_nothing(run: Run) -> None:
    first = run(row(1), row(2))
    again = run(row(1), row(2))
    assert again.finished
    assert again.books == first.books


def test_an_older_revision_is_a_duplicate_and_a_newer_one_an_edit(run: Run, log: CrashingLog) -> None:
    result = run(row(1, at=LATER), row(1, at=WHEN), row(1, "acme zeta", at="2026-01-03T00:00:00Z"))
    assert result.books.outcomes == {OK: 2, DUPLICATE: 1}
    assert told(log) == [("1", ["acme"], []), ("1", ["acme", "zeta"], [])]


def test_an_edit_away_from_a_brand_withdraws_it_and_keeps_the_month(run: Run, log: CrashingLog) -> None:
    run(
        row(1, "acme zeta", at="2025-12-31T00:00:00Z"), row(1, "zeta"), row(1, "nothing", at=LATER),
        row(1, "still nothing", at="2026-01-03T00:00:00Z"), row(1, "acme", at="2026-01-04T00:00:00Z"),
    )  # fmt: skip
    assert told(log) == [
        ("1", ["acme", "zeta"], []),
        ("1", ["zeta"], ["acme"]),
        ("1", [], ["zeta"]),
        ("1", ["acme"], []),
    ]
    assert {record.post.routing_month for record in outputs(log) if isinstance(record, MatchedPost)} == {"2025.12"}


def test_a_new_brand_is_found_in_posts_seen_before_and_the_old_one_not_told_again(run: Run, log: CrashingLog) -> None:
    run(row(1, "acme zeta"), row(2, "acme"), brands=(ACME,), name="first")
    result = run(row(1, "acme zeta"), row(2, "acme"), brands=(ACME, ZETA), name="second")
    assert result.books.outcomes == {OK: 1, DUPLICATE: 1}
    assert told(log) == [("1", ["acme"], []), ("2", ["acme"], []), ("1", ["zeta"], [])]
    third = run(row(1, "acme zeta"), row(2, "acme"), brands=(ACME, ZETA), name="third")
    assert third.books.outcomes == {DUPLICATE: 2}


def _item(number: int, content: RawPost | Removed) -> Item:
    return Item(position=f"test:{number}", cursor=str(number), raw=b"{}", content=content)


def test_a_removal_is_sent_on_and_nothing_brings_the_post_back(log: CrashingLog, clock: FakeClock) -> None:
    stage = IngestStage(log, BrandMatcher((ACME,)), clock)
    gone = Removed(native_id="1", removed_at=datetime(2026, 1, 2, tzinfo=UTC))
    made = RawPost(fields={"id": "1", "text": "acme"})
    edited = RawPost(fields={"id": "1", "text": "acme", "published_at": LATER})
    unknown = Removed(native_id="9", removed_at=datetime(2026, 1, 2, tzinfo=UTC))
    items = [_item(number, content) for number, content in enumerate((made, gone, edited, gone, unknown))]
    handled = stage.handle(items, _normaliser(), source="file", run="live")
    assert handled.outcomes == [OK, OK, DUPLICATE, DUPLICATE, FILTERED]
    later = stage.handle([_item(9, edited)], _normaliser(), source="file", run="live")
    assert later.outcomes == [DUPLICATE]
    retraction = outputs(log)[1]
    assert isinstance(retraction, Retraction)
    assert (retraction.post_id, retraction.source) == ("file:1", "file")


@pytest.mark.parametrize("crash_at", range(6))
def test_a_crash_at_any_settlement_loses_and_doubles_nothing(run: Run, log: CrashingLog, crash_at: int) -> None:
    rows = [row(1), row(2), "{broken", row(1), row(3, "nobody"), row(4), row(5), row(6), "[]"]
    log.crash_at = crash_at
    with pytest.raises(BackendDown):
        run(*rows)
    log.crash_at = None
    result = run(*rows)
    assert result.books.outcomes == {OK: 5, DUPLICATE: 1, FILTERED: 1, PARKED: 2}
    assert [native_id for native_id, _, _ in told(log)] == ["1", "2", "4", "5", "6"]
    assert len(log.dead_letters()) == 2


def test_a_flood_of_bad_rows_stops_the_run_and_says_so(run: Run) -> None:
    settings = RunnerSettings(batch_items=10, park_cap=ParkCap(consecutive=20))
    result = run(row(1), *["{broken"] * 100, row(2), settings=settings)
    assert result.flood == "20 records in a row"
    assert not result.finished
    assert result.books.read == 30
    assert "not_json" in result.examples[0]


def test_a_file_of_which_no_row_maps_is_told_apart_from_one_without_matches(run: Run) -> None:
    assert run("{broken", "[]", name="bad").nothing_mapped
    assert run(name="empty").nothing_mapped
    assert not run(row(1, "nobody"), name="fine").nothing_mapped


def test_reading_pauses_while_the_next_stage_lags_behind(run: Run, log: CrashingLog) -> None:
    paused: list[int] = []
    consumer = log.consumer("enrich", ["posts"])

    def watch(progress: Progress) -> None:
        if progress.paused:
            paused.append(progress.items)
            last = consumer.poll(1000, 0.0)[-1]
            log.settle(Settlement(group="enrich", offsets={(last.topic, last.partition): last.offset + 1}))

    settings = RunnerSettings(batch_items=2, max_lag=3)
    result = run(*[row(number) for number in range(12)], settings=settings, on_progress=watch)
    consumer.close()
    assert paused == [4, 8, 12]
    assert result.books.outcomes == {OK: 12}


def test_a_fast_source_does_not_outrun_the_next_look_at_the_stages(run: Run, log: CrashingLog) -> None:
    stop = threading.Event()
    settings = RunnerSettings(batch_items=2, max_lag=3, lag_look_seconds=3600.0)
    result = run(
        *[row(number) for number in range(12)],
        settings=settings,
        stop=stop,
        on_progress=lambda now: stop.set() if now.paused else None,
    )
    assert result.books.outcomes == {OK: 4}


def test_a_run_that_is_stopped_goes_on_where_it_was(run: Run, log: CrashingLog) -> None:
    stop = threading.Event()
    rows = [row(number) for number in range(6)]
    first = run(*rows, stop=stop, on_progress=lambda _: stop.set())
    assert not first.finished
    assert first.books.outcomes == {OK: 2}
    assert run(*rows).books.outcomes == {OK: 6}
    assert len(outputs(log)) == 6


def _retry(log: CrashingLog, clock: FakeClock, payload: bytes | None = None, **settings: object) -> Outcome:
    source = FileSource(FileSettings(path="other.jsonl", **settings))  # type: ignore[arg-type]
    stage = IngestStage(log, BrandMatcher((ACME,)), clock)
    (letter,) = log.dead_letters()
    return retry_letter(letter, source, _normaliser(), stage, log, clock, payload=payload).outcome


def test_a_mended_dead_letter_takes_its_place_in_the_books(run: Run, log: CrashingLog, clock: FakeClock) -> None:
    run(row(1), row(2, at="soon"))
    assert _retry(log, clock) is PARKED
    assert len(log.dead_letters()) == 1
    assert _retry(log, clock, json.dumps(row(2)).encode()) is OK
    assert log.dead_letters() == []
    books = books_of(log, "run")
    assert (books.outcomes, books.reasons) == ({OK: 2}, {})
    assert [native_id for native_id, _, _ in told(log)] == ["1", "2"]


def test_a_dead_letter_of_a_table_brings_its_header(log: CrashingLog, clock: FakeClock, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("key,words\n1,acme\n2,acme,more\n")
    columns = {"id": "key", "text": "words"}
    source = FileSource(FileSettings(path=str(path), columns=columns))
    run_source(source, _normaliser(), IngestStage(log, BrandMatcher((ACME,)), clock), log, clock, run="run")
    (letter,) = log.dead_letters()
    assert letter.letter.payload == b"key,words\n2,acme,more"
    assert _retry(log, clock, b"key,words\n2,acme", columns=columns) is OK


def test_a_letter_without_an_id_still_owes_one(run: Run, log: CrashingLog, clock: FakeClock) -> None:
    run(row(1), {"text": "acme"})
    assert _retry(log, clock) is PARKED
    with pytest.raises(ConfigError, match="exactly one"):
        _retry(log, clock, b"{}\n{}")


def test_a_preview_stores_nothing(log: CrashingLog, clock: FakeClock, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,acme\n2\n3,nobody\n")
    source = FileSource(FileSettings(path=str(path)))
    shown = preview(source, _normaliser(), BrandMatcher((ACME,)), clock, items=10)
    assert [(one.post is not None, len(one.matches), one.error is not None) for one in shown] == [
        (True, 1, False), (False, 0, True), (True, 0, False),
    ]  # fmt: skip
    assert log.counts() == []


@pytest.mark.data
def test_the_airlines_file_gives_the_independent_counts(log: CrashingLog, clock: FakeClock, shared_data: Path) -> None:
    queries = {
        "united": '@united OR "united airlines"',
        "us-airways": '@usairways OR "us airways"',
        "american": '@americanair OR "american airlines"',
        "southwest": '@southwestair OR "southwest airlines"',
        "delta": '@delta OR "delta airlines"',
        "virgin-america": '@virginamerica OR "virgin america"',
        "jetblue": "@jetblue OR jetblue",
    }
    brands = [Brand(brand_id=brand_id, name=brand_id, query=query) for brand_id, query in queries.items()]
    source = FileSource(FileSettings(path=str(shared_data / "mentions" / "us-airlines-2015.jsonl.gz")))
    stage = IngestStage(log, BrandMatcher(brands), clock)
    settings = RunnerSettings(downstream=())
    result = run_source(source, _normaliser(), stage, log, clock, run="airlines", settings=settings)
    assert result.books.outcomes == {DUPLICATE: 155, FILTERED: 4, OK: 14_481}
    assert result.brands == {
        "united": 3866, "us-airways": 2987, "american": 2801, "southwest": 2452, "jetblue": 2239,
        "virgin-america": 518, "delta": 63,
    }  # fmt: skip
