"""The linter: warnings with their positions, and silence for good queries."""

from __future__ import annotations

import pytest

from domain.errors import QueryError
from domain.query import lint
from domain.query.parser import MAX_WARNINGS


@pytest.mark.parametrize(
    ("query", "position", "words"),
    [
        ("*", 0, "almost everything"),
        ("-acme", 0, "only says what must not be there"),
        ("NOT acme -corp", 0, "only says what must not be there"),
        ("acme OR -corp", 8, "only says what must not be there"),
        ("acme OR *", 8, "almost everything"),
        ("(-acme)", 1, "only says what must not be there"),
        ("acme and corp", 5, "write AND for the operator"),
        ("acme or corp", 5, "write OR for the operator"),
        ("acme Or corp", 5, "write OR for the operator"),
        ("acme not corp", 5, "write NOT for the operator"),
        ("not corp", 0, "write NOT for the operator"),
        ("(acme or corp) air", 6, "write OR for the operator"),
        ("brnad:acme", 0, "Did you mean brand?"),
        ("air sentimant:negative", 4, "Did you mean sentiment?"),
        ("foo:bar", 0, "`foo` is no field"),
        ("acme?", 4, "exactly one character"),
        ('"acme*"', 0, "inside quotes"),
        ("https://acme.com/shop", 0, "only the domain of a link"),
        ("sentiment:bad", 0, "negative, neutral, positive"),
        ("brand:(acme globex)", 12, "cannot be acme and globex"),
        ("source:x source:y", 9, "cannot be x and y"),
    ],
)
def test_a_doubtful_query_is_warned_of(query: str, position: int, words: str) -> None:
    assert [(warning.position, words in warning.message) for warning in lint(query)][:1] == [(position, True)]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "  ",
        "acme",
        "acme -corp",
        "acme AND corp OR air",
        '"rock and roll"',
        "acme AND or",
        "or",
        "12:30",
        "http://x",
        "see: acme",
        "brand:acme -source:x",
        "brand:(acme OR globex)",
        "hashtag:(a b)",
        "sentiment:negative",
        "ac*",
        "ac?e",
        ":)",
        "NOT *",
    ],
)
def test_a_clear_query_is_not(query: str) -> None:
    assert lint(query) == ()


def test_an_unreadable_query_is_an_error_here_too() -> None:
    with pytest.raises(QueryError):
        lint("(acme")


def test_warnings_come_by_position_and_end() -> None:
    found = lint("brnad:x " * 200 + "OR -b")
    assert [warning.position for warning in found] == sorted(warning.position for warning in found)
    assert len(found) <= MAX_WARNINGS + 1
