"""The chart of an alert as the server draws it: what was observed, against what was expected. No script is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from alerts.records import Alert, Reading
from alerts.rule import BUCKET_SECONDS, Metric
from alerts.sentences import measured
from alerts.wording import span
from dashboard.alert_desk import Curve
from dashboard.alert_words import METRICS, lasted
from dashboard.axes import Span, Tick, levels, place, stretch, time_ticks
from dashboard.display import exact

# What is drawn before an alert began and after it ended: a day shows what is usual, some hours how it went on.
BEFORE: Final = timedelta(hours=24)
AFTER: Final = timedelta(hours=6)
# More than this is not drawn: an alert that goes on for weeks is shown as it began.
MOST: Final = timedelta(days=4)
# Rows of the table: one each half hour, and the peak.
_ROW_MINUTES: Final = 30
_STEP: Final = timedelta(seconds=BUCKET_SECONDS)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. Paths are in a square of 1000 by 1000; ticks, spans and marks in percent."""

    label: str
    observed: str
    expected: str
    band: str
    hours: tuple[Tick, ...]
    levels: tuple[Tick, ...]
    firing: Span
    marks: tuple[Tick, ...]
    gaps: tuple[Span, ...]
    rows: tuple[Reading, ...]


def chart_span(alert: Alert, now: datetime) -> tuple[datetime, datetime]:
    """Give from when to when the chart of an alert goes; never further than the last bucket that is complete."""
    start = alert.started_at - BEFORE
    complete = now - (now - _EPOCH) % _STEP
    return start, min(complete, (alert.resolved_at or complete) + AFTER, start + MOST)


def draw(alert: Alert, curve: Curve, start: datetime, end: datetime) -> Chart | None:
    """Draw how the windows of an alert went; None where there is nothing to draw."""
    readings = [reading for reading in curve.readings if start <= reading.end <= end]
    if not readings:
        return None
    values = [value for one in readings for value in (one.observed, one.expected, one.low, one.high)]
    lowest = min(values) if alert.metric is Metric.NET_SENTIMENT else 0.0
    scale = levels(min(lowest, 0.0), max(max(values), _least(alert.metric)))
    bottom, top = scale[0], scale[-1]

    def point(reading: Reading, value: float) -> str:
        across = 10 * place(reading.end, start, end)
        down = 1000 * (top - min(max(value, bottom), top)) / (top - bottom)
        return f"{across:.1f} {down:.1f}"

    parts = list(_unbroken(readings))
    # It may have begun within the bucket that is not drawn yet.
    began = min(alert.started_at, end)
    return Chart(
        label=f"{METRICS[alert.metric].capitalize()} in {span(alert.window_minutes)}, every five minutes from "
        f"{exact(start)} to {exact(end)}, against what was usual",
        observed="".join(_line([point(one, one.observed) for one in part]) for part in parts),
        expected="".join(_line([point(one, one.expected) for one in part]) for part in parts),
        band="".join(
            _line([*(point(one, one.high) for one in part), *(point(one, one.low) for one in reversed(part))]) + "Z"
            for part in parts
        ),
        hours=time_ticks(start, end),
        levels=tuple(Tick(100 * (top - value) / (top - bottom), measured(alert.metric, value)) for value in scale),
        firing=stretch(began, alert.resolved_at or end, start, end, "the alert fires"),
        marks=(Tick(place(began, start, end), f"began {exact(alert.started_at)}"),),
        gaps=tuple(
            stretch(gap.start, gap.end, start, end, f"{gap.source} did not listen for {lasted(gap.end - gap.start)}")
            for gap in curve.gaps
            if gap.end > start and gap.start < end
        ),
        rows=tuple(
            one
            for one in readings
            if one.end.minute % _ROW_MINUTES == 0 or one.end in (alert.peak_at, readings[-1].end)
        ),
    )


def _least(metric: Metric) -> float:
    """Give how far up a chart reaches at least, so that a single mention does not look like a wall."""
    return {Metric.NEGATIVE_SHARE: 0.2, Metric.NET_SENTIMENT: 0.1}.get(metric, 4.0)


def _unbroken(readings: Sequence[Reading]) -> Iterator[list[Reading]]:
    """Give stretches without a missing reading: where nothing is known, nothing is drawn."""
    part: list[Reading] = []
    for reading in readings:
        if part and reading.end - part[-1].end > _STEP:
            yield part
            part = []
        part.append(reading)
    if part:
        yield part


def _line(points: Sequence[str]) -> str:
    return "M" + "L".join(points)
