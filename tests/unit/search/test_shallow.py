"""A query's tree made less deep matches the same."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigError
from domain.query.ast import And, Everything, Node, Not, Or, Words
from search.shallow import depth, shallow

LETTERS = ("a", "b", "c", "d", "e")
LEAVES = st.sampled_from([*(Words((letter,)) for letter in LETTERS), Everything(), Or(()), And(())])


def _wider(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    many = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.one_of(many.map(And), many.map(Or), inner.map(Not))


TREES = st.recursive(LEAVES, _wider, max_leaves=60)


def truth(node: Node, true: frozenset[str]) -> bool:
    match node:
        case And():
            return all(truth(one, true) for one in node.nodes)
        case Or():
            return any(truth(one, true) for one in node.nodes)
        case Not():
            return not truth(node.node, true)
        case Words():
            return node.tokens[0] in true
        case _:
            return True


WORLDS = [frozenset(some) for size in range(6) for some in itertools.combinations(LETTERS, size)]


@given(TREES)
def test_it_matches_the_same(tree: Node) -> None:
    made = shallow(tree, 25)
    assert [truth(made, world) for world in WORLDS] == [truth(tree, world) for world in WORLDS]


@pytest.mark.parametrize("levels", [10, 50, 100])
def test_a_long_chain_is_balanced(levels: int) -> None:
    tree: Node = Words(("a",))
    for level in range(levels):
        own = Words((LETTERS[level % 5],))
        tree = (And((own, Not(tree))), Or((own, tree)), And((own, tree)))[level % 3]
    made = shallow(tree, 25)
    assert depth(made) <= 25
    assert [truth(made, world) for world in WORLDS] == [truth(tree, world) for world in WORLDS]


def test_what_is_shallow_is_left_alone() -> None:
    tree = And((Words(("a",)), Not(Words(("b",)))))
    assert shallow(tree, 25) == tree


def test_a_tree_that_cannot_be_made_shallow_enough_is_a_problem_of_the_query() -> None:
    tree: Node = Words(("a",))
    for level in range(100):
        own = Words((f"w{level}",))
        tree = Or((own, tree)) if level % 2 else And((own, tree))
    with pytest.raises(ConfigError, match="nested"):
        shallow(tree, 4)
