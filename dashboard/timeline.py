"""The timeline above the mentions: what matched, by sentiment over time, with alerts and when sources were deaf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from alerts.records import Alert
from alerts.wording import headline
from dashboard.axes import Span, Tick, levels, place, stretch, time_ticks
from dashboard.counting import Measures, count
from dashboard.display import exact
from dashboard.question import SENTIMENT_CHOICES, Question, read_time
from domain.clock import to_ms
from domain.query.ast import And, Node, Range
from search.listening import GapReport
from search.store import SearchRequest, Sort, Store

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
# Up to here bars are hours; from there on days, or as many days as keep the bars apart on a narrow page.
_HOURLY: Final = timedelta(days=5)
_MOST_BARS: Final = 120
_MOST_GAPS: Final = 200
_MOST_ALERTS: Final = 50
# Years of days; what reaches further back holds a date that somebody made up.
_LONGEST: Final = timedelta(days=15 * 365)


@dataclass(frozen=True, slots=True)
class Part:
    """One sentiment of a bar, in percent of the plot from the top."""

    sentiment: str
    top: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One stretch of time: where its bar stands, and the mentions behind it."""

    start: datetime
    left: float
    width: float
    parts: tuple[Part, ...]
    measures: Measures
    words: str
    address: str


@dataclass(frozen=True, slots=True)
class AlertMark:
    """An alert on the timeline."""

    alert: Alert
    place: float
    words: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """What is drawn; `each` says how long a bar is."""

    start: datetime
    end: datetime
    each: str
    bars: tuple[Bar, ...]
    times: tuple[Tick, ...]
    levels: tuple[Tick, ...]
    gaps: tuple[Span, ...]
    marks: tuple[AlertMark, ...]

    @property
    def label(self) -> str:
        """Say what it shows."""
        return f"Mentions by sentiment, each {self.each} from {exact(self.start)} to {exact(self.end)}"


def read_timeline(store: Store, asked: Question, node: Node) -> Timeline | None:
    """Count what matches over time; None where nothing that matches has a date.

    Raises:
        RetryLater, BackendDown: the store cannot be read.
    """
    ends = _ends(store, asked, node)
    if ends is None:
        return None
    start, end, step = ends
    moments = count(store, node, interval="hour" if step < _DAY else "day").moments or ()
    folded: dict[int, Measures] = {}
    for moment, measures in moments:
        number = (moment - start) // step
        folded[number] = _sum(folded.get(number, Measures()), measures)
    top = levels(0, max((one.mentions for one in folded.values()), default=1))[-1]
    unit = timedelta(days=1) if step >= _DAY else _HOUR
    each = "hour" if step < _DAY else "day" if step == _DAY else f"{step // unit} days"
    return Timeline(
        start=start,
        end=end,
        each=each,
        bars=tuple(
            _bar(asked, start + number * step, step, measures, top, start, end)
            for number, measures in sorted(folded.items())
        ),
        times=time_ticks(start, end),
        levels=tuple(Tick(100 * (top - value) / top, f"{value:,.0f}") for value in levels(0, top)[1:]),
        gaps=(),
        marks=(),
    )


def marked(timeline: Timeline, gaps: Sequence[GapReport], alerts: Sequence[Alert]) -> Timeline:
    """Give a timeline with gaps and alerts on it."""
    start, end = timeline.start, timeline.end
    return replace(
        timeline,
        gaps=tuple(
            stretch(gap.start, gap.end, start, end, f"{gap.source} did not listen")
            for gap in sorted(gaps, key=lambda gap: gap.start - gap.end)[:_MOST_GAPS]
            if gap.end > start and gap.start < end
        ),
        marks=tuple(
            AlertMark(alert, place(alert.started_at, start, end), f"{alert.brand}: {headline(alert)}")
            for alert in alerts[-_MOST_ALERTS:]
            if start <= alert.started_at <= end
        ),
    )


def _ends(store: Store, asked: Question, node: Node) -> tuple[datetime, datetime, timedelta] | None:
    """Give from when to when, and how long a bar is."""
    dated = And((node, Range("published_at", None, None)))
    found = [
        next((m.published_at for m in store.search(SearchRequest(dated, sort=sort, limit=1)).mentions), None)
        for sort in (Sort.OLDEST, Sort.NEWEST)
    ]
    oldest, newest = found
    if oldest is None or newest is None or newest - oldest > _LONGEST:
        return None
    # A chosen period is shown whole where something is near its ends.
    low, high = read_time("from", asked.since), read_time("to", asked.until, end=True)
    if low is not None and oldest - low < _HOURLY:
        oldest = low
    if high is not None and high - newest < _HOURLY:
        newest = high - timedelta(microseconds=1)
    step = _HOUR if newest - oldest <= _HOURLY else _DAY
    start = datetime.fromtimestamp(to_ms(oldest) // 1000 // int(step.total_seconds()) * step.total_seconds(), UTC)
    if step == _DAY:
        step *= max(1, -(-((newest - start) // _DAY + 1) // _MOST_BARS))
    end = start + ((newest - start) // step + 1) * step
    return start, end, step


def _bar(
    asked: Question, at: datetime, step: timedelta, measures: Measures, top: float, start: datetime, end: datetime
) -> Bar:
    parts, height = [], 0.0
    for sentiment in SENTIMENT_CHOICES:
        share = 100 * getattr(measures, sentiment) / top
        if share:
            height += share
            parts.append(Part(sentiment, 100 - height, share))
    left = place(at, start, end)
    width = 100 * (step / (end - start))
    within = asked.between(at, at + step)
    names = ", ".join(f"{getattr(measures, one):,} {one}" for one in SENTIMENT_CHOICES if getattr(measures, one))
    words = f"{exact(at)}: {measures.mentions:,} mention{'' if measures.mentions == 1 else 's'} ({names})"
    # A hair between bars, so that they are seen to be several.
    return Bar(at, left + 0.08 * width, 0.84 * width, tuple(parts), measures, words, within.address())


def _sum(one: Measures, other: Measures) -> Measures:
    return Measures(
        mentions=one.mentions + other.mentions,
        negative=one.negative + other.negative,
        neutral=one.neutral + other.neutral,
        positive=one.positive + other.positive,
        unreliable=one.unreliable + other.unreliable,
    )
