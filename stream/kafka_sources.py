"""Who reads which source: sources are shared out over the partitions of a topic, and each partition has one owner."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from stream.kafka_broker import Broker, Committed, LostPartitions, Place, Rebalancing
from stream.kafka_layout import SOURCES, Layout
from stream.kafka_member import REBALANCE_SECONDS, SLICE_SECONDS

SOURCE_GROUP = "sources"


class SourceClaim:
    """A worker's claim on sources. `owned` must be called every few seconds, by one thread; it keeps the claim alive.

    A worker that dies is replaced after `session_seconds`, one that closes its claim at once. What was read of a
    source is settled by its owner only: the others are refused.
    """

    def __init__(
        self,
        broker: Broker,
        layout: Layout,
        sources: Sequence[str],
        taken_over: Callable[[Sequence[str]], None],
        closed: Callable[[SourceClaim], None],
        group: str = SOURCE_GROUP,
    ) -> None:
        """Use `KafkaLog.claim` instead."""
        self._layout, self._sources = layout, tuple(sources)
        self._taken_over, self._tell_closed = taken_over, closed
        self._subscriber = broker.subscriber(layout.group(group), [layout.name(SOURCES)])
        self._lock = threading.Lock()
        self._places: set[Place] = set()
        self._arriving: set[Place] = set()
        self._closed = False

    def covers(self, source: str) -> bool:
        """Tell whether this claim is about a source at all, owned or not."""
        return source in self._sources

    def owned(self, timeout_seconds: float = 0.0) -> frozenset[str]:
        """Keep the claim alive and give the sources whose reading is ours now.

        A source that is given for the first time has been taken over: its state is read to the end and its last
        settlement is redone.

        Raises:
            RetryLater: the broker does not answer.
            ConfigError: it refuses us.
        """
        with self._lock:
            if self._closed:
                raise ValueError("the claim is closed")
            self._follow(timeout_seconds)
            return frozenset(source for source in self._sources if self._place(source) in self._places)

    def _follow(self, timeout_seconds: float) -> None:
        # The records themselves are not wanted: the state is read outside the group.
        self._subscriber.poll(1, timeout_seconds)
        for change in self._subscriber.changes():
            if change.kind == "assigned":
                self._arriving.update(change.places)
                self._subscriber.pause(change.places)
            else:
                self._places.difference_update(change.places)
                self._arriving.difference_update(change.places)
        if self._arriving:
            self._taken_over([source for source in self._sources if self._place(source) in self._arriving])
            self._places |= self._arriving
            self._arriving.clear()

    def confirm(self, source: str) -> None:
        """Ask the broker whether a source is still ours, before anything is settled for it.

        Raises:
            LostPartitions: another worker has it.
            RetryLater: the broker does not answer.
        """
        place = self._place(source)
        deadline = time.monotonic() + REBALANCE_SECONDS
        with self._lock:
            while True:
                if self._closed or place not in self._places:
                    raise LostPartitions(f"source {source} is read by another worker now", 0.0)
                try:
                    self._subscriber.commit({place: Committed(0, "")})
                    return
                except Rebalancing:
                    if time.monotonic() > deadline:
                        raise
                self._follow(SLICE_SECONDS)

    def _place(self, source: str) -> Place:
        return self._layout.place(SOURCES, source)

    def close(self) -> None:
        """Give all sources up; another worker has them at once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._places.clear()
            self._subscriber.close()
        self._tell_closed(self)
