"""From readings to alerts: when one begins, goes on and is over. A pure state machine in event time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from alerts.records import Doubt, Level, Reading, WatchState
from alerts.rule import Rule
from domain.clock import to_ms

MINUTE_MS: Final = 60_000


class Change(StrEnum):
    """What one step did."""

    NONE = "none"
    BEGAN = "began"
    PEAKED = "peaked"
    RESOLVED = "resolved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """Where a watch is. All moments are ends of windows, in milliseconds since 1970.

    `at_ms`: of the last reading that was stepped over. `pending_ms`: since when it is a spike and nobody was told.
    `started_ms`: of the alert that goes on; None where none does. `calm_ms`: since when that alert is below its exit
    threshold. `last_started_ms`: of the last alert, over or not. `told_ms`: of the last window that was part of an
    alert. `peak`: the largest surprise of the alert. `doubts`: why a spike by the numbers is suppressed.
    """

    state: WatchState = WatchState.QUIET
    change: Change = Change.NONE
    at_ms: int = 0
    pending_ms: int | None = None
    started_ms: int | None = None
    calm_ms: int | None = None
    last_started_ms: int | None = None
    told_ms: int | None = None
    peak: float = 0.0
    doubts: frozenset[Doubt] = frozenset()

    @property
    def fires(self) -> bool:
        """Whether an alert goes on."""
        return self.started_ms is not None


def step(episode: Episode, reading: Reading | None, doubts: frozenset[Doubt], rule: Rule) -> Episode:
    """Give where a watch is after one more reading.

    The same reading again (or an older one) changes nothing, so that an evaluator may ask each minute of buckets of
    five. Without a reading there is no data: an alert that goes on waits for it.

    Args:
        episode: where it was.
        reading: of the next window.
        doubts: what speaks against it, where it is a spike by its numbers.
        rule: with its times.
    """
    if reading is None:
        return replace(episode, state=WatchState.NO_DATA, change=Change.NONE)
    now = to_ms(reading.end)
    if now <= episode.at_ms and episode.state is not WatchState.NO_DATA:
        return replace(episode, change=Change.NONE)
    episode = replace(episode, at_ms=max(now, episode.at_ms), change=Change.NONE, doubts=frozenset())
    if episode.started_ms is not None:
        return _going_on(episode, reading, now, rule)
    if reading.level is not Level.SPIKE or _told(episode, reading, now, rule):
        return replace(episode, state=WatchState.QUIET, pending_ms=None)
    if doubts:
        return replace(episode, state=WatchState.SUPPRESSED, pending_ms=None, doubts=doubts)
    since = now if episode.pending_ms is None else episode.pending_ms
    last = episode.last_started_ms
    cooling = last is not None and now - last < rule.cool_down_minutes * MINUTE_MS
    if cooling or now - since < rule.pending_minutes * MINUTE_MS:
        return replace(episode, state=WatchState.PENDING, pending_ms=since)
    return replace(
        episode,
        state=WatchState.FIRING,
        change=Change.BEGAN,
        pending_ms=None,
        started_ms=now,
        last_started_ms=now,
        told_ms=now,
        calm_ms=None,
        peak=reading.surprise,
    )


def _told(episode: Episode, reading: Reading, now: int, rule: Rule) -> bool:
    """Tell whether a window longer than the rule's reaches back into an alert: what it sees was told already."""
    if episode.told_ms is None or reading.window_minutes <= rule.window_minutes:
        return False
    return now - reading.window_minutes * MINUTE_MS < episode.told_ms


def _going_on(episode: Episode, reading: Reading, now: int, rule: Rule) -> Episode:
    """Step on in an alert: it is over once it was calm for long enough."""
    if reading.level is not Level.CALM:
        peaked = reading.surprise > episode.peak
        return replace(
            episode,
            state=WatchState.FIRING,
            change=Change.PEAKED if peaked else Change.NONE,
            calm_ms=None,
            told_ms=now,
            peak=max(reading.surprise, episode.peak),
        )
    since = now if episode.calm_ms is None else episode.calm_ms
    if now - since < rule.resolve_minutes * MINUTE_MS:
        return replace(episode, state=WatchState.FIRING, calm_ms=since)
    return replace(
        episode, state=WatchState.QUIET, change=Change.RESOLVED, started_ms=None, calm_ms=None, pending_ms=None
    )


def to_body(episode: Episode) -> dict[str, Any]:
    """Give an episode as the body of a document."""
    return {
        "state": episode.state.value,
        "change": episode.change.value,
        "at_ms": episode.at_ms,
        "pending_ms": episode.pending_ms,
        "started_ms": episode.started_ms,
        "calm_ms": episode.calm_ms,
        "last_started_ms": episode.last_started_ms,
        "told_ms": episode.told_ms,
        "peak": episode.peak,
        "doubts": sorted(doubt.value for doubt in episode.doubts),
    }


def from_body(body: Mapping[str, Any]) -> Episode:
    """Read what `to_body` wrote."""
    plain = {name: body[name] for name in ("at_ms", "pending_ms", "started_ms", "calm_ms", "last_started_ms", "peak")}
    return Episode(
        state=WatchState(body["state"]),
        change=Change(body["change"]),
        doubts=frozenset(Doubt(each) for each in body["doubts"]),
        told_ms=body.get("told_ms"),
        **plain,
    )
