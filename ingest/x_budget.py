"""What X costs, and what was spent: in the currency of its prices, a day of UTC at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(slots=True)
class Meter:
    """What was spent on a day (of UTC). Not thread-safe."""

    day: str = ""
    spent: float = 0.0

    def roll(self, now: datetime) -> bool:
        """Begin anew with a new day, and tell whether it is one. A clock that is set back begins none."""
        today = now.strftime("%Y-%m-%d")
        if today <= self.day:
            return False
        self.day, self.spent = today, 0.0
        return True

    def add(self, cost: float) -> None:
        """Count a cost."""
        self.spent = round(self.spent + cost, 6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What X costs, and how much of it a day may cost."""

    price_per_post: float = 0.005
    price_per_author: float = 0.01
    daily: float = 10.0
    currency: str = "USD"

    def is_spent(self, meter: Meter) -> bool:
        """Tell whether nothing more may be read today."""
        return meter.spent >= self.daily

    def surely(self, meter: Meter) -> int:
        """Give how many posts may still be read today if each came with a new author; one while anything is left."""
        if self.is_spent(meter):
            return 0
        dearest = self.price_per_post + self.price_per_author
        return max(1, int((self.daily - meter.spent) / dearest)) if dearest else 1_000_000

    def affordable(self, meter: Meter) -> int:
        """Give how many posts may still be read today."""
        left = max(0.0, self.daily - meter.spent)
        return int(left / self.price_per_post) if self.price_per_post else 1_000_000
