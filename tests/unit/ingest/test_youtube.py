"""YouTube beyond what every source promises: its quota, edits, replies, and videos that cannot be read."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fakes.clock import START, FakeClock
from fakes.live_worlds import Fault
from fakes.live_youtube import KEY, VIDEO, YouTubeWorld, comment, later, open_youtube, refusal

from domain.errors import ConfigError, RetryLater
from ingest.polling import PollingReader
from ingest.source import Gap, Item, RawPost
from ingest.youtube import YouTubeSource
from ingest.youtube_reading import MAX_PAGES

OTHER = "abcdefghijk"


@pytest.fixture
def world() -> Iterator[YouTubeWorld]:
    with open_youtube() as opened:
        opened.clock = FakeClock()
        opened.settings = replace(opened.settings, poll_seconds=60.0, edits_seconds=3_600.0, discover_seconds=600.0)
        yield opened
        while _opened:
            _opened.pop().close()


_opened: list[PollingReader] = []


def open_at(world: YouTubeWorld, cursor: str | None = None) -> PollingReader:
    _opened.append(world.source().open(cursor))
    return _opened[-1]


def round_of(reader: PollingReader, world: YouTubeWorld, *, after: float = 60.0) -> list[Item]:
    """Let time pass and read one whole round."""
    world.clock.sleep(after)
    items: list[Item] = []
    while reader._next_at <= world.clock.monotonic() or reader._waiting:
        items += reader.read(10_000)
    return items


def listening(world: YouTubeWorld) -> PollingReader:
    reader = open_at(world)
    round_of(reader, world)
    return reader


def numbers(items: list[Item]) -> list[int]:
    return [int(str(item.content.fields["id"])[-3:]) for item in items if isinstance(item.content, RawPost)]


def test_a_comment_has_its_video_author_and_times(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    (item,) = round_of(reader, world)
    assert isinstance(item.content, RawPost)
    fields = item.content.fields
    assert fields["url"] == f"https://www.youtube.com/watch?v={VIDEO}&lc={fields['id']}"
    assert (fields["author_id"], fields["author_handle"], fields["kind"]) == ("UCsomebody", "@somebody", "comment")
    assert "edited_at" not in fields
    assert "title" not in fields
    assert item.content.attrs == {"video_id": VIDEO}


def test_the_title_of_the_video_is_carried_where_the_settings_say_so(world: YouTubeWorld) -> None:
    world.settings = replace(world.settings, titles=True)
    reader = listening(world)
    world.publish([1])
    (item,) = round_of(reader, world)
    assert isinstance(item.content, RawPost)
    assert item.content.fields["title"] == "A film of acme"


def test_comments_from_before_it_listened_are_not_read_and_those_of_a_later_video_all(world: YouTubeWorld) -> None:
    world.publish([1])
    world.clock.sleep(86_400.0)
    world.settings = replace(world.settings, channels=("@acme",))
    world.uploads["@acme"] = []
    reader = open_at(world)
    assert round_of(reader, world) == []
    world.publish(range(10, 13), video=OTHER)
    world.uploads["@acme"] = [OTHER]
    assert numbers(round_of(reader, world, after=900.0)) == [10, 11, 12]


def test_a_restart_before_the_first_comment_loses_none_and_keeps_what_was_spent(world: YouTubeWorld) -> None:
    reader = listening(world)
    place = reader.place()
    assert place is not None
    assert reader.place() is None
    spent = reader.vitals().spent_today
    world.clock.sleep(7_200.0)
    world.publish([1])
    world.clock.sleep(7_200.0)
    again = open_at(world, place)
    assert numbers(round_of(again, world)) == [1]
    assert again.vitals().spent_today is not None
    assert again.vitals().spent_today > (spent or 0.0)


def test_a_video_without_new_comments_costs_nothing_but_its_share_of_the_count(world: YouTubeWorld) -> None:
    world.publish([1])
    reader = listening(world)
    world.asked.clear()
    for _ in range(5):
        assert round_of(reader, world) == []
    assert world.asked == {"videos": 5}


def test_an_edit_is_given_with_its_time_and_votes_are_not(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1, 2])
    round_of(reader, world)
    first, second = (thread[0]["snippet"] for thread in world.threads[VIDEO])
    first |= {"textDisplay": "about globex", "updatedAt": later(world.clock.now() + timedelta(seconds=30))}
    second["likeCount"] = 99
    (edit,) = round_of(reader, world, after=3_600.0)
    assert isinstance(edit.content, RawPost)
    assert edit.content.fields["text"] == "about globex"
    assert edit.content.fields["edited_at"] == first["updatedAt"]
    assert round_of(reader, world, after=3_600.0) == []


@pytest.mark.parametrize("hours", [1, 24])
def test_a_comment_of_the_future_is_given_once_and_hides_nothing(hours: int, world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    wrong = later(world.clock.now() + timedelta(hours=hours))
    world.threads[VIDEO][0][0]["snippet"] |= {"publishedAt": wrong, "updatedAt": wrong}
    (item,) = round_of(reader, world)
    assert numbers([item]) == [1]
    world.clock.sleep(600.0)
    world.publish([2])
    # A restart knows nothing but the cursor.
    assert 2 in numbers(round_of(open_at(world, item.cursor), world))


def test_a_cursor_of_the_future_goes_on_now_and_reads_what_it_hid(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    (item,) = round_of(reader, world)
    place = json.loads(item.cursor)
    place["marks"][VIDEO] = int(world.clock.now().timestamp()) + 3_500
    world.publish([2])
    assert 2 in numbers(round_of(open_at(world, json.dumps(place)), world))


def test_more_comments_than_a_page_are_all_read_oldest_first_and_nothing_beyond_the_known(world: YouTubeWorld) -> None:
    world.publish(range(50))
    world.clock.sleep(86_400.0)
    reader = listening(world)
    world.publish(range(100, 350))
    world.asked.clear()
    assert numbers(round_of(reader, world)) == list(range(100, 350))
    assert world.asked["commentThreads"] == 3


def test_a_pinned_old_comment_on_top_hides_nothing(world: YouTubeWorld) -> None:
    world.publish([1])
    pinned = world.threads[VIDEO].pop()
    world.clock.sleep(86_400.0)
    reader = listening(world)
    world.publish(range(100, 250))
    world.threads[VIDEO].append(pinned)
    assert len(round_of(reader, world)) == 150


def test_more_than_is_read_at_once_is_a_gap(world: YouTubeWorld) -> None:
    reader = listening(world)
    for _ in range(25):
        world.publish(range(100, 200))
        world.clock.sleep(600.0)
    for place, (first, _) in enumerate(world.threads[VIDEO]):
        first["id"] = f"Ugx{place:06}"
    gap, *rest = round_of(reader, world)
    assert isinstance(gap.content, Gap)
    assert gap.content.recovered == len(rest) == MAX_PAGES * 100
    assert gap.content.start < gap.content.end
    assert round_of(reader, world) == []


def test_a_page_that_is_refused_loses_nothing_of_those_before_and_the_rest_is_a_gap(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish(range(100, 250))
    asked: list[int] = []
    answer = world._threads

    def second_refused(said: Mapping[str, str]) -> dict[str, Any]:
        asked.append(1)
        if len(asked) == 1:
            world.refuses["commentThreads"] = deque([refusal(400, "processingFailure", "youtube.commentThread")])
        return answer(said)

    world._threads = second_refused  # type: ignore[method-assign]
    gap, *rest = round_of(reader, world)
    assert isinstance(gap.content, Gap)
    assert "processingFailure" in gap.content.reason
    assert numbers(rest) == list(range(150, 250))


def test_it_is_not_connected_before_the_api_has_answered(world: YouTubeWorld) -> None:
    world.due.append(Fault.BROKEN)
    reader = open_at(world)
    with pytest.raises(RetryLater):
        reader.read(10)
    assert not reader.vitals().connected


def test_a_refused_list_of_videos_is_asked_again(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.refuses["videos"] = deque([refusal(404, "videoNotFound", "youtube.video")])
    with pytest.raises(RetryLater, match="which videos"):
        round_of(reader, world)
    world.publish([1])
    assert numbers(round_of(reader, world)) == [1]


def test_replies_to_what_was_deleted_meanwhile_are_those_that_the_thread_brought(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    first, replies = world.threads[VIDEO][0]
    for n in range(10, 18):
        replies.append(comment(f"{first['id']}.reply{n:03}", "me too", world.clock.now(), parentId=first["id"]))
    world.refuses["comments"] = deque([refusal(404, "commentNotFound", "youtube.comment")])
    assert sorted(numbers(round_of(reader, world))) == [1, 10, 11, 12, 13, 14]


def test_replies_are_read_also_those_that_a_thread_does_not_bring_along(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    round_of(reader, world)
    first, replies = world.threads[VIDEO][0]
    for n in range(8):
        replies.append(comment(f"{first['id']}.reply{n:03}", "me too", world.clock.now(), parentId=first["id"]))
    items = round_of(reader, world)
    assert sorted(numbers(items)) == list(range(8))
    assert all(item.content.fields["reply_to"] == first["id"] for item in items if isinstance(item.content, RawPost))
    replies.append(comment(f"{first['id']}.reply008", "and me", world.clock.now(), parentId=first["id"]))
    assert numbers(round_of(reader, world)) == [8]
    world.asked.clear()
    round_of(reader, world, after=3_600.0)
    assert world.asked["comments"] == 0


def test_after_a_restart_it_goes_on_at_its_cursor(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    world.clock.sleep(86_400.0)
    world.publish([2])
    cursor = round_of(reader, world)[-1].cursor
    world.clock.sleep(86_400.0)
    world.publish([3])
    # The newest ones once more, for those that the API shows late; the ledger of seen posts drops them.
    assert numbers(round_of(open_at(world, cursor), world)) == [2, 3]


def test_a_comment_that_was_held_back_is_given_when_it_appears(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1, 2])
    held = world.threads[VIDEO].pop(0)
    assert numbers(round_of(reader, world)) == [2]
    world.clock.sleep(1_800.0)
    world.threads[VIDEO].insert(0, held)
    assert numbers(round_of(reader, world)) == [1]


def test_the_days_quota_stops_it_with_a_reason_until_midnight_in_california(world: YouTubeWorld) -> None:
    world.settings = replace(world.settings, daily_units=3)
    reader = listening(world)
    round_of(reader, world)
    assert reader.vitals().spent_today == 3.0
    assert reader.vitals().currency == "units"
    with pytest.raises(RetryLater, match="daily_units") as refused:
        round_of(reader, world)
    assert world.clock.now() + timedelta(seconds=refused.value.after_seconds - 1) == datetime(2026, 1, 6, 8, tzinfo=UTC)
    world.publish([1])
    asked = world.asked.total()
    assert numbers(round_of(reader, world, after=refused.value.after_seconds)) == [1]
    assert world.asked.total() == asked + 2
    assert reader.vitals().spent_today == 2.0


def test_what_was_spent_is_remembered_over_a_restart_of_the_same_day(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    cursor = round_of(reader, world)[-1].cursor
    again = open_at(world, cursor)
    round_of(again, world)
    assert again.vitals().spent_today is not None
    assert again.vitals().spent_today > 2.0  # type: ignore[operator]


@pytest.mark.parametrize("reason", ["quotaExceeded", "dailyLimitExceeded"])
def test_a_quota_that_youtube_calls_spent_is_waited_for(reason: str, world: YouTubeWorld) -> None:
    reader = listening(world)
    world.refuses["videos"] = deque([refusal(403, reason, "youtube.quota")])
    with pytest.raises(RetryLater, match="midnight in California") as refused:
        round_of(reader, world)
    assert refused.value.after_seconds > 3_600


def test_too_many_questions_are_waited_for_a_little(world: YouTubeWorld) -> None:
    reader = listening(world)
    world.refuses["videos"] = deque([refusal(403, "rateLimitExceeded", "usageLimits")])
    with pytest.raises(RetryLater, match="fewer") as refused:
        round_of(reader, world)
    assert refused.value.after_seconds < 60


def test_searches_have_their_own_bucket_and_comments_go_on_without_them(world: YouTubeWorld) -> None:
    world.settings = replace(world.settings, videos=(), searches=("acme", "globex"), daily_searches=1)
    world.threads[OTHER] = []
    world.found = [OTHER]
    reader = listening(world)
    assert world.asked["search"] == 1
    assert "daily_searches" in reader.vitals().note
    assert world.asked["videos"] == 1


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "accessNotConfigured"), (403, "ipRefererBlocked"), (400, "keyInvalid"), (400, "API_KEY_INVALID"), (403, "")],
)
def test_a_key_that_is_refused_names_the_setting_and_the_page_and_never_the_key(
    status: int, reason: str, world: YouTubeWorld
) -> None:
    reader = listening(world)
    world.refuses["videos"] = deque([refusal(status, reason, "usageLimits")])
    with pytest.raises(ConfigError) as refused:
        round_of(reader, world)
    (problem,) = refused.value.problems
    assert "source.youtube.api_key" in problem
    assert "docs/sources/youtube.md" in problem
    assert KEY not in problem
    world.publish([1])
    assert numbers(round_of(reader, world)) == [1]


def test_the_key_goes_into_a_header_and_into_no_address_and_is_not_printed(world: YouTubeWorld) -> None:
    listening(world)
    assert world.keys == {KEY}
    assert not any(KEY in path for path in world.paths)
    assert KEY not in repr(world.settings)


def test_a_video_that_is_gone_or_has_its_comments_disabled_is_told_and_the_others_are_read(world: YouTubeWorld) -> None:
    third = "ABCDEFGHIJK"
    world.threads |= {OTHER: [], third: []}
    world.settings = replace(world.settings, videos=(OTHER, third, VIDEO))
    world.gone, world.disabled = {OTHER}, {third}
    reader = listening(world)
    world.publish([1])
    assert numbers(round_of(reader, world)) == [1]
    assert f"video {OTHER}: is gone or private" in reader.vitals().note
    assert f"video {third}: its comments are disabled" in reader.vitals().note
    world.gone, world.disabled = set(), set()
    round_of(reader, world)
    assert reader.vitals().note == ""


@pytest.mark.parametrize(
    "said",
    [
        refusal(403, "commentsDisabled", "youtube.commentThread"),
        refusal(403, "forbidden", "youtube.commentThread"),
        refusal(404, "videoNotFound", "youtube.commentThread"),
        refusal(400, "processingFailure", "youtube.commentThread"),
    ],
)
def test_comments_that_cannot_be_read_are_no_fault_of_the_source(
    said: tuple[int, dict[str, str], bytes], world: YouTubeWorld
) -> None:
    reader = listening(world)
    world.publish([1])
    world.refuses["commentThreads"] = deque([said])
    assert round_of(reader, world) == []
    assert "cannot be read" in reader.vitals().note
    assert numbers(round_of(reader, world, after=3_600.0)) == [1]


@pytest.mark.parametrize("body", [b"[]", b'{"items": 5}', b'{"items": [5, null, {}]}', b'{"error": []}', b"[" * 50_000])
def test_an_answer_that_is_none_is_asked_again(body: bytes, world: YouTubeWorld) -> None:
    reader = listening(world)
    world.publish([1])
    world.refuses["videos"] = deque([(200, {}, body)])
    try:
        items = round_of(reader, world)
    except RetryLater:
        items = []
    assert numbers(items + round_of(reader, world)) == [1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"api_key": ""}, "source.youtube.api_key"),
        ({"videos": ()}, "source.youtube.videos"),
        ({"videos": ("https://youtu.be/x",)}, "source.youtube.videos"),
        ({"channels": ("Acme Inc",)}, "source.youtube.channels"),
    ],
)
def test_settings_that_cannot_be_are_told(change: dict[str, object], named: str, world: YouTubeWorld) -> None:
    with pytest.raises(ConfigError, match=named):
        YouTubeSource(replace(world.settings, **change), FakeClock(START))  # type: ignore[arg-type]


@pytest.mark.parametrize("cursor", ["", "5", "{}", '{"since": 1, "marks": [], "spent": {}}', "[" * 50_000])
def test_a_cursor_that_is_none_begins_anew(cursor: str, world: YouTubeWorld) -> None:
    assert not world.source().can_resume(cursor)
    round_of(open_at(world, cursor), world)
