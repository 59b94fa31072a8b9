"""The watched folder: what is taken and when, where it goes, and that a bad file stops nobody."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from fakes.clock import FakeClock

from domain.brand import Brand
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from domain.records import Outcome
from ingest import drop_folder
from ingest.file import FileReader, FileSource
from ingest.file_shape import FileSettings
from ingest.folder import FolderReader, FolderSettings, FolderSource
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.source import Item, RawPost
from ingest.stage import IngestStage
from stream.embedded import EmbeddedLog

BAD = BadRecord(BadReason.MISSING_TEXT, "there is no text")


class Drop:
    """A folder with a source over it; everything that is given is settled, except where a test says otherwise."""

    def __init__(self, path: Path, **settings: object) -> None:
        self.path, self.clock = path, FakeClock()
        self.source = FolderSource(FolderSettings(path=str(path), **settings), self.clock)  # type: ignore[arg-type]
        self.reader: FolderReader = self.source.open(None)
        self.cursor: str | None = None

    def write(self, name: str, content: bytes | str = '{"id": "1", "text": "one"}\n') -> Path:
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def step(self, size: int = 7, *, settle: bool = True) -> Sequence[Item]:
        items = self.reader.read(size)
        if items and settle:
            bad = [item.content for item in items if isinstance(item.content, BadRecord)]
            bad += [BAD for item in items if isinstance(item.content, RawPost) and not item.content.fields.get("text")]
            parked = [Outcome.PARKED] * len(bad)
            self.reader.settled([*parked, *[Outcome.OK] * (len(items) - len(bad))], bad)
            self.cursor = items[-1].cursor
        return items

    def run(self, *, until: str = "", looks: int = 40) -> list[str]:
        """Read for a while; gives the ids that came, and "?" for what is no post."""
        found: list[str] = []
        for _ in range(looks):
            found += [
                str(item.content.fields.get("id")) if isinstance(item.content, RawPost) else "?" for item in self.step()
            ]
            self.clock.advance(2.0)
        return found

    def again(self) -> None:
        """As after a kill."""
        self.reader.close()
        self.reader = self.source.open(self.cursor)

    def lies(self, place: str = "") -> list[str]:
        folder = self.path / place
        return sorted(path.name for path in folder.iterdir() if path.is_file()) if folder.exists() else []


Make = Callable[..., Drop]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Make a folder with a source, whose file is closed after the test."""
    made: list[Drop] = []

    def make_it(name: str = "", **settings: object) -> Drop:
        made.append(Drop(tmp_path / name, **settings))
        return made[-1]

    yield make_it
    for one in made:
        one.reader.close()


@pytest.fixture
def drop(make: Make) -> Drop:
    return make()


def rows(*numbers: int) -> str:
    return "".join(json.dumps({"id": str(n), "text": f"post {n}"}) + "\n" for n in numbers)


def test_a_file_is_read_and_moved_to_done(drop: Drop) -> None:
    content = rows(*range(20))
    drop.write("a.jsonl", content)
    assert drop.run() == [str(n) for n in range(20)]
    assert (drop.lies(), drop.lies("done"), drop.lies("failed")) == ([], ["a.jsonl"], [])
    assert (drop.path / "done" / "a.jsonl").read_text() == content


def test_a_file_is_not_taken_while_it_grows(drop: Drop) -> None:
    path = drop.write("a.jsonl", rows(0))
    for n in range(1, 5):
        assert not drop.step()
        drop.clock.advance(4.0)
        with path.open("a") as file:
            file.write(rows(n))
    assert drop.run() == ["0", "1", "2", "3", "4"]


def test_a_clock_of_the_share_that_is_wrong_does_not_matter(drop: Drop) -> None:
    for name, time in (("a.jsonl", 0), ("b.jsonl", 4_000_000_000)):
        os.utime(drop.write(name, rows(1)), (time, time))
    assert not drop.step()
    assert drop.run() == ["1", "1"]


@pytest.mark.parametrize("name", [".a.jsonl", "a.jsonl.part", "a.jsonl.TMP", "a.jsonl~", ".a.jsonl.x7Tq"])
def test_names_of_unfinished_files_are_left_alone(drop: Drop, name: str) -> None:
    path = drop.write(name)
    assert drop.run() == []
    path.rename(drop.path / "a.jsonl")
    assert drop.run() == ["1"]


def test_empty_files_and_folders_are_left_alone(drop: Drop) -> None:
    drop.write("empty.jsonl", "")
    (drop.path / "inner").mkdir()
    (drop.path / "inner" / "a.jsonl").write_text(rows(1))
    assert drop.run() == []
    assert drop.lies() == ["empty.jsonl"]


def test_links_pipes_and_devices_are_refused_and_told(
    drop: Drop, tmp_path_factory: pytest.TempPathFactory, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.jsonl"
    secret.write_text(rows(1))
    (drop.path / "link.jsonl").symlink_to(secret)
    os.mkfifo(drop.path / "pipe.jsonl")
    drop.write("a.jsonl", rows(2))
    assert drop.run() == ["2"]
    assert secret.read_text() == rows(1)
    told = [record.getMessage() for record in caplog.records if "is refused" in record.getMessage()]
    assert ["link.jsonl" in told[0], "pipe.jsonl" in told[1], len(told)] == [True, True, 2]


def test_a_file_that_becomes_a_link_is_not_followed(drop: Drop, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.jsonl"
    secret.write_text(rows(1))
    (drop.path / "link.jsonl").symlink_to(secret)
    source = FileSource(FileSettings(path=str(drop.path / "link.jsonl")), only_regular=True)
    with pytest.raises(ConfigError, match="cannot be opened"):
        source.open(None)
    assert not source.can_resume('{"file": "", "offset": 0, "line": 0}')


def test_a_link_in_the_place_of_done_is_refused(drop: Drop, tmp_path_factory: pytest.TempPathFactory) -> None:
    (drop.path / "done").symlink_to(tmp_path_factory.mktemp("elsewhere"))
    drop.write("a.jsonl")
    with pytest.raises(ConfigError, match=r"source\.folder\.path: .* is a link"):
        drop.run()
    assert drop.lies() == ["a.jsonl"]


def test_the_oldest_file_comes_first(drop: Drop) -> None:
    for name, time in (("a.jsonl", 300), ("b.jsonl", 100), ("c.jsonl", 200)):
        os.utime(drop.write(name, rows(time)), (time, time))
    assert drop.run() == ["100", "200", "300"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("damaged.jsonl.gz", gzip.compress(rows(*range(100)).encode())[:-5]),
        ("twice.csv", "id,id\n1,one\n"),
        ("picture.png", b"\x89PNG\r\n" + bytes(range(256)) * 100),
        ("other.jsonl", '{"id": "1", "nothing": "of ours"}\n' * 100),
        ("broken.jsonl", "{broken\n" * 100),
    ],
)
def test_a_bad_file_goes_to_failed_unread_and_the_others_are_read(drop: Drop, name: str, content: bytes | str) -> None:
    os.utime(drop.write(name, content), (1, 1))
    drop.write("good.jsonl", rows(1, 2))
    assert drop.run() == ["1", "2"]
    assert (drop.lies(), drop.lies("failed"), drop.lies("done")) == ([], [name], ["good.jsonl"])
    vitals = drop.reader.vitals()
    assert vitals.errors == 1
    assert name in vitals.note


def test_a_file_that_turns_bad_is_left_where_it_did(drop: Drop) -> None:
    os.utime(drop.write("bad.jsonl", rows(*range(300)) + "{broken\n" * 1_000), (1, 1))
    drop.write("good.jsonl", rows(1000))
    found = drop.run(looks=200)
    assert found[:300] == [str(n) for n in range(300)]
    assert 250 <= found.count("?") < 300
    assert found[-1] == "1000"
    assert drop.lies("failed") == ["bad.jsonl"]


def test_a_small_file_without_a_post_leaves_dead_letters_and_goes_to_failed(drop: Drop) -> None:
    drop.write("bad.jsonl", "{broken\n" * 3)
    assert drop.run() == ["?", "?", "?"]
    assert drop.lies("failed") == ["bad.jsonl"]


def test_a_bad_row_among_good_ones_is_no_bad_file(drop: Drop) -> None:
    drop.write("a.jsonl", rows(1) + "{broken\n" + rows(2))
    assert drop.run() == ["1", "?", "2"]
    assert drop.lies("done") == ["a.jsonl"]


def test_a_table_of_a_header_alone_is_done(drop: Drop) -> None:
    drop.write("none.csv", "id,text\n")
    assert drop.run() == []
    assert drop.lies("done") == ["none.csv"]


def test_killed_in_the_middle_it_goes_on_in_the_middle(drop: Drop) -> None:
    drop.write("a.jsonl", rows(*range(20)))
    found: list[Item] = []
    while len(found) < 14:
        found += drop.step()
        drop.clock.advance(6.0)
    # Given, and not settled: it comes again.
    drop.step(settle=False)
    drop.again()
    assert drop.run() == [str(n) for n in range(14, 20)]
    assert drop.lies("done") == ["a.jsonl"]


def test_killed_between_the_last_row_and_the_move_it_is_moved_afterwards(drop: Drop) -> None:
    drop.write("a.jsonl", rows(*range(7)))
    while not drop.step():
        drop.clock.advance(6.0)
    assert drop.lies() == ["a.jsonl"]
    drop.again()
    assert drop.run() == []
    assert drop.lies("done") == ["a.jsonl"]


def test_what_is_not_settled_is_not_moved(drop: Drop) -> None:
    drop.write("a.jsonl", rows(1))
    for _ in range(20):
        drop.step(settle=False)
        drop.clock.advance(6.0)
    assert drop.lies() == ["a.jsonl"]


def test_another_file_of_the_name_is_read_from_its_beginning(drop: Drop) -> None:
    drop.write("a.jsonl", rows(*range(20)))
    while not drop.step():
        drop.clock.advance(6.0)
    drop.write("a.jsonl", rows(50, 51))
    drop.again()
    assert drop.run() == ["50", "51"]


def test_a_file_that_grows_while_it_is_read_is_read_again(drop: Drop) -> None:
    path = drop.write("a.jsonl", rows(*range(10)))
    while not drop.step():
        drop.clock.advance(6.0)
    with path.open("a") as file:
        file.write(rows(10))
    found = drop.run()
    assert found[-11:] == [str(n) for n in range(11)]
    assert drop.lies("done") == ["a.jsonl"]


def test_a_name_that_is_taken_in_done_is_not_overwritten(drop: Drop) -> None:
    for n in range(4):
        drop.write("a.jsonl.gz", gzip.compress(rows(n).encode()))
        assert drop.run() == [str(n)]
    kept = [gzip.decompress((drop.path / "done" / name).read_bytes()).decode() for name in drop.lies("done")]
    assert sorted(kept) == [rows(n) for n in range(4)]
    assert all(name.endswith(".jsonl.gz") for name in drop.lies("done"))


def test_a_long_name_that_is_taken_is_shortened(drop: Drop) -> None:
    name = "\u00fc" * 120 + ".jsonl"
    for _ in range(2):
        drop.write(name)
        assert drop.run() == ["1"]
    assert len(drop.lies("done")) == 2


def test_a_name_of_any_bytes_is_read(drop: Drop) -> None:
    name = os.fsdecode(b"a\xff\n\x1b[31m.jsonl")
    drop.write(name, rows(1))
    items: list[Item] = []
    while not items:
        items += drop.step()
        drop.clock.advance(6.0)
    assert items[0].position.isprintable()
    items[0].position.encode()
    drop.again()
    assert drop.run() == []
    assert drop.lies("done") == [name]


def test_a_missing_folder_is_one_line_with_the_setting_and_the_page(make: Make) -> None:
    drop = make("away")
    with pytest.raises(ConfigError) as caught:
        drop.step()
    (problem,) = caught.value.problems
    assert problem.startswith("source.folder.path: ")
    assert "docs/sources/folder.md" in problem
    assert not drop.reader.vitals().connected
    # Mounted at last.
    drop.path.mkdir()
    drop.write("a.jsonl", rows(1))
    assert drop.run() == ["1"]
    assert drop.reader.vitals().connected


def test_a_folder_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"source\.folder\.path: is empty"):
        FolderSource(FolderSettings(path=""), FakeClock())


def test_reading_that_fails_is_tried_again_and_then_given_up(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(drop.write("bad.jsonl", rows(*range(500))), (1, 1))
    drop.write("good.jsonl", rows(1000))
    read = FileReader.read

    def failing(self: FileReader, max_items: int) -> Sequence[Item] | None:
        items = read(self, max_items)
        if items and items[-1].position == "bad.jsonl:300":
            raise OSError("a bad sector")
        return items

    monkeypatch.setattr(FileReader, "read", failing)
    found: list[str] = []
    waits = 0
    for _ in range(400):
        try:
            found += [item.position for item in drop.step(1)]
        except RetryLater:
            waits += 1
        drop.clock.advance(2.0)
    # Where it stopped it went on, and nothing was given twice.
    assert found == [*(f"bad.jsonl:{n}" for n in range(1, 300)), "good.jsonl:1"]
    assert waits == 2
    assert drop.run() == []
    assert (drop.lies("failed"), drop.lies("done")) == (["bad.jsonl"], ["good.jsonl"])


def test_opening_that_fails_is_tried_again_and_then_given_up(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    os.utime(drop.write("bad.jsonl", rows(1)), (1, 1))
    drop.write("good.jsonl", rows(2))
    start = FileSource.open

    def failing(self: FileSource, cursor: str | None) -> FileReader:
        if self.settings.path.endswith("bad.jsonl"):
            raise OSError("a bad sector")
        return start(self, cursor)

    monkeypatch.setattr(FileSource, "open", failing)
    waits = 0
    for _ in range(20):
        try:
            drop.step()
        except RetryLater:
            waits += 1
        drop.clock.advance(6.0)
    assert waits == 2
    assert (drop.lies("failed"), drop.lies("done")) == (["bad.jsonl"], ["good.jsonl"])


def test_of_very_many_files_all_are_read_though_few_are_known(drop: Drop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_folder, "MAX_KNOWN", 5)
    monkeypatch.setattr("ingest.folder.MAX_KNOWN", 5)
    for n in range(23):
        os.utime(drop.write(f"{n:02}.jsonl", rows(n)), (n + 1, n + 1))
    assert drop.run(looks=400) == [str(n) for n in range(23)]


def test_rows_have_the_source_that_files_are_said_to_have(make: Make) -> None:
    drop = make(rows=FileSettings(path="-", name="survey-2026"))
    drop.write("a.jsonl", '{"id": "1", "text": "one"}\n{"id": "2", "text": "two", "source": "forum"}\n')
    items: list[Item] = []
    while not items:
        items += drop.step()
        drop.clock.advance(6.0)
    sources = [item.content.fields["source"] for item in items if isinstance(item.content, RawPost)]
    assert sources == ["survey-2026", "forum"]
    again = drop.source.reread(b'{"id": "1", "text": "one"}', "a.jsonl:1").content
    assert isinstance(again, RawPost)
    assert again.fields["source"] == "survey-2026"


def test_the_same_file_dropped_twice_gives_duplicates_only(make: Make, tmp_path: Path) -> None:
    drop = make("drop")
    drop.path.mkdir()
    brand = Brand(brand_id="acme", name="Acme", query="post", query_revision=1)
    normaliser = Normaliser("folder", drop.source.normalise)
    with closing(EmbeddedLog.open(tmp_path / "log.sqlite", clock=drop.clock)) as log:
        stage = IngestStage(log, BrandMatcher((brand,)), drop.clock)
        outcomes: list[list[Outcome]] = []
        for _ in range(2):
            # One with ids, and one whose rows are known by their content.
            drop.write("ids.jsonl", rows(*range(5)))
            drop.write("hashes.csv", "text\npost a\npost b\n")
            found: list[Outcome] = []
            while drop.lies():
                if items := drop.reader.read(3):
                    handled = stage.handle(items, normaliser, source="folder", run="live")
                    drop.reader.settled(handled.outcomes, handled.errors)
                    found += handled.outcomes
                drop.clock.advance(2.0)
            outcomes.append(found)
    assert outcomes == [[Outcome.OK] * 7, [Outcome.DUPLICATE] * 7]


def test_what_is_dropped_is_live_unless_it_is_said_to_be_the_past(make: Make) -> None:
    assert not make().source.normalise.backfilled
    assert make(backfilled=True).source.normalise.backfilled
    # A row of this folder that names no source must be told from one of a file that was given a name.
    assert FileSettings(path="-").name == "file"
