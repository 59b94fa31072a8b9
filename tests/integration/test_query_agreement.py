"""One query, two answers that must be the same: the matcher's over each mention, and the real tantivy index's."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import tantivy
from fakes.query_subjects import AT, a_mention

from domain.query import compile_matcher, parse, subject_of_mention
from domain.query.ast import And, Keyword, Near, Node, Not, Or, Range, Words
from domain.records import Mention
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


class Both:
    """The same mentions as subjects of the matcher and in a tantivy index on disk."""

    def __init__(self, folder: str) -> None:
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

    def by_matcher(self, node: Node) -> set[int]:
        matcher = compile_matcher(node)
        return {row for row, subject in enumerate(self.subjects) if matcher.match(subject) is not None}

    def by_index(self, node: Node) -> set[int]:
        found = self._searcher.search(compile_for_tantivy(node, SCHEMA), limit=MENTIONS, order_by_field=ROW)
        return {int(row) for row, _ in found.hits}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    return Both(str(tmp_path_factory.mktemp("index")))


@pytest.mark.parametrize("seed", range(12))
def test_matcher_and_index_agree_on_generated_queries(both: Both, seed: int) -> None:
    draw = random.Random(seed)
    some, none = 0, 0
    for _ in range(250):
        query = some_query(draw, 3)
        node = parse(query)
        matched = both.by_matcher(node)
        assert matched == both.by_index(node), query
        some, none = some + (0 < len(matched) < MENTIONS), none + (not matched)
    # A test in which everything or nothing matches would prove little.
    assert some > 100
    assert none < 125


@pytest.mark.parametrize("slop", range(11))
def test_matcher_and_index_agree_on_every_proximity(both: Both, slop: int) -> None:
    draw = random.Random(slop)
    for size in (2, 3):
        for _ in range(8):
            node = Near(tuple(draw.choices(("ab", "abc", "b", "c", "absent"), k=size)), slop)
            assert both.by_matcher(node) == both.by_index(node), node


def test_matcher_and_index_agree_on_trees_made_by_code(both: Both) -> None:
    day = AT.replace(hour=0)
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
    ]
    for tree in trees:
        assert both.by_matcher(tree) == both.by_index(tree), tree


WORST_PATTERNS = (
    *("ab*c??", "ab*?c?", "ab*c*c??", "ab*c?*c?", "ab?????", "ab???*", "ab*日?日?", "ab?*?*c", "abc*d*e*f*g*"),
    *("ab*" + "c" * 90 + "??", "ab*" + "日" * 90 + "?c?", "ab*" + "😂" * 95),
    "ab*" + "c" * 28 + "?" + "c" * 28 + "?*" + "c" * 30,
)  # fmt: skip


@pytest.mark.parametrize("pattern", WORST_PATTERNS)
def test_the_worst_pattern_that_a_query_may_hold_is_within_tantivys_limit(both: Both, pattern: str) -> None:
    node = parse(f"domain:{pattern}")
    assert both.by_matcher(node) == both.by_index(node)


def test_the_deepest_query_is_answered(both: Both) -> None:
    node = parse("ab -(b OR " * 50 + "c" + ")" * 50)
    assert both.by_matcher(node) == both.by_index(node)
