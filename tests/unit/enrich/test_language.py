"""The language of a text: words only, offline, and honest about what it cannot tell."""

from __future__ import annotations

import socket

import pytest

from enrich.language import UNDETERMINED, FastTextLanguage, language_text
from enrich.stage import language_is_english

LANGUAGE = FastTextLanguage()


@pytest.mark.parametrize(
    ("text", "lang"),
    [
        ("My suitcase came out last and one wheel was gone.", "en"),
        ("Mein Koffer kam als letzter und ein Rad war ab.", "de"),
        ("Ma valise est sortie la dernière et il manquait une roue.", "fr"),
        ("Mi maleta salió la última y le faltaba una rueda.", "es"),
        ("スーツケースが最後に出てきて、車輪が一つなかった。", "ja"),
    ],
)
def test_a_sentence_is_recognised(text: str, lang: str) -> None:
    found = LANGUAGE.identify(text)
    assert (found.lang, found.guess) == (lang, lang)
    assert 0.5 <= found.prob <= 1


@pytest.mark.parametrize(
    "text",
    ["", "  \n", "@somebody", "#delayed", "https://example.org/my/suitcase", "\U0001f621\U0001f621", "12:30 ... !?"],
)
def test_what_holds_no_words_is_undetermined(text: str) -> None:
    found = LANGUAGE.identify(text)
    assert (found.lang, found.prob, found.guess) == (UNDETERMINED, 0.0, "")
    assert not language_is_english(found)


def test_a_weak_guess_is_undetermined_but_named() -> None:
    found = FastTextLanguage(least_prob=0.999999).identify("so late")
    assert found.lang == UNDETERMINED
    assert found.guess
    assert 0 < found.prob < 1


def test_handles_and_links_do_not_sway_the_answer() -> None:
    plain = LANGUAGE.identify("My suitcase came out last")
    noisy = LANGUAGE.identify(
        "@Fluggesellschaft_Deutschland My suitcase came out last https://example.de/koffer #gepäck"
    )
    assert (noisy.lang, noisy.prob) == (plain.lang, plain.prob)


def test_only_words_on_one_line_are_left() -> None:
    assert language_text("@ann  my #late\nbag \U0001f621 is at http://example.org/x gate 12") == "my bag is at gate"


@pytest.mark.parametrize("text", ["a" * 40_000, "@" * 40_000, "https://" * 5_000, "\x00" * 100, "word " * 10_000])
def test_long_or_odd_texts_are_answered(text: str) -> None:
    assert 0 <= LANGUAGE.identify(text).prob <= 1


def test_loading_and_asking_open_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the identifier must work offline")

    monkeypatch.setattr(socket, "socket", refuse)
    assert FastTextLanguage().identify("My suitcase came out last").lang == "en"


@pytest.mark.parametrize("shouted", ["MY SUITCASE CAME OUT LAST", "MY SUITCASE CAME OUT LAST! :) so"])
def test_capitals_change_nothing(shouted: str) -> None:
    assert LANGUAGE.identify(shouted) == LANGUAGE.identify(shouted.lower())
