"""The rows of the seen ledger: small, read as they were written, and above all that went on before."""

from __future__ import annotations

from dataclasses import replace

from ingest.ledger import Seen, Standing

PLAIN = Seen(revision_ms=1_000, brand_ids=("acme",), routing_month="2026.03", queries="q")


def test_a_plain_row_stays_as_small_as_it_was() -> None:
    assert PLAIN.to_bytes() == b'{"r":1000,"m":"2026.03","q":"q","b":["acme"]}'
    assert Seen.from_bytes(PLAIN.to_bytes()) == PLAIN


def test_a_row_is_read_as_it_was_written() -> None:
    full = replace(
        PLAIN, behind=("globex",), shift=2, flips=3, lang="sv", reader="webhook", standing=Standing(gone_ms=5)
    )
    assert Seen.from_bytes(full.to_bytes()) == full


def test_an_edit_goes_on_above_all_that_went_on_before() -> None:
    flipped = replace(PLAIN, flips=3)
    assert (flipped.passed_ms, flipped.next_ms) == (1_000, 1_003)
    # Later than all: under its own revision. Within what was used up: raised above it.
    assert [flipped.shift_of(revision) for revision in (2_000, 1_004, 1_003, 1_001)] == [0, 0, 1, 3]
    raised = replace(flipped, revision_ms=1_001, shift=flipped.shift_of(1_001), flips=0)
    assert raised.passed_ms > flipped.next_ms


def test_what_comes_back_goes_on_above_all_that_went_on_before() -> None:
    flipped = replace(PLAIN, flips=3)
    empty = flipped.emptied()
    assert (empty.brand_ids, empty.next_ms) == ((), flipped.next_ms)
    # It may come in any revision.
    assert [empty.revision_ms < revision for revision in (0, 999)] == [True, True]
    back = replace(empty, revision_ms=1_000, shift=empty.shift_of(1_000), flips=0)
    assert back.passed_ms > flipped.next_ms
