"""Looking up what posts have earned since they were collected, against servers that speak the real protocols."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from fakes.clock import START, FakeClock
from fakes.live_appview import AppView, open_appview
from fakes.live_hackernews import HackerNewsWorld, open_hackernews
from fakes.live_worlds import Fault

from domain.engagement import Engagement
from domain.errors import ConfigError, RetryLater
from ingest.bluesky import BlueskySettings, BlueskySource
from ingest.hackernews import HackerNewsSettings, HackerNewsSource
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.source import EngagementLookup, RawPost, TellsEngagement


@pytest.fixture
def view() -> Iterator[AppView]:
    with open_appview() as opened:
        yield opened


@pytest.fixture
def world() -> Iterator[HackerNewsWorld]:
    with open_hackernews() as opened:
        yield opened


@pytest.fixture
def bluesky(view: AppView) -> Iterator[EngagementLookup]:
    settings = BlueskySettings(appview_address=view.address, allow_private=True)
    yield from opened(BlueskySource(settings, FakeClock()))


@pytest.fixture
def hackernews(world: HackerNewsWorld) -> Iterator[EngagementLookup]:
    world.clock = FakeClock()
    yield from opened(world.source())


def opened(source: TellsEngagement) -> Iterator[EngagementLookup]:
    lookup = source.lookup()
    assert lookup is not None
    with closing(lookup):
        yield lookup


def uri(number: int) -> str:
    return f"at://did:plc:somebody234567abcdefghij/app.bsky.feed.post/3kpost{number}"


def test_bluesky_tells_likes_reposts_and_replies_of_what_is_there(view: AppView, bluesky: EngagementLookup) -> None:
    view.says(uri(1), likeCount=12, repostCount=3, replyCount=0, quoteCount=5)
    view.says(uri(2), likeCount=0)
    found = bluesky.engagement([uri(1), uri(2), uri(3)])
    assert found == {
        uri(1): Engagement(at=START, likes=12, reposts=3, replies=0),
        uri(2): Engagement(at=START, likes=0),
    }
    assert view.asked == [[uri(1), uri(2), uri(3)]]


@pytest.mark.parametrize("wrong", [-1, 1.5, True, "7", None, 1 << 63, [1]])
def test_a_number_that_is_none_is_absent_and_not_0(view: AppView, wrong: object, bluesky: EngagementLookup) -> None:
    view.says(uri(1), likeCount=wrong, replyCount=1)
    view.says(uri(2), likeCount=wrong)
    assert bluesky.engagement([uri(1), uri(2)]) == {uri(1): Engagement(at=START, replies=1)}


def test_bluesky_is_asked_for_25_at_a_time_and_for_nothing_that_is_no_uri(
    view: AppView, bluesky: EngagementLookup
) -> None:
    for number in range(30):
        view.says(uri(number), likeCount=number)
    found = bluesky.engagement([*map(uri, range(30)), "#abc", "at://handle.example/x/1", "at://did:plc:x/a b"])
    assert len(found) == 30
    assert [len(uris) for uris in view.asked] == [25, 5]
    assert bluesky.engagement(["#abc"]) == {}
    assert len(view.asked) == 2


def test_one_uri_that_bluesky_does_not_take_costs_the_others_nothing(view: AppView, bluesky: EngagementLookup) -> None:
    for number in range(25):
        view.says(uri(number), likeCount=number)
    view.refused = {uri(7)}
    found = bluesky.engagement([uri(number) for number in range(25)])
    assert set(found) == {uri(number) for number in range(25) if number != 7}


def test_what_nobody_asked_for_is_not_taken(view: AppView, bluesky: EngagementLookup) -> None:
    view.posts = {uri(1): {"uri": uri(9), "likeCount": 1}, uri(2): "text", uri(3): {"likeCount": 2}, uri(4): {"uri": 7}}
    assert bluesky.engagement([uri(number) for number in range(1, 5)]) == {}


def test_hacker_news_tells_points_and_comments_of_a_story(world: HackerNewsWorld, hackernews: EngagementLookup) -> None:
    world.change(1, type="story", score=250, descendants=31, kids=[5, 6])
    assert hackernews.engagement(["1000001"]) == {"1000001": Engagement(at=START, likes=250, replies=31)}


def test_hacker_news_tells_answers_of_a_comment_and_no_points(
    world: HackerNewsWorld, hackernews: EngagementLookup
) -> None:
    world.change(1, kids=[5, 6, 7])
    world.change(2)
    world.change(3, kids="many")
    found = hackernews.engagement(["1000001", "1000002", "1000003"])
    assert found == {"1000001": Engagement(at=START, replies=3), "1000002": Engagement(at=START, replies=0)}


def test_what_is_gone_or_unknown_at_hacker_news_is_left_out(
    world: HackerNewsWorld, hackernews: EngagementLookup
) -> None:
    world.change(1, deleted=True, kids=[5])
    world.change(2, dead=True, kids=[5])
    world.live[1_000_003] = "text"
    assert hackernews.engagement(["1000001", "1000002", "1000003", "1000004", "#abc", "../updates"]) == {}
    assert all(path.startswith("/v0/item/1") for path in world.asked)


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.TOO_MANY, Fault.TOO_MANY_SILENT, Fault.BROKEN, Fault.MALFORMED])
def test_trouble_asks_for_patience_and_the_next_question_is_answered(
    view: AppView, world: HackerNewsWorld, fault: Fault, bluesky: EngagementLookup, hackernews: EngagementLookup
) -> None:
    view.says(uri(1), likeCount=1)
    world.change(1, kids=[2])
    view.due.append(fault)
    world.live_due.append(fault)
    lookups: list[tuple[EngagementLookup, str]] = [(bluesky, uri(1)), (hackernews, "1000001")]
    for lookup, native_id in lookups:
        with pytest.raises(RetryLater) as raised:
            lookup.engagement([native_id])
        assert raised.value.after_seconds > 0
        assert len(lookup.engagement([native_id])) == 1


def test_a_refusal_names_the_setting_and_the_page(
    view: AppView, world: HackerNewsWorld, bluesky: EngagementLookup, hackernews: EngagementLookup
) -> None:
    view.due.append(Fault.UNAUTHORISED)
    world.live_due.append(Fault.UNAUTHORISED)
    with pytest.raises(ConfigError, match=r"source\.bluesky\.appview_address: .*docs/sources/bluesky\.md"):
        bluesky.engagement([uri(1)])
    with pytest.raises(ConfigError, match=r"source\.hackernews\.updates_address: .*docs/sources/hackernews\.md"):
        hackernews.engagement(["1"])


def test_who_has_no_address_is_not_to_be_asked() -> None:
    sources: list[TellsEngagement] = [
        BlueskySource(BlueskySettings(appview_address=""), FakeClock()),
        HackerNewsSource(HackerNewsSettings(updates_address=""), FakeClock()),
    ]
    assert [source.lookup() for source in sources] == [None, None]
    assert all(isinstance(source, TellsEngagement) for source in sources)


def test_numbers_without_a_time_are_as_of_the_collection_of_a_post_that_was_collected_live() -> None:
    raw = RawPost(fields={"id": "1", "text": "acme", "likes": 3})
    live, later = (Normaliser("hackernews", NormaliserSettings(backfilled=backfilled)) for backfilled in (False, True))
    assert live.normalise(raw, START).engagement_at == START
    assert later.normalise(raw, START).engagement_at is None
    assert live.normalise(RawPost(fields={"id": "1", "text": "acme"}), START).engagement_at is None
