"""Waiting before another try: longer each time, and never in step with others."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """A ladder of waits with full jitter: each is drawn from 0 to `first * 2 ** tries`, within `least` and `most`.

    Full jitter after Brooker, "Exponential Backoff and Jitter" (2015): many clients that were cut off together do not
    come back together.
    """

    first_seconds: float = 1.0
    most_seconds: float = 60.0
    least_seconds: float = 0.25
    tries: int = 0
    chance: random.Random = field(default_factory=random.Random)

    def next(self) -> float:
        """Give the wait in seconds before the next try, and climb."""
        ceiling = min(self.most_seconds, self.first_seconds * 2.0 ** min(self.tries, 30))
        self.tries += 1
        return max(self.least_seconds, self.chance.uniform(0.0, ceiling))

    def reset(self) -> None:
        """A try went well."""
        self.tries = 0
