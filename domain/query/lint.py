"""The linter: what a query may say and probably does not mean."""

from __future__ import annotations

from domain.query.ast import And, Everything, Node, Not, Or
from domain.query.leaves import QueryWarning
from domain.query.parser import read


def lint(query: str) -> tuple[QueryWarning, ...]:
    """Give warnings about a query, by position; none for a blank one, which asks for everything.

    Raises:
        QueryError: the query cannot be read.
    """
    node, found = read(query)
    warnings = list(found)
    if query.strip():
        warnings += [
            QueryWarning(
                broad.place.start,
                "this can match almost everything; add a word that must be there"
                if isinstance(broad, Everything)
                else "this only says what must not be there, so it can match almost everything; add a word that must",
            )
            for broad in _broad(node)
        ]
    return tuple(sorted(warnings, key=lambda warning: (warning.position, warning.message)))


def _broad(node: Node) -> list[Node]:
    """Give the parts by which a node can match almost everything; none when it cannot."""
    match node:
        case Everything():
            return [node]
        case Not():
            return [] if _broad(node.node) else [node]
        case And():
            parts = [_broad(part) for part in node.nodes]
            return [broad for part in parts for broad in part] if all(parts) else []
        case Or():
            return [broad for part in node.nodes for broad in _broad(part)]
        case _:
            return []
