"""One query, three answers that must be the same: the matcher's over each mention, tantivy's and Elasticsearch's."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import pytest
import tantivy
from fakes.elastic_stores import open_elastic, settings_for, wipe
from fakes.query_subjects import AT, a_mention
from servers.elastic import ElasticServer

from domain.query import compile_matcher, parse, subject_of_mention
from domain.query.ast import And, Keyword, Near, Node, Not, Or, Range, Wildcard, Words
from domain.records import Mention
from search.elastic import ElasticStore
from search.elastic_query import compile as compile_for_elastic
from search.elastic_reads import search_many
from search.tantivy_query import compile as compile_for_tantivy
from search.tantivy_schema import ROW, SCHEMA, document_of

# Few words, so that repeats, near misses and matches are common. "a-b" and 日本 are two tokens each.
WORDS = ("ab", "abc", "abd", "b", "c", "a-b", "日本", ":)", "#ab", "@ab", "C++", "ａｂ", "😂", "x.y")
COMMON = ("ab", "abc", "b")
BRANDS = ("acme", "globex", "initech")
HOSTS = ("acme.com", "acme.co.uk", "ácme.com", "shop.acme.com")


def some_text(draw: random.Random, words: tuple[str, ...], most: int) -> str:
    return " ".join(draw.choice(words if draw.random() < 0.5 else COMMON) for _ in range(draw.randint(0, most)))


def maybe(draw: random.Random, value: Any) -> Any:
    return None if draw.random() < 0.2 else value


def some_mention(draw: random.Random, number: int) -> Mention:
    """Give a mention with few different values in each field; a fifth of the values is unknown."""
    value = draw.choice((-1, 0, 1))
    moment = AT + timedelta(days=draw.randint(-3, 3), microseconds=draw.choice((0, 0, 1, -1, 999_999)))
    return a_mention(
        some_text(draw, WORDS, 12),
        mention_id=f"m{number}",
        title=some_text(draw, COMMON, 3) or None,
        brand_id=draw.choice(BRANDS),
        domains=tuple(draw.sample(HOSTS, draw.randint(0, 2))),
        hashtags=tuple(draw.sample(("Sale", "sale", "SUMMER", "ab*c"), draw.randint(0, 2))),
        author_handle=maybe(draw, draw.choice(("Acme", "acme_help", "bob"))),
        author_followers=maybe(draw, draw.choice((0, 9, 10, 11, 2**40))),
        likes=maybe(draw, draw.randint(-1, 4)),
        published_at=maybe(draw, moment),
        sentiment=maybe(draw, ("negative", "neutral", "positive")[value + 1]),
        sentiment_value=maybe(draw, value),
        sentiment_score=maybe(draw, draw.choice((-0.5, 0.0, 0.25, 0.5))),
        sentiment_reliable=draw.random() < 0.5,
    )


DAYS = ("2026-01-04", "2026-01-05", "2026", "2026-01", "2026-01-05T12:00:00Z", "2026-01-05T12:00:00.000001Z", "*")
INTEGERS = ("-1", "0", "1", "3", "10", "*")
NUMBERS = ("-0.5", "0", ".25", "0.3", "*")
RANGED = {"likes": INTEGERS, "followers": INTEGERS, "score": NUMBERS, "date": DAYS, "sentiment_value": INTEGERS}
VALUES = (
    *("brand:acme", "brand:(acme OR globex)", "-brand:acme", 'domain:"acme.com"', "domain:ac*", "domain:ac?e.co*"),
    *("domain:shop*m", "hashtag:#sale", "hashtag:(sale summer)", r"hashtag:ab\*c", "hashtag:ab*", "author:@ACME"),
    *("author:acme?help", "sentiment:negative", "reliable:true", "reliable:false", "backfilled:yes", "source:test"),
    *("likes:*", "score:*", "date:*", "story:none", "lang:und", "*"),
)
WILDCARDS = ("ab*", "ab?", "abc*", "#ab*", "ab*d", "ab?*", "日本*", "abc?", "@ab*")


def some_words(draw: random.Random, least: int, most: int) -> str:
    return " ".join(draw.choice(WORDS if draw.random() < 0.3 else COMMON) for _ in range(draw.randint(least, most)))


def some_range(draw: random.Random) -> str:
    field = draw.choice(list(RANGED))
    bounds = RANGED[field]
    if draw.random() < 0.4:
        return f"{field}:{draw.choice(('>', '>=', '<', '<=', ''))}{draw.choice(bounds[:-1])}"
    places = sorted((draw.randrange(len(bounds) - 1), draw.randrange(len(bounds) - 1)))
    low, high = (draw.choice((bounds[place], bounds[place], "*")) for place in places)
    if field == "date":
        low, high = min(low, high), "*"
    return f"{field}:{draw.choice('[{')}{low} TO {high}{draw.choice(']}')}"


LEAVES: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: draw.choice(WORDS),
    lambda draw: f'"{some_words(draw, 2, 4)}"',
    lambda draw: f'"{draw.choice(COMMON)} {draw.choice(COMMON)}"~{draw.randint(0, 10)}',
    lambda draw: f'"{" ".join(draw.choices(("ab", "abc", "b", "c"), k=3))}"~{draw.randint(0, 4)}',
    lambda draw: draw.choice(WILDCARDS),
    lambda draw: draw.choice(VALUES),
    some_range,
)


def some_query(draw: random.Random, depth: int) -> str:
    kind = draw.random()
    if depth == 0 or kind < 0.3:
        return draw.choice(LEAVES)(draw)
    if kind < 0.5:
        return f"({some_query(draw, depth - 1)} {some_query(draw, depth - 1)})"
    if kind < 0.8:
        return f"({some_query(draw, depth - 1)} OR {some_query(draw, depth - 1)})"
    return f"NOT ({some_query(draw, depth - 1)})"


MENTIONS = 300


class All:
    """The same mentions as subjects of the matcher, in a tantivy index on disk, and in a real Elasticsearch."""

    def __init__(self, folder: str, store: ElasticStore, prefix: str) -> None:
        draw = random.Random(20260105)
        mentions = [some_mention(draw, number) for number in range(MENTIONS)]
        self.subjects = [subject_of_mention(mention) for mention in mentions]
        index = tantivy.Index(SCHEMA, path=folder)
        writer = index.writer(15_000_000, 1)
        for row, mention in enumerate(mentions):
            writer.add_document(document_of(row, mention))
            if row == MENTIONS // 2:
                writer.commit()
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()
        self._store, self._alias = store, f"{prefix}mentions"
        store.write(mentions[: MENTIONS // 2])
        store.write(mentions[MENTIONS // 2 :])
        store.refresh()

    def by_matcher(self, node: Node) -> set[int]:
        matcher = compile_matcher(node)
        return {row for row, subject in enumerate(self.subjects) if matcher.match(subject) is not None}

    def by_tantivy(self, node: Node) -> set[int]:
        found = self._searcher.search(compile_for_tantivy(node, SCHEMA), limit=MENTIONS, order_by_field=ROW)
        return {int(row) for row, _ in found.hits}

    def by_elastic(self, nodes: Sequence[Node]) -> list[set[int]]:
        """Give the answers to several queries: one request for many, as each takes longer than its answer."""
        searches = [
            {"query": {"bool": {"filter": [compile_for_elastic(node)]}}, "size": MENTIONS, "_source": ["mention_id"]}
            for node in nodes
        ]
        answers = search_many(self._store.elastic, self._alias, searches)
        return [{int(hit["_id"].removeprefix("m")) for hit in answer["hits"]["hits"]} for answer in answers]

    def assert_agree(self, nodes: Sequence[Node], names: Sequence[object] | None = None) -> list[set[int]]:
        """Give what the matcher finds for each query, having asserted that the others find the same."""
        by_matcher = [self.by_matcher(node) for node in nodes]
        for name, node, matched, found in zip(names or nodes, nodes, by_matcher, self.by_elastic(nodes), strict=True):
            assert matched == self.by_tantivy(node), f"tantivy: {name}"
            assert matched == found, f"Elasticsearch: {name}"
        return by_matcher


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory: pytest.TempPathFactory, elastic_server: ElasticServer) -> Iterator[All]:
    prefix = "agreement-"
    store = open_elastic(elastic_server.url, prefix)
    try:
        yield All(str(tmp_path_factory.mktemp("index")), store, prefix)
    finally:
        store.close()
        wipe(settings_for(elastic_server.url, prefix))


@pytest.mark.parametrize("seed", range(12))
def test_matcher_and_both_indices_agree_on_generated_queries(everywhere: All, seed: int) -> None:
    draw = random.Random(seed)
    queries = [some_query(draw, 3) for _ in range(250)]
    matched = everywhere.assert_agree([parse(query) for query in queries], queries)
    # A test in which everything or nothing matches would prove little.
    assert sum(0 < len(found) < MENTIONS for found in matched) > 100
    assert sum(not found for found in matched) < 125


@pytest.mark.parametrize("slop", range(11))
def test_matcher_and_both_indices_agree_on_every_proximity(everywhere: All, slop: int) -> None:
    draw = random.Random(slop)
    words = ("ab", "abc", "b", "c", "absent")
    everywhere.assert_agree([Near(tuple(draw.choices(words, k=size)), slop) for size in (2, 3) for _ in range(40)])


def test_matcher_and_both_indices_agree_on_trees_made_by_code(everywhere: All) -> None:
    day = AT.replace(hour=0)
    tick = timedelta(microseconds=1)
    trees: list[Node] = [
        And(()),
        Or(()),
        Not(Or(())),
        And((Not(Words(("ab",))),)),
        Or((Not(Words(("ab",))), Keyword("brand_id", "acme"))),
        Range("published_at", day, day + timedelta(days=1), include_low=False, include_high=True),
        Range("published_at", AT, AT),
        Range("likes", 1, 1, include_low=False),
        Range("sentiment_score", 0, None),
        Words(("ab",) * 30),
        Words(("x" * 100,)),
        *(
            Range("published_at", AT + low * tick, AT + high * tick, include_low=left, include_high=right)
            for low, high in ((-1, 1), (0, 1), (1, 1), (-1, 999_999), (1, 999_999), (999, 1000), (-1000, 0))
            for left in (False, True)
            for right in (False, True)
        ),
        *(Range("published_at", AT + low * tick, None) for low in (-1, 0, 1)),
        *(Range("published_at", None, AT + high * tick, include_high=False) for high in (-1, 0, 1)),
    ]
    everywhere.assert_agree(trees)


WORST_PATTERNS = (
    *("ab*c??", "ab*?c?", "ab*c*c??", "ab*c?*c?", "ab?????", "ab???*", "ab*日?日?", "ab?*?*c", "abc*d*e*f*g*"),
    *("ab*" + "c" * 90 + "??", "ab*" + "日" * 90 + "?c?", "ab*" + "😂" * 95),
    "ab*" + "c" * 28 + "?" + "c" * 28 + "?*" + "c" * 30,
)  # fmt: skip


@pytest.mark.parametrize("pattern", WORST_PATTERNS)
def test_the_worst_pattern_that_a_query_may_hold_is_within_the_limits(everywhere: All, pattern: str) -> None:
    everywhere.assert_agree([parse(f"domain:{pattern}"), Wildcard(pattern)])


def test_the_deepest_query_is_answered(everywhere: All) -> None:
    """Deeper than Elasticsearch takes: the tree is balanced first."""
    words = ("ab", "abc", "b", "c", "#ab", "acme", "x")
    draw = random.Random(1)
    queries = ["ab -(b OR " * 50 + "c" + ")" * 50]
    for _ in range(20):
        levels = [(draw.choice(words), draw.choice((" -(", " (", " OR (")), draw.choice(words)) for _ in range(50)]
        queries.append("".join(f"{first}{opens}{second} OR " for first, opens, second in levels) + "c" + ")" * 50)
    matched = everywhere.assert_agree([parse(query) for query in queries], queries)
    assert any(0 < len(found) < MENTIONS for found in matched)
