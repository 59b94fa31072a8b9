"""Rules of X let through whatever our matcher finds; what they cannot ask for is told; they keep to its limits."""

from __future__ import annotations

import pytest
from fakes.x_rule import XText, evaluate
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.brand import Brand
from domain.clock import SystemClock
from domain.errors import ConfigError
from domain.query import anchors, compile_matcher, parse, subject_of
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.source import RawPost
from ingest.x_rules import MAX_RULE_CHARS, MAX_RULES, MAX_SEARCH_CHARS, XRules, compile_rules

NOW = SystemClock().now()


def rules_of(query: str) -> XRules:
    return compile_rules([Brand(brand_id="acme", name="Acme", query=query)])


def values_of(query: str) -> list[str]:
    return [rule.value for rule in rules_of(query).rules]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("acme", "(acme) -is:retweet"),
        ("acme OR #acme OR @acme OR $tsla", "(acme OR #acme OR @acme OR $tsla) -is:retweet"),
        ('"united airlines" late', '("united airlines" late) -is:retweet'),
        ("(flight OR train) late", "((flight OR train) late) -is:retweet"),
        ("flight late OR train", "((flight late) OR train) -is:retweet"),
        ("domain:acme.com OR author:@Acme", '(url:"acme.com" OR from:acme) -is:retweet'),
        ("acme lang:en", "(acme lang:en) -is:retweet"),
        ("acme lang:zh", "(acme (lang:zh-CN OR lang:zh-TW)) -is:retweet"),
        ("AT&T", '("at t" OR "at&t") -is:retweet'),
        ('"or"', '("or") -is:retweet'),
        ("Crème", '(creme OR "crème") -is:retweet'),
        ("source:x acme", "(acme) -is:retweet"),
        ("(acme source:bluesky) OR globex", "(globex) -is:retweet"),
        ("acme -source:rss", "(acme) -is:retweet"),
        ("hashtag:summer acme", "(#summer acme) -is:retweet"),
    ],
)
def test_a_query_becomes_a_rule(query: str, value: str) -> None:
    assert values_of(query) == [value]


@pytest.mark.parametrize(
    ("query", "value", "told"),
    [
        ("acme -bank", "(acme) -is:retweet", "`-bank`: is not excluded at X"),
        ("acme delay*", "(acme) -is:retweet", "`delay*`: X has no wildcards"),
        ('acme "good service"~2', "(acme good service) -is:retweet", "asked for as words anywhere"),
        ("acme OR delay*", "(acme) -is:retweet", "`delay*`: cannot be asked of X; posts found by it alone do not come"),
        ("acme lang:tlh", "(acme) -is:retweet", "`lang:tlh`: X has no operator for it"),
        ("acme :)", "(acme) -is:retweet", "`:)`: X looks for words and emoji only"),
        ("acme 👍", '(acme "👍") -is:retweet', "colours of hands"),
        ("Crème", '(creme OR "crème") -is:retweet', "X keeps accents"),
        ("C++", '(c OR "c++") -is:retweet', "far more"),
    ],
)
def test_what_x_cannot_be_asked_for_is_told(query: str, value: str, told: str) -> None:
    found = rules_of(query)
    assert [rule.value for rule in found.rules] == [value]
    assert any(note.startswith("brand acme: source x: ") and told in note for note in found.notes), found.notes


@pytest.mark.parametrize("query", ["acme source:bluesky", "acme -source:x", "acme author:a.b.bsky.social"])
def test_a_query_that_finds_nothing_there_asks_for_nothing(query: str) -> None:
    found = rules_of(query)
    assert found.rules == found.searches == ()
    assert found.notes


def test_a_long_query_is_split_and_nothing_of_it_is_lost() -> None:
    words = [f"word{n:04d}" for n in range(320)]
    found = rules_of(f"acme ({' OR '.join(words)})")
    assert len(found.rules) > 3
    assert all(len(rule.value) <= MAX_RULE_CHARS for rule in found.rules)
    assert all(len(search) <= MAX_SEARCH_CHARS for search in found.searches)
    for word in words:
        assert any(evaluate(rule.value, XText(f"{word} acme")) for rule in found.rules)
        assert any(evaluate(search, XText(f"{word} acme")) for search in found.searches)
    assert not any(evaluate(rule.value, XText(words[0])) for rule in found.rules)
    assert found.notes == ()


def test_a_part_that_cannot_be_split_is_shortened_and_told() -> None:
    words = [f"word{n:04d}" for n in range(200)]
    found = rules_of(f'"{" ".join(words)}"')
    (rule,) = found.rules
    assert len(rule.value) <= MAX_RULE_CHARS
    assert evaluate(rule.value, XText(" ".join(words)))
    assert any("longer than X allows" in note for note in found.notes)
    found = rules_of(" ".join(words))
    assert all(
        len(rule.value) <= MAX_RULE_CHARS and evaluate(rule.value, XText(" ".join(words))) for rule in found.rules
    )
    assert any("it is not asked for" in note for note in found.notes)


def test_the_searches_ask_for_all_brands() -> None:
    found = compile_rules([Brand(brand_id=f"b{n}", name="B", query=f"brand{n}") for n in range(100)])
    assert len(found.searches) < 10
    assert all(any(evaluate(search, XText(f"brand{n}")) for search in found.searches) for n in range(100))


def test_more_rules_than_x_allows_is_a_problem() -> None:
    found = compile_rules([Brand(brand_id=f"b{n}", name="B", query=f"brand{n}") for n in range(MAX_RULES + 1)])
    assert len(found.problems) == 1
    assert "1,000" in found.problems[0]


def test_a_tag_changes_with_its_rule_and_only_then() -> None:
    assert rules_of("acme").rules[0].tag == rules_of("acme").rules[0].tag != rules_of("acme late").rules[0].tag
    assert rules_of("acme").rules[0].tag.startswith("soundings acme ")


WORDS = ["acme", "late", "flight", "air", "don't", "at&t", "c", "x9", "crew"]
SIGNED = ["#acme", "@acme", "#late", "@crew_1", "$tsla"]
PUNCTUATION = [" ", ", ", ". ", " - ", "!", "/", "'", "_", " & ", ": "]

leaves = st.one_of(
    st.sampled_from([*WORDS, *SIGNED]),
    st.lists(st.sampled_from([*WORDS, *SIGNED]), min_size=2, max_size=3).map(lambda words: f'"{" ".join(words)}"'),
    st.tuples(st.sampled_from(WORDS[:4]), st.sampled_from(WORDS[:4]), st.integers(0, 9)).map(
        lambda near: f'"{near[0]} {near[1]}"~{near[2]}'
    ),
    st.sampled_from(["ac*", "fli?ht", "author:acme", "author:crew_1", "author:a.b", "lang:en", "lang:de", "lang:he"]),
    st.sampled_from(["domain:acme.com", "domain:late.org", "domain:ac*", "source:x", "source:rss", "hashtag:acme"]),
)
queries = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' OR '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda part: f"NOT {part}"),
    ),
    max_leaves=8,
)
texts = st.lists(st.sampled_from([*WORDS, *SIGNED, "and", "😀"]), min_size=1, max_size=8).flatmap(
    lambda words: st.lists(st.sampled_from(PUNCTUATION), min_size=len(words), max_size=len(words)).map(
        lambda signs: "".join(word + sign for word, sign in zip(words, signs, strict=True))
    )
)
posts = st.builds(
    XText,
    text=texts,
    author=st.sampled_from(["acme", "crew_1", "Somebody"]),
    lang=st.sampled_from(["en", "de", "iw", "und"]),
    urls=st.lists(st.sampled_from(["https://www.acme.com/shop?x=1", "https://late.org"]), max_size=2).map(tuple),
)


@settings(max_examples=500, deadline=None)
@given(query=queries, post=posts)
def test_what_our_matcher_finds_passes_a_rule(query: str, post: XText) -> None:
    """Whatever is expressible: where X cannot be asked for an alternative, that is told instead."""
    node = parse(query)
    try:
        anchors(node)
    except ConfigError:
        # No brand may have such a query.
        return
    fields = {
        "id": "1",
        "text": post.text,
        "author_handle": post.author,
        "lang": {"iw": "he"}.get(post.lang, post.lang),
        "links": list(post.urls),
    }
    made = Normaliser("x", NormaliserSettings(html="never")).normalise(RawPost(fields=fields), NOW)
    if compile_matcher(node).match(subject_of(made)) is None:
        return
    found = rules_of(query)
    assert any(evaluate(rule.value, post) for rule in found.rules) or any(
        "cannot be asked of X" in note for note in found.notes
    ), (query, post, found)
    if found.rules and not any("cannot be asked of X" in note for note in found.notes):
        assert any(evaluate(search, post) for search in found.searches)
