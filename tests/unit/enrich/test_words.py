"""Content words for clouds."""

from __future__ import annotations

from domain.text import token_texts
from enrich.words import MAX_WORDS, content_words


def test_only_words_with_content_are_kept_once_and_in_order() -> None:
    text = "@acme The crew was lovely, and the CREW waited 20 minutes! #lovely \U0001f600 $ACM"
    assert content_words(token_texts(text)) == ("crew", "lovely", "waited", "minutes", "\U0001f600")


def test_hashtags_lose_their_sign() -> None:
    assert content_words(token_texts("#FlightFail again")) == ("flightfail",)


def test_words_can_be_left_out() -> None:
    assert content_words(["crew", "late"], left_out=frozenset({"crew"})) == ("late",)


def test_at_most_forty_words_are_kept() -> None:
    assert len(content_words([f"word{i}x" for i in range(100)])) == MAX_WORDS == 40


def test_nothing_gives_nothing() -> None:
    assert content_words([]) == content_words([""]) == ()
