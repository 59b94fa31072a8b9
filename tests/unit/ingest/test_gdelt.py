"""GDELT beyond what every source promises: its files, missing, damaged and hostile, and what a row becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes.clock import START, FakeClock
from fakes.live_gdelt import GdeltWorld, open_gdelt, row, stamp_of, zipped
from fakes.live_worlds import Fault

from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from ingest import gdelt_rows
from ingest.gdelt import EVERY
from ingest.gdelt_rows import item_of
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.polling import PollingReader
from ingest.source import Gap, Item, RawPost, SourceReader

STAMP = "20260105110000"


@pytest.fixture
def world() -> Iterator[GdeltWorld]:
    with open_gdelt() as opened:
        opened.clock = FakeClock()
        opened.begin(timedelta(hours=10))
        opened.settings = replace(opened.settings, poll_seconds=60.0)
        yield opened
        while _opened:
            _opened.pop().close()


_opened: list[SourceReader] = []


def open_at(world: GdeltWorld, cursor: str | None = None) -> PollingReader:
    reader = world.source().open(cursor)
    _opened.append(reader)
    return reader


def round_of(reader: PollingReader, world: GdeltWorld) -> list[Item]:
    """Let a minute pass and read until nothing is left for now."""
    world.clock.sleep(60.0)
    items: list[Item] = []
    while reader._next_at <= world.clock.monotonic() or reader._waiting:
        items += reader.read(10_000)
    return items


def listening(world: GdeltWorld) -> PollingReader:
    reader = open_at(world)
    round_of(reader, world)
    return reader


def numbers(items: list[Item]) -> list[int]:
    return [int(str(item.content.fields["id"])[-3:]) for item in items if isinstance(item.content, RawPost)]


def gaps(items: list[Item]) -> list[Gap]:
    return [item.content for item in items if isinstance(item.content, Gap)]


def content(line: str) -> RawPost:
    item = item_of(line.encode(), "here", "-/-")
    assert item is not None
    assert isinstance(item.content, RawPost)
    return item.content


def test_an_article_is_its_address_title_time_and_themes() -> None:
    extras = (
        "<PAGE_AUTHORS>Ann Author;Bob Writer</PAGE_AUTHORS>"
        "<PAGE_PRECISEPUBTIMESTAMP>20260105104200</PAGE_PRECISEPUBTIMESTAMP>"
    )
    url = "https://www.news.example/a?utm_source=x&id=7"
    raw = content(
        row(STAMP, 1, title="Acme&#x2019;s rise", url=url, extras=extras, themes="ECON_STOCKMARKET;TAX_FNCACT;")
    )
    post = Normaliser("gdelt", NormaliserSettings(html="always")).normalise(raw, START)
    assert post.native_id == post.url == "https://www.news.example/a?id=7"
    assert post.text == "Acme\u2019s rise"
    assert post.title is None
    assert post.published_at == datetime(2026, 1, 5, 10, 42, tzinfo=UTC)
    assert post.domains == ("news.example",)
    assert (post.declared_lang, post.kind, post.author_name) == ("en", "article", "Ann Author, Bob Writer")
    assert post.attrs == {"themes": "ECON_STOCKMARKET;TAX_FNCACT", "source": "news.example"}


@pytest.mark.parametrize("said", ["20260105120000", "20269905104200", "", "19"])
def test_a_time_that_cannot_be_is_that_of_the_file(said: str) -> None:
    extras = f"<PAGE_PRECISEPUBTIMESTAMP>{said}</PAGE_PRECISEPUBTIMESTAMP>"
    assert content(row(STAMP, 1, title="acme", extras=extras)).fields["published_at"] == datetime(
        2026, 1, 5, 11, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("translation", "language"), [("srclc:deu;eng:Moses 2.1.1", "de"), ("srclc:xyz;eng:x", "xyz"), ("", "en")]
)
def test_its_language_is_that_of_the_page(translation: str, language: str) -> None:
    assert content(row(STAMP, 1, title="acme", translation=translation)).fields["lang"] == language


def test_what_is_no_article_of_the_web_or_has_no_title_is_left_out() -> None:
    assert item_of(row(STAMP, 1, title="acme", collection="2", url="BBC Monitoring").encode(), "here", "") is None
    assert item_of(row(STAMP, 1, title=None).encode(), "here", "") is None
    assert item_of(row(STAMP, 1, title="  ").encode(), "here", "") is None
    assert item_of(b"", "here", "") is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a\tb", BadReason.BAD_ROW),
        (row(STAMP, 1, title="acme") + "\tmore", BadReason.BAD_ROW),
        (row(STAMP, 1, title="acme", url="javascript:alert(1)"), BadReason.MISSING_ID),
    ],
)
def test_a_row_that_cannot_be_read_is_parked(line: str, reason: BadReason) -> None:
    item = item_of(line.encode(), "here", "")
    assert item is not None
    assert isinstance(item.content, BadRecord)
    assert item.content.reason is reason
    assert json.loads(item.raw)


def test_it_begins_with_the_newest_file(world: GdeltWorld) -> None:
    world.publish([1])
    world.publish([2])
    assert numbers(round_of(open_at(world), world)) == [2]


def test_a_file_is_read_in_parts_and_only_its_last_row_moves_the_cursor(world: GdeltWorld) -> None:
    reader = listening(world)
    before = world.at
    stamp = stamp_of(before + EVERY)
    world.add([row(stamp, 2_000_000 + n, title="acme") for n in range(1_300)])
    items = round_of(reader, world)
    assert len({item.position for item in items}) == 1_300
    assert {item.cursor for item in items[:-1]} == {f"{stamp_of(before)}/-"}
    assert items[-1].cursor == f"{stamp}/-"


def test_missed_files_are_caught_up_in_order_and_a_missing_one_is_a_gap(world: GdeltWorld) -> None:
    reader = listening(world)
    world.publish([1])
    world.skip(2)
    world.publish([2])
    items = round_of(reader, world)
    assert numbers(items) == [1, 2]
    first, second = gaps(items)
    assert (first.end - first.start, second.start, second.recovered) == (EVERY, first.end, 0)
    assert "no file" in first.reason


def test_after_a_restart_it_goes_on_after_the_last_whole_file(world: GdeltWorld) -> None:
    reader = listening(world)
    world.publish([1, 2])
    items = round_of(reader, world)
    world.publish([3])
    assert numbers(round_of(open_at(world, items[0].cursor), world)) == [1, 2, 3]
    assert numbers(round_of(open_at(world, items[-1].cursor), world)) == [3]


def test_an_absence_beyond_the_limit_is_a_gap_that_names_the_backfill(world: GdeltWorld) -> None:
    world.settings = replace(world.settings, catch_up_hours=1.0)
    cursor = f"{stamp_of(world.at)}/-"
    for number in range(8):
        world.publish([number])
    items = round_of(open_at(world, cursor), world)
    (gap,) = gaps(items)
    assert "backfill" in gap.reason
    assert gap.recovered is None
    assert gap.end - gap.start == timedelta(hours=1)
    assert numbers(items) == [4, 5, 6, 7]
    assert items[0].cursor == cursor


def test_the_gap_of_an_absence_is_told_though_the_next_file_cannot_be_had(world: GdeltWorld) -> None:
    world.settings = replace(world.settings, catch_up_hours=1.0)
    cursor = f"{stamp_of(world.at)}/-"
    for number in range(8):
        world.publish([number])
    reader = open_at(world, cursor)
    items = list(reader.read(10))
    world.due.append(Fault.BROKEN)
    with pytest.raises(RetryLater):
        reader.read(10)
    while len(items) < 5:
        items += round_of(reader, world)
    assert len(gaps(items)) == 1
    assert numbers(items) == [4, 5, 6, 7]


def test_a_file_with_another_md5_than_listed_is_fetched_again(world: GdeltWorld) -> None:
    reader = listening(world)
    world.publish([1])
    world.md5 = "0" * 32
    with pytest.raises(RetryLater, match="md5"):
        round_of(reader, world)
    world.md5 = None
    assert numbers(round_of(reader, world)) == [1]


def test_a_file_that_stays_damaged_gives_what_is_whole_and_then_a_gap(world: GdeltWorld) -> None:
    reader = listening(world)
    rows = [row(stamp_of(world.at + EVERY), 1_000_000 + n, title=f"acme {n * 7919}") for n in range(900)]
    world.add(rows)
    name = max(world.files)
    packed = bytearray(world.files[name])
    packed[len(packed) * 2 // 3] ^= 0xFF
    world.files[name] = bytes(packed)
    world.publish([999])
    items: list[Item] = []
    refused = 0
    for _ in range(8):
        try:
            items += round_of(reader, world)
        except RetryLater:
            refused += 1
    (gap,) = gaps(items)
    found = numbers(items)
    assert refused == 2
    assert found[-1] == 999
    assert len(found) == len({item.position for item in items}) - 1
    assert gap.recovered is not None
    assert gap.recovered >= len(found) - 1


@pytest.mark.parametrize(
    "archive",
    [b"", b"no archive", zipped(), zipped(b"a", b"b"), b"PK\x05\x06" + b"\x00" * 18, b"PK\x03\x04" + b"\xff" * 90],
)
def test_what_is_no_archive_of_one_table_is_given_up_after_three_tries(archive: bytes, world: GdeltWorld) -> None:
    reader = listening(world)
    world.publish([1])
    world.files[max(world.files)] = archive
    for _ in range(2):
        with pytest.raises(RetryLater, match="cannot be read"):
            round_of(reader, world)
    (gap,) = gaps(round_of(reader, world))
    assert gap.recovered == 0
    world.publish([2])
    assert numbers(round_of(reader, world)) == [2]


def test_what_unpacks_to_too_much_is_given_up(world: GdeltWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gdelt_rows, "MAX_UNPACKED_BYTES", 1_000_000)
    monkeypatch.setattr(gdelt_rows, "MAX_LINE_BYTES", 100_000)
    for table in (b"x" * 10_000_000, (b"x" * 1_000 + b"\n") * 10_000):
        assert len(zipped(table)) < 100_000
        with pytest.raises(gdelt_rows.Unreadable, match="more than it may"):
            list(gdelt_rows.rows_of(zipped(table)))


@pytest.mark.parametrize(
    "said", [b"", b"\xff\xfe", b"1 2 3", b"12 " + b"0" * 32 + b" http://x/20261399000000.gkg.csv.zip"]
)
def test_a_list_that_names_no_file_is_asked_again(said: bytes, world: GdeltWorld) -> None:
    reader = listening(world)
    world.lists["lastupdate.txt"] = said
    with pytest.raises(RetryLater, match="names no file"):
        round_of(reader, world)


def test_a_file_of_the_far_future_does_not_make_it_deaf(world: GdeltWorld) -> None:
    reader = listening(world)
    world.lists["lastupdate.txt"] = b"12 " + b"0" * 32 + b" http://x/20991231000000.gkg.csv.zip"
    with pytest.raises(RetryLater, match="our clock"):
        round_of(reader, world)
    world.lists.clear()
    world.publish([1])
    assert numbers(round_of(reader, world)) == [1]


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(hours=20)])
def test_a_file_of_some_hours_ahead_does_not_make_it_deaf_either(ahead: timedelta, world: GdeltWorld) -> None:
    reader = listening(world)
    stamp = stamp_of(world.clock.now() + ahead).encode()
    world.lists["lastupdate.txt"] = b"12 " + b"0" * 32 + b" http://x/" + stamp + b".gkg.csv.zip"
    with pytest.raises(RetryLater, match="our clock"):
        round_of(reader, world)
    world.lists.clear()
    world.publish([1])
    assert numbers(round_of(reader, world)) == [1]


def test_a_cursor_of_the_future_goes_on_with_the_newest_file(world: GdeltWorld) -> None:
    world.publish([1])
    reader = open_at(world, f"{stamp_of(world.clock.now() + timedelta(hours=20))}/-")
    assert numbers(round_of(reader, world)) == [1]
    world.publish([2])
    assert numbers(round_of(reader, world)) == [2]


def test_the_translated_feed_is_read_where_the_settings_say_so_and_each_goes_on_by_itself(world: GdeltWorld) -> None:
    world.settings = replace(world.settings, translated=True)
    reader = open_at(world)
    with pytest.raises(RetryLater, match="lastupdate-translation"):
        round_of(reader, world)
    world.publish([1])
    world.add([row(stamp_of(world.at), "T002", title="acme", translation="srclc:fra;eng:x")], suffix=".translation")
    items = round_of(reader, world)
    assert sorted(numbers(items)) == [1, 2]
    assert items[-1].cursor == f"{stamp_of(world.at)}/{stamp_of(world.at)}"
    # The one without the other.
    world.publish([3])
    assert numbers(round_of(reader, world)) == [3]


def test_its_history_gives_the_files_of_a_span_and_goes_on_where_it_was(world: GdeltWorld) -> None:
    start = world.at + EVERY
    world.publish([1, 2])
    world.publish([3])
    world.skip()
    world.publish([4])
    world.publish([5])
    source = world.source().history(start, start + 4 * EVERY)
    reader = source.open(None)
    _opened.append(reader)
    first = list(reader.read(10) or ())
    cursor = first[-1].cursor
    rest: list[Item] = []
    reader = source.open(cursor)
    _opened.append(reader)
    while (batch := reader.read(10)) is not None:
        rest += batch
    assert numbers(first) == [1, 2]
    assert numbers(rest) == [3, 4]
    assert len(gaps(rest)) == 1
    extent = reader.extent()
    assert extent is not None
    assert extent.done == extent.total == 4


def test_its_history_has_both_feeds_where_the_settings_say_so(world: GdeltWorld) -> None:
    world.settings = replace(world.settings, translated=True)
    start = world.at + EVERY
    world.publish([1])
    world.add([row(stamp_of(world.at), "T002", title="acme")], suffix=".translation")
    reader = world.source().history(start, start + timedelta(minutes=1)).open(None)
    _opened.append(reader)
    assert numbers([*(reader.read(10) or ()), *(reader.read(10) or ())]) == [1, 2]
    assert reader.read(10) is None


def test_its_history_begins_in_2015(world: GdeltWorld) -> None:
    with pytest.raises(ConfigError, match="2015-02-18"):
        world.source().history(datetime(2014, 1, 1, tzinfo=UTC), datetime(2014, 2, 1, tzinfo=UTC))


@pytest.mark.parametrize("cursor", ["", "-", "5/6", "20269901000000/-", "a/b/c"])
def test_a_cursor_that_is_none_begins_anew(cursor: str, world: GdeltWorld) -> None:
    assert not world.source().can_resume(cursor)
    round_of(open_at(world, cursor), world)
