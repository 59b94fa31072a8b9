"""The live sources of a process: each listened to in a thread of its own, their heartbeats in another."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from domain.brand import Brand
from domain.clock import Clock
from domain.errors import BackendDown
from domain.listening import SourceReport, SourceState
from ingest.heartbeat import beat
from ingest.live import listen
from ingest.runner import RunnerSettings
from ingest.source import AsksForWords, LiveSource
from ingest.stage import IngestStage
from ingest.status import SourceWatch
from service.data_folder import require_room
from service.operations import Operations
from service.settings import Settings
from stream.protocol import Log

_DISK_LOOK_SECONDS = 1.0


class LiveSources:
    """What a process listens to. Thread-safe."""

    def __init__(
        self,
        sources: Sequence[LiveSource],
        settings: Settings,
        log: Log,
        clock: Clock,
        runner: RunnerSettings,
        operations: Operations | None = None,
    ) -> None:
        self.sources = tuple(sources)
        self._settings, self._log, self._clock, self._runner = settings, log, clock, runner
        self._operations = operations
        # Of what is read here now, and of what was stopped since somebody looked.
        self._watches: dict[str, SourceWatch] = {}
        self._lock = threading.Lock()
        self._looked: float | None = None
        self._full = ""

    def ask_for(self, brands: Sequence[Brand]) -> None:
        """Tell the sources that are asked for words which brands there are now."""
        for source in self.sources:
            if isinstance(source, AsksForWords):
                source.brands_changed(brands)

    def listen(self, source: LiveSource, stage: IngestStage, stop: threading.Event) -> None:
        """Listen to one of them until `stop`.

        Raises:
            ConfigError, BackendDown: as `ingest.live.listen`.
        """
        watch = SourceWatch(source.name, self._clock)
        with self._lock:
            self._watches[source.name] = watch
        listen(
            source,
            stage,
            self._log,
            self._clock,
            stop=stop,
            watch=watch,
            settings=self._runner,
            hold=self._hold,
        )

    def look(self) -> Sequence[SourceReport]:
        """Tell how each fares that is read here, or was until now; the metrics are told too."""
        with self._lock:
            statuses = [watch.look() for watch in self._watches.values()]
            for status in statuses:
                if status.state is SourceState.STOPPED:
                    del self._watches[status.source]
        if self._operations is not None:
            self._operations.listening(statuses)
        return statuses

    def beat(self, stop: threading.Event) -> None:
        """Append heartbeats until `stop`; one that cannot be written is left out."""
        beat(self._log, self.look, stop)

    def _hold(self) -> str:
        """Say why nothing may be read: the disk is nearly full."""
        now = self._clock.monotonic()
        with self._lock:
            if self._looked is None or now - self._looked >= _DISK_LOOK_SECONDS:
                self._looked = now
                try:
                    require_room(self._settings.data.dir, self._settings.data.disk_floor_mb)
                    self._full = ""
                except BackendDown as exc:
                    self._full = str(exc)
            return self._full
