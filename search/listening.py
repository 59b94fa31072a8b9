"""What the store knows of listening: how each source fared when it was last heard of, and when it was deaf."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.clock import from_ms
from domain.records import Event

# A source beats every ten seconds: whoever missed this many beats is not heard of.
STALE_SECONDS = 45.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """The last heartbeat of a source. Counts are of the process that listened; `state` is `ingest.status.SourceState`.

    `item_at` is when something last came, `event_at` the time of the newest thing by the source's own clock.
    """

    source: str
    at: datetime
    state: str
    since: datetime | None = None
    reason: str = ""
    silent: bool = False
    item_at: datetime | None = None
    event_at: datetime | None = None
    behind_seconds: float | None = None
    items: int = 0
    per_minute: float = 0.0
    gaps: int = 0
    errors: int = 0
    spent_today: float | None = None
    currency: str = ""
    note: str = ""

    def is_stale(self, now: datetime) -> bool:
        """Tell whether nothing was heard of the source lately, though it was not stopped."""
        return self.state != "stopped" and (now - self.at).total_seconds() > STALE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class GapReport:
    """A span of time in which a source did not listen. `recovered` is None when nothing was tried."""

    source: str
    start: datetime
    end: datetime
    reason: str = ""
    recovered: int | None = None
    method: str = ""

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Tell whether it touches `[start, end)`."""
        return self.start < end and self.end > start


def report_of(event: Event) -> SourceReport | None:
    """Give what a heartbeat says; None for another event."""
    if event.kind != "heartbeat":
        return None
    detail = event.detail
    return SourceReport(
        source=event.source,
        at=event.at,
        state=str(detail.get("state", "")),
        since=_moment(detail.get("since_ms")),
        reason=str(detail.get("reason") or ""),
        silent=bool(detail.get("silent")),
        item_at=_moment(detail.get("item_at_ms")),
        event_at=_moment(detail.get("event_at_ms")),
        behind_seconds=_number(detail.get("behind_seconds")),
        items=int(_number(detail.get("items")) or 0),
        per_minute=_number(detail.get("per_minute")) or 0.0,
        gaps=int(_number(detail.get("gaps")) or 0),
        errors=int(_number(detail.get("errors")) or 0),
        spent_today=_number(detail.get("spent_today")),
        currency=str(detail.get("currency") or ""),
        note=str(detail.get("note") or ""),
    )


def gap_of(event: Event) -> GapReport | None:
    """Give the gap that an event tells of; None for another event."""
    start, end = _moment(event.detail.get("start_ms")), _moment(event.detail.get("end_ms"))
    if event.kind != "gap" or start is None or end is None:
        return None
    recovered = _number(event.detail.get("recovered"))
    return GapReport(
        source=event.source,
        start=start,
        end=end,
        reason=str(event.detail.get("reason") or ""),
        recovered=None if recovered is None else int(recovered),
        method=str(event.detail.get("method") or ""),
    )


def newest(events: Iterable[Event]) -> list[SourceReport]:
    """Give the newest report of each source, by name."""
    found: dict[str, SourceReport] = {}
    for event in events:
        report = report_of(event)
        if report is not None and (report.source not in found or found[report.source].at <= report.at):
            found[report.source] = report
    return [found[source] for source in sorted(found)]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _moment(value: object) -> datetime | None:
    try:
        return from_ms(value) if isinstance(value, int) else None
    except OverflowError:
        return None
