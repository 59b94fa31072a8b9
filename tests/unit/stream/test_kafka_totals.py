"""Books beside offsets: written, read back, added to, and too long in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import BadReason, ConfigError
from domain.records import Outcome
from stream.kafka_totals import METADATA_CHARS, Totals, counts_of
from stream.protocol import Count

_COUNTS = st.builds(
    Count,
    stage=st.sampled_from(["enrich", "index"]),
    run=st.sampled_from(["live", "replay-é"]),
    outcome=st.sampled_from(list(Outcome)),
    number=st.integers(-5, 10**12),
    reason=st.sampled_from(["", *(reason.value for reason in BadReason)]),
)


@given(st.lists(_COUNTS))
def test_totals_come_back_as_the_sum_of_what_was_added(counts: list[Count]) -> None:
    totals = Totals(moved=True, dead_from=7)
    for count in counts:
        totals.add([count], {})
    again = Totals.read(totals.write())
    assert again == totals
    found = [count for run, numbers in again.runs.items() for count in counts_of(run, numbers)]
    for key in {(count.stage, count.run, count.outcome, count.reason) for count in counts}:
        expected = sum(c.number for c in counts if (c.stage, c.run, c.outcome, c.reason) == key)
        assert Count(key[0], key[1], key[2], expected, key[3]) in found
    assert len(found) == len({(count.stage, count.run, count.outcome, count.reason) for count in counts})


def test_a_run_that_was_moved_goes_on_from_where_it_was() -> None:
    totals = Totals()
    totals.add([Count("enrich", "live", Outcome.OK, 2)], {"live": {"enrich/ok": 40}})
    assert totals.runs == {"live": {"enrich/ok": 42}}


def test_what_is_written_is_ascii_so_that_its_length_is_what_the_broker_counts() -> None:
    totals = Totals()
    while not totals.too_long():
        totals.add([Count("enrich", f"é{len(totals.runs)}", Outcome.OK, 1)], {})
    assert totals.write().isascii()
    assert METADATA_CHARS < len(totals.write()) < 4_096


@pytest.mark.parametrize("metadata", ["{", "[]", '{"v":2}', "rubbish"])
def test_what_another_program_wrote_is_refused_in_words(metadata: str) -> None:
    with pytest.raises(ConfigError, match="newer Soundings"):
        Totals.read(metadata)


def test_no_metadata_is_an_empty_book() -> None:
    assert Totals.read("") == Totals()
