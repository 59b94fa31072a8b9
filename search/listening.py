"""What the store knows of listening: how each source fared when it was last heard of, and when it was deaf."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from domain.listening import SourceReport, moment_of, number_of, report_of
from domain.records import Event


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


def gap_of(event: Event) -> GapReport | None:
    """Give the gap that an event tells of; None for another event."""
    start, end = moment_of(event.detail, "start_ms"), moment_of(event.detail, "end_ms")
    if event.kind != "gap" or start is None or end is None:
        return None
    recovered = number_of(event.detail, "recovered")
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
