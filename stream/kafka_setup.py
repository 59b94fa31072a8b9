"""Making the topics, once: `soundings setup`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import ConfigError, RetryLater
from domain.records import Topic
from stream.kafka_broker import Broker, Place
from stream.kafka_layout import ALL_TOPICS, BOOKS, DEAD, SOURCES
from stream.kafka_settings import MAX_RECORD_BYTES, KafkaSettings

_HOUR_MS = 3_600_000
_LEAST_SEGMENT_MS = 60_000
_MOST_SEGMENT_MS = 24 * _HOUR_MS
# A compacted topic is read whole by a new process: what is superseded goes once a tenth of it is, and a segment of
# 64 MiB is the most that waits for it.
_COMPACTED = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(64 * 1024 * 1024),
    "delete.retention.ms": str(24 * _HOUR_MS),
}
# Committed offsets hold the books. A broker forgets those of a group without members after a week by default.
_OFFSETS_RETENTION_MINUTES = 60 * 24 * 365
_AWAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` did: topics created, and in words what of the others is not as it should be."""

    created: tuple[str, ...]
    differing: tuple[str, ...]


def prepare(broker: Broker, settings: KafkaSettings) -> Prepared:
    """Create the topics that are missing. Those that are there stay as they are; running it again changes nothing.

    Raises:
        ConfigError: we may not.
        RetryLater: the broker does not answer.
    """
    created, differing = [], []
    present = broker.topics(settings.prefix + topic for topic in ALL_TOPICS)
    for topic in ALL_TOPICS:
        name = settings.prefix + topic
        partitions, configs = _wanted(topic, settings)
        if name not in present and broker.create_topic(name, partitions, settings.replication or -1, configs):
            created.append(name)
            continue
        _await(broker, name)
        found = broker.topics([name])[name].partitions
        if found != partitions:
            differing.append(
                f"topic {name} has {found} partitions, the settings say {partitions}: it stays so, as another number "
                "would put a post's records into two partitions; set the number to what it is, or begin a new prefix"
            )
        differing += _differing(name, configs, broker.topic_configs(name))
    for name in created:
        _await(broker, name)
    return Prepared(tuple(created), tuple(differing + _broker_findings(broker.broker_configs())))


def _await(broker: Broker, name: str) -> None:
    """Wait until a topic that exists can be used: brokers hear of it one after the other.

    Raises:
        RetryLater: it cannot for half a minute.
    """
    deadline = time.monotonic() + _AWAIT_SECONDS
    while True:
        try:
            if info := broker.topics([name]).get(name):
                broker.ends([Place(name, partition) for partition in range(info.partitions)])
                return
        except (RetryLater, ConfigError):
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            raise RetryLater(f"topic {name} was created, but no broker shows it: look at their logs", 1.0)
        time.sleep(0.05)


def topic_findings(broker: Broker, settings: KafkaSettings) -> list[str]:
    """Tell in words what `prepare` would find, and change nothing: for `soundings doctor`."""
    findings = []
    present = broker.topics(settings.prefix + topic for topic in ALL_TOPICS)
    for topic in ALL_TOPICS:
        name = settings.prefix + topic
        if name not in present:
            findings.append(f"topic {name} is missing: `soundings setup` creates it")
        else:
            findings += _differing(name, _wanted(topic, settings)[1], broker.topic_configs(name))
    return findings + _broker_findings(broker.broker_configs())


def _wanted(topic: str, settings: KafkaSettings) -> tuple[int, dict[str, str]]:
    """Give the partitions and settings of a topic."""
    configs = {"max.message.bytes": str(MAX_RECORD_BYTES), "compression.type": "producer"}
    if topic == SOURCES:
        return settings.source_partitions, configs | _COMPACTED
    if topic == BOOKS:
        return 1, configs | _COMPACTED
    if topic == DEAD:
        return 1, configs | _kept(settings.dead_retention_hours)
    hours = settings.events_retention_hours if topic == Topic.EVENTS else settings.retention_hours
    return settings.partitions, configs | _kept(hours)


def _kept(hours: float) -> dict[str, str]:
    """Give what keeps records for so long, and for a quarter of it more at most.

    A broker drops whole segments, once the newest record in them is too old; by default a segment takes in a week.
    """
    retention = int(hours * _HOUR_MS)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(retention),
        "retention.bytes": "-1",
        "segment.ms": str(max(_LEAST_SEGMENT_MS, min(_MOST_SEGMENT_MS, retention // 4))),
    }


def _differing(name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [
        f"topic {name} has {key}={found.get(key, '(unknown)')}, expected {value}: change it with your Kafka's tools"
        for key, value in wanted.items()
        if found.get(key) != value
    ]


def _broker_findings(configs: Mapping[str, str]) -> list[str]:
    minutes = configs.get("offsets.retention.minutes")
    if minutes is None or int(minutes) >= _OFFSETS_RETENTION_MINUTES:
        return []
    return [
        f"the broker forgets the offsets of a group without members after {int(minutes) // 1440} days, and with them "
        f"its books: set offsets.retention.minutes to {_OFFSETS_RETENTION_MINUTES} or more on every broker"
    ]
