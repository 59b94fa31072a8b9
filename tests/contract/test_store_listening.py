"""What every store promises about listening: the newest heartbeat of each source, and all gaps, each once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from domain.clock import to_ms
from domain.listening import SourceReport, SourceState
from domain.records import Event
from search.listening import GapReport
from search.store import Store

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def heartbeat(source: str, minutes: float, **told: object) -> Event:
    at = NOON + timedelta(minutes=minutes)
    report = SourceReport(source=source, at=at, state=SourceState.LISTENING, since=NOON, **told)  # type: ignore[arg-type]
    return report.event()


def gap(source: str, start: float, end: float, **told: object) -> Event:
    moments = {"start_ms": to_ms(NOON + timedelta(hours=start)), "end_ms": to_ms(NOON + timedelta(hours=end))}
    at = NOON + timedelta(hours=end)
    return Event(kind="gap", source=source, at=at, detail={**moments, "reason": "cut off", **told})  # type: ignore[dict-item]


def between(store: Store, start: float, end: float) -> list[tuple[str, float]]:
    """Give the gaps that touch hours after noon: source and hours long."""
    found = store.gaps(NOON + timedelta(hours=start), NOON + timedelta(hours=end))
    return [(one.source, (one.end - one.start) / timedelta(hours=1)) for one in found]


def test_the_newest_heartbeat_of_each_source_is_known(store: Store) -> None:
    store.note([heartbeat("rss", 1, items=7), heartbeat("bluesky", 1, errors=2), heartbeat("rss", 2, items=9)])
    store.note([heartbeat("rss", 0, items=1)])
    store.refresh()
    assert [(one.source, one.items, one.errors) for one in store.sources()] == [("bluesky", 0, 2), ("rss", 9, 0)]


def test_a_heartbeat_says_all_that_the_source_said(store: Store) -> None:
    status = SourceReport(
        source="x",
        at=NOON,
        state=SourceState.WAITING,
        since=NOON,
        reason="the daily budget is spent",
        item_at=NOON - timedelta(seconds=5),
        event_at=NOON - timedelta(seconds=9),
        items=12,
        per_minute=3.5,
        gaps=1,
        errors=4,
        spent_today=5.005,
        currency="USD",
        note="one of two",
    )
    store.note([status.event()])
    store.refresh()
    (told,) = store.sources()
    assert told == status
    assert told.behind_seconds == 9.0
    assert not told.is_stale(NOON + timedelta(seconds=30))
    assert told.is_stale(NOON + timedelta(seconds=60))


def test_gaps_are_found_by_the_time_that_they_touch(store: Store) -> None:
    store.note([gap("rss", 0, 2), gap("x", 3, 4), gap("rss", 5, 6)])
    store.refresh()
    assert between(store, -1, 10) == [("rss", 2.0), ("x", 1.0), ("rss", 1.0)]
    assert between(store, 2, 3) == []
    assert between(store, 1, 3.5) == [("rss", 2.0), ("x", 1.0)]


def test_a_gap_that_is_told_again_takes_its_own_place(store: Store) -> None:
    store.note([gap("x", 0, 1)])
    store.note([gap("x", 0, 1), gap("x", 0, 1, recovered=12, method="search")])
    store.refresh()
    (told,) = store.gaps(NOON, NOON + timedelta(hours=1))
    expected = GapReport(
        source="x",
        start=NOON,
        end=NOON + timedelta(hours=1),
        reason="cut off",
        recovered=12,
        method="search",
    )
    assert told == expected


def test_what_was_noted_is_there_after_a_restart(open_store: Callable[[], Store]) -> None:
    store = open_store()
    assert store.sources() == []
    assert between(store, -1, 1) == []
    store.note([heartbeat("rss", 1), gap("rss", 0, 1)])
    store = open_store()
    store.refresh()
    assert [one.source for one in store.sources()] == ["rss"]
    assert between(store, -1, 1) == [("rss", 1.0)]
