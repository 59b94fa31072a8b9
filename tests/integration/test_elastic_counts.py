"""Counts over several months are exact: an index tells only its most frequent values, and is asked again for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes.elastic_stores import open_elastic, settings_for, wipe
from fakes.mentions import many_mentions, mention
from servers.elastic import ElasticServer

from domain.aggregation import Bucket, Buckets, Distinct, DistinctResult, Histogram, Stats, StatsResult, Terms
from domain.query.ast import Everything, Keyword
from domain.records import Mention
from search.elastic import ElasticStore

MONTHS = ("2026.01", "2026.02", "2026.03")
# More different values in each month than an index tells at first.
AUTHORS = 3_600


def made() -> list[Mention]:
    """Give mentions of three months: an author in each place of a long tail, and some that win only over all months."""
    mentions = []
    for number in range(AUTHORS):
        for at, month in enumerate(MONTHS):
            # The tail of each month is another: what is last in one is first in the next.
            author = f"author{(number + at * AUTHORS // 3) % AUTHORS:05}"
            mentions.append(mention(f"{month}-{number}", routing_month=month, author_handle=author, likes=number % 3))
    for winner in range(5):
        # Spread evenly: nowhere among the first.
        for at in range(3 * (4 + winner)):
            month = MONTHS[at % 3]
            handle = f"winner{winner}"
            one = mention(f"w{winner}-{at}", routing_month=month, author_handle=handle, location=f"city{at % 2}")
            mentions.append(one)
    # A flood of values that are said twice in a month, all before the winners in each.
    for month in MONTHS:
        for number in range(200):
            for twice in range(2):
                handle = f"local{month}{number}"
                mentions.append(mention(f"l{month}-{number}-{twice}", routing_month=month, author_handle=handle))
    return mentions


@pytest.fixture(scope="module")
def mentions() -> list[Mention]:
    return made()


@pytest.fixture(scope="module")
def store(elastic_server: ElasticServer, mentions: list[Mention]) -> Iterator[ElasticStore]:
    prefix = "counts-"
    store = open_elastic(elastic_server.url, prefix)
    store.write(mentions)
    store.refresh()
    yield store
    store.close()
    wipe(settings_for(elastic_server.url, prefix))


def expected(mentions: list[Mention], size: int) -> Buckets:
    counts = Counter(one.author_handle for one in mentions if one.author_handle)
    kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:size]
    return Buckets(
        tuple(Bucket(value, count) for value, count in kept), other=sum(counts.values()) - sum(dict(kept).values())
    )


@pytest.mark.parametrize("size", [3, 5, 10, 100, 1_000, 2_000])
def test_the_most_frequent_over_all_months_are_found(store: ElasticStore, mentions: list[Mention], size: int) -> None:
    answer = store.aggregate(Everything(), {"authors": Terms("author_handle", size)})["authors"]
    assert answer == expected(mentions, size)


def test_what_is_counted_inside_them_is_exact_too(store: ElasticStore, mentions: list[Mention]) -> None:
    inside = {"likes": Stats("likes"), "cities": Terms("location", 5)}
    answer = store.aggregate(Everything(), {"authors": Terms("author_handle", 5, inside)})["authors"]
    assert isinstance(answer, Buckets)
    for bucket in answer.buckets:
        own = [one for one in mentions if one.author_handle == bucket.key]
        cities = Counter(one.location for one in own if one.location)
        pairs = sorted(cities.items(), key=lambda item: (-item[1], item[0]))
        assert bucket.sub["cities"] == Buckets(tuple(Bucket(city, count) for city, count in pairs))
        assert bucket.sub["likes"] == StatsResult(0, 0.0, None)
        assert bucket.count == len(own)


def test_counts_by_time_hold_the_most_frequent_of_each_stretch(store: ElasticStore, mentions: list[Mention]) -> None:
    by_hour = Histogram("published_at", 3600, {"authors": Terms("author_handle", 4)})
    answer = store.aggregate(Everything(), {"hours": by_hour})["hours"]
    assert isinstance(answer, Buckets)
    (hour,) = answer.buckets
    assert hour.sub["authors"] == expected(mentions, 4)


def test_different_values_are_counted_one_by_one_up_to_a_number(store: ElasticStore, mentions: list[Mention]) -> None:
    authors = len({one.author_handle for one in mentions})
    answer = store.aggregate(Everything(), {"authors": Distinct("author_handle"), "posts": Distinct("post_id")})
    assert answer == {"authors": DistinctResult(authors), "posts": DistinctResult(len(mentions))}


def test_nothing_is_counted_in_a_store_without_months(elastic_server: ElasticServer, prefix: str) -> None:
    store = open_elastic(elastic_server.url, prefix)
    asked = {"a": Terms("lang"), "b": Stats("likes"), "c": Distinct("lang"), "d": Histogram("published_at", 60)}
    assert store.aggregate(Everything(), asked) == {
        "a": Buckets(()),
        "b": StatsResult(0, 0.0, None),
        "c": DistinctResult(0),
        "d": Buckets(()),
    }
    store.close()
    wipe(settings_for(elastic_server.url, prefix))


def test_months_make_no_difference_to_any_count(elastic_server: ElasticServer, prefix: str) -> None:
    mentions = many_mentions(300)
    spread = [replace(one, routing_month=MONTHS[at % 3]) for at, one in enumerate(mentions)]
    asked = {
        "authors": Terms("author_handle", 5, {"lang": Terms("lang", 2)}),
        "tags": Terms("hashtags", 2),
        "stories": Distinct("story_id"),
        "likes": Stats("likes"),
    }
    answers = []
    for name, written in (("one-", mentions), ("three-", spread)):
        store = open_elastic(elastic_server.url, f"{prefix}{name}")
        store.write(written)
        store.refresh()
        answers.append([store.aggregate(node, asked) for node in (Everything(), Keyword("brand_id", "acme"))])
        store.close()
        wipe(settings_for(elastic_server.url, f"{prefix}{name}"))
    assert answers[0] == answers[1]
