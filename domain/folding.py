"""Folding: the comparable form of a text, with a map back to the code points it came from.

Each code point folds by itself (so a table can be filled as code points are met), except where marks join
their base; linear in the length of the text, whatever the text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Shapes: what a folded code point is for the tokeniser. A folded ASCII character is its own shape; all others
# get one of these Latin-1 characters, so that one regular expression over an 8-bit alphabet reads any script.
LETTER: Final = "ª"
UNSPACED: Final = "¤"
UNSPACED_CLUSTER: Final = "º"
MARK: Final = "¨"
EMOJI: Final = "¢"
FLAG_HALF: Final = "£"
JOINER: Final = "¬"
EMOJI_TAG: Final = "¦"
# Stands for itself between title and text: no token can contain it.
BREAK: Final = " "

# Longer runs of marks are cut: no script needs them, and sorting them is quadratic in `unicodedata`.
MAX_MARKS: Final = 30

_ZWJ: Final = "\u200d"
# What is dropped: invisible inside words (soft hyphen, zero-width non-joiner, word joiner, BOM, direction marks),
# looks only (variation selectors, skin tones, the keycap, the Arabic elongation).
_DROPPED: Final = frozenset(
    (
        *(0xAD, 0x34F, 0x61C, 0x640, 0x200C, 0x200E, 0x200F, 0x20E3, 0xFEFF),
        *(*range(0x180B, 0x1810), *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
        *(*range(0xFE00, 0xFE10), *range(0x1F3FB, 0x1F400), *range(0xE0100, 0xE01F0)),
    )
)
# The accents of Latin, Greek and Cyrillic; other scripts have their marks elsewhere, and keep them.
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_EXCEPTIONS: Final = {
    **dict.fromkeys("\u2018\u2019\u201b\u02bb\u02bc\uff07", "'"),
    # "Acme™" is the word Acme, not "acmetm" as compatibility would have it.
    **dict.fromkeys("\u2120\u2122", " "),
}
# Code points that belong to no script's letters and yet are no separators.
_EMOJI_RANGES: Final = (
    (0x2190, 0x21FF), (0x2300, 0x23FF), (0x25A0, 0x27BF), (0x2934, 0x2935), (0x2B00, 0x2BFF),
    (0x1F000, 0x1F1E5), (0x1F200, 0x1FAFF),
)  # fmt: skip
# Han, kana and bopomofo: one token each.
_UNSPACED_RANGES: Final = (
    (0x3005, 0x3007), (0x3021, 0x3029), (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF),
    (0x3105, 0x312F), (0x31A0, 0x31BF), (0x31F0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F), (0x20000, 0x323AF),
)  # fmt: skip
# Thai, Lao, Myanmar, Khmer, Tai scripts, Javanese: written without spaces, one token each letter with its marks.
_CLUSTER_RANGES: Final = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF), (0xA980, 0xA9FF),
    (0xAA60, 0xAADF),
)  # fmt: skip
# Vowels and finals of Hangul that follow a leading consonant: they compose with it, as marks do.
_HANGUL_TAILS: Final = (0x1160, 0x11FF)
# Both tables start anew at this size, far above what any stream uses, so that hostile text cannot fill the memory.
_MAX_TABLE: Final = 50_000

_LOOSE_JOINER: Final = re.compile(f"(?<![{EMOJI}{EMOJI_TAG}]){JOINER}|{JOINER}(?!{EMOJI})")
_MARKED: Final = re.compile(f"[^{MARK}]{MARK}+")


def _within(point: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(low <= point <= high for low, high in ranges)


def _fold_point(char: str) -> str:
    folded = _replace(char)
    # Twice, because case folding makes new accents (U+0130) and decomposition new capitals (U+1D400).
    for _ in range(2):
        folded = _ACCENTS.sub("", unicodedata.normalize("NFKD", folded)).casefold()
    # Once more, because decomposition also makes new apostrophes (U+0149) and elongations (U+FE77).
    return unicodedata.normalize("NFC", "".join(map(_replace, folded)))


def _replace(char: str) -> str:
    return "" if ord(char) in _DROPPED else _EXCEPTIONS.get(char, char)


def _shape_of(char: str) -> str:
    point = ord(char)
    if point < 0x80:
        return char
    if char == _ZWJ:
        return JOINER
    if 0x1F1E6 <= point <= 0x1F1FF:
        return FLAG_HALF
    if 0xE0020 <= point <= 0xE007F:
        return EMOJI_TAG
    category = unicodedata.category(char)
    if category[0] == "M" or _HANGUL_TAILS[0] <= point <= _HANGUL_TAILS[1]:
        return MARK
    if _within(point, _UNSPACED_RANGES):
        return UNSPACED
    if category[0] in "LN":
        return UNSPACED_CLUSTER if category == "Lo" and _within(point, _CLUSTER_RANGES) else LETTER
    # Unassigned code points too: tomorrow's emoji live in the same blocks.
    return EMOJI if _within(point, _EMOJI_RANGES) else BREAK


class _FoldTable(dict[str, str]):
    def __missing__(self, char: str) -> str:
        folded = _fold_point(char)
        if len(self) >= _MAX_TABLE:
            self.clear()
        self[char] = folded
        return folded


class _ShapeTable(dict[str, str]):
    def __missing__(self, char: str) -> str:
        shape = _shape_of(char)
        if len(self) >= _MAX_TABLE:
            self.clear()
        self[char] = shape
        return shape


_FOLDS: Final = _FoldTable()
_SHAPES: Final = _ShapeTable()


@dataclass(frozen=True, slots=True)
class Folded:
    """A folded text.

    `shape` has the length of `text` (see the shapes above). `offsets` is None where every code point stayed in
    its place; else `offsets[i]` is the code point of the source from which code point `i` of `text` came, never
    decreasing, with the length of the source at its end.
    """

    text: str
    shape: str
    offsets: Sequence[int] | None


def fold_shaped(source: str) -> Folded:
    """Fold a text for the tokeniser (see `Folded`)."""
    if source.isascii():
        folded = source.lower()
        return Folded(folded, folded, None)
    pieces = list(map(_FOLDS.__getitem__, source))
    text = "".join(pieces)
    shape = "".join(map(_SHAPES.__getitem__, text))
    offsets: Sequence[int] | None = None
    if len(text) != len(source) or "" in pieces:
        offsets = [at for at, piece in enumerate(pieces) for _ in piece] + [len(source)]
    if JOINER in shape:
        text, shape, offsets = _drop_loose_joiners(text, shape, offsets)
    if MARK in shape and (MARK * (MAX_MARKS + 1) in shape or not unicodedata.is_normalized("NFC", text)):
        text, shape, offsets = _compose(text, shape, offsets)
    return Folded(text, shape, offsets)


def _compose(text: str, shape: str, offsets: Sequence[int] | None) -> tuple[str, str, Sequence[int]]:
    """Join marks to their base where Unicode has one code point for both, and cut overlong runs of marks."""
    before = offsets if offsets is not None else range(len(text) + 1)
    parts: list[str] = []
    after: list[int] = []
    done = 0
    for found in _MARKED.finditer(shape):
        start, end = found.span()
        composed = unicodedata.normalize("NFC", text[start : min(end, start + 1 + MAX_MARKS)])
        parts += (text[done:start], composed)
        after.extend(before[done:start])
        after.extend([before[start]] * len(composed))
        done = end
    parts.append(text[done:])
    after.extend(before[done:])
    composed_text = "".join(parts)
    return composed_text, "".join(map(_SHAPES.__getitem__, composed_text)), after


def _drop_loose_joiners(text: str, shape: str, offsets: Sequence[int] | None) -> tuple[str, str, Sequence[int]]:
    """Keep zero-width joiners only inside an emoji; between letters they are invisible and would split words."""
    before = offsets if offsets is not None else range(len(text) + 1)
    loose = {found.start() for found in _LOOSE_JOINER.finditer(shape)}
    kept = [at for at in range(len(text)) if at not in loose]
    after = [before[at] for at in kept]
    after.append(before[-1])
    return "".join([text[at] for at in kept]), "".join([shape[at] for at in kept]), after


def fold(text: str) -> str:
    """Give the comparable form of a text: NFKC, case folded, Latin, Greek and Cyrillic accents removed.

    Apostrophes become straight; invisible characters inside words, variation selectors and skin tones go.
    """
    return text.lower() if text.isascii() else fold_shaped(text).text


def fold_with_offsets(text: str) -> tuple[str, Sequence[int]]:
    """Give the folded text and, for each of its code points, the offset in `text` that it came from.

    The offsets never decrease and have one entry more than the folded text has code points: `len(text)`.
    """
    folded = fold_shaped(text)
    return folded.text, range(len(text) + 1) if folded.offsets is None else folded.offsets
