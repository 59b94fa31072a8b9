"""When parking stops being care for one bad record and starts to hide a fault that hits them all."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from domain.records import Outcome


@dataclass(frozen=True, slots=True)
class ParkCap:
    """How many parked records are too many: `consecutive` in a row, or more than `share` of the last `window`.

    The share counts once `window` records were seen. For a replay of a file that may be mostly bad, raise them;
    `ParkCap(consecutive=2**63, share=1.0)` never stops.
    """

    consecutive: int = 1_000
    share: float = 0.5
    window: int = 2_000

    def __post_init__(self) -> None:
        if self.consecutive < 1 or self.window < 1 or not 0.0 <= self.share <= 1.0:
            raise ValueError(
                f"expected consecutive >= 1, window >= 1 and share in [0, 1], "
                f"found {self.consecutive}, {self.window}, {self.share}"
            )


class ParkWatch:
    """Watches the outcomes of one worker against its cap. Not thread-safe."""

    def __init__(self, cap: ParkCap) -> None:
        self._cap = cap
        self._in_a_row = 0
        self._window: deque[bool] = deque(maxlen=cap.window)
        self._parked_in_window = 0

    def exceeded(self, outcomes: Iterable[Outcome]) -> str | None:
        """Take more outcomes in; say how the cap is exceeded, or None. RETRIED ones are not final: leave them out."""
        for outcome in outcomes:
            parked = outcome is Outcome.PARKED
            if len(self._window) == self._cap.window:
                self._parked_in_window -= self._window[0]
            self._window.append(parked)
            self._parked_in_window += parked
            self._in_a_row = self._in_a_row + 1 if parked else 0
            if self._in_a_row >= self._cap.consecutive:
                return f"{self._in_a_row:,} records in a row"
            if len(self._window) == self._cap.window and self._parked_in_window > self._cap.share * self._cap.window:
                return f"{self._parked_in_window:,} of the last {self._cap.window:,} records"
        return None
