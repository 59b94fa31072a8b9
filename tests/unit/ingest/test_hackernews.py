"""Hacker News beyond what every source promises: slices, the ceiling of its search, edits and deletions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

import pytest
from fakes.clock import START, FakeClock
from fakes.live_hackernews import HackerNewsWorld, open_hackernews
from fakes.live_worlds import Fault

from domain.errors import ConfigError
from ingest.hackernews import OVERLAP_SECONDS, SLICE_SECONDS
from ingest.hackernews_updates import MAX_KNOWN, Updates
from ingest.normalise import NormaliserSettings
from ingest.polling import PollingReader
from ingest.source import Gap, Item, RawPost, Removed, Restored, SourceReader
from ingest.web import Fetcher
from service.settings import read
from service.sources.hackernews import HACKERNEWS
from service.sources.kind import SourceContext

NOW = int(START.timestamp())


@pytest.fixture
def world() -> Iterator[HackerNewsWorld]:
    with open_hackernews() as opened:
        opened.clock, opened.poll_seconds = FakeClock(), 60.0
        yield opened
        while _opened:
            _opened.pop().close()


_opened: list[SourceReader] = []


def open_at(world: HackerNewsWorld, cursor: str | None) -> PollingReader:
    reader = world.source().open(cursor)
    _opened.append(reader)
    return reader


def listening(world: HackerNewsWorld, cursor: str | None = None) -> PollingReader:
    reader = open_at(world, cursor)
    round_of(reader, world)
    return reader


def round_of(reader: PollingReader, world: HackerNewsWorld) -> list[Item]:
    """Read until the source has nothing more to say for now."""
    items: list[Item] = []
    world.clock.sleep(world.poll_seconds)
    before = -1
    while before != len(world.asked):
        before = len(world.asked)
        items += reader.read(10_000)
    return items


def ids(items: list[Item]) -> list[int]:
    return [int(str(item.content.fields["id"])[-3:]) for item in items if isinstance(item.content, RawPost)]


def slices(world: HackerNewsWorld) -> list[str]:
    return [unquote(path) for path in world.asked if path.startswith("/api/")]


def test_without_a_cursor_it_begins_at_the_newest_item_whatever_our_clock_says(world: HackerNewsWorld) -> None:
    days_ago = NOW - 3 * 86_400
    world.publish([1], at=days_ago - 2 * OVERLAP_SECONDS)
    world.publish([2], at=days_ago)
    reader = open_at(world, None)
    assert ids(round_of(reader, world)) == [2]
    world.publish([3], at=days_ago + 5)
    assert ids(round_of(reader, world)) == [3]


def test_an_item_that_the_search_shows_late_is_given_and_the_others_not_again(world: HackerNewsWorld) -> None:
    world.publish([1, 2], at=NOW)
    reader = listening(world)
    world.publish([3], at=NOW - OVERLAP_SECONDS + 10)
    assert ids(round_of(reader, world)) == [3]
    assert ids(round_of(reader, world)) == []


def test_after_a_long_absence_it_asks_hour_by_hour_oldest_first(world: HackerNewsWorld) -> None:
    for hour in range(10):
        world.publish([hour], at=NOW - (10 - hour) * SLICE_SECONDS)
    reader = open_at(world, str(NOW - 10 * SLICE_SECONDS))
    items = round_of(reader, world)
    assert ids(items) == list(range(10))
    assert len(slices(world)) > 10
    assert all("created_at_i<=" in asked for asked in slices(world)[:9])
    assert [int(item.cursor) for item in items] == [NOW - (10 - hour) * SLICE_SECONDS for hour in range(10)]


def test_a_slice_that_is_full_is_cut_and_nothing_of_it_is_lost(world: HackerNewsWorld) -> None:
    world.publish([0], at=NOW - 100)
    reader = listening(world)
    for second in range(90):
        world.publish(range(second * 30, second * 30 + 30), at=NOW - 90 + second)
    items = round_of(reader, world)
    assert len({item.position for item in items}) == len(items) == 2_699
    assert [int(item.cursor) for item in items] == sorted(int(item.cursor) for item in items)


def test_a_second_beyond_the_ceiling_is_a_gap_told_once_and_reading_goes_on(world: HackerNewsWorld) -> None:
    world.publish([0], at=NOW - 100)
    reader = listening(world)
    world.publish(range(1_200), at=NOW - 50)
    world.publish([7_777], at=NOW - 10)
    items = round_of(reader, world)
    (gap,) = [item for item in items if isinstance(item.content, Gap)]
    assert isinstance(gap.content, Gap)
    assert gap.content.start == datetime.fromtimestamp(NOW - 50, UTC)
    assert gap.content.end - gap.content.start == timedelta(seconds=1)
    assert gap.content.recovered == 1_000
    assert items[-1].position == "hackernews:1007777"
    assert round_of(reader, world) == []


@pytest.mark.parametrize("hours", [1, 2, 24, 240])
def test_an_item_of_the_future_is_given_once_and_hides_nothing(hours: int, world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW)
    reader = listening(world)
    world.publish([2], at=NOW + hours * 3_600)
    (item,) = round_of(reader, world)
    assert (ids([item]), int(item.cursor)) == ([2], NOW)
    for number in range(3, 200):
        now = int(world.clock.now().timestamp())
        world.publish([number], at=now)
        (item,) = round_of(reader, world)
        assert (ids([item]), int(item.cursor)) == ([number], now)


def test_it_does_not_begin_in_the_future(world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW + 86_400)
    reader = listening(world)
    world.publish([2], at=NOW + 30)
    assert ids(round_of(reader, world)) == [2]


@pytest.mark.parametrize("ahead", [60, 3_500, 86_400])
def test_a_cursor_of_the_future_goes_on_now_and_reads_what_it_hid(ahead: int, world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW - 60)
    reader = open_at(world, str(NOW + ahead))
    items = round_of(reader, world)
    assert ids(items) == [1]
    assert int(items[-1].cursor) <= int(world.clock.now().timestamp())
    world.publish([2], at=NOW + 61)
    assert ids(round_of(reader, world)) == [2]


@pytest.mark.parametrize("ours", [timedelta(hours=-6), timedelta(hours=6)])
def test_what_is_the_future_is_told_by_the_clock_of_the_site(ours: timedelta, world: HackerNewsWorld) -> None:
    world.site_clock, world.clock = FakeClock(), FakeClock(START + ours)
    world.publish([1], at=NOW - 300)
    world.publish([2], at=NOW + 7_200)
    reader = open_at(world, str(NOW - 600))
    items = round_of(reader, world)
    assert ids(items) == [1, 2]
    assert int(items[-1].cursor) == NOW - 300
    world.site_clock.advance(600.0)
    world.publish([3], at=NOW + 590)
    assert ids(round_of(reader, world)) == [3]


def test_our_clock_running_ahead_loses_nothing(world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW)
    reader = listening(world)
    assert isinstance(world.clock, FakeClock)
    world.clock.set(START + timedelta(days=2))
    assert round_of(reader, world) == []
    world.publish([2], at=NOW + 60)
    assert ids(round_of(reader, world)) == [2]


def test_other_words_are_an_edit_and_other_votes_are_not(world: HackerNewsWorld) -> None:
    world.publish([1, 2], at=NOW)
    reader = listening(world)
    world.change(1, text="post 1 about <i>globex</i>")
    world.change(2, score=17, kids=[5])
    (edit,) = round_of(reader, world)
    assert isinstance(edit.content, RawPost)
    assert edit.content.fields["id"] == "1000001"
    assert edit.content.fields["text"] == "post 1 about <i>globex</i>"
    assert edit.content.fields["edited_at"] > edit.content.fields["published_at"]  # type: ignore[operator]
    assert edit.content.fields["thread_id"] == "1"
    assert edit.cursor == str(NOW)
    assert round_of(reader, world) == []


def test_what_is_deleted_or_dead_is_removed_once_and_what_comes_back_is_given_again(world: HackerNewsWorld) -> None:
    world.publish([1, 2], at=NOW)
    reader = listening(world)
    world.change(1, deleted=True, text=None)
    world.change(2, dead=True)
    removed = [item.content for item in round_of(reader, world)]
    assert [(one.native_id, one.reason) for one in removed if isinstance(one, Removed)] == [
        ("1000001", "deleted"),
        ("1000002", "dead"),
    ]
    assert round_of(reader, world) == []
    world.change(2, dead=False)
    back, again = round_of(reader, world)
    assert isinstance(back.content, Restored)
    assert back.content.native_id == "1000002"
    assert ids([again]) == [2]


def test_the_deletion_of_what_was_given_before_a_restart_is_heard(world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW - 86_400)
    reader = listening(world, str(NOW))
    world.change(1, deleted=True)
    (item,) = round_of(reader, world)
    assert isinstance(item.content, Removed)


def test_without_the_live_data_it_reads_on_and_says_what_is_not_heard(world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW)
    world.live_due.append(Fault.UNAUTHORISED)
    reader = listening(world)
    assert "edits and deletions are not heard" in reader.vitals().note
    assert "source.hackernews.updates_address" in reader.vitals().note
    assert reader.vitals().errors == 1
    world.publish([2], at=NOW + 1)
    assert ids(round_of(reader, world)) == [2]
    world.clock.sleep(400.0)
    round_of(reader, world)
    assert reader.vitals().note == ""


@pytest.mark.parametrize("changed", [None, {"a": 1}, ["x", None, {}, True], list(range(2_000))])
def test_a_list_of_changes_that_is_none_does_no_harm(changed: object, world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW)
    world.changed = changed  # type: ignore[assignment]
    reader = listening(world)
    world.publish([2], at=NOW + 1)
    assert ids(round_of(reader, world)) == [2]


@pytest.mark.parametrize(
    "said", [None, 5, [], {}, {"id": "x"}, {"id": 1_000_001}, {"id": 1_000_001, "type": [], "text": 5}]
)
def test_a_changed_item_that_is_none_does_no_harm(said: object, world: HackerNewsWorld) -> None:
    world.publish([1], at=NOW)
    reader = listening(world)
    world.changed, world.live = [1_000_001], {1_000_001: said}
    assert round_of(reader, world) == []


def test_what_it_keeps_of_items_is_bounded(world: HackerNewsWorld) -> None:
    updates = Updates("", Fetcher(), world.clock)
    updates.gave({"objectID": str(number), "comment_text": "words"} for number in range(MAX_KNOWN + 100))
    assert len(updates._known) == MAX_KNOWN


@pytest.mark.parametrize("updates", [True, False])
def test_the_live_data_is_asked_for_edits_unless_the_settings_say_no(
    updates: bool, world: HackerNewsWorld, tmp_path: Path
) -> None:
    path = tmp_path / "soundings.toml"
    where = f'address = "{world.address}"\nupdates_address = "{world.address}"'
    path.write_text(f"[source.hackernews]\n{where}\nupdates = {str(updates).lower()}\n", encoding="utf-8")
    settings, problems = read(path, environ={})
    assert problems == []
    context = SourceContext(
        values=settings.sources.values["hackernews"],
        normalise=NormaliserSettings(),
        brands=(),
        clock=world.clock,
        allow_private=True,
    )
    reader = HACKERNEWS.build(context).open(None)
    assert isinstance(reader, PollingReader)
    _opened.append(reader)
    world.publish([1], at=NOW)
    round_of(reader, world)
    assert ("/v0/updates.json" in world.asked) is updates


def test_its_history_gives_a_span_once_and_ends_and_goes_on_where_it_was(world: HackerNewsWorld) -> None:
    first = NOW - 100 * 86_400
    for number in range(50):
        world.publish([number], at=first + number * 600)
    source = world.source().history(
        datetime.fromtimestamp(first + 600, UTC), datetime.fromtimestamp(first + 40 * 600, UTC)
    )
    reader = source.open(None)
    _opened.append(reader)
    start = list(reader.read(4) or ())
    rest: list[Item] = []
    reader = source.open(start[-1].cursor)
    _opened.append(reader)
    while (batch := reader.read(10)) is not None:
        rest += batch
    assert ids(start) == [1, 2, 3, 4]
    assert ids(rest) == list(range(4, 40))
    extent = reader.extent()
    assert extent is not None
    assert extent.done == extent.total == 39 * 600


def test_its_history_begins_with_the_site(world: HackerNewsWorld) -> None:
    with pytest.raises(ConfigError, match="2006-10-09"):
        world.source().history(datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC))


def test_a_dead_letter_is_read_again_and_nonsense_refused(world: HackerNewsWorld) -> None:
    item = world.source().reread(json.dumps({"objectID": "5", "title": "acme", "author": "a"}).encode(), "here")
    assert isinstance(item.content, RawPost)
    assert item.content.fields["text"] == "acme"
    for payload in (b"", b"[]", b"\xff", b"[" * 100_000):
        with pytest.raises(ConfigError, match="here"):
            world.source().reread(payload, "here")
