"""Folding and its offset map, for single code points and for any text."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.text import fold, fold_with_offsets

TEXTS = st.text(
    st.one_of(
        st.characters(), st.sampled_from("aé\u0301\u0308ßİı½ﷺΣς\u3099か\u1100\u1161\u11a8👩\u200d💻\ufe0f\u05b0\u05ad")
    ),
    max_size=40,
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Crème Brûlée", "creme brulee"),
        ("Cre\u0300me", "creme"),
        ("ß", "ss"),
        ("İ", "i"),
        ("ı", "ı"),
        ("Σίσυφος", "σισυφοσ"),
        ("Ёлка", "елка"),
        ("ＡＢＣ　１２", "abc 12"),
        ("ﬃ", "ffi"),
        ("L’Oréal", "l'oreal"),
        ("か\u3099", "が"),
        ("\u1112\u1161\u11ab", "한"),
        ("👩🏽\u200d💻", "👩\u200d💻"),
        ("a\u200db", "ab"),
        ("𝐀𝐜𝐦𝐞", "acme"),
    ],
)
def test_a_text_folds_to(text: str, folded: str) -> None:
    assert fold(text) == folded


def test_folding_again_changes_no_code_point() -> None:
    # All that is assigned, but for ideographs and syllables in the middle of their blocks.
    points = [*range(0x3500), *range(0x9F00, 0xAD00), *range(0xD700, 0x12000), *range(0x1D000, 0x20100), 0xE0067]
    changed = [hex(point) for point in points if fold(once := fold(chr(point))) != once]
    assert changed == []


@given(TEXTS)
def test_folding_again_changes_no_text(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(TEXTS)
def test_offsets_go_from_the_start_to_the_end_and_never_back(text: str) -> None:
    folded, offsets = fold_with_offsets(text)
    assert folded == fold(text)
    assert len(offsets) == len(folded) + 1
    assert offsets[-1] == len(text)
    assert all(0 <= one <= two <= len(text) for one, two in pairwise(offsets))
    assert all(offset < len(text) for offset in offsets[:-1])


@given(TEXTS, TEXTS)
def test_a_stretch_of_ascii_is_mapped_to_itself(before: str, after: str) -> None:
    folded, offsets = fold_with_offsets(f"{before} Needle {after}")
    at = len(fold(f"{before} "))
    assert folded[at : at + 6] == "needle"
    assert list(offsets[at : at + 6]) == list(range(len(before) + 1, len(before) + 7))


def test_an_overlong_run_of_marks_is_cut() -> None:
    folded, offsets = fold_with_offsets("ש" + "\u05b0\u05ad" * 20_000 + "x")
    assert len(folded) < 100
    assert folded.endswith("x")
    assert offsets[len(folded) - 1] == 40_001
