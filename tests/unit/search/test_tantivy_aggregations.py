"""Counting by value where the segments of the index tell only a part at first: still exact, ties by value."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes.mentions import mention

from domain.aggregation import Aggregation, Buckets, Distinct, DistinctResult, Result, Terms
from domain.query.ast import Everything
from domain.records import Mention
from search.tantivy_aggregations import MOST_COUNTED, aggregate
from search.tantivy_index import Snapshot, TantivyIndex

SEGMENTS = 4


def author_of(draw: random.Random, kind: str, place: int) -> str:
    match kind:
        case "heavy":
            # Ten that lead by far, then a long tail: counting the leaders again proves the order.
            return f"leader{int(draw.triangular(0, 10, 0))}" if draw.random() < 0.5 else f"tail{draw.randrange(9000)}"
        case "flat":
            return f"author{draw.randrange(6000):04}"
        case "equal":
            # Each exactly twice: the order is by value alone, and no request can hold all that tie.
            return f"author{place % 4000:04}"
        case _:
            raise ValueError(kind)


@pytest.fixture(scope="module", params=["heavy", "flat", "equal"])
def indexed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Snapshot, list[Mention]]]:
    draw = random.Random(11)
    mentions = [
        mention(f"m{place}", author_handle=author_of(draw, request.param, place), kind=draw.choice(("post", "reply")))
        for place in range(8000)
    ]
    index = TantivyIndex(tmp_path_factory.mktemp("aggregations") / "index", create=True)
    for place, one in enumerate(mentions, 1):
        index.replace(place, one, seen_before=False)
        if place % (len(mentions) // SEGMENTS) == 0:
            index.commit()
    yield index.snapshot(), mentions
    index.close()


def counted(snapshot: Snapshot, aggregations: Mapping[str, Aggregation]) -> Mapping[str, Result]:
    with ThreadPoolExecutor(1) as executor:
        return aggregate(snapshot, Everything(), aggregations, executor)


@pytest.mark.parametrize("size", [1, 10, 60, 2000])
def test_the_most_frequent_values_are_exact(indexed: tuple[Snapshot, list[Mention]], size: int) -> None:
    snapshot, mentions = indexed
    expected = sorted(Counter(one.author_handle for one in mentions).items(), key=lambda item: (-item[1], str(item[0])))
    answer = counted(snapshot, {"authors": Terms("author_handle", size)})["authors"]
    assert isinstance(answer, Buckets)
    assert [(bucket.key, bucket.count) for bucket in answer.buckets] == expected[:size]
    assert answer.other == len(mentions) - sum(count for _, count in expected[:size])


def test_what_is_counted_inside_is_exact_too(indexed: tuple[Snapshot, list[Mention]]) -> None:
    snapshot, mentions = indexed
    inner = {"kind": Terms("kind", 2)}
    answer = counted(snapshot, {"authors": Terms("author_handle", 5, inner)})["authors"]
    assert isinstance(answer, Buckets)
    for bucket in answer.buckets:
        kinds = Counter(one.kind for one in mentions if one.author_handle == bucket.key)
        expected = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
        by_kind = bucket.sub["kind"]
        assert isinstance(by_kind, Buckets)
        assert [(one.key, one.count) for one in by_kind.buckets] == expected


def test_a_long_tail_inside_another_count_is_exact(indexed: tuple[Snapshot, list[Mention]]) -> None:
    snapshot, mentions = indexed
    answer = counted(snapshot, {"kinds": Terms("kind", 2, {"who": Terms("author_handle", 1)})})["kinds"]
    assert isinstance(answer, Buckets)
    for bucket in answer.buckets:
        who = bucket.sub["who"]
        assert isinstance(who, Buckets)
        counts = Counter(one.author_handle for one in mentions if one.kind == bucket.key)
        assert who.buckets[0].count == max(counts.values())
        assert counts[str(who.buckets[0].key)] == who.buckets[0].count


def test_different_values_are_counted_one_by_one(indexed: tuple[Snapshot, list[Mention]]) -> None:
    snapshot, mentions = indexed
    assert len(mentions) <= MOST_COUNTED
    expected = DistinctResult(len({one.author_handle for one in mentions}))
    assert counted(snapshot, {"authors": Distinct("author_handle")})["authors"] == expected
