"""Tokens: how text becomes comparable, once, for the matcher and for both stores.

A token never holds Unicode white space and is at most `MAX_TOKEN` code points long. The rules, with examples,
are in docs/query-language.md.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from domain.folding import (
    EMOJI,
    EMOJI_TAG,
    FLAG_HALF,
    JOINER,
    LETTER,
    MARK,
    UNSPACED,
    UNSPACED_CLUSTER,
    fold,
    fold_shaped,
    fold_with_offsets,
)

__all__ = [
    "MAX_KEYWORD",
    "MAX_TOKEN",
    "SEPARATOR",
    "CutText",
    "Token",
    "emoticon_end",
    "fold",
    "fold_keyword",
    "fold_with_offsets",
    "index_token_texts",
    "index_tokens",
    "pattern_tokens",
    "signed_tokens",
    "token_texts",
    "tokens",
]

MAX_TOKEN: Final = 100
# Far above any handle, domain or id, far below the 65,530 bytes at which tantivy drops a value.
MAX_KEYWORD: Final = 512
# Stands between the tokens of a title and of a text: a phrase cannot cross it. No text or query yields it.
SEPARATOR: Final = "¶"

_WORD: Final = f"a-z0-9{LETTER}"
_BODY: Final = f"_{_WORD}{UNSPACED}{UNSPACED_CLUSTER}{MARK}"
# A closed list; brackets may touch a word ("great:)"), letters may not ("a:d" is no grin).
_EMOTICON: Final = (
    r"[:;=]'?-?(?:\)|\((?!\w))"
    rf"|[:;](?<![{_WORD}].)-?(?:[dpo3](?!\w)|[/\\](?![\w/\\]))"
    r"|</?3(?!\w)"
    r"|\^_?\^"
    r"|-_-"
)
# Each branch starts with a character that no other branch can start with, or is decided within two characters;
# no quantifier is nested in another: linear.
_HANDLE_OR_TAG: Final = (
    rf"@(?<![_{_WORD}]@)[a-z0-9_]+"
    rf"|[#](?<![_{_WORD}]#)_*[{_WORD}{UNSPACED}{UNSPACED_CLUSTER}][{_BODY}]*"
)
_TOKEN: Final = re.compile(
    rf"[{_WORD}][{_WORD}{MARK}]*"
    rf"|[{UNSPACED}{UNSPACED_CLUSTER}]{MARK}*"
    rf"|{_HANDLE_OR_TAG}"
    rf"|[$](?<![_{_WORD}]\$)[a-z][a-z0-9_]*"
    r"|&"
    rf"|[+](?:(?<=[{_WORD}{MARK}]\+)|(?<=[{_WORD}{MARK}]\+\+))"
    rf"|[#](?<=[{_WORD}]#)(?![{_BODY}])"
    rf"|{EMOJI}{EMOJI_TAG}*(?:{JOINER}{EMOJI}{EMOJI_TAG}*)*"
    rf"|{FLAG_HALF}{{1,2}}"
    rf"|{_EMOTICON}"
)
# No other token holds these signs beside "#" alone, so handles and hashtags are found without the words between them.
_SIGNED: Final = re.compile(_HANDLE_OR_TAG)
_SPLIT: Final = re.compile(f"({_TOKEN.pattern})")
_LINK: Final = re.compile(
    rf"(?:https?://(?:[^\s/?#@<>\"]*@)?(?:www\.)?|(?<![_{_WORD}@.-])www\.)"
    rf"([{_BODY}.-]*)[^\s<>\"{UNSPACED}{UNSPACED_CLUSTER}{EMOJI}{FLAG_HALF}]*"
)
_EMOTICON_AT: Final = re.compile(_EMOTICON, re.IGNORECASE)
_BLANK: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\s]+")


class Token(NamedTuple):
    """One token of a text: its folded form and where it stood, code points `[start, end)` of the text."""

    text: str
    start: int
    end: int


def _only_host(found: re.Match[str]) -> str:
    """Blank all of a link but its host, at the same length, so that offsets stay."""
    start, end = found.span()
    host_start, host_end = found.span(1)
    return " " * (host_start - start) + found[1] + " " * (end - host_end)


def _without_links(shape: str) -> str:
    return _LINK.sub(_only_host, shape) if "://" in shape or "www." in shape else shape


def token_texts(text: str) -> list[str]:
    """Give the folded tokens of a text without their places: faster than `tokens`."""
    return _texts(_TOKEN, text)


def signed_tokens(text: str) -> list[str]:
    """Give those of `token_texts` that are handles or hashtags, in order: faster where they are few."""
    return _texts(_SIGNED, text)


def _texts(pattern: re.Pattern[str], text: str) -> list[str]:
    if text.isascii():
        found: list[str] = pattern.findall(_without_links(text.lower()))
        # A text no longer than a token cannot hold one to cut.
        return found if len(text) <= MAX_TOKEN else [token[:MAX_TOKEN] for token in found]
    folded = fold_shaped(text)
    source = folded.text
    places = [match.span() for match in pattern.finditer(_without_links(folded.shape))]
    return [source[start:end][:MAX_TOKEN] for start, end in places]


class CutText:
    """A text cut into folded tokens once: their texts, and their places for whoever asks."""

    __slots__ = ("_edges", "_offsets", "_pieces", "texts")

    def __init__(self, text: str) -> None:
        folded = fold_shaped(text)
        source = folded.text
        # Splitting gives what lies between tokens and tokens in turn: places are sums of lengths.
        self._pieces: list[str] = _SPLIT.split(_without_links(folded.shape))
        self._offsets = folded.offsets
        self._edges: list[int] | None = None
        if not source.isascii():
            edges = self._all_edges()
            self.texts = [source[start:end][:MAX_TOKEN] for start, end in zip(edges[:-1:2], edges[1::2], strict=True)]
        else:
            self.texts = self._pieces[1::2]
            # A text no longer than a token cannot hold one to cut.
            if len(source) > MAX_TOKEN:
                self.texts = [token[:MAX_TOKEN] for token in self.texts]

    def place(self, index: int) -> tuple[int, int]:
        """Give where a token stands, code points `[start, end)` of the text."""
        edges = self._all_edges()
        start, end = edges[2 * index], edges[2 * index + 1]
        return (start, end) if self._offsets is None else (self._offsets[start], _end(self._offsets, end))

    def _all_edges(self) -> list[int]:
        if self._edges is None:
            self._edges = list(accumulate(map(len, self._pieces)))
        return self._edges


def tokens(text: str) -> list[Token]:
    """Cut a text into folded tokens, in order; linear in its length.

    A token of which the text is cut to `MAX_TOKEN` keeps its whole place. Starts and ends never decrease; two tokens
    share a place only where one code point folds to several tokens.
    """
    cut = CutText(text)
    return [Token(token, *cut.place(index)) for index, token in enumerate(cut.texts)]


def _end(offsets: Sequence[int], end: int) -> int:
    """Give the end in the source of folded code points up to `end`, whole code points of the source only."""
    after = end
    while offsets[after] == offsets[end - 1]:
        after += 1
    return offsets[after]


def pattern_tokens(text: str) -> list[str]:
    """Cut a query's word that holds `*` or `?` into tokens of any length, both counted as letters."""
    folded = fold_shaped(text)
    shape = _without_links(re.sub(r"[*?]", "a", folded.shape))
    return [folded.text[match.start() : match.end()] for match in _TOKEN.finditer(shape)]


def index_token_texts(title: str | None, text: str) -> list[str]:
    """Give the tokens of title and text as the index keeps them.

    `SEPARATOR` stands between both, so that no phrase crosses from title to text; a proximity may, and counts
    the separator as one token.
    """
    found = token_texts(text)
    return [*token_texts(title), SEPARATOR, *found] if title else found


def index_tokens(title: str | None, text: str) -> str:
    """Give `index_token_texts` separated by single spaces."""
    return " ".join(index_token_texts(title, text))


def fold_keyword(value: str) -> str:
    """Give the comparable form of a keyword value: folded, white space and controls as single spaces, cut."""
    return _BLANK.sub(" ", fold(value)).strip(" ")[:MAX_KEYWORD].rstrip(" ")


def emoticon_end(text: str, start: int) -> int:
    """Give where the emoticon that begins at `start` ends, or -1 when none begins there."""
    found = _EMOTICON_AT.match(text, start)
    return found.end() if found else -1
