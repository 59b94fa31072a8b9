"""What is wrong with the pipeline: when it begins, is told of and ends, and in which words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alerts.health import (
    CALM,
    KINDS,
    ChannelHealth,
    DiskHealth,
    Facts,
    HealthCondition,
    SourceHealth,
    StageHealth,
    from_body,
    look,
    to_body,
)
from alerts.rule import Severity

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GB = 1_000_000_000
WELL = SourceHealth(source="bluesky", at=NOON, state="listening", since=NOON - 60 * MINUTE, item_at=NOON)
STAGE = StageHealth(stage="enrich", waiting=0, settled=1_000, parked=0)
DISK = DiskHealth(where="the data folder", free=50 * GB, floor=GB)


def looked(
    minutes: float,
    before: Sequence[HealthCondition] = (),
    *,
    sources: Sequence[SourceHealth] | None = None,
    stages: Sequence[StageHealth] | None = None,
    disks: Sequence[DiskHealth] | None = None,
    channels: Sequence[ChannelHealth] | None = None,
) -> list[HealthCondition]:
    now = NOON + minutes * MINUTE
    return look(Facts(now=now, sources=sources, stages=stages, disks=disks, channels=channels), before)


def walk(steps: Sequence[tuple[float, SourceHealth]]) -> list[tuple[float, list[str]]]:
    """Look at one source, whose heartbeat has just come each time, and give what fires at each moment."""
    conditions: list[HealthCondition] = []
    fires = []
    for minutes, source in steps:
        now = NOON + minutes * MINUTE
        conditions = look(Facts(now=now, sources=[replace(source, at=now)]), conditions)
        fires.append((minutes, [one.condition_id for one in conditions if one.firing]))
    return fires


def lasts(condition: HealthCondition, until: datetime) -> bool:
    """Tell whether it would be told of if it were looked at then and still held."""
    return until - condition.since >= condition.patience


def test_where_all_is_well_there_is_nothing_to_say() -> None:
    assert looked(0, sources=[WELL, replace(WELL, source="x")], stages=[STAGE], disks=[DISK]) == []
    assert looked(0) == []
    assert looked(0, sources=[], stages=[], disks=[]) == []


def test_a_source_that_was_stopped_on_purpose_is_no_trouble() -> None:
    stopped = SourceHealth(source="x", at=NOON - timedelta(days=3), state="stopped", silent=True)
    assert looked(0, sources=[stopped]) == []


# --- sources


def test_a_source_that_cannot_be_heard_is_told_of_after_ten_minutes() -> None:
    deaf = replace(WELL, state="waiting", since=NOON, reason="the server asks for patience.")
    assert walk([(1, deaf), (9.9, deaf), (10, deaf)]) == [(1, []), (9.9, []), (10, ["deaf:bluesky"])]
    (condition,) = looked(0, sources=[deaf])
    assert condition.severity is Severity.CRITICAL
    assert condition.sentence == (
        "The source bluesky cannot be heard since 2026-03-01 12:00 UTC: the server asks for patience. "
        "What is missed meanwhile is noted as a gap."
    )


def test_a_source_that_refuses_us_is_said_to() -> None:
    (condition,) = looked(0, sources=[replace(WELL, state="refused", reason="401")])
    assert "refuses us since 2026-03-01 11:00 UTC: 401." in condition.sentence
    assert lasts(condition, NOON)


def test_short_troubles_that_end_are_told_to_nobody() -> None:
    deaf = replace(WELL, state="waiting", since=NOON)
    steps = [(1.0, deaf), (8.0, deaf), (9.0, WELL), (11.0, WELL), (12.0, replace(deaf, since=NOON + 12 * MINUTE))]
    assert all(not fires for _, fires in walk(steps))


def test_what_was_told_of_is_over_only_after_five_calm_minutes() -> None:
    deaf = replace(WELL, state="waiting", since=NOON)
    again = replace(deaf, since=NOON + 14 * MINUTE)
    told = ["deaf:bluesky"]
    assert walk([(10, deaf), (11, WELL), (13, WELL), (14, again), (15, WELL), (19, WELL), (20, WELL)]) == [
        (10, told),
        (11, told),
        (13, told),
        (14, told),
        (15, told),
        (19, told),
        (20, []),
    ]


def test_a_silence_beyond_its_rhythm_is_told_of_after_a_quarter_of_an_hour() -> None:
    silent = replace(WELL, silent=True)
    assert walk([(14, silent), (15, silent)]) == [(14, []), (15, ["silent:bluesky"])]
    (condition,) = looked(0, sources=[silent])
    assert "the last came at 2026-03-01 12:00 UTC" in condition.sentence
    assert condition.severity is Severity.WARNING


def test_a_source_that_is_paused_for_want_of_room_is_not_said_to_be_deaf() -> None:
    paused = replace(WELL, state="paused", since=NOON, reason="the disk is nearly full")
    assert walk([(14, paused), (15, paused)])[-1] == (15, ["paused:bluesky"])


def test_a_source_that_is_not_heard_of_is_told_of_after_five_minutes_and_nothing_else_is_said_of_it() -> None:
    lost = replace(WELL, silent=True, state="waiting")
    other = replace(WELL, source="x")
    assert looked(0.7, sources=[lost, replace(other, at=NOON + 0.7 * MINUTE)])[0].condition_id == "deaf:bluesky"
    conditions = looked(1, sources=[lost, replace(other, at=NOON + MINUTE)])
    assert [one.condition_id for one in conditions] == ["unheard:bluesky"]
    assert not lasts(conditions[0], NOON + 4.9 * MINUTE)
    assert lasts(conditions[0], NOON + 5 * MINUTE)
    assert "has not been heard of since 2026-03-01 12:00 UTC" in conditions[0].sentence


def test_a_source_that_was_never_heard_of_is_waited_for() -> None:
    (condition,) = looked(0, sources=[SourceHealth(source="rss")])
    assert condition.sentence.startswith(
        "The source rss has never been heard of: what listens to it is not running, or"
    )
    assert (lasts(condition, NOON), lasts(condition, NOON + 5 * MINUTE)) == (False, True)


@pytest.mark.parametrize("names", [("bluesky",), ("bluesky", "x")])
def test_whoever_has_just_begun_to_look_waits_for_a_heartbeat_first(names: tuple[str, ...]) -> None:
    sources = [replace(WELL, source=name, at=NOON - timedelta(hours=9)) for name in names]
    began = NOON - MINUTE
    (condition,) = look(Facts(now=NOON, looking_since=began, sources=sources), [])
    assert condition.since == began
    assert not lasts(condition, NOON)
    assert lasts(condition, NOON + 4 * MINUTE)
    assert "since 2026-03-01 03:00 UTC" in condition.sentence


def test_when_no_source_is_heard_of_one_thing_is_said() -> None:
    sources = [replace(WELL, source=name) for name in ("bluesky", "x", "rss")]
    (condition,) = looked(6, sources=sources)
    assert condition.condition_id == "unheard:*"
    assert condition.sentence.startswith("No source has been heard of since 2026-03-01 12:00 UTC")
    assert lasts(condition, NOON + 6 * MINUTE)


def test_what_was_wrong_with_a_source_stands_while_nothing_is_heard_of_it() -> None:
    deaf = replace(WELL, state="waiting", since=NOON - 20 * MINUTE)
    before = looked(0, sources=[deaf])
    after = look(Facts(now=NOON + 30 * MINUTE, sources=[deaf]), before)
    assert {one.condition_id for one in after} == {"unheard:bluesky", "deaf:bluesky"}


def test_what_nothing_is_heard_of_does_not_ripen_into_an_alert() -> None:
    """As when the pipeline was stopped in the evening while a source had just been cut off."""
    before = looked(0, sources=[replace(WELL, state="waiting", since=NOON)])
    assert [one.firing for one in before] == [False]
    morning = NOON + timedelta(hours=15)
    sources = [replace(WELL, state="waiting", since=NOON)]
    after = look(Facts(now=morning, looking_since=morning, sources=sources), before)
    assert [one.condition_id for one in after if one.firing] == []
    heard = [replace(WELL, at=morning + MINUTE)]
    assert look(Facts(now=morning + MINUTE, sources=heard), after) == []


def test_a_source_that_is_listened_to_no_more_ends_its_troubles() -> None:
    before = looked(0, sources=[replace(WELL, state="refused")])
    calming = looked(1, before, sources=[])
    assert [one.well_since for one in calming] == [NOON + MINUTE]
    assert looked(1 + CALM / MINUTE, calming, sources=[]) == []


@pytest.mark.parametrize(
    ("spent", "expected"), [(8.9, []), (9.0, ["budget-near:x"]), (10.0, ["budget-spent:x"]), (12.0, ["budget-spent:x"])]
)
def test_a_budget_is_told_of_when_it_is_nearly_and_when_it_is_wholly_spent(spent: float, expected: list[str]) -> None:
    x = replace(WELL, source="x", spent=spent, budget=10.0, currency="USD")
    conditions = looked(0, sources=[x])
    assert [one.condition_id for one in conditions] == expected
    assert all(lasts(one, NOON) for one in conditions)


def test_a_budget_says_how_much_it_was_and_ends_with_the_day() -> None:
    x = replace(WELL, source="x", spent=9.5, budget=10.0, currency="USD")
    near = looked(0, sources=[x])
    assert near[0].sentence == "The source x has spent 9.50 USD of its budget of today, 10.00 USD."
    spent = looked(0.5, near, sources=[replace(x, spent=10.0)])
    assert [one.condition_id for one in spent] == ["budget-spent:x", "budget-near:x"]
    fresh = replace(x, spent=0.0)
    assert looked(6.5, looked(0.6, spent, sources=[fresh]), sources=[replace(fresh, at=NOON + 6 * MINUTE)]) == []


def test_a_source_without_a_limit_has_no_budget_to_spend() -> None:
    for budget in (None, 0.0):
        assert looked(0, sources=[replace(WELL, spent=500.0, budget=budget)]) == []


# --- stages


@pytest.mark.parametrize(("waiting", "begins"), [(20_000, False), (20_001, True)])
def test_a_stage_that_is_far_behind_is_told_of_after_a_quarter_of_an_hour(waiting: int, begins: bool) -> None:
    conditions = looked(0, stages=[replace(STAGE, waiting=waiting)])
    assert [one.condition_id for one in conditions] == (["lag:enrich"] if begins else [])
    assert [lasts(one, NOON + 15 * MINUTE) for one in conditions] == ([True] if begins else [])


def test_a_lag_that_swings_around_its_threshold_is_one_trouble() -> None:
    conditions: list[HealthCondition] = []
    for minute in range(60):
        waiting = 15_000 if minute % 2 else 25_000
        conditions = looked(minute, conditions, stages=[replace(STAGE, waiting=waiting)])
        assert [one.since for one in conditions] == [NOON]
    for minute in range(60, 67):
        conditions = looked(minute, conditions, stages=[replace(STAGE, waiting=9_000)])
    assert conditions == []


def test_a_stage_that_stands_still_is_told_of_and_one_that_is_slow_is_not() -> None:
    still, slow = replace(STAGE, waiting=50, settled=0), replace(STAGE, waiting=5_000, settled=1)
    (condition,) = looked(0, stages=[still, replace(slow, stage="index")])
    assert condition.condition_id == "stuck:enrich"
    assert condition.severity is Severity.CRITICAL
    assert condition.sentence == "50 records wait for enrich, and none was handled in 15 minutes."
    assert looked(0, stages=[replace(still, waiting=0), replace(still, stage="index", settled=None)]) == []


@pytest.mark.parametrize(
    ("parked", "settled", "begins"),
    [(20, 20, False), (21, 21, True), (21, 420, False), (22, 420, True), (100, 10_000, False), (600, 10_000, True)],
)
def test_dead_letters_are_told_of_when_they_are_many_and_many_of_all(parked: int, settled: int, begins: bool) -> None:
    conditions = looked(0, stages=[replace(STAGE, parked=parked, settled=settled)])
    assert bool(conditions) == begins
    assert all(lasts(one, NOON) for one in conditions)


def test_a_few_dead_letters_less_do_not_end_it() -> None:
    before = looked(0, stages=[replace(STAGE, parked=100)])
    assert "100 of 1,000 records in 15 minutes, which is 10%" in before[0].sentence
    assert looked(10, before, stages=[replace(STAGE, parked=30)])[0].well_since is None
    assert looked(10, before, stages=[replace(STAGE, parked=20)])[0].well_since is not None


# --- disks


@pytest.mark.parametrize(
    ("free", "expected"),
    [(2.0, []), (1.9, ["disk-low"]), (1.0, ["disk-low"]), (0.9, ["disk-floor"])],
)
def test_a_disk_is_told_of_before_and_at_its_floor(free: float, expected: list[str]) -> None:
    conditions = looked(0, disks=[replace(DISK, free=int(free * GB))])
    assert [one.kind for one in conditions] == expected


def test_a_disk_that_fills_up_is_told_of_twice_and_ends_with_room_to_spare() -> None:
    low = looked(0, disks=[replace(DISK, free=15 * GB // 10)])
    full = looked(10, low, disks=[replace(DISK, free=GB // 2)])
    assert [one.condition_id for one in full] == ["disk-floor:the data folder", "disk-low:the data folder"]
    assert (
        full[0].sentence == "0.5 GB are left on the disk of the data folder: below 1.0 GB no source is read. Make room."
    )
    barely = looked(20, full, disks=[replace(DISK, free=11 * GB // 10)])
    assert barely[0].sentence == (
        "1.1 GB are left on the disk of the data folder: sources are read again, and are not below 1.0 GB. "
        "This is over with 1.2 GB."
    )
    assert [one.well_since for one in barely] == [None, None]
    roomy = looked(30, barely, disks=[DISK])
    assert looked(36, roomy, disks=[DISK]) == []


# --- channels


def test_messages_that_wait_are_told_of_after_ten_minutes_and_lost_ones_at_once() -> None:
    waits = ChannelHealth(channel="mail", waiting=3, since=NOON, lost=0, why="the server is busy.")
    (condition,) = looked(1, channels=[waits])
    assert condition.sentence == "3 messages wait for the channel mail since 2026-03-01 12:00 UTC: the server is busy."
    assert (lasts(condition, NOON + MINUTE), lasts(condition, NOON + 10 * MINUTE)) == (False, True)
    (lost,) = looked(1, channels=[replace(waits, waiting=0, lost=1)])
    assert lost.sentence == "One message could not be delivered by the channel mail lately: the server is busy."
    assert lasts(lost, NOON + MINUTE)


# --- all of them


def test_what_could_not_be_looked_at_stays_as_it_was() -> None:
    before = looked(
        0,
        sources=[replace(WELL, state="refused")],
        stages=[replace(STAGE, waiting=30_000)],
        disks=[replace(DISK, free=0)],
        channels=[ChannelHealth(channel="mail", waiting=1, since=NOON, lost=0)],
    )
    assert len(before) == 4
    assert looked(60, before) == before


def test_the_most_urgent_comes_first() -> None:
    conditions = looked(
        0,
        sources=[replace(WELL, source="x", spent=9.5, budget=10.0), replace(WELL, state="refused")],
        stages=[replace(STAGE, waiting=30_000)],
    )
    assert [one.severity for one in conditions] == [Severity.CRITICAL, Severity.WARNING, Severity.INFO]


def test_every_kind_of_trouble_has_a_name_and_a_sentence() -> None:
    sources = [
        replace(WELL, source="a", state="refused"),
        replace(WELL, source="b", state="paused"),
        replace(WELL, source="c", silent=True),
        replace(WELL, source="d", spent=9.5, budget=10.0),
        replace(WELL, source="e", spent=10.0, budget=10.0),
        replace(WELL, source="f", at=NOON - 10 * MINUTE),
    ]
    stages = [replace(STAGE, waiting=30_000, settled=0), replace(STAGE, stage="index", parked=500)]
    disks = [replace(DISK, free=0), replace(DISK, where="a worker", free=15 * GB // 10)]
    channels = [ChannelHealth(channel="mail", waiting=1, since=NOON, lost=0)]
    conditions = looked(0, sources=sources, stages=stages, disks=disks, channels=channels)
    assert {one.kind for one in conditions} == KINDS.keys()
    for one in conditions:
        assert one.sentence[0].isupper() or one.sentence[0].isdigit() or one.sentence.startswith(one.subject)
        assert one.sentence.endswith(".")
        assert ".." not in one.sentence


def test_conditions_are_read_as_they_were_written() -> None:
    before = looked(0, sources=[replace(WELL, state="refused")], disks=[replace(DISK, free=0)])
    calming = looked(1, before, sources=[WELL], disks=[replace(DISK, free=0)])
    assert from_body(to_body(calming)) == calming


def test_every_kind_is_on_the_page_of_alerts() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "alerts.md").read_text()
    told = {name for line in page.split("## The pipeline's own health")[1].splitlines() for name in _names(line)}
    assert told == KINDS.keys()


def _names(line: str) -> list[str]:
    first = line.split("|")[1] if line.startswith("| `") else ""
    return [name.strip(" `") for name in first.split(",") if name.strip()]
