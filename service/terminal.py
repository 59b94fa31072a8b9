"""What is shown on a terminal: lines of ours, cut texts, queries with a caret, tables; all of it safe to show."""

from __future__ import annotations

import logging
import sys
import unicodedata
from collections.abc import Iterable, Sequence

from domain.errors import QueryError
from domain.records import Span
from domain.safe_text import safe
from service.logs import as_logged

__all__ = ["announce", "caret", "complain", "safe", "shorten", "table"]

# What is shown of a query around the place where reading failed: with indent and caret it fits 80 columns.
_COLUMNS_BEFORE = 40
_COLUMNS_AFTER = 20


def complain(lines: Iterable[str], level: int = logging.WARNING) -> None:
    """Print lines on standard error, each marked as ours unless it begins with a space and goes on with the last.

    Where the log of this process is JSON they are lines of it, of this level.
    """
    for number, line in enumerate(lines):
        text = safe(f"soundings: {line}" if number == 0 or not line.startswith(" ") else line)
        print(as_logged(safe(line), level) or text, file=sys.stderr)


def announce(line: str) -> None:
    """Print a line of a worker on standard output, at once; where its log is JSON, as a line of it."""
    print(as_logged(safe(line), logging.INFO) or safe(line), flush=True)


def shorten(text: str, width: int, spans: Iterable[Span] = ()) -> tuple[str, list[tuple[int, int]]]:
    """Cut a long text to about `width` code points around its first span, with `…` where something was cut.

    Returns:
        The safe text and the spans of its `text` field that lie inside, as (start, end) offsets into what is given.
    """
    places = sorted((span.start, span.end) for span in spans if span.field == "text")
    start = 0
    if len(text) > width and places and places[0][1] > width:
        start = max(0, min(places[0][0] - width // 3, len(text) - width))
    end = min(len(text), start + width)
    lead, tail = ("…" if start else ""), ("…" if end < len(text) else "")
    shift = len(lead) - start
    inside = [(first + shift, last + shift) for first, last in places if start <= first and last <= end]
    return f"{lead}{safe(text[start:end])}{tail}", inside


def _columns(character: str) -> int:
    """Count the columns that a terminal gives a character: none for marks and joiners, two for wide ones."""
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitting(characters: Iterable[str], columns: int) -> int:
    """Count the first characters that fit into so many columns."""
    count = 0
    for character in characters:
        columns -= _columns(character)
        if columns < 0:
            break
        count += 1
    return count


def caret(error: QueryError) -> list[str]:
    """Give lines that say what is wrong with a query and show it with a caret under the place.

    Of a long query some 60 columns around the place are shown, with `…` where something was cut.
    """
    query, place = safe(error.query), error.position
    start = place - _fitting(reversed(query[:place]), _COLUMNS_BEFORE)
    end = place + _fitting(query[place:], _COLUMNS_AFTER)
    before = ("…" if start else "") + query[start:place]
    after = query[place:end] + ("…" if end < len(query) else "")
    return [safe(str(error)), f"  {before}{after}", f"  {' ' * sum(map(_columns, before))}^"]


def table(rows: Sequence[tuple[str, str]], indent: str = "  ") -> list[str]:
    """Lay out (name, value) rows in two columns."""
    width = max((len(name) for name, _ in rows), default=0)
    return [f"{indent}{name:<{width}}  {value}" for name, value in rows]
