"""The matcher: a tree compiled to a test of one post or mention, with the places of what matched."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, assert_never

from domain.query.ast import (
    And,
    Everything,
    Flag,
    Keyword,
    KeywordWildcard,
    Near,
    Node,
    Not,
    Or,
    Range,
    Wildcard,
    Words,
)
from domain.query.subject import Subject
from domain.records import Span

# Stretches `[first, last)` of the subject's tokens; empty where something else than text matched.
Hits = list[tuple[int, int]]
_NOWHERE: Final[Hits] = []


class _Check(Protocol):
    def test(self, subject: Subject) -> bool:
        """Tell whether it matches, as cheaply as possible."""

    def find(self, subject: Subject) -> Hits | None:
        """Give where it matches, or None when it does not."""


@dataclass(frozen=True, slots=True)
class Matcher:
    """A compiled query. Thread-safe; linear in the text."""

    _check: _Check

    def matches(self, subject: Subject) -> bool:
        """Tell whether the query matches."""
        return self._check.test(subject)

    def match(self, subject: Subject) -> tuple[Span, ...] | None:
        """Give the places of what matched, sorted and merged, or None when the query does not match.

        Empty when it matches by other fields than text, or only by what is absent.
        """
        if not self._check.test(subject):
            return None
        hits = self._check.find(subject)
        return subject.spans(hits) if hits else ()


def compile_matcher(node: Node) -> Matcher:
    """Compile a tree; fields that a subject does not have do not match it."""
    return Matcher(_compile(node))


@dataclass(frozen=True, slots=True)
class _Term:
    token: str

    def test(self, subject: Subject) -> bool:
        return self.token in subject.vocabulary

    def find(self, subject: Subject) -> Hits | None:
        return [(at, at + 1) for at in subject.positions(self.token)] or None


@dataclass(frozen=True, slots=True)
class _Phrase:
    tokens: tuple[str, ...]
    needle: str

    def test(self, subject: Subject) -> bool:
        return self.needle in subject.line

    def find(self, subject: Subject) -> Hits | None:
        size = len(self.tokens)
        return [(at, at + size) for at in subject.phrase_positions(self.tokens)] or None


@dataclass(frozen=True, slots=True)
class _Near:
    needed: dict[str, int]
    width: int

    def test(self, subject: Subject) -> bool:
        return self.needed.keys() <= subject.vocabulary and self.find(subject) is not None

    def find(self, subject: Subject) -> Hits | None:
        """Slide a window over the occurrences: it holds all when each token is there as often as needed."""
        places = sorted((at, token) for token in self.needed for at in subject.positions(token))
        inside: Counter[str] = Counter()
        missing = sum(self.needed.values())
        first, marked = 0, 0
        hits: Hits = []
        for last, (at, token) in enumerate(places):
            missing -= inside[token] < self.needed[token]
            inside[token] += 1
            while at - places[first][0] >= self.width:
                gone = places[first][1]
                inside[gone] -= 1
                missing += inside[gone] < self.needed[gone]
                first += 1
            if not missing:
                # Windows overlap: what an earlier one marked is not marked again.
                hits.extend((place, place + 1) for place, _ in places[max(first, marked) : last + 1])
                marked = last + 1
        return hits or None


@dataclass(frozen=True, slots=True)
class _Glob:
    prefix: str
    # None where the prefix alone decides.
    rest: re.Pattern[str] | None

    def fits(self, text: str) -> bool:
        if not text.startswith(self.prefix):
            return False
        return self.rest is None or self.rest.fullmatch(text, len(self.prefix)) is not None


@dataclass(frozen=True, slots=True)
class _TokenGlob:
    glob: _Glob

    def test(self, subject: Subject) -> bool:
        if f" {self.glob.prefix}" not in subject.line:
            return False
        return self.glob.rest is None or any(map(self.glob.fits, subject.vocabulary))

    def find(self, subject: Subject) -> Hits | None:
        fits = self.glob.fits
        return [(at, at + 1) for at, token in enumerate(subject.tokens) if fits(token)] or None


@dataclass(frozen=True, slots=True)
class _Value:
    field: str
    value: str

    def test(self, subject: Subject) -> bool:
        return self.value in subject.values(self.field)

    def find(self, subject: Subject) -> Hits | None:
        return _NOWHERE if self.test(subject) else None


@dataclass(frozen=True, slots=True)
class _ValueGlob:
    field: str
    glob: _Glob

    def test(self, subject: Subject) -> bool:
        return any(map(self.glob.fits, subject.values(self.field)))

    def find(self, subject: Subject) -> Hits | None:
        return _NOWHERE if self.test(subject) else None


@dataclass(frozen=True, slots=True)
class _Between:
    range: Range

    def test(self, subject: Subject) -> bool:
        value = subject.value(self.range.field)
        return isinstance(value, int | float | datetime) and _within(value, self.range)

    def find(self, subject: Subject) -> Hits | None:
        return _NOWHERE if self.test(subject) else None


def _within(value: int | float | datetime, limits: Range) -> bool:
    # The parser gives bounds of the field's own kind; a tree made by code that does not crashes loudly.
    low, high = limits.low, limits.high
    if low is not None and (value < low or (value == low and not limits.include_low)):  # type: ignore[operator]
        return False
    return high is None or value < high or (value == high and limits.include_high)  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class _Boolean:
    field: str
    value: bool

    def test(self, subject: Subject) -> bool:
        return subject.value(self.field) is self.value

    def find(self, subject: Subject) -> Hits | None:
        return _NOWHERE if self.test(subject) else None


@dataclass(frozen=True, slots=True)
class _Always:
    def test(self, subject: Subject) -> bool:
        return True

    def find(self, subject: Subject) -> Hits | None:
        return _NOWHERE


@dataclass(frozen=True, slots=True)
class _None:
    check: _Check

    def test(self, subject: Subject) -> bool:
        return not self.check.test(subject)

    def find(self, subject: Subject) -> Hits | None:
        return _NOWHERE if self.test(subject) else None


@dataclass(frozen=True, slots=True)
class _All:
    checks: tuple[_Check, ...]

    def test(self, subject: Subject) -> bool:
        return all(check.test(subject) for check in self.checks)

    def find(self, subject: Subject) -> Hits | None:
        hits: Hits = []
        for check in self.checks:
            found = check.find(subject)
            if found is None:
                return None
            hits += found
        return hits


@dataclass(frozen=True, slots=True)
class _Any:
    checks: tuple[_Check, ...]

    def test(self, subject: Subject) -> bool:
        return any(check.test(subject) for check in self.checks)

    def find(self, subject: Subject) -> Hits | None:
        # Every alternative that matches is marked, not only the first.
        found = [hits for check in self.checks if (hits := check.find(subject)) is not None]
        return [hit for hits in found for hit in hits] if found else None


def _glob(pattern: str) -> _Glob:
    """Compile `*` and `?`; atomic groups keep several stars linear: the first place that fits is never revised."""
    cut = min((at for at in (pattern.find("*"), pattern.find("?")) if at >= 0), default=len(pattern))
    prefix, rest = pattern[:cut], pattern[cut:]
    if rest == "*":
        return _Glob(prefix, None)
    first, *others = ["".join("." if char == "?" else re.escape(char) for char in part) for part in rest.split("*")]
    if not others:
        return _Glob(prefix, re.compile(first, re.DOTALL))
    middle = "".join(f"(?>.*?{part})" for part in others[:-1] if part)
    # The last part stands at the end; a look back has a fixed width, so one attempt decides.
    last = f".*(?<={others[-1]})" if others[-1] else ".*"
    return _Glob(prefix, re.compile(first + middle + last, re.DOTALL))


def _compile(node: Node) -> _Check:
    match node:
        case Words():
            if not node.tokens:
                return _Always()
            if len(node.tokens) == 1:
                return _Term(node.tokens[0])
            return _Phrase(node.tokens, f" {' '.join(node.tokens)} ")
        case Near():
            return _Near(dict(Counter(node.tokens)), len(node.tokens) + node.slop)
        case Wildcard():
            return _TokenGlob(_glob(node.pattern))
        case Keyword():
            return _Value(node.field, node.value)
        case KeywordWildcard():
            return _ValueGlob(node.field, _glob(node.pattern))
        case Range():
            return _Between(node)
        case Flag():
            return _Boolean(node.field, node.value)
        case Everything():
            return _Always()
        case Not():
            return _None(_compile(node.node))
        case And():
            return _All(tuple(map(_compile, node.nodes)))
        case Or():
            return _Any(tuple(map(_compile, node.nodes)))
        case _:
            assert_never(node)
