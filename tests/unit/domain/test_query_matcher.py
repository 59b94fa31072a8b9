"""The matcher: what matches a post or a mention, and where."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from fakes.query_subjects import AT, a_mention, a_post
from hypothesis import given
from hypothesis import strategies as st

from domain.query import compile_matcher, parse, subject_of, subject_of_mention
from domain.query.ast import And, Everything, Keyword, Node, Or, Range, Words
from domain.query.parser import MAX_DEPTH
from domain.records import Span
from domain.text import token_texts


def found(query: str, text: str, **fields: object) -> list[str] | None:
    """Give the pieces of the text that a query marks, or None."""
    spans = compile_matcher(parse(query)).match(subject_of(a_post(text, **fields)))
    return None if spans is None else [text[span.start : span.end] for span in spans if span.field == "text"]


@pytest.mark.parametrize(
    ("query", "text", "marked"),
    [
        ("acme", "Acme and ACME", ["Acme", "ACME"]),
        ("acme corp", "the corp Acme", ["corp", "Acme"]),
        ("acme corp", "Acme", None),
        ("acme OR corp", "Acme Corp", ["Acme", "Corp"]),
        ("(acme air) OR corp", "Acme Corp", ["Corp"]),
        ("acme -corp", "Acme", ["Acme"]),
        ("acme -corp", "Acme Corp", None),
        ("-corp", "Acme", []),
        ("*", "Acme", []),
        ('"acme corp"', "Acme, Corp! acme air corp", ["Acme, Corp"]),
        ('"a a"', "a a a b a", ["a a a"]),
        ("L'Oréal", "chez L’ORÉAL Paris", ["L’ORÉAL"]),
        ("日本", "私は日本人", ["日本"]),
        ("日 本", "私は日本人", ["日本"]),
        ('"good acme"~2', "acme is so good", ["acme", "good"]),
        ('"good acme"~1', "acme is so good", None),
        ('"very very"~2', "very good", None),
        ('"very very"~2', "very, oh so very", ["very", "very"]),
        ('"a b a"~1', "a x b a", ["a", "b", "a"]),
        ('"a b a"~0', "a b b a", None),
        ('"a b c"~2', "c x b x a", ["c", "b", "a"]),
        ("ac*", "Acme action bac", ["Acme", "action"]),
        ("ac?e", "acme ace acre", ["acme", "acre"]),
        ("ac*e?", "acmes acme acceeeex", ["acmes", "acceeeex"]),
        ("#ac*", "#acme acme", ["#acme"]),
        (":)", "ok :) :-)", [":)"]),
        ("👩‍💻", "the 👩🏽‍💻 here", ["👩🏽‍💻"]),
        ("strasse", "die Straße", ["Straße"]),
        ("1", "½", ["½"]),
    ],
)
def test_a_query_marks(query: str, text: str, marked: list[str] | None) -> None:
    assert found(query, text) == marked


def test_title_and_text_are_both_searched_and_marked_apart() -> None:
    matcher = compile_matcher(parse("acme OR corp"))
    spans = matcher.match(subject_of(a_post("the Corp", title="Big Acme")))
    assert spans == (Span(4, 8, "title"), Span(4, 8, "text"))


def test_a_phrase_does_not_cross_from_title_to_text_but_proximity_does() -> None:
    post = a_post("Corp", title="Acme")
    assert compile_matcher(parse('"acme corp"')).match(subject_of(post)) is None
    assert compile_matcher(parse('"acme corp"~0')).match(subject_of(post)) is None
    assert compile_matcher(parse('"acme corp"~1')).match(subject_of(post)) is not None


@pytest.mark.parametrize(
    "query",
    [
        "source:Test",
        "author:@acme",
        "author:ac*",
        "hashtag:#Summer",
        "domain:acme.com",
        "lang:en",
        "likes:>3",
        "date:2026",
    ],
)
def test_a_post_is_matched_by_its_fields_without_marks(query: str) -> None:
    post = a_post(
        "x",
        author_handle="Acme",
        hashtags=("summer", "sale"),
        domains=("acme.com",),
        declared_lang="EN",
        likes=4,
        published_at=AT,
    )
    assert compile_matcher(parse(query)).match(subject_of(post)) == ()
    assert compile_matcher(parse(f"-{query}")).match(subject_of(post)) is None


@pytest.mark.parametrize(
    "query", ["likes:*", "date:2026", "author:acme", "hashtag:x", "lang:en", "reliable:false", "brand:x"]
)
def test_an_unknown_field_does_not_match(query: str) -> None:
    assert compile_matcher(parse(query)).match(subject_of(a_post("x"))) is None
    assert compile_matcher(parse(f"NOT {query}")).match(subject_of(a_post("x"))) == ()


@pytest.mark.parametrize(
    "query",
    [
        "brand:acme",
        "sentiment:negative",
        "score:<0",
        "sentiment_value:-1",
        "reliable:true",
        "lang:de",
        "story:s1",
        "words:Oil",
    ],
)
def test_a_mention_is_matched_by_every_field_of_the_index(query: str) -> None:
    mention = a_mention(
        "x",
        sentiment="negative",
        sentiment_value=-1,
        sentiment_score=-0.5,
        sentiment_expected=-1.25,
        sentiment_reliable=True,
        lang="de",
        story_id="S1",
        words=("oil",),
    )
    assert compile_matcher(parse(query)).match(subject_of_mention(mention)) == ()


def test_bounds_hold_to_the_microsecond() -> None:
    limits = compile_matcher(parse("date:[2024-01-01 TO 2024-01-31]"))
    end = datetime(2024, 2, 1, tzinfo=UTC)
    assert limits.matches(subject_of(a_post(published_at=end - timedelta(microseconds=1))))
    assert not limits.matches(subject_of(a_post(published_at=end)))


def test_a_tree_made_by_code_is_compiled_too() -> None:
    post = subject_of(a_post("acme", source="rss", likes=2))
    trees: list[tuple[Node, bool]] = [
        (And(()), True),
        (Or(()), False),
        (And((Words(("acme",)), Keyword("source", "rss"), Range("likes", 1, 2.5))), True),
        (And((Everything(), Range("likes", 2, None, include_low=False))), False),
    ]
    assert [compile_matcher(tree).matches(post) for tree, _ in trees] == [expected for _, expected in trees]


def test_the_deepest_query_is_compiled_and_matched() -> None:
    matcher = compile_matcher(parse("aa -(bb OR " * MAX_DEPTH + "cc" + ")" * MAX_DEPTH))
    assert matcher.match(subject_of(a_post("aa cc"))) is not None


def test_several_stars_stay_linear_on_a_hostile_word() -> None:
    # Backtracking would need about 100 to the fifth steps a word.
    matcher = compile_matcher(parse("aa*a*a*a*ab"))
    assert matcher.match(subject_of(a_post(" ".join("a" * 99 + "xyz"[n % 3] for n in range(2_000))))) is None


WORDS = st.lists(
    st.sampled_from(["acme", "Ácme", "corp", "CORP", "日本", "L'Oréal", "😂", "ß", "e\u0301", "-", "ﷺ"]), max_size=8
)
QUERIES = st.sampled_from(
    [
        "acme",
        "corp OR ss",
        '"acme corp"',
        '"acme corp acme"~4',
        '"e acme"~3',
        "ac*",
        "日",
        "L'Oréal",
        "😂 OR e",
        "acme -corp",
    ]
)


@given(QUERIES, WORDS, WORDS)
def test_marks_lie_in_the_text_in_order_apart_and_hold_what_was_asked(
    query: str, title: list[str], text: list[str]
) -> None:
    post = a_post(" ".join(text), title=" ".join(title) or None)
    spans = compile_matcher(parse(query)).match(subject_of(post))
    if spans is None:
        return
    for where, source in (("title", post.title or ""), ("text", post.text)):
        mine = [span for span in spans if span.field == where]
        assert all(0 <= span.start < span.end <= len(source) for span in mine)
        assert all(one.end < two.start for one, two in pairwise(mine))
        asked = set(token_texts(query.replace('"', " ")))
        for span in mine:
            marked = token_texts(source[span.start : span.end])
            assert marked
            assert all(token in asked or token.startswith("ac") for token in marked)


@given(QUERIES, WORDS)
def test_matching_and_marking_agree(query: str, text: list[str]) -> None:
    matcher = compile_matcher(parse(query))
    post, mention = a_post(" ".join(text)), a_mention(" ".join(text))
    assert matcher.matches(subject_of(post)) == (matcher.match(subject_of(post)) is not None)
    assert matcher.match(subject_of(post)) == matcher.match(subject_of_mention(mention))
