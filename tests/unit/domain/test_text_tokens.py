"""What a token is: one table, read as texts and as queries, and what holds for any text."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from fakes.query_subjects import a_post
from hypothesis import given
from hypothesis import strategies as st

from domain.query import compile_matcher, parse, subject_of
from domain.query.ast import Words
from domain.text import (
    MAX_KEYWORD,
    MAX_TOKEN,
    SEPARATOR,
    Token,
    emoticon_end,
    fold,
    fold_keyword,
    index_tokens,
    pattern_tokens,
    signed_tokens,
    token_texts,
    tokens,
)

TABLE = [
    ("AT&T", ["at", "&", "t"]),
    ("C++", ["c", "+", "+"]),
    ("Disney+", ["disney", "+"]),
    ("C#", ["c", "#"]),
    ("Yahoo!", ["yahoo"]),
    ("L'Oréal", ["l", "oreal"]),
    ("L’Oréal", ["l", "oreal"]),
    ("Acme's", ["acme", "s"]),
    ("7-Eleven", ["7", "eleven"]),
    ("$TSLA", ["$tsla"]),
    ("$100", ["100"]),
    (":)", [":)"]),
    (":-D", [":-d"]),
    (":'(", [":'("]),
    ("<3", ["<3"]),
    ("great:)", ["great", ":)"]),
    ("12:30", ["12", "30"]),
    ("http://x", ["x"]),
    ("https://user:pw@www.Acme.com:8080/shop?q=1#top", ["acme", "com"]),
    ("www.acme.com/shop", ["acme", "com"]),
    ("acme.com", ["acme", "com"]),
    ("info@acme.com", ["info", "acme", "com"]),
    ("Acme™", ["acme"]),
    ("foo_bar", ["foo", "bar"]),
    ("#Tag_1", ["#tag_1"]),
    ("#日本語", ["#日本語"]),
    ("@Acme_1", ["@acme_1"]),
    ("@acme.bsky.social", ["@acme", "bsky", "social"]),
    ("@acme@mastodon.social", ["@acme", "mastodon", "social"]),
    ("Straße", ["strasse"]),
    ("İstanbul", ["istanbul"]),
    ("ΣΊΣΥΦΟΣ", ["σισυφοσ"]),
    ("Сёмга", ["семга"]),
    ("ＡＣＭＥ", ["acme"]),
    ("ﬁnance", ["finance"]),
    ("ｶﾞ", ["ガ"]),
    ("日本語", ["日", "本", "語"]),
    ("ラーメン", ["ラ", "ー", "メ", "ン"]),
    ("카페", ["카페"]),
    ("카페", ["카페"]),
    ("ภาษาที่", ["ภ", "า", "ษ", "า", "ที่"]),
    ("हिन्दी", ["हिन्दी"]),
    ("مُحَمَّد", ["مُحَمَّد"]),
    ("مـحـمـد", ["محمد"]),
    ("می‌خواهم", ["میخواهم"]),
    ("🇩🇪🇫🇷", ["🇩🇪", "🇫🇷"]),
    ("👩🏽‍💻", ["👩‍💻"]),
    ("❤️", ["❤"]),
    ("👍🏿", ["👍"]),
    ("1️⃣", ["1"]),
    ("😂😂", ["😂", "😂"]),
    ("so\u00adft", ["soft"]),
    ("zero\u200bwidth", ["zero", "width"]),
]
IDS = [repr(row[0]) for row in TABLE]


@pytest.mark.parametrize(("written", "expected"), TABLE, ids=IDS)
def test_a_text_is_cut_into_these_tokens(written: str, expected: list[str]) -> None:
    assert token_texts(written) == expected
    assert [token.text for token in tokens(written)] == expected


@pytest.mark.parametrize(("written", "expected"), TABLE, ids=IDS)
def test_a_query_is_read_as_the_same_tokens(written: str, expected: list[str]) -> None:
    node = parse(f'"{written}"')
    assert isinstance(node, Words)
    assert list(node.tokens) == expected


@pytest.mark.parametrize("written", [row[0] for row in TABLE if row[0] != "great:)"], ids=repr)
def test_a_bare_query_finds_itself_in_a_text(written: str) -> None:
    matcher = compile_matcher(parse(written))
    assert matcher.match(subject_of(a_post(f"well, {written} indeed"))) is not None
    assert matcher.match(subject_of(a_post("well, indeed"))) is None


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("C++", "plain C"),
        ("AT&T", "at t"),
        ("AT&T", "a t & t"),
        ("$TSLA", "tsla"),
        ("#acme", "acme"),
        ("@acme", "acme"),
    ],
)
def test_a_sign_that_carries_meaning_is_not_lost(query: str, text: str) -> None:
    assert compile_matcher(parse(query)).match(subject_of(a_post(text))) is None


@pytest.mark.parametrize(
    ("query", "text"),
    [("H&M", "H & M"), ("disney", "Disney+"), ("acme", "Acme's"), ("@acme", "@acme.bsky.social"), ("acme", "_acme_")],
)
def test_a_looser_way_of_writing_is_found_too(query: str, text: str) -> None:
    assert compile_matcher(parse(query)).match(subject_of(a_post(text))) is not None


def test_a_title_and_a_text_are_joined_by_a_token_that_nothing_yields() -> None:
    assert index_tokens("Big News", "from Acme") == f"big news {SEPARATOR} from acme"
    assert index_tokens(None, "from Acme") == index_tokens("", "from Acme") == "from acme"
    assert token_texts(SEPARATOR) == []


def test_a_token_is_cut_but_keeps_its_place() -> None:
    assert tokens("x " + "y" * 300) == [Token("x", 0, 1), Token("y" * MAX_TOKEN, 2, 302)]
    assert token_texts("é" * 300) == ["e" * MAX_TOKEN]


def test_wildcards_count_as_letters_in_a_pattern() -> None:
    assert pattern_tokens("Ac?mé*") == ["ac?me*"]
    assert pattern_tokens("a-b*") == ["a", "b*"]


def test_a_keyword_is_folded_trimmed_and_cut() -> None:
    assert fold_keyword("  New\n York\x00 ") == "new york"
    assert len(fold_keyword("x" * 5000)) == MAX_KEYWORD
    assert fold_keyword("\ud800") == ""


def test_an_emoticon_is_recognised_where_it_begins() -> None:
    assert emoticon_end("so :-) there", 3) == 6
    assert emoticon_end("so :-) there", 4) == -1
    assert emoticon_end("12:30", 2) == -1


HOSTILE = [
    "a",
    "é",
    "@",
    "#",
    "#_",
    "@_",
    "$",
    "&",
    "+",
    "a+",
    ":",
    ":-",
    "^_",
    "<",
    "日",
    "ก\u0e34",
    "http://",
    "www.",
]
HOSTILE += [
    "http://a@",
    "\u0301",
    "\u05b0\u05ad",
    "e\u05b0\u05ad",
    "\u0fb5\u0f71",
    "\u200b",
    "\u200d",
    "👩\u200d",
    "🏽",
]
HOSTILE += ["🇩", "🏴\U000e0067", "ﷺ", "ｶﾞ", "\u1100\u1161", "\x1c", "\ud800", "_", "-_", "</", "a\u0301"]


@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_forty_thousand_of_anything_cost_no_more_than_a_text(unit: str) -> None:
    # A quadratic scan of this length would take minutes; the suite's own limit would stop it.
    text = (unit * 40_000)[:40_000]
    found = tokens(text)
    assert [token.text for token in found] == token_texts(text)
    assert all(len(token.text) <= MAX_TOKEN for token in found)


# What splits a line in Python, Rust (White_Space) or Java: none may be inside a token.
WHITE_SPACE = re.compile("[\\s\x00-\x20\x7f-\xa0\u1680\u2000-\u200b\u2028\u2029\u202f\u205f\u3000\ufeff]")
ALPHABET = st.one_of(
    st.characters(),
    st.sampled_from("ab1 @#$&+-_:;)(<3^'’.\u200d\u200b\u0301\ufe0f\u3099\xad\x1c\u2028é߯İ日ガか한ก\u0e34🇩👩💻🏽ﷺ½"),
)
TEXTS = st.text(ALPHABET, max_size=40)


@given(TEXTS)
def test_a_token_holds_no_white_space_and_is_its_own_only_token(text: str) -> None:
    for token in token_texts(text):
        assert token
        assert not WHITE_SPACE.search(token)
        assert SEPARATOR not in token
        token.encode("utf-8")


@given(TEXTS)
def test_places_of_tokens_lie_in_the_text_in_order_and_hold_the_token(text: str) -> None:
    found = tokens(text)
    assert [token.text for token in found] == token_texts(text)
    for token in found:
        assert 0 <= token.start < token.end <= len(text)
        assert token.text in fold(text[token.start : token.end]) or len(token.text) == MAX_TOKEN
    assert all(one.start <= two.start and one.end <= two.end for one, two in pairwise(found))


@given(TEXTS, TEXTS)
def test_tokens_of_two_texts_apart_are_the_tokens_of_both(left: str, right: str) -> None:
    assert token_texts(f"{left}\n{right}") == token_texts(left) + token_texts(right)


# Signs, and what may stand before or after them.
SIGNED = st.text(st.one_of(st.sampled_from("##@@aB1_ $&+.:;)(/<3é日ก🇩💻\u0301\u200d"), ALPHABET), max_size=40)


@given(SIGNED)
def test_signed_tokens_are_the_handles_and_hashtags_among_all_tokens(text: str) -> None:
    assert signed_tokens(text) == [token for token in token_texts(text) if token[0] in "@#" and len(token) > 1]


def test_signed_tokens_keep_the_order_and_skip_addresses() -> None:
    text = "#Late @acme, see https://acme.com/#top or c# and info@acme.com #日本語"
    assert signed_tokens(text) == ["#late", "@acme", "#日本語"]
