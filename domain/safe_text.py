"""Other people's text made fit to be shown: nothing in it can move the cursor, recolour or reorder a screen."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

# What turns the reading order around: a post could make a line of ours read as something else.
_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_STAND_IN = "\ufffd"


_CONTROLS = "\\x00-\\x08\\x0e-\\x1f\\x7f-\\x84\\x86-\\x9f\\ud800-\\udfff"
_CONTROL = re.compile(f"[{_CONTROLS}]")
# Beside these: zero-width spaces and joins, marks of byte order. Not the joiners U+200C and U+200D, which Persian,
# Indian scripts and emoji are written with, nor soft hyphens, which folding takes away, nor marks of direction.
_UNSEEN = re.compile(f"[{_CONTROLS}\\u200b\\u2060-\\u2064\\ufeff]")


def control(text: str) -> re.Match[str] | None:
    """Give the first control character of `text` that is no white space; None where there is none."""
    return _CONTROL.search(text)


def unseen(text: str) -> re.Match[str] | None:
    """Give the first character of `text` that nobody can see and that is no white space; None where there is none."""
    return _UNSEEN.search(text)


def code_point(character: str) -> str:
    """Name a character that cannot be shown: `U+200B`."""
    return f"U+{ord(character):04X}"


def _safe_character(character: str) -> str:
    if " " <= character <= "~":
        return character
    if character in "\n\r\t\u2028\u2029\u0085":
        return " "
    if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs"):
        return _STAND_IN
    return character


def safe(text: str) -> str:
    """Give `text` fit for a terminal: as many code points as before, so spans still hold.

    Line breaks and tabs become spaces; control and bidi characters and lone surrogates become U+FFFD.
    """
    return text if text.isascii() and text.isprintable() else "".join(map(_safe_character, text))


def safe_link(url: str | None) -> str | None:
    """Give an address that may become a link: http or https with a host, nothing else."""
    if url is None or any(character <= " " or character in '"<>\\`' for character in url):
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return None
    return url if usable else None
