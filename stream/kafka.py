"""The broker through confluent-kafka, which is librdkafka in C: the default client."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions as GroupRequest
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from domain.errors import ConfigError
from stream import kafka_words
from stream.kafka_broker import (
    Broker,
    Change,
    Committed,
    Fetched,
    Place,
    Reader,
    Subscriber,
    TopicInfo,
    ToSend,
)
from stream.kafka_settings import MAX_RECORD_BYTES, KafkaSettings, check

# Fetched ahead of what a worker takes, in KiB: more gains nothing on a batch of some hundred records.
FETCH_QUEUE_KIB = 4 * 1024
# Waiting to be sent, in KiB: room for one record of the greatest size and what is sent beside it.
SEND_QUEUE_KIB = 32 * 1024
# What is settled is waited for, so that a batch is whole when it was handed over: this is for its first records.
LINGER_MS = 2

_LOST = (
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.STALE_MEMBER_EPOCH,
    KafkaError.FENCED_MEMBER_EPOCH,
    KafkaError._ASSIGNMENT_LOST,
    KafkaError._STATE,
)
_REFUSED = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError._AUTHENTICATION,
    KafkaError._SSL,
)
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

_T = TypeVar("_T")


def open_broker(settings: KafkaSettings) -> Broker:
    """Give the broker; nothing is asked of it yet.

    Raises:
        ConfigError: the settings cannot work, a file of certificates cannot be read.
    """
    check(settings)
    try:
        return _Broker(settings)
    except KafkaException as exc:
        raise ConfigError(f"kafka: the settings cannot be used: {exc.args[0].str()}") from exc


def _common(settings: KafkaSettings) -> dict[str, Any]:
    """Give what every client needs, in librdkafka's words."""
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.client_id,
        "security.protocol": settings.security_protocol,
        "socket.timeout.ms": int(settings.request_seconds * 1000),
        "reconnect.backoff.max.ms": 2_000,
        # Errors come back from calls; on standard error they would break a page of JSON logs.
        "log_level": 0,
        "allow.auto.create.topics": False,
    }
    if settings.security_protocol.startswith("SASL"):
        config["sasl.mechanism"] = settings.sasl_mechanism
        config["sasl.username"], config["sasl.password"] = settings.sasl_username, settings.sasl_password
    files = {"ca": settings.ca_file, "certificate": settings.certificate_file, "key": settings.key_file}
    config |= {f"ssl.{name}.location": path for name, path in files.items() if path}
    if settings.key_password:
        config["ssl.key.password"] = settings.key_password
    return config


def _translated(error: KafkaError, settings: KafkaSettings, doing: str) -> Exception:
    """Give our error for one of librdkafka's."""
    code, said = error.code(), f"{error.name()}: {error.str()}"
    if code in _REFUSED:
        return kafka_words.refused(settings, doing, said)
    if code in _MISSING:
        return kafka_words.missing(settings, doing, said)
    if code == KafkaError.REBALANCE_IN_PROGRESS:
        return kafka_words.rebalancing(settings, doing, said)
    if code in _LOST:
        return kafka_words.lost(settings, doing, said)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return kafka_words.too_large(settings)
    return kafka_words.unanswered(settings, doing, said)


class _Broker:
    """See `stream.kafka_broker.Broker`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._admin = AdminClient(_common(settings))
        self._producer: Producer | None = None
        self._producing = threading.Lock()

    # --- sending

    def send(self, records: Sequence[ToSend]) -> Sequence[int]:
        if not records:
            return []
        producer = self._open_producer()
        batch = _Batch(len(records))
        for number, record in enumerate(records):
            self._produce(producer, record, batch.acknowledge(number))
        # Every record comes back within message.timeout.ms, delivered or not.
        batch.complete.wait()
        if batch.error is not None:
            if batch.error.fatal() or batch.error.code() in (KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE):
                self._drop_producer(producer)
            raise _translated(batch.error, self._settings, "appending records")
        return batch.offsets

    def _produce(self, producer: Producer, record: ToSend, done: Callable[[Any, Message], None]) -> None:
        place = record.place
        while True:
            try:
                producer.produce(
                    place.topic,
                    record.value,
                    record.key,
                    place.partition,
                    on_delivery=done,
                    timestamp=record.timestamp_ms,
                    headers=list(record.headers) or None,
                )
                return
            except BufferError:
                # The queue is full: what is in it goes out, or comes back after its time.
                time.sleep(0.01)
            except KafkaException as exc:
                done(exc.args[0], None)  # type: ignore[arg-type]
                return

    def _open_producer(self) -> Producer:
        with self._producing:
            if self._producer is None:
                config = _common(self._settings) | {
                    "enable.idempotence": True,
                    "acks": "all",
                    "compression.type": "lz4",
                    "linger.ms": LINGER_MS,
                    "message.max.bytes": MAX_RECORD_BYTES,
                    "queue.buffering.max.kbytes": SEND_QUEUE_KIB,
                    "message.timeout.ms": int(self._settings.request_seconds * 2_000),
                }
                self._producer = Producer(config)
                hearing = threading.Thread(target=self._hear, args=(self._producer,), name="kafka-acks", daemon=True)
                hearing.start()
            return self._producer

    def _hear(self, producer: Producer) -> None:
        """Let acknowledgements in as they come: of threads that asked each by itself, one would wait for another's."""
        while self._producer is producer or len(producer):
            producer.poll(0.1)

    def _drop_producer(self, producer: Producer) -> None:
        """Begin a new session with the next record: after a fatal error this one cannot tell repeats from new ones."""
        with self._producing:
            if self._producer is producer:
                self._producer = None

    # --- reading

    def subscriber(self, group: str, topics: Sequence[str]) -> Subscriber:
        return _Subscriber(self._settings, group, topics)

    def reader(self) -> Reader:
        return _Reader(self._settings)

    # --- asking

    def _ask(self, doing: str, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except KafkaException as exc:
            raise _translated(exc.args[0], self._settings, doing) from exc

    def topics(self, names: Iterable[str]) -> Mapping[str, TopicInfo]:
        asked = self._admin.describe_topics(
            TopicCollection(list(names)), request_timeout=self._settings.request_seconds
        )
        found = {}
        for name, future in asked.items():
            try:
                topic = self._ask("asking for topics", future.result)
            except ConfigError as exc:
                if isinstance(exc.__cause__, KafkaException) and exc.__cause__.args[0].code() in _MISSING:
                    continue
                raise
            found[name] = TopicInfo(len(topic.partitions), str(topic.topic_id))
        return found

    def ends(self, places: Iterable[Place]) -> Mapping[Place, int]:
        return self._list_offsets(places, OffsetSpec.latest())

    def beginnings(self, places: Iterable[Place]) -> Mapping[Place, int]:
        return self._list_offsets(places, OffsetSpec.earliest())

    def offsets_at(self, places: Iterable[Place], timestamp_ms: int) -> Mapping[Place, int | None]:
        found = self._list_offsets(places, OffsetSpec.for_timestamp(timestamp_ms))
        return {place: offset if offset >= 0 else None for place, offset in found.items()}

    def _list_offsets(self, places: Iterable[Place], what: OffsetSpec) -> dict[Place, int]:
        request = {TopicPartition(*place): what for place in places}
        if not request:
            return {}
        asked = self._admin.list_offsets(request, request_timeout=self._settings.request_seconds)
        return {
            Place(one.topic, one.partition): int(self._ask("asking for offsets", future.result).offset)
            for one, future in asked.items()
        }

    def group_offsets(self, group: str) -> Mapping[Place, Committed]:
        asked = self._admin.list_consumer_group_offsets(
            [GroupRequest(group)], request_timeout=self._settings.request_seconds
        )
        found = self._ask(f"asking for the offsets of group {group}", asked[group].result)
        return {
            Place(one.topic, one.partition): Committed(one.offset, one.metadata or "")
            for one in found.topic_partitions
            if one.offset >= 0
        }

    # --- setting up

    def create_topic(self, name: str, partitions: int, replication: int, configs: Mapping[str, str]) -> bool:
        topic = NewTopic(name, partitions, replication, config=dict(configs))
        (future,) = self._admin.create_topics([topic], request_timeout=self._settings.request_seconds).values()
        try:
            future.result()
        except KafkaException as exc:
            if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise _translated(exc.args[0], self._settings, f"creating topic {name}") from exc
        return True

    def topic_configs(self, name: str) -> Mapping[str, str]:
        return self._configs(ConfigResource(ConfigResource.Type.TOPIC, name))

    def broker_configs(self) -> Mapping[str, str]:
        try:
            cluster = self._ask(
                "asking for brokers",
                self._admin.describe_cluster(request_timeout=self._settings.request_seconds).result,
            )
            return self._configs(ConfigResource(ConfigResource.Type.BROKER, str(cluster.nodes[0].id)))
        except ConfigError:
            return {}

    def _configs(self, resource: ConfigResource) -> dict[str, str]:
        (future,) = self._admin.describe_configs([resource], request_timeout=self._settings.request_seconds).values()
        found = self._ask(f"asking for the settings of {resource.name}", future.result)
        return {name: entry.value for name, entry in found.items() if entry.value is not None}

    def delete_records(self, before: Mapping[Place, int]) -> None:
        places = [TopicPartition(place.topic, place.partition, offset) for place, offset in before.items()]
        for future in self._admin.delete_records(places, request_timeout=self._settings.request_seconds).values():
            self._ask("dropping old records", future.result)

    def close(self) -> None:
        with self._producing:
            self._producer = None


class _Batch:
    """Records on their way, and where they went."""

    def __init__(self, size: int) -> None:
        self.offsets = [0] * size
        self.error: KafkaError | None = None
        self.complete = threading.Event()
        self._left = size
        # librdkafka calls back in whichever thread polls the producer.
        self._lock = threading.Lock()

    def acknowledge(self, number: int) -> Callable[[KafkaError | None, Message], None]:
        """Give the function that hears what became of one record."""

        def done(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                if error is None:
                    self.offsets[number] = message.offset() or 0
                else:
                    self.error = error
                self._left -= 1
                if self._left == 0:
                    self.complete.set()

        return done


def _fetched(messages: Iterable[Message], settings: KafkaSettings, doing: str) -> list[Fetched]:
    """Give the records among messages.

    Raises:
        RetryLater, ConfigError: there is no record but an error.
    """
    records = []
    failed: KafkaError | None = None
    for message in messages:
        error = message.error()
        if error is None:
            headers = message.headers() or ()
            place = Place(message.topic(), message.partition())  # type: ignore[arg-type]
            records.append(
                Fetched(
                    place,
                    message.offset(),  # type: ignore[arg-type]
                    message.key(),
                    message.value(),
                    tuple(headers),  # type: ignore[arg-type]
                    message.timestamp()[1],
                )
            )
        elif error.code() != KafkaError._MAX_POLL_EXCEEDED and not error.retriable():
            # Being late is told again by the partitions that are taken away; what is retriable is retried inside.
            failed = error
    if failed is not None and not records:
        raise _translated(failed, settings, doing)
    return records


def _take(consumer: Consumer, max_records: int, timeout_seconds: float) -> list[Message]:
    """Wait for the first message only: asking for more at once waits the whole time for the last one."""
    messages = consumer.consume(1, timeout_seconds)
    if messages and max_records > 1:
        messages += consumer.consume(max_records - 1, 0.0)
    return messages


class _Subscriber:
    """See `stream.kafka_broker.Subscriber`."""

    def __init__(self, settings: KafkaSettings, group: str, topics: Sequence[str]) -> None:
        self._settings, self._group, self._topics = settings, group, list(topics)
        self._changes: deque[Change] = deque()
        self._joined = self._given = False
        session_ms = int(settings.session_seconds * 1000)
        self._consumer = Consumer(
            _common(settings)
            | {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": min(3_000, session_ms // 3),
                "max.poll.interval.ms": max(session_ms, int(settings.max_poll_seconds * 1000)),
                "queued.max.messages.kbytes": FETCH_QUEUE_KIB,
                "fetch.error.backoff.ms": 100,
            }
        )

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        doing = f"reading as group {self._group}"
        try:
            if not self._joined:
                # Only now: a member that is not polled would keep partitions from those that are.
                self._consumer.subscribe(
                    self._topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
                )
                self._joined = True
            return _fetched(_take(self._consumer, max_records, timeout_seconds), self._settings, doing)
        except KafkaException as exc:
            raise _translated(exc.args[0], self._settings, doing) from exc

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._given = True
        self._note("assigned", partitions)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._note("revoked", partitions)
        consumer.incremental_unassign(partitions)

    def _note(self, kind: Any, partitions: Iterable[TopicPartition]) -> None:
        self._changes.append(Change(kind, tuple(Place(one.topic, one.partition) for one in partitions)))

    def joined(self) -> bool:
        return self._given

    def changes(self) -> Sequence[Change]:
        # One more may come meanwhile.
        return [self._changes.popleft() for _ in range(len(self._changes))]

    def pause(self, places: Iterable[Place]) -> None:
        with suppress(KafkaException):
            self._consumer.pause([TopicPartition(*place) for place in places])

    def resume(self, places: Iterable[Place]) -> None:
        with suppress(KafkaException):
            self._consumer.resume([TopicPartition(*place) for place in places])

    def seek(self, offsets: Mapping[Place, int]) -> None:
        for place, offset in offsets.items():
            target = TopicPartition(place.topic, place.partition, offset)
            try:
                self._consumer.seek(target)
            except KafkaException:
                # A partition that is being started cannot be moved: it is started again, at the right offset.
                with suppress(KafkaException):
                    self._consumer.incremental_unassign([target])
                    self._consumer.incremental_assign([target])

    def commit(self, offsets: Mapping[Place, Committed]) -> None:
        places = [
            TopicPartition(place.topic, place.partition, committed.offset, committed.metadata)
            for place, committed in offsets.items()
        ]
        doing = f"committing as group {self._group}"
        try:
            done = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as exc:
            raise _translated(exc.args[0], self._settings, doing) from exc
        for one in done or ():
            if one.error is not None:
                raise _translated(one.error, self._settings, doing)

    def close(self) -> None:
        self._consumer.close()


class _Reader:
    """See `stream.kafka_broker.Reader`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._positions: dict[Place, int] = {}
        self._consumer = Consumer(
            _common(settings)
            | {
                # librdkafka wants a group; without a subscription and a commit there is none on the broker.
                "group.id": f"{settings.prefix}reader",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": FETCH_QUEUE_KIB,
                "fetch.error.backoff.ms": 100,
            }
        )

    def assign(self, offsets: Mapping[Place, int]) -> None:
        self._positions = dict(offsets)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        try:
            messages = _take(self._consumer, max_records, timeout_seconds)
        except KafkaException as exc:
            raise _translated(exc.args[0], self._settings, "reading") from exc
        records = []
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                place = Place(message.topic(), message.partition())  # type: ignore[arg-type]
                self._positions[place] = max(self._positions[place], message.offset() or 0)
            else:
                records.append(message)
        fetched = _fetched(records, self._settings, "reading")
        for record in fetched:
            self._positions[record.place] = record.offset + 1
        return fetched

    def positions(self) -> Mapping[Place, int]:
        return self._positions

    def close(self) -> None:
        self._consumer.close()
