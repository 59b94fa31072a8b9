"""Retractions of posts and authors, and what takes them back: the same in every store."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from fakes.mentions import START, mention
from fakes.told import told

from domain import ids
from domain.errors import BadRecord, RetryLater
from domain.records import AuthorRetraction, Mention, Restoration, Retraction
from search.elastic import ElasticStore
from search.retractions import Record
from search.store import SearchRequest, Store, Written

OpenStore = Callable[[], Store]
DAY = timedelta(days=1)
STORED, SUPERSEDED = Written.STORED, Written.SUPERSEDED


def by(author: str, native_id: str, brand: str = "acme", **changed: object) -> Mention:
    return mention(native_id, brand, author_id=author, **changed)


def author_gone(author: str, day: int = 1, **changed: object) -> AuthorRetraction:
    key = ids.author_key("x", author)
    at = START + day * DAY
    return replace(AuthorRetraction(author_key=key, source="x", retracted_at=at, asked_at=at), **changed)


def post_gone(of: Mention, day: int = 1, **changed: object) -> Retraction:
    at = START + day * DAY
    return replace(Retraction(post_id=of.post_id, source="x", retracted_at=at, asked_at=at), **changed)


def author_back(author: str, day: int) -> Restoration:
    at = START + day * DAY
    return Restoration(source="x", restored_at=at, taken_from=at, author_key=ids.author_key("x", author))


def post_back(of: Mention, day: int) -> Restoration:
    at = START + day * DAY
    return Restoration(source="x", restored_at=at, taken_from=at, post_id=of.post_id)


def found(store: Store) -> set[str]:
    store.refresh()
    return {one.mention_id for one in store.search(SearchRequest()).mentions}


def test_an_author_that_is_gone_takes_all_mentions_along_in_every_month_and_nothing_late_brings_them_back(
    store: Store,
) -> None:
    theirs = [by("Ann", "1"), by("Ann", "1", "globex"), by("Ann", "2", routing_month="2025.12")]
    others = [by("ann", "3"), by("Ann2", "4"), mention("5"), by("Ann", "6", source="bluesky")]
    store.write([*theirs, *others])
    store.refresh()
    assert store.write([author_gone("Ann")]) == [STORED]
    assert (len(store.search(SearchRequest()).mentions), store.count()) == (len(others), len(others))
    assert store.write([author_gone("Ann")]) == [SUPERSEDED]
    late = [replace(one, version=one.version + 1) for one in theirs]
    assert store.write([*late, by("Ann", "9")]) == [SUPERSEDED] * 4
    assert found(store) == {one.mention_id for one in others}
    assert [store.get(one.mention_id) for one in theirs] == [None] * 3


def test_an_author_that_is_gone_before_the_first_post_stays_away(store: Store) -> None:
    assert store.write([author_gone("Ann"), by("Ann", "1"), by("Bob", "2")]) == [STORED, SUPERSEDED, STORED]
    assert store.count() == 1


def test_what_came_in_the_same_batch_goes_too(store: Store) -> None:
    assert store.write([by("Ann", "1"), author_gone("Ann"), by("Ann", "2")])[1:] == [STORED, SUPERSEDED]
    assert store.count() == 0


def test_an_author_with_thousands_of_mentions_loses_all_of_them(store: Store) -> None:
    store.write([by("Ann", str(number)) for number in range(2_500)])
    store.write([author_gone("Ann", asked_by="Ada")])
    assert (store.count(), store.retractions()[0].mentions) == (0, 2_500)


def test_the_original_of_an_author_that_is_gone_leaves_its_story_to_the_next_post(store: Store) -> None:
    first, second = told("1", author_id="Ann"), told("2", author_id="Bob", published_at=START + DAY)
    store.write([first, second])
    kept = store.get(second.mention_id)
    assert kept is not None
    assert kept.story_id is not None
    store.write([author_gone("Ann")])
    story = store.story(kept.story_id)
    assert story is not None
    assert (story.original.mention_id, story.posts, story.mentions) == (second.mention_id, 1, 1)


def test_a_post_that_is_back_is_taken_again_in_the_same_revision(store: Store) -> None:
    one = mention()
    store.write([one])
    forgetful(store)
    store.write([post_gone(one)])
    assert store.write([post_back(one, 2)]) == [STORED]
    assert store.retracted_at(one.post_id) is None
    again = replace(one, collected_at=START + 3 * DAY)
    patiently(store, again)
    assert store.get(one.mention_id) == again


def test_what_was_collected_before_a_restoration_stays_away(store: Store) -> None:
    one, theirs = mention("1"), by("Ann", "2")
    store.write([one, theirs, post_gone(one), author_gone("Ann"), post_back(one, 2), author_back("Ann", 2)])
    newer = [replace(each, version=each.version + 1) for each in (one, theirs)]
    assert store.write([one, theirs, *newer]) == [SUPERSEDED] * 4
    assert store.count() == 0


def test_gone_back_gone_and_back_again_holds(store: Store) -> None:
    for day in (1, 3):
        assert store.write([author_gone("Ann", day)]) == [STORED]
        new = by("Ann", f"while gone {day}", collected_at=START + (day + 0.5) * DAY)
        assert store.write([new]) == [SUPERSEDED]
        assert store.write([author_back("Ann", day + 1)]) == [STORED]
        new = by("Ann", f"back {day}", collected_at=START + (day + 1) * DAY)
        assert store.write([new]) == [STORED]
        assert found(store) == {new.mention_id}
    # What is older than the last word changes nothing any more.
    assert store.write([author_gone("Ann", 3), author_back("Ann", 2), author_gone("Ann", 1)]) == [SUPERSEDED] * 3
    assert store.count() == 1


@pytest.mark.parametrize("last", ["gone", "back"])
def test_the_order_of_arrival_changes_nothing(store: Store, last: str) -> None:
    expected = set()
    for number, order in enumerate(permutations(range(3))):
        author = f"Ann{number}"
        gone, back = author_gone(author, 3 if last == "gone" else 1), author_back(author, 2)
        old, new = by(author, f"{number} old"), by(author, f"{number} new", collected_at=START + 2 * DAY)
        said: list[Record] = [gone, back, old]
        for record in (*(said[place] for place in order), new):
            store.write([record])
        expected |= {new.mention_id} if last == "back" else set()
    assert found(store) == expected


def test_at_the_same_moment_a_retraction_is_stronger(store: Store) -> None:
    store.write([author_back("Ann", 1), author_gone("Ann", 1)])
    assert store.write([by("Ann", "1", collected_at=START + 9 * DAY)]) == [SUPERSEDED]


def test_the_ledger_has_one_row_for_each_retraction_that_was_asked_for(open_store: OpenStore) -> None:
    store = open_store()
    one, theirs = mention("1"), [by("Ann", "2"), by("Ann", "3")]
    store.write([one, *theirs])
    asked: list[Record] = [
        post_gone(one),
        author_gone("Ann", 2, asked_by="Ada", reason="asked us to"),
        post_gone(mention("never came"), 3),
        post_gone(one, 4, asked_by="Ada"),
    ]
    before = datetime.now(UTC)
    for record in (*asked, *asked):
        store.write([record])
    store = open_store()
    rows = store.retractions()
    assert [(row.subject, row.key, row.asked_by, row.mentions, row.reason) for row in rows] == [
        ("post", "x:1", "Ada", 0, "deleted"),
        ("post", "x:never came", "x", 0, "deleted"),
        ("author", "x:Ann", "Ada", 2, "asked us to"),
        ("post", "x:1", "x", 1, "deleted"),
    ]
    assert [row.asked_at for row in rows] == [START + day * DAY for day in (4, 3, 2, 1)]
    assert all(row.done_at is not None and row.done_at >= before.replace(microsecond=0) for row in rows)
    assert len(store.retractions(2)) == 2


def test_of_a_retraction_that_does_not_know_when_it_was_asked_for_there_is_no_row(store: Store) -> None:
    store.write([post_gone(mention(), asked_at=None)])
    assert list(store.retractions()) == []


@pytest.mark.parametrize("key", ["", "\ud800", "k" * 8_001])
def test_a_subject_that_no_store_can_hold_is_refused_alone(store: Store, key: str) -> None:
    wrong = [author_gone("Ann", author_key=key), replace(author_back("Ann", 1), author_key=key)]
    *refused, stored = store.write([*wrong, by("Ann", "1")])
    assert all(isinstance(outcome, BadRecord) for outcome in refused)
    assert (stored, store.count()) == (STORED, 1)


def forgetful(store: Store) -> None:
    """Have Elasticsearch forget at once what it removed, which takes it a minute by itself."""
    if isinstance(store, ElasticStore):
        store.elastic.ask("PUT", f"/{store.names.mentions}/_settings", {"index.gc_deletes": "0ms"})


def patiently(store: Store, one: Mention) -> None:
    """Write as the worker does: what was removed a moment ago may have to come again."""
    while True:
        try:
            assert store.write([one]) == [STORED]
            return
        except RetryLater as exc:
            if isinstance(store, ElasticStore):
                store.elastic.ask("POST", f"/{store.names.mentions}/_flush", parameters={"force": "true"})
            time.sleep(min(exc.after_seconds, 0.5))
