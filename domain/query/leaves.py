"""Leaves of a query: how one word, phrase or field value becomes a node, and what is wrong with it if it cannot."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Final, NoReturn

from domain.errors import QueryError
from domain.fields import Field, query_names
from domain.query.ast import (
    MAX_NEAR_SLOP,
    MAX_NEAR_WORDS,
    Everything,
    Flag,
    Keyword,
    KeywordWildcard,
    Leaf,
    Near,
    Place,
    Range,
    Wildcard,
    Words,
)
from domain.query.values import DATE_FORMS, read_integer, read_number, read_period
from domain.records import SENTIMENTS
from domain.text import MAX_TOKEN, fold_keyword, pattern_tokens, tokens

# A pasted paragraph is no phrase; each token of a phrase costs both stores work.
MAX_PHRASE_TOKENS: Final = 200
# Tantivy compiles a pattern to at most 1,000 states; every `?` after a `*` may double them.
MAX_WILDCARDS: Final = 5
MAX_QUESTION_MARKS_AFTER_STAR: Final = 2
MIN_LITERAL: Final = 2

_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_WILDCARDS: Final = re.compile(r"[*?]+")
_BOOST: Final = re.compile(r"\^[0-9]+(?:\.[0-9]+)?$")
_FUZZY: Final = re.compile(r"~[0-9]*(?:\.[0-9]+)?$")
_LINK_PATH: Final = re.compile(r"(?:https?://|www\.)[^/?#*]*[/?#].", re.IGNORECASE)
_TRUE: Final = frozenset({"true", "yes"})
_FALSE: Final = frozenset({"false", "no"})
_SENTIMENT_FIELDS: Final = frozenset({"sentiment", "post_sentiment"})
# Signs that people write before a value and the index does not keep.
_SIGNS: Final = {"author_handle": "@", "hashtags": "#"}


@dataclass(frozen=True, slots=True)
class QueryWarning:
    """Something that is allowed and probably not meant. `position`: code point offset in the query."""

    position: int
    message: str


@dataclass(slots=True)
class Source:
    """The query being read, with the warnings met so far."""

    query: str
    warnings: list[QueryWarning] = field(default_factory=list)

    def warn(self, position: int, message: str) -> None:
        """Note a warning."""
        self.warnings.append(QueryWarning(position, message))

    def fail(self, position: int, found: str, expected: str, hint: str = "") -> NoReturn:
        """Stop: the query cannot be read."""
        raise QueryError(self.query, position, found, expected, hint)


def shown(text: str) -> str:
    """Quote a piece of a query for a message: short, on one line."""
    line = " ".join(text.split())
    return f"`{line}`" if len(line) <= 40 else f"`{line[:39]}…`"


def unescape(raw: str) -> str:
    """Give what a backslash protects without the backslash."""
    return _ESCAPED.sub(r"\1", raw) if "\\" in raw else raw


def _has_wildcard(raw: str) -> bool:
    return _WILDCARDS.search(_ESCAPED.sub("", raw)) is not None


def word_leaf(source: Source, raw: str, place: Place) -> Leaf:
    """Read a bare word: tokens one after the other, or a pattern."""
    at = place.start
    for suffix, expected, hint in (
        (_BOOST, "a word without a weight", "Weights such as ^2 are not supported; leave it out, or put it in quotes."),
        (_FUZZY, "a phrase before `~`", 'Write "two words"~3; words spelt alike cannot be searched.'),
    ):
        found = suffix.search(raw)
        if found and found.start() > 0 and raw[found.start() - 1] != "\\":
            source.fail(at + found.start(), shown(found[0]), expected, hint)
    if raw in ("*", "*:*"):
        return Everything(place)
    # A link may hold `?` and `*`; only its domain is searched.
    if _LINK_PATH.match(raw):
        source.warn(at, "only the domain of a link is searched, not what follows it")
    elif _has_wildcard(raw):
        return _pattern_leaf(source, raw, place)
    return _words(source, unescape(raw), raw, place)


def _words(source: Source, text: str, raw: str, place: Place) -> Words:
    found = tuple(token.text for token in tokens(text))
    if not found:
        source.fail(
            place.start,
            f"{shown(raw)}, which holds nothing to search for",
            "a letter, digit, emoji or emoticon",
            "Leave it out: punctuation is not searched.",
        )
    if len(found) > MAX_PHRASE_TOKENS:
        source.fail(
            place.start,
            f"a phrase of {len(found):,} words",
            f"at most {MAX_PHRASE_TOKENS}",
            "Shorten it to what is typical of the text.",
        )
    return Words(found, place)


def _pattern_leaf(source: Source, raw: str, place: Place) -> Leaf:
    # An escaped star is punctuation like any other: it separates.
    found = pattern_tokens(_ESCAPED.sub(lambda match: " " if match[1] in "*?" else match[1], raw))
    # After scripts written without spaces a final star says nothing: any text may follow there anyway.
    if len(found) > 1 and found[-1] == "*" and not found[-2].isascii():
        return Words(tuple(found[:-1]), place)
    if len(found) != 1:
        source.fail(
            place.start,
            f"{shown(raw)}, which is {len(found)} words ({' '.join(found)})",
            "one word with `*` or `?`",
            "Use the wildcard on a single word, or search the phrase without it.",
        )
    if raw.endswith("?") and "*" not in raw and raw.count("?") == 1:
        source.warn(
            place.end - 1, f"`?` stands for exactly one character; to find {shown(raw[:-1])} itself, leave it out"
        )
    return Wildcard(_pattern(source, found[0], raw, place), place)


def _pattern(source: Source, folded: str, raw: str, place: Place) -> str:
    """Bring a folded pattern to its shortest form and hold it to the limits."""
    pattern = _WILDCARDS.sub(lambda run: "?" * run[0].count("?") + "*" * ("*" in run[0]), folded)
    literal = _WILDCARDS.split(pattern, maxsplit=1)[0].lstrip("@#$")
    if len(literal) < MIN_LITERAL:
        source.fail(
            place.start,
            f"{shown(raw)}, with {len(literal)} character{'s' * (len(literal) != 1)} before the first `*` or `?`",
            f"at least {MIN_LITERAL} letters or digits there",
            "Write more of the beginning of the word.",
        )
    wildcards = sum(1 for char in pattern if char in "*?")
    late = pattern.partition("*")[2].count("?")
    if wildcards > MAX_WILDCARDS or late > MAX_QUESTION_MARKS_AFTER_STAR:
        source.fail(
            place.start,
            f"{shown(raw)}, with {wildcards} wildcards",
            f"at most {MAX_WILDCARDS}, of these at most {MAX_QUESTION_MARKS_AFTER_STAR} `?` after a `*`",
            "Use fewer wildcards; one `*` stands for any number of characters.",
        )
    if len(pattern) > MAX_TOKEN:
        source.fail(place.start, f"a pattern of {len(pattern)} characters", f"at most {MAX_TOKEN}")
    return pattern


def phrase_leaf(source: Source, inner: str, place: Place, slop: int | None) -> Leaf:
    """Read what stands between quotes, with the number after `~` if there is one."""
    if _has_wildcard(inner):
        source.warn(place.start, "`*` and `?` inside quotes are punctuation, not wildcards")
    words = _words(source, unescape(inner), source.query[place.start : place.end], place)
    if slop is None:
        return words
    count = len(words.tokens)
    if not 2 <= count <= MAX_NEAR_WORDS:
        listed = " ".join(words.tokens[:8])
        source.fail(
            place.start,
            f"{count} word{'s' * (count != 1)} before `~` ({listed})",
            f"2 to {MAX_NEAR_WORDS}",
            f'Proximity takes 2 to {MAX_NEAR_WORDS} words; join more with AND: "a b"~5 AND "b c"~5.',
        )
    if slop > MAX_NEAR_SLOP:
        source.fail(
            place.start,
            f"a distance of {slop}",
            f"0 to {MAX_NEAR_SLOP}",
            f"Proximity allows up to {MAX_NEAR_SLOP} other words in between.",
        )
    return Near(words.tokens, slop, place)


def nearest_name(name: str) -> str | None:
    """Give the field that `name` is probably meant to be, or None."""
    close = get_close_matches(name.lower(), query_names(), n=1, cutoff=0.7)
    return close[0] if close else None


def value_leaf(source: Source, target: Field, raw: str, place: Place, *, quoted: bool) -> Leaf:
    """Read one value of a field that is not text."""
    value = unescape(raw)
    if target.kind == "keyword":
        return _keyword_leaf(source, target, raw, value, place, quoted=quoted)
    if target.kind == "boolean":
        lowered = value.lower()
        if lowered not in _TRUE | _FALSE:
            source.fail(place.start, shown(raw), f"true or false for `{target.name}`")
        return Flag(target.name, lowered in _TRUE, place)
    if raw == "*" and not quoted:
        return Range(target.name, None, None, place=place)
    low, high, include_high = _bounds(source, target, value, place.start)
    return Range(target.name, low, high, True, include_high, place)


def _keyword_leaf(source: Source, target: Field, raw: str, value: str, place: Place, *, quoted: bool) -> Leaf:
    sign = _SIGNS.get(target.name, "")
    if quoted or not _has_wildcard(raw):
        folded = fold_keyword(value.lstrip(sign) if sign else value)
        if not folded:
            source.fail(place.start, "an empty value", f"a value of `{target.name}`")
        if target.name in _SENTIMENT_FIELDS and folded not in SENTIMENTS:
            source.warn(place.start, f"no mention is {shown(value)}; the values are {', '.join(SENTIMENTS)}")
        return Keyword(target.name, folded, place)
    if re.search(r"\\[*?]", raw):
        source.fail(
            place.start,
            f"{shown(raw)}, which mixes wildcards and protected ones",
            "either wildcards or a plain value",
            "Put `?` in the place of the protected character.",
        )
    if raw == "*":
        source.fail(
            place.start,
            "`*` alone",
            f"a value of `{target.name}`",
            "Whether a field has any value can be asked of number and date fields only.",
        )
    pattern = fold_keyword(value.lstrip(sign) if sign else value)
    return KeywordWildcard(target.name, _pattern(source, pattern, raw, place), place)


Bound = int | float | datetime | None


def _bounds(source: Source, target: Field, value: str, position: int) -> tuple[Bound, Bound, bool]:
    """Give the span of numbers or time that a value names, and whether its end belongs to it."""
    if target.kind == "date":
        period = read_period(value)
        if period is None:
            source.fail(position, shown(value), DATE_FORMS, "Dates are in UTC.")
        return period[0], period[1], False
    number = read_integer(value) if target.kind == "integer" else read_number(value)
    if number is None:
        kind = "a whole number of at most 18 digits" if target.kind == "integer" else "a number such as 0.5"
        source.fail(position, shown(value), f"{kind} for `{target.name}`")
    return number, number, True


def comparison_leaf(source: Source, target: Field, operator: str, raw: str, at: int, place: Place) -> Leaf:
    """Read `field:>=value` and its kin; `at` is where the value stands."""
    low, high, closed = _bounds(source, target, unescape(raw), at)
    name = target.name
    match operator:
        case ">=":
            return Range(name, low, None, place=place)
        case "<":
            return Range(name, None, low, True, False, place)
        case "<=":
            return Range(name, None, high, True, closed, place)
        case _:
            # After a day means after its last moment.
            return Range(name, high, None, not closed, True, place)


def range_leaf(
    source: Source, target: Field, low: tuple[str, int], high: tuple[str, int], include: tuple[bool, bool], place: Place
) -> Leaf:
    """Read `field:[low TO high]`: both bounds with their positions, and whether each belongs to the range."""
    lower: Bound = None
    upper: Bound = None
    include_low, include_high = True, True
    if low[0] != "*":
        start, end, closed = _bounds(source, target, unescape(low[0]), low[1])
        lower, include_low = (start, True) if include[0] else (end, not closed)
    if high[0] != "*":
        start, end, closed = _bounds(source, target, unescape(high[0]), high[1])
        upper, include_high = (end, closed) if include[1] else (start, False)
    if lower is not None and upper is not None and lower > upper:  # type: ignore[operator]  # both of the field's kind
        source.fail(
            low[1], f"the bound {shown(low[0])} above {shown(high[0])}", "the lower bound first", "Swap the bounds."
        )
    return Range(target.name, lower, upper, include_low, include_high, place)
