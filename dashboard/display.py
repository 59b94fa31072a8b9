"""How numbers, times, links and texts are shown. Pure functions; escaping is the templates' work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.records import Span

# About eight lines of a post at full width; longer texts are shown around their first match.
MAX_SHOWN = 700
# A post of empty lines would push all others off the page.
_BLANK_LINES = re.compile(r"\n{3,}")
# How much of a cut text stands before its first match.
LEAD = 80


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of text that is shown one way: `matched` by the query, and/or where the brand is `named`."""

    text: str
    matched: bool = False
    named: bool = False


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What is shown of a text, and how many code points are not shown before and after it."""

    segments: tuple[Segment, ...]
    before: int = 0
    after: int = 0


def excerpt(text: str, matched: Iterable[Span], named: Iterable[Span], limit: int = MAX_SHOWN) -> Excerpt:
    """Cut a text into segments; spans may overlap and may end beyond the text. About linear.

    A text longer than `limit` code points is shown from a little before its first match.
    """
    hits = [(span.start, span.end, 0) for span in matched]
    names = [(span.start, span.end, 1) for span in named]
    first, last = 0, len(text)
    if len(text) > limit:
        focus = min((start for start, _, _ in hits or names), default=0)
        first = max(0, min(focus - LEAD, len(text) - limit))
        last = first + limit
    changes: dict[int, list[int]] = {}
    for start, end, kind in hits + names:
        start, end = max(start, first), min(end, last)
        if start < end:
            changes.setdefault(start, [0, 0])[kind] += 1
            changes.setdefault(end, [0, 0])[kind] -= 1
    segments, depth, at = [], [0, 0], first
    for place in [*sorted(changes), last]:
        if place > at:
            segments.append(Segment(_BLANK_LINES.sub("\n\n", text[at:place]), depth[0] > 0, depth[1] > 0))
            at = place
        for kind, change in enumerate(changes.get(place, ())):
            depth[kind] += change
    return Excerpt(tuple(segments), first, len(text) - last)


def grouped(number: int) -> str:
    """Write a whole number with commas between thousands."""
    return f"{number:,}"


def hundredths(value: float) -> str:
    """Write a net sentiment in [-1, 1] as -100 to +100 with its sign (a real minus, so that figures line up)."""
    rounded = round(value * 100)
    return f"{'−' if rounded < 0 else '+' if rounded > 0 else ''}{abs(rounded)}"


def exact(moment: datetime) -> str:
    """Write a UTC time in full, with its zone."""
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def relative(moment: datetime, now: datetime) -> str:
    """Write a time as people say it: `5 min ago`; the date when it is over a week ago or lies ahead."""
    age = now - moment
    if age < timedelta(minutes=-1) or age >= timedelta(days=7):
        return f"{moment.day} {moment:%b %Y}" if moment.year != now.year else f"{moment.day} {moment:%b}"
    minutes = max(0, age // timedelta(minutes=1))
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    return f"{minutes // 60} h ago" if minutes < 24 * 60 else f"{minutes // (24 * 60)} d ago"


def age(seconds: float) -> str:
    """Write a span of time shortly: `0.4 s`, `12 s`, `5 min`, `3 h`, `2 d`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length in (("s", 60), ("min", 60), ("h", 24)):
        if seconds < length:
            return f"{int(seconds)} {unit}"
        seconds /= length
    return f"{int(seconds)} d"
