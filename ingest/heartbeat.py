"""Heartbeats: every ten seconds each source tells the topic of events how it fares."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from domain.errors import ServiceError
from domain.listening import SourceReport
from domain.records import Topic
from stream.protocol import LIVE_RUN, Log, OutRecord, Settlement

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0


def beat(log: Log, look: Callable[[], Sequence[SourceReport]], stop: threading.Event) -> None:
    """Append a heartbeat of every source every ten seconds, the first at once and a last one when it ends."""
    while True:
        _append(log, look())
        if stop.wait(EVERY_SECONDS):
            _append(log, look())
            return


def _append(log: Log, reports: Sequence[SourceReport]) -> None:
    outputs = [OutRecord.of(report.event(), Topic.EVENTS.value, report.source, LIVE_RUN) for report in reports]
    if not outputs:
        return
    try:
        log.settle(Settlement(outputs=outputs))
    except ServiceError as exc:
        # The next one says it all again.
        logger.debug("no heartbeat could be written: %s", exc)
