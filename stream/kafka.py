"""The broker through confluent-kafka, which is librdkafka in C: the default client."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from domain.errors import ConfigError, RetryLater
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
from stream.kafka_tls import tls_context
from stream.kafka_words import RETRY_SECONDS, Heard

# Fetched ahead of what a worker takes, in KiB: more gains nothing on a batch of some hundred records.
FETCH_QUEUE_KIB = 4 * 1024
# A client whose queue was full looks again after this; by default after a second, in which a worker has taken it all.
QUEUE_BACKOFF_MS = 10
# After these a producer cannot tell repeats from new records, or may wait for a leader that came back long ago.
_NEW_PRODUCER = (KafkaError._FATAL, KafkaError._GAPLESS_GUARANTEE, KafkaError._MSG_TIMED_OUT)
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
_REFUSALS: Mapping[int, kafka_words.Refusal] = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: kafka_words.refused,
    KafkaError.GROUP_AUTHORIZATION_FAILED: kafka_words.refused,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: kafka_words.refused,
    KafkaError.SASL_AUTHENTICATION_FAILED: kafka_words.unknown_user,
    KafkaError._AUTHENTICATION: kafka_words.unknown_user,
    KafkaError._SSL: kafka_words.untrusted,
}
_MISSING = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION)

_STALE = (
    KafkaError.FENCED_LEADER_EPOCH,
    KafkaError.UNKNOWN_LEADER_EPOCH,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    # "No leaders found".
    KafkaError._NOENT,
)

_T = TypeVar("_T")


def open_broker(settings: KafkaSettings) -> Broker:
    """Give the broker; nothing is asked of it yet.

    Raises:
        ConfigError: the settings cannot work, a file of certificates cannot be read.
    """
    check(settings)
    # librdkafka reads the same files; it says less about what is wrong with them.
    tls_context(settings)
    try:
        return _Broker(settings)
    except KafkaException as exc:
        raise ConfigError(f"kafka: the settings cannot be used: {exc.args[0].str()}") from exc


def _common(heard: Heard) -> dict[str, Any]:
    """Give what every client needs, in librdkafka's words; `heard` is told of its connections when it is polled."""
    settings = heard.settings
    config: dict[str, Any] = {
        "bootstrap.servers": settings.bootstrap_servers,
        "client.id": settings.client_id,
        "security.protocol": settings.security_protocol,
        "socket.timeout.ms": int(settings.request_seconds * 1000),
        "reconnect.backoff.max.ms": 2_000,
        # Errors come back from calls; on standard error they would break a page of JSON logs.
        "log_level": 0,
        "error_cb": partial(_note, heard),
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


def _made(kind: Callable[[dict[str, Any]], _T], heard: Heard, more: Mapping[str, Any] | None = None) -> _T:
    """Make a client later than the first, of which `open_broker` has seen that the settings can be used.

    Raises:
        RetryLater: they cannot now: it reads the files of certificates, which may be about to be replaced.
    """
    try:
        return kind(_common(heard) | dict(more or {}))
    except KafkaException as exc:
        raise RetryLater(f"{heard.settings.where}: no client can be made: {exc.args[0].str()}", RETRY_SECONDS) from exc


def _note(heard: Heard, error: KafkaError) -> None:
    code, said = error.code(), error.str()
    # That all brokers are down says nothing of why.
    if code != KafkaError._ALL_BROKERS_DOWN:
        # What a broker thinks of our certificate comes after our side of TLS is done, as a broken connection.
        told_why = code == KafkaError._TRANSPORT and "SSL alert number" in said
        heard.note(f"{error.name()}: {said}", kafka_words.untrusted if told_why else _REFUSALS.get(code))


def _translated(error: KafkaError, heard: Heard, doing: str) -> Exception:
    """Give our error for one of librdkafka's."""
    settings = heard.settings
    code, said = error.code(), f"{error.name()}: {error.str()}"
    if code in _REFUSALS:
        return _REFUSALS[code](settings, doing, said)
    if code in _MISSING:
        return kafka_words.missing(settings, doing, said)
    if code == KafkaError.REBALANCE_IN_PROGRESS:
        return kafka_words.rebalancing(settings, doing, said)
    if code in _LOST:
        return kafka_words.lost(settings, doing, said)
    if code == KafkaError.MSG_SIZE_TOO_LARGE:
        return kafka_words.too_large(settings)
    return heard.unanswered(doing, said)


class _Broker:
    """See `stream.kafka_broker.Broker`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings
        self._heard = Heard(settings)
        self._admin = AdminClient(_common(self._heard))
        self._sender: _Sender | None = None
        # Groups whose offsets were asked for, each by a client of its own that never joins.
        self._groups: dict[str, tuple[Consumer, Heard]] = {}
        self._asking = threading.Lock()
        self._producing = threading.Lock()

    # --- sending

    def send(self, records: Sequence[ToSend]) -> Sequence[int]:
        if not records:
            return []
        with self._producing:
            if self._sender is None:
                self._sender = _Sender(self._settings)
            sender = self._sender
            sender.begin()
        try:
            batch = sender.send(records)
        finally:
            sender.end()
        if batch.error is not None:
            if batch.error.fatal() or batch.error.code() in _NEW_PRODUCER:
                self._drop(sender)
            raise _translated(batch.error, sender.heard, "appending records")
        sender.heard.answered()
        return batch.offsets

    def _drop(self, sender: _Sender) -> None:
        """Begin a new session with the next record."""
        with self._producing:
            if self._sender is sender:
                self._sender = None
        sender.close()

    # --- reading

    def subscriber(self, group: str, topics: Sequence[str]) -> Subscriber:
        return _Subscriber(self._settings, group, topics)

    def reader(self) -> Reader:
        return _Reader(self._settings)

    # --- asking

    def _ask(self, doing: str, call: Callable[[AdminClient], _T]) -> _T:
        admin = self._admin
        try:
            return self._call(admin, call)
        except KafkaException as exc:
            error = exc.args[0]
            if error.code() not in _STALE:
                raise _translated(error, self._heard, doing) from exc
        # The client keeps who led a partition before the broker was restarted and never asks again: a new one does.
        if self._admin is admin:
            self._admin = _made(AdminClient, self._heard)
        try:
            return self._call(self._admin, call)
        except KafkaException as exc:
            raise _translated(exc.args[0], self._heard, doing) from exc

    def _call(self, admin: AdminClient, call: Callable[[AdminClient], _T]) -> _T:
        try:
            answer = call(admin)
        finally:
            admin.poll(0)
        self._heard.answered()
        return answer

    @property
    def _patience(self) -> float:
        return self._settings.request_seconds

    def topics(self, names: Iterable[str]) -> Mapping[str, TopicInfo]:
        asked = TopicCollection(list(names))

        def ask(admin: AdminClient) -> dict[str, TopicInfo]:
            found = {}
            for name, future in admin.describe_topics(asked, request_timeout=self._patience).items():
                try:
                    topic = future.result()
                    found[name] = TopicInfo(len(topic.partitions), str(topic.topic_id))
                except KafkaException as exc:
                    if exc.args[0].code() not in _MISSING:
                        raise
            return found

        return self._ask("asking for topics", ask)

    def ends(self, places: Iterable[Place]) -> Mapping[Place, int]:
        return self._list_offsets(places, OffsetSpec.latest())

    def beginnings(self, places: Iterable[Place]) -> Mapping[Place, int]:
        return self._list_offsets(places, OffsetSpec.earliest())

    def offsets_at(self, places: Iterable[Place], timestamp_ms: int) -> Mapping[Place, int | None]:
        found = self._list_offsets(places, OffsetSpec.for_timestamp(timestamp_ms))
        return {place: offset if offset >= 0 else None for place, offset in found.items()}

    def _list_offsets(self, places: Iterable[Place], what: OffsetSpec) -> dict[Place, int]:
        request = {TopicPartition(*place): what for place in places}

        def ask(admin: AdminClient) -> dict[Place, int]:
            asked = admin.list_offsets(request, request_timeout=self._patience)
            return {Place(one.topic, one.partition): int(future.result().offset) for one, future in asked.items()}

        return self._ask("asking for offsets", ask) if request else {}

    def group_offsets(self, group: str, places: Iterable[Place]) -> Mapping[Place, Committed]:
        # Not through AdminClient: librdkafka 2.16 ends the whole process when the coordinator of the group has moved.
        with self._asking:
            if group not in self._groups:
                heard = Heard(self._settings)
                self._groups[group] = _made(Consumer, heard, {"group.id": group}), heard
            consumer, heard = self._groups[group]
        wanted = [TopicPartition(*place) for place in places]
        doing = f"asking for the offsets of group {group}"
        try:
            found = consumer.committed(wanted, self._patience) if wanted else []
        except KafkaException as exc:
            consumer.poll(0)
            raise _translated(exc.args[0], heard, doing) from exc
        consumer.poll(0)
        for one in found:
            if one.error is not None:
                raise _translated(one.error, heard, doing)
        heard.answered()
        return {
            Place(one.topic, one.partition): Committed(one.offset, one.metadata or "")
            for one in found
            if one.offset >= 0
        }

    # --- setting up

    def create_topic(self, name: str, partitions: int, replication: int, configs: Mapping[str, str]) -> bool:
        topic = NewTopic(name, partitions, replication, config=dict(configs))

        def ask(admin: AdminClient) -> bool:
            (future,) = admin.create_topics([topic], request_timeout=self._patience).values()
            try:
                future.result()
            except KafkaException as exc:
                if exc.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                    return False
                raise
            return True

        return self._ask(f"creating topic {name}", ask)

    def topic_configs(self, name: str) -> Mapping[str, str]:
        return self._configs(ConfigResource(ConfigResource.Type.TOPIC, name))

    def broker_configs(self) -> Mapping[str, str]:
        def ask(admin: AdminClient) -> str:
            return str(admin.describe_cluster(request_timeout=self._patience).result().nodes[0].id)

        try:
            return self._configs(ConfigResource(ConfigResource.Type.BROKER, self._ask("asking for brokers", ask)))
        except ConfigError:
            return {}

    def _configs(self, resource: ConfigResource) -> dict[str, str]:
        def ask(admin: AdminClient) -> dict[str, str]:
            (future,) = admin.describe_configs([resource], request_timeout=self._patience).values()
            return {name: entry.value for name, entry in future.result().items() if entry.value is not None}

        return self._ask(f"asking for the settings of {resource.name}", ask)

    def delete_records(self, before: Mapping[Place, int]) -> None:
        places = [TopicPartition(place.topic, place.partition, offset) for place, offset in before.items()]

        def ask(admin: AdminClient) -> None:
            for future in admin.delete_records(places, request_timeout=self._patience).values():
                future.result()

        self._ask("dropping old records", ask)

    def close(self) -> None:
        with self._producing:
            sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()
        with self._asking:
            for consumer, _ in self._groups.values():
                consumer.close()
            self._groups.clear()


class _Sender:
    """One session of a producer, and the thread that hears its acknowledgements.

    Of threads that each waited for their own, one would wait for another's. The session ends when nobody uses it.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self.heard = Heard(settings)
        self._producer = _made(
            Producer,
            self.heard,
            {
                "enable.idempotence": True,
                "acks": "all",
                "compression.type": "lz4",
                "linger.ms": LINGER_MS,
                "message.max.bytes": MAX_RECORD_BYTES,
                "queue.buffering.max.kbytes": SEND_QUEUE_KIB,
                "message.timeout.ms": int(settings.request_seconds * 2_000),
            },
        )
        self._lock = threading.Lock()
        self._users = 0
        self._closing = False
        # Records come back after message.timeout.ms at the latest.
        self._patience = settings.request_seconds * 4
        self._give_up_at = float("inf")
        self._hearing = threading.Thread(target=self._hear, name="kafka-acks", daemon=True)
        self._hearing.start()

    def begin(self) -> None:
        """Keep the session until `end`."""
        with self._lock:
            self._users += 1

    def end(self) -> None:
        """Let the session go."""
        with self._lock:
            self._users -= 1

    def send(self, records: Sequence[ToSend]) -> _Batch:
        """Send, and wait until it is known what became of each: that takes message.timeout.ms at most."""
        batch = _Batch(len(records))
        for number, record in enumerate(records):
            self._produce(record, batch.acknowledge(number))
        batch.complete.wait()
        return batch

    def _produce(self, record: ToSend, done: Callable[[Any, Any], None]) -> None:
        while True:
            try:
                self._producer.produce(
                    record.place.topic,
                    record.value,
                    record.key,
                    record.place.partition,
                    on_delivery=done,
                    timestamp=record.timestamp_ms,
                    headers=list(record.headers) or None,
                )
                return
            except BufferError:
                # The queue is full: what is in it goes out, or comes back after its time.
                time.sleep(0.01)
            except KafkaException as exc:
                done(exc.args[0], None)
                return

    def _hear(self) -> None:
        while not self._closing or self._users or len(self._producer):
            self._producer.poll(0.1)
            # A session that lost its broker may hold a request of its own for ever, which nobody waits for.
            if not self._users and time.monotonic() > self._give_up_at:
                return

    def close(self) -> None:
        """End the session once nothing is on its way."""
        self._give_up_at = time.monotonic() + self._patience
        self._closing = True
        self._hearing.join()


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


def _fetched(messages: Iterable[Message], heard: Heard, doing: str) -> list[Fetched]:
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
    if records:
        heard.answered()
    elif failed is not None:
        raise _translated(failed, heard, doing)
    return records


def _take(consumer: Consumer, max_records: int, timeout_seconds: float, heard: Heard, doing: str) -> list[Message]:
    """Wait for the first message only: asking for more at once waits the whole time for the last one.

    Raises:
        RetryLater, ConfigError: there is none, as brokers refuse us.
    """
    messages = consumer.consume(1, timeout_seconds)
    if not messages:
        heard.check(doing)
    if messages and max_records > 1:
        messages += consumer.consume(max_records - 1, 0.0)
    return messages


class _Subscriber:
    """See `stream.kafka_broker.Subscriber`."""

    def __init__(self, settings: KafkaSettings, group: str, topics: Sequence[str]) -> None:
        self._heard, self._group, self._topics = Heard(settings), group, list(topics)
        self._changes: deque[Change] = deque()
        self._joined = self._given = False
        session_ms = int(settings.session_seconds * 1000)
        self._consumer = _made(
            Consumer,
            self._heard,
            {
                "group.id": group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": session_ms,
                "heartbeat.interval.ms": min(3_000, session_ms // 3),
                "max.poll.interval.ms": max(session_ms, int(settings.max_poll_seconds * 1000)),
                "queued.max.messages.kbytes": FETCH_QUEUE_KIB,
                "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
                "fetch.error.backoff.ms": 100,
            },
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
            messages = _take(self._consumer, max_records, timeout_seconds, self._heard, doing)
        except KafkaException as exc:
            raise _translated(exc.args[0], self._heard, doing) from exc
        return _fetched(messages, self._heard, doing)

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        self._given = True
        self._heard.answered()
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
        # Begun anew instead of moved: a partition that is moved while its leader is away may never go on.
        targets = [TopicPartition(place.topic, place.partition, offset) for place, offset in offsets.items()]
        with suppress(KafkaException):
            self._consumer.incremental_unassign(targets)
            self._consumer.incremental_assign(targets)

    def commit(self, offsets: Mapping[Place, Committed]) -> None:
        places = [
            TopicPartition(place.topic, place.partition, committed.offset, committed.metadata)
            for place, committed in offsets.items()
        ]
        doing = f"committing as group {self._group}"
        try:
            done = self._consumer.commit(offsets=places, asynchronous=False)
        except KafkaException as exc:
            raise _translated(exc.args[0], self._heard, doing) from exc
        for one in done or ():
            if one.error is not None:
                raise _translated(one.error, self._heard, doing)

    def close(self) -> None:
        self._consumer.close()


class _Reader:
    """See `stream.kafka_broker.Reader`."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._heard = Heard(settings)
        self._positions: dict[Place, int] = {}
        self._consumer = _made(
            Consumer,
            self._heard,
            {
                # librdkafka wants a group; without a subscription and a commit there is none on the broker.
                "group.id": f"{settings.prefix}reader",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": FETCH_QUEUE_KIB,
                "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
                "fetch.error.backoff.ms": 100,
            },
        )

    def assign(self, offsets: Mapping[Place, int]) -> None:
        self._positions = dict(offsets)
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in offsets.items()])

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        try:
            messages = _take(self._consumer, max_records, timeout_seconds, self._heard, "reading")
        except KafkaException as exc:
            raise _translated(exc.args[0], self._heard, "reading") from exc
        records = []
        for message in messages:
            error = message.error()
            if error is not None and error.code() == KafkaError._PARTITION_EOF:
                place = Place(message.topic(), message.partition())  # type: ignore[arg-type]
                self._positions[place] = max(self._positions[place], message.offset() or 0)
            else:
                records.append(message)
        fetched = _fetched(records, self._heard, "reading")
        for record in fetched:
            self._positions[record.place] = record.offset + 1
        return fetched

    def positions(self) -> Mapping[Place, int]:
        return self._positions

    def close(self) -> None:
        self._consumer.close()
