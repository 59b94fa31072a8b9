"""Choosing each brand's anchors among all brands: what many queries share is likely a common word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from domain.errors import ConfigError
from domain.query import Anchors, anchors
from domain.query.anchors import MIN_ANCHOR
from domain.query.ast import And, Near, Node, Not, Or, Words


def choose_anchors(nodes: Sequence[Node]) -> list[Anchors]:
    """Give one set of anchors for each query, such that few queries share each.

    An anchor costs a look at every query that hangs on it, each time it is said. A thousand queries of the form
    `name AND delivery` hang on their names rather than on the longer word. Between equals the choice is that of
    `domain.query.anchors`. The order of `nodes` does not matter.

    Raises:
        ConfigError: a query without anchors; check each with `domain.query.anchors` before.
    """
    shared = Counter(token for node in nodes for token in set(_positive_tokens(node)))
    return [_choose(node, shared) or anchors(node) for node in nodes]


def _positive_tokens(node: Node) -> Iterator[str]:
    match node:
        case And() | Or():
            for part in node.nodes:
                yield from _positive_tokens(part)
        case Words() | Near():
            yield from node.tokens
        case Not():
            return
        case _:
            found = _anchors(node)
            yield from (found.prefixes if found is not None else ())


def _choose(node: Node, shared: Counter[str]) -> Anchors | None:
    match node:
        case Or():
            parts = [_choose(part, shared) for part in node.nodes]
            known = [part for part in parts if part is not None]
            if not known or len(known) < len(parts):
                return None
            return Anchors(
                tokens=frozenset().union(*(part.tokens for part in known)),
                prefixes=frozenset().union(*(part.prefixes for part in known)),
                keywords=frozenset().union(*(part.keywords for part in known)),
            )
        case And():
            options = [option for part in node.nodes if (option := _choose(part, shared)) is not None]
        case Words() | Near() if len(node.tokens) > 1:
            options = [Anchors(tokens=frozenset({token})) for token in node.tokens if len(token) >= MIN_ANCHOR]
        case _:
            options = []
    preferred = _anchors(node)
    if preferred is not None:
        options.insert(0, preferred)
    # `min` takes the first of equals, the preferred one.
    return min(options, key=lambda option: _cost(option, shared), default=None)


def _cost(option: Anchors, shared: Counter[str]) -> int:
    # A value of a field costs one look-up whatever it is.
    return sum(shared[word] for word in (*option.tokens, *option.prefixes)) + len(option.keywords)


def _anchors(node: Node) -> Anchors | None:
    try:
        return anchors(node)
    except ConfigError:
        return None
