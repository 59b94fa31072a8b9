"""Queries for Elasticsearch: a tree compiled to Query DSL, matching exactly what the matcher matches.

Only term-level clauses, phrases and intervals over our own tokens: what a user typed is never parsed there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, assert_never

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
from search.elastic_document import MICROS_OF
from search.shallow import shallow

Clause: TypeAlias = dict[str, Any]

# Elasticsearch refuses more than 30 levels (`indices.query.bool.max_nested_depth`); a range of microseconds takes two
# beyond its own, the search that holds the query one.
_MOST_LEVELS: Final = 25
_TEXT: Final = "tokens"
_ANALYZER: Final = "whitespace"
_ALL: Final[Clause] = {"match_all": {}}
_NOTHING: Final[Clause] = {"match_none": {}}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def compile(node: Node) -> Clause:
    """Compile a tree for the fields of `search/mapping/mentions.json`. To be used as a filter: it gives no scores.

    Raises:
        ConfigError: the tree is too deep and too large for Elasticsearch.
    """
    return _clause(shallow(node, _MOST_LEVELS))


def _clause(node: Node) -> Clause:
    match node:
        case Words():
            return _words(node.tokens)
        case Near():
            return _near(node)
        case Wildcard():
            return _pattern(_TEXT, node.pattern)
        case Keyword():
            return {"term": {node.field: {"value": node.value}}}
        case KeywordWildcard():
            return _pattern(node.field, node.pattern)
        case Range():
            return _range(node)
        case Flag():
            return {"term": {node.field: {"value": node.value}}}
        case Everything():
            return _ALL
        case Not():
            return {"bool": {"must_not": [_clause(node.node)]}}
        case And():
            return _all(node)
        case Or():
            return _any([_clause(part) for part in node.nodes])
        case _:
            assert_never(node)


def _any(clauses: Sequence[Clause]) -> Clause:
    if not clauses:
        return _NOTHING
    return clauses[0] if len(clauses) == 1 else {"bool": {"should": list(clauses), "minimum_should_match": 1}}


def _all(node: And) -> Clause:
    if not node.nodes:
        return _ALL
    return {
        "bool": {
            "filter": [_clause(part) for part in node.nodes if not isinstance(part, Not)],
            "must_not": [_clause(part.node) for part in node.nodes if isinstance(part, Not)],
        }
    }


def _words(tokens: Sequence[str]) -> Clause:
    if not tokens:
        return _ALL
    if len(tokens) == 1:
        return {"term": {_TEXT: {"value": tokens[0]}}}
    return {"match_phrase": {_TEXT: {"query": " ".join(tokens), "analyzer": _ANALYZER}}}


def _near(node: Near) -> Clause:
    """Give intervals: with repeated words each order for itself, for out of order they may overlap."""
    if len(set(node.tokens)) == len(node.tokens):
        rule = _intervals(node.tokens, node.slop, ordered=False)
    else:
        orders = sorted(set(itertools.permutations(node.tokens)))
        rule = {"any_of": {"intervals": [_intervals(order, node.slop, ordered=True) for order in orders]}}
    return {"intervals": {_TEXT: rule}}


def _intervals(tokens: Sequence[str], gaps: int, *, ordered: bool) -> Clause:
    query = " ".join(tokens)
    return {"match": {"query": query, "analyzer": _ANALYZER, "max_gaps": gaps, "ordered": ordered}}


def _pattern(field: str, pattern: str) -> Clause:
    # Of a pattern only `*` and `?` mean something in both languages.
    return {"wildcard": {field: {"value": pattern.replace("\\", "\\\\")}}}


def _range(node: Range) -> Clause:
    if node.low is None and node.high is None:
        return {"exists": {"field": node.field}}
    if isinstance(node.low, datetime) or isinstance(node.high, datetime):
        return _moments(node)
    limits: dict[str, Any] = {}
    if node.low is not None:
        limits["gte" if node.include_low else "gt"] = node.low
    if node.high is not None:
        limits["lte" if node.include_high else "lt"] = node.high
    return {"range": {node.field: limits}}


def _moments(node: Range) -> Clause:
    """Give a range of a date, exact to the microsecond.

    What shares its millisecond with a bound is told apart by the microseconds beyond it, absent where there are none.
    """
    limits: dict[str, Any] = {"format": "epoch_millis"}
    outside: list[Clause] = []
    if node.low is not None:
        ms, beyond = divmod(_micros(node.low) + (not node.include_low), 1_000)
        limits["gte"] = ms
        if beyond:
            outside.append(_in_millisecond(node.field, ms, [], [_from(node.field, beyond)]))
    if node.high is not None:
        ms, beyond = divmod(_micros(node.high) + node.include_high, 1_000)
        limits["lte" if beyond else "lt"] = ms
        if beyond:
            outside.append(_in_millisecond(node.field, ms, [_from(node.field, beyond)], []))
    inside = {"range": {node.field: limits}}
    return {"bool": {"filter": [inside], "must_not": outside}} if outside else inside


def _in_millisecond(field: str, ms: int, wanted: list[Clause], unwanted: list[Clause]) -> Clause:
    same = {"range": {field: {"gte": ms, "lte": ms, "format": "epoch_millis"}}}
    return {"bool": {"filter": [same, *wanted], "must_not": unwanted}}


def _from(field: str, beyond: int) -> Clause:
    return {"range": {MICROS_OF[field]: {"gte": beyond}}}


def _micros(moment: object) -> int:
    if not isinstance(moment, datetime):
        raise TypeError(f"found {type(moment).__name__} as a bound of a date, expected a datetime")
    return (moment - _EPOCH) // _MICROSECOND
