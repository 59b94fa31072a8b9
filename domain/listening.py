"""How a live source fares: written as an event once, and read back from it by whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from domain.clock import from_ms, to_ms
from domain.records import Event

# A source beats every ten seconds: whoever missed this many beats is not heard of.
STALE_SECONDS: Final = 45.0

Detail: TypeAlias = Mapping[str, str | int | float | bool | None]


class SourceState(StrEnum):
    """What a source is doing."""

    STARTING = "starting"
    LISTENING = "listening"
    # It cannot be reached, or asked for patience; it is tried again.
    WAITING = "waiting"
    # It refuses us, or gave too much that cannot be read; tried again every few minutes.
    REFUSED = "refused"
    # Not read for want of room: the disk, or a stage that is far behind.
    PAUSED = "paused"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """One heartbeat of a source. Counts are of the process that listens; `per_minute` is of the last minute.

    `state` is a `SourceState`, or what another version calls it. `item_at` is when something last came, `event_at` the
    time of the newest thing by the source's own clock.
    """

    source: str
    at: datetime
    state: str
    since: datetime | None = None
    reason: str = ""
    silent: bool = False
    item_at: datetime | None = None
    event_at: datetime | None = None
    items: int = 0
    per_minute: float = 0.0
    gaps: int = 0
    errors: int = 0
    spent_today: float | None = None
    currency: str = ""
    note: str = ""

    @property
    def behind_seconds(self) -> float | None:
        """How old the newest thing was when it was looked at; None while nothing came."""
        return None if self.event_at is None else max(0.0, (self.at - self.event_at).total_seconds())

    def is_stale(self, now: datetime) -> bool:
        """Tell whether nothing was heard of the source lately, though it was not stopped."""
        return self.state != SourceState.STOPPED and (now - self.at).total_seconds() > STALE_SECONDS

    def event(self) -> Event:
        """Give it as an event; times in it are ms since 1970, what is not known is left out."""
        behind = self.behind_seconds
        detail: dict[str, str | int | float | bool | None] = {
            "state": str(self.state),
            "since_ms": _ms(self.since),
            "silent": self.silent,
            "items": self.items,
            "per_minute": round(self.per_minute, 2),
            "gaps": self.gaps,
            "errors": self.errors,
            "reason": self.reason or None,
            "item_at_ms": _ms(self.item_at),
            "event_at_ms": _ms(self.event_at),
            # For whoever reads the events alone, such as a chart in Kibana.
            "behind_seconds": None if behind is None else round(behind, 3),
            "spent_today": self.spent_today,
            "currency": self.currency or None,
            "note": self.note or None,
        }
        known = {name: value for name, value in detail.items() if value is not None}
        return Event(kind="heartbeat", source=self.source, at=self.at, detail=known)


def report_of(event: Event) -> SourceReport | None:
    """Give what a heartbeat says; None for another event."""
    if event.kind != "heartbeat":
        return None
    detail = event.detail
    return SourceReport(
        source=event.source,
        at=event.at,
        state=str(detail.get("state", "")),
        since=moment_of(detail, "since_ms"),
        reason=str(detail.get("reason") or ""),
        silent=bool(detail.get("silent")),
        item_at=moment_of(detail, "item_at_ms"),
        event_at=moment_of(detail, "event_at_ms"),
        items=int(number_of(detail, "items") or 0),
        per_minute=number_of(detail, "per_minute") or 0.0,
        gaps=int(number_of(detail, "gaps") or 0),
        errors=int(number_of(detail, "errors") or 0),
        spent_today=number_of(detail, "spent_today"),
        currency=str(detail.get("currency") or ""),
        note=str(detail.get("note") or ""),
    )


def number_of(detail: Detail, name: str) -> float | None:
    """Give a number of an event's detail; None where there is none."""
    value = detail.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def moment_of(detail: Detail, name: str) -> datetime | None:
    """Give a time of an event's detail; None where there is none, or none that a calendar knows."""
    value = detail.get(name)
    try:
        return from_ms(value) if isinstance(value, int) else None
    except OverflowError:
        return None


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)
