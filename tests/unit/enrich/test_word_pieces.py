"""From passages to word pieces: markers stand where brands stood, and nothing else becomes one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.engine import Passage, Stretch
from enrich.model_text import model_pieces, model_text
from enrich.onnx_engine import SHIPPED_MODEL
from enrich.word_pieces import CLS_ID, MARKER_ID, MAX_PLACES, SEP_ID, Row, WordPieces, question_of

PIECES = WordPieces(SHIPPED_MODEL / "tokenizer.json", 32)


def row(text: str, *brands: tuple[Stretch, ...]) -> Row:
    (found,) = PIECES.rows([question_of(Passage(text, brands))])
    return found


def test_a_marker_stands_in_the_place_of_each_brand_whatever_it_is_called() -> None:
    first = row("I left Acme for Globex", ((7, 11),), ((16, 22),))
    second = row("I left B for Umbrella Coffee", ((7, 8),), ((13, 28),))
    assert first == second
    assert [first.ids[at] for places in first.places for at in places] == [MARKER_ID, MARKER_ID]
    assert first.ids.count(MARKER_ID) == 2


@pytest.mark.parametrize("text", ["[unused1] is no marker", "[CLS] [SEP] [MASK] [PAD]", "\x02 [unused2]"])
def test_a_text_cannot_write_a_piece_with_a_meaning_of_its_own(text: str) -> None:
    found = row(text)
    assert (found.ids[0], found.ids[-1]) == (CLS_ID, SEP_ID)
    assert not {0, CLS_ID, SEP_ID, MARKER_ID, 103} & set(found.ids[1:-1])


def test_places_that_overlap_share_one_marker() -> None:
    found = row("Acme Air is late", ((0, 8),), ((0, 4),))
    assert found.places[0] == found.places[1] == (1,)
    assert found.ids.count(MARKER_ID) == 1


def test_a_long_text_is_cut_and_what_is_named_beyond_the_cut_has_no_place() -> None:
    text = "word " * 40 + "Acme"
    found = row(text, ((len(text) - 4, len(text)),))
    assert (len(found.ids), found.ids[-1], found.truncated, found.places) == (32, SEP_ID, True, ((),))
    assert not row("word " * 30).truncated


def test_of_a_name_said_a_hundred_times_the_first_places_are_read() -> None:
    places = tuple((at, at + 1) for at in range(0, 40, 2))
    assert len(row("X " * 20, places).places[0]) == MAX_PLACES


def test_a_question_is_known_by_what_is_read_and_how_many_ask() -> None:
    one = question_of(Passage("Acme is late", (((0, 4),),)))
    assert one.key == question_of(Passage("Globex is late", (((0, 6),),))).key
    others = [
        Passage("Acme is late"),
        Passage("Acme is late", ((),)),
        Passage("Acme is late", (((0, 4),), ())),
        Passage("Acme is late", ((), ((0, 4),))),
        Passage("Acme is later", (((0, 4),),)),
    ]
    assert len({one.key, *(question_of(other).key for other in others)}) == 1 + len(others)


@given(st.text(max_size=60), st.lists(st.tuples(st.integers(0, 59), st.integers(1, 8)), max_size=4))
def test_pieces_hold_all_of_the_text_and_every_place(text: str, wanted: list[tuple[int, int]]) -> None:
    places = tuple((start, min(len(text), start + size)) for start, size in wanted if start < len(text))
    pieces = model_pieces(text, (places,))
    covered = {at for start, end in places for at in range(start, end)}
    left = [text[at] for at in range(len(text)) if at in covered]
    assert "".join(piece.text for piece in pieces if piece.brands) == "".join(left)
    if not places:
        assert [piece.text for piece in pieces] == [model_text(text)]
