"""Counts by five minutes: what spikes are judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from alerts.rule import BUCKET_SECONDS
from domain.clock import from_ms

BUCKET_MS: Final = BUCKET_SECONDS * 1000

Counts = npt.NDArray[np.int64]
Known = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Series:
    """What was said of one filter, one row a bucket without gaps, the oldest first.

    `start_ms` is when the first bucket begins (milliseconds since 1970, a multiple of BUCKET_MS). All arrays have
    shape (N,). `mentions` counts all; `negative`, `neutral` and `positive` only those whose sentiment is reliable.
    `known` is False for buckets that no evidence comes from: a source of this filter was deaf, or the bucket holds
    what was filled up afterwards.
    """

    start_ms: int
    mentions: Counts
    negative: Counts
    neutral: Counts
    positive: Counts
    known: Known
    # Whether somebody listened from the first bucket on: then nothing said at the beginning is evidence of silence.
    listened: bool = False

    def __len__(self) -> int:
        return len(self.mentions)

    @property
    def end_ms(self) -> int:
        """Where the last bucket ends."""
        return self.start_ms + len(self) * BUCKET_MS

    def place(self, ms: int) -> int:
        """Give the number of the bucket that begins at, or holds, a moment; it may lie outside."""
        return (ms - self.start_ms) // BUCKET_MS

    def before(self, ms: int) -> Series:
        """Give the part that ends at or before a moment: what was known then."""
        stop = min(max(self.place(ms), 0), len(self))
        return replace(
            self,
            mentions=self.mentions[:stop],
            negative=self.negative[:stop],
            neutral=self.neutral[:stop],
            positive=self.positive[:stop],
            known=self.known[:stop],
        )


def bucket_time(ms: int) -> datetime:
    """Give the time of a bucket, aware and in UTC."""
    return from_ms(ms)


def empty(start_ms: int, end_ms: int) -> Series:
    """Give a series of nothing said, all known, for `[start_ms, end_ms)`, in which somebody listened."""
    size = max((end_ms - start_ms) // BUCKET_MS, 0)

    def zeros() -> Counts:
        return np.zeros(size, np.int64)

    return Series(start_ms, zeros(), zeros(), zeros(), zeros(), np.ones(size, np.bool_), listened=True)
