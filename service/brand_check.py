"""Whether the brands' queries can be used: read, known while posts come in, and anchored."""

from __future__ import annotations

from domain.brand import Brand
from domain.errors import ConfigError, QueryError
from domain.query.anchors import anchors, check_live
from domain.query.lint import lint
from domain.query.parser import parse
from service.terminal import caret


def query_problems(brand: Brand) -> list[str]:
    """Give everything that keeps a brand's query from being used, ready to show; lines may begin with spaces."""
    place = f"brand {brand.brand_id}: query"
    try:
        node = parse(brand.query)
    except QueryError as exc:
        message, query, mark = caret(exc)
        return [f"{place}: {message}", query, mark]
    problems: list[str] = []
    for check in (check_live, anchors):
        try:
            check(node)
        except ConfigError as exc:
            problems += [f"{place}: {problem}" for problem in exc.problems]
    return problems


def query_warnings(brand: Brand) -> list[str]:
    """Give what a brand's query may say and probably does not mean; nothing for one that cannot be read."""
    try:
        found = lint(brand.query)
    except QueryError:
        return []
    return [f"brand {brand.brand_id}: query: at position {one.position + 1}: {one.message}" for one in found]
