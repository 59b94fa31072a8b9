"""A health document a minute per stage, to the topic of events: what Kibana shows IT comes from there."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from domain.clock import Clock
from domain.errors import ServiceError
from domain.records import Health, Topic
from service.stage_watch import StageWatch
from service.stages import stages_of
from stream.codec import encode
from stream.protocol import Log, OutRecord, Settlement

log = logging.getLogger(__name__)

EVERY_SECONDS = 60.0


def worker_name() -> str:
    """Give a name for this process that no other one has at the same time."""
    return f"{socket.gethostname()}/{os.getpid()}"


class HealthReporter:
    """Appends one document per stage of this process each minute, and a last one when it stops."""

    def __init__(
        self,
        stream: Log,
        watch: StageWatch,
        ready: Callable[[], bool],
        clock: Clock,
        *,
        worker: str = "",
        every_seconds: float = EVERY_SECONDS,
    ) -> None:
        self._log, self._watch, self._ready, self._clock = stream, watch, ready, clock
        self._worker, self._every = worker or worker_name(), every_seconds

    def run(self, stop: threading.Event) -> None:
        """Report until `stop`. A log that cannot be written loses nothing: the next document has it."""
        while not stop.wait(self._every):
            self.report()
        self.report()

    def report(self) -> bool:
        """Append the documents now; False when the log could not take them."""
        stages = stages_of(self._watch.names)
        minutes = {stage.name: self._watch.take_minute(stage.name) for stage in stages}
        try:
            documents = [
                Health(
                    stage=stage.name,
                    worker=self._worker,
                    at=self._clock.now(),
                    ready=self._ready(),
                    came_in=sum(number for end, number in minutes[stage.name].items() if end != "retried"),
                    lag=self._log.lag(stage.group, stage.topics) if stage.topics else None,
                    **minutes[stage.name],
                )
                for stage in stages
            ]
            self._log.settle(
                Settlement(outputs=[OutRecord(Topic.EVENTS.value, one.stage, encode(one)) for one in documents])
            )
        except ServiceError as exc:
            log.debug("no health document could be written: %s", exc)
            for name, minute in minutes.items():
                self._watch.give_back(name, minute)
            return False
        return True
