"""A worker's place in a consumer group: what it was given, what it settled, and what it must not settle any more."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from domain.clock import from_ms
from domain.errors import RetryLater
from stream.kafka_broker import Broker, Committed, Fetched, LostPartitions, Place, Rebalancing
from stream.kafka_layout import Layout
from stream.kafka_totals import RunTotals, Totals
from stream.protocol import LIVE_RUN, Count, LogRecord

logger = logging.getLogger(__name__)

RUN_HEADER = "run"
# Taken from the client ahead of what is asked for, so that no topic waits behind a busy one: records, and their bytes.
AHEAD_RECORDS = 1_024
AHEAD_BYTES = 4 * 1024 * 1024
# A waiting poll lets go of the lock this often, for a commit of another thread and for closing.
SLICE_SECONDS = 0.2
# New partitions begin one by one, within some milliseconds: so long the first of them waits for the others.
START_SECONDS = 1.0
START_SLICE_SECONDS = 0.02
# A commit waits so long for the end of a rebalance, which needs every member of the group to poll.
REBALANCE_SECONDS = 15.0
# This often the broker is asked what there is to read: a client waits in silence for one that is away, and librdkafka
# may stop asking for a partition for ever when its leader was away for a moment.
LOOK_SECONDS = 5.0
# Bytes of other partitions before one that gives nothing is taken for stuck: what a client fetches ahead, some times.
STUCK_BYTES = 16 * 1024 * 1024


class MovedTotals(Protocol):
    """Where totals go that have no room beside the offset."""

    def read(self, group: str, place: Place, committed: int) -> Mapping[str, RunTotals]:
        """Give the totals of the moved runs that hold at this committed offset."""

    def write(self, group: str, place: Place, offset: int, runs: Mapping[str, RunTotals]) -> None:
        """Store totals that hold once `offset` is committed; returns when they are durable."""


@dataclass(slots=True)
class _Owned:
    """A partition that is ours: settled up to, given up to, and its books."""

    settled: int
    given: int
    totals: Totals
    moved: Mapping[str, RunTotals]
    waiting: deque[Fetched] = field(default_factory=deque)
    # Where it stood when it was first seen to have more, and how many bytes had come in all by then.
    behind: tuple[int, int] | None = None

    @property
    def next_offset(self) -> int:
        """What the client should give next."""
        return self.waiting[-1].offset + 1 if self.waiting else self.given


class Member:
    """See `stream.protocol.Consumer`. Poll, rewind and close are for one thread; commits may come from others.

    Of partitions that were taken away, what was polled is never settled: a settlement that holds any of it is refused
    whole until `rewind`.
    """

    def __init__(
        self,
        broker: Broker,
        layout: Layout,
        group: str,
        topics: Sequence[str],
        moved: MovedTotals,
        closed: Callable[[Member], None],
    ) -> None:
        """Use `KafkaLog.consumer` instead."""
        self._broker, self._layout, self.group, self._moved = broker, layout, group, moved
        self._topics = [layout.name(topic) for topic in topics]
        self._subscriber = broker.subscriber(layout.group(group), self._topics)
        self._lock = threading.RLock()
        self._owned: dict[Place, _Owned] = {}
        # Given to us, but what was committed of them is not known yet.
        self._arriving: set[Place] = set()
        # New ones that have records and gave none yet.
        self._awaited: set[Place] = set()
        self._arrived_at = 0.0
        # Taken away while records of them were being worked on.
        self._tainted: set[Place] = set()
        # A commit failed, perhaps after the broker had it.
        self._uncertain = False
        self._paused = False
        self._turn = 0
        self._ahead_bytes = 0
        self._looked_at = time.monotonic()
        # Until it answers again, a poll that gives nothing does not pass for one that found nothing.
        self._unanswered = False
        self._received_bytes = 0
        self._tell_closed = closed
        self._closed = False
        # How often partitions came or went: who remembers something of them looks again.
        self.changes = 0

    # --- reading

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[LogRecord]:
        if max_records < 1:
            with self._lock:
                self._keep_alive(0.0)
            return []
        deadline = time.monotonic() + timeout_seconds
        while True:
            with self._lock:
                left = deadline - time.monotonic()
                most = SLICE_SECONDS if not self._ahead_bytes else START_SLICE_SECONDS if self._starting() else 0.0
                self._fetch(max(0.0, min(left, most)))
                over = time.monotonic() >= deadline
                records = [] if self._starting() and not over else self._take(max_records)
                if self._unanswered:
                    if not records:
                        self._look_after()
                elif time.monotonic() - self._looked_at > LOOK_SECONDS:
                    self._look_after()
            if records or over:
                return records

    def joined(self) -> bool:
        with self._lock:
            return self._subscriber.joined()

    def _starting(self) -> bool:
        """Tell whether a partition that has records gave none yet: another would go first each time."""
        return bool(self._awaited) and time.monotonic() < self._arrived_at + START_SECONDS

    def _keep_alive(self, timeout_seconds: float) -> None:
        """Tell the broker that we are alive; nothing more is fetched until the next real poll."""
        self._check_open()
        self._paused = True
        self._subscriber.pause(self._owned)
        self._receive(1, timeout_seconds)

    def _fetch(self, timeout_seconds: float) -> None:
        self._check_open()
        if self._paused:
            self._paused = False
            self._subscriber.resume(self._owned)
            self._look_later()
        waiting = sum(len(owned.waiting) for owned in self._owned.values())
        room = AHEAD_RECORDS - waiting if self._ahead_bytes < AHEAD_BYTES else 1
        self._receive(max(1, room), timeout_seconds)

    def _receive(self, max_records: int, timeout_seconds: float) -> None:
        fetched = self._subscriber.poll(max_records, timeout_seconds)
        self._follow_changes()
        astray: set[Place] = set()
        for record in fetched:
            owned = self._owned.get(record.place)
            # What was on its way when its partition was taken away or sought is told from what comes now.
            if owned is None or record.offset < owned.next_offset or record.place in astray:
                continue
            if record.offset > owned.next_offset and not self._gone(record.place, owned.next_offset, record.offset):
                astray.add(record.place)
                continue
            owned.waiting.append(record)
            self._awaited.discard(record.place)
            self._ahead_bytes += _size(record)
            self._received_bytes += _size(record)

    def _gone(self, place: Place, expected: int, found: int) -> bool:
        """Tell whether the records before `found` are no longer there; if they are, read them first."""
        if self._broker.beginnings([place])[place] <= expected:
            # The client did not follow us when we went back.
            self._subscriber.seek({place: expected})
            return False
        logger.error(
            "%s/%s: records %d to %d are gone before group %s read them: the topic keeps too little",
            *place,
            expected,
            found - 1,
            self.group,
        )
        return True

    def _take(self, max_records: int) -> list[LogRecord]:
        """Give what waits, another partition first each time, so that a busy one cannot starve the others."""
        ready = [owned for owned in self._owned.values() if owned.waiting]
        records: list[LogRecord] = []
        if not ready:
            return records
        self._turn += 1
        first = self._turn % len(ready)
        for owned in ready[first:] + ready[:first]:
            waiting = owned.waiting
            while waiting and len(records) < max_records:
                fetched = waiting.popleft()
                self._ahead_bytes -= _size(fetched)
                owned.given = fetched.offset + 1
                records.append(record_of(self._layout, fetched))
        return records

    def _look_after(self) -> None:
        """See that the broker answers, and that the client gives what there is; one that does not is replaced.

        Raises:
            RetryLater: the broker does not answer.
        """
        self._looked_at, self._unanswered = time.monotonic(), True
        ends = self._broker.ends(list(self._owned) or self._layout.places("posts")[:1])
        self._unanswered = False
        for place, owned in self._owned.items():
            if self._paused or ends[place] <= owned.next_offset:
                owned.behind = None
            elif owned.behind is None or owned.behind[0] != owned.next_offset:
                owned.behind = (owned.next_offset, self._received_bytes)
            else:
                came = self._received_bytes - owned.behind[1]
                if came == 0 or came > STUCK_BYTES:
                    logger.warning("%s/%s gave nothing though there is more: reading it anew", *place)
                    self._begin_anew()
                    return

    def _look_later(self) -> None:
        """Give the client time to go on: it was told to begin somewhere else, or again."""
        self._looked_at = time.monotonic()
        for owned in self._owned.values():
            owned.behind = None

    def _begin_anew(self) -> None:
        """Replace the client by a new member; what was being worked on is read again."""
        self._subscriber.close()
        self._follow_changes(arrive=False)
        self._tainted.update(place for place, owned in self._owned.items() if owned.given > owned.settled)
        self._owned.clear()
        self._arriving.clear()
        self._awaited.clear()
        self._ahead_bytes = 0
        self.changes += 1
        self._subscriber = self._broker.subscriber(self._layout.group(self.group), self._topics)

    # --- who owns what

    def _follow_changes(self, *, arrive: bool = True) -> None:
        for change in self._subscriber.changes():
            self.changes += 1
            if change.kind == "assigned":
                self._arriving.update(change.places)
                continue
            for place in change.places:
                self._arriving.discard(place)
                self._awaited.discard(place)
                owned = self._owned.pop(place, None)
                if owned is not None:
                    self._ahead_bytes -= sum(map(_size, owned.waiting))
                    if owned.given > owned.settled:
                        self._tainted.add(place)
        if self._arriving and arrive:
            self._arrive()

    def _arrive(self) -> None:
        """Learn what was committed of new partitions; until that is known, they stay arriving."""
        arriving = sorted(self._arriving)
        committed = self._broker.group_offsets(self._layout.group(self.group), arriving)
        beginnings, ends = self._broker.beginnings(arriving), self._broker.ends(arriving)
        for place in arriving:
            offset, metadata = committed.get(place, Committed(beginnings[place], ""))
            totals = Totals.read(metadata)
            moved = self._moved.read(self.group, place, offset) if totals.moved else {}
            if offset < beginnings[place]:
                logger.error(
                    "%s/%s: %d records are gone before group %s read them: the topic keeps too little",
                    *place,
                    beginnings[place] - offset,
                    self.group,
                )
            start = max(offset, beginnings[place])
            self._owned[place] = _Owned(start, start, totals, moved)
            if start < ends[place]:
                self._awaited.add(place)
        # The client may have begun elsewhere by what it knew a moment before.
        self._subscriber.seek({place: self._owned[place].settled for place in arriving})
        if self._paused:
            self._subscriber.pause(arriving)
        self._arriving.clear()
        self._arrived_at = time.monotonic()

    def rewind(self) -> None:
        with self._lock:
            self._check_open()
            if self._uncertain:
                self._ask_again()
            for owned in self._owned.values():
                owned.waiting.clear()
                owned.given = owned.settled
            self._ahead_bytes = 0
            self._tainted.clear()
            self._look_later()
            # A client that cannot follow now is sent back when its next records come.
            with suppress(RetryLater):
                self._subscriber.seek({place: owned.settled for place, owned in self._owned.items()})

    def _ask_again(self) -> None:
        """Learn what a commit without an answer did. When even that is unknown, committing again is as good."""
        try:
            committed = self._broker.group_offsets(self._layout.group(self.group), list(self._owned))
        except RetryLater:
            return
        self._uncertain = False
        for place, owned in self._owned.items():
            if place in committed and committed[place].offset > owned.settled:
                owned.settled, owned.totals = committed[place].offset, Totals.read(committed[place].metadata)

    # --- settling

    def owns(self, place: Place) -> bool:
        """Tell whether a partition is ours, or was when records of it were given."""
        return place in self._owned or place in self._tainted

    def check(self, offsets: Mapping[Place, int]) -> None:
        """See that all these may be settled, before anything is written for them.

        Raises:
            LostPartitions: some were taken away since they were polled.
            ValueError: they were never given.
        """
        with self._lock:
            self._follow_changes(arrive=False)
            for place, offset in offsets.items():
                owned = self._owned.get(place)
                if owned is None or place in self._tainted:
                    raise LostPartitions(
                        f"partition {place.partition} of {place.topic} went to another member of group {self.group}",
                        0.0,
                    )
                if offset > max(owned.given, owned.settled):
                    raise ValueError(
                        f"cannot settle {place.topic}/{place.partition} up to {offset}: given was up to {owned.given}"
                    )

    def is_unsettled(self, position: str) -> bool:
        """Tell whether a place such as `posts/0@12` is one of ours that is not settled yet."""
        topic, _, rest = position.rpartition("/")
        partition, _, offset = rest.partition("@")
        if not (partition.isdecimal() and offset.isdecimal()):
            return False
        with self._lock:
            return any(
                self._layout.topic(place) == topic
                and place.partition == int(partition)
                and int(offset) >= owned.settled
                for place, owned in self._owned.items()
            )

    def dead_from(self, places: Iterable[Place]) -> int:
        """Give from where on letters of records that are not settled may lie in the topic `dead`."""
        with self._lock:
            return min((self._owned[place].totals.dead_from for place in places if place in self._owned), default=0)

    def commit(self, offsets: Mapping[Place, int], counts: Sequence[Count], dead_from: int | None) -> None:
        """Commit offsets together with the books; `dead_from` None leaves that as it is.

        Raises:
            LostPartitions, RetryLater: nothing of it counts as done.
        """
        with self._lock:
            self.check(offsets)
            new = {place: self._owned[place].totals.copy() for place in offsets}
            # One request stores all of it at once, so the counts of all partitions can stand with one of them.
            place = min(offsets)
            ends = {one: max(offset, self._owned[one].settled) for one, offset in offsets.items()}
            new[place].add(counts, self._owned[place].moved)
            if dead_from is not None:
                for totals in new.values():
                    totals.dead_from = max(totals.dead_from, dead_from)
            moved = self._make_room(place, ends[place], new[place], {count.run for count in counts})
            self._commit(offsets, {one: Committed(ends[one], new[one].write()) for one in ends})
            for one, end in ends.items():
                owned = self._owned[one]
                owned.settled, owned.totals = end, new[one]
                owned.given = max(owned.given, end)
            self._owned[place].moved = {**self._owned[place].moved, **moved}

    def _commit(self, offsets: Mapping[Place, int], commits: Mapping[Place, Committed]) -> None:
        """Commit, seeing a rebalance through first: what is still ours after it needs not be done again."""
        deadline = time.monotonic() + REBALANCE_SECONDS
        while True:
            try:
                self._subscriber.commit(commits)
                return
            except Rebalancing:
                if time.monotonic() > deadline:
                    raise
            except RetryLater:
                self._uncertain = True
                raise
            self._keep_alive(SLICE_SECONDS)
            self.check(offsets)

    def _make_room(self, place: Place, offset: int, totals: Totals, current: set[str]) -> Mapping[str, RunTotals]:
        """Move the oldest runs into the topic `books` until the rest fits beside the offset; give what was moved."""
        moved: dict[str, RunTotals] = {}
        for run in sorted(totals.runs, key=lambda run: run in current):
            if not totals.too_long():
                break
            moved[run] = totals.runs.pop(run)
            totals.moved = True
        if moved:
            self._moved.write(self.group, place, offset, moved)
        return moved

    def close(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._owned.clear()
            self._subscriber.close()
        self._tell_closed(self)

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the consumer or its log is closed")


def _size(record: Fetched) -> int:
    # A record without bytes takes room too.
    return len(record.value or b"") + len(record.key or b"") + 100


def record_of(layout: Layout, fetched: Fetched) -> LogRecord:
    """Give a record of the broker in our words."""
    run = next((value.decode() for name, value in fetched.headers if name == RUN_HEADER), LIVE_RUN)
    return LogRecord(
        layout.topic(fetched.place),
        fetched.place.partition,
        fetched.offset,
        "" if fetched.key is None else fetched.key.decode("utf-8", "surrogatepass"),
        fetched.value or b"",
        run,
        from_ms(fetched.timestamp_ms),
    )
