"""How each live source fares, and whether it is silent beyond its own rhythm."""

from __future__ import annotations

import threading
from bisect import insort
from collections import deque
from collections.abc import Sequence
from datetime import datetime

from domain.clock import Clock
from domain.listening import SourceReport, SourceState
from ingest.source import Gap, Item, Vitals

_RATE_SECONDS = 60.0
_REASON_CHARS = 300


class Rhythm:
    """Learns how long a source is usually silent between two batches; not thread-safe.

    Silence counts as unusual beyond five times the longest 1 % of the last thousand pauses, and a minute at least. With
    fewer than fifty pauses nothing is known of a source.
    """

    ENOUGH = 50
    LEAST_SECONDS = 60.0
    _KEPT = 1_000
    _TIMES = 5.0

    def __init__(self) -> None:
        self._order: deque[float] = deque()
        self._sorted: list[float] = []
        self._last: float | None = None

    def came(self, now: float) -> None:
        """Something came at `now` (monotonic seconds)."""
        if self._last is not None:
            pause = now - self._last
            self._order.append(pause)
            insort(self._sorted, pause)
            if len(self._order) > self._KEPT:
                self._sorted.remove(self._order.popleft())
        self._last = now

    @property
    def patience_seconds(self) -> float | None:
        """How long a silence is usual; None while nothing is known."""
        if len(self._sorted) < self.ENOUGH:
            return None
        return max(self.LEAST_SECONDS, self._TIMES * self._sorted[int(0.99 * (len(self._sorted) - 1))])

    def is_silent(self, now: float) -> bool:
        """Tell whether the silence that lasts until `now` is unusual."""
        patience = self.patience_seconds
        return patience is not None and self._last is not None and now - self._last > patience


class SourceWatch:
    """Keeps the status of one source. Thread-safe."""

    def __init__(self, source: str, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._lock = threading.Lock()
        self._state, self._since, self._reason = SourceState.STARTING, clock.now(), ""
        self._vitals = Vitals(connected=False)
        self._rhythm = Rhythm()
        self._recent: deque[tuple[float, int]] = deque()
        self._items = self._gaps = self._errors = 0
        self._item_at: datetime | None = None

    def got(self, items: Sequence[Item], vitals: Vitals) -> None:
        """A read went well; it may have given nothing."""
        now = self._clock.monotonic()
        gaps = sum(isinstance(item.content, Gap) for item in items)
        with self._lock:
            self._vitals = vitals
            if vitals.connected:
                self._enter(SourceState.LISTENING, "")
            self._gaps += gaps
            if number := len(items) - gaps:
                self._items += number
                self._item_at = self._clock.now()
                self._recent.append((now, number))
                self._rhythm.came(now)

    def trouble(self, state: SourceState, reason: str, vitals: Vitals | None = None) -> bool:
        """The source is not read, and why; gives whether that is news."""
        with self._lock:
            self._vitals = vitals or self._vitals
            if state is not SourceState.PAUSED:
                self._errors += 1
            return self._enter(state, " ".join(reason.split())[:_REASON_CHARS])

    def stopped(self) -> None:
        """It is no longer read by this process."""
        with self._lock:
            self._enter(SourceState.STOPPED, "")

    def _enter(self, state: SourceState, reason: str) -> bool:
        news = (state, reason) != (self._state, self._reason)
        if state is not self._state:
            self._since = self._clock.now()
        self._state, self._reason = state, reason
        return news

    def look(self) -> SourceReport:
        """Give the status now."""
        now = self._clock.monotonic()
        with self._lock:
            while self._recent and now - self._recent[0][0] > _RATE_SECONDS:
                self._recent.popleft()
            vitals = self._vitals
            return SourceReport(
                source=self._source,
                at=self._clock.now(),
                state=self._state,
                since=self._since,
                reason=self._reason,
                silent=self._state is SourceState.LISTENING and self._rhythm.is_silent(now),
                item_at=self._item_at,
                event_at=vitals.event_at,
                items=self._items,
                per_minute=float(sum(number for _, number in self._recent)),
                gaps=self._gaps,
                errors=self._errors + vitals.errors,
                spent_today=vitals.spent_today,
                currency=vitals.currency,
                note=vitals.note,
            )
