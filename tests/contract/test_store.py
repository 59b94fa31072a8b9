"""What every store promises (`search.store.Store`), held by real ones (`conftest.py`)."""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from fakes.mentions import START, many_mentions, mention, retraction, withdrawal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.aggregation import (
    Aggregation,
    Bucket,
    Buckets,
    Distinct,
    DistinctResult,
    Histogram,
    Ranges,
    Stats,
    StatsResult,
    Terms,
)
from domain.clock import to_ms
from domain.errors import BadReason, BadRecord, ConfigError
from domain.query import compile_matcher, parse, subject_of_mention
from domain.query.ast import And, Everything, Flag, Keyword, Node, Not, Or, Range
from domain.records import Mention, Retraction, Withdrawal
from domain.text import fold_keyword
from search.highlight import highlights
from search.store import SearchRequest, Sort, Store, Written

OpenStore = Callable[[], Store]


def found(store: Store, node: Node | None = None) -> list[Mention]:
    """Give all matches of a search, page by page."""
    store.refresh()
    mentions: list[Mention] = []
    cursor = None
    while True:
        page = store.search(SearchRequest(node=node or Everything(), cursor=cursor, limit=500))
        mentions += page.mentions
        cursor = page.next_cursor
        if cursor is None:
            return mentions


# --- what is stored


def test_a_mention_comes_back_as_it_was_written(store: Store) -> None:
    written = mention(
        text="Nul\0 ‮ 😀 日本 L’Oréal",
        title="Ünïcode",
        url="https://example.org/a",
        domains=("example.org",),
        sentiment="negative",
        sentiment_value=-1,
        sentiment_score=-0.75,
        sentiment_expected=-1.25,
        published_at=datetime(2026, 3, 1, 12, 0, 0, 123_457, tzinfo=UTC),
        attrs={"k": "v"},
    )
    assert store.write([written]) == [Written.STORED]
    assert store.get(written.mention_id) == written
    assert found(store) == [written]
    assert store.count() == 1


def test_a_mention_that_was_never_written_is_not_there(store: Store) -> None:
    assert store.get("nothing") is None
    assert store.count() == 0
    page = store.search(SearchRequest())
    assert (page.mentions, page.total, page.next_cursor) == ((), 0, None)


def test_a_higher_version_replaces_and_an_equal_or_lower_one_does_not(store: Store) -> None:
    first = mention(text="first words", version=10)
    assert store.write([first]) == [Written.STORED]
    assert store.write([replace(first, text="same version")]) == [Written.SUPERSEDED]
    assert store.write([replace(first, text="lower version", version=9)]) == [Written.SUPERSEDED]
    assert store.get(first.mention_id) == first
    edited = mention(text="other words", version=11)
    assert store.write([edited]) == [Written.STORED]
    assert found(store) == [edited]
    assert found(store, parse("first")) == []
    assert found(store, parse("other")) == [edited]
    assert store.count() == 1


def test_a_mention_of_a_post_that_was_enriched_twice_is_told_from_the_same_record_again(store: Store) -> None:
    """The same record comes again after a crash of whoever writes it; another one after a crash of who made it."""
    first = mention(version=10)
    twice = replace(first, enriched_at=first.enriched_at + timedelta(microseconds=1))
    assert store.write([first]) == [Written.STORED]
    assert store.write([first, twice, first]) == [Written.SUPERSEDED, Written.REPEATED, Written.SUPERSEDED]
    assert store.get(first.mention_id) == first
    other = mention("2", version=10)
    again = replace(other, enriched_at=other.enriched_at + timedelta(seconds=1))
    assert store.write([other, again, other]) == [Written.STORED, Written.REPEATED, Written.SUPERSEDED]
    assert store.write([replace(twice, version=11), replace(again, version=9)]) == [Written.STORED, Written.SUPERSEDED]
    store.write([withdrawal(other), retraction(first)])
    assert store.write([again, twice]) == [Written.SUPERSEDED, Written.SUPERSEDED]
    assert store.count() == 0


def test_versions_order_within_one_batch_too(store: Store) -> None:
    low, high = mention(version=1, text="low"), mention(version=2, text="high")
    assert store.write([low, high, low]) == [Written.STORED, Written.STORED, Written.SUPERSEDED]
    assert found(store) == [high]


def test_a_withdrawal_removes_its_version_and_lower_ones_and_keeps_them_away(store: Store) -> None:
    one = mention(version=10)
    store.write([one])
    assert store.write([withdrawal(one, 9)]) == [Written.SUPERSEDED]
    assert store.get(one.mention_id) == one
    assert store.write([withdrawal(one, 10)]) == [Written.STORED]
    assert store.write([withdrawal(one, 10)]) == [Written.SUPERSEDED]
    assert (store.get(one.mention_id), store.count(), found(store)) == (None, 0, [])
    assert store.write([one]) == [Written.SUPERSEDED]
    newer = replace(one, version=11)
    assert store.write([newer]) == [Written.STORED]
    assert found(store) == [newer]


def test_a_withdrawal_that_comes_first_still_forbids(store: Store) -> None:
    one = mention(version=10)
    assert store.write([withdrawal(one, 10)]) == [Written.STORED]
    assert store.write([one]) == [Written.SUPERSEDED]
    assert store.count() == 0


def test_a_retraction_takes_all_mentions_of_the_post_and_nothing_late_brings_them_back(store: Store) -> None:
    acme, globex, other = mention("1", "acme"), mention("1", "globex"), mention("2", "acme")
    store.write([acme, globex, other])
    store.refresh()
    assert store.write([retraction(acme)]) == [Written.STORED]
    assert store.write([retraction(acme)]) == [Written.SUPERSEDED]
    late = replace(acme, version=acme.version + 1)
    assert store.write([late, withdrawal(late)]) == [Written.SUPERSEDED, Written.SUPERSEDED]
    assert store.count() == 1
    assert store.get(globex.mention_id) is None
    assert found(store) == [other]


def test_a_retraction_before_the_creation_keeps_the_post_away(store: Store) -> None:
    one = mention()
    assert store.write([retraction(one), one]) == [Written.STORED, Written.SUPERSEDED]
    assert store.count() == 0


def test_what_is_gone_is_not_found_even_before_the_index_knows(store: Store) -> None:
    kept, gone = mention("1"), mention("2")
    store.write([kept, gone])
    store.refresh()
    store.write([retraction(gone)])
    assert store.search(SearchRequest()).mentions == (kept,)


def test_one_bad_record_does_not_fail_its_batch(store: Store) -> None:
    good, broken, huge = mention("1"), mention("2", text="\ud800", tokens="a"), mention("3", likes=1 << 63)
    outcomes = store.write([broken, good, huge])
    assert outcomes[1] is Written.STORED
    refused = [outcome for outcome in outcomes if isinstance(outcome, BadRecord)]
    assert [error.reason for error in refused] == [BadReason.BAD_ENCODING, BadReason.STORE_REFUSED]
    assert found(store) == [good]


@pytest.mark.parametrize(
    "wrong",
    [
        mention("2", version=-5),
        mention("2", mention_id=""),
        mention("2", mention_id="m" * 513),
        mention("2", post_id="", mention_id="m"),
        mention("2", routing_month="March"),
        withdrawal(mention("2"), -1),
        withdrawal(mention("2"), 1 << 63),
        replace(withdrawal(mention("2")), mention_id=""),
        replace(retraction(mention("2")), post_id="p" * 8_001),
        replace(retraction(mention("2")), post_id="\ud800"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_a_store_cannot_hold_is_refused_alone(store: Store, wrong: Mention | Withdrawal | Retraction) -> None:
    refused, stored = store.write([wrong, mention("1")])
    assert isinstance(refused, BadRecord)
    assert stored is Written.STORED
    assert found(store) == [mention("1")]


def test_an_empty_batch_is_nothing(store: Store) -> None:
    assert list(store.write([])) == []


def test_everything_is_there_after_reopening(open_store: OpenStore) -> None:
    store = open_store()
    one, gone, retracted = mention("1", version=5), mention("2"), mention("3")
    store.write([one, gone, retracted])
    store.write([withdrawal(gone), retraction(retracted)])
    store = open_store()
    assert found(store) == [one]
    again = [replace(one, version=4), gone, replace(retracted, version=retracted.version + 1)]
    assert set(store.write(again)) == {Written.SUPERSEDED}
    assert store.count() == 1


def test_news_shows_without_a_refresh(store: Store) -> None:
    """Within a second or so by contract; here only that it does."""
    one = mention()
    store.write([one])
    while not store.search(SearchRequest()).mentions:
        threading.Event().wait(0.01)
    assert store.search(SearchRequest()).mentions == (one,)


_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "withdraw", "retract", "refresh"]),
        st.integers(0, 2),
        st.sampled_from(["acme", "globex"]),
        st.integers(1, 4),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=_STEPS)
def test_any_sequence_of_writes_leaves_what_a_plain_dict_holds(
    steps: list[tuple[str, int, str, int]], store: Store, numbers: Iterator[int]
) -> None:
    """Each sequence is about posts of its own, in a store that holds those of the sequences before."""
    example = next(numbers)
    held: dict[str, tuple[int, Mention | None]] = {}
    retracted: set[str] = set()
    before_all = store.count()
    for kind, post, brand, version in steps:
        one = mention(f"{example}-{post}", brand, version=version, text=f"version {version}")
        before = held.get(one.mention_id, (0, None))
        if kind == "refresh":
            store.refresh()
        elif kind == "retract":
            expected = one.post_id not in retracted
            retracted.add(one.post_id)
            held = {
                key: (number, None if value and value.post_id == one.post_id else value)
                for key, (number, value) in held.items()
            }
            assert store.write([retraction(one)]) == [_outcome(expected)]
        elif kind == "withdraw":
            at_equal = version == before[0] and before[1] is not None
            expected = one.post_id not in retracted and (version > before[0] or at_equal)
            if expected:
                held[one.mention_id] = (version, None)
            assert store.write([withdrawal(one)]) == [_outcome(expected)]
        else:
            expected = one.post_id not in retracted and version > before[0]
            if expected:
                held[one.mention_id] = (version, one)
            assert store.write([one]) == [_outcome(expected)]
    live = {key: value for key, (_, value) in held.items() if value is not None}
    assert store.count() == before_all + len(live)
    posts = Or(tuple(Keyword("post_id", mention(f"{example}-{post}").post_id) for post in range(3)))
    assert {one.mention_id: one for one in found(store, posts)} == live


@pytest.fixture
def numbers() -> Iterator[int]:
    return itertools.count()


def _outcome(stored: bool) -> Written:
    return Written.STORED if stored else Written.SUPERSEDED


# --- searching


QUERIES = (
    "crew",
    "crew kind",
    "late OR 東京",
    "café -delay",
    '"never again"',
    '"thank you"~3',
    "del*",
    "😀",
    "brand:acme sentiment:negative",
    "tag:strasse",
    "tag:STRASSE OR tag:one",
    "author:author1*",
    "followers:>=100",
    "followers:[7 TO 100}",
    "score:<0",
    "reliable:false",
    "lang:de title",
    "location:Zürich",
    "NOT (brand:acme OR source:rss)",
    "published:[2026-03-02 TO 2026-03-03]",
)


@pytest.mark.parametrize("query", QUERIES)
def test_a_search_finds_exactly_what_the_matcher_matches(open_store: OpenStore, query: str) -> None:
    mentions = many_mentions(300)
    store = open_store()
    store.write(mentions)
    node = parse(query)
    matcher = compile_matcher(node)
    expected = {one.mention_id for one in mentions if matcher.matches(subject_of_mention(one))}
    assert {one.mention_id for one in found(store, node)} == expected
    assert store.search(SearchRequest(node=node, limit=1)).total == len(expected)


@pytest.mark.parametrize("field", ["published_at", "likes", "sentiment_score"])
def test_a_bound_that_is_not_there_leaves_nothing_out_however_it_is_marked(store: Store, field: str) -> None:
    mentions = many_mentions(200)
    store.write(mentions)
    values = sorted(value for one in mentions if (value := getattr(one, field)) is not None)
    middle = values[len(values) // 2]
    for node in (Range(field, middle, None, include_high=False), Range(field, None, middle, include_low=False)):
        matcher = compile_matcher(node)
        expected = {one.mention_id for one in mentions if matcher.matches(subject_of_mention(one))}
        assert expected
        assert {one.mention_id for one in found(store, node)} == expected


def test_filters_are_nodes_beside_the_query(store: Store) -> None:
    mentions = many_mentions(200)
    store.write(mentions)
    node = And(
        (parse("crew"), Keyword("brand_id", "acme"), Not(Flag("backfilled", value=True)), Range("likes", 1, None))
    )
    expected = {
        one.mention_id
        for one in mentions
        if "crew" in one.text and one.brand_id == "acme" and not one.backfilled and (one.likes or 0) >= 1
    }
    assert expected
    assert {one.mention_id for one in found(store, node)} == expected


def test_highlights_are_the_matchers_spans(store: Store) -> None:
    one = mention(text="Le café, the CAFÉ")
    store.write([one])
    node = parse("cafe")
    (hit,) = found(store, node)
    assert [hit.text[span.start : span.end] for span in highlights(node, hit)] == ["café", "CAFÉ"]
    assert highlights(parse("brand:acme"), hit) == ()


# --- order and pages


def in_order(mentions: Sequence[Mention], sort: Sort) -> list[str]:
    keyed = sorted((to_ms(one.published_at or one.collected_at), one.mention_id) for one in mentions)
    ids = [mention_id for _, mention_id in keyed]
    return ids if sort is Sort.OLDEST else ids[::-1]


def paged(store: Store, sort: Sort, limit: int, between: Callable[[], None] = lambda: None) -> list[str]:
    cursor, ids = None, []
    while True:
        page = store.search(SearchRequest(sort=sort, cursor=cursor, limit=limit))
        assert len(page.mentions) <= limit
        ids += [one.mention_id for one in page.mentions]
        cursor = page.next_cursor
        if cursor is None:
            return ids
        assert page.mentions
        between()


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("limit", [1, 7, 100, 300])
def test_pages_give_each_mention_once_in_order(store: Store, sort: Sort, limit: int) -> None:
    mentions = many_mentions(300)
    store.write(mentions)
    store.refresh()
    assert paged(store, sort, limit) == in_order(mentions, sort)


@pytest.mark.parametrize("sort", list(Sort))
def test_a_burst_with_one_timestamp_is_paged_exactly(store: Store, sort: Sort) -> None:
    burst = [mention(f"b{index}") for index in range(3000)]
    around = [
        mention("before", published_at=START - timedelta(days=1)),
        mention("after", published_at=START + timedelta(1)),
    ]
    store.write([*burst, *around])
    store.refresh()
    assert paged(store, sort, 499) == in_order([*burst, *around], sort)


def test_ids_that_begin_alike_are_paged_exactly(store: Store) -> None:
    """Whatever the alphabet of the ids: their first letters alone cannot order them."""
    alike = [replace(mention(f"i{index}"), mention_id=f"same-beginning-{index:03}") for index in range(200)]
    store.write(alike)
    store.refresh()
    for sort in Sort:
        assert paged(store, sort, 9) == in_order(alike, sort)


@pytest.mark.parametrize("sort", list(Sort))
def test_rows_that_come_and_go_between_pages_disturb_no_other(store: Store, sort: Sort) -> None:
    draw = random.Random(5)
    steady = [mention(f"s{index}", published_at=START + timedelta(seconds=index // 40)) for index in range(400)]
    passing = [mention(f"p{index}", published_at=START + timedelta(seconds=index // 40)) for index in range(400)]
    store.write([*steady, *passing[:200]])
    store.refresh()
    coming, going = passing[200:], passing[:200]

    def disturb() -> None:
        store.write([coming.pop(draw.randrange(len(coming))) for _ in range(5) if coming])
        store.write([retraction(going.pop(draw.randrange(len(going)))) for _ in range(5) if going])
        store.refresh()

    ids = paged(store, sort, 20, disturb)
    assert len(ids) == len(set(ids))
    known = {one.mention_id for one in steady}
    assert [one for one in ids if one in known] == in_order(steady, sort)


def test_total_counts_all_matches_on_every_page(store: Store) -> None:
    store.write(many_mentions(30))
    store.refresh()
    first = store.search(SearchRequest(limit=20))
    second = store.search(SearchRequest(limit=20, cursor=first.next_cursor))
    assert (first.total, second.total, len(second.mentions), second.next_cursor) == (30, 30, 10, None)


@pytest.mark.parametrize("cursor", ["", "x", "é", "bm9uc2Vuc2U", "W10", "WzEsIm5ld2VzdCIsIngiLDFd", "A" * 5000])
def test_a_foreign_cursor_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ConfigError, match="start again without a cursor"):
        store.search(SearchRequest(cursor=cursor))


def test_a_cursor_of_the_other_order_is_refused(store: Store) -> None:
    store.write([mention("1"), mention("2")])
    store.refresh()
    cursor = store.search(SearchRequest(limit=1)).next_cursor
    with pytest.raises(ConfigError, match="newest"):
        store.search(SearchRequest(cursor=cursor, sort=Sort.OLDEST))


def test_a_cursor_is_safe_in_an_address(store: Store) -> None:
    store.write([mention(str(index)) for index in range(9)])
    store.refresh()
    cursor = store.search(SearchRequest(limit=3)).next_cursor
    assert cursor is not None
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert cursor.isascii()


# --- counting by value, against plain Python over the same mentions


def values_of(one: Mention, field: str) -> list[str | int | bool | float]:
    raw = getattr(one, field)
    if raw is None:
        return []
    if isinstance(raw, str):
        return [fold_keyword(raw)] if raw else []
    if isinstance(raw, tuple):
        return list(dict.fromkeys(map(fold_keyword, raw)))
    return [raw]


def counted(aggregation: Aggregation, mentions: Sequence[Mention]) -> Buckets | StatsResult | DistinctResult:
    """Count in plain Python what a store must count."""
    match aggregation:
        case Stats(field=field):
            numbers = [float(value) for one in mentions for value in values_of(one, field)]
            return StatsResult(len(numbers), sum(numbers), sum(numbers) / len(numbers) if numbers else None)
        case Distinct(field=field):
            return DistinctResult(len({value for one in mentions for value in values_of(one, field)}))
    groups: dict[str | int | float | bool, list[Mention]] = {}
    match aggregation:
        case Terms(field=field, size=size):
            for one in mentions:
                for value in values_of(one, field):
                    groups.setdefault(value, []).append(one)
            kept = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))[:size]
            other = sum(map(len, groups.values())) - sum(len(group) for _, group in kept)
        case Histogram(field=field, interval=interval):
            for one in mentions:
                value = getattr(one, field)
                if value is not None:
                    at = to_ms(value) / 1000 if isinstance(value, datetime) else value
                    key = at // interval * interval
                    groups.setdefault(int(key * 1000) if isinstance(value, datetime) else key, []).append(one)
            kept, other = sorted(groups.items()), 0
        case Ranges(field=field, edges=edges):
            ends = [float("-inf"), *edges, float("inf")]
            names = ["*", *(f"{edge:g}" for edge in edges), "*"]
            kept, other = [], 0
            for place in range(len(ends) - 1):
                inside = [
                    one for one in mentions for v in values_of(one, field) if ends[place] <= float(v) < ends[place + 1]
                ]
                kept.append((f"{names[place]}-{names[place + 1]}", inside))
    return Buckets(
        tuple(
            Bucket(key, len(group), {name: counted(inner, group) for name, inner in aggregation.sub.items()})
            for key, group in kept
        ),
        other,
    )


BY_SENTIMENT = {"by": Terms("sentiment", 3), "score": Stats("sentiment_score")}
AGGREGATIONS: dict[str, Aggregation] = {
    "one value": Terms("brand_id", 10, BY_SENTIMENT),
    "several values": Terms("hashtags", 3),
    "long tail": Terms("author_handle", 5),
    "ties at the cut": Terms("story_id", 7),
    "words": Terms("words", 20, {"brand": Terms("brand_id", 2)}),
    "all": Terms("story_id", 1000),
    "integer": Terms("sentiment_value", 2),
    "boolean": Terms("sentiment_reliable", 2, BY_SENTIMENT),
    "empty strings": Terms("location"),
    "absent": Terms("campaigns"),
    "hours": Histogram("published_at", 3600, BY_SENTIMENT),
    "quarters": Histogram("collected_at", 900),
    "numbers": Histogram("sentiment_score", 0.5),
    "integers": Histogram("author_followers", 50),
    "ranges": Ranges("author_followers", (0, 100, 10_000), {"brand": Terms("brand_id")}),
    "ranges between": Ranges("likes", (1, 2, 3)),
    "ranges of scores": Ranges("sentiment_score", (-0.5, 0.0, 0.75)),
    "open range": Ranges("likes", ()),
    "stats": Stats("likes"),
    "stats of absent": Stats("views"),
    "posts": Distinct("post_id"),
    "stories": Distinct("story_id"),
    "two levels": Terms("source", 3, {"hour": Histogram("published_at", 86_400, {"lang": Terms("lang", 3)})}),
}


@pytest.mark.parametrize("query", ["*", "crew", "brand:acme -kind:reply", "nothingatall"])
def test_every_count_is_what_plain_python_counts(store: Store, query: str) -> None:
    mentions = many_mentions(700)
    # In several steps, so that the index has several parts, deletions and edits.
    store.write(mentions[:200])
    store.refresh()
    store.write([replace(one, version=one.version + 1, location="elsewhere") for one in mentions[:50]])
    store.write([retraction(one) for one in mentions[50:60]])
    store.write(mentions[200:])
    store.refresh()
    live = [*(replace(one, version=one.version + 1, location="elsewhere") for one in mentions[:50]), *mentions[60:]]
    node = parse(query) if query != "*" else Everything()
    matcher = compile_matcher(node)
    matching = [one for one in live if matcher.matches(subject_of_mention(one))]
    answers = store.aggregate(node, AGGREGATIONS)
    assert answers.keys() == AGGREGATIONS.keys()
    for name, aggregation in AGGREGATIONS.items():
        assert answers[name] == counted(aggregation, matching), name


def test_counting_nothing_answers_nothing(store: Store) -> None:
    assert store.aggregate(Everything(), {}) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        Terms("nosuch"),
        Terms("brand"),
        Terms("tokens"),
        Stats("brand_id"),
        Histogram("lang", 1),
        Ranges("likes", (2, 1)),
        Ranges("likes", (0.5,)),
        Terms("lang", 0),
    ],
)
def test_an_aggregation_that_does_not_fit_its_field_is_a_mistake(store: Store, wrong: Aggregation) -> None:
    with pytest.raises(ValueError, match=r"expected|must"):
        store.aggregate(Everything(), {"wrong": wrong})


def test_a_count_by_value_equals_the_search_for_it(store: Store) -> None:
    store.write(many_mentions(400))
    store.refresh()
    (answer,) = store.aggregate(Everything(), {"tags": Terms("hashtags")}).values()
    assert isinstance(answer, Buckets)
    counts = Counter({str(bucket.key): bucket.count for bucket in answer.buckets})
    assert len(counts) == 5
    for key, count in counts.items():
        assert store.search(SearchRequest(node=Or((Keyword("hashtags", key),)), limit=1)).total == count


def test_a_retraction_is_remembered_with_its_time_and_nothing_else_is_one(store: Store) -> None:
    gone, there = mention("gone"), mention("there")
    store.write([gone, there])
    at = START.replace(microsecond=5_000)
    store.write([Retraction(post_id=gone.post_id, source="x", retracted_at=at), withdrawal(there)])
    assert store.retracted_at(gone.post_id) == at
    assert store.retracted_at(there.post_id) is None
    assert store.retracted_at("x:nobody") is None
