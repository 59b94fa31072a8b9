"""When two posts say nearly the same: the words that count, how alike two texts are, and the signature they meet by.

A signature is made where a post is read (`enrich.signature`) and used where stories are kept (`search.stories`),
perhaps on another machine: what both must agree on stands here.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

from domain.errors import BadReason, BadRecord
from domain.text import token_texts

# Two posts further apart by event time are never one story: the same words a month later are news again.
WINDOW: Final = timedelta(days=30)
# Share of common shingles from which on two texts say nearly the same. Measured (decision 0007): one word changed or
# two swapped leave 0.6 and more in texts of 9 words, other content in the same template at most 0.5.
ALIKE: Final = 0.6
# Keys of one signature: all there are in a text of 18 words.
MAX_KEYS: Final = 16
# A story is kept under so many of its original's keys, the first, and looked for under all keys of a post: a key kept
# is a page written somewhere in a large table, a key looked for only a page read. Three that share no word outlast any
# two changed words.
KEYS_KEPT: Final = 3

# Marks of a shared post: not part of what it says.
_SHARED: Final = frozenset(("rt",))


class Signature(NamedTuple):
    """By what near-duplicates find each other.

    `text` is a hash of all words that count (63 bits and a sign): equal for texts that say the same. `keys` are hashes
    of parts of it (32 bits), those that are best to look for first; empty where the text is too short to be compared.
    """

    text: int
    keys: tuple[int, ...]

    def pack(self) -> str:
        """Give it as compact ASCII text; "" for one without keys."""
        if not self.keys:
            return ""
        return b64encode(struct.pack(f">q{len(self.keys)}I", self.text, *self.keys)).decode("ascii")


NOTHING_TO_COMPARE: Final = Signature(0, ())


def read_signature(packed: str) -> Signature:
    """Give back what `Signature.pack` wrote.

    Raises:
        BadRecord: BAD_SCHEMA: it is something else.
    """
    if not packed:
        return NOTHING_TO_COMPARE
    try:
        raw = b64decode(packed, validate=True)
        text, *keys = struct.unpack(f">q{len(raw) // 4 - 2}I", raw)
    except (ValueError, struct.error) as exc:
        raise BadRecord(BadReason.BAD_SCHEMA, f"signature: found {len(packed)} characters that are none") from exc
    if not 1 <= len(keys) <= MAX_KEYS:
        raise BadRecord(BadReason.BAD_SCHEMA, f"signature: found {len(keys)} keys, expected 1 to {MAX_KEYS}")
    return Signature(text, tuple(keys))


def story_words(tokens: str, domains: Sequence[str]) -> list[str]:
    """Give the words that count when posts are compared, in order; linear.

    Left out: handles, numbers, emoji, "RT", and the hosts of links, so that sharing a post, shortening its link or
    adding a smile changes nothing. Hashtags and cashtags count as words.

    Args:
        tokens: folded tokens separated by single spaces, as a mention keeps them.
        domains: domains of the post's links.
    """
    text = f" {tokens} "
    for domain in domains:
        host = _host_tokens(domain)
        if host in text:
            text = text.replace(host, " ")
    return [
        word
        for token in text.split()
        if (word := token.lstrip("#$_")) and word[0].isalnum() and not word.isdecimal() and word not in _SHARED
    ]


@lru_cache(maxsize=4_096)
def _host_tokens(domain: str) -> str:
    return f" {' '.join(token_texts(domain))} "


def shingles(words: Sequence[str]) -> frozenset[str]:
    """Give what is compared of a text: its words, for their choice, and its pairs of neighbours, for their order."""
    return frozenset((*words, *map(" ".join, pairwise(words))))


def are_alike(some: frozenset[str], other: frozenset[str]) -> bool:
    """Tell whether two texts say nearly the same, from their shingles: Jaccard similarity of `ALIKE` or more."""
    common = len(some & other)
    return common > 0 and common >= ALIKE * (len(some) + len(other) - common)
