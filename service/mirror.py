"""Copies events and dead letters from the log to the store, for the pages and Kibana; it stops no stage, it waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from domain.errors import AccessRefused, BackendDown, BadRecord, RetryLater
from domain.records import Event, Health, Topic
from stream.codec import decode
from stream.protocol import Consumer, DeadLetterRow, Log, LogRecord, Settlement, StateWrite

if TYPE_CHECKING:
    from search.elastic_health import HealthIndex
    from search.store import Store

log = logging.getLogger(__name__)

GROUP = "events"
_SPACE = "mirror"
_LETTERS = "dead"
_BATCH = 200
_POLL_SECONDS = 1.0
# New letters are looked for this often: Kibana's dashboard refreshes every 30 s.
_LOOK_SECONDS = 10.0
# Nobody waits for it: a store that is away is asked again in peace.
_WAIT_SECONDS = 15.0


def mirror_events(stream: Log, store: Store, index: HealthIndex | None, stop: threading.Event) -> None:
    """Copy events as they come, until `stop`; several processes share the work.

    Heartbeats and gaps go to the store; health documents to `index`, where there is one.
    """
    consumer: Consumer | None = None

    def copy() -> None:
        nonlocal consumer
        consumer = consumer or stream.consumer(GROUP, [Topic.EVENTS.value])
        _copy_events(stream, consumer, store, index)

    try:
        while not stop.is_set():
            if not _went_well("events", copy):
                stop.wait(_WAIT_SECONDS)
                if consumer is not None:
                    _went_well("events", consumer.rewind)
    finally:
        if consumer is not None:
            consumer.close()


def _copy_events(stream: Log, consumer: Consumer, store: Store, index: HealthIndex | None) -> None:
    records = consumer.poll(_BATCH, _POLL_SECONDS)
    if not records:
        return
    found = _read(records)
    events = [event for _, event in found if isinstance(event, Event)]
    if events:
        store.note(events)
    if index is not None:
        index.write_health([(record, event) for record, event in found if isinstance(event, Health)])
    offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
    stream.settle(Settlement(group=GROUP, offsets=offsets))


def _read(records: Sequence[LogRecord]) -> list[tuple[LogRecord, Event | Health]]:
    found: list[tuple[LogRecord, Event | Health]] = []
    for record in records:
        try:
            event = decode(record.value)
        except BadRecord as exc:
            # Of a newer version, or not ours: what Kibana shows lacks it, and nothing else.
            log.warning("an event at %s@%d cannot be read: %s", record.partition, record.offset, exc.reason.value)
            continue
        if isinstance(event, Event | Health):
            found.append((record, event))
    return found


def mirror_letters(stream: Log, index: HealthIndex, stop: threading.Event) -> None:
    """Copy new dead letters every few seconds, until `stop`. Two processes that copy the same change nothing."""
    last: int | None = None
    while not stop.wait(_LOOK_SECONDS):

        def copy() -> None:
            nonlocal last
            if last is None:
                found = stream.state(_SPACE, [_LETTERS]).get(_LETTERS)
                last = 0 if found is None else int(found)
            while not stop.is_set() and (rows := _letters_after(stream, last)):
                index.write_letters(rows)
                last = rows[-1].number
                stream.settle(Settlement(state=[StateWrite(_SPACE, _LETTERS, str(last).encode())]))

        _went_well("dead letters", copy)


def _letters_after(stream: Log, number: int) -> Sequence[DeadLetterRow]:
    return stream.dead_letters(after=number, limit=_BATCH, unresolved_only=False)


def _went_well(what: str, work: Callable[[], None]) -> bool:
    try:
        work()
    # Without access to these indices the stage itself goes on.
    except (RetryLater, AccessRefused, BackendDown) as exc:
        log.warning("%s wait to be copied for Kibana: %s", what, exc)
        return False
    return True
