"""A worker process with a toy stage, run as a program; it may be told at which step to kill itself.

Arguments: one JSON object with `address`, `prefix`, `client`, `partitions`, and `cut`: [step, nth] or null. Steps are
`poll` (a batch was polled, nothing done), `mentions` (outputs acknowledged), `dead` (letters acknowledged), `commit`
(somewhere in the middle of it) and `committed`. It stops when standard input ends; the kernel ends it with its parent.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fakes.kafka_world import KafkaWorld
from fakes.stages import ScriptedStage

from domain.clock import SystemClock
from stream.kafka_broker import Committed, Place, Subscriber, ToSend
from stream.kafka_log import KafkaLog
from stream.worker import Worker, WorkerSettings


class KillingBroker:
    """Passes everything on; at one step it kills the process, without a chance to clean up."""

    def __init__(self, broker: Any, prefix: str, cut: Sequence[Any] | None) -> None:
        self._broker, self._prefix = broker, prefix
        self._cut = tuple(cut) if cut else ("", 0)
        self._met: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    def here(self, step: str) -> bool:
        self._met[step] += 1
        return (step, self._met[step]) == self._cut

    def reached(self, step: str) -> None:
        if self.here(step):
            os.kill(os.getpid(), signal.SIGKILL)

    def send(self, records: Sequence[ToSend]) -> Sequence[int]:
        offsets: Sequence[int] = self._broker.send(records)
        if records:
            self.reached(records[0].place.topic.removeprefix(self._prefix))
        return offsets

    def subscriber(self, group: str, topics: Sequence[str]) -> Subscriber:
        return _KillingSubscriber(self, self._broker.subscriber(group, topics))  # type: ignore[return-value]


class _KillingSubscriber:
    def __init__(self, broker: KillingBroker, subscriber: Subscriber) -> None:
        self._broker, self._subscriber = broker, subscriber

    def __getattr__(self, name: str) -> Any:
        return getattr(self._subscriber, name)

    def commit(self, offsets: Mapping[Place, Committed]) -> None:
        if self._broker.here("commit"):
            # The request is on its way, in the broker's hands or answered.
            moment = random.Random(os.getpid()).uniform(0.0, 0.004)
            threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL)).start()
        self._subscriber.commit(offsets)
        self._broker.reached("committed")


def main() -> None:
    task = json.loads(sys.argv[1])
    world = KafkaWorld(task["address"], task["prefix"], task["client"], partitions=task["partitions"])
    settings = world.fast_settings
    broker = KillingBroker(world.broker_of(settings), world.prefix, task["cut"])
    log = KafkaLog(broker, settings)  # type: ignore[arg-type]
    stage = ScriptedStage(before=lambda records: broker.reached("poll"))
    waits = WorkerSettings(batch_records=40, poll_seconds=0.3, first_wait_seconds=0.1, most_wait_seconds=1.0)
    worker = Worker(log, stage, clock=SystemClock(), settings=waits)
    stop = threading.Event()

    def hold() -> None:
        while os.read(0, 4096):
            pass
        stop.set()

    threading.Thread(target=hold, daemon=True).start()
    try:
        worker.run(stop)
    finally:
        log.close()


if __name__ == "__main__":
    main()
