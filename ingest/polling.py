"""Reading a source that is asked now and then, as one that goes on for ever."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from domain.clock import Clock
from ingest.source import Extent, Item, Vitals

# `read` waits no longer than this, so that whoever asks us to stop is heard.
_WAIT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Polled:
    """What one question brought: items in the order in which their cursors grow.

    `again_seconds` is the wait before the next question; None is the usual one, 0 when there is more at once.
    """

    items: Sequence[Item]
    vitals: Vitals
    again_seconds: float | None = None


@dataclass(slots=True)
class PollingReader:
    """`ingest.source.LiveReader` over a question that is asked every `every_seconds`.

    `poll` raises RetryLater or ConfigError and leaves things so that the next call asks the same again; `finish` lets
    go of its connections. `placed` gives the cursor behind all that `poll` gave, None where there is none yet; without
    it only items have one.
    """

    poll: Callable[[], Polled]
    every_seconds: float
    clock: Clock
    finish: Callable[[], None] = lambda: None
    placed: Callable[[], str | None] = lambda: None
    _placed: str | None = None
    _waiting: deque[Item] = field(default_factory=deque)
    _next_at: float = float("-inf")
    _vitals: Vitals = field(default_factory=lambda: Vitals(connected=False))

    def read(self, max_items: int) -> Sequence[Item]:
        """As the protocol."""
        if not self._waiting:
            left = self._next_at - self.clock.monotonic()
            if left > 0:
                self.clock.sleep(min(left, _WAIT_SECONDS))
                return ()
            self._ask()
        return [self._waiting.popleft() for _ in range(min(max_items, len(self._waiting)))]

    def _ask(self) -> None:
        try:
            polled = self.poll()
        except Exception:
            self._vitals = replace(self._vitals, connected=False)
            raise
        self._vitals = polled.vitals
        self._waiting.extend(polled.items)
        wait = self.every_seconds if polled.again_seconds is None else polled.again_seconds
        self._next_at = self.clock.monotonic() + wait

    def extent(self) -> Extent | None:
        """A live source has no end."""
        return None

    def vitals(self) -> Vitals:
        """As the protocol."""
        return self._vitals

    def place(self) -> str | None:
        """As `ingest.source.Placed`."""
        found = None if self._waiting else self.placed()
        if found is None or found == self._placed:
            return None
        self._placed = found
        return found

    def close(self) -> None:
        """As the protocol."""
        self.finish()
