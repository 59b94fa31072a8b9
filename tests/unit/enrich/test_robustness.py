"""How people write: the shipped model on emoji, shouting, stretched words, negation, very short and very long posts."""

from __future__ import annotations

import pytest

from enrich.engine import POINTS, Passage
from enrich.labelled import places_of
from enrich.onnx_engine import OnnxEngine, OnnxSettings


@pytest.fixture(scope="module")
def engine() -> OnnxEngine:
    return OnnxEngine(OnnxSettings(threads=1, cache_size=0))


def expected(engine: OnnxEngine, text: str, brand: str = "Acme") -> float:
    """Give the expected feeling towards the brand, in [-2, 2]."""
    (towards,) = engine.predict([Passage(text, (places_of(brand, text),))]).towards
    return float(towards @ POINTS)


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ("Acme \U0001f60d\U0001f60d", "Acme \U0001f621\U0001f621"),
        ("Acme ❤", "Acme \U0001f44e"),
        ("Acme sooooo goooood", "Acme sooooo baaaaad"),
        ("ACME IS AMAZING, I LOVE IT", "ACME IS HORRIBLE, I HATE IT"),
        ("acme!!!!!!! best day ever", "acme!!!!!!! worst day ever"),
        ("love Acme", "hate Acme"),
        ("I like the food at Acme", "I don't like the food at Acme"),
        ("Acme is good", "Acme is not good at all"),
        ("Acme never lets me down", "Acme lets me down"),
        ("Acme is wonderful", "Acme sucks lol"),
        ("Thanks Acme, quick and friendly as always", "Thanks for nothing Acme"),
        ("gr8 job acme, thx u", "u suck acme, gtfo"),
    ],
)
def test_what_sounds_better_scores_higher(engine: OnnxEngine, better: str, worse: str) -> None:
    assert expected(engine, better) > expected(engine, worse)


@pytest.mark.parametrize(
    "text",
    [
        "Acme is amazing, I love it",
        "Acme is terrible, I hate it",
        "Left Acme for good, they lost my bags and lied to me",
    ],
)
@pytest.mark.parametrize(
    "change", [str.upper, str.lower, lambda text: f"{text} https://example.org/a?b=c", lambda t: f"  {t} "]
)
def test_case_links_and_blanks_do_not_turn_a_feeling_round(engine: OnnxEngine, text: str, change: object) -> None:
    changed = change(text)  # type: ignore[operator]
    assert expected(engine, changed) * expected(engine, text) > 0


def test_five_thousand_characters_are_read_from_the_beginning_and_say_so(engine: OnnxEngine) -> None:
    text = "I hate Acme, they ruined my whole week and nobody says sorry. " + "And so on and on. " * 280
    found = engine.predict([Passage(text, (places_of("Acme", text),))])
    assert found.truncated.tolist() == [True]
    assert float(found.towards[0] @ POINTS) < 0


def test_a_hundred_handles_in_a_row_leave_room_for_what_is_said_and_two_hundred_say_that_they_do_not(
    engine: OnnxEngine,
) -> None:
    few, many = (" ".join(f"@someone{number}" for number in range(count)) + " Acme is awful" for count in (100, 200))
    found = engine.predict([Passage(text, (places_of("Acme", text),)) for text in (few, many)])
    assert found.truncated.tolist() == [False, True]
    assert float(found.towards[0] @ POINTS) < 0


def test_one_word_is_enough_for_an_answer(engine: OnnxEngine) -> None:
    found = engine.predict([Passage("Acme", (((0, 4),),)), Passage("Acme?", (((0, 4),),))])
    assert found.towards.argmax(axis=1).tolist() == [2, 2]
