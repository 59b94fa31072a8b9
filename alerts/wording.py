"""Alerts in words that a person would use."""

from __future__ import annotations

from typing import Final

from alerts.records import Alert, Doubt, Reading
from alerts.rule import Metric

_BECAUSE: Final = {
    Doubt.FEW_MENTIONS: "too few mentions to call it a spike",
    Doubt.FEW_AUTHORS: "too few authors, or one of them wrote most of it",
    Doubt.FEW_STORIES: "too few stories, or one of them is most of it",
    Doubt.GAP: "a source was deaf meanwhile, so the counts cannot be trusted",
    Doubt.BACKFILL: "some of it was filled up afterwards",
}
_WHAT: Final = {Metric.VOLUME: "mentions", Metric.NEGATIVE: "negative mentions"}


def because(doubt: Doubt) -> str:
    """Say why nobody is told of what is a spike by its numbers."""
    return _BECAUSE[doubt]


def span(minutes: int) -> str:
    """Say how long a window is: `an hour`, `30 minutes`."""
    if minutes == 60:
        return "an hour"
    return f"{minutes // 60} hours" if minutes % 60 == 0 else f"{minutes} minutes"


def headline(alert: Alert) -> str:
    """Say what is unusual and how much: `41 negative mentions in an hour, about 5 are usual (8 times as many)`."""
    if alert.reason:
        return alert.reason
    return words_of(alert.reading, alert.window_minutes)


def words_of(reading: Reading, window_minutes: int) -> str:
    """Say what one window holds against what is usual."""
    within = span(window_minutes)
    unsure = "; there is little history yet to compare with" if reading.little_history else ""
    if reading.metric in _WHAT:
        usual = _count(reading.expected)
        times = f" ({reading.ratio:.0f} times as many)" if reading.ratio is not None and reading.ratio >= 2 else ""
        return f"{reading.observed:,.0f} {_WHAT[reading.metric]} in {within}, {usual} usual{times}{unsure}"
    if reading.metric is Metric.NEGATIVE_SHARE:
        return (
            f"{reading.observed:.0%} of {reading.mentions:,} mentions in {within} are negative, "
            f"about {reading.expected:.0%} are usual{unsure}"
        )
    return (
        f"net sentiment of {reading.mentions:,} mentions in {within} is {_net(reading.observed)}, "
        f"about {_net(reading.expected)} is usual{unsure}"
    )


def _net(value: float) -> str:
    rounded = round(100 * value)
    # Nothing has no sign.
    return f"{rounded:+d}" if rounded else "0"


def _count(expected: float) -> str:
    if expected < 0.95:
        return "fewer than one is"
    return f"about {expected:,.0f} {'is' if round(expected) == 1 else 'are'}"
