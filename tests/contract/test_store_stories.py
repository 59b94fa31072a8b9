"""What every store promises about stories: assigned from what is stored, exact under batches, restarts and removals."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fakes.mentions import START, mention, retraction, withdrawal

from domain.aggregation import Buckets, Distinct, DistinctResult, Terms
from domain.errors import BadReason, BadRecord
from domain.query.ast import Everything, Keyword
from domain.records import Mention, Retraction, Withdrawal
from domain.stories import WINDOW
from enrich.signature import signature
from search.store import SearchRequest, Store, Written

TEXT = "The crew lost my bag in Denver and nobody at the counter cared"
NEAR = "The crew lost my case in Denver and nobody at the counter cared"
OTHER = "A lovely breakfast above the clouds with fresh bread and strong coffee"


def told(native_id: str, text: str = TEXT, brand: str = "acme", **changed: Any) -> Mention:
    """Give a mention as the enrich stage makes it."""
    one = mention(native_id, brand, text=text, **changed)
    return replace(one, signature=signature(one.tokens, one.domains).pack())


def at(hours: float) -> dict[str, Any]:
    return {"published_at": START + timedelta(hours=hours)}


def story_of(store: Store, one: Mention) -> str:
    found = store.get(one.mention_id)
    assert found is not None
    assert found.story_id is not None
    return found.story_id


def test_posts_that_say_nearly_the_same_are_one_story(store: Store) -> None:
    first, shared, near, other = told("1"), told("2", f"RT @x {TEXT}"), told("3", NEAR), told("4", OTHER)
    store.write([first, shared, near, other])
    assert story_of(store, first) == story_of(store, shared) == story_of(store, near) != story_of(store, other)
    assert store.get(first.mention_id) == replace(first, story_id=story_of(store, first))


def test_a_story_is_searched_counted_and_told(store: Store) -> None:
    first, near, other = told("1", **at(2)), told("2", NEAR, brand="globex", **at(1)), told("3", OTHER, **at(0))
    second_brand = told("1", brand="globex", **at(2))
    store.write([first, second_brand, near, other])
    store.refresh()
    story_id = story_of(store, first)
    found = store.search(SearchRequest(node=Keyword("story_id", story_id))).mentions
    assert {one.mention_id for one in found} == {first.mention_id, second_brand.mention_id, near.mention_id}
    assert {one.story_id for one in found} == {story_id}
    counts = store.aggregate(Everything(), {"by": Terms("story_id"), "stories": Distinct("story_id")})
    assert counts["stories"] == DistinctResult(2)
    assert isinstance(counts["by"], Buckets)
    first_bucket = counts["by"].buckets[0]
    assert (first_bucket.key, first_bucket.count) == (story_id, 3)
    story = store.story(story_id)
    assert story is not None
    assert (story.story_id, story.posts, story.mentions) == (story_id, 2, 3)
    assert story.original == replace(near, story_id=story_id)
    assert (story.first_at, story.last_at) == (START + timedelta(hours=1), START + timedelta(hours=2))
    assert store.story("nosuch") is None


def test_a_short_post_is_a_story_of_its_own(store: Store) -> None:
    one, other = told("1", "thanks united"), told("2", "thanks united")
    store.write([one, other])
    assert story_of(store, one) != story_of(store, other)
    story = store.story(story_of(store, one))
    assert story is not None
    assert (story.original.post_id, story.posts) == (one.post_id, 1)


def test_a_mention_without_a_signature_keeps_what_it_says(store: Store) -> None:
    """Written before there were stories, or by somebody else."""
    plain, given = mention("1", text=TEXT), mention("2", text=TEXT, story_id="given")
    store.write([plain, given, told("3")])
    assert store.get(plain.mention_id) == plain
    assert store.get(given.mention_id) == given


def test_a_broken_signature_is_refused_alone(store: Store) -> None:
    refused, stored = store.write([mention("1", signature="broken"), told("2")])
    assert isinstance(refused, BadRecord)
    assert refused.reason is BadReason.BAD_SCHEMA
    assert stored is Written.STORED


# --- one post


def test_all_mentions_of_a_post_share_its_story(store: Store) -> None:
    acme, globex = told("1"), told("1", brand="globex")
    store.write([acme])
    store.write([globex])
    assert story_of(store, acme) == story_of(store, globex)


def test_an_edit_that_says_something_else_moves_the_post_with_all_its_mentions(store: Store) -> None:
    first, acme, globex = told("0"), told("1"), told("1", brand="globex")
    elsewhere = told("2", OTHER)
    store.write([first, acme, globex, elsewhere])
    before = story_of(store, acme)
    edited = replace(told("1", OTHER), version=acme.version + (1 << 16))
    store.write([edited])
    store.refresh()
    assert story_of(store, edited) == story_of(store, globex) == story_of(store, elsewhere) != before
    found = store.search(SearchRequest(node=Keyword("story_id", story_of(store, edited)))).mentions
    assert {one.mention_id for one in found} == {acme.mention_id, globex.mention_id, elsewhere.mention_id}
    # The older version of the other mention comes late: nothing moves.
    assert store.write([globex]) == [Written.SUPERSEDED]
    store.write([told("1", brand="initech")])
    assert story_of(store, globex) == story_of(store, told("1", brand="initech")) == story_of(store, elsewhere)
    story = store.story(before)
    assert story is not None
    assert story.posts == 1


def test_an_edit_that_founds_a_story_does_not_take_the_old_name_from_the_others(store: Store) -> None:
    first, second = told("1", **at(0)), told("2", **at(1))
    store.write([first, second])
    before = story_of(store, second)
    store.write([replace(told("1", OTHER, **at(0)), version=first.version + (1 << 16))])
    assert story_of(store, second) == before != story_of(store, first)
    story = store.story(before)
    assert story is not None
    assert story.original.post_id == second.post_id


def test_a_new_score_or_an_edit_that_does_not_count_keeps_the_story(store: Store) -> None:
    first, second = told("1", **at(0)), told("2", **at(1))
    store.write([first, second])
    before = story_of(store, first)
    rescored = replace(second, version=second.version + 1, model="other")
    edited = replace(told("1", f"{TEXT}!!! 😡", **at(0)), version=first.version + (1 << 16))
    assert store.write([rescored, edited]) == [Written.STORED, Written.STORED]
    assert story_of(store, first) == story_of(store, second) == before


def test_a_post_that_is_alone_keeps_its_story_when_it_is_edited(store: Store) -> None:
    one = told("1")
    store.write([one])
    before = story_of(store, one)
    store.write([replace(told("1", OTHER), version=one.version + (1 << 16))])
    assert story_of(store, one) == before
    late = told("2", OTHER)
    store.write([late, told("3", TEXT)])
    assert story_of(store, late) == before != story_of(store, told("3"))


# --- which story


def test_the_oldest_story_that_fits_wins(store: Store) -> None:
    words = [f"word{letter}" for letter in "abcdefghijkl"]
    apart = [*words[:2], "alpha", "beta", *words[4:]], [*words[:8], "gamma", "delta", *words[10:]]
    late, early = told("1", " ".join(apart[0]), **at(5)), told("2", " ".join(apart[1]), **at(4))
    store.write([late, early])
    assert story_of(store, late) != story_of(store, early)
    between = told("3", " ".join(words), **at(6))
    store.write([between])
    assert story_of(store, between) == story_of(store, early)


def test_the_same_words_long_after_are_another_story(store: Store) -> None:
    first, inside, outside = told("1"), told("2"), told("3")
    inside = replace(inside, published_at=START + WINDOW)
    outside = replace(outside, published_at=START + WINDOW + timedelta(milliseconds=1))
    store.write([first, inside, outside])
    assert story_of(store, first) == story_of(store, inside) != story_of(store, outside)
    before = replace(told("4"), published_at=None, collected_at=START - WINDOW)
    store.write([before])
    assert story_of(store, before) == story_of(store, first)


def test_what_is_common_to_thousands_of_posts_hides_no_story(store: Store) -> None:
    """Each post shares a phrase with every other; only few of them are looked at for one phrase."""
    phrase = "customer service department"
    texts = [f"{phrase} " + " ".join(f"{a}{chr(97 + n % 26)}{chr(97 + n // 26)}" for a in "pqrs") for n in range(300)]
    posts = [told(f"p{n}", text, **at(n / 100)) for n, text in enumerate(texts)]
    copies = [told(f"c{n}", f"{text} 😡", **at(4)) for n, text in enumerate(texts)]
    store.write([*posts, *copies])
    stories = [story_of(store, one) for one in posts]
    assert len(set(stories)) == len(posts)
    assert [story_of(store, one) for one in copies] == stories


# --- the original


def counted(store: Store, story_id: str) -> tuple[str, int, int]:
    story = store.story(story_id)
    assert story is not None
    return story.original.post_id, story.posts, story.mentions


def test_an_earlier_post_that_comes_late_becomes_the_original(store: Store) -> None:
    late, early = told("1", **at(9)), told("2", NEAR, **at(3))
    store.write([late])
    story_id = story_of(store, late)
    store.write([early])
    assert counted(store, story_id) == (early.post_id, 2, 2)
    assert story_of(store, late) == story_of(store, early) == story_id


@pytest.mark.parametrize("gone", [retraction, withdrawal])
def test_when_the_original_goes_the_next_takes_its_place(
    store: Store, gone: Callable[[Mention], Retraction | Withdrawal]
) -> None:
    posts = [told("1", **at(0)), told("2", NEAR, **at(1)), told("3", **at(2))]
    store.write(posts)
    story_id = story_of(store, posts[0])
    store.write([gone(posts[0])])
    assert counted(store, story_id) == (posts[1].post_id, 2, 2)
    # It is found by the new original, and only by it.
    later = told("4", NEAR, **at(3))
    store.write([later])
    assert story_of(store, later) == story_id
    store.write([gone(one) for one in (*posts[1:], later)])
    assert store.story(story_id) is None
    anew = told("5", **at(4))
    store.write([anew])
    assert story_of(store, anew) != story_id


def test_a_post_leaves_its_story_with_its_last_mention(store: Store) -> None:
    acme, globex, other = told("1", **at(0)), told("1", brand="globex", **at(0)), told("2", **at(1))
    store.write([acme, globex, other])
    story_id = story_of(store, acme)
    store.write([withdrawal(acme)])
    assert counted(store, story_id) == (acme.post_id, 2, 2)
    store.write([withdrawal(globex)])
    assert counted(store, story_id) == (other.post_id, 1, 1)


def test_of_two_at_the_same_time_the_lower_id_is_the_original(store: Store) -> None:
    store.write([told("2"), told("1"), told("3")])
    assert counted(store, story_of(store, told("1")))[0] == told("1").post_id


# --- batches and floods


def busy_day(seed: int) -> list[Mention | Withdrawal | Retraction]:
    """Give a log's order of new posts, copies, edits, second brands, repeats and removals."""
    draw = random.Random(seed)
    vocabulary = [f"{a}{b}{c}" for a in "bdgkm" for b in "aeiou" for c in "lnrst"]
    texts = [" ".join(draw.choices(vocabulary, k=draw.randint(6, 14))) for _ in range(12)]
    records: list[Mention | Withdrawal | Retraction] = []
    for _ in range(300):
        words = draw.choice(texts).split()
        if draw.random() < 0.5:
            words[draw.randrange(len(words))] = draw.choice(vocabulary)
        revision = draw.randint(1, 4)
        one = told(
            str(draw.randrange(90)),
            " ".join(words),
            draw.choice(("acme", "globex")),
            version=revision << 16,
            published_at=START + timedelta(hours=draw.randrange(1000)),
        )
        kind = draw.random()
        records.append(withdrawal(one) if kind < 0.08 else retraction(one) if kind < 0.12 else one)
        if draw.random() < 0.1:
            records.append(draw.choice(records))
    return records


def stories(store: Store, records: Sequence[Mention | Withdrawal | Retraction]) -> dict[str, str | None]:
    found = [store.get(one.mention_id) for one in records if isinstance(one, Mention)]
    return {one.mention_id: one.story_id for one in found if one is not None}


@pytest.mark.parametrize("seed", range(3))
def test_batches_and_restarts_change_no_story(
    open_store: Callable[[], Store], fresh_store: Callable[[], Store], seed: int
) -> None:
    records = busy_day(seed)
    draw = random.Random(seed)
    store = open_store()
    done = 0
    while done < len(records):
        size = draw.randint(1, 60)
        store.write(records[done : done + size])
        if draw.random() < 0.2:
            store = open_store()
            # What was not settled comes again.
            done = max(0, done - draw.randint(0, 5))
            continue
        done += size
    once = fresh_store()
    once.write(records)
    assert stories(store, records) == stories(once, records)
    assert len(set(stories(once, records).values())) > 5
    for story_id in set(stories(once, records).values()):
        assert story_id is not None
        assert counted(store, story_id) == counted(once, story_id)
    for one in (store, once):
        one.refresh()
        counts = one.aggregate(Everything(), {"by": Terms("story_id", 1000)})["by"]
        assert isinstance(counts, Buckets)
        for bucket in counts.buckets:
            assert counted(one, str(bucket.key))[2] == bucket.count


def test_a_flood_of_copies_is_one_story(store: Store) -> None:
    copies = [told(f"c{n}", f"RT @user{n} {TEXT} 😡", published_at=START + timedelta(seconds=n)) for n in range(3000)]
    for start in range(0, len(copies), 500):
        store.write(copies[start : start + 500])
    story_id = story_of(store, copies[0])
    assert {story_of(store, one) for one in copies[::97]} == {story_id}
    assert counted(store, story_id) == (copies[0].post_id, 3000, 3000)
