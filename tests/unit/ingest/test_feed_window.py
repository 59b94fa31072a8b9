"""What is new in a feed, what was changed and what was missed, also across a restart."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from fakes.clock import START

from domain.clock import from_ms, to_ms
from ingest.feed_entry import Feed, FeedEntry, Revised
from ingest.feed_window import (
    FeedWindow,
    Seen,
    feed_key,
    is_cursor,
    marks_each,
    read_cursor,
    write_cursor,
)

HOST = "news.example"
HOUR = timedelta(hours=1)


def at(hours: float) -> datetime:
    return START + hours * HOUR


def an_entry(number: int, *, published: float | None = None, updated: float | None = None, text: str = "") -> FeedEntry:
    return FeedEntry(
        guid=f"urn:{number}",
        text=text or f"text {number}",
        published_ms=None if published is None else to_ms(at(published)),
        updated_ms=None if updated is None else to_ms(at(updated)),
    )


def take(window: FeedWindow, entries: list[FeedEntry], hours: float) -> Seen:
    return window.take(Feed(title="News", entries=tuple(entries)), at(hours))


def names(seen: Seen) -> list[str]:
    return [news.revised.entry.guid for news in seen.news]


def only(seen: Seen) -> Revised:
    (news,) = seen.news
    return news.revised


def restarted(window: FeedWindow, marks: int = 100) -> FeedWindow:
    state = window.state(marks)
    assert state is not None
    return FeedWindow(HOST, read_cursor(write_cursor({"k": state}))["k"])


def test_an_entry_is_news_once() -> None:
    window = FeedWindow(HOST)
    assert names(take(window, [an_entry(1), an_entry(2)], 0)) == ["urn:1", "urn:2"]
    assert names(take(window, [an_entry(1), an_entry(2), an_entry(3)], 1)) == ["urn:3"]


def test_the_first_sight_has_the_times_of_the_feed() -> None:
    dated = only(take(FeedWindow(HOST), [an_entry(1, published=-3, updated=-2)], 0))
    assert (dated.published_ms, dated.edited_ms) == (to_ms(at(-3)), to_ms(at(-2)))
    same = only(take(FeedWindow(HOST), [an_entry(1, published=-3, updated=-3)], 0))
    assert (same.published_ms, same.edited_ms) == (to_ms(at(-3)), None)
    updated = only(take(FeedWindow(HOST), [an_entry(1, updated=-2)], 0))
    assert (updated.published_ms, updated.edited_ms) == (to_ms(at(-2)), None)
    undated = only(take(FeedWindow(HOST), [an_entry(1)], 0))
    assert (undated.published_ms, undated.edited_ms) == (None, None)


@pytest.mark.parametrize("hours", [-24 * 365 * 60, 48])
def test_a_time_at_which_nothing_was_written_is_unknown(hours: float) -> None:
    assert only(take(FeedWindow(HOST), [an_entry(1, published=hours)], 0)).published_ms is None


def test_an_edit_has_the_time_that_the_feed_gives_and_stays_published_when_it_was() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, updated=-2)], 0)
    edited = only(take(window, [an_entry(1, updated=0.5, text="other")], 1))
    assert (edited.published_ms, edited.edited_ms) == (to_ms(at(-2)), to_ms(at(0.5)))


def test_an_edit_without_a_time_of_its_own_has_that_of_its_discovery() -> None:
    for published in (-2.0, None):
        window = FeedWindow(HOST)
        first = take(window, [an_entry(1, published=published)], 0)
        edited = only(take(window, [an_entry(1, published=published, text="other")], 1))
        assert edited.published_ms == only(first).published_ms
        assert edited.edited_ms == to_ms(at(1))
        assert take(window, [an_entry(1, published=published, text="other")], 2).news == []


def test_each_edit_is_later_than_the_one_before_though_the_clock_goes_back() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1)], 0)
    first = only(take(window, [an_entry(1, text="b")], 2)).edited_ms
    second = only(take(window, [an_entry(1, text="c")], 1)).edited_ms
    assert first is not None
    assert second is not None
    assert second > first


def test_a_revert_is_an_edit() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, text="a")], 0)
    take(window, [an_entry(1, text="b")], 1)
    assert only(take(window, [an_entry(1, text="a")], 2)).entry.text == "a"


def test_other_times_and_other_markup_are_no_edit() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, published=-2, updated=-2, text="<p>hello</p><img src='pixel?1'>")], 0)
    again = an_entry(1, published=0.5, updated=0.5, text="<p>hello</p><img src='pixel?2'>")
    assert take(window, [again], 1).news == []


def test_an_entry_that_left_and_comes_back_is_no_news() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1), an_entry(2)], 0)
    take(window, [an_entry(2), an_entry(3)], 1)
    assert take(window, [an_entry(1), an_entry(2)], 2).news == []


def test_what_left_is_forgotten_in_the_end() -> None:
    window = FeedWindow(HOST)
    for number in range(2_000):
        take(window, [an_entry(number), an_entry(number + 1)], number / 1_000)
    assert names(take(window, [an_entry(1), an_entry(2_000)], 3)) == ["urn:1"]


def test_after_a_restart_repeats_are_no_news_and_edits_are() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, published=-3), an_entry(2, published=-2)], 0)
    window = restarted(window)
    seen = take(window, [an_entry(1, published=-3), an_entry(2, published=-2, text="other"), an_entry(3)], 5)
    assert names(seen) == ["urn:2", "urn:3"]
    edited = seen.news[0].revised
    assert (edited.published_ms, edited.edited_ms) == (to_ms(at(-2)), to_ms(at(5)))
    assert take(window, [an_entry(1, published=-3)], 6).news == []


def test_a_feed_that_is_as_it_was_is_no_news_after_a_restart_however_few_marks_are_kept() -> None:
    window = FeedWindow(HOST)
    entries = [an_entry(number, published=-1) for number in range(40)]
    take(window, entries, 0)
    same = restarted(window, marks=4)
    assert take(same, entries[::-1], 1).news == []
    assert names(take(same, [*entries, an_entry(40)], 2)) == ["urn:40"]
    # In one that has changed, the entries without a mark are read once more.
    other = take(restarted(window, marks=4), [*entries, an_entry(40)], 1)
    assert names(other) == [f"urn:{number}" for number in (*range(36), 40)]
    assert other.gap is None


def test_a_clock_that_was_far_ahead_does_not_lead_edits_astray() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1), an_entry(2)], 24 * 365)
    again = restarted(window)
    assert only(take(window, [an_entry(1, text="b"), an_entry(2)], 0)).edited_ms == to_ms(at(0))
    assert only(take(again, [an_entry(1, text="b"), an_entry(2)], 0)).edited_ms == to_ms(at(0)) + 1
    assert take(again, [an_entry(1, text="c"), an_entry(2)], -48).news[0].revised.edited_ms == to_ms(at(-24))


def test_an_edit_during_the_absence_has_the_time_that_the_feed_gives() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, published=-3, updated=-1)], 0)
    edited = only(take(restarted(window), [an_entry(1, published=-3, updated=2, text="other")], 5))
    assert edited.edited_ms == to_ms(at(2))


def test_a_feed_that_holds_nothing_of_what_it_held_has_a_gap() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, published=-1)], 0)
    gap = take(window, [an_entry(7, published=2), an_entry(8, published=3)], 4).gap
    assert gap is not None
    assert (gap.start, gap.end) == (at(0), at(2))
    assert HOST in gap.reason
    assert gap.recovered is None


def test_without_dates_the_gap_lasts_until_now() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1)], 0)
    gap = take(window, [an_entry(7)], 4).gap
    assert gap is not None
    assert (gap.start, gap.end) == (at(0), at(4))


def test_a_gap_is_found_after_a_restart_too() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(number, published=-1) for number in range(30)], 0)
    gap = take(restarted(window, marks=4), [an_entry(77, published=3)], 4).gap
    assert gap is not None
    assert gap.start == at(0)


def test_there_is_no_gap_while_one_entry_is_still_there_or_nothing_was_seen_before() -> None:
    window = FeedWindow(HOST)
    assert take(window, [], 0).gap is None
    assert take(window, [an_entry(1)], 1).gap is None
    assert take(window, [], 2).gap is None
    assert take(window, [an_entry(1), an_entry(2)], 3).gap is None
    assert take(restarted(window), [an_entry(2, text="edited"), an_entry(3)], 4).gap is None


def test_other_names_for_old_entries_are_no_gap() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1, published=-3), an_entry(2, published=-2)], 0)
    seen = take(window, [an_entry(11, published=-3), an_entry(12, published=-2)], 1)
    assert seen.gap is None
    assert names(seen) == ["urn:11", "urn:12"]


def test_an_entry_that_stands_twice_counts_as_it_stands_last() -> None:
    seen = take(FeedWindow(HOST), [an_entry(1, text="old"), an_entry(1, text="new")], 0)
    assert only(seen).entry.text == "new"


def test_a_cursor_of_five_hundred_feeds_stays_small() -> None:
    states = {}
    for number in range(500):
        window = FeedWindow(HOST)
        take(window, [replace(an_entry(entry), guid=f"urn:{number}:{entry}") for entry in range(100)], 0)
        state = window.state(marks_each(500))
        assert state is not None
        states[feed_key(f"https://{number}.example/feed")] = state
    cursor = write_cursor(states)
    assert len(cursor) < 40_000
    assert read_cursor(cursor) == states


@pytest.mark.parametrize(
    "cursor",
    ["", "feeds1", "feeds1:", "feeds1:a.b", "feeds1:a.zz.0.x", "feeds1:a.1.0.AAA", "feeds1:a.fffffffffffffff.0.", "17"],
)
def test_what_is_broken_in_a_cursor_was_never_read(cursor: str) -> None:
    assert read_cursor(cursor) == {}
    assert is_cursor(cursor) == cursor.startswith("feeds1")


def test_one_broken_feed_of_a_cursor_costs_the_others_nothing() -> None:
    window = FeedWindow(HOST)
    take(window, [an_entry(1)], 0)
    state = window.state(10)
    assert state is not None
    assert read_cursor(write_cursor({"k": state}) + ":x.y.z") == {"k": state}
    assert from_ms(state.read_ms) == at(0)
