"""The parser: what each way of writing means, and what is said of a query that cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import QueryError
from domain.query import parse
from domain.query.ast import (
    And,
    Everything,
    Flag,
    Keyword,
    KeywordWildcard,
    Near,
    Node,
    Not,
    Or,
    Range,
    Wildcard,
    Words,
)
from domain.query.parser import MAX_DEPTH, MAX_QUERY

A, B, C = Words(("aa",)), Words(("bb",)), Words(("cc",))


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def brand(value: str) -> Keyword:
    return Keyword("brand_id", value)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Everything()),
        (" \u3000\n", Everything()),
        ("*", Everything()),
        ("*:*", Everything()),
        ("aa", A),
        ("AA", A),
        ("aa bb", And((A, B))),
        ("aa AND bb", And((A, B))),
        ("aa && bb", And((A, B))),
        ("aa OR bb", Or((A, B))),
        ("aa||bb", Words(("aa", "bb"))),
        ("aa || bb", Or((A, B))),
        ("aa bb OR cc", Or((And((A, B)), C))),
        ("aa OR bb cc", Or((A, And((B, C))))),
        ("aa (bb OR cc)", And((A, Or((B, C))))),
        ("(aa)(bb)", And((A, B))),
        ("((((aa))))", A),
        ("aa (bb cc)", And((A, B, C))),
        ("-aa", Not(A)),
        ("!aa", Not(A)),
        ("NOT aa", Not(A)),
        ("NOT NOT aa", A),
        ("NOT (-aa)", A),
        ("+aa -bb cc", And((A, Not(B), C))),
        ("NOT aa bb", And((Not(A), B))),
        ("aa NOT bb", And((A, Not(B)))),
        ("aa AND NOT bb OR -cc", Or((And((A, Not(B))), Not(C)))),
        ("-(aa OR bb)", Not(Or((A, B)))),
        ('"aa bb"', Words(("aa", "bb"))),
        ("“aa bb”", Words(("aa", "bb"))),
        ("„aa bb“", Words(("aa", "bb"))),
        (r'"aa \"bb\""', Words(("aa", "bb"))),
        ('"AND"', Words(("and",))),
        ('-"aa bb"', Not(Words(("aa", "bb")))),
        ('"aa bb"~3', Near(("aa", "bb"), 3)),
        ('"aa bb aa"~0', Near(("aa", "bb", "aa"), 0)),
        ('"aa bb"~3 cc', And((Near(("aa", "bb"), 3), C))),
        ("ac*", Wildcard("ac*")),
        ("Ác?E**", Wildcard("ac?e*")),
        ("ac*?*", Wildcard("ac?*")),
        ("#ac*", Wildcard("#ac*")),
        ("@ac*e", Wildcard("@ac*e")),
        ("$ts?a", Wildcard("$ts?a")),
        (r"ac\*", Words(("ac",))),
        ("日本*", Words(("日", "本"))),
        (":)", Words((":)",))),
        ("(aa :))", And((A, Words((":)",))))),
        ("-:(", Not(Words((":(",)))),
        ("-_-", Words(("-_-",))),
        ("12:30", Words(("12", "30"))),
        ("http://x", Words(("x",))),
        ("https://x/?q=1", Words(("x",))),
        ("foo:bar", Words(("foo", "bar"))),
        ("text:aa", A),
        ("TEXT:(aa -bb)", And((A, Not(B)))),
        ('text:"aa bb"~2', Near(("aa", "bb"), 2)),
        ("text:ac*", Wildcard("ac*")),
        ("brand:Acme", brand("acme")),
        ('brand:"Acme  Corp"', brand("acme corp")),
        ("brand:AND", brand("and")),
        ("brand:(x OR y)", Or((brand("x"), brand("y")))),
        ('brand:(x "y z" -w)', And((brand("x"), brand("y z"), Not(brand("w"))))),
        ("brand:((x OR y) AND z)", And((Or((brand("x"), brand("y"))), brand("z")))),
        ("brand:x aa", And((brand("x"), A))),
        ("-brand:x", Not(brand("x"))),
        ("author:@Acme", Keyword("author_handle", "acme")),
        ("hashtag:(#x OR y)", Or((Keyword("hashtags", "x"), Keyword("hashtags", "y")))),
        ("domain:acme*", KeywordWildcard("domains", "acme*")),
        ('domain:"acme*"', Keyword("domains", "acme*")),
        (r"domain:ac\*", Keyword("domains", "ac*")),
        ("post_id:x:at://did:plc:y/1", Keyword("post_id", "x:at://did:plc:y/1")),
        ("reliable:TRUE", Flag("sentiment_reliable", True)),
        ("truncated:no", Flag("truncated", False)),
        ("likes:5", Range("likes", 5, 5)),
        ("likes:-5", Range("likes", -5, -5)),
        ("likes:>5", Range("likes", 5, None, include_low=False)),
        ("likes:>=5", Range("likes", 5, None)),
        ("likes:<5", Range("likes", None, 5, include_high=False)),
        ("likes:<=5", Range("likes", None, 5)),
        ("likes:(>=5 <9)", And((Range("likes", 5, None), Range("likes", None, 9, include_high=False)))),
        ("likes:[1 TO 5]", Range("likes", 1, 5)),
        ("likes:{1 TO 5}", Range("likes", 1, 5, False, False)),
        ("likes:[1 TO 5}", Range("likes", 1, 5, True, False)),
        ('likes:{ "1"  TO  * ]', Range("likes", 1, None, False, True)),
        ("likes:[* TO *]", Range("likes", None, None)),
        ("likes:*", Range("likes", None, None)),
        ("score:>-0.5", Range("sentiment_score", -0.5, None, include_low=False)),
        ("sentiment_value:(-1 OR 1)", Or((Range("sentiment_value", -1, -1), Range("sentiment_value", 1, 1)))),
    ],
)
def test_a_query_means(query: str, expected: Node) -> None:
    assert parse(query) == expected


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("date:2024", "2024-01-01", "2025-01-01"),
        ("date:2024-12", "2024-12-01", "2025-01-01"),
        ("date:2024-02-29", "2024-02-29", "2024-03-01"),
        ("date:2024-02-29T10:30", "2024-02-29T10:30", "2024-02-29T10:31"),
        ("date:2024-02-29T10:30:05Z", "2024-02-29T10:30:05", "2024-02-29T10:30:06"),
        ("date:2024-02-29T10:30:05+02:00", "2024-02-29T08:30:05", "2024-02-29T08:30:06"),
        ("date:2024-02-29T10:30:05.5Z", "2024-02-29T10:30:05.5", "2024-02-29T10:30:05.6"),
        ("date:[2024-01-01 TO 2024-01-31]", "2024-01-01", "2024-02-01"),
        ("date:{2024-01-01 TO 2024-01-31}", "2024-01-02", "2024-01-31"),
        ("date:[2024 TO *]", "2024-01-01", None),
        ("date:[2024 TO 2024-02}", "2024-01-01", "2024-02-01"),
        ("date:>2024-01-05", "2024-01-06", None),
        ("date:>=2024-01-05", "2024-01-05", None),
        ("date:<2024-01-05", None, "2024-01-05"),
        ("date:<=2024-01-05", None, "2024-01-06"),
        ('date:"2024-01-05 10:00"', "2024-01-05T10:00", "2024-01-05T10:01"),
    ],
)
def test_a_date_is_the_whole_of_the_time_it_names(query: str, low: str | None, high: str | None) -> None:
    node = parse(query)
    assert isinstance(node, Range)
    assert (node.low, node.high) == (low and day(low), high and day(high))
    assert node.include_low
    assert high is None or not node.include_high


def test_the_last_year_of_the_calendar_has_an_open_end() -> None:
    assert parse("date:9999") == Range("published_at", day("9999-01-01"), None, True, False)


@pytest.mark.parametrize(
    ("query", "position", "found", "expected"),
    [
        ("aa AND", 6, "the end of the query", "after `AND`"),
        ("AND aa", 0, "`AND`", "a word"),
        ("aa OR OR bb", 6, "`OR`", "after `OR`"),
        ("aa NOT", 6, "the end of the query", "after `NOT`"),
        ("(aa AND )", 8, "`)`", "after `AND`"),
        ("()", 1, "`)`", "a word"),
        ("(aa", 3, "the end of the query", "`)` for the `(` at position 1"),
        ("(aa OR :)", 9, "the end of the query", "`)` for the `(` at position 1"),
        ("aa)", 2, "`)` without its `(`", "a word"),
        ('aa "bb', 6, "the end of the query", "a closing quote for the one at position 4"),
        ('""', 0, '`""`, which holds nothing', "a letter"),
        ("aa ... bb", 3, "`...`, which holds nothing", "a letter"),
        ("aa - bb", 3, "`-` with nothing right after it", "a word"),
        ("aa -", 3, "`-` with nothing right after it", "a word"),
        ("aa\\", 2, "`\\` at the end", "a character"),
        ("a*", 0, "`a*`, with 1 character before", "at least 2"),
        ("aa *bb", 3, "`*bb`, with 0 characters before", "at least 2"),
        ("#a*", 0, "`#a*`, with 1 character before", "at least 2"),
        ("a-b*", 0, "`a-b*`, which is 2 words (a b*)", "one word"),
        ("ab?c?d?e?f?g?", 0, "with 6 wildcards", "at most 5"),
        ("ab*c?d?e?", 0, "with 4 wildcards", "at most 2 `?` after a `*`"),
        ("ab" + "c" * 100 + "*", 0, "a pattern of 103 characters", "at most 100"),
        ("aa^2", 2, "`^2`", "a word without a weight"),
        ("aa~2", 2, "`~2`", "a phrase before `~`"),
        ('"aa"~2', 0, "1 word before `~` (aa)", "2 to 3"),
        ('"a b c d"~2', 0, "4 words before `~` (a b c d)", "2 to 3"),
        ('"L\'Oréal Paris x"~2', 0, "4 words", "2 to 3"),
        ('"aa bb"~11', 0, "a distance of 11", "0 to 10"),
        ('"aa bb"~x', 8, "`x`", "a whole number"),
        ('"aa bb"~', 8, "the end", "a whole number"),
        ('"aa bb"~1.5', 8, "`1.5`", "a whole number"),
        ('"aa bb"~999999999999 cc', 8, "`999999999999`", "a whole number from 0 to 10 after `~`"),
        ('"aa"^2', 4, "`^`", "a space"),
        ('aa brnad:"x y"', 3, "the unknown field `brnad`", "Did you mean brand?"),
        ("nonsense:(aa)", 0, "the unknown field `nonsense`", "quotes"),
        ("nonsense:>5", 0, "the unknown field `nonsense`", "quotes"),
        ("brand:", 6, "the end of the query", "a value right after `brand:`"),
        ("brand: x", 6, "a space", "a value right after `brand:`"),
        ("brand:[a TO b]", 6, "`[a`", "Ranges and comparisons work for number and date fields"),
        ("text:>5", 5, "`>5`", "Ranges and comparisons work"),
        ("hashtag:*", 0, "`*` alone", "a value of `hashtags`"),
        ('brand:" "', 0, "an empty value", "a value of `brand_id`"),
        ("likes:many", 0, "`many`", "a whole number"),
        ("likes:1.5", 0, "`1.5`", "a whole number"),
        ("likes:99999999999999999999", 0, "`99999999999999999999`", "a whole number"),
        ("score:nan", 0, "`nan`", "a number"),
        ("likes:[5 TO 1]", 7, "the bound `5` above `1`", "the lower bound first"),
        ("likes:[1 to 5]", 6, "`[1 to 5]`", "TO is in capitals"),
        ("likes:[1 TO 5", 6, "`[1 TO 5`", "[low TO high]"),
        ("likes:>", 7, "the end of the query", "a value of `likes`"),
        ("reliable:maybe", 0, "`maybe`", "true or false"),
        ("date:yesterday", 0, "`yesterday`", "2024-05-31"),
        ("date:2024-02-30", 0, "`2024-02-30`", "a date"),
        ("date:[2024-13 TO *]", 6, "`2024-13`", "a date"),
        ("x" * (MAX_QUERY + 1), MAX_QUERY, "4,001 characters", "at most 4,000"),
        ("(" * (MAX_DEPTH + 1) + "a", MAX_DEPTH, "more than 50 open brackets", "at most 50"),
        ('"' + "a " * 201 + '"', 0, "a phrase of 201 words", "at most 200"),
    ],
)
def test_an_unreadable_query_says_where_and_why(query: str, position: int, found: str, expected: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query)
    error = caught.value
    assert error.position == position
    assert found in error.found
    assert expected in str(error)
    assert str(error).startswith(f"at position {position + 1}: found ")


def test_a_leaf_knows_its_place_in_the_query() -> None:
    query = 'aa  -"bb cc"~2 brand:x (likes:[1 TO 5] OR :))'
    node = parse(query)
    assert isinstance(node, And)
    first, negated, field, group = node.nodes
    assert isinstance(negated, Not)
    assert isinstance(group, Or)
    pieces = [query[part.place.start : part.place.end] for part in (first, negated, negated.node, field, *group.nodes)]
    assert pieces == ["aa", '-"bb cc"~2', '"bb cc"~2', "brand:x", "likes:[1 TO 5]", ":)"]


def test_the_deepest_tree_can_be_compared_hashed_and_shown() -> None:
    query = "aa -(bb OR " * MAX_DEPTH + "cc" + ")" * MAX_DEPTH
    assert parse(query) == parse(query)
    assert hash(parse(query)) == hash(parse(query))
    assert repr(parse(query)).count("Not(") == MAX_DEPTH


PIECES = st.sampled_from(
    (
        *(
            "aa",
            "bb",
            " ",
            "  ",
            "AND ",
            "OR ",
            "NOT ",
            "&&",
            "||",
            "!",
            "-",
            "+",
            "(",
            ")",
            '"',
            "“",
            "”",
            "~",
            "~2",
            "^",
        ),
        *(
            "*",
            "?",
            "\\",
            ":",
            "brand:",
            "likes:",
            "date:",
            "text:",
            "hashtag:",
            "reliable:",
            "foo:",
            "[",
            "]",
            "{",
            "}",
        ),
        *(
            " TO ",
            ">",
            "<=",
            "5",
            "2024-01",
            ":)",
            ":(",
            "<3",
            "-_-",
            "@x",
            "#",
            "$",
            "日本",
            "é",
            "\ud800",
            "\x00",
            "😂",
        ),
    )
)


def error_of(query: str) -> QueryError | None:
    try:
        parse(query)
    except QueryError as error:
        return error
    return None


@given(st.one_of(st.lists(PIECES, max_size=25).map("".join), st.text(max_size=60)))
def test_any_string_is_a_query_or_a_query_error(query: str) -> None:
    error = error_of(query)
    assert error is None or (0 <= error.position <= len(query) and error.found and error.expected)


@pytest.mark.parametrize(
    "unit", ["a", "a ", "-", "!", "NOT ", "(", "a:", "a:b ", '"', '"a" ', "\\", "~", "^1", "*", "[", " "]
)
@pytest.mark.parametrize("start", ["", "likes:[", "brand:", "aa ", "http://", '"'])
def test_the_longest_query_of_anything_is_read_or_refused(start: str, unit: str) -> None:
    # Quadratic reading of 10,000 characters would still pass here; exponential or recursive reading would not.
    error = error_of((start + unit * MAX_QUERY)[:MAX_QUERY])
    assert error is None or error.position <= MAX_QUERY
