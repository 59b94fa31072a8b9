"""Readings for the charts of messages and pages, apart from the evaluator that is at work beside them."""

from __future__ import annotations

from collections.abc import Sequence

from alerts.asking import Mentions
from alerts.counting import HISTORY, CountBook
from alerts.detector import Detector
from alerts.judging import Judge
from alerts.records import Reading
from alerts.rule import Watch
from domain.clock import from_ms
from domain.documents import Documents


def readings_of(
    mentions: Mentions, documents: Documents, watch: Watch, start_ms: int, end_ms: int
) -> Sequence[Reading]:
    """Give the readings of a watch for windows that end in `(start_ms, end_ms]`; thread-safe.

    The counts that the evaluator keeps are read; nothing is counted anew.

    Raises:
        RetryLater, BackendDown: as store and documents.
    """
    counts = CountBook(mentions, documents)
    counts.read([watch], from_ms(start_ms) - HISTORY, from_ms(end_ms))
    return Judge(mentions, counts, Detector()).readings(watch, start_ms, end_ms)
