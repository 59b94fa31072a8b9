"""Other people's text made fit for a mail, a page or a chat: what it says stays, what it could do is gone."""

from __future__ import annotations

import re
import unicodedata
from html import escape
from typing import Final

# Directions of writing that a post sets would reach into our own words; isolated as a whole it keeps its own.
_BIDI: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
# Tags and invisible operators, with which nobody writes; joiners stay, since emoji and scripts need them.
_INVISIBLE: Final = re.compile("[\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0001]")
_WORD_JOINER: Final = "\u2060"
_MENTION: Final = re.compile(r"@(?=\S)")
# What Markdown of any chat reads as more than itself; a backslash before ASCII punctuation is CommonMark's escape.
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>:&])")


def one_line(text: str, limit: int = 0) -> str:
    """Give a text as one line without control, bidi and invisible characters, cut at `limit` code points with "…".

    A `limit` of 0 cuts nothing. No header, log line or screen can be led on by what comes back.
    """
    kept = "".join(" " if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") else c for c in text)
    line = " ".join(_INVISIBLE.sub("", _BIDI.sub("", kept)).split())
    if limit and len(line) > limit:
        return line[: limit - 1].rstrip() + "…"
    return line


def quoted(text: str, limit: int) -> str:
    """Give what somebody wrote as one line in quotation marks; its own direction of writing ends with them."""
    line = one_line(text, limit)
    if any(unicodedata.bidirectional(c) in ("R", "AL") for c in line):
        line = f"{_FIRST_STRONG_ISOLATE}{line}{_POP_ISOLATE}"
    return f"“{line}”"


def html(text: str) -> str:
    """Escape a text for HTML, in elements and in quoted attributes."""
    return escape(text, quote=True)


def calls_nobody(text: str) -> str:
    """Give a text in which no `@name` calls anybody: a chat would wake a whole room for `@everyone`."""
    return _MENTION.sub(f"@{_WORD_JOINER}", text)


def markdown(text: str) -> str:
    """Escape a text for Markdown, as CommonMark has it: shown as it is."""
    return _MARKDOWN.sub(r"\\\1", text)
