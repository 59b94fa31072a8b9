"""Samples are chosen for spread: different stories, authors and sources, and all that drives it."""

from __future__ import annotations

import random

from fakes.mentions import mention

from alerts.drivers import Drivers, chosen
from alerts.rule import Metric
from domain.measures import StandingOut
from domain.records import Mention

FOUND = Drivers(words=(StandingOut("lid", 9.0, 40, 41), StandingOut("refund", 5.0, 12, 13)))


def post(name: str, **changed: object) -> Mention:
    fields: dict[str, object] = {
        "story_id": f"story{name}",
        "author_id": f"author{name}",
        "author_handle": f"author{name}",
        "text": f"post {name}",
        "words": ("lid",),
        "p_negative": 0.8,
    }
    return mention(name, **fields | changed)


def test_five_posts_of_different_stories_and_authors_are_shown() -> None:
    loud = [post(f"l{n}", author_id="bot", author_handle="bot") for n in range(40)]
    copied = [post(f"c{n}", story_id="article", text="the same article") for n in range(40)]
    others = [post(f"o{n}") for n in range(4)]
    picked = chosen([*loud, *copied, *others], FOUND, Metric.NEGATIVE)
    assert len(picked) == 5
    assert len({each.story_id for each in picked}) == 5
    assert len({each.author_id for each in picked}) == 5


def test_each_source_and_each_driving_word_is_shown_where_there_is_one() -> None:
    many = [post(f"x{n}") for n in range(30)]
    feed = post("f", source="rss", words=("other",), p_negative=0.7)
    refund = post("r", words=("refund",), p_negative=0.5)
    picked = chosen([*many, feed, refund], FOUND, Metric.NEGATIVE)
    assert feed in picked
    assert refund in picked


def test_the_same_posts_are_chosen_whatever_their_order() -> None:
    posts = [post(str(n), p_negative=n % 7 / 7, author_followers=n * 10) for n in range(60)]
    first = chosen(posts, FOUND, Metric.NEGATIVE)
    for seed in range(5):
        random.Random(seed).shuffle(posts)
        assert chosen(posts, FOUND, Metric.NEGATIVE) == first


def test_fewer_posts_than_five_are_all_shown_and_none_is_no_fault() -> None:
    assert chosen([], FOUND, Metric.NEGATIVE) == []
    assert len(chosen([post("1"), post("2")], Drivers(), Metric.VOLUME)) == 2
