"""The tree of a query. One parse gives one tree; the matcher and both stores are compiled from it.

Leaves on text hold folded tokens (`domain.text`); leaves on keyword fields hold folded values. A tree holds
field names of `domain.fields`, never aliases.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime

# Proximity is limited to what both stores can answer exactly (decision: tokens and proximity).
MAX_NEAR_WORDS = 3
MAX_NEAR_SLOP = 10


@dataclass(frozen=True, slots=True)
class Place:
    """Code points `[start, end)` of the query from which a node was read; (0, 0) for a node made by code."""

    start: int = 0
    end: int = 0


_NOWHERE = Place()


@dataclass(frozen=True, slots=True)
class Words:
    """These tokens, one after the other: one token is a term, several are a phrase."""

    tokens: tuple[str, ...]
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Near:
    """All tokens in any order within `len(tokens) + slop` neighbouring tokens, each occurrence used once.

    2 to `MAX_NEAR_WORDS` tokens (repeats allowed: `"very very"~2` needs two), `slop` in [0, MAX_NEAR_SLOP].
    """

    tokens: tuple[str, ...]
    slop: int
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """A token that fits: `*` stands for any characters, `?` for one; it starts with two literal characters."""

    pattern: str
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword field holds this folded value; a multiple field, among its values."""

    field: str
    value: str
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class KeywordWildcard:
    """A keyword field holds a value that fits the folded pattern (see `Wildcard`)."""

    field: str
    pattern: str
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Range:
    """A number or date field lies between bounds; None is open. Dates are aware and in UTC."""

    field: str
    low: int | float | datetime | None
    high: int | float | datetime | None
    include_low: bool = True
    include_high: bool = True
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean field has this value."""

    field: str
    value: bool
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Everything:
    """Matches all: the empty search, `*` alone."""

    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """What `node` does not match."""

    node: Node
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class And:
    """What all of `nodes` match (all, when there are none)."""

    nodes: tuple[Node, ...]
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


@dataclass(frozen=True, slots=True)
class Or:
    """What any of `nodes` matches (nothing, when there are none)."""

    nodes: tuple[Node, ...]
    place: Place = dataclasses.field(default=_NOWHERE, compare=False)


Leaf = Words | Near | Wildcard | Keyword | KeywordWildcard | Range | Flag | Everything
Node = Leaf | Not | And | Or
