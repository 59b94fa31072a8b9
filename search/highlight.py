"""Where a search matched: the matcher's own spans, the same for both stores."""

from __future__ import annotations

from functools import lru_cache

from domain.query import compile_matcher, subject_of_mention
from domain.query.ast import Node
from domain.records import Mention, Span


def highlights(node: Node, mention: Mention) -> tuple[Span, ...]:
    """Give the places of a result that matched, sorted and merged; none where only other fields matched.

    A result that was edited a moment ago and no longer matches has none either.
    """
    return _matcher(node).match(subject_of_mention(mention)) or ()


# A page asks once per result for the same tree.
_matcher = lru_cache(maxsize=64)(compile_matcher)
