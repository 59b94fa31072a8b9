"""A query's tree made less deep without changing what it matches, for a server that limits depth."""

from __future__ import annotations

from typing import Final

from domain.errors import ConfigError
from domain.query.ast import And, Everything, Node, Not, Or

_NOTHING: Final = Or(())
_ALL: Final = Everything()


def shallow(node: Node, most: int) -> Node:
    """Give a tree of at most `most` levels that matches the same.

    A tree that is too deep is cut at a part G that holds about half of it: F is F with G true where G matches, and F
    with G false elsewhere. Both are smaller, and so in turn (Spira's way to balance a formula).

    Raises:
        ConfigError: the query is too large for that.
    """
    node = _simplified(node)
    if depth(node) <= most:
        return node
    if most < 4:
        raise ConfigError("the query is nested too deeply for the index: use fewer parentheses")
    cut = _middle(node)
    inside = shallow(cut, most - 2)
    with_it = shallow(_replaced(node, cut, _ALL), most - 2)
    without = shallow(_replaced(node, cut, _NOTHING), most - 2)
    return _simplified(Or((And((inside, with_it)), And((Not(inside), without)))))


def depth(node: Node) -> int:
    """Give how many levels of clauses a tree becomes; a `Not` inside an `And` is a clause of that."""
    match node:
        case And() | Or():
            inner = [one.node if isinstance(one, Not) and isinstance(node, And) else one for one in node.nodes]
            return 1 + max(map(depth, inner), default=0)
        case Not():
            return 1 + depth(node.node)
        case _:
            return 1


def _size(node: Node) -> int:
    match node:
        case And() | Or():
            return 1 + sum(map(_size, node.nodes))
        case Not():
            return 1 + _size(node.node)
        case _:
            return 1


def _middle(node: Node) -> Node:
    """Give a part that holds at most two thirds of the tree, and otherwise as much as possible."""
    whole = _size(node)
    part = node
    while 3 * _size(part) > 2 * whole:
        parts = (part.node,) if isinstance(part, Not) else part.nodes if isinstance(part, And | Or) else ()
        if not parts:
            break
        part = max(parts, key=_size)
    return part


def _replaced(node: Node, part: Node, by: Node) -> Node:
    """Put `by` in the place of every occurrence of a part."""
    if node == part:
        return by
    match node:
        case And():
            return And(tuple(_replaced(one, part, by) for one in node.nodes))
        case Or():
            return Or(tuple(_replaced(one, part, by) for one in node.nodes))
        case Not():
            return Not(_replaced(node.node, part, by))
        case _:
            return node


def _simplified(node: Node) -> Node:
    """Merge what is nested without need, and drop what decides nothing."""
    match node:
        case Not():
            inner = _simplified(node.node)
            if isinstance(inner, Not):
                return inner.node
            if inner in (_ALL, _NOTHING):
                return _NOTHING if inner == _ALL else _ALL
            return Not(inner)
        case And():
            return _joined(And, [_simplified(one) for one in node.nodes], neutral=_ALL, decisive=_NOTHING)
        case Or():
            return _joined(Or, [_simplified(one) for one in node.nodes], neutral=_NOTHING, decisive=_ALL)
        case _:
            return node


def _joined(kind: type[And] | type[Or], nodes: list[Node], *, neutral: Node, decisive: Node) -> Node:
    parts: list[Node] = []
    for node in nodes:
        parts += node.nodes if isinstance(node, kind) else (node,)
    if decisive in parts:
        return decisive
    parts = [one for one in dict.fromkeys(parts) if one != neutral]
    if not parts:
        return neutral
    return parts[0] if len(parts) == 1 else kind(tuple(parts))
