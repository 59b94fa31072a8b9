"""The text the model sees, and the way back to the stored text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.model_text import model_text, model_text_with_offsets

PIECES = st.sampled_from(
    [
        "@ann",
        " ",
        "https://x.org/a?b",
        "www.x.org",
        "\U0001f621",
        "\U0001f621️",
        "a@b",
        "é",
        "word",
        "❤️",
        "....",
        "oooo",
        "!!!!",
    ]
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain words", "plain words"),
        ("@ann and @bob_2, look", "@ and @, look"),
        ("write to ann@example.org", "write to ann@example.org"),
        ("see https://example.org/a?b=c now", "see http now"),
        ("late\U0001f621!", "late pouting face !"),
        ("\U0001f621" * 50, " pouting face " * 3),
        ("well... no.. yes.", "well… no… yes."),
        ("sooooo gooood!!!!!", "sooo goood!!!"),
        ("AAAaaaargh ------ 1000000", "AAArgh --- 1000000"),
    ],
)
def test_handles_links_emoji_and_long_runs_are_rewritten(text: str, expected: str) -> None:
    assert model_text(text) == expected


@given(st.lists(PIECES | st.text(max_size=5)).map("".join))
def test_every_offset_leads_back_into_the_stored_text(text: str) -> None:
    found = model_text_with_offsets(text)
    assert found.text == model_text(text)
    assert len(found.offsets) == len(found.text) + 1
    assert found.offsets[-1] == len(text)
    assert all(a <= b for a, b in zip(found.offsets, found.offsets[1:], strict=False))
