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
    """Give mentions of three months, in which some authors win only over all months together."""
    mentions = []
    for month in MONTHS:
        authors = [f"author{month}{number}" for number in range(AUTHORS)]
        # Said once in each month, and the last by name: no month tells of them at first, and each has three.
        authors += [f"winner{number}" for number in range(5)]
        authors += [f"local{month}{number}" for number in range(200) for _ in range(2)]
        authors += [f"loud{number}" for number in range(3) for _ in range(20 + number)]
        mentions += [
            mention(f"{month}-{at}", routing_month=month, author_handle=author, likes=at % 3, location=f"city{at % 2}")
            for at, author in enumerate(authors)
        ]
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


@pytest.mark.parametrize("size", [3, 5, 8, 10, 100, 1_000, 2_000])
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
        likes = [one.likes for one in own if one.likes is not None]
        assert bucket.sub["likes"] == StatsResult(len(likes), float(sum(likes)), sum(likes) / len(likes))
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
