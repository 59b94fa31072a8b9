"""The signature by which near-duplicates find each other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadReason, BadRecord
from domain.stories import (
    KEYS_KEPT,
    MAX_KEYS,
    NOTHING_TO_COMPARE,
    Signature,
    are_alike,
    read_signature,
    shingles,
    story_words,
)
from domain.text import index_tokens
from enrich.signature import signature

TEXT = "The crew lost my bag in Denver and nobody at the counter cared"
GOLDEN_SHORT = "oN5GfQAgduZey1ZP6PNHiPExmyA="
GOLDEN = "Alr749fvd7I71TNfkE/ltogjdcTRS3LJ8TGbIPZxPINWYCQ9nRJSPMZhUYtYEvGko4WD/w=="


def sign(text: str, *domains: str) -> Signature:
    return signature(index_tokens(None, text), domains)


def test_it_is_the_same_everywhere_and_for_ever() -> None:
    """A change of these values makes every stored story deaf to new posts: raise no number here without a decision."""
    assert sign("Lost bag in Denver airport").pack() == GOLDEN_SHORT
    assert sign(TEXT).pack() == GOLDEN


@pytest.mark.parametrize(
    "same",
    [
        f"RT @someone: {TEXT}",
        f"@acme {TEXT} @other",
        f"{TEXT} https://t.co/abc",
        f"{TEXT} 😡😡 :(",
        f"{TEXT} 2026",
        "THE CREW LOST, my bag in Denver -- and nobody at the counter cared!!!",
        "The #crew lost my bag in #Denver and nobody at the counter cared",
        "Thé crew lost my bag in Denver and nobody at the counter cared",
    ],
)
def test_what_does_not_count_changes_nothing(same: str) -> None:
    assert sign(same, "t.co") == sign(TEXT)


def test_the_order_of_words_counts() -> None:
    assert sign("Denver lost my crew and the bag at nobody in the counter cared").text != sign(TEXT).text


@pytest.mark.parametrize(
    "short",
    [
        "",
        "thanks united",
        "thank you so much for that",
        "lol lol lol lol lol lol",
        "@a @b @c @d @e",
        "😡 😡 😡 😡 😡",
        "1 2 3 4 5 6 7",
        "ありがとうございます",
        "late flight again",
    ],
)
def test_a_text_with_little_to_say_is_not_compared(short: str) -> None:
    assert sign(short) == NOTHING_TO_COMPARE
    assert sign(short).pack() == ""


def test_scripts_without_spaces_are_compared_from_some_words_on() -> None:
    text = "東京発の飛行機が大幅に遅れて荷物も届かない"
    assert sign(text).keys
    assert sign(f"{text}😡") == sign(text)
    assert set(sign(f"{text}最悪").keys) & set(sign(text).keys)


def test_the_first_keys_share_no_word() -> None:
    """One changed word spoils one of them at most, so that two changed words never hide a story."""
    words = TEXT.split()
    kept = set(sign(TEXT).keys[:KEYS_KEPT])
    assert len(kept) == KEYS_KEPT
    for place in range(len(words)):
        changed = sign(" ".join([*words[:place], "zeppelin", *words[place + 1 :]]))
        assert len(kept & set(changed.keys)) >= KEYS_KEPT - 1


def test_a_long_text_has_few_keys() -> None:
    words = [f"word{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}{chr(97 + n // 676)}" for n in range(10_000)]
    found = sign(" ".join(words))
    assert len(found.keys) == MAX_KEYS
    words[5_000] = "zeppelin"
    assert len(set(found.keys) & set(sign(" ".join(words)).keys)) >= MAX_KEYS - 3


@given(st.text(max_size=200))
def test_any_text_has_a_signature_that_is_read_back(text: str) -> None:
    found = sign(text)
    assert read_signature(found.pack()) == found
    assert len(found.keys) == len(set(found.keys)) <= MAX_KEYS


@pytest.mark.parametrize("wrong", ["x", "====", "AAAA", "A" * 12, "é", "A" * 1_000])
def test_what_is_no_signature_is_refused(wrong: str) -> None:
    with pytest.raises(BadRecord) as caught:
        read_signature(wrong)
    assert caught.value.reason is BadReason.BAD_SCHEMA


def test_only_the_hosts_of_its_own_links_are_left_out() -> None:
    tokens = index_tokens(None, "see www.acme-air.example/x or acme.example")
    assert story_words(tokens, ("acme-air.example",)) == ["see", "or", "acme", "example"]
    assert story_words("$aapl #_tag @handle & rt 3rd 33", ()) == ["aapl", "tag", "3rd"]


def alike(some: str, other: str) -> bool:
    return are_alike(shingles(some.split()), shingles(other.split()))


def test_alike_is_six_tenths_of_words_and_neighbours() -> None:
    text = "lost bag in denver airport again today"
    assert alike(text, "lost bag in boston airport again today")
    assert not alike(text, "today again airport denver in bag lost")
    assert not alike("", "")
