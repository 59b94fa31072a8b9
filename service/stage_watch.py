"""What a process knows of its stages: the metrics that it counts, whether they are in trouble, and their minutes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping

from dashboard.books import ENDS
from domain.clock import Clock
from domain.errors import BackendDown
from domain.metrics import BATCH_SECONDS, RETRIED, SETTLED
from service.freshness import FreshnessProbe
from service.prometheus import Meter
from service.stages import StageName
from stream.observer import SettledBatch

# A stage that tries again now and then is at work; one that has done nothing else for this long is not ready.
TROUBLE_SECONDS = 10.0


class StageWatch:
    """`stream.observer.Observer` of all stages of a process. Thread-safe."""

    def __init__(self, names: Iterable[StageName], meter: Meter, clock: Clock) -> None:
        self.names = tuple(names)
        self._meter, self._clock = meter, clock
        self._lock = threading.Lock()
        self._minute: dict[str, Counter[str]] = {name: Counter() for name in self.names}
        # Since when a stage does nothing but try again, and why.
        self._trouble: dict[str, tuple[float, str]] = {}
        self.freshness: FreshnessProbe | None = None
        for name in self.names:
            # From the beginning, so that the first increase is seen as one.
            for end in ENDS:
                meter.add(SETTLED, 0, name, end.value)
            meter.add(RETRIED, 0, name)

    def settled(self, batch: SettledBatch) -> None:
        numbers: Counter[str] = Counter()
        for count in batch.counts:
            # A dead letter that is retried leaves the books, and no record ends by that.
            if count.number > 0 and count.outcome in ENDS:
                numbers[count.outcome.value] += count.number
        for outcome, number in numbers.items():
            self._meter.add(SETTLED, number, batch.stage, outcome)
        self._meter.observe(BATCH_SECONDS, batch.seconds, batch.stage)
        with self._lock:
            self._trouble.pop(batch.stage, None)
            self._minute[batch.stage].update(numbers)
        if self.freshness is not None and batch.stage == "index":
            self.freshness.offer(batch.records)

    def retried(self, stage: str, records: int, trouble: str) -> None:
        self._meter.add(RETRIED, records, stage)
        with self._lock:
            self._minute[stage]["retried"] += records
            self._trouble.setdefault(stage, (self._clock.monotonic(), trouble))

    def at_rest(self, stage: str) -> None:
        with self._lock:
            self._trouble.pop(stage, None)

    def check(self) -> None:
        """See that every stage gets on.

        Raises:
            BackendDown: one does nothing but try again.
        """
        with self._lock:
            for stage, (since, why) in self._trouble.items():
                if self._clock.monotonic() - since >= TROUBLE_SECONDS:
                    raise BackendDown(f"stage {stage} gets nowhere: {why}")

    def take_minute(self, stage: str) -> Mapping[str, int]:
        """Give how many records met each outcome since this was last called, `retried` among them."""
        with self._lock:
            taken, self._minute[stage] = self._minute[stage], Counter()
        return taken

    def give_back(self, stage: str, minute: Mapping[str, int]) -> None:
        """Count once more what could not be told: it belongs to the next minute."""
        with self._lock:
            self._minute[stage].update(minute)
