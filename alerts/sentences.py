"""The sentences of a message: what was measured, what is usual, how sure it is, and how it stands."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, tzinfo
from typing import Final

from alerts.escaping import one_line
from alerts.records import Alert, Reading
from alerts.rule import Metric, Severity
from alerts.wording import headline, span

# Beyond it, a chance is only a large number.
_LEAST_CHANCE: Final = 6
MAX_NAME: Final = 60

SEVERITY_WORDS: Final = {Severity.INFO: "Info", Severity.WARNING: "Warning", Severity.CRITICAL: "Critical"}


def number(value: float) -> str:
    """Write a count: whole from three on, with one digit below, commas between thousands."""
    if value >= 3 or abs(value - round(value)) < 0.05:
        return f"{round(value):,}"
    return f"{value:.1f}"


def net(value: float) -> str:
    """Write a net sentiment of [-1, 1] as -100 to +100, with a real minus."""
    rounded = round(value * 100)
    return f"{'−' if rounded < 0 else '+' if rounded > 0 else ''}{abs(rounded)}"


def measured(metric: Metric, value: float) -> str:
    """Write a value of a metric in its own unit."""
    if metric is Metric.NEGATIVE_SHARE:
        return f"{round(100 * value)} %"
    return net(value) if metric is Metric.NET_SENTIMENT else number(value)


def counted(count: int, noun: str) -> str:
    """Write `1 author`, `2 authors`, `3 stories`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def lasting(length: timedelta) -> str:
    """Write a length of time: `5 minutes`, `1 hour`, `1 hour 30 minutes`, `2 days`."""
    minutes = max(1, round(length / timedelta(minutes=1)))
    days, hours, minutes = minutes // 1440, minutes % 1440 // 60, minutes % 60
    parts = [(days, "day"), (hours, "hour"), (minutes, "minute")]
    return " ".join(counted(count, noun) for count, noun in parts if count)


def moment(at: datetime, zone: tzinfo) -> str:
    """Write a moment in a zone: `22 Feb 2015, 21:30`."""
    local = at.astimezone(zone)
    return f"{local.day} {local:%b %Y, %H:%M}"


def moments(start: datetime, end: datetime, zone: tzinfo) -> str:
    """Write a span of time with its zone: `20:30 to 21:30 on 22 Feb 2015 (Europe/Berlin)`."""
    first, last = start.astimezone(zone), end.astimezone(zone)
    if first.date() == last.date():
        return f"{first:%H:%M} to {last:%H:%M} on {last.day} {last:%b %Y} ({zone})"
    return f"{moment(start, zone)} to {moment(end, zone)} ({zone})"


def brand_name(alert: Alert) -> str:
    """Give the brand as one short line; the operator names it, a file may hold anything."""
    return one_line(alert.brand, MAX_NAME) or alert.brand_id


def subject_line(alert: Alert) -> str:
    """Say in one line of which brand what is unusual: the subject of a mail."""
    name = f"{brand_name(alert)}: " if alert.brand_id else ""
    # That there is little history is told below it.
    plain = replace(alert, reading=replace(alert.reading, little_history=False))
    return one_line(f"{name}{headline(plain) or alert.rule}", 180)


def _counted_mentions(alert: Alert) -> str:
    kind = "negative mention" if alert.metric is Metric.NEGATIVE else "mention"
    return counted(round(alert.reading.observed), kind)


def explanation(alert: Alert, zone: tzinfo) -> list[str]:
    """Say in sentences what was measured, what is usual, how surely it is no chance, and over whom it is spread."""
    if not alert.brand_id:
        return [one_line(alert.reason, 500)]
    reading = alert.reading
    start = reading.end - timedelta(minutes=alert.window_minutes)
    sentences = [f"{moments(start, reading.end, zone)}: {_measured_sentence(alert)}", _usual(reading)]
    if chance := _chance(alert):
        sentences.append(chance)
    if alert.authors is not None and alert.stories is not None:
        authors, stories = counted(alert.authors, "author"), counted(alert.stories, "different story")
        mentions = "The mention comes" if reading.mentions == 1 else "The mentions come"
        tell = "tells" if reading.mentions == 1 else "tell"
        sentences.append(f"{mentions} from {authors} and {tell} {stories}.")
    if reading.little_history:
        sentences.append("There is little history of this brand yet, so what is usual is partly assumed.")
    return sentences


def _measured_sentence(alert: Alert) -> str:
    name, reading = brand_name(alert), alert.reading
    if alert.metric is Metric.NEGATIVE_SHARE:
        share = measured(alert.metric, reading.observed)
        return f"{share} of {counted(reading.mentions, 'mention')} of {name} are negative."
    if alert.metric is Metric.NET_SENTIMENT:
        return f"net sentiment of {name} is {net(reading.observed)} in {counted(reading.mentions, 'mention')}."
    return f"{_counted_mentions(alert)} of {name}."


def _usual(reading: Reading) -> str:
    metric = reading.metric
    expected = measured(metric, reading.expected)
    low, high = measured(metric, reading.low), measured(metric, reading.high)
    if metric is Metric.NET_SENTIMENT:
        return f"At this time of day and week {expected} is usual; down to {low} would not be strange."
    verb = "is" if metric is Metric.NEGATIVE_SHARE or expected == "1" else "are"
    return f"At this time of day and week {expected} {verb} usual; up to {high} would not be strange."


def _chance(alert: Alert) -> str:
    """Say how rarely chance does this; rounded down to a power of ten, and nothing where that says little."""
    power = int(min(alert.reading.surprise, _LEAST_CHANCE))
    if power < 2:
        return ""
    least = "less often than once" if alert.reading.surprise >= _LEAST_CHANCE else "about once"
    return f"By chance this happens {least} in {10**power:,} such windows of {span(alert.window_minutes)}."


def standing(alert: Alert, zone: tzinfo) -> str:
    """Say how it stands: since when it goes on, or when it ended, and who has seen it."""
    if alert.resolved_at is not None:
        lasted = lasting(max(alert.resolved_at - alert.started_at, timedelta(minutes=1)))
        words = f"It is over since {moment(alert.resolved_at, zone)} ({zone}), after {lasted}."
    else:
        words = f"It goes on since {moment(alert.started_at, zone)} ({zone})."
    if alert.acknowledged_at is not None:
        words += f" {one_line(alert.acknowledged_by, MAX_NAME) or 'Somebody'} has seen it."
    return words
