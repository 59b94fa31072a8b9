"""What `/metrics` reads when it is asked: the books and the lag from the log, the number of mentions, the disk."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence

from alerts.book import AlertBook
from alerts.outbox import Outbox, State
from alerts.rule import Severity
from alerts.standing import pulse
from dashboard.books import ENDS
from domain.clock import Clock
from domain.documents import Documents
from domain.errors import ServiceError
from domain.metrics import (
    ALERT_LAG,
    ALERT_LOOKED,
    ALERT_MESSAGES,
    ALERT_WATCHES,
    ALERTS_FIRING,
    BOOKED,
    DEAD_LETTERS,
    LAG,
    MENTIONS,
)
from domain.records import Outcome
from search.store import Store
from service.prometheus import Reading
from service.stages import StageName, stages_of
from stream.protocol import Log

log = logging.getLogger(__name__)

# Prometheus gives up on an answer after 10 s: without the log it had better have the rest.
PATIENCE_SECONDS = 4.0


def log_readings(stream: Log, names: Sequence[StageName]) -> list[Reading]:
    """Give the books, the open dead letters and the lag of stages.

    The books count a dead letter as parked until it is retried, so what they hold as parked is what is open.

    Raises:
        RetryLater, BackendDown: the log cannot be read.
    """
    booked: Counter[tuple[str, str]] = Counter({(name, end.value): 0 for name in names for end in ENDS})
    letters: Counter[tuple[str, str]] = Counter()
    for count in stream.counts():
        if count.stage not in names or count.outcome not in ENDS:
            continue
        booked[count.stage, count.outcome.value] += count.number
        if count.outcome is Outcome.PARKED:
            letters[count.stage, count.reason] += count.number
    readings = [Reading(BOOKED, labels, number) for labels, number in booked.items()]
    readings += [Reading(DEAD_LETTERS, labels, number) for labels, number in letters.items()]
    for stage in stages_of(names):
        if stage.topics:
            readings.append(Reading(LAG, (stage.name,), stream.lag(stage.group, stage.topics)))
    return readings


def store_readings(store: Store) -> list[Reading]:
    """Give the number of mentions.

    Raises:
        RetryLater, BackendDown: the store cannot be read.
    """
    return [Reading(MENTIONS, (), store.count())]


def alert_readings(documents: Documents, clock: Clock, channels: Sequence[str] = ()) -> list[Reading]:
    """Give what fires, what is watched, when that was last looked at, and what became of messages.

    Of `channels`, those that are configured, a zero is told too.

    Raises:
        RetryLater, BackendDown: the documents cannot be read.
    """
    now = clock.now()
    firing = Counter({severity.value: 0 for severity in Severity})
    firing.update(alert.severity.value for alert in AlertBook(documents).current(now) if alert.resolved_at is None)
    readings = [Reading(ALERTS_FIRING, (severity,), number) for severity, number in firing.items()]
    last = pulse(documents)
    if last is not None:
        readings.append(Reading(ALERT_LOOKED, (), last.at.timestamp()))
        readings.append(Reading(ALERT_LAG, (), max((last.at - last.edge).total_seconds(), 0.0)))
        readings += [Reading(ALERT_WATCHES, (state,), number) for state, number in last.states.items()]
    tally = Counter({(channel, state): 0 for channel in channels for state in State})
    tally.update(Outbox(documents).tally())
    return readings + [
        Reading(ALERT_MESSAGES, (channel, state.value), number) for (channel, state), number in sorted(tally.items())
    ]


class Readings:
    """Reads several things for each who asks, one reading at a time, and gives what is there in time.

    A log or store that does not answer delays nobody for long: it is left out, and read on beside.
    """

    def __init__(
        self, reads: Sequence[Callable[[], Sequence[Reading]]], patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._parts = [_Part(read) for read in reads]
        self._patience = patience_seconds

    def __call__(self) -> list[Reading]:
        """Give all that could be read."""
        begun = [part.begin() for part in self._parts]
        return [reading for one in begun for reading in one.result(self._patience)]


class _Reading:
    """One reading under way."""

    def __init__(self, read: Callable[[], Sequence[Reading]]) -> None:
        self._read = read
        self._result: Sequence[Reading] = ()
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._read()
        except ServiceError as exc:
            # Readiness tells of it; a metric that cannot be read is absent.
            log.debug("a metric cannot be read: %s", exc)
        finally:
            self.done.set()

    def result(self, patience_seconds: float) -> Sequence[Reading]:
        return self._result if self.done.wait(patience_seconds) else ()


class _Part:
    def __init__(self, read: Callable[[], Sequence[Reading]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._under_way: _Reading | None = None

    def begin(self) -> _Reading:
        """Start to read, or join who reads already."""
        with self._lock:
            if self._under_way is None or self._under_way.done.is_set():
                self._under_way = _Reading(self._read)
                threading.Thread(target=self._under_way.run, name="readings", daemon=True).start()
            return self._under_way
