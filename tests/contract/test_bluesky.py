"""Listening to Jetstream servers that fail, forget, replay and disagree: every event once, every hole admitted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from fakes.live_bluesky import COLLECTION, SOMEBODY, Happened, JetstreamWorld, iso, now_micros, open_bluesky, tid
from fakes.live_worlds import Fault

from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from ingest.bluesky import BlueskyReader, BlueskySource
from ingest.jetstream import MAX_FRAME_BYTES, read_place
from ingest.source import AuthorRemoved, Gap, Item, RawPost, Removed, Restored

PATIENCE_SECONDS = 30.0
VERSIONS = {"version 2": (2, 1), "version 1": (1,)}


@pytest.fixture
def serve() -> Iterator[Callable[..., JetstreamWorld]]:
    """Start a server of the given versions."""
    with ExitStack() as stack:
        yield lambda versions=(2, 1): stack.enter_context(open_bluesky(versions))


@pytest.fixture(params=VERSIONS)
def world(request: pytest.FixtureRequest, serve: Callable[..., JetstreamWorld]) -> JetstreamWorld:
    return serve(VERSIONS[request.param])


class Hearing:
    """A reader that is read by hand; `troubles` are the reasons that it gave for waiting."""

    def __init__(self, source: BlueskySource, cursor: str | None = None) -> None:
        self.reader: BlueskyReader = source.open(cursor)
        self.items: list[Item] = []
        self.troubles: list[str] = []

    def step(self, max_items: int = 100) -> None:
        try:
            found = self.reader.read(max_items)
            assert len(found) <= max_items
            self.items += found
        except RetryLater as exc:
            self.troubles.append(str(exc))
            time.sleep(min(exc.after_seconds, 0.3))

    def until(self, condition: Callable[[], bool], max_items: int = 100) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"it did not happen; {self.numbers()}, {self.troubles}"
            self.step(max_items)

    def until_heard(self, *numbers: int, max_items: int = 100) -> None:
        self.until(lambda: set(self.numbers()) >= set(numbers), max_items)

    def until_connected(self) -> None:
        self.until(lambda: self.reader.vitals().connected)

    def numbers(self) -> list[int]:
        posts = [item.content for item in self.items if isinstance(item.content, RawPost)]
        return [int(str(post.fields["id"])[-3:]) for post in posts]

    def gaps(self) -> list[Gap]:
        return [item.content for item in self.items if isinstance(item.content, Gap)]

    def close(self) -> str:
        """Stop; gives the cursor to go on at, "" where nothing came."""
        self.reader.close()
        return self.items[-1].cursor if self.items else ""


def ago(seconds: float) -> int:
    return now_micros() - int(seconds * 10**6)


def moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def test_what_was_published_before_the_first_connection_came_about_is_heard(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    world.publish([100, 101])
    hearing.until_heard(100, 101)
    assert hearing.gaps() == []
    hearing.close()


def test_a_server_of_version_1_alone_is_listened_to_without_being_told(serve: Callable[..., JetstreamWorld]) -> None:
    old, new = serve((1,)), serve((2, 1))
    for world, version in ((old, 1), (new, 2)):
        hearing = Hearing(world.source())
        world.publish([100])
        hearing.until_heard(100)
        assert hearing.reader.vitals().note.endswith(f"version {version}")
        assert hearing.troubles == []
        hearing.close()


def test_a_version_that_is_asked_for_is_the_only_one_tried(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve((1,))
    hearing = Hearing(world.source(version="2"))
    hearing.until(lambda: bool(hearing.troubles))
    assert "answers 404" in hearing.troubles[0]
    assert {asked["path"][0] for asked in world.asked} == {"/xrpc/network.bsky.jetstream.subscribeEvents"}
    both = serve((2, 1))
    hearing = Hearing(both.source(version="1"))
    both.publish([100])
    hearing.until_heard(100)
    assert {asked["path"][0] for asked in both.asked} == {"/subscribe"}
    hearing.close()


def test_only_posts_and_news_of_accounts_are_asked_for(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    asked = world.asked[-1]
    assert asked.get("collections", asked.get("wantedCollections")) == [COLLECTION]
    assert asked["maxMessageSizeBytes"] == [str(MAX_FRAME_BYTES)]
    if "collections" in asked:
        assert asked["kinds"] == ["commit", "account", "identity"]
    hearing.close()


@pytest.mark.parametrize("after", range(1, 6))
def test_events_of_one_microsecond_are_told_apart_wherever_it_stops(world: JetstreamWorld, after: int) -> None:
    at = ago(1)
    hearing = Hearing(world.source())
    hearing.until_connected()
    for n in range(100, 106):
        world.post(n, {"text": "acme"}, micros=at if n < 105 else at + 1, rev=tid(at))
    hearing.until(lambda: len(hearing.items) >= after, max_items=1)
    cursor = hearing.close()
    again = Hearing(world.source(), cursor)
    again.until_heard(*range(100 + after, 106))
    world.publish([106])
    again.until_heard(106)
    assert hearing.numbers() + again.numbers() == list(range(100, 107))
    assert again.gaps() == []
    again.close()


def test_repeats_and_disorder_within_a_connection_are_given_once(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    first, second, third = (world.post(n, {"text": "acme"}, micros=ago(3 - n + 100)) for n in (100, 101, 102))
    with world.changed:
        world.happened += [third, first, second]
        world.changed.notify_all()
    late = now_micros() - 5 * 10**6
    world.post(103, {"text": "acme"}, micros=late)
    world.publish([104])
    hearing.until_heard(104)
    assert hearing.numbers() == [100, 101, 102, 103, 104]
    cursor = hearing.close()
    again = Hearing(world.source(), cursor)
    world.publish([105])
    again.until_heard(105)
    assert Counter(again.numbers()) == Counter([105])
    again.close()


def test_a_number_that_the_server_no_longer_keeps_is_a_gap_with_its_ends(
    serve: Callable[..., JetstreamWorld],
) -> None:
    world = serve()
    last = world.post(100, {"text": "acme"}, micros=ago(100))
    place = f"{last.micros} 1 2 {last.seq} {world.address.removeprefix('ws://')}"
    world.post(101, {"text": "lost"}, micros=ago(50))
    world.floor = ago(20)
    kept = world.post(102, {"text": "acme"}, micros=ago(10))
    hearing = Hearing(world.source(), place)
    hearing.until_heard(102, max_items=1)
    (gap,) = hearing.gaps()
    assert (gap.start, gap.end) == (moment(last.micros), moment(kept.micros))
    assert "no longer kept" in gap.reason
    assert hearing.items[0].cursor == place
    assert hearing.numbers() == [102]
    world.publish([103])
    hearing.until_heard(103)
    assert len(hearing.gaps()) == 1
    hearing.close()


def test_a_time_that_another_server_no_longer_keeps_is_a_gap(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve()
    world.floor = ago(20)
    kept = world.post(102, {"text": "acme"}, micros=ago(10))
    start = ago(100)
    hearing = Hearing(world.source(), f"{start} 1 2 5 elsewhere.example")
    hearing.until_heard(102)
    assert [(gap.start, gap.end) for gap in hearing.gaps()] == [(moment(start), moment(kept.micros))]
    hearing.close()


def test_a_server_that_still_has_our_place_but_not_all_of_the_rewind_left_no_gap(
    serve: Callable[..., JetstreamWorld],
) -> None:
    world = serve((2,))
    world.floor = ago(3)
    hearing = Hearing(world.source(rewind_seconds=5.0), f"{ago(2)} 1 2 0 {world.address.removeprefix('ws://')}")
    world.post(100, {"text": "acme"}, micros=ago(1))
    hearing.until_heard(100)
    world.cut()
    # It is set up anew: our number says nothing to it, and what is heard again it has in part.
    for event in world.happened:
        event.seq -= 500
    world.seq -= 500
    world.publish([101])
    hearing.until_heard(101)
    assert hearing.gaps() == []
    assert hearing.numbers() == [100, 101]
    hearing.close()


def test_a_server_of_version_1_that_forgot_without_a_word_is_found_out(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve((1,))
    name = world.address.removeprefix("ws://")
    start, kept = ago(1_000), world.post(102, {"text": "acme"}, micros=ago(500))
    world.floor = kept.micros
    hearing = Hearing(world.source(), f"{start} 1 1 0 {name}")
    hearing.until_heard(102)
    assert [(gap.start, gap.end) for gap in hearing.gaps()] == [(moment(start), moment(kept.micros))]
    hearing.close()


def test_what_is_older_than_servers_are_known_to_keep_is_a_gap_even_if_nothing_old_comes(
    serve: Callable[..., JetstreamWorld],
) -> None:
    world = serve((1,))
    start = ago(25 * 3600)
    hearing = Hearing(world.source(), f"{start} 1 1 0 {world.address.removeprefix('ws://')}")
    hearing.until_connected()
    live = world.post(100, {"text": "acme"})
    hearing.until_heard(100)
    assert [(gap.start, gap.end) for gap in hearing.gaps()] == [(moment(start), moment(live.micros))]
    hearing.close()


def test_a_quiet_server_that_still_has_our_place_left_no_gap(world: JetstreamWorld) -> None:
    world.post(100, {"text": "acme"}, micros=ago(4_000))
    hearing = Hearing(world.source(), f"{ago(4_001)} 1 1 0 elsewhere.example")
    hearing.until_heard(100)
    cursor = hearing.close()
    world.post(101, {"text": "acme"}, micros=ago(300))
    again = Hearing(world.source(), cursor)
    again.until_heard(101)
    assert again.gaps() == []
    assert again.numbers() == [101]
    again.close()


def test_a_number_beyond_those_of_the_server_is_replaced_by_the_time(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve()
    at = ago(10)
    world.post(100, {"text": "acme"}, micros=at - 60 * 10**6)
    world.post(101, {"text": "acme"}, micros=at + 1)
    # The server was set up anew and counts from the beginning.
    hearing = Hearing(world.source(), f"{at} 1 2 900000 {world.address.removeprefix('ws://')}")
    hearing.until_heard(101)
    assert "FutureCursor" in hearing.troubles[0]
    assert hearing.numbers() == [101]
    hearing.close()


def test_a_number_that_is_another_events_now_is_replaced_by_the_time(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve()
    at = ago(10)
    world.post(100, {"text": "acme"}, micros=at - 60 * 10**6)
    for n in range(101, 105):
        world.post(n, {"text": "acme"}, micros=at + n)
    number = world.happened[-1].seq
    hearing = Hearing(world.source(), f"{at} 1 2 {number} {world.address.removeprefix('ws://')}")
    hearing.until_heard(101, 102, 103, 104)
    assert hearing.numbers() == [101, 102, 103, 104]
    assert hearing.gaps() == []
    hearing.close()


def test_another_server_takes_over_by_time_and_nothing_is_lost_or_told_twice(
    serve: Callable[..., JetstreamWorld],
) -> None:
    first, second = serve(), serve((1,))
    hearing = Hearing(first.source(second))
    hearing.until_connected()
    for n in range(100, 110):
        second.take(first.post(n, {"text": "acme"}))
    second.take(first.account(active=False, status="deleted"))
    hearing.until(lambda: len(hearing.items) == 11)
    last = first.happened[-1]
    first.versions = ()
    first.cut()
    for n in range(110, 120):
        second.post(n, {"text": "acme"})
    hearing.until_heard(*range(110, 120))
    assert hearing.numbers() == list(range(100, 120))
    assert len([item for item in hearing.items if isinstance(item.content, AuthorRemoved)]) == 1
    (asked,) = second.asked[-1]["cursor"]
    assert int(asked) == last.micros - 5 * 10**6
    place = read_place(hearing.close())
    assert place is not None
    assert place.server == second.address.removeprefix("ws://")


def test_a_server_that_says_nothing_more_is_left_for_another(serve: Callable[..., JetstreamWorld]) -> None:
    first, second = serve(), serve()
    hearing = Hearing(first.source(second, silence_seconds=0.5))
    hearing.until_connected()
    second.take(first.post(100, {"text": "acme"}))
    hearing.until_heard(100)
    first.fail(Fault.STALE)
    second.publish([101])
    hearing.until_heard(101)
    assert hearing.numbers() == [100, 101]
    assert any("said nothing for" in trouble for trouble in hearing.troubles)
    hearing.close()


def test_an_hour_that_a_server_replays_is_not_given_again(world: JetstreamWorld) -> None:
    for n in range(100, 110):
        world.post(n, {"text": "acme"}, micros=ago(3_600 - n))
    name = world.address.removeprefix("ws://")
    last = world.post(110, {"text": "acme"}, micros=ago(1))
    world.repeats_hour = True
    hearing = Hearing(world.source(version="1"), f"{last.micros} 1 1 0 {name}")
    world.publish([111])
    hearing.until_heard(111)
    assert hearing.numbers() == [111]
    hearing.close()


def test_a_frame_that_cannot_be_read_is_parked_and_listening_goes_on(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.publish([100])
    world.frame(b'{"broken":')
    world.publish([101])
    hearing.until_heard(101)
    bad = [item for item in hearing.items if isinstance(item.content, BadRecord)]
    assert [(item.raw, item.content.reason) for item in bad if isinstance(item.content, BadRecord)] == [
        (b'{"broken":', BadReason.NOT_JSON)
    ]
    assert hearing.numbers() == [100, 101]
    assert hearing.troubles == []
    assert hearing.reader.vitals().errors == 1
    hearing.close()


def test_an_event_that_is_far_too_large_is_parked_and_listening_goes_on(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.publish([100])
    world.post(101, {"text": "x" * 2 * MAX_FRAME_BYTES})
    world.publish([102])
    hearing.until_heard(102)
    reasons = [item.content.reason for item in hearing.items if isinstance(item.content, BadRecord)]
    assert reasons == [BadReason.TOO_LARGE]
    assert hearing.numbers() == [100, 102]
    hearing.close()


def test_a_clock_that_jumps_ahead_and_back_loses_nothing(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.publish([100])
    world.post(101, {"text": "acme"}, micros=ago(-3_600))
    hearing.until_heard(100, 101)
    cursor = hearing.close()
    world.publish([102])
    again = Hearing(world.source(), cursor)
    again.until_heard(102)
    world.publish([103])
    again.until_heard(103)
    assert {102, 103} <= set(again.numbers())
    again.close()


def test_an_error_that_ends_the_stream_is_told_and_the_stream_goes_on(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve()
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.publish([100])
    hearing.until_heard(100)
    # It comes once: the place goes on after it.
    with world.changed:
        world.seq += 1
        error = b'{"$type": "error", "error": "ConsumerTooSlow", "message": "too slow"}'
        world.happened.append(Happened(world.seq, now_micros(), "", "", {}, error))
        world.changed.notify_all()
    hearing.until(lambda: any("ConsumerTooSlow" in trouble for trouble in hearing.troubles))
    with world.changed:
        world.happened.pop()
    world.publish([101])
    hearing.until_heard(101)
    assert hearing.numbers() == [100, 101]
    hearing.close()


def test_deletions_and_accounts_come_in_order(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.publish([100])
    world.post(100, None, operation="delete")
    world.account(active=False, status="takendown")
    world.account(active=True)
    hearing.until(lambda: len(hearing.items) == 4)
    kinds = [type(item.content) for item in hearing.items]
    assert kinds == [RawPost, Removed, AuthorRemoved, Restored]
    hearing.close()


def test_a_handle_is_known_from_when_it_was_told(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.publish([100])
    for handle in ("acme.example", "handle.invalid"):
        world.happen("identity", {"did": SOMEBODY, "handle": handle, "seq": 1, "time": iso(now_micros())})
        world.publish([101] if handle == "acme.example" else [102])
    hearing.until_heard(102)
    posts = [item.content for item in hearing.items if isinstance(item.content, RawPost)]
    assert [post.fields.get("author_handle") for post in posts] == [None, "acme.example", None]
    hearing.close()


def test_one_server_that_refuses_us_does_not_stop_the_others(serve: Callable[..., JetstreamWorld]) -> None:
    first, second = serve(), serve()
    first.fail(Fault.UNAUTHORISED)
    hearing = Hearing(first.source(second))
    second.publish([100])
    hearing.until_heard(100)
    assert "refuses us (401)" in hearing.troubles[0]
    hearing.close()


def test_a_private_address_is_refused_with_the_setting_that_allows_it(world: JetstreamWorld) -> None:
    reader = world.source(allow_private=False).open(None)
    with pytest.raises(
        ConfigError, match=r"source\.bluesky\.hosts: .*sources\.allow_private.*docs/sources/bluesky\.md"
    ):
        reader.read(10)
    assert world.asked == []
    assert not reader.vitals().connected
    reader.close()


def test_a_server_that_nobody_answers_at_is_tried_again_and_said(serve: Callable[..., JetstreamWorld]) -> None:
    world = serve()
    hearing = Hearing(world.source(hosts=("ws://127.0.0.1:9", world.address)))
    world.publish([100])
    hearing.until_heard(100)
    assert "127.0.0.1 cannot be reached" in hearing.troubles[0]
    assert hearing.gaps() == []
    hearing.close()


def test_a_place_is_kept_before_the_first_event_and_behind_those_that_are_no_posts(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    nowhere = hearing.reader.place()
    assert nowhere is not None
    assert hearing.reader.place() is None
    world.publish([100])
    again = Hearing(world.source(), nowhere)
    again.until_heard(100)
    post, handle = again.items[-1], {"did": SOMEBODY, "handle": "somebody.example", "time": iso(now_micros())}
    event = world.happen("identity", handle)
    again.until(
        lambda: (vitals := again.reader.vitals()).event_at is not None and vitals.event_at >= moment(event.micros)
    )
    place = again.reader.place()
    assert place is not None
    assert (found := read_place(place)) is not None
    assert found.micros == event.micros
    assert place != post.cursor
    hearing.close()
    again.close()


def test_an_event_of_the_future_hides_nothing(world: JetstreamWorld) -> None:
    hearing = Hearing(world.source())
    hearing.until_connected()
    world.post(100, {"text": "acme"}, micros=ago(-7_200))
    hearing.until_heard(100)
    vitals = hearing.reader.vitals()
    assert vitals.event_at is not None
    assert vitals.event_at <= datetime.now(UTC)
    world.publish([101])
    hearing.until_heard(101)
    hearing.close()
    # A restart at the place of the wrong one, at a server that has it no longer.
    world.happened = [event for event in world.happened if event.micros <= now_micros()]
    world.publish([102])
    again = Hearing(world.source(), hearing.items[0].cursor)
    again.until_heard(102)
    again.close()
