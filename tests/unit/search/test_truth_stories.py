"""What the embedded store remembers of stories between two transactions, and that it is never more than a saving."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.mentions import START, mention

from domain.records import Withdrawal
from domain.stories import are_alike, shingles
from enrich.signature import signature
from search.truth import Content, Truth
from search.truth_stories import STORY_TABLES, KeyFilter
from stream.codec import encode

WORDS = [f"word{chr(97 + n)}" for n in range(26)]


def told(native_id: str, words: list[str], hours: float) -> Content:
    one = mention(native_id, text=" ".join(words), published_at=START + timedelta(hours=hours))
    found = signature(one.tokens, one.domains)
    one = replace(one, signature=found.pack())
    return Content(one, encode(one), found)


def test_an_undone_transaction_leaves_no_original_behind(tmp_path: Path) -> None:
    """A post becomes the original of a story, another is compared with it, and then nothing of both is kept."""
    # Each says nearly what the one before says; the third shares keys with the first, and is not like it.
    first, second, third = WORDS[:14], [*WORDS[3:14], *WORDS[14:17]], [*WORDS[5:14], *WORDS[14:17], *WORDS[17:20]]
    longer = [*second, *WORDS[17:], *WORDS[:3]]
    assert are_alike(shingles(first), shingles(second))
    assert are_alike(shingles(second), shingles(third))
    assert not are_alike(shingles(first), shingles(third))
    assert not are_alike(shingles(second), shingles(longer))
    one, earlier, compared, later = told("1", first, 2), told("2", second, 1), told("3", longer, 3), told("4", third, 4)
    truth = Truth(tmp_path / "mentions.sqlite3", read_only=False)
    try:
        truth.apply([one], START)
        impossible = Withdrawal(mention_id="m", post_id="x:9", brand_id="acme", version=1 << 70)
        with pytest.raises(OverflowError):
            truth.apply([earlier, compared, impossible], START)
        assert truth.count() == 1
        truth.apply([later], START)
        kept = [truth.get(content.mention.mention_id) for content in (one, later)]
        assert kept[0] is not None
        assert kept[1] is not None
        assert kept[0].story_id != kept[1].story_id
    finally:
        truth.close()


def test_stories_are_found_by_a_store_that_was_opened_again(tmp_path: Path) -> None:
    """Under which keys there are stories is read anew."""
    path = tmp_path / "mentions.sqlite3"
    one, copy = told("1", WORDS[:14], 0), told("2", WORDS[:14], 1)
    for content in (one, copy):
        truth = Truth(path, read_only=False)
        truth.apply([content], START)
        truth.close()
    truth = Truth(path, read_only=True)
    try:
        kept = [truth.get(content.mention.mention_id) for content in (one, copy)]
        assert kept[0] is not None
        assert kept[1] is not None
        assert kept[0].story_id == kept[1].story_id
    finally:
        truth.close()


def test_the_filter_passes_every_key_that_is_kept_and_few_others() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(STORY_TABLES)
    chance = random.Random(7)
    kept = [chance.getrandbits(32) for _ in range(10_000)]
    keys = KeyFilter()
    keys.load(connection)
    connection.close()
    assert keys.among(kept) == []
    keys.add(kept)
    assert keys.among(kept) == kept
    others = [chance.getrandbits(32) for _ in range(10_000)]
    assert len(keys.among(others)) < 100
