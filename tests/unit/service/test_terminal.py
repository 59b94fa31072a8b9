"""Other people's text cannot take over a terminal."""

from __future__ import annotations

import pytest

from domain.errors import QueryError
from domain.records import Span
from service.terminal import caret, safe, shorten


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2Jgone",
        "\x9b31mred",
        "a\x00b",
        "line\x08\x08\x08",
        "\u202etxt.exe",
        "\u2066x\u2069",
        "\ud800",
        "\x1b]0;title\x07",
        "\x7f",
    ],
)
def test_control_and_bidi_characters_are_replaced_one_for_one(hostile: str) -> None:
    shown = safe(hostile)
    assert len(shown) == len(hostile)
    assert "\ufffd" in shown
    assert not any(ord(c) < 32 or 0x7F <= ord(c) < 0xA0 or c in "\u202e\u2066\u2069\ud800" for c in shown)


def test_line_breaks_become_spaces_and_ordinary_text_stays() -> None:
    assert safe("a\nb\r\tc\u2028d") == "a b  c d"
    assert safe("Ünïcode 👍🏽 日本") == "Ünïcode 👍🏽 日本"


def test_a_long_text_is_cut_around_the_first_match() -> None:
    text = "x" * 500 + " acme " + "y" * 500
    shown, spans = shorten(text, 60, [Span(501, 505), Span(0, 3, "title")])
    assert len(shown) <= 62
    assert [shown[start:end] for start, end in spans] == ["acme"]
    assert shown.startswith("…")
    assert shown.endswith("…")


def test_a_short_text_stays_whole() -> None:
    assert shorten("acme is fine", 60, [Span(0, 4)]) == ("acme is fine", [(0, 4)])


def test_the_caret_stands_under_the_place_where_reading_failed() -> None:
    message, query, mark = caret(QueryError("日本 (a", 5, "the end of the query", "`)`"))
    assert query == "  日本 (a"
    assert mark == "  " + " " * 7 + "^"
    assert "expected `)`" in message


@pytest.mark.parametrize("word", ["acme ", "\u65e5\u672c ", "e\u0301 "])
def test_of_a_long_query_some_sixty_columns_around_the_place_are_shown(word: str) -> None:
    _, query, mark = caret(QueryError(word * 500 + ")" + word * 500, len(word) * 500, "`)`", "a word"))
    assert query.startswith("  \u2026")
    assert query.endswith("\u2026")
    assert 39 <= len(mark) - len("  \u2026^") <= 40
    assert len(query) < 100
    assert ")" in query


def test_the_caret_counts_columns_and_not_characters() -> None:
    for before, columns in (("e\u0301 ", 2), ("\U0001f600\U0001f600 ", 5), ("\uff21 ", 3), ("ab ", 3)):
        _, query, mark = caret(QueryError(f"{before})", len(before), "`)`", "a word"))
        assert query == f"  {before})"
        assert mark == "  " + " " * columns + "^"
