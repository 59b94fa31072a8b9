"""What every store promises of numbers that come later than their mention (`search.store.Store.engage`)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.mentions import START, mention, retraction, withdrawal
from fakes.told import TEXT, told

from domain.engagement import MAX_COUNT, Engagement
from domain.query import parse
from domain.query.ast import Node
from domain.records import Mention
from domain.text import index_tokens
from search.store import SearchRequest, Store, Written

HOUR = timedelta(hours=1)


def numbers(hours: float = 1.0, **known: int) -> Engagement:
    return Engagement(at=START + hours * HOUR, **known)


def with_numbers(one: Mention, engagement: Engagement) -> Mention:
    return replace(
        one,
        likes=engagement.likes,
        reposts=engagement.reposts,
        replies=engagement.replies,
        views=engagement.views,
        engagement_at=engagement.at,
    )


def found(store: Store, query: str) -> list[Mention]:
    store.refresh()
    node: Node = parse(query)
    return sorted(store.search(SearchRequest(node, limit=500)).mentions, key=lambda one: one.mention_id)


def test_all_mentions_of_a_post_get_its_numbers_and_are_found_by_them(store: Store) -> None:
    acme, globex, other = mention("1", "acme"), mention("1", "globex"), mention("2", "acme")
    store.write([acme, globex, other])
    later = numbers(likes=12, reposts=0, replies=3)
    assert store.engage({acme.post_id: later}) == 2
    for one in (acme, globex):
        assert store.get(one.mention_id) == with_numbers(one, later)
    assert store.get(other.mention_id) == other
    both = sorted([with_numbers(acme, later), with_numbers(globex, later)], key=lambda one: one.mention_id)
    assert found(store, "likes:12") == both
    assert found(store, "reposts:0") == both
    assert found(store, "views:[0 TO *]") == []
    assert store.count() == 3


def test_numbers_are_found_in_place_of_those_that_an_index_knew(store: Store) -> None:
    one = mention(likes=1, replies=7, engagement_at=START)
    store.write([one])
    assert len(found(store, "likes:1")) == 1
    store.engage({one.post_id: numbers(likes=2)})
    assert (found(store, "likes:1"), found(store, "replies:7")) == ([], [])
    assert found(store, "likes:2") == [with_numbers(one, numbers(likes=2))]


@pytest.mark.parametrize("known", [numbers(2, likes=5), numbers(1, likes=5)], ids=["newer", "of the same moment"])
def test_only_newer_numbers_count(store: Store, known: Engagement) -> None:
    one = with_numbers(mention(), known)
    store.write([one])
    assert store.engage({one.post_id: numbers(1, likes=9)}) == 0
    assert store.get(one.mention_id) == one


def test_what_tells_no_number_changes_nothing(store: Store) -> None:
    one = mention(likes=1)
    store.write([one])
    assert store.engage({one.post_id: numbers()}) == 0
    assert store.get(one.mention_id) == one


def test_the_largest_number_is_kept_exactly(store: Store) -> None:
    one = mention()
    store.write([one])
    store.engage({one.post_id: numbers(views=MAX_COUNT)})
    assert store.get(one.mention_id) == with_numbers(one, numbers(views=MAX_COUNT))


def test_what_is_not_there_or_is_gone_stays_away(store: Store) -> None:
    withdrawn, retracted, never = mention("1"), mention("2"), mention("3")
    store.write([withdrawn, retracted])
    store.write([withdrawal(withdrawn), retraction(retracted)])
    gone = {one.post_id: numbers(likes=1) for one in (withdrawn, retracted, never)}
    assert store.engage(gone) == 0
    assert (store.count(), found(store, "*")) == (0, [])
    assert store.engage({}) == 0


def test_a_mention_of_which_numbers_came_is_itself_to_every_later_write(store: Store) -> None:
    """Its version is what it was: the record that comes again is known, the edit replaces, the withdrawal removes."""
    one = mention(version=10)
    store.write([one])
    later = numbers(likes=1)
    store.engage({one.post_id: later})
    assert store.write([one, replace(one, version=9)]) == [Written.SUPERSEDED, Written.SUPERSEDED]
    assert store.write([replace(one, enriched_at=one.enriched_at + HOUR)]) == [Written.REPEATED]
    assert store.get(one.mention_id) == with_numbers(one, later)
    edited = replace(one, version=11, text="other words", tokens=index_tokens(None, "other words"))
    assert store.write([edited]) == [Written.STORED]
    assert found(store, "*") == [edited]
    store.engage({one.post_id: numbers(2, likes=4)})
    assert found(store, "other") == [with_numbers(edited, numbers(2, likes=4))]
    assert store.write([withdrawal(edited)]) == [Written.STORED]
    assert (store.count(), found(store, "*")) == (0, [])


def test_a_story_is_not_touched(store: Store) -> None:
    first, second = told("1", TEXT), told("2", TEXT, published_at=START + HOUR)
    store.write([first, second])
    before = [store.get(one.mention_id) for one in (first, second)]
    stories = {one.story_id for one in before if one is not None}
    assert len(stories) == 1
    assert None not in stories
    assert store.engage({one.post_id: numbers(likes=1) for one in (first, second)}) == 2
    for known in before:
        assert known is not None
        assert store.get(known.mention_id) == with_numbers(known, numbers(likes=1))
    story = store.story(str(stories.pop()))
    assert story is not None
    assert (story.posts, story.mentions) == (2, 2)


def test_ids_that_differ_only_in_case_are_different_posts(store: Store) -> None:
    small, large = mention("a"), mention("A")
    store.write([small, large])
    assert store.engage({large.post_id: numbers(likes=1)}) == 1
    assert store.get(small.mention_id) == small


def test_numbers_survive_reopening(open_store: Callable[[], Store]) -> None:
    store = open_store()
    one = mention()
    store.write([one])
    store.engage({one.post_id: numbers(likes=1)})
    store = open_store()
    assert found(store, "likes:1") == [with_numbers(one, numbers(likes=1))]


def test_whoever_writes_meanwhile_loses_nothing(store: Store) -> None:
    """Versions rise, mentions come and go while numbers come: what was written last holds, in truth and index alike."""
    posts = [mention(str(number)) for number in range(20)]
    store.write(posts)
    stop, failures = threading.Event(), list[BaseException]()

    def engage() -> None:
        hours = 1.0
        try:
            while not stop.is_set():
                store.engage({one.post_id: numbers(hours, likes=round(hours)) for one in posts})
                hours += 1
        except BaseException as exc:
            failures.append(exc)

    thread = threading.Thread(target=engage)
    thread.start()
    try:
        for version in range(2, 12):
            store.write([replace(one, version=one.version + version) for one in posts[:10]])
            store.write([withdrawal(posts[version + 8])])
    finally:
        stop.set()
        thread.join()
    assert not failures
    left = [*posts[:10], *posts[20:]]
    last = {one.mention_id: one.version + 11 for one in left}
    assert {one.mention_id: one.version for one in found(store, "*")} == last
    store.engage({one.post_id: numbers(1_000_000, likes=77) for one in posts})
    assert {one.mention_id for one in found(store, "likes:77")} == set(last)
    assert store.count() == 10
