"""All brands at once find exactly what each brand's query finds alone."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.brand import Brand
from domain.errors import ConfigError
from domain.query import anchors, compile_matcher, parse, subject_of
from domain.records import BrandMatch, Post, Span
from domain.text import fold, token_texts
from ingest.anchor_choice import choose_anchors
from ingest.matching import BrandMatcher

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def brand(brand_id: str, query: str, revision: int = 1) -> Brand:
    return Brand(brand_id=brand_id, name=brand_id, query=query, query_revision=revision)


def post(text: str, title: str | None = None, **fields: object) -> Post:
    return Post(
        post_id="x:1", source="x", native_id="1", revision_ms=0, text=text, title=title, collected_at=NOW,
        routing_month="2026.01", **fields,  # type: ignore[arg-type]
    )  # fmt: skip


def ids(matches: tuple[BrandMatch, ...]) -> list[str]:
    return [match.brand_id for match in matches]


QUERIES = [
    '@delta OR "delta airlines"',
    "acme* AND (phone OR battery)",
    "caf\u00e9 NOT milk",
    '"us airways" OR @usairways',
    '"very good"~2 AND acme',
    "#late OR domain:a.example",
    "author:eve AND bad",
    "source:rss",
    "at&t OR c++",
    "\u65e5\u672c OR \U0001f600\U0001f600",
    "acme AND battery",
    "ac*e OR ph?ne",
]
BRANDS = [brand(f"b{number}", query) for number, query in enumerate(QUERIES)]


def test_spans_are_places_in_the_text_and_in_the_title() -> None:
    (match,) = BrandMatcher([brand("d", "@delta OR delta", revision=3)]).match(post("Hi @Delta!", title="DELTA"))
    assert match == BrandMatch(brand_id="d", query_revision=3, spans=(Span(0, 5, "title"), Span(3, 9, "text")))


def test_a_brand_found_by_a_field_alone_has_no_spans() -> None:
    matcher = BrandMatcher([brand("e", "author:eve"), brand("s", "domain:a.example"), brand("r", "source:rss")])
    found = matcher.match(post("anything", author_handle="Eve", domains=("a.example",)))
    assert found == (BrandMatch(brand_id="e", query_revision=1), BrandMatch(brand_id="s", query_revision=1))


def test_part_of_a_word_is_no_match() -> None:
    assert BrandMatcher([brand("d", "delta")]).match(post("deltas and adelta")) == ()


_PIECES = st.sampled_from(
    (
        *(
            "@delta",
            "delta",
            "airlines",
            "acme",
            "acmephone",
            "phone",
            "battery",
            "cafe\u0301",
            "CAF\u00c9",
            "milk",
            "us",
        ),
        *(
            "airways",
            "@usairways",
            "very",
            "good",
            "#late",
            "bad",
            "AT&T",
            "C++",
            "\u65e5\u672c",
            "\U0001f600\U0001f600",
        ),
        *("https://a.example/delta", "deltas", "!", ",", "'", "\n", "\u00e9"),
    )
)


@given(st.lists(_PIECES, max_size=12), st.none() | st.lists(_PIECES, max_size=4), st.sampled_from([None, "Eve", "bob"]))
def test_all_at_once_finds_what_every_query_finds_alone(
    text: list[str], title: list[str] | None, author: str | None
) -> None:
    tried = post(
        " ".join(text), None if title is None else " ".join(title), author_handle=author, domains=("a.example",)
    )
    alone = [(one, compile_matcher(parse(one.query)).match(subject_of(tried))) for one in BRANDS]
    expected = tuple(
        BrandMatch(brand_id=one.brand_id, query_revision=1, spans=spans) for one, spans in alone if spans is not None
    )
    assert BrandMatcher(BRANDS).match(tried) == expected


@given(st.text(max_size=80) | st.lists(_PIECES, max_size=12).map("".join))
def test_every_token_stands_in_the_folded_text(text: str) -> None:
    folded = fold(text)
    assert all(token in folded for token in token_texts(text))


def test_queries_hang_on_what_few_of_them_share() -> None:
    nodes = [
        parse(query) for query in ("acme AND delivery", "zeta AND delivery", '"omni delivery" AND delivery', "delivery")
    ]
    assert anchors(nodes[0]).tokens == {"delivery"}
    assert [set(found.tokens) for found in choose_anchors(nodes)] == [{"acme"}, {"zeta"}, {"omni"}, {"delivery"}]


def test_every_problem_of_every_brand_is_told_at_once() -> None:
    brands = [
        brand("one", "NOT delta"),
        brand("two", "delta AND ("),
        brand("three", "delta AND sentiment:negative"),
        brand("three", "delta"),
    ]
    with pytest.raises(ConfigError) as caught:
        BrandMatcher(brands)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "brand one", "brand two", "brand three", "brand three",
    ]  # fmt: skip


def test_no_brands_match_nothing() -> None:
    assert BrandMatcher([]).match(post("delta")) == ()


def test_the_identity_of_the_queries_changes_with_any_of_them() -> None:
    one, two = brand("a", "delta"), brand("b", "acme")
    assert BrandMatcher([one, two]).queries == BrandMatcher([two, one]).queries
    identities = {BrandMatcher(brands).queries for brands in ([one, two], [one], [brand("a", "delta x"), two])}
    assert len(identities) == 3
