"""Time as the rooms see it: injected, aware and in UTC, so that tests can own it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Clock(Protocol):
    """Where the service reads time and waits."""

    def now(self) -> datetime:
        """Give the time of day, aware, in UTC. May jump."""

    def monotonic(self) -> float:
        """Give seconds that never go back, for durations."""

    def sleep(self, seconds: float) -> None:
        """Wait; returns at once for 0 or less."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)


def to_ms(moment: datetime) -> int:
    """Give milliseconds since 1970 (negative before), rounded down. Exact: no float is involved.

    Raises:
        ValueError: `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"expected an aware datetime, found the naive {moment!r}")
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(milliseconds: int) -> datetime:
    """Give the aware UTC time of milliseconds since 1970.

    Raises:
        OverflowError: outside the years 1 to 9999.
    """
    return _EPOCH + timedelta(milliseconds=milliseconds)
