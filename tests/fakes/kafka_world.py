"""A log of one test's own on the broker that all tests share, through either client."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from domain.clock import Clock, SystemClock
from stream import kafka, kafka_python
from stream.kafka_broker import Broker
from stream.kafka_log import KafkaLog
from stream.kafka_settings import KafkaSettings
from stream.kafka_setup import Prepared, prepare

CLIENTS: dict[str, Callable[[KafkaSettings], Broker]] = {
    "kafka": kafka.open_broker,
    "kafka-python": kafka_python.open_broker,
}


@dataclass
class KafkaWorld:
    """Topics under a prefix of their own. Every `open` is another process's view of the same log."""

    address: str
    prefix: str
    client: str = "kafka"
    clock: Clock | None = None
    partitions: int = 1

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(
            bootstrap_servers=self.address,
            prefix=self.prefix,
            partitions=self.partitions,
            source_partitions=self.partitions,
            # A fake clock stands in the past: nothing may be too old for the broker.
            retention_hours=24 * 365 * 50,
            dead_retention_hours=24 * 365 * 50,
            session_seconds=6.0,
        )

    @property
    def fast_settings(self) -> KafkaSettings:
        """For workers that are killed: they are soon replaced, and a broker that is away is soon noticed."""
        return replace(self.settings, session_seconds=3.0, request_seconds=4.0)

    def broker_of(self, settings: KafkaSettings) -> Broker:
        return CLIENTS[self.client](settings)

    def broker(self, **changes: object) -> Broker:
        return self.broker_of(replace(self.settings, **changes))  # type: ignore[arg-type]

    def prepare(self) -> Prepared:
        broker = self.broker()
        try:
            return prepare(broker, self.settings)
        finally:
            broker.close()

    def open(self, view: Path | None = None, **changes: object) -> KafkaLog:
        settings = replace(self.settings, **changes)  # type: ignore[arg-type]
        return KafkaLog(self.broker(**changes), settings, clock=self.clock or SystemClock(), view=view)
