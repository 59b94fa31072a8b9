"""The part of Kibana's query language that our objects and docs/kibana.md use, as Query DSL.

Written after what Kibana sends; its own parser cannot be fetched, so that it agrees with ours is not proven here.
"""

from __future__ import annotations

import re
from typing import Any

Query = dict[str, Any]

_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([()])|(>=|<=|>|<|:)|([^\s():<>="]+))')
_RANGES = {">=": "gte", ">": "gt", "<=": "lte", "<": "lt"}


def kql(text: str) -> Query:
    """Give the query of an expression; all documents for an empty one.

    Raises:
        ValueError: it uses more than this part of the language.
    """
    tokens = _tokens(text)
    if not tokens:
        return {"match_all": {}}
    query, rest = _or(tokens)
    if rest:
        raise ValueError(f"{text!r}: cannot read from {rest[0]!r} on")
    return query


def _tokens(text: str) -> list[str]:
    found, place = [], 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None:
            raise ValueError(f"{text!r}: cannot read from {text[place:]!r} on")
        found.append(match[0].strip())
        place = match.end()
    return found


def _or(tokens: list[str]) -> tuple[Query, list[str]]:
    first, rest = _and(tokens)
    parts = [first]
    while rest and rest[0].lower() == "or":
        part, rest = _and(rest[1:])
        parts.append(part)
    return (first if len(parts) == 1 else {"bool": {"should": parts, "minimum_should_match": 1}}), rest


def _and(tokens: list[str]) -> tuple[Query, list[str]]:
    first, rest = _not(tokens)
    parts = [first]
    while rest and rest[0].lower() == "and":
        part, rest = _not(rest[1:])
        parts.append(part)
    return (first if len(parts) == 1 else {"bool": {"filter": parts}}), rest


def _not(tokens: list[str]) -> tuple[Query, list[str]]:
    if tokens[0].lower() == "not":
        part, rest = _not(tokens[1:])
        return {"bool": {"must_not": [part]}}, rest
    if tokens[0] == "(":
        part, rest = _or(tokens[1:])
        if rest[:1] != [")"]:
            raise ValueError("a parenthesis is not closed")
        return part, rest[1:]
    return _leaf(tokens)


def _leaf(tokens: list[str]) -> tuple[Query, list[str]]:
    name, sign = tokens[0], tokens[1] if len(tokens) > 1 else ""
    if sign in _RANGES:
        return {"range": {name: {_RANGES[sign]: _bare(tokens[2])}}}, tokens[3:]
    if sign == ":":
        return _field(name, tokens[2:])
    # Words beside each other are one value: any of them matches.
    words = [name]
    while not name.startswith('"') and len(tokens) > len(words) and _is_word(tokens[len(words)]):
        words.append(tokens[len(words)])
    kind = "phrase" if name.startswith('"') else "best_fields"
    query = {"multi_match": {"type": kind, "query": " ".join(map(_bare, words)), "lenient": True}}
    return query, tokens[len(words) :]


def _field(name: str, tokens: list[str]) -> tuple[Query, list[str]]:
    if tokens[0] == "(":
        return _values(name, tokens[1:])
    value, rest = tokens[0], tokens[1:]
    if value == "*":
        return {"exists": {"field": name}}, rest
    if value.startswith('"'):
        return {"match_phrase": {name: _bare(value)}}, rest
    if "*" in value:
        return {"query_string": {"fields": [name], "query": value}}, rest
    return {"match": {name: value}}, rest


def _values(name: str, tokens: list[str]) -> tuple[Query, list[str]]:
    """Read `a or b)` or `a and b)` after `name : (`."""
    parts, words = [], set()
    while True:
        part, tokens = _field(name, tokens)
        parts.append(part)
        if tokens[0] == ")":
            break
        words.add(tokens[0].lower())
        tokens = tokens[1:]
    if words - {"and"} and words - {"or"}:
        raise ValueError(f"mixed words in the values of {name}: {sorted(words)}")
    if words == {"and"}:
        return {"bool": {"filter": parts}}, tokens[1:]
    return {"bool": {"should": parts, "minimum_should_match": 1}}, tokens[1:]


def _is_word(token: str) -> bool:
    return token[0] not in '"():<>=' and token.lower() not in ("and", "or", "not")


def _bare(token: str) -> str:
    return re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token
