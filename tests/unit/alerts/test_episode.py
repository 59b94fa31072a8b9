"""When an alert begins, goes on and is over."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from alerts.episode import Change, Episode, from_body, step, to_body
from alerts.records import Doubt, Level, Reading, WatchState
from alerts.rule import Metric, Rule

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
RULE = Rule(rule_id="negative", resolve_minutes=30, cool_down_minutes=120)
SURE: frozenset[Doubt] = frozenset()


def reading(level: Level, minute: int, surprise: float = 6.0) -> Reading:
    return Reading(
        end=NOON + timedelta(minutes=minute),
        metric=Metric.NEGATIVE,
        level=level,
        observed=40,
        expected=5,
        low=0,
        high=12,
        ratio=8,
        surprise=surprise,
        mentions=40,
    )


def walk(levels: str, rule: Rule = RULE) -> list[Episode]:
    """Step over readings each five minutes: S a spike, E elevated, c calm, ? none."""
    words = {"S": Level.SPIKE, "E": Level.ELEVATED, "c": Level.CALM}
    found, episode = [], Episode()
    for place, letter in enumerate(levels):
        read = reading(words[letter], 5 * place) if letter in words else None
        episode = step(episode, read, SURE, rule)
        found.append(episode)
    return found


def begun(episodes: list[Episode]) -> list[int]:
    return [place for place, each in enumerate(episodes) if each.change is Change.BEGAN]


def test_a_spike_begins_one_alert_however_long_it_lasts() -> None:
    found = walk("ccSSSSSSSSSSSS")
    assert begun(found) == [2]
    assert found[1].state is WatchState.QUIET
    assert found[-1].state is WatchState.FIRING
    assert found[-1].started_ms == found[2].at_ms


def test_elevated_does_not_begin_an_alert_but_keeps_one_going() -> None:
    assert begun(walk("EEEEE")) == []
    assert walk("SEEEEEEEEEEEEEEEEE")[-1].state is WatchState.FIRING


def test_an_alert_is_over_after_calm_of_half_an_hour_without_a_break() -> None:
    found = walk("S" + "ccccc" + "E" + "ccccccc")
    assert [each.change for each in found].count(Change.RESOLVED) == 1
    assert found[12].state is WatchState.FIRING
    assert found[13].change is Change.RESOLVED
    assert found[13].started_ms is None


def test_a_spike_must_hold_for_as_long_as_the_rule_says_before_anybody_is_told() -> None:
    patient = replace(RULE, pending_minutes=10)
    assert begun(walk("SScSSS", patient)) == [5]
    assert walk("SS", patient)[-1].state is WatchState.PENDING


def test_no_second_alert_begins_within_the_cool_down_and_a_spike_that_outlasts_it_is_told() -> None:
    found = walk("S" + "c" * 8 + "S" * 20)
    # The first began at minute 0, and two hours are 24 buckets.
    assert begun(found) == [0, 24]
    assert found[12].state is WatchState.PENDING
    assert begun(walk("S" + "c" * 8 + "S" * 5 + "c" * 30)) == [0]


def test_a_doubt_suppresses_and_is_kept_and_what_fires_is_doubted_no_more() -> None:
    doubted = step(Episode(), reading(Level.SPIKE, 0), frozenset({Doubt.FEW_AUTHORS}), RULE)
    assert doubted.state is WatchState.SUPPRESSED
    assert doubted.doubts == {Doubt.FEW_AUTHORS}
    sure = step(doubted, reading(Level.SPIKE, 5), SURE, RULE)
    assert sure.change is Change.BEGAN
    assert sure.doubts == frozenset()
    assert step(sure, reading(Level.SPIKE, 10), frozenset({Doubt.GAP}), RULE).state is WatchState.FIRING


def test_the_same_reading_again_and_an_older_one_change_nothing() -> None:
    began = step(Episode(), reading(Level.SPIKE, 10), SURE, RULE)
    again = step(began, reading(Level.SPIKE, 10), SURE, RULE)
    assert again == replace(began, change=Change.NONE)
    assert step(began, reading(Level.CALM, 5), SURE, RULE) == again


def test_without_data_an_alert_waits_and_goes_on_where_it_was() -> None:
    found = walk("S??S")
    assert [each.state for each in found[1:3]] == [WatchState.NO_DATA, WatchState.NO_DATA]
    assert found[3].state is WatchState.FIRING
    assert begun(found) == [0]
    assert walk("?")[0].state is WatchState.NO_DATA


def test_the_worst_moment_is_told_apart() -> None:
    episode = step(Episode(), reading(Level.SPIKE, 0, 6.0), SURE, RULE)
    worse = step(episode, reading(Level.SPIKE, 5, 9.0), SURE, RULE)
    better = step(worse, reading(Level.SPIKE, 10, 7.0), SURE, RULE)
    assert (worse.change, worse.peak) == (Change.PEAKED, 9.0)
    assert (better.change, better.peak) == (Change.NONE, 9.0)


def test_an_episode_is_the_same_after_it_was_kept() -> None:
    for episode in [*walk("cSSSc??cccccccc"), step(Episode(), reading(Level.SPIKE, 0), frozenset(Doubt), RULE)]:
        assert from_body(json.loads(json.dumps(to_body(episode)))) == episode


def test_a_longer_window_that_reaches_back_into_an_alert_tells_nothing_new() -> None:
    episode = walk("S" + "c" * 8)[-1]
    long_ago = replace(reading(Level.SPIKE, 125), window_minutes=720)
    assert step(episode, long_ago, SURE, RULE).state is WatchState.QUIET
    assert step(episode, replace(reading(Level.SPIKE, 125)), SURE, RULE).change is Change.BEGAN
    behind_it = replace(reading(Level.SPIKE, 720), window_minutes=720)
    assert step(episode, behind_it, SURE, RULE).change is Change.BEGAN
