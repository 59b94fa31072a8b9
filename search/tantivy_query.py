"""Queries for the embedded index: a tree compiled to tantivy's own, matching exactly what the matcher matches."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import assert_never

import tantivy
from tantivy import FieldType, Occur, Query

from domain.errors import ConfigError
from domain.fields import find_field
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
from search.tantivy_schema import date_value

_TEXT = "tokens"


def compile(node: Node, schema: tantivy.Schema) -> Query:
    """Compile a tree for an index with the schema of `search.tantivy_schema`.

    Raises:
        ConfigError: tantivy refuses a pattern as too large; the parser's limits keep below that.
    """
    match node:
        case Words():
            return _phrase(schema, list(enumerate(node.tokens)))
        case Near():
            return _near(schema, node)
        case Wildcard():
            return _pattern(schema, _TEXT, node.pattern)
        case Keyword():
            return Query.term_query(schema, node.field, node.value, "basic")
        case KeywordWildcard():
            return _pattern(schema, node.field, node.pattern)
        case Range():
            return _range(schema, node)
        case Flag():
            return Query.term_query(schema, node.field, node.value, "basic")
        case Everything():
            return Query.all_query()
        case Not():
            # A tantivy clause that only forbids matches nothing.
            return Query.boolean_query([(Occur.Must, Query.all_query()), (Occur.MustNot, compile(node.node, schema))])
        case And():
            return _all(schema, node)
        case Or():
            return _any([compile(part, schema) for part in node.nodes])
        case _:
            assert_never(node)


def _any(queries: list[Query]) -> Query:
    if not queries:
        return Query.empty_query()
    return queries[0] if len(queries) == 1 else Query.boolean_query([(Occur.Should, query) for query in queries])


def _all(schema: tantivy.Schema, node: And) -> Query:
    clauses: list[tuple[Occur, Query]] = [
        (Occur.MustNot, compile(part.node, schema)) if isinstance(part, Not) else (Occur.Must, compile(part, schema))
        for part in node.nodes
    ]
    if all(isinstance(part, Not) for part in node.nodes):
        clauses.append((Occur.Must, Query.all_query()))
    return Query.boolean_query(clauses)


def _phrase(schema: tantivy.Schema, words: list[tuple[int, str]]) -> Query:
    """Give a query for words at fixed distances; tantivy panics at a phrase of one word."""
    if not words:
        return Query.all_query()
    if len(words) == 1:
        return Query.term_query(schema, _TEXT, words[0][1], "basic")
    return Query.phrase_query(schema, _TEXT, list(words))


def _near(schema: tantivy.Schema, node: Near) -> Query:
    """Give a query for each arrangement of the words: orders times distances, 396 at the most.

    Tantivy's own slop counts moves, so for three words or repeats it finds other texts than the window does.
    """
    width = len(node.tokens) + node.slop
    orders = sorted(set(itertools.permutations(node.tokens)))
    # The first word stands at 0, the others anywhere behind it inside the window.
    distances = list(itertools.combinations(range(1, width), len(node.tokens) - 1))
    return _any([_phrase(schema, list(zip((0, *rest), order, strict=True))) for order in orders for rest in distances])


def _pattern(schema: tantivy.Schema, field: str, pattern: str) -> Query:
    escaped = "".join(
        ".*" if char == "*" else "." if char == "?" else char if char.isalnum() else f"\\x{{{ord(char):x}}}"
        for char in pattern
    )
    try:
        return Query.regex_query(schema, field, escaped)
    except ValueError as error:
        raise ConfigError(f"the pattern `{pattern}` is too large for the index; use fewer `*` and `?`") from error


def _range(schema: tantivy.Schema, node: Range) -> Query:
    if node.low is None and node.high is None:
        return Query.exists_query(node.field)
    found = find_field(node.field)
    kind = FieldType.Float if found is not None and found.kind == "number" else FieldType.Integer
    return Query.range_query(
        schema,
        node.field,
        kind,
        lower_bound=_bound(node.low, kind),
        upper_bound=_bound(node.high, kind),
        # tantivy refuses to leave out a bound that is not there.
        include_lower=node.include_low or node.low is None,
        include_upper=node.include_high or node.high is None,
    )


def _bound(value: int | float | datetime | None, kind: FieldType) -> int | float | None:
    if isinstance(value, datetime):
        return date_value(value)
    return float(value) if kind == FieldType.Float and value is not None else value
