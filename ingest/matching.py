"""Finding all brands in a post at once: candidates by one automaton over the folded text, then the exact matcher."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import ahocorasick

from domain.brand import Brand
from domain.errors import ConfigError
from domain.query import Anchors, Matcher, Subject, anchors, check_live, compile_matcher, parse, subject_of
from domain.query.ast import Node
from domain.records import BrandMatch, Post
from domain.text import fold, fold_keyword
from ingest.anchor_choice import choose_anchors


class BrandMatcher:
    """Matches posts against all brands. Thread-safe once built.

    Every query needs an anchor: a token, the beginning of one, or a value of a field, without which it cannot
    match. A token of a text is a stretch of its folded text, so one pass of an Aho-Corasick automaton finds every
    anchor that a text may hold; most posts of a firehose hold none and are never tokenised. What is left is held
    against the tokens, then against the whole query. Decision 0003 has the figures.

    Raises:
        ConfigError: two brands of one id, a query that cannot be read, needs an anchor, or uses a field that is
            not known before enrichment. All problems of all brands, each with its brand.
    """

    def __init__(self, brands: Sequence[Brand]) -> None:
        self._brands = tuple(brands)
        nodes: list[Node] = []
        self._tokens: dict[str, list[int]] = {}
        self._prefixes: dict[str, list[int]] = {}
        self._keywords: dict[str, dict[str, list[int]]] = {}
        problems: list[str] = []
        taken: set[str] = set()
        for brand in self._brands:
            if brand.brand_id in taken:
                problems.append(f"brand {brand.brand_id}: this id is given twice; expected each id once")
                continue
            taken.add(brand.brand_id)
            try:
                nodes.append(_check(brand))
            except ConfigError as exc:
                problems += [f"brand {brand.brand_id}: query {brand.query!r}: {problem}" for problem in exc.problems]
        if problems:
            raise ConfigError(problems)
        self._matchers: list[Matcher] = [compile_matcher(node) for node in nodes]
        for index, found in enumerate(choose_anchors(nodes)):
            self._hang(index, found)
        self._automaton = _automaton([*self._tokens, *self._prefixes])
        self._queries = _identify(self._brands)
        self._brand_ids = frozenset(taken)

    @property
    def queries(self) -> str:
        """Identify the brands and their queries: 16 hexadecimal digits, the same on every machine."""
        return self._queries

    @property
    def brand_ids(self) -> frozenset[str]:
        """The ids of all brands."""
        return self._brand_ids

    def match(self, post: Post) -> tuple[BrandMatch, ...]:
        """Give the brands that a post names, in the order in which the brands were given."""
        found = self._keyword_candidates(post) if self._keywords else set()
        subject: Subject | None = None
        # Nothing that can be a token spans title and text, so one line break between them changes nothing.
        held = self._held(fold(post.text if post.title is None else f"{post.title}\n{post.text}"))
        if held:
            subject = subject_of(post)
            for anchor in held:
                if anchor in self._tokens and anchor in subject.vocabulary:
                    found.update(self._tokens[anchor])
                if anchor in self._prefixes and f" {anchor}" in subject.line:
                    found.update(self._prefixes[anchor])
        if not found:
            return ()
        if subject is None:
            subject = subject_of(post)
        matches: list[BrandMatch] = []
        for index in sorted(found):
            spans = self._matchers[index].match(subject)
            if spans is not None:
                brand = self._brands[index]
                matches.append(BrandMatch(brand_id=brand.brand_id, query_revision=brand.query_revision, spans=spans))
        return tuple(matches)

    def _hang(self, index: int, found: Anchors) -> None:
        for token in found.tokens:
            self._tokens.setdefault(token, []).append(index)
        for prefix in found.prefixes:
            self._prefixes.setdefault(prefix, []).append(index)
        for field, value in found.keywords:
            self._keywords.setdefault(field, {}).setdefault(value, []).append(index)

    def _held(self, folded: str) -> set[str]:
        """Give the anchors that stand in a folded text, at least as part of a token."""
        return {anchor for _, anchor in self._automaton.iter(folded)} if self._automaton is not None else set()

    def _keyword_candidates(self, post: Post) -> set[int]:
        found: set[int] = set()
        for field, values in self._keywords.items():
            for value in _values(post, field):
                found.update(values.get(fold_keyword(value), ()))
        return found


def _check(brand: Brand) -> Node:
    """Read a brand's query; raises ConfigError with all that speaks against it."""
    node = parse(brand.query)
    problems: list[str] = []
    for check in (check_live, anchors):
        try:
            check(node)
        except ConfigError as exc:
            problems += exc.problems
    if problems:
        raise ConfigError(problems)
    return node


def _values(post: Post, field: str) -> Iterable[str]:
    value = post.declared_lang if field == "lang" else getattr(post, field)
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (str(value),)


# The client has no types; an automaton is only ever built and read here.
def _automaton(words: Iterable[str]) -> Any | None:
    """Build the automaton that gives the words in a text, each as often as it stands there; None without words."""
    made = ahocorasick.Automaton()
    for word in words:
        made.add_word(word, word)
    if not len(made):
        return None
    made.make_automaton()
    return made


def _identify(brands: Iterable[Brand]) -> str:
    digest = blake2b(digest_size=8)
    for brand in sorted(brands, key=lambda brand: brand.brand_id):
        digest.update(repr((brand.brand_id, brand.query_revision, brand.query)).encode())
    return digest.hexdigest()
