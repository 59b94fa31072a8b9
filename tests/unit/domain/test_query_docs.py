"""Every example of docs/query-language.md is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.query_subjects import a_post

from domain.errors import QueryError
from domain.query import compile_matcher, lint, parse, subject_of

PAGE = Path(__file__).resolve().parents[3] / "docs" / "query-language.md"


def rows(header: str) -> Iterator[tuple[str, ...]]:
    """Give the cells of every row of the tables whose first column has this header."""
    inside = False
    for line in PAGE.read_text("utf-8").splitlines():
        cells = tuple(cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1])
        if not cells:
            inside = False
        elif cells[0] == header:
            inside = True
        elif inside and not cells[0].startswith("---"):
            yield cells


def bare(cell: str) -> str:
    """Take a cell out of its backticks."""
    assert cell.startswith("`"), cell
    assert cell.endswith("`"), cell
    return cell[1:-1]


EXAMPLES = [tuple(map(bare, row)) for row in rows("query")]
ALLOWED = [bare(row[0]) for header in ("you write", "field query") for row in rows(header)]


@pytest.mark.parametrize(("query", "found", "missed"), EXAMPLES)
def test_an_example_finds_and_misses_what_the_page_says(query: str, found: str, missed: str) -> None:
    matcher = compile_matcher(parse(query))
    assert matcher.match(subject_of(a_post(found))) is not None
    assert matcher.match(subject_of(a_post(missed))) is None


@pytest.mark.parametrize("query", ALLOWED)
def test_an_example_of_fields_is_read_without_a_warning(query: str) -> None:
    parse(query)
    assert lint(query) == ()


@pytest.mark.parametrize(("query", "answer"), list(rows("wrong")))
def test_a_wrong_example_gives_the_answer_on_the_page(query: str, answer: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse(bare(query))
    assert str(caught.value) == answer


@pytest.mark.parametrize(("query", "answer"), list(rows("doubtful")))
def test_a_doubtful_example_gives_the_warning_on_the_page(query: str, answer: str) -> None:
    assert [warning.message for warning in lint(bare(query))] == [answer]


def test_the_page_has_examples_of_every_kind() -> None:
    assert (len(EXAMPLES) > 40, len(ALLOWED) > 25) == (True, True)
