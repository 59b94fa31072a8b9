"""Who watches stages at work: told of each batch, in the thread of its stage, after it is durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from stream.protocol import Count, LogRecord


@dataclass(frozen=True, slots=True)
class SettledBatch:
    """What one settlement did. `records` are those that got their final outcome; none where a stage reads a source.

    `seconds` went by from when the batch was there until it was durable.
    """

    stage: str
    counts: Sequence[Count]
    seconds: float
    records: Sequence[LogRecord] = ()


class Observer(Protocol):
    """Must be quick and must not raise: the stage waits for it. Thread-safe."""

    def settled(self, batch: SettledBatch) -> None:
        """A batch is durable."""

    def retried(self, stage: str, records: int, trouble: str) -> None:
        """So many records of a stage come again; 0 when it was not even given them. `trouble` says why."""

    def at_rest(self, stage: str) -> None:
        """Nothing is left to do after records came again: that is over, though no batch of ours was settled since."""
