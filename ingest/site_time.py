"""What time it is at a site, and how far its posts' own times are believed: none moves a place beyond the present."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# Earlier versions let a place be this much ahead (seconds): what was written since it was kept may not be read.
_ONCE_AHEAD = 3_600


def said_at(headers: Mapping[str, str], now: datetime) -> datetime:
    """Give when a server said something by its own clock, or `now` where it does not say; names in lower case."""
    try:
        said = parsedate_to_datetime(headers.get("date", ""))
    except (TypeError, ValueError):
        return now
    return said if said.tzinfo is not None else said.replace(tzinfo=UTC)


def not_ahead(place: int, present: int, *, slack: int = 0) -> int:
    """Give a place that was kept, in seconds since 1970, as it is to be gone on from.

    One that is ahead of the present by more than `slack` was moved there by a wrong time, while more was written.
    """
    return min(place, present) if place <= present + slack else min(place - _ONCE_AHEAD, present)
