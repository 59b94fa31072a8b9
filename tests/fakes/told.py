"""Mentions with the signature that the enrich stage gives them, for tests of stories."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

from fakes.mentions import START, mention, retraction, withdrawal

from domain.records import Mention, Retraction, Withdrawal
from enrich.signature import signature

TEXT = "The crew lost my bag in Denver and nobody at the counter cared"
NEAR = "The crew lost my case in Denver and nobody at the counter cared"
OTHER = "A lovely breakfast above the clouds with fresh bread and strong coffee"


def told(native_id: str, text: str = TEXT, brand: str = "acme", **changed: Any) -> Mention:
    """Give a mention as the enrich stage makes it."""
    one = mention(native_id, brand, text=text, **changed)
    return replace(one, signature=signature(one.tokens, one.domains).pack())


def busy_day(seed: int, *, like_a_log: bool = False) -> list[Mention | Withdrawal | Retraction]:
    """Give a log's order of new posts, copies, edits, second brands, repeats and removals.

    `like_a_log`: a revision of a post says the same to all its brands, and no withdrawal leaves an older mention alone.
    """
    draw = random.Random(seed)
    vocabulary = [f"{a}{b}{c}" for a in "bdgkm" for b in "aeiou" for c in "lnrst"]
    texts = [" ".join(draw.choices(vocabulary, k=draw.randint(6, 14))) for _ in range(12)]
    records: list[Mention | Withdrawal | Retraction] = []
    said: dict[tuple[int, int], tuple[str, int]] = {}
    withdrawn = 0.0 if like_a_log else 0.08
    for _ in range(300):
        words = draw.choice(texts).split()
        if draw.random() < 0.5:
            words[draw.randrange(len(words))] = draw.choice(vocabulary)
        revision, post = draw.randint(1, 4), draw.randrange(90)
        brand = draw.choice(("acme", "globex"))
        text, hour = " ".join(words), draw.randrange(1000)
        if like_a_log:
            text, hour = said.setdefault((post, revision), (text, hour))
        at = START + timedelta(hours=hour)
        one = told(str(post), text, brand, version=revision << 16, published_at=at)
        kind = draw.random()
        records.append(withdrawal(one) if kind < withdrawn else retraction(one) if kind < withdrawn + 0.04 else one)
        if draw.random() < 0.1:
            records.append(draw.choice(records))
    return records
