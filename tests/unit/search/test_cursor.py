from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.cursor import Position, decode_cursor, encode_cursor
from search.store import Sort
from search.tantivy_schema import ms_of_order_key, order_key

# The years 1 to 9999.
MS = st.integers(-62_135_596_800_000, 253_402_300_799_999)
IDS = st.text(max_size=30) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=26)
POSITIONS = st.builds(Position, MS, IDS)


@given(POSITIONS, st.sampled_from(Sort))
def test_a_position_survives_its_cursor(position: Position, sort: Sort) -> None:
    assert decode_cursor(encode_cursor(sort, position), sort) == position


@given(POSITIONS, POSITIONS)
def test_order_keys_never_fall_as_positions_rise(one: Position, other: Position) -> None:
    low, high = sorted((one, other))
    assert order_key(low) <= order_key(high)


@given(MS, IDS, IDS)
def test_ids_of_one_moment_are_ordered_by_their_keys_too(ms: int, one: str, other: str) -> None:
    low, high = sorted((one, other))
    assert order_key(Position(ms, low)) <= order_key(Position(ms, high)) < order_key(Position(ms + 1, ""))


@given(POSITIONS)
def test_an_order_key_holds_its_milliseconds_in_64_bits(position: Position) -> None:
    key = order_key(position)
    assert 0 <= key < 1 << 64
    assert ms_of_order_key(key) == position.ms


@given(st.integers(), IDS)
def test_a_hostile_position_still_has_a_key(ms: int, mention_id: str) -> None:
    assert 0 <= order_key(Position(ms, mention_id)) < 1 << 64
