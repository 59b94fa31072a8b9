"""X: what a post becomes, rules kept in step, gaps, edits, removals, waits, and what it may cost."""

from __future__ import annotations

import json
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fakes.clock import FakeClock
from fakes.live_webhook import free_port
from fakes.live_worlds import Fault
from fakes.live_x import ACME, XWorld, new_id, open_x, tweet

from domain.brand import Brand
from domain.clock import Clock, to_ms
from domain.errors import BadRecord, ConfigError, RetryLater
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.source import Gap, Item, RawPost, Removed
from ingest.x import XSettings, XSource
from ingest.x_budget import Budget, Meter
from ingest.x_client import MAX_LINE_BYTES, STREAM_BUFFER_BYTES, FaultKind, XFault
from ingest.x_ladder import Ladder, LadderSettings
from ingest.x_post import as_id, id_time, read_post, rewound
from ingest.x_reader import XReader
from ingest.x_rules import MAX_RULES
from ingest.x_state import MAX_KEPT_IDS, XState, read_state
from service.settings import read
from service.sources.kind import SourceContext
from service.sources.x import X

PATIENCE_SECONDS = 30.0
SEARCH = "/2/tweets/search/recent"
JOBS = "/2/compliance/jobs"


@pytest.fixture
def world() -> Iterator[XWorld]:
    with open_x() as opened:
        yield opened


def read_until(reader: XReader, done: Callable[[list[Item]], bool], *, budget_ends_it: bool = True) -> list[Item]:
    """Read until what came is enough; what stands in the way for a moment is waited out."""
    items: list[Item] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not done(items):
        assert time.monotonic() < deadline, [item.content for item in items]
        try:
            items += reader.read(100)
        except RetryLater as exc:
            if "budget" in str(exc) and budget_ends_it:
                raise
            time.sleep(min(exc.after_seconds, 0.1))
    return items


def listen(reader: XReader, world: XWorld) -> list[Item]:
    return read_until(reader, lambda _: reader.vitals().connected and world.listeners > 0)


def raw_posts(items: Sequence[Item]) -> list[RawPost]:
    return [item.content for item in items if isinstance(item.content, RawPost)]


def ids(items: Sequence[Item]) -> list[str]:
    return [str(post.fields["id"])[-3:] for post in raw_posts(items)]


def gaps(items: Sequence[Item]) -> list[Gap]:
    return [item.content for item in items if isinstance(item.content, Gap)]


def has_gap(items: list[Item]) -> bool:
    return bool(gaps(items))


def listened(world: XWorld, *numbers: int, clock: Clock | None = None, **changed: Any) -> str:
    """Listen to some posts, and give the cursor behind them."""
    with closing(world.source(clock=clock, **changed).open(None)) as reader:
        listen(reader, world)
        world.publish(numbers)
        return read_until(reader, lambda items: len(ids(items)) == len(numbers))[-1].cursor


# What a post becomes


def test_a_post_becomes_ours_with_all_that_it_says() -> None:
    name = new_id(7, seconds_ago=60)
    envelope = {
        "data": tweet(
            7,
            "AT&amp;T by acme https://t.co/a https://t.co/b",
            id=name,
            lang="iw",
            conversation_id="5",
            referenced_tweets=[{"type": "replied_to", "id": "5"}, {"type": "quoted", "id": "6"}],
            entities={
                "hashtags": [{"tag": "Summer"}],
                "urls": [
                    {"url": "https://t.co/a", "expanded_url": "https://acme.com/shop?utm_campaign=sale"},
                    {"url": "https://t.co/b", "expanded_url": "https://x.com/somebody/status/6"},
                ],
            },
        ),
        "includes": {
            "users": [{"id": "7", "username": "some", "name": "Body", "public_metrics": {"followers_count": 9}}]
        },
    }
    now = datetime.now(UTC)
    raw = read_post(envelope, seen_at=now)
    assert isinstance(raw, RawPost)
    post = Normaliser("x", NormaliserSettings(html="never")).normalise(raw, now)
    assert post.native_id == name
    assert post.text == "AT&T by acme https://t.co/a"
    assert post.url == f"https://x.com/some/status/{name}"
    assert (post.kind, post.reply_to, post.thread_id) == ("reply", "5", "5")
    assert post.declared_lang == "he"
    assert (post.author_id, post.author_handle, post.author_name, post.author_followers) == ("7", "some", "Body", 9)
    assert (post.likes, post.reposts, post.replies, post.views) == (1, 2, 3, 4)
    assert post.engagement_at == now
    assert post.hashtags == ("summer",)
    assert "acme.com" in post.domains
    assert post.campaigns == ("sale",)
    assert post.attrs["quoted"] == "6"
    assert post.published_at is not None
    assert abs((now - post.published_at).total_seconds() - 60) < 30
    assert post.edited_at is None


def test_a_long_post_has_its_whole_text() -> None:
    raw = read_post({"data": tweet(1, "short…", note_tweet={"text": "short and then some"})}, seen_at=None)
    assert isinstance(raw, RawPost)
    assert raw.fields["text"] == "short and then some"
    assert "engagement_at" not in raw.fields


def test_an_edit_is_the_same_post_with_a_later_revision() -> None:
    first, second = new_id(1, seconds_ago=600), new_id(2)
    raw = read_post({"data": tweet(2, "better", id=second, edit_history_tweet_ids=[first, second])}, seen_at=None)
    assert isinstance(raw, RawPost)
    assert raw.fields["id"] == first
    assert raw.fields["published_at"] == id_time(first)
    assert raw.fields["edited_at"] == id_time(second)


@pytest.mark.parametrize("data", [None, [], {}, {"id": 7}, {"id": "seven"}, {"id": str(2**63)}, {"id": "-7"}])
def test_what_has_no_id_is_bad(data: object) -> None:
    assert isinstance(read_post({"data": data}, seen_at=None), BadRecord)


def test_ids_tell_time() -> None:
    made = id_time("1050118621198921728")
    assert made is not None
    assert made.replace(microsecond=0) == datetime(2018, 10, 10, 20, 19, 24, tzinfo=UTC)
    assert id_time(rewound("1050118621198921728", 60)) == made - timedelta(seconds=60)
    assert id_time("20") is None
    assert rewound("20", 60) == "20"
    assert as_id("٣") == ""


# Rules


def test_rules_are_brought_in_step_and_not_made_again(world: XWorld) -> None:
    world.rules = [{"id": "1", "value": "somebody else's", "tag": "theirs"}, {"id": "2", "value": "without a tag"}]
    brands = [ACME, Brand(brand_id="globex", name="Globex", query="globex")]
    for _ in range(2):
        with closing(world.source(brands).open(None)) as reader:
            listen(reader, world)
            assert "2 rules of this app are not ours" in reader.vitals().note
    before = {rule["value"]: rule["id"] for rule in world.rules}
    assert list(before) == ["somebody else's", "without a tag", "(acme) -is:retweet", "(globex) -is:retweet"]
    changes = sum(asked == ("POST", "/2/tweets/search/stream/rules") for asked in world.asked)
    assert changes == 1
    brands[1] = Brand(brand_id="globex", name="Globex", query="globex late")
    with closing(world.source(brands).open(None)) as reader:
        listen(reader, world)
    after = {rule["value"]: rule["id"] for rule in world.rules}
    assert list(after) == ["somebody else's", "without a tag", "(acme) -is:retweet", "(globex late) -is:retweet"]
    assert after["(acme) -is:retweet"] == before["(acme) -is:retweet"]


def test_brands_that_change_are_asked_for_while_the_stream_goes_on(world: XWorld) -> None:
    source = world.source([ACME])
    with closing(source.open(None)) as reader:
        listen(reader, world)
        streams = sum(path.startswith("/2/tweets/search/stream?") for _, path in world.asked)
        source.brands_changed([Brand(brand_id="globex", name="Globex", query="globex")])
        assert reader.read(10) == []
        assert [rule["value"] for rule in world.rules] == ["(globex) -is:retweet"]
        assert sum(path.startswith("/2/tweets/search/stream?") for _, path in world.asked) == streams
        assert reader.vitals().connected
    with closing(source.open(None)) as reader:
        listen(reader, world)
    assert [rule["value"] for rule in world.rules] == ["(globex) -is:retweet"]


def test_more_brands_than_x_allows_leave_the_rules_as_they_are(world: XWorld, caplog: pytest.LogCaptureFixture) -> None:
    source = world.source([ACME])
    source.brands_changed([Brand(brand_id=f"b{n}", name="B", query=f"brand{n}") for n in range(MAX_RULES + 1)])
    assert "listen for fewer brands" in caplog.text
    assert [rule.value for rule in source.rules.rules] == ["(acme) -is:retweet"]


def test_a_rule_that_x_does_not_take_is_told_and_the_others_listen(world: XWorld) -> None:
    brands = [ACME, Brand(brand_id="b", name="B", query="refuse")]
    with closing(world.source(brands).open(None)) as reader:
        listen(reader, world)
        assert "X does not take the rule '(refuse) -is:retweet' ('UnprocessableEntity')" in reader.vitals().note


def test_what_cannot_be_asked_for_is_told_while_it_listens(world: XWorld) -> None:
    with closing(world.source([Brand(brand_id="b", name="B", query="acme -late")]).open(None)) as reader:
        listen(reader, world)
        assert "1 parts of queries cannot be asked of X; see `soundings check`" in reader.vitals().note


def test_brands_that_cannot_be_asked_for_at_all_are_a_config_error(world: XWorld) -> None:
    with pytest.raises(ConfigError, match="no brand can be asked for there"):
        world.source([Brand(brand_id="b", name="B", query="delay*")])


def test_a_refused_token_names_the_setting_and_never_itself(world: XWorld) -> None:
    with closing(world.source(token="wrong-token").open(None)) as reader:
        for _ in range(2):
            with pytest.raises(ConfigError, match=r"source\.x\.token: .*401.*docs/sources/x\.md") as caught:
                read_until(reader, bool)
            assert "wrong-token" not in str(caught.value)


def test_an_x_that_cannot_be_reached_is_tried_again() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with closing(XSource(XSettings(token="t", address=nobody), [ACME], FakeClock()).open(None)) as reader:
        for _ in range(2):
            with pytest.raises(RetryLater, match=r"127\.0\.0\.1 cannot be reached"):
                reader.read(1)
        assert reader.vitals().errors == 2


# The stream


def test_retweets_are_no_posts_and_cost(world: XWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.send(tweet(1, "RT acme", referenced_tweets=[{"type": "retweeted", "id": "5"}]), tweet(2, "acme"))
        assert ids(read_until(reader, bool)) == ["002"]
        assert reader.vitals().spent_today == pytest.approx(0.01)


@pytest.mark.parametrize(
    "sent",
    [
        b"[1, 2]\r\n",
        b'{"data": 7}\r\n',
        b'{"data": {"id": "9", "entities": 7, "public_metrics": [], "referenced_tweets": {"a": 1}, "text": null}}\r\n',
        b'{"data": {"id": "9", "edit_history_tweet_ids": [[]], "author_id": [], "text": "x"}, "includes": []}\r\n',
        b"\xff\xfe\r\n",
        b"[" * 100_000 + b"\r\n",
        b'{"errors": [{"title": "operational-disconnect"}]}\r\n',
        b"x" * (MAX_LINE_BYTES + 1_000),
    ],
)
def test_a_hostile_line_stops_nothing(sent: bytes, world: XWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.tell(sent)
        world.publish([100])
        items = read_until(reader, lambda items: "100" in ids(items))
        assert ids(items).count("100") == 1


def test_the_same_post_again_is_given_and_paid_for_once(world: XWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        once = tweet(1, "acme")
        world.send(once, once, tweet(2, "acme"))
        assert ids(read_until(reader, lambda items: "002" in ids(items))) == ["001", "002"]
        assert reader.vitals().spent_today == pytest.approx(0.01)


def test_posts_out_of_order_do_not_set_the_cursor_back(world: XWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        newest = new_id(900)
        world.send(tweet(900, "acme", id=newest), tweet(1, "acme", id=new_id(1, seconds_ago=30)))
        state = read_state(read_until(reader, lambda items: len(items) == 2)[-1].cursor)
        assert state is not None
        assert state.newest_id == int(newest)


# The ladder


def climb(*faults: XFault) -> list[float]:
    ladder = Ladder(LadderSettings())
    return [ladder.next(fault) for fault in faults]


def test_the_ladder_is_the_documented_one() -> None:
    network, http, limited = (XFault(kind, "x") for kind in FaultKind)
    assert climb(*[network] * 3) == [0.25, 0.5, 0.75]
    assert climb(*[network] * 100)[-1] == 16.0
    assert climb(*[http] * 8) == [5, 10, 20, 40, 80, 160, 320, 320]
    assert climb(*[limited] * 3) == [60, 120, 240]
    assert climb(network, network, http, network) == [0.25, 0.5, 5, 0.25]


def test_x_is_given_the_time_that_it_asks_for() -> None:
    assert climb(XFault(FaultKind.LIMITED, "x", 500.0)) == [500.0]


def test_what_came_sets_the_ladder_back() -> None:
    ladder = Ladder(LadderSettings())
    fault = XFault(FaultKind.HTTP, "x")
    ladder.next(fault)
    ladder.next(fault)
    ladder.reset()
    assert ladder.next(fault) == 5.0


# Gaps


def test_a_gap_is_filled_by_recent_search_and_told(world: XWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.publish([100])
        read_until(reader, bool)
        world.tweets += [tweet(n, "acme") for n in range(101, 350)]
        world.fail(Fault.BROKEN)
        items = read_until(reader, has_gap)
        assert ids(items) == [str(n) for n in range(101, 350)]
        (gap,) = gaps(items)
        assert (gap.recovered, gap.method) == (249, "recent search")
        assert gap.start <= gap.end
        assert "cut off" in gap.reason or "ended" in gap.reason
        assert items[-1].content is gap


def test_while_it_did_not_run_is_a_gap_too_and_nothing_is_paid_twice(world: XWorld) -> None:
    cursor = listened(world, 100, 101)
    world.publish([102])
    with closing(world.source().open(cursor)) as reader:
        items = read_until(reader, has_gap)
        assert ids(items) == ["102"]
        assert gaps(items)[0].reason == "it was not running"
        assert reader.vitals().spent_today == pytest.approx(0.015)


def test_a_gap_begins_at_the_last_sign_of_life_and_not_at_the_last_post(world: XWorld) -> None:
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.publish([100])
        cursor = read_until(reader, bool)[-1].cursor
        post_at = datetime.now(UTC)
        reader.place()

        def is_later(_: list[Item]) -> bool:
            nonlocal cursor
            cursor = reader.place() or cursor
            state = read_state(cursor)
            assert state is not None
            return state.heard_ms > to_ms(post_at)

        assert read_until(reader, is_later) == []
    with closing(world.source().open(cursor)) as reader:
        assert gaps(read_until(reader, has_gap))[0].start > post_at


def test_the_reason_of_a_gap_is_what_happened(world: XWorld) -> None:
    source = world.source()
    with closing(source.open(None)) as reader:
        listen(reader, world)
        world.publish([100])
        cursor = read_until(reader, bool)[-1].cursor
    world.due.append(Fault.BROKEN)
    with closing(source.open(cursor)) as reader:
        reason = gaps(read_until(reader, has_gap))[0].reason
        assert reason.startswith("it had failed and was opened anew; then ")
        assert "503" in reason


def test_a_gap_of_more_than_a_week_is_filled_as_far_as_search_goes(world: XWorld) -> None:
    state = XState(newest_id=int(new_id(1, seconds_ago=9 * 86_400)))
    state.heard(datetime.now(UTC) - timedelta(days=9))
    world.tweets += [tweet(2, "acme", id=new_id(2, seconds_ago=8 * 86_400)), tweet(3, "acme")]
    with closing(world.source().open(state.cursor())) as reader:
        items = read_until(reader, has_gap)
        assert ids(items) == ["003"]
        assert "not all of it" in gaps(items)[0].method


def test_what_is_too_much_to_search_for_is_told(world: XWorld) -> None:
    cursor = listened(world, 100)
    world.tweets += [tweet(n, "acme") for n in range(200, 300)]
    with closing(world.source(recover_posts=20).open(cursor)) as reader:
        items = read_until(reader, has_gap)
        assert len(ids(items)) <= 20
        assert "not all of it" in gaps(items)[0].method


@pytest.mark.parametrize(("fault", "times"), [(Fault.BROKEN, 3), (Fault.UNAUTHORISED, 1)])
def test_a_search_that_fails_leaves_the_gap_and_does_not_stop_the_stream(
    fault: Fault, times: int, world: XWorld
) -> None:
    cursor = listened(world, 100)
    world.due_at[SEARCH] = deque([fault] * times)
    with closing(world.source().open(cursor)) as reader:
        (gap,) = gaps(read_until(reader, has_gap))
        assert (gap.recovered, gap.method) == (None, "")
        assert "recent search" in gap.reason
        world.publish([101])
        assert "101" in ids(read_until(reader, bool))


def test_a_search_that_fails_once_is_tried_again(world: XWorld) -> None:
    cursor = listened(world, 100)
    world.publish([101])
    world.due_at[SEARCH] = deque([Fault.MALFORMED, Fault.CUT])
    with closing(world.source().open(cursor)) as reader:
        items = read_until(reader, has_gap)
        assert ids(items) == ["101"]
        assert gaps(items)[0].recovered == 1


def test_a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_began(world: XWorld) -> None:
    state = XState()
    state.heard(datetime.now(UTC) + timedelta(days=1))
    with closing(world.source().open(state.cursor())) as reader:
        (gap,) = gaps(read_until(reader, has_gap))
        assert gap.start == gap.end


# The budget

FIVE_POSTS = Budget(daily=0.025)


def test_when_the_budget_is_spent_it_stops_until_the_next_day_and_says_so(world: XWorld) -> None:
    clock = FakeClock(datetime(2026, 3, 1, 18, 0, tzinfo=UTC))
    with closing(world.source(clock=clock, budget=FIVE_POSTS).open(None)) as reader:
        listen(reader, world)
        world.publish(range(100, 105))
        read_until(reader, lambda items: len(ids(items)) == 5)
        with pytest.raises(RetryLater) as caught:
            read_until(reader, bool)
        assert str(caught.value) == (
            "the daily budget of 0.025 USD is spent (source.x.daily_budget); it goes on at 2026-03-02 00:00 UTC"
        )
        assert 0 < caught.value.after_seconds <= 6 * 3600
        vitals = reader.vitals()
        assert not vitals.connected
        assert (vitals.spent_today, vitals.currency) == (pytest.approx(0.025), "USD")
        assert vitals.errors == 0

        world.tweets += [tweet(200, "acme")]
        clock.advance(6 * 3600)
        items = read_until(reader, has_gap)
        assert ids(items) == [], "what was missed to save money is not paid for the day after"
        (gap,) = gaps(items)
        assert gap.end - gap.start >= timedelta(hours=6)
        assert "budget" in gap.reason
        assert gap.recovered is None
        assert reader.vitals().spent_today == 0.0
        world.publish([201])
        assert ids(read_until(reader, bool)) == ["201"]


def test_a_burst_passes_the_budget_by_no_post(world: XWorld) -> None:
    with closing(world.source(budget=FIVE_POSTS).open(None)) as reader:
        listen(reader, world)
        world.publish(range(100, 400))
        with pytest.raises(RetryLater, match="daily budget"):
            read_until(reader, lambda _: False)
        assert reader.vitals().spent_today == pytest.approx(0.025)


def test_little_waits_in_the_connection_that_nobody_took(world: XWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    connect = socket.socket.connect

    def noted(opened: socket.socket, address: Any) -> None:
        sizes.append(opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF))
        connect(opened, address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
    assert min(sizes) <= 2 * STREAM_BUFFER_BYTES


def test_a_burst_of_new_authors_passes_it_by_less_than_one_post_with_its_author(world: XWorld) -> None:
    world.users = [{"id": "7", "username": "somebody"}]
    with closing(world.source(authors=True, budget=Budget(daily=0.02)).open(None)) as reader:
        listen(reader, world)
        world.send(*(tweet(n, "acme", author_id=str(n)) for n in range(100, 400)))
        with pytest.raises(RetryLater, match="daily budget"):
            read_until(reader, lambda _: False)
        assert reader.vitals().spent_today == pytest.approx(0.03)


def test_posts_that_came_before_do_not_hold_up_the_stream(world: XWorld) -> None:
    with closing(world.source(budget=FIVE_POSTS).open(None)) as reader:
        listen(reader, world)
        known = tweet(100, "acme")
        world.send(known, known, known, known, known, known, known, tweet(101, "acme"))
        assert ids(read_until(reader, lambda items: len(ids(items)) == 2)) == ["100", "101"]
        assert reader.vitals().spent_today == pytest.approx(0.01)


def test_what_was_spent_survives_a_restart(world: XWorld) -> None:
    clock = FakeClock(datetime(2026, 3, 1, 18, 0, tzinfo=UTC))
    cursor = listened(world, *range(100, 105), clock=clock, budget=FIVE_POSTS)
    asked = len(world.asked)
    with closing(world.source(clock=clock, budget=FIVE_POSTS).open(cursor)) as reader:
        with pytest.raises(RetryLater, match="daily budget"):
            read_until(reader, bool)
        assert len([path for _, path in world.asked[asked:] if "search" in path]) == 0
        clock.advance(6 * 3600)
        (gap,) = gaps(read_until(reader, has_gap))
        assert gap.recovered is None
        assert "budget" in gap.reason


def test_filling_a_gap_keeps_within_the_budget(world: XWorld) -> None:
    cursor = listened(world, 100)
    world.tweets += [tweet(n, "acme") for n in range(200, 300)]
    with closing(world.source(budget=Budget(daily=0.1)).open(cursor)) as reader:
        items = read_until(reader, has_gap)
        # 0.005 was spent before.
        assert len(ids(items)) == 19
        assert reader.vitals().spent_today == pytest.approx(0.1)


def test_authors_are_paid_for_once_a_day(world: XWorld) -> None:
    world.users = [{"id": "7", "username": "somebody"}]
    with closing(world.source(authors=True).open(None)) as reader:
        listen(reader, world)
        world.publish([1, 2])
        items = read_until(reader, lambda items: len(items) == 2)
        assert {post.fields["author_handle"] for post in raw_posts(items)} == {"somebody"}
        assert reader.vitals().spent_today == pytest.approx(2 * 0.005 + 0.01)
        assert any("expansions=author_id" in path for _, path in world.asked)


def test_a_clock_that_is_set_back_gives_no_new_budget() -> None:
    meter = Meter()
    meter.roll(datetime(2026, 3, 2, tzinfo=UTC))
    meter.add(5.0)
    assert not meter.roll(datetime(2026, 3, 1, tzinfo=UTC))
    assert meter.spent == 5.0
    assert meter.roll(datetime(2026, 3, 3, tzinfo=UTC))
    assert meter.spent == 0.0


# Removals


def test_removals_are_asked_for_and_given(world: XWorld) -> None:
    with closing(world.source(compliance_hours=1.0).open(None)) as reader:
        listen(reader, world)
        world.publish([100, 101])
        items = read_until(reader, lambda items: len(ids(items)) == 2)
        gone, kept = (str(post.fields["id"]) for post in raw_posts(items))
        world.gone = {gone: "suspended"}
        (item,) = read_until(reader, bool)
        assert item.content == Removed(
            native_id=gone, removed_at=datetime(2026, 1, 12, 8, 30, tzinfo=UTC), reason="suspended"
        )
        assert "signed" not in item.raw.decode()
        state = read_state(item.cursor)
        assert state is not None
        assert list(state.ids) == [int(kept)]
        assert state.checked_ms > 0


def test_removals_are_not_asked_for_again_before_it_is_time(world: XWorld) -> None:
    state = XState(checked_ms=to_ms(datetime.now(UTC)) - 1_000, ids={7: None})
    with closing(world.source(compliance_hours=1.0).open(state.cursor())) as reader:
        listen(reader, world)
        world.publish([100])
        read_until(reader, bool)
        assert world.jobs == {}


@pytest.mark.parametrize(
    ("path", "fault"),
    [(JOBS, Fault.BROKEN), (JOBS, Fault.UNAUTHORISED), ("/upload", Fault.BROKEN), ("/download", Fault.CUT)],
)
def test_removals_that_cannot_be_asked_for_disturb_nothing_and_are_told(path: str, fault: Fault, world: XWorld) -> None:
    world.due_at[path] = deque([fault])
    with closing(world.source().open(None)) as reader:
        listen(reader, world)
        world.publish([100])
        read_until(reader, bool)
        read_until(reader, lambda _: "removals cannot be asked for" in reader.vitals().note)
        assert "signed" not in reader.vitals().note
        assert reader.vitals().errors > 0
        world.publish([101])
        assert ids(read_until(reader, bool)) == ["101"]


def test_while_the_budget_is_spent_removals_are_still_asked_for(world: XWorld) -> None:
    with closing(world.source(budget=FIVE_POSTS, compliance_poll_seconds=1.0).open(None)) as reader:
        listen(reader, world)
        world.publish(range(100, 105))
        items = read_until(reader, lambda items: len(ids(items)) == 5)
        world.gone = {str(raw_posts(items)[0].fields["id"]): "deleted"}
        assert isinstance(read_until(reader, bool, budget_ends_it=False)[0].content, Removed)


# What is kept


def test_the_cursor_keeps_what_was_read_and_spent() -> None:
    state = XState(newest_id=17, heard_ms=5, checked_ms=6, meter=Meter("2026-03-01", 1.25))
    base = int(new_id(1))
    for n in range(MAX_KEPT_IDS + 10):
        state.keep(base + n * 7_919_000_000)
    assert len(state.cursor()) < 40_000
    again = read_state(state.cursor())
    assert again is not None
    assert list(again.ids) == list(state.ids)
    assert len(again.ids) == MAX_KEPT_IDS
    assert (again.newest_id, again.heard_ms, again.checked_ms) == (17, 5, 6)
    assert again.meter == Meter("2026-03-01", 1.25)


@pytest.mark.parametrize("cursor", ["", "17", "null", "{}", '{"v": 2}', '{"v":1,"id":1,"at":1}', "[" * 9_999])
def test_what_is_no_cursor_begins_now(cursor: str) -> None:
    assert read_state(cursor) is None


def test_a_dead_letter_is_read_again(world: XWorld) -> None:
    item = world.source().reread(json.dumps({"data": tweet(1, "acme")}).encode(), "x:1")
    assert isinstance(item.content, RawPost)
    with pytest.raises(ConfigError):
        world.source().reread(b"[]", "x:1")


# The past


def test_the_past_is_what_search_gives_of_that_time(world: XWorld) -> None:
    now = datetime.now(UTC)
    for n in range(150):
        world.tweets.append(tweet(n, "acme", id=new_id(n, seconds_ago=3_600 + n)))
    world.tweets.append(tweet(900, "acme", id=new_id(900)))
    world.tweets.append(tweet(901, "acme", id=new_id(901, seconds_ago=90_000)))
    history = world.source().history(now - timedelta(hours=2), now - timedelta(minutes=30))
    items: list[Item] = []
    with closing(history.open(None)) as reader:
        while (given := reader.read(7)) is not None:
            items += given
    assert sorted(ids(items)) == [f"{n:03d}" for n in range(150)]
    with closing(history.open(items[99].cursor)) as reader:
        assert [item.position for item in reader.read(7) or ()] == [item.position for item in items[100:107]]


def test_the_past_has_a_budget_and_goes_on_from_there_with_a_larger_one(world: XWorld) -> None:
    now = datetime.now(UTC)
    world.tweets += [tweet(n, "acme", id=new_id(n, seconds_ago=3_600 + n)) for n in range(50)]
    history = world.source(budget=Budget(daily=0.1)).history(now - timedelta(hours=2), now)
    with closing(history.open(None)) as reader:
        items = list(reader.read(100) or ())
        assert len(items) == 20
        with pytest.raises(ConfigError, match="daily_budget"):
            reader.read(100)
    more = world.source(budget=Budget(daily=1.0)).history(now - timedelta(hours=2), now)
    with closing(more.open(items[-1].cursor)) as reader:
        assert len(reader.read(100) or ()) == 30


def test_more_than_a_week_ago_cannot_be_asked_for(world: XWorld) -> None:
    now = datetime.now(UTC)
    with pytest.raises(ConfigError, match="recent search goes back to"):
        world.source().history(now - timedelta(days=8), now)


# Its settings


def context(text: str, tmp_path: Path, token: str = "") -> SourceContext:
    path = tmp_path / "soundings.toml"
    path.write_text(f'{text}\n[[brands]]\nid = "acme"\nquery = "acme -late author:x"\n', encoding="utf-8")
    settings, problems = read(path, environ={"SOUNDINGS_SOURCE_X_TOKEN": token} if token else {})
    assert problems == []
    return SourceContext(
        values=settings.sources.values["x"],
        normalise=NormaliserSettings(),
        brands=settings.brands,
        clock=FakeClock(),
    )


def test_it_is_built_from_its_settings(tmp_path: Path) -> None:
    source = X.build(context("[source.x]\ndaily_budget = 3", tmp_path, "secret-token"))
    assert isinstance(source, XSource)
    assert source.normalise.html == "never"
    assert "secret-token" not in repr(vars(source))


def test_a_missing_token_is_one_line_that_names_the_setting_and_the_page(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        X.build(context("", tmp_path))
    (problem,) = caught.value.problems
    assert problem.startswith("source.x.token: is missing")
    assert "docs/sources/x.md" in problem


def test_what_cannot_be_asked_for_is_told_before_it_listens(tmp_path: Path) -> None:
    notes = X.notes(context("", tmp_path, "token"))
    assert any("`-late`" in note for note in notes)
    assert any("source.x.authors" in note for note in notes)
    assert len(X.notes(context("[source.x]\nauthors = true", tmp_path, "token"))) == len(notes) - 1
