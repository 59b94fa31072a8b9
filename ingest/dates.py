"""Dates as the world writes them, to aware UTC; what cannot be read is refused, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo

# Nobody posted before the web; a later date than tomorrow's is no clock running ahead but a mistake.
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_FUTURE = timedelta(days=1)

# What pandas and databases write for "no date".
ABSENT = frozenset({"", "nan", "nat", "none", "null", "n/a"})

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# 10 digits are seconds from 2001 to 2286, 13 milliseconds, 16 microseconds, 19 nanoseconds.
_EPOCH_UNITS = ((10**11, 1), (10**14, 10**3), (10**17, 10**6), (10**20, 10**9))
_NUMERIC = re.compile(r"([0-9]{9,19})(?:\.([0-9]{1,9}))?", re.ASCII)
# `fromisoformat` knows neither a space before the offset nor zone names.
_FLAGS = re.ASCII | re.IGNORECASE
_ISO_ZONE = re.compile(r"([0-9T :.,-]{8,40}?[0-9]) ?(?:(Z|UTC|GMT)|([+-][0-9]{2}):?([0-9]{2}))", _FLAGS)
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1
    )
}
_TIME = r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?"
_ZONE = r"([+-][0-9]{4}|[A-Z]{1,4})"
# RFC 2822: "Tue, 17 Feb 2015 07:36:05 +0000"; X and ctime: "Tue Feb 17 07:36:05 +0000 2015".
_RFC_2822 = re.compile(rf"(?:[A-Z]{{3}}, ?)?([0-9]{{1,2}}) ([A-Z]{{3}}) ([0-9]{{4}}) {_TIME}(?: {_ZONE})?", _FLAGS)
_CTIME = re.compile(rf"[A-Z]{{3}} ([A-Z]{{3}}) {{1,2}}([0-9]{{1,2}}) {_TIME}(?: {_ZONE})? ([0-9]{{4}})", _FLAGS)
# RFC 2822, section 4.3: the named zones that are defined.
_NAMED_ZONES = {
    "Z": 0, "UT": 0, "UTC": 0, "GMT": 0,
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip


def parse_date(value: object, *, formats: Sequence[str] = (), zone: tzinfo = UTC) -> datetime | None:
    """Read a date, or None when there is none ("", "NaN", "null").

    Understood, in this order: a `datetime`; a number or a string of 9 to 19 digits, since 1970 in seconds,
    milliseconds, microseconds or nanoseconds (told by size); `formats` (as of `strptime`); ISO 8601, also with a
    space for the T or before the offset; RFC 2822; X's and ctime's form. A date without a zone is read in `zone`,
    a day without a time is its midnight. "03/04/2015" needs a format: nobody can know which is the month.

    Raises:
        ValueError: none of these; the message says what was found.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float, datetime)):
        raise ValueError(f"found {type(value).__name__}, expected a date as text or a number")
    try:
        if isinstance(value, datetime):
            return _to_utc(value, zone)
        if isinstance(value, str):
            text = value.strip()
            return None if text.lower() in ABSENT else _to_utc(_parse_text(text, formats), zone)
        return _from_epoch(value)
    except OverflowError as exc:
        raise ValueError(f"found {str(value)[:40]!r}, which lies outside the years 1 to 9999") from exc


def in_range(moment: datetime, now: datetime) -> bool:
    """Tell whether a post can have been written then: from 1990 until a day from now."""
    return EARLIEST <= moment <= now + MAX_FUTURE


def _to_utc(moment: datetime, zone: tzinfo) -> datetime:
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(UTC)


def _from_epoch(number: int | float) -> datetime:
    if number != number or abs(number) >= _EPOCH_UNITS[-1][0]:
        raise ValueError(f"found the number {str(number)[:40]}, expected a time since 1970")
    per_second = next(unit for limit, unit in _EPOCH_UNITS if abs(number) < limit)
    if isinstance(number, int):
        return _EPOCH + timedelta(microseconds=number * 10**6 // per_second)
    return _EPOCH + timedelta(seconds=number / per_second)


def _parse_text(text: str, formats: Sequence[str]) -> datetime:
    if len(text) > 64:
        raise ValueError(f"found {text[:40]!r}... ({len(text)} characters), expected a date")
    for pattern in formats:
        try:
            return datetime.strptime(text, pattern)  # noqa: DTZ007 (the caller adds the zone)
        except ValueError:
            continue
    if match := _NUMERIC.fullmatch(text):
        return _from_epoch(float(text) if match[2] else int(text))
    parsed = _parse_iso(text) or _parse_named_month(text)
    if parsed is None:
        expected = "ISO 8601 (2015-02-17T07:36:05Z), RFC 2822 or seconds since 1970"
        raise ValueError(f"found {text[:40]!r}, expected {expected}; try date_formats, as '%d/%m/%Y %H:%M'")
    return parsed


def _parse_iso(text: str) -> datetime | None:
    if match := _ISO_ZONE.fullmatch(text):
        text = f"{match[1]}{'+00:00' if match[2] else f'{match[3]}:{match[4]}'}"
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _parse_named_month(text: str) -> datetime | None:
    if match := _RFC_2822.fullmatch(text):
        day, month, year, hour, minute, second, zone = match.groups()
    elif match := _CTIME.fullmatch(text):
        month, day, hour, minute, second, zone, year = match.groups()
    else:
        return None
    number = _MONTHS.get(month.lower())
    if number is None:
        return None
    try:
        moment = datetime(int(year), number, int(day), int(hour), int(minute), int(second or 0))  # noqa: DTZ001
        return moment if zone is None else moment.replace(tzinfo=_zone(zone))
    except ValueError:
        return None


def _zone(text: str) -> tzinfo:
    if text[0] in "+-":
        offset = timedelta(hours=int(text[1:3]), minutes=int(text[3:5]))
        return timezone(-offset if text[0] == "-" else offset)
    hours = _NAMED_ZONES.get(text.upper())
    if hours is None:
        raise ValueError(f"unknown zone {text}")
    return timezone(timedelta(hours=hours))
