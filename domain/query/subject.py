"""What a query is matched against: a post or a mention, tokenised once, the rest computed when asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Literal

from domain.records import Mention, Post, Span
from domain.text import SEPARATOR, CutText, fold_keyword


class Subject:
    """One post or mention as the matcher sees it. Not thread-safe: it remembers what it computed.

    `tokens` are the folded tokens of title and text, with `SEPARATOR` between both where there is a title:
    exactly what the index holds.
    """

    __slots__ = ("_line", "_record", "_starts", "_text", "_text_from", "_title", "_values", "_vocabulary", "tokens")

    def __init__(self, record: Post | Mention) -> None:
        self._text = CutText(record.text)
        self._title = CutText(record.title) if record.title else None
        title = [*self._title.texts, SEPARATOR] if self._title is not None else []
        self.tokens: list[str] = title + self._text.texts
        # The separator takes an index of its own, but only where there is a title.
        self._text_from = len(title)
        self._record = record
        self._vocabulary: frozenset[str] | None = None
        self._line: str | None = None
        self._starts: list[int] | None = None
        self._values: dict[str, tuple[str, ...]] = {}

    @property
    def vocabulary(self) -> frozenset[str]:
        """The different tokens."""
        if self._vocabulary is None:
            self._vocabulary = frozenset(self.tokens)
        return self._vocabulary

    @property
    def line(self) -> str:
        """The tokens with one space before and after each, so that a phrase is a substring."""
        if self._line is None:
            self._line = f" {' '.join(self.tokens)} "
        return self._line

    def positions(self, token: str) -> list[int]:
        """Give the indices of a token among `tokens`, ascending."""
        if token not in self.vocabulary:
            return []
        return [index for index, text in enumerate(self.tokens) if text == token]

    def phrase_positions(self, phrase: tuple[str, ...]) -> list[int]:
        """Give the indices at which these tokens stand one after the other, overlapping ones too."""
        if len(phrase) == 1:
            return self.positions(phrase[0])
        needle, found = f" {' '.join(phrase)} ", []
        at = self.line.find(needle)
        while at >= 0:
            found.append(self._index_at(at))
            at = self.line.find(needle, at + 1)
        return found

    def _index_at(self, place: int) -> int:
        """Give the index of the token after the space at `place` of `line`."""
        if self._starts is None:
            self._starts = [0]
            for token in self.tokens:
                self._starts.append(self._starts[-1] + len(token) + 1)
        return bisect_left(self._starts, place)

    def values(self, field: str) -> tuple[str, ...]:
        """Give the folded values of a keyword field (a name of `domain.fields`); none when unknown."""
        found = self._values.get(field)
        if found is None:
            raw = self.value(field)
            many: Iterable[object] = raw if isinstance(raw, tuple) else () if raw is None else (raw,)
            found = tuple(folded for one in many if (folded := fold_keyword(str(one))))
            self._values[field] = found
        return found

    def value(self, field: str) -> object:
        """Give the value of a field as the record has it, None when unknown."""
        if field == "lang" and isinstance(self._record, Post):
            return self._record.declared_lang
        return getattr(self._record, field, None)

    def spans(self, stretches: Iterable[tuple[int, int]]) -> tuple[Span, ...]:
        """Give the places of stretches `[first, last)` of `tokens`: title first, ascending, merged where they meet."""
        merged: list[Span] = []
        for first, last in sorted(set(stretches)):
            cut, base, where = self._cut_at(first)
            (start, _), (_, end) = cut.place(first - base), cut.place(last - 1 - base)
            previous = merged[-1] if merged else None
            if previous and previous.field == where and start <= previous.end:
                merged[-1] = Span(previous.start, max(previous.end, end), where)
            else:
                merged.append(Span(start, end, where))
        return tuple(merged)

    def _cut_at(self, index: int) -> tuple[CutText, int, Literal["text", "title"]]:
        """Give the text that holds the token at `index`, and the index of its first token."""
        if index < self._text_from and self._title is not None:
            return self._title, 0, "title"
        return self._text, self._text_from, "text"


def subject_of(post: Post) -> Subject:
    """Give a post as the matcher sees it; `lang` is the language declared by the source."""
    return Subject(post)


def subject_of_mention(mention: Mention) -> Subject:
    """Give a mention as the matcher sees it, with all fields of the index: for highlights in results."""
    return Subject(mention)
