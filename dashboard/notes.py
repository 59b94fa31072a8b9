"""What a page says about a query, at the place in question."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard.answers import Problem
from domain.query.leaves import QueryWarning


@dataclass(frozen=True, slots=True)
class QueryNote:
    """An error or a warning at its place: the query before it, the character there ("" at the end), and the rest."""

    kind: str
    before: str
    here: str
    after: str
    position: int
    message: str
    hint: str = ""


def error_note(q: str, problem: Problem) -> QueryNote:
    """Tell an error of a query where it is."""
    message = f"Found {problem.found}, expected {problem.expected}."
    return _note("error", q, problem.position or 0, message, problem.hint)


def warning_note(q: str, warning: QueryWarning) -> QueryNote:
    """Tell a warning where it is."""
    return _note("warning", q, warning.position, warning.message)


def _note(kind: str, q: str, position: int, message: str, hint: str = "") -> QueryNote:
    message, hint = (text[:1].upper() + text[1:] for text in (message, hint))
    return QueryNote(kind, q[:position], q[position : position + 1], q[position + 1 :], position + 1, message, hint)
