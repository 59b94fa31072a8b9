"""Values of number and date fields as a query writes them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

MAX_INTEGER: Final = (1 << 63) - 1

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,19}", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})", re.ASCII)
_DATE: Final = re.compile(
    r"(?P<year>[0-9]{4})(?:-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,6}))?)?"
    r"(?P<zone>[Zz]|[+-][0-9]{2}:[0-9]{2})?)?)?)?",
    re.ASCII,
)
DATE_FORMS: Final = "a date such as 2024, 2024-05, 2024-05-31 or 2024-05-31T18:00:00Z"


def read_integer(text: str) -> int | None:
    """Read a whole number of at most 64 bits, or give None."""
    if not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if abs(number) <= MAX_INTEGER else None


def read_number(text: str) -> float | None:
    """Read a decimal number, or give None."""
    return float(text) if _NUMBER.fullmatch(text) else None


def read_period(text: str) -> tuple[datetime, datetime | None] | None:
    """Read a date as the span of time that it names, `[start, end)` in UTC, or give None.

    `2024` is that year, `2024-05` that month, `2024-05-31` that day, a time with or without seconds that minute,
    second or fraction. A time without a zone is in UTC. The end is None at the end of the year 9999.
    """
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    part = found.groupdict()
    try:
        start = datetime(
            int(part["year"]),
            int(part["month"] or 1),
            int(part["day"] or 1),
            int(part["hour"] or 0),
            int(part["minute"] or 0),
            int(part["second"] or 0),
            int((part["fraction"] or "0").ljust(6, "0")),
            tzinfo=UTC,
        )
        start -= _zone(part["zone"])
    except (ValueError, OverflowError):
        return None
    try:
        return start, _end(start, part)
    except (ValueError, OverflowError):
        return start, None


def _zone(zone: str | None) -> timedelta:
    if zone is None or zone in "Zz":
        return timedelta(0)
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 23 or minutes > 59:
        raise ValueError(f"no such zone: {zone}")
    offset = timedelta(hours=hours, minutes=minutes)
    return -offset if zone[0] == "-" else offset


def _end(start: datetime, part: dict[str, str | None]) -> datetime:
    if part["month"] is None:
        return start.replace(year=start.year + 1)
    if part["day"] is None:
        return (start + timedelta(days=31)).replace(day=1)
    if part["hour"] is None:
        return start + timedelta(days=1)
    if part["second"] is None:
        return start + timedelta(minutes=1)
    if part["fraction"] is None:
        return start + timedelta(seconds=1)
    return start + timedelta(microseconds=10 ** (6 - len(part["fraction"])))
