"""The linter: what a query may say and probably does not mean."""

from __future__ import annotations

from domain.fields import find_field
from domain.query.ast import And, Everything, Keyword, Node, Not, Or
from domain.query.leaves import QueryWarning
from domain.query.parser import read
from domain.safe_text import code_point, unseen


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
    warnings += _never(node)
    if hidden := unseen(query):
        # Some scripts part words by it, so it is read; in others it came along with what was pasted.
        message = f"the character {code_point(hidden[0])} cannot be seen and parts words; delete it if it is not meant"
        warnings.append(QueryWarning(hidden.start(), message))
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


def _never(node: Node) -> list[QueryWarning]:
    """Warn of different values asked at once of a field that has only one."""
    match node:
        case And():
            asked: dict[str, Keyword] = {}
            warnings = [warning for part in node.nodes for warning in _never(part)]
            for part in node.nodes:
                if isinstance(part, Keyword) and not _is_multiple(part.field):
                    first = asked.setdefault(part.field, part)
                    if first.value != part.value:
                        message = (
                            f"`{part.field}` has one value, so it cannot be {first.value} and {part.value}; write OR"
                        )
                        warnings.append(QueryWarning(part.place.start, message))
            return warnings
        case Or():
            return [warning for part in node.nodes for warning in _never(part)]
        case _:
            return []


def _is_multiple(name: str) -> bool:
    found = find_field(name)
    return found is not None and found.multiple
