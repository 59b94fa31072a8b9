"""The parser beside luqum on what both read: fully bracketed queries mean the same for every text."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from luqum import tree
from luqum.parser import parser as luqum_parser

from domain.query import parse
from domain.query.ast import And, Everything, Keyword, Node, Not, Or, Words

WORDS = ("aa", "bb", "cc", "dd")
LEAVES = st.sampled_from([*WORDS, '"aa bb"', "brand:aa", "source:dd", "brand:(aa OR dd)", "(aa)"])


def _brackets(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    # Every operator in its own brackets: luqum binds juxtaposition looser than OR, which Lucene's users do not expect.
    return st.one_of(
        st.tuples(inner, st.sampled_from([" AND ", " OR "]), inner).map("({0[0]}{0[1]}{0[2]})".format),
        st.tuples(st.sampled_from(["NOT ", "-", "+"]), inner).map("({0[0]}{0[1]})".format),
        st.lists(inner, min_size=2, max_size=3).map(" AND ".join).map("({})".format),
        st.lists(inner, min_size=2, max_size=3).map(" OR ".join).map("({})".format),
    )


QUERIES = st.recursive(LEAVES, _brackets, max_leaves=8)
Facts = dict[str, bool]


def ours(node: Node, facts: Facts) -> bool:
    match node:
        case Words():
            return facts[" ".join(node.tokens)]
        case Keyword():
            return facts[f"{node.field}={node.value}"]
        case Not():
            return not ours(node.node, facts)
        case And():
            return all(ours(part, facts) for part in node.nodes)
        case Or():
            return any(ours(part, facts) for part in node.nodes)
        case Everything():
            return True
        case _:
            raise AssertionError(f"not generated here: {node}")


NAMES = {"brand": "brand_id", "source": "source"}


def theirs(node: tree.Item, facts: Facts, field: str = "") -> bool:
    match node:
        case tree.SearchField():
            return theirs(node.expr, facts, NAMES[node.name] + "=")
        case tree.Word():
            return facts[f"{field}{node.value}"]
        case tree.Phrase():
            return facts[node.value.strip('"')]
        case tree.Not() | tree.Prohibit():
            return not theirs(node.a, facts, field)
        case tree.Plus() | tree.Group() | tree.FieldGroup():
            return theirs(node.children[0], facts, field)
        case tree.AndOperation():
            return all(theirs(part, facts, field) for part in node.children)
        case tree.OrOperation():
            return any(theirs(part, facts, field) for part in node.children)
        case _:
            raise AssertionError(f"not generated here: {node!r}")


ATOMS = [*WORDS, "aa bb", "brand_id=aa", "brand_id=dd", "source=dd"]
TRUTHS = [dict(zip(ATOMS, values, strict=True)) for values in product((False, True), repeat=len(ATOMS))]


@settings(max_examples=150)
@given(QUERIES)
def test_a_bracketed_query_means_the_same_to_luqum(query: str) -> None:
    node, oracle = parse(query), luqum_parser.parse(query)
    for facts in TRUTHS:
        assert ours(node, facts) == theirs(oracle, facts)
