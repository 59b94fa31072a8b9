"""The Log: a durable record of what flowed between stages, and the one way a stage settles a batch.

A stage polls records, works on them, and hands back a `Settlement`: all that the batch leaves behind.
The log makes it durable in this order: outputs and state, dead letters, books, offsets. The embedded log does it
in one transaction; others do it in that order, so that a crash repeats work and never loses any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from domain.records import DeadLetter, Outcome
from stream.codec import Record, decode, encode

LIVE_RUN = "live"
# How a dead letter was resolved whose post, or the author of it, is gone: nothing of what it held is left.
RETRACTED = "retracted"
# What such a letter is said to be about.
WHAT_IS_GONE = "what was retracted: it holds nothing any more"


@dataclass(frozen=True, slots=True)
class OutRecord:
    """A record to append. `key` is the post id: records of one key stay in order.

    `run` names the replay that it belongs to, so that the books of a replay are its own. `content` is what `value`
    holds, where that is at hand.
    """

    topic: str
    key: str
    value: bytes
    run: str = LIVE_RUN
    content: Record | None = field(default=None, repr=False, compare=False)

    @staticmethod
    def of(content: Record, topic: str, key: str, run: str) -> OutRecord:
        """Give the record that holds `content`.

        Raises:
            BadRecord, ValueError: as `stream.codec.encode`.
        """
        return OutRecord(topic, key, encode(content), run, content)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A record read back. `offset` counts up within (topic, partition) and never restarts in one log.

    `content` is what was appended with it, where that happened in this process a moment ago.
    """

    topic: str
    partition: int
    offset: int
    key: str
    value: bytes
    run: str
    appended_at: datetime
    content: Record | None = field(default=None, repr=False, compare=False)

    def read(self) -> Record:
        """Give what the value holds: as it was appended, or decoded.

        Raises:
            BadRecord: as `stream.codec.decode`.
        """
        return self.content if self.content is not None else decode(self.value)


@dataclass(frozen=True, slots=True)
class StateWrite:
    """A small durable fact of a stage, written with its batch: a cursor, a row of the seen ledger.

    `value` None deletes the key.
    """

    space: str
    key: str
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Count:
    """`number` records of a run met `outcome` in a stage; `reason` is the dead letter's, else ""."""

    stage: str
    run: str
    outcome: Outcome
    number: int
    reason: str = ""


@dataclass(slots=True)
class Settlement:
    """What one handled batch leaves behind.

    `offsets` maps (topic, partition) to the next offset to read: the end of the contiguous done prefix. `source`
    names the source that a batch without offsets was read from: where machines share a log, its owner settles it.
    """

    group: str = ""
    source: str = ""
    outputs: list[OutRecord] = field(default_factory=list)
    state: list[StateWrite] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    counts: list[Count] = field(default_factory=list)
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """A dead letter with its number in the log. `resolved_at` is set once it was retried or discarded."""

    number: int
    letter: DeadLetter
    resolved_at: datetime | None = None
    resolution: str | None = None


class Consumer(Protocol):
    """One member of a consumer group reading some topics. Not thread-safe."""

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[LogRecord]:
        """Give the next records after what this consumer already got, in order per partition.

        Waits at most `timeout_seconds` when there is none. Polling again goes on after the last record given,
        whether or not it was settled; a new consumer of the group starts at the settled offset.

        Raises:
            RetryLater, BackendDown.
        """

    def joined(self) -> bool:
        """Tell whether this member was given its share of the work, which may be nothing; true from then on.

        Where machines share a log, that takes some polls.
        """

    def rewind(self) -> None:
        """Go back to the settled offsets: what was polled and not settled is given again."""

    def close(self) -> None:
        """Leave the group; nothing is settled by it."""


class Log(Protocol):
    """Durable topics, consumer groups, dead letters, books and small state. Thread-safe; consumers are not."""

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group at its settled offsets, or at the beginning when there are none."""

    def settle(self, settlement: Settlement) -> None:
        """Make all of a settlement durable, or none of it that a repeat would not mend.

        Settled offsets never go back. Returns only when the data would survive a power cut (of one machine, where
        several keep it).

        Raises:
            RetryLater: a broker did not answer, or what was polled went to another member; nothing of the settlement
                counts as done.
            BackendDown: disk full or broken; nothing of the settlement counts as done.
        """

    def state(self, space: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Give what was last settled for these keys of a space; absent keys are left out."""

    def counts(self) -> Sequence[Count]:
        """Give the books: one total per (stage, run, outcome, reason).

        Raises:
            RetryLater, BackendDown: as everything that reads.
        """

    def lag(self, group: str, topics: Sequence[str]) -> int:
        """Give how many records of the topics the group has not settled yet."""

    def appended(self, topic: str) -> int:
        """Give how many records a topic ever got, dropped ones included."""

    def records_of(self, topic: str, key: str) -> Sequence[LogRecord]:
        """Give what a topic still has of a key, oldest first. Reads the whole topic, or the key's partition of it."""

    def dead_letters(
        self, *, after: int = 0, limit: int = 50, run: str | None = None, unresolved_only: bool = True
    ) -> Sequence[DeadLetterRow]:
        """Give dead letters with a number above `after`, oldest first."""

    def dead_letter(self, number: int) -> DeadLetterRow | None:
        """Give one dead letter, or None."""

    def resolve_dead_letters(self, numbers: Iterable[int], resolution: str, at: datetime) -> int:
        """Mark dead letters as dealt with ("retried", "discarded"); gives how many were open."""

    def forget_dead_letters(self, numbers: Iterable[int], at: datetime) -> int:
        """Take payload and detail of dead letters away for good, dealt with or not; gives how many had not lost them.

        They are resolved as RETRACTED. A log that cannot change what was appended gives them no more; when the bytes
        themselves go is then the log's own retention.
        """

    def prune(self, retention: timedelta, now: datetime) -> int:
        """Drop records older than `retention` that every group has settled; gives how many went."""

    def close(self) -> None:
        """Release the files or connections. Settled data stays."""
