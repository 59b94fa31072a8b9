"""Brand queries as rules of X's filtered stream: they let through at least what our matcher finds, which decides.

What X has no operator for is left out of a rule, which widens it, and told. Nothing is excluded by a rule either: X
looks for an excluded word in the post that is quoted too, and would keep back what we would find.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from domain.brand import Brand
from domain.query import parse
from domain.query.ast import And, Everything, Keyword, KeywordWildcard, Near, Node, Not, Or, Wildcard, Words
from ingest.x_operands import (
    ALL,
    NOTHING,
    Alternatives,
    Asked,
    Operand,
    Together,
    alternatives,
    keyword_operand,
    together,
    word_operand,
)

# What one app may have (pay per use), and how long a query of recent search may be.
MAX_RULES = 1_000
MAX_RULE_CHARS = 1_024
MAX_SEARCH_CHARS = 512
# A retweet is no post of its own. It costs as much as one.
_SUFFIX = " -is:retweet"
_FRAME_CHARS = len("()") + len(_SUFFIX)
# Rules of others at the same app are left alone.
TAG = "soundings "


@dataclass(frozen=True, slots=True)
class XRule:
    """One rule; its tag tells the brand, and changes with the value."""

    value: str
    tag: str


@dataclass(frozen=True, slots=True)
class XRules:
    """The rules of all brands, and the queries of recent search that ask for the same.

    `notes` tell what X cannot be asked for, a line each; `problems` why the rules cannot be used.
    """

    rules: tuple[XRule, ...]
    searches: tuple[str, ...]
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def compile_rules(brands: Sequence[Brand]) -> XRules:
    """Give the rules for brands, whose queries can be read."""
    rules: list[XRule] = []
    asked: list[Asked] = []
    notes: list[str] = []
    for brand in brands:
        compiler = _Compiler(brand.query)
        found = compiler.whole(parse(brand.query))
        if found is not NOTHING:
            rules += [_rule(brand, value) for value in split(found, MAX_RULE_CHARS - _FRAME_CHARS, compiler.notes)]
            asked.append(found)
        notes += [f"brand {brand.brand_id}: source x: {note}" for note in dict.fromkeys(compiler.notes)]
    problems = []
    if len(rules) > MAX_RULES:
        problems.append(
            f"source x: the brands need {len(rules):,} rules and X allows {MAX_RULES:,}: listen for fewer brands"
        )
    left_out: list[str] = []
    searches = split(alternatives(asked), MAX_SEARCH_CHARS - _FRAME_CHARS, left_out) if asked else []
    return XRules(tuple(rules[:MAX_RULES]), tuple(map(_framed, searches)), tuple(notes), tuple(problems))


def _framed(value: str) -> str:
    return f"({value}){_SUFFIX}"


def _rule(brand: Brand, value: str) -> XRule:
    value = _framed(value)
    # The tag is what rules are told apart by, so it changes whenever the value does.
    return XRule(value, f"{TAG}{brand.brand_id} {blake2b(value.encode(), digest_size=6).hexdigest()}")


@dataclass(slots=True)
class _Compiler:
    query: str
    notes: list[str] = field(default_factory=list)

    def whole(self, node: Node) -> Asked:
        """Give what to ask for a whole query. An alternative that X cannot be asked for is left out, and told."""
        found: list[Asked] = []
        for part in node.nodes if isinstance(node, Or) else (node,):
            asked = self.compile(part)
            if asked is ALL or asked.weak:
                self.notes.append(f"{self._shown(part)}: cannot be asked of X; posts found by it alone do not come")
            else:
                found.append(asked)
        asked = alternatives(found)
        if asked is NOTHING and not self.notes:
            self.notes.append("the query finds no post there")
        return asked

    def compile(self, node: Node) -> Asked:
        """Give what to ask X for so that everything comes that the node matches."""
        match node:
            case Words():
                return word_operand(node.tokens, self._written(node), self.notes)
            case Near():
                self.notes.append(f"{self._shown(node)}: asked for as words anywhere; how near they are is ours to see")
                return together([word_operand((token,), "", self.notes) for token in dict.fromkeys(node.tokens)])
            case Keyword():
                return keyword_operand(node.field, node.value, self.notes)
            case And():
                return together([self.compile(part) for part in node.nodes])
            case Or():
                return alternatives([self.compile(part) for part in node.nodes])
            case Not():
                return self._excluded(node)
            case Everything():
                return ALL
            case Wildcard() | KeywordWildcard():
                self.notes.append(f"{self._shown(node)}: X has no wildcards, so it is not asked for")
                return ALL
            case _:
                self.notes.append(f"{self._shown(node)}: X has no operator for it, so it is not asked for")
                return ALL

    def _excluded(self, node: Not) -> Asked:
        before = len(self.notes)
        found = self.compile(node.node)
        del self.notes[before:]
        inner = node.node
        if isinstance(inner, Keyword) and inner.field == "source":
            return NOTHING if found is ALL else ALL
        self.notes.append(f"{self._shown(node)}: is not excluded at X, which looks into quoted posts too; it is here")
        return ALL

    def _written(self, node: Words) -> str:
        """Give a word or phrase as it stands in the query, without what belongs to the language."""
        raw = self.query[node.place.start : node.place.end]
        raw = re.sub(r"^(?:text|tokens):", "", raw, flags=re.IGNORECASE)
        return re.sub(r"\\(.)", r"\1", raw).strip('"“”„ ')

    def _shown(self, node: Node) -> str:
        return f"`{' '.join(self.query[node.place.start : node.place.end].split())[:60]}`"


def split(asked: Asked, limit: int, notes: list[str]) -> list[str]:
    """Write it down in as few pieces of at most `limit` characters as come by filling one after the other.

    Together they ask for all of it, or for more: what fits in no piece is left out, and told.
    """
    text = asked.text()
    if _length(text) <= limit:
        return [text]
    if isinstance(asked, Alternatives):
        return _filled([piece for part in asked.parts for piece in _split_part(part, limit, notes)], limit)
    if isinstance(asked, Together):
        return _split_together(asked, limit, notes)
    assert isinstance(asked, Operand)
    cut = asked.cut(limit)
    notes.append(f"{asked.text()[:40]}…: is longer than X allows; its beginning is asked for")
    return [cut.text()]


def _split_part(part: Asked, limit: int, notes: list[str]) -> list[str]:
    """Split one alternative; several operands keep together between brackets."""
    if not isinstance(part, Together):
        return split(part, limit, notes)
    return [f"({piece})" for piece in split(part, limit - 2, notes)]


def _split_together(asked: Together, limit: int, notes: list[str]) -> list[str]:
    """Split alternatives among the parts; else leave the longest parts out."""
    longest = max(asked.parts, key=lambda part: _length(part.text()))
    others = together([part for part in asked.parts if part is not longest])
    room = limit - _length(others.text()) - len(" ()")
    # Below this, pieces would hold one operand each, and be many.
    if isinstance(longest, Alternatives) and room >= limit // 4:
        return [f"{others.text()} ({piece})" for piece in split(longest, room, notes)]
    if others.weak or others is ALL:
        return split(longest, limit, notes)
    notes.append(f"`{longest.text()[:40]}…`: the rule would be longer than X allows; it is not asked for")
    return split(others, limit, notes)


def _filled(pieces: Iterable[str], limit: int) -> list[str]:
    filled: list[str] = []
    for piece in pieces:
        joined = f"{filled[-1]} OR {piece}" if filled else piece
        if filled and _length(joined) <= limit:
            filled[-1] = joined
        else:
            filled.append(piece)
    return filled


def _length(text: str) -> int:
    """Count as X may: an emoji can be two."""
    return len(text.encode("utf-16-le")) // 2
