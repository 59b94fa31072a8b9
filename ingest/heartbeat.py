"""Heartbeats: every ten seconds each source tells the topic of events how it fares."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from domain.clock import Clock
from domain.errors import ServiceError
from domain.records import Topic
from ingest.status import SourceStatus
from stream.protocol import LIVE_RUN, Log, OutRecord, Settlement

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0


def beat(log: Log, look: Callable[[], Sequence[SourceStatus]], clock: Clock, stop: threading.Event) -> None:
    """Append a heartbeat of every source every ten seconds, the first at once and a last one when it ends."""
    while True:
        _append(log, look(), clock)
        if stop.wait(EVERY_SECONDS):
            _append(log, look(), clock)
            return


def _append(log: Log, statuses: Sequence[SourceStatus], clock: Clock) -> None:
    now = clock.now()
    outputs = [OutRecord.of(status.heartbeat(now), Topic.EVENTS.value, status.source, LIVE_RUN) for status in statuses]
    if not outputs:
        return
    try:
        log.settle(Settlement(outputs=outputs))
    except ServiceError as exc:
        # The next one says it all again.
        logger.debug("no heartbeat could be written: %s", exc)
