"""Items that somebody brings and waits for: handed to the one who reads, answered when they are durable."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from domain.errors import BadRecord
from domain.records import Outcome
from ingest.source import Item


@dataclass(slots=True)
class Settled:
    """What became of one item; `error` says why it was parked, `retracted` that it or its author is gone."""

    outcome: Outcome
    error: BadRecord | None = None
    retracted: bool = False


@dataclass(slots=True, eq=False)
class Delivery:
    """Items that belong together. `results` grows in their order; it is whole when all of them are durable."""

    items: Sequence[Item]
    results: list[Settled] = field(default_factory=list)
    given: int = 0
    # Nobody waits for it any more, or nothing more of it is settled.
    over: bool = False

    @property
    def durable(self) -> bool:
        """Whether every item is settled."""
        return len(self.results) == len(self.items)


class Intake:
    """Between threads that bring and one that reads and settles; holds `max_waiting` items at most. Thread-safe."""

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._changed = threading.Condition()
        self._queue: deque[Delivery] = deque()
        self._waiting = 0
        # Given and not settled yet, in order: to whom each belongs.
        self._out: list[Delivery] = []
        self._closed = False

    def offer(self, items: Sequence[Item]) -> Delivery | None:
        """Hand items over; None when so many wait that these cannot be taken, or when it is closed."""
        with self._changed:
            if self._closed or self._waiting + len(items) > self._max_waiting:
                return None
            delivery = Delivery(items)
            self._queue.append(delivery)
            self._waiting += len(items)
            self._changed.notify_all()
            return delivery

    def wait(self, delivery: Delivery, seconds: float) -> bool:
        """Wait until a delivery is durable; False when it is not by then: what was not given yet is never given."""
        with self._changed:
            self._changed.wait_for(lambda: delivery.durable or delivery.over, seconds)
            if not delivery.durable:
                self._drop(delivery)
            return delivery.durable

    def take(self, max_items: int, wait_seconds: float) -> list[Item]:
        """Give the next items, in the order in which they came; waits for the first.

        What was given before and never settled is not known to be durable: whoever waits for it is told so.
        """
        items: list[Item] = []
        with self._changed:
            for delivery in self._out:
                self._drop(delivery)
            self._out = []
            self._changed.wait_for(lambda: self._queue or self._closed, wait_seconds)
            while self._queue and len(items) < max_items:
                delivery = self._queue[0]
                part = delivery.items[delivery.given : delivery.given + max_items - len(items)]
                items += part
                self._out += [delivery] * len(part)
                delivery.given += len(part)
                self._waiting -= len(part)
                if delivery.given == len(delivery.items):
                    self._queue.popleft()
        return items

    def settled(
        self, outcomes: Sequence[Outcome], errors: Sequence[BadRecord], retracted: Collection[int] = ()
    ) -> None:
        """All that the last `take` gave is durable; see `ingest.source.Acknowledged`."""
        parked = iter(errors)
        with self._changed:
            for place, (delivery, outcome) in enumerate(zip(self._out, outcomes, strict=True)):
                error = next(parked, None) if outcome is Outcome.PARKED else None
                delivery.results.append(Settled(outcome, error, place in retracted))
            self._out = []
            self._changed.notify_all()

    def close(self) -> None:
        """Take nothing more, and tell whoever waits that it is not known to be durable."""
        with self._changed:
            self._closed = True
            for delivery in [*self._queue, *self._out]:
                self._drop(delivery)
            self._changed.notify_all()

    def _drop(self, delivery: Delivery) -> None:
        delivery.over = True
        if delivery in self._queue:
            self._queue.remove(delivery)
            self._waiting -= len(delivery.items) - delivery.given
        self._changed.notify_all()
