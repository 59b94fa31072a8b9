"""A clock that moves only when told to: sleeping advances it and returns at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


class FakeClock:
    """Time owned by the test. Thread-safe; `slept` lists every sleep in seconds, in order."""

    def __init__(self, start: datetime = START) -> None:
        self._now, self._monotonic = start, 0.0
        self._lock = threading.Lock()
        self.slept: list[float] = []

    def now(self) -> datetime:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        with self._lock:
            return self._monotonic

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
        self.advance(max(seconds, 0.0))

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def set(self, moment: datetime) -> None:
        """Set the time of day, forwards or back; durations are not touched, as when a machine's clock is corrected."""
        with self._lock:
            self._now = moment
