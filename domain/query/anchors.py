"""Anchors: what a post must hold at least one of before a query can match, and which fields a brand may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from domain.errors import ConfigError
from domain.fields import FIELDS, find_field
from domain.query.ast import And, Flag, Keyword, KeywordWildcard, Near, Node, Not, Or, Range, Wildcard, Words

MIN_ANCHOR: Final = 2

# Words in every third text: a bad choice where a query offers another.
_COMMON: Final = frozenset(
    (
        *("a", "about", "all", "and", "are", "as", "at", "be", "but", "by", "can", "co", "com", "do", "for", "from"),
        *("get", "go", "has", "have", "he", "her", "his", "how", "i", "if", "in", "is", "it", "its", "just", "me"),
        *("my", "new", "no", "not", "now", "of", "on", "one", "or", "our", "out", "rt", "s", "she", "so", "t", "that"),
        *("the", "their", "they", "this", "to", "up", "us", "was", "we", "what", "when", "who", "will", "with", "you"),
        *("your", "das", "der", "die", "el", "en", "et", "la", "le", "les", "los", "que", "un", "una", "und"),
    )
)
# How selective a value of a field is, on the scale of a token's length. A language alone is no anchor.
_FIELD_WORTH: Final = {"author_handle": 12.0, "domains": 12.0, "hashtags": 12.0, "source": 1.0}


@dataclass(frozen=True, slots=True)
class Anchors:
    """Alternatives of which every match holds at least one.

    `tokens`: a token of title or text; `prefixes`: the beginning of one; `keywords`: (field, folded value) of a field
    known before enrichment.
    """

    tokens: frozenset[str] = frozenset()
    prefixes: frozenset[str] = frozenset()
    keywords: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class _Choice:
    """Anchors of a part of a query, with the worth of the least selective one."""

    anchors: Anchors
    worth: float

    @property
    def rank(self) -> tuple[float, int]:
        """The better of two choices ranks higher: more selective, then fewer alternatives."""
        chosen = self.anchors
        return self.worth, -(len(chosen.tokens) + len(chosen.prefixes) + len(chosen.keywords))


def anchors(node: Node) -> Anchors:
    """Give the most selective anchors of a query.

    Raises:
        ConfigError: some match would need no word, handle, hashtag or domain of two or more characters.
    """
    choice = _choose(node)
    if choice is None:
        raise ConfigError(
            "the query needs a positive anchor of two or more characters in each of its alternatives: "
            "a word, phrase or prefix, or a value of source, author, hashtag or domain. "
            "A word after NOT, a language or a single character is none; add a word that must be there"
        )
    return choice.anchors


def _choose(node: Node) -> _Choice | None:
    match node:
        case Words() | Near():
            return _of_tokens(node.tokens)
        case Wildcard():
            cut = min(at for at in (node.pattern.find("*"), node.pattern.find("?"), len(node.pattern)) if at >= 0)
            prefix = node.pattern[:cut]
            worth = len(prefix) - 1.5
            return _Choice(Anchors(prefixes=frozenset({prefix})), worth) if cut >= MIN_ANCHOR else None
        case Keyword():
            if node.field not in _FIELD_WORTH or len(node.value) < MIN_ANCHOR:
                return None
            return _Choice(Anchors(keywords=frozenset({(node.field, node.value)})), _FIELD_WORTH[node.field])
        case And():
            choices = [choice for part in node.nodes if (choice := _choose(part))]
            return max(choices, key=lambda choice: choice.rank, default=None)
        case Or():
            return _any_of(node.nodes)
        case _:
            return None


def _worth(token: str) -> float:
    return 0.5 if token in _COMMON else float(len(token))


def _of_tokens(tokens: tuple[str, ...]) -> _Choice | None:
    """Choose the most selective token of a phrase; a phrase of single characters is an anchor by its length."""
    if sum(map(len, tokens)) < MIN_ANCHOR:
        return None
    best = max(tokens, key=_worth)
    return _Choice(Anchors(tokens=frozenset({best})), _worth(best))


def _any_of(nodes: tuple[Node, ...]) -> _Choice | None:
    choices = [_choose(part) for part in nodes]
    known = [choice for choice in choices if choice]
    if not known or len(known) < len(choices):
        return None
    return _Choice(
        Anchors(
            tokens=frozenset().union(*(choice.anchors.tokens for choice in known)),
            prefixes=frozenset().union(*(choice.anchors.prefixes for choice in known)),
            keywords=frozenset().union(*(choice.anchors.keywords for choice in known)),
        ),
        min(choice.worth for choice in known),
    )


def check_live(node: Node) -> None:
    """Hold a brand's query to the fields that are known before enrichment.

    Raises:
        ConfigError: it uses others; one problem a field.
    """
    used = sorted({name for name in _fields(node) if not _is_live(name)})
    if used:
        live = ", ".join(field.aliases[0] if field.aliases else field.name for field in FIELDS if field.live)
        raise ConfigError(
            [f"a brand's query cannot use the field `{name}`: it is not known while posts come in; use {live}"
             for name in used]
        )  # fmt: skip


def _is_live(name: str) -> bool:
    found = find_field(name)
    return found is not None and found.live


def _fields(node: Node) -> list[str]:
    match node:
        case Keyword() | KeywordWildcard() | Range() | Flag():
            return [node.field]
        case Not():
            return _fields(node.node)
        case And() | Or():
            return [name for part in node.nodes for name in _fields(part)]
        case _:
            return []
