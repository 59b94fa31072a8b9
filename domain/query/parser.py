"""The parser: one query, one tree. Its own stack of open brackets, so that no nesting exhausts Python's."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from domain.fields import Field, find_field
from domain.query.ast import MAX_NEAR_SLOP, And, Everything, Leaf, Node, Not, Or, Place
from domain.query.leaves import (
    QueryWarning,
    Source,
    comparison_leaf,
    nearest_name,
    phrase_leaf,
    range_leaf,
    shown,
    value_leaf,
    word_leaf,
)
from domain.safe_text import code_point, control
from domain.text import emoticon_end

# A brand's query with a hundred alternatives fits. Percent-encoded it still is an address that servers take.
MAX_QUERY: Final = 4_000
# A level of brackets is up to three levels of the tree, and comparing or compiling a tree recurses.
MAX_DEPTH: Final = 50

_SPACE: Final = re.compile(r"\s*")
_RUN: Final = re.compile(r'(?:\\.|[^\s()"“”„\\])+', re.DOTALL)
_QUOTED: Final = {
    '"': re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL),
    **dict.fromkeys("“”„", re.compile(r'[“”„]((?:[^"“”\\]|\\.)*)["“”]', re.DOTALL)),
}
_SLOP: Final = re.compile(r"~([0-9]{1,6})(?![^\s()])", re.ASCII)
_FIELD: Final = re.compile(r"([A-Za-z_][A-Za-z0-9_.]*):")
_COMPARISON: Final = re.compile(r">=|<=|>|<")
_RANGE: Final = re.compile(
    r'[\[{]\s*(?P<low>"[^"]*"|[^\s\]}"]+)\s+TO\s+(?P<high>"[^"]*"|[^\s\]}"]+)\s*(?P<close>[\]}])'
)
_OPERATORS: Final = {"AND": "AND", "&&": "AND", "OR": "OR", "||": "OR", "NOT": "NOT"}
_PREFIXES: Final = "+-!"
_UNARY: Final = frozenset({"NOT", *_PREFIXES})
# What can follow `field:` and cannot follow a word.
_NO_TEXT: Final = '("“”„[{<>'
# Looking for the nearest name is slow, and nobody reads more.
MAX_WARNINGS: Final = 20
_OPERAND: Final = "a word, a phrase, a field or `(`"


@dataclass(slots=True)
class _Group:
    """What stands between two brackets, as far as it was read."""

    start: int
    target: Field | None
    alternatives: list[Node] = field(default_factory=list)
    together: list[Node] = field(default_factory=list)
    # The operator or prefix that still waits for its operand.
    waiting: tuple[int, str] | None = None
    negate: bool = False
    # A word in lower case that may have been meant as an operator.
    doubtful: tuple[int, str] | None = None

    def add(self, node: Node) -> None:
        if self.negate:
            start = self.waiting[0] if self.waiting else node.place.start
            node = node.node if isinstance(node, Not) else Not(node, Place(start, node.place.end))
        self.together.append(node)
        self.waiting, self.negate = None, False

    def node(self, end: int) -> Node:
        place = Place(self.start, end)
        both = _joined(And, self.together, place)
        return _joined(Or, [*self.alternatives, both], place) if self.alternatives else both


def _joined(kind: type[And] | type[Or], nodes: list[Node], place: Place) -> Node:
    """Join nodes, without a level of their own for a single one or for the same kind again."""
    if len(nodes) == 1:
        return nodes[0]
    flat: list[Node] = []
    for node in nodes:
        if isinstance(node, kind):
            flat.extend(node.nodes)
        else:
            flat.append(node)
    return kind(tuple(flat), place)


class _Parser:
    def __init__(self, query: str) -> None:
        self.query = query
        self.source = Source(query)
        self.at = 0
        self.groups = [_Group(0, None)]

    def read(self) -> Node:
        query, source = self.query, self.source
        if len(query) > MAX_QUERY:
            source.fail(MAX_QUERY, f"{len(query):,} characters", f"at most {MAX_QUERY:,}", "Split the query.")
        if hidden := control(query):
            source.fail(
                hidden.start(),
                f"the character {code_point(hidden[0])}, which cannot be seen",
                "characters that can be seen",
                "Delete it; it often comes along with text that is pasted.",
            )
        self._skip_space()
        if self.at == len(query):
            return Everything()
        while self.at < len(query):
            self._step()
            self._skip_space()
        group = self.groups[-1]
        if group.waiting:
            self._fail_waiting(len(query), "the end of the query")
        if len(self.groups) > 1:
            source.fail(
                len(query),
                "the end of the query",
                f"`)` for the `(` at position {group.start + 1}",
                "Close the bracket, or put it in quotes when it is part of an emoticon.",
            )
        return group.node(len(query))

    def _skip_space(self) -> None:
        found = _SPACE.match(self.query, self.at)
        self.at = found.end() if found else self.at

    def _step(self) -> None:
        query, at = self.query, self.at
        char = query[at]
        group = self.groups[-1]
        if group.target is None and self._emoticon():
            return
        if char == "(":
            self._open(group.target)
        elif char == ")":
            self._close()
        elif query.startswith(("&&", "||"), at):
            self._operator(query[at : at + 2])
        elif char in _PREFIXES and not self._is_negative_number(group.target):
            self._prefix(char)
        elif group.target is not None:
            self._value(group.target, at)
        elif char in _QUOTED:
            self._operand(self._phrase(at))
        else:
            self._run()

    def _emoticon(self) -> bool:
        """Read `:)` and its kin where one stands alone, so that its bracket is not taken for one of ours."""
        end = emoticon_end(self.query, self.at)
        if end < 0 or not (end == len(self.query) or self.query[end].isspace() or self.query[end] == ")"):
            return False
        place = Place(self.at, end)
        self.at = end
        self._operand(word_leaf(self.source, self.query[place.start : end], place))
        return True

    def _is_negative_number(self, target: Field | None) -> bool:
        return (
            target is not None
            and target.kind in ("integer", "number")
            and re.match(r"-[0-9.]", self.query[self.at : self.at + 2]) is not None
        )

    # Operators and brackets

    def _operator(self, written: str) -> None:
        group = self.groups[-1]
        meaning = _OPERATORS[written]
        at = self.at
        self.at += len(written)
        if meaning == "NOT":
            group.negate = not group.negate
            self._await_operand(at, written)
            return
        if group.waiting or not group.together:
            self._fail_waiting(at, shown(written))
        if meaning == "OR":
            group.alternatives.append(_joined(And, group.together, Place(group.together[0].place.start, at)))
            group.together = []
        group.waiting, group.doubtful = (at, written), None

    def _prefix(self, char: str) -> None:
        at, query = self.at, self.query
        if at + 1 == len(query) or query[at + 1].isspace() or query[at + 1] == ")":
            self.source.fail(
                at,
                f"`{char}` with nothing right after it",
                _OPERAND,
                "Remove it, or write it directly before a word; for a dash between words, put them in quotes.",
            )
        group = self.groups[-1]
        self.at += 1
        if char != "+":
            group.negate = not group.negate
        self._await_operand(at, char)

    def _await_operand(self, at: int, written: str) -> None:
        """Remember the first of several prefixes: the negation that they make begins there."""
        group = self.groups[-1]
        if group.waiting is None or group.waiting[1] not in _UNARY:
            group.waiting = (at, written)

    def _fail_waiting(self, at: int, found: str) -> None:
        group = self.groups[-1]
        after = f" after {shown(group.waiting[1])}" if group.waiting else ""
        hint = "" if group.waiting else 'To search for the word itself, write it in lower case in quotes: "and".'
        self.source.fail(at, found, f"{_OPERAND}{after}", hint)

    def _open(self, target: Field | None) -> None:
        if len(self.groups) > MAX_DEPTH:
            self.source.fail(
                self.at, f"more than {MAX_DEPTH} open brackets", f"at most {MAX_DEPTH}", "Remove needless brackets."
            )
        self.groups.append(_Group(self.at, target))
        self.at += 1

    def _close(self) -> None:
        at, group = self.at, self.groups[-1]
        if len(self.groups) == 1:
            self.source.fail(
                at, "`)` without its `(`", _OPERAND, "Remove it, or put an emoticon or a text with brackets in quotes."
            )
        if group.waiting or not group.together:
            self._fail_waiting(at, "`)`")
        self.at += 1
        self.groups.pop()
        self._operand(group.node(self.at))

    def _operand(self, node: Node, *, doubtful: str = "") -> None:
        group = self.groups[-1]
        explicit = group.waiting is not None
        if group.doubtful and not explicit:
            position, word = group.doubtful
            self.source.warn(
                position,
                f'`{word}` is searched as a word here; write {word.upper()} for the operator, or "{word}" if meant so',
            )
        can_be_operator = doubtful and not explicit and (bool(group.together) or doubtful == "not")
        group.doubtful = (node.place.start, doubtful) if can_be_operator else None
        group.add(node)

    # Operands

    def _run(self) -> None:
        at, query = self.at, self.query
        found = _RUN.match(query, at)
        if found is None:
            self.source.fail(at, "`\\` at the end", "a character after it", "Remove the backslash.")
        raw = found[0]
        if raw in _OPERATORS:
            self._operator(raw)
            return
        named = _FIELD.match(raw)
        if named and not raw.startswith("//", named.end()):
            target = find_field(named[1])
            if target is not None:
                self._field(target, at, at + named.end())
                return
            self._doubt_field(named[1], at, at + named.end())
        self.at = at + len(raw)
        leaf = word_leaf(self.source, raw, Place(at, self.at))
        self._operand(leaf, doubtful=raw.lower() if raw.lower() in ("and", "or", "not") else "")

    def _doubt_field(self, name: str, at: int, value_at: int) -> None:
        """Warn of `name:word` with a name that is no field; fail where the value cannot be text."""
        rest = self.query[value_at : value_at + 1]
        if not rest or rest.isspace() or rest == ")":
            return
        if len(self.source.warnings) >= MAX_WARNINGS and rest not in _NO_TEXT:
            return
        near = nearest_name(name)
        hint = f"Did you mean {near}?" if near else "To search for the text itself, put it in quotes."
        if rest in _NO_TEXT:
            self.source.fail(at, f"the unknown field `{name}`", "a field of the index", hint)
        self.source.warn(at, f"{shown(name)} is no field, so {shown(name + ':')} is searched as a word. {hint}")

    def _field(self, target: Field, at: int, value_at: int) -> None:
        query = self.query
        self.at = value_at
        following = query[value_at : value_at + 1]
        if not following or following.isspace() or following == ")":
            self.source.fail(
                value_at,
                shown(following) if following == ")" else "a space" if following else "the end of the query",
                f"a value right after `{query[at:value_at]}`",
                'Write it without a space, with a phrase in quotes; or put a text with a colon in quotes: "note: x".',
            )
        if target.kind != "text":
            self._value(target, at)
        elif following == "(":
            self._open(None)
        elif following in _QUOTED:
            self._operand(self._phrase(at))
        elif following in "[{" or _COMPARISON.match(query, value_at):
            self._fail_range(target)
        else:
            found = _RUN.match(query, value_at)
            if found is None:
                self.source.fail(value_at, "`\\` at the end", "a character after it", "Remove the backslash.")
            self.at = found.end()
            self._operand(word_leaf(self.source, found[0], Place(at, self.at)))

    def _fail_range(self, target: Field) -> None:
        self.source.fail(
            self.at,
            shown(self.query[self.at : self.at + 2].strip()),
            f"a value of `{target.name}`",
            "Ranges and comparisons work for number and date fields.",
        )

    def _value(self, target: Field, at: int) -> None:
        """Read what stands after `field:` of a field that is not text, or inside its brackets."""
        query, start = self.query, self.at
        char = query[start]
        if char == "(":
            self._open(target)
            return
        comparison = _COMPARISON.match(query, start)
        if (comparison or char in "[{") and target.kind in ("keyword", "boolean"):
            self._fail_range(target)
        if char in "[{":
            self._operand(self._range(target, at))
            return
        if comparison:
            self.at = comparison.end()
        value_at = self.at
        raw, quoted = self._raw_value(target)
        place = Place(at, self.at)
        if comparison:
            self._operand(comparison_leaf(self.source, target, comparison[0], raw, value_at, place))
        else:
            # Inside `field:( … )` only: `field:AND` asks for the value AND.
            if at == start and not quoted and raw in _OPERATORS:
                self.at = value_at
                self._operator(raw)
                return
            self._operand(value_leaf(self.source, target, raw, place, quoted=quoted))

    def _raw_value(self, target: Field) -> tuple[str, bool]:
        query, at = self.query, self.at
        if at < len(query) and query[at] in _QUOTED:
            inner, self.at = self._quoted(at)
            return inner, True
        found = _RUN.match(query, at)
        if found is None:
            self.source.fail(
                at,
                shown(query[at]) if at < len(query) else "the end of the query",
                f"a value of `{target.name}`",
            )
        self.at = found.end()
        return found[0], False

    def _range(self, target: Field, at: int) -> Leaf:
        query, start = self.query, self.at
        found = _RANGE.match(query, start)
        if found is None:
            self.source.fail(
                start,
                shown(query[start : start + 40]),
                f"`{query[at:start]}[low TO high]`",
                "TO is in capitals; `*` leaves a side open; [ ] include the bounds and { } leave them out.",
            )
        self.at = found.end()
        low, high = (
            (found[name].strip('"'), found.start(name) + found[name].startswith('"')) for name in ("low", "high")
        )
        include = (query[start] == "[", found["close"] == "]")
        return range_leaf(self.source, target, low, high, include, Place(at, self.at))

    def _quoted(self, at: int) -> tuple[str, int]:
        found = _QUOTED[self.query[at]].match(self.query, at)
        if found is None:
            self.source.fail(
                len(self.query),
                "the end of the query",
                f"a closing quote for the one at position {at + 1}",
                'Close the phrase; a quote inside it is written \\".',
            )
        return found[1], found.end()

    def _phrase(self, at: int) -> Leaf:
        inner, self.at = self._quoted(self.at)
        slop = None
        if self.query.startswith("~", self.at):
            found = _SLOP.match(self.query, self.at)
            if found is None:
                rest = self.query[self.at + 1 :].split(maxsplit=1)
                self.source.fail(
                    self.at + 1,
                    shown(rest[0]) if rest else "the end",
                    f"a whole number from 0 to {MAX_NEAR_SLOP} after `~`",
                    'Proximity is written "two words"~3.',
                )
            slop, self.at = int(found[1]), found.end()
        elif self.query.startswith("^", self.at):
            self.source.fail(self.at, "`^`", "a space", "Weights such as ^2 are not supported; leave it out.")
        return phrase_leaf(self.source, inner, Place(at, self.at), slop)


def read(query: str) -> tuple[Node, tuple[QueryWarning, ...]]:
    """Give the tree of a query and what its reading alone makes doubtful (see `domain.query.lint`)."""
    parser = _Parser(query)
    return parser.read(), tuple(parser.source.warnings)


def parse(query: str) -> Node:
    """Give the tree of a query; `Everything()` for a blank one. Linear in its length.

    Precedence, tightest first: NOT ! - +, then AND && and juxtaposition, then OR ||.

    Raises:
        QueryError: the query cannot be read; says where, what was found and what was expected.
    """
    return read(query)[0]
