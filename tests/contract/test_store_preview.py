"""What a query finds among the posts that are kept, the same over both stores."""

from __future__ import annotations

from datetime import timedelta

import pytest
from fakes.mentions import START, mention

from domain.query.parser import parse
from domain.records import Mention
from search.preview import LEAST_COMPARED, least_like, preview
from search.store import Store


def told(number: int, text: str, brand: str = "acme", **changed: object) -> Mention:
    return mention(str(number), brand, text=text, **changed)


def test_a_post_that_names_two_brands_is_counted_once(store: Store) -> None:
    store.write([told(1, "a mug"), told(1, "a mug", "globex"), told(2, "mugs and a mug"), told(3, "a lid")])
    store.refresh()
    found = preview(store, parse("mug"))
    assert found.posts == 2
    assert found.by_source == (("x", 2),)
    assert sorted(one.post_id for one in found.newest) == ["x:1", "x:2"]


def test_a_day_is_the_average_of_the_last_four_weeks_before_the_newest_post_of_all(store: Store) -> None:
    days = [told(n, "a mug", published_at=START + timedelta(days=n)) for n in range(60)]
    other = told(99, "a lid", source="rss", published_at=START + timedelta(days=63))
    store.write([*days, other])
    store.refresh()
    found = preview(store, parse("mug"))
    assert (found.posts, found.days, found.until) == (60, 28.0, other.published_at)
    # The mugs ended four days before: of the 28 days there are 25 with one, the first moment included.
    assert (found.a_day, found.lately) == (pytest.approx(25 / 28), 25)
    assert dict(found.a_day_by_source) == {"x": pytest.approx(25 / 28)}


def test_posts_without_a_date_are_counted_and_say_nothing_about_a_day(store: Store) -> None:
    store.write([told(1, "a mug", published_at=None)])
    store.refresh()
    found = preview(store, parse("mug"))
    assert (found.posts, found.a_day, found.days) == (1, None, 0.0)


def test_nothing_found_is_nothing(store: Store) -> None:
    assert preview(store, parse("mug")).posts == 0


def test_the_post_with_words_of_its_own_is_least_like_the_others() -> None:
    usual = [told(n, f"the mug leaks {n % 2}") for n in range(LEAST_COMPARED)]
    odd = told(77, "quarterly earnings of mug holdings")
    found = least_like([*usual, odd])
    assert found[0].mention is odd
    assert found[0].distance > 0.7 > found[1].distance
    assert least_like(usual[: LEAST_COMPARED - 1]) == ()


def test_a_post_that_shares_no_word_has_the_distance_one_and_copies_have_none() -> None:
    copies = [told(n, "same words here") for n in range(LEAST_COMPARED)]
    assert {one.distance for one in least_like(copies)} == {0.0}
    assert least_like([*copies, told(50, "entirely different")])[0].distance == 1.0
