"""Anchors: every match holds one, and a query without one is refused."""

from __future__ import annotations

import pytest
from fakes.query_subjects import a_post
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigError
from domain.query import Anchors, Subject, anchors, check_live, compile_matcher, parse, subject_of


def of(*tokens: str, prefixes: tuple[str, ...] = (), keywords: tuple[tuple[str, str], ...] = ()) -> Anchors:
    return Anchors(frozenset(tokens), frozenset(prefixes), frozenset(keywords))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("acme", of("acme")),
        ("@united OR united airlines", of("@united", "airlines")),
        ('@delta OR "delta airlines"', of("@delta", "airlines")),
        ("acme -corp", of("acme")),
        ("the acme", of("acme")),
        ('"the acme"', of("acme")),
        ('"for all"~3 acme', of("acme")),
        ("(acme OR globex) the", of("acme", "globex")),
        ("(aa OR bb) acme", of("acme")),
        ("ac* OR globex", of("globex", prefixes=("ac",))),
        ("glob?x", of(prefixes=("glob",))),
        ("AT&T", of("&")),
        ("C++", of("c")),
        ("日本", of("日")),
        ("domain:acme.com OR author:@acme", of(keywords=(("domains", "acme.com"), ("author_handle", "acme")))),
        ("source:rss acme", of("acme")),
        ("source:rss lang:en", of(keywords=(("source", "rss"),))),
        ("acme likes:>5", of("acme")),
        ("*  acme", of("acme")),
    ],
)
def test_the_most_selective_anchors_are_chosen(query: str, expected: Anchors) -> None:
    assert anchors(parse(query)) == expected


@pytest.mark.parametrize(
    "query", ["", "*", "-acme", "acme OR -corp", "x", "acme OR x", "lang:en", "likes:>5", "domain:ac*", "日"]
)
def test_a_query_without_anchor_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="needs a positive anchor of two or more characters"):
        anchors(parse(query))


def holds_one(subject: Subject, chosen: Anchors) -> bool:
    return (
        not chosen.tokens.isdisjoint(subject.vocabulary)
        or any(token.startswith(prefix) for prefix in chosen.prefixes for token in subject.vocabulary)
        or any(value in subject.values(field) for field, value in chosen.keywords)
    )


LEAVES = st.sampled_from(
    ["aa", "ab", "abc", '"aa ab"', '"abc aa"~2', "ab*", "abc?", "hashtag:aa", "source:test", "aa-b", "*"]
)
QUERIES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("({0[0]} {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} OR {0[1]})".format),
        inner.map("NOT {}".format),
    ),
    max_leaves=6,
)
TEXTS = st.lists(st.sampled_from(["aa", "ab", "abc", "abcd", "b", "aa-b"]), max_size=5).map(" ".join)


@given(QUERIES, st.lists(TEXTS, min_size=1, max_size=5), st.booleans())
def test_every_match_holds_an_anchor(query: str, texts: list[str], tagged: bool) -> None:
    node = parse(query)
    try:
        chosen = anchors(node)
    except ConfigError:
        return
    matcher = compile_matcher(node)
    for text in texts:
        subject = subject_of(a_post(text, hashtags=("aa",) if tagged else ()))
        assert not matcher.matches(subject) or holds_one(subject, chosen)


def test_a_brand_may_use_what_is_known_while_posts_come_in() -> None:
    check_live(parse("acme text:x source:x author:x hashtag:x domain:x lang:en"))


def test_other_fields_in_a_brand_are_named_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        check_live(parse("acme (sentiment:negative OR NOT likes:>5) reliable:true story:ab*"))
    assert [problem.split("`")[1] for problem in caught.value.problems] == [
        "likes",
        "sentiment",
        "sentiment_reliable",
        "story_id",
    ]
