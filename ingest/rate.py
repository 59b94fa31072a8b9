"""How often something may be done: a bucket of tokens that fills up again."""

from __future__ import annotations

import threading

from domain.clock import Clock


class TokenBucket:
    """Lets `per_second` through on average, and `burst` at once. Thread-safe."""

    def __init__(self, per_second: float, burst: float, clock: Clock) -> None:
        self._per_second, self._burst, self._clock = per_second, burst, clock
        self._lock = threading.Lock()
        self._tokens, self._at = burst, clock.monotonic()

    def take(self) -> float:
        """Take a token; gives 0.0, or the seconds until there is one again: then none was taken."""
        with self._lock:
            now = self._clock.monotonic()
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
            self._at = now
            if self._tokens < 1.0:
                return (1.0 - self._tokens) / self._per_second
            self._tokens -= 1.0
            return 0.0
