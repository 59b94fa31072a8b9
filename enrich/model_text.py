"""The text the model sees: handles, links, emoji and long runs rewritten, with a map back to the stored text.

Training and inference share this module, so the shipped model never meets a text prepared differently
from the ones it learnt from.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# One alternation, each branch anchored on a literal or a class that the others cannot start with:
# no nested quantifier, so the scan is linear in the length of the text.
_REWRITE = re.compile(
    r"(?P<link>https?://\S+|www\.\S+)"
    r"|(?<!\w)@(?P<handle>\w+)"
    r"|(?P<emoji>[\u2190-\u21ff\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff][\ufe0f\u200d\U0001f3fb-\U0001f3ff]*)"
    r"|(?P<dots>\.{2,})"
    r"|(?P<run>(?P<repeated>[^\W\d_]|[!?*~=_-])(?P=repeated){3,})",
    re.IGNORECASE,
)

# What stands for a handle and for dots in a row: one word piece each, where "@user" and "..." take two and three.
# Both are in every third post, and a piece less is time less.
HANDLE, ELLIPSIS = "@", "\u2026"

# An emoji, letter or mark repeated fifty times says no more than three in a row, but costs fifty times the tokens.
MAX_RUN = 3


@dataclass(frozen=True, slots=True)
class ModelText:
    """A text as the model reads it.

    `offsets[i]` is the code point offset in the stored text from which code point `i` of `text` came;
    `offsets` has `len(text) + 1` entries, never decreases, and its last entry is the length of the stored text.
    """

    text: str
    offsets: tuple[int, ...]


@lru_cache(maxsize=4096)
def _emoji_words(emoji: str) -> str:
    """Name one emoji in lower-case words, as Unicode does: ` pouting face `."""
    name = unicodedata.name(emoji[0], "")
    return f" {name.lower()} " if name else " "


def _pieces(text: str) -> list[tuple[int, int, str]]:
    """Find every stretch to rewrite: (start, end, replacement), in order and without overlap."""
    pieces: list[tuple[int, int, str]] = []
    run, last_end, last_emoji = 0, -1, ""
    for found in _REWRITE.finditer(text):
        start, end = found.span()
        kind = found.lastgroup
        if kind == "link":
            replacement = "http"
        elif kind == "handle":
            replacement = HANDLE
        elif kind == "dots":
            replacement = ELLIPSIS
        elif kind == "run":
            replacement = found.group()[:MAX_RUN]
        else:
            emoji = found.group()[0]
            run = run + 1 if (start == last_end and emoji == last_emoji) else 1
            last_end, last_emoji = end, emoji
            replacement = _emoji_words(emoji) if run <= MAX_RUN else ""
        pieces.append((start, end, replacement))
    return pieces


def model_text(text: str) -> str:
    """Give the text as the model reads it: `@handle` -> `@`, links -> `http`, emoji -> their Unicode names.

    Dots in a row become one ellipsis; of a letter or mark more than three times in a row three are left.

    Args:
        text: stored text; may be empty.

    Returns:
        The rewritten text. Linear in the length of `text`.
    """
    parts: list[str] = []
    done = 0
    for start, end, replacement in _pieces(text):
        parts += (text[done:start], replacement)
        done = end
    parts.append(text[done:])
    return "".join(parts)


def model_text_with_offsets(text: str) -> ModelText:
    """Like `model_text`, with the offset map (see `ModelText`)."""
    parts: list[str] = []
    offsets: list[int] = []
    done = 0
    for start, end, replacement in _pieces(text):
        parts += (text[done:start], replacement)
        offsets.extend(range(done, start))
        offsets.extend([start] * len(replacement))
        done = end
    parts.append(text[done:])
    offsets.extend(range(done, len(text) + 1))
    return ModelText("".join(parts), tuple(offsets))


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a text: words for the model, or (`brands` not empty) a place where these brands are named."""

    text: str
    brands: tuple[int, ...] = ()


def model_pieces(text: str, brands: Sequence[Sequence[tuple[int, int]]]) -> list[Piece]:
    """Cut a text where brands are named; what lies between is rewritten as by `model_text`.

    Stretches that overlap, of one brand or of several, make one place for all of them.

    Args:
        text: stored text; may be empty.
        brands: for each brand its stretches `[start, end)` in code points, within the text and not empty.
    """
    if not any(brands):
        return [Piece(model_text(text))]
    places: list[tuple[int, int, set[int]]] = []
    for start, end, brand in sorted((start, end, k) for k, found in enumerate(brands) for start, end in found):
        if places and start < places[-1][1]:
            first, last, named = places[-1]
            places[-1] = (first, max(last, end), named | {brand})
        else:
            places.append((start, end, {brand}))
    pieces: list[Piece] = []
    done = 0
    for start, end, named in places:
        pieces += (Piece(model_text(text[done:start])), Piece(text[start:end], tuple(sorted(named))))
        done = end
    pieces.append(Piece(model_text(text[done:])))
    return pieces
