"""How the sources fare, as people read it: one state a source, and when each was deaf."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from domain.listening import SourceReport
from search.listening import GapReport
from search.store import Store

# What the page shows of gaps, and what the page of mentions warns of where no dates were chosen.
SHOWN = timedelta(days=7)
RECENT = timedelta(days=1)
# Whoever reconnects within it was not deaf for anybody.
MOMENT = timedelta(seconds=20)
OFF, LOST = "switched off", "not heard of"


@dataclass(frozen=True, slots=True)
class SourceView:
    """A source as it is shown. `mood` is good, waiting or wrong; `words` say its state, `why` the reason."""

    report: SourceReport
    mood: str
    words: str
    why: str


@dataclass(frozen=True, slots=True)
class Strip:
    """Gaps of one source on a line: where each begins and how long it is, in percent of the time that is shown."""

    source: str
    gaps: tuple[tuple[float, float, GapReport], ...]


def read_sources(store: Store, now: datetime, enabled: Sequence[str] | None = None) -> tuple[SourceView, ...]:
    """Give every source that was ever heard of.

    Args:
        store: that knows them.
        now: the time.
        enabled: those that are to be listened to; None where that is not known.

    Raises:
        RetryLater, BackendDown: the store cannot be read.
    """
    return tuple(_view(report, now, enabled) for report in store.sources())


def deaf_now(sources: Iterable[SourceView], now: datetime) -> tuple[SourceView, ...]:
    """Give the sources that are to be listened to and are not, once that has lasted for a moment."""
    return tuple(
        source
        for source in sources
        if source.words not in ("listening", "silent", "starting", "stopped", OFF)
        and (source.report.since is None or now - source.report.since >= MOMENT or source.words == LOST)
    )


def _view(report: SourceReport, now: datetime, enabled: Sequence[str] | None) -> SourceView:
    if enabled is not None and report.source not in enabled and (report.is_stale(now) or report.state == "stopped"):
        return SourceView(report, "waiting", OFF, "not named in sources.enabled any more")
    if report.is_stale(now):
        return SourceView(report, "wrong", LOST, "the process that listened has ended or hangs")
    if report.state == "listening" and report.silent:
        return SourceView(report, "waiting", "silent", "connected, but silent for longer than is usual for it")
    if report.state == "listening":
        return SourceView(report, "good", "listening", "")
    moods = {"refused": "wrong", "stopped": "waiting"}
    return SourceView(report, moods.get(report.state, "waiting"), report.state or "unknown", report.reason)


def strips(gaps: Iterable[GapReport], sources: Iterable[str], start: datetime, end: datetime) -> tuple[Strip, ...]:
    """Lay gaps on lines from `start` to `end`, one line for each source that has any."""
    found: dict[str, list[tuple[float, float, GapReport]]] = {source: [] for source in sources}
    whole = (end - start) / timedelta(seconds=1)
    for gap in gaps:
        first, last = max(gap.start, start), min(gap.end, end)
        left, width = (first - start).total_seconds() / whole, (last - first).total_seconds() / whole
        # A moment is still seen.
        found.setdefault(gap.source, []).append((100 * left, max(0.3, 100 * width), gap))
    return tuple(Strip(source, tuple(rows)) for source, rows in found.items() if rows)


def lasted(gap: GapReport) -> str:
    """Say how long a gap was: `3 s`, `12 min`, `2 h 5 min`, `3 d 4 h`."""
    seconds = max(0, round((gap.end - gap.start).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    large, small = (f"{hours} h", f"{minutes} min") if hours < 24 else (f"{hours // 24} d", f"{hours % 24} h")
    return large if small.startswith("0 ") else f"{large} {small}"


def recovery(gap: GapReport) -> str:
    """Say what was fetched of a gap afterwards."""
    if gap.recovered is None:
        return "nothing was tried"
    how = f" by {gap.method}" if gap.method else ""
    return f"{gap.recovered:,}{how}"


def warn_of(gaps: Sequence[GapReport]) -> tuple[GapReport, ...]:
    """Give what a reader of figures must know: the gaps of which something may still be missing, the longest first."""
    return tuple(sorted(gaps, key=lambda gap: gap.start - gap.end))[:3]
