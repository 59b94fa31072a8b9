"""The near-duplicate signature of a post: a bottom-k MinHash sketch over three words in a row."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final
from zlib import crc32

from domain.stories import KEYS_KEPT, MAX_KEYS, NOTHING_TO_COMPARE, Signature, story_words
from enrich.words import STOP_WORDS

# Different words, stop words apart, that a text must have to be compared: "thanks united" is no story.
MIN_WORDS: Final = 4
# A character of a script without spaces is a token but only a part of a word.
_CHARACTERS_PER_WORD: Final = 3
_WORDS_OF_A_KEY: Final = 3
_HASH_BITS: Final = 32


def signature(tokens: str, domains: Sequence[str]) -> Signature:
    """Give the signature of a post: the same on every machine and in every version of Python.

    Keys are CRC-32 of three words in a row, at most `MAX_KEYS`: those with the fewest stop words first, then by hash.
    An order that is the same for all texts makes near-duplicates keep the same ones; what holds few stop words is rare,
    so that few other texts share it. The first `KEYS_KEPT` share no word where the text is long enough: each word that
    is changed spoils one of them at most.

    Args:
        tokens: folded tokens separated by single spaces, as a mention keeps them.
        domains: domains of the post's links.

    Returns:
        Without keys when the text has fewer than `MIN_WORDS` different words that say something.

    Notes: linear in the length of the text; 10 to 15 microseconds for a post of 20 words. Plain Python: each call of
    numpy costs as much as three of these hashes, and a post has about 15 of them.
    """
    words = story_words(tokens, domains)
    if not _has_substance(words):
        return NOTHING_TO_COMPARE
    text = " ".join(words).encode("utf-8", "surrogatepass")
    encoded = text.split(b" ")
    stops = [(word in STOP_WORDS) << _HASH_BITS for word in words]
    hashes = list(map(crc32, map(b" ".join, zip(encoded, encoded[1:], encoded[2:], strict=False))))
    ranks = list(map(sum, zip(hashes, stops, stops[1:], stops[2:], strict=False)))
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    keys = dict.fromkeys(map(hashes.__getitem__, (*_apart(order), *order)))
    whole = int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)
    return Signature(whole, tuple(islice(keys, MAX_KEYS)))


def _apart(places: Sequence[int]) -> list[int]:
    """Give the first `KEYS_KEPT` of places that share no word."""
    chosen: list[int] = []
    taken: set[int] = set()
    for place in places:
        if place not in taken:
            chosen.append(place)
            if len(chosen) == KEYS_KEPT:
                break
            taken.update(range(place - _WORDS_OF_A_KEY + 1, place + _WORDS_OF_A_KEY))
    return chosen


def _has_substance(words: Sequence[str]) -> bool:
    if len(words) < MIN_WORDS:
        return False
    meaning = set(words) - STOP_WORDS
    characters = len([word for word in meaning if len(word) == 1 and not word.isascii()])
    return (len(meaning) - characters) * _CHARACTERS_PER_WORD + characters >= MIN_WORDS * _CHARACTERS_PER_WORD
