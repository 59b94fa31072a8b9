"""How fresh the store is: now and then one mention just written is searched for until it is found."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from domain.clock import Clock
from domain.errors import BadRecord, ServiceError
from domain.metrics import DELAY, FRESHNESS
from domain.query.ast import Keyword
from domain.records import Mention
from search.store import SearchRequest, Store
from service.prometheus import Meter
from stream.codec import decode
from stream.protocol import LogRecord

log = logging.getLogger(__name__)

# One search every few seconds costs the store nothing, and 12 a minute are enough for a distribution.
SAMPLE_SECONDS = 5.0
# As exact as it is measured.
LOOK_SECONDS = 0.25
# Withdrawn, retracted or superseded meanwhile, a mention is never found.
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class _Sample:
    mention_id: str
    version: int
    published_at: datetime | None
    collected_at: datetime


class FreshnessProbe:
    """Takes samples of what the index stage wrote and measures in a thread of its own."""

    def __init__(self, store: Store, meter: Meter, clock: Clock, sample_seconds: float = SAMPLE_SECONDS) -> None:
        self._store, self._meter, self._clock, self._every = store, meter, clock, sample_seconds
        self._next_at = clock.monotonic()
        self._stop = threading.Event()
        self._offered = threading.Condition()
        self._sample: _Sample | None = None
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)
        self._thread.start()

    def offer(self, records: Sequence[LogRecord]) -> None:
        """Take a sample of records just written, if one is due; returns at once."""
        if self._clock.monotonic() < self._next_at or not records:
            return
        sample = _sample_of(records[-1])
        with self._offered:
            if sample is not None and self._sample is None:
                self._next_at = self._clock.monotonic() + self._every
                self._sample = sample
                self._offered.notify()

    def close(self) -> None:
        """Stop measuring."""
        self._stop.set()
        with self._offered:
            self._offered.notify()
        self._thread.join(LOOK_SECONDS * 4)

    def _run(self) -> None:
        while True:
            with self._offered:
                self._offered.wait_for(lambda: self._sample is not None or self._stop.is_set())
                sample = self._sample
            if self._stop.is_set() or sample is None:
                return
            self._measure(sample)
            with self._offered:
                self._sample = None

    def _measure(self, sample: _Sample) -> None:
        deadline = self._clock.monotonic() + PATIENCE_SECONDS
        while not self._found(sample):
            if self._clock.monotonic() >= deadline or self._stop.wait(LOOK_SECONDS):
                return
        now = self._clock.now()
        self._meter.observe(DELAY, max(0.0, (now - sample.collected_at).total_seconds()))
        if sample.published_at is not None:
            self._meter.observe(FRESHNESS, max(0.0, (now - sample.published_at).total_seconds()))

    def _found(self, sample: _Sample) -> bool:
        try:
            page = self._store.search(SearchRequest(Keyword("mention_id", sample.mention_id), limit=1))
        except ServiceError as exc:
            log.debug("the store cannot be searched for a sample: %s", exc)
            return False
        return any(mention.version >= sample.version for mention in page.mentions)


def _sample_of(record: LogRecord) -> _Sample | None:
    """Give what to look for, or None where the record is no mention."""
    try:
        mention = decode(record.value)
    except BadRecord:
        return None
    if not isinstance(mention, Mention):
        return None
    # How old a post was when somebody replayed it says nothing about us.
    published_at = None if mention.backfilled else mention.published_at
    return _Sample(mention.mention_id, mention.version, published_at, mention.collected_at)
