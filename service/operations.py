"""What machines see of a process: its metrics, whether it is ready, and its health documents."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from domain.clock import Clock, SystemClock
from domain.documents import Documents
from domain.listening import SourceReport, SourceState
from domain.metrics import (
    DISK_FLOOR,
    DISK_FREE,
    INFO,
    MODEL,
    SOURCE_BEHIND,
    SOURCE_GAPS,
    SOURCE_LAST_ITEM,
    SOURCE_RATE,
    SOURCE_READING,
    SOURCE_SILENT,
    SOURCE_SPENT,
    SOURCE_TROUBLES,
    SOURCE_UP,
)
from domain.records import Topic
from search.store import Store
from service.data_folder import free_megabytes, require_room
from service.freshness import FreshnessProbe
from service.health import HealthServer
from service.health_events import HealthReporter
from service.prometheus import Meter, Reading
from service.readiness import Check, Readiness
from service.readings import Readings, alert_readings, log_readings, store_readings
from service.settings import Settings
from service.stage_watch import StageWatch
from service.stages import StageName
from service.version import version
from stream.protocol import Log

_MEGABYTE = 1_000_000


class Operations:
    """Metrics, readiness and health documents of one process. Use it as a context manager.

    It answers from the beginning, and is not ready before `opened` said what there is.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        stages: Iterable[StageName] = (),
        listening: socket.socket | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Begin to answer on a socket that listens already; None answers nowhere.

        Args:
            settings: of the process.
            role: what it is, for labels.
            stages: those that run in it.
            listening: the socket of the health port.
            clock: the machine's by default.
        """
        self._settings, self._role, self._clock = settings, role, clock or SystemClock()
        self._readings: Callable[[], Sequence[Reading]] = tuple
        self.meter = Meter(lambda: self._readings())
        self.readiness = Readiness(role, self.meter, self._clock)
        self.watch = StageWatch(stages, self.meter, self._clock)
        self.meter.set(INFO, 1, role, version(), settings.log.kind, settings.store.kind)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._server = HealthServer(listening, self.meter, self.readiness) if listening is not None else None

    def __enter__(self) -> Operations:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def opened(
        self,
        *,
        log: Log,
        shown: Sequence[StageName],
        store: Store | None = None,
        documents: Documents | None = None,
        model: str = "",
        parts: Mapping[str, Check] | None = None,
        stages: Sequence[Check] = (),
    ) -> None:
        """Take note of what the process works with; it is ready once each part was found well.

        Args:
            log: whose books are shown, and which takes the health documents.
            shown: stages whose books are shown.
            store: whose mentions are counted; None where the process has none.
            documents: whose alerts are counted; None where the process looks after none.
            model: the sentiment model that is loaded, "" for none.
            parts: what else it needs.
            stages: whether its stages run, beside whether they get on.
        """
        reads: list[Callable[[], Sequence[Reading]]] = [lambda: log_readings(log, shown)]
        needed: dict[str, Check] = {"log": lambda: log.appended(Topic.POSTS.value), **(parts or {})}
        if store is not None:
            there = store
            reads.append(lambda: store_readings(there))
            # A look at one document that is not there.
            needed["store"] = lambda: there.retracted_at("")
            if "index" in self.watch.names:
                self.watch.freshness = FreshnessProbe(there, self.meter, self._clock)
        if documents is not None:
            kept, channels = documents, [channel.channel_id for channel in self._settings.alerts.channels]
            reads.append(lambda: alert_readings(kept, self._clock, channels))
        if model:
            self.meter.set(MODEL, 1, model)
        if "ingest" in self.watch.names:
            needed["disk"] = self._check_disk
        if self.watch.names:
            needed["stages"] = lambda: [check() for check in (self.watch.check, *stages)]
            reporter = HealthReporter(log, self.watch, lambda: self.readiness.ready, self._clock)
            self._begin("health-events", lambda: reporter.run(self._stop))
        self._readings = Readings(reads)
        self.readiness.need(needed)
        self.readiness.started()

    def _begin(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _check_disk(self) -> None:
        root, floor = self._settings.data.dir, self._settings.data.disk_floor_mb
        self.meter.set(DISK_FREE, free_megabytes(root) * _MEGABYTE, self._role)
        self.meter.set(DISK_FLOOR, floor * _MEGABYTE, self._role)
        require_room(root, floor)

    @contextmanager
    def reading(self, source: str) -> Iterator[None]:
        """Tell that a source is being read while this is entered."""
        self.meter.set(SOURCE_READING, 1, source)
        try:
            yield
        finally:
            self.meter.set(SOURCE_READING, 0, source)

    def got(self, source: str) -> None:
        """Take note that a source gave something."""
        self.meter.set(SOURCE_LAST_ITEM, self._clock.now().timestamp(), source)

    def listening(self, statuses: Iterable[SourceReport]) -> None:
        """Take note of how the live sources of this process fare."""
        for status in statuses:
            name, reads = status.source, status.state is not SourceState.STOPPED
            self.meter.set(SOURCE_READING, float(reads), name)
            self.meter.set(SOURCE_UP, float(status.state is SourceState.LISTENING), name)
            self.meter.set(SOURCE_SILENT, float(status.silent), name)
            self.meter.set(SOURCE_RATE, status.per_minute, name)
            self.meter.set(SOURCE_TROUBLES, status.errors, name)
            self.meter.set(SOURCE_GAPS, status.gaps, name)
            if status.item_at is not None:
                self.meter.set(SOURCE_LAST_ITEM, status.item_at.timestamp(), name)
            if (behind := status.behind_seconds) is not None:
                self.meter.set(SOURCE_BEHIND, behind, name)
            if status.spent_today is not None:
                self.meter.set(SOURCE_SPENT, status.spent_today, name)

    def let_go(self) -> None:
        """Use log and store no more: they are about to be closed. A last health document is written."""
        self._readings = tuple
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._threads.clear()
        self.readiness.close()
        if self.watch.freshness is not None:
            self.watch.freshness.close()
            self.watch.freshness = None

    def close(self) -> None:
        """Stop answering."""
        self.let_go()
        if self._server is not None:
            self._server.close()
