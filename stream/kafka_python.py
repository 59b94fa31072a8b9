"""The broker through kafka-python, which is Python alone: for machines where librdkafka has no wheel."""

from __future__ import annotations

import ssl
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from kafka import (
    ConsumerRebalanceListener,
    KafkaAdminClient,
    KafkaConsumer,
    KafkaProducer,
    OffsetAndMetadata,
    OffsetSpec,
    TopicPartition,
)
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.net import KafkaConnectionManager, KafkaNetClient, NetworkSelector

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
from stream.kafka_tls import tls_context
from stream.kafka_words import Heard

# Records of a batch for one partition, in bytes: what a settlement of some hundred posts makes.
BATCH_BYTES = 256 * 1024
LINGER_MS = 2
FETCH_BYTES = 8 * 1024 * 1024
PARTITION_FETCH_BYTES = 1024 * 1024

_LOST = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.UnknownMemberIdError,
    kafka_errors.FencedInstanceIdError,
)
_UNKNOWN_USER = (
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)
# A connection that ended in the middle of TLS: that broker stops, or speaks no TLS.
_CUT_SHORT = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
_MISSING = (kafka_errors.UnknownTopicOrPartitionError, kafka_errors.UnknownTopicIdError)
# After these a producer cannot tell repeats from new records, or waits for a broker that came back long ago.
_NEW_PRODUCER = (
    kafka_errors.KafkaTimeoutError,
    kafka_errors.OutOfOrderSequenceNumberError,
    kafka_errors.InvalidProducerEpochError,
    kafka_errors.UnknownProducerIdError,
    kafka_errors.ProducerFencedError,
    kafka_errors.IllegalStateError,
)

# confluent-kafka ends the metadata of a commit with this and, reading it, reads on until it finds it: without it, it
# gives whatever lies in memory behind the text.
_METADATA_END = "\0"

_T = TypeVar("_T")


def open_broker(settings: KafkaSettings) -> Broker:
    """Give the broker; nothing is asked of it yet.

    Raises:
        ConfigError: the settings cannot work, a file of certificates cannot be used.
    """
    check(settings)
    return _Broker(_Door(settings))


def _common(settings: KafkaSettings, context: ssl.SSLContext | None) -> dict[str, Any]:
    """Give what every client needs, in kafka-python's words."""
    config: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers.split(","),
        "client_id": settings.client_id,
        "security_protocol": settings.security_protocol,
        "request_timeout_ms": int(settings.request_seconds * 1000),
        "bootstrap_timeout_ms": int(settings.request_seconds * 1000),
        "reconnect_backoff_max_ms": 2_000,
    }
    if settings.security_protocol.startswith("SASL"):
        config["sasl_mechanism"] = settings.sasl_mechanism
        config["sasl_plain_username"] = settings.sasl_username
        config["sasl_plain_password"] = settings.sasl_password
    # Made by us: a client would read the files, and ask for the password of a key, with each connection.
    if context is not None:
        context.sslsocket_class = _Socket
        config["ssl_context"] = context
    return config


def _refusal(error: BaseException) -> kafka_words.Refusal | None:
    """Tell which of the refusals an error is, None when it is none."""
    if isinstance(error, kafka_errors.AuthorizationError):
        return kafka_words.refused
    if isinstance(error, _UNKNOWN_USER):
        return kafka_words.unknown_user
    causes = (error, error.__context__, *error.args)
    if any(isinstance(one, ssl.SSLError) and not isinstance(one, _CUT_SHORT) for one in causes):
        return kafka_words.untrusted
    return None


class _Socket(ssl.SSLSocket):
    """Ends with a handshake that fails; kafka-python would leave it open until memory is tidied."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except OSError:
            self.close()
            raise


def _translated(error: Exception, heard: Heard, doing: str) -> Exception:
    """Give our error for one of kafka-python's."""
    settings, said = heard.settings, str(error)
    if refusal := _refusal(error):
        return refusal(settings, doing, said)
    if isinstance(error, _MISSING):
        return kafka_words.missing(settings, doing, said)
    if isinstance(error, kafka_errors.RebalanceInProgressError):
        return kafka_words.rebalancing(settings, doing, said)
    if isinstance(error, _LOST):
        return kafka_words.lost(settings, doing, said)
    if isinstance(error, kafka_errors.MessageSizeTooLargeError | kafka_errors.RecordListTooLargeError):
        return kafka_words.too_large(settings)
    return heard.unanswered(doing, said)


class _Connections(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python has no types
    """Tells why a connection fails; the client itself only writes it to its log, and tries again."""

    heard: Heard

    def get_connection(self, *args: Any, **more: Any) -> Any:
        connection = super().get_connection(*args, **more)
        if not connection.init_future.is_done:
            connection.init_future.add_errback(self._note)
        return connection

    def _note(self, error: BaseException) -> None:
        self.heard.note(str(error), _refusal(error))

    async def _build_transport(self, *args: Any, **more: Any) -> Any:
        # A broker that refuses us says so and hangs up. Of what comes with the end of a connection the client takes
        # nothing, and it has no public way to be given it.
        transport = await super()._build_transport(*args, **more)
        receive = transport._sock_recv

        def received() -> tuple[bytes, Exception | None]:
            data, error = receive()
            return data, None if data else error

        transport._sock_recv = received
        return transport


class _Door:
    """How clients are made. The files of certificates are read once: later they may be about to be replaced."""

    def __init__(self, settings: KafkaSettings) -> None:
        """Read the files.

        Raises:
            ConfigError: one cannot be used.
        """
        self.settings = settings
        self._context = tls_context(settings)

    def open(self, heard: Heard, make: Callable[..., _T], **config: Any) -> _T:
        """Make a client whose connections tell `heard` why they fail."""
        opened: list[tuple[KafkaNetClient, NetworkSelector]] = []

        def connect(**given: Any) -> KafkaNetClient:
            net = NetworkSelector(**given)
            connections = _Connections(net, **given)
            connections.heard = heard
            opened.append((KafkaNetClient(net, connections, **given), net))
            return opened[-1][0]

        try:
            return make(**_common(self.settings, self._context), kafka_client=connect, **config)
        except BaseException:
            # A client that finds no broker leaves its thread behind, which would go on trying.
            for client, net in opened:
                client.close()
                net.stop()
            raise


def _place(partition: TopicPartition) -> Place:
    return Place(partition.topic, partition.partition)


class _Broker:
    """See `stream.kafka_broker.Broker`."""

    def __init__(self, door: _Door) -> None:
        self._door, self._settings = door, door.settings
        self._sending, self._heard = Heard(door.settings), Heard(door.settings)
        self._producer: KafkaProducer | None = None
        self._producing = threading.Lock()
        self._admin: KafkaAdminClient | None = None
        self._asking = threading.RLock()

    # --- sending

    def send(self, records: Sequence[ToSend]) -> Sequence[int]:
        if not records:
            return []
        doing = "appending records"
        producer = None
        try:
            producer = self._open_producer()
            futures = [
                producer.send(
                    record.place.topic,
                    record.value,
                    record.key,
                    list(record.headers),
                    record.place.partition,
                    record.timestamp_ms,
                )
                for record in records
            ]
            producer.flush(self._settings.request_seconds * 3)
            offsets = [int(future.get(self._settings.request_seconds).offset) for future in futures]
        except kafka_errors.KafkaError as exc:
            if isinstance(exc, _NEW_PRODUCER) and producer is not None:
                self._drop_producer(producer)
            raise _translated(exc, self._sending, doing) from exc
        self._sending.answered()
        return offsets

    def _open_producer(self) -> KafkaProducer:
        with self._producing:
            if self._producer is None:
                request_ms = int(self._settings.request_seconds * 1000)
                self._producer = self._door.open(
                    self._sending,
                    KafkaProducer,
                    enable_idempotence=True,
                    acks="all",
                    compression_type="lz4",
                    linger_ms=LINGER_MS,
                    batch_size=BATCH_BYTES,
                    max_request_size=MAX_RECORD_BYTES,
                    max_block_ms=request_ms,
                    delivery_timeout_ms=2 * request_ms,
                    allow_auto_create_topics=False,
                    metrics_enabled=False,
                )
            return self._producer

    def _drop_producer(self, producer: KafkaProducer) -> None:
        """Begin a new session with the next record."""
        with self._producing:
            if self._producer is producer:
                self._producer = None
        try:
            producer.close(timeout=0)
        except kafka_errors.KafkaError:
            # With records still on their way it gives up before it ends its thread, which would send them later; it
            # has no public way to let go of them.
            producer._sender.force_close()

    # --- reading

    def subscriber(self, group: str, topics: Sequence[str]) -> Subscriber:
        return _Subscriber(self._door, group, topics)

    def reader(self) -> Reader:
        return _Reader(self._door)

    # --- asking

    def _ask(self, doing: str, call: Callable[[KafkaAdminClient], _T]) -> _T:
        try:
            with self._asking:
                if self._admin is None:
                    self._admin = self._door.open(self._heard, KafkaAdminClient)
                answer = call(self._admin)
        except kafka_errors.KafkaError as exc:
            raise _translated(exc, self._heard, doing) from exc
        self._heard.answered()
        return answer

    def topics(self, names: Iterable[str]) -> Mapping[str, TopicInfo]:
        found = self._ask("asking for topics", lambda admin: admin.describe_topics(list(names)))
        return {
            topic["name"]: TopicInfo(len(topic["partitions"]), str(topic["topic_id"]))
            for topic in found
            if not topic["error_code"]
        }

    def ends(self, places: Iterable[Place]) -> Mapping[Place, int]:
        return self._list_offsets(places, OffsetSpec.LATEST)

    def beginnings(self, places: Iterable[Place]) -> Mapping[Place, int]:
        return self._list_offsets(places, OffsetSpec.EARLIEST)

    def offsets_at(self, places: Iterable[Place], timestamp_ms: int) -> Mapping[Place, int | None]:
        found = self._list_offsets(places, timestamp_ms)
        return {place: offset if offset >= 0 else None for place, offset in found.items()}

    def _list_offsets(self, places: Iterable[Place], what: int) -> dict[Place, int]:
        request = {TopicPartition(*place): what for place in places}
        if not request:
            return {}
        found = self._ask("asking for offsets", lambda admin: admin.list_partition_offsets(request))
        return {_place(partition): int(one.offset) for partition, one in found.items()}

    def group_offsets(self, group: str, places: Iterable[Place]) -> Mapping[Place, Committed]:
        wanted = [TopicPartition(*place) for place in places]
        found = self._ask(
            f"asking for the offsets of group {group}", lambda admin: admin.list_group_offsets({group: wanted})
        )
        return {
            _place(partition): Committed(one.offset, (one.metadata or "").rstrip(_METADATA_END))
            for partition, one in found.get(group, {}).items()
            if one.offset >= 0
        }

    # --- setting up

    def create_topic(self, name: str, partitions: int, replication: int, configs: Mapping[str, str]) -> bool:
        wanted = {"num_partitions": partitions, "replication_factor": replication, "configs": dict(configs)}

        def create(admin: KafkaAdminClient) -> bool:
            try:
                admin.create_topics({name: wanted}, wait_for_metadata=True)
            except kafka_errors.TopicAlreadyExistsError:
                return False
            return True

        return self._ask(f"creating topic {name}", create)

    def topic_configs(self, name: str) -> Mapping[str, str]:
        return self._configs("topic", name)

    def broker_configs(self) -> Mapping[str, str]:
        cluster = self._ask("asking for brokers", lambda admin: admin.describe_cluster())
        try:
            return self._configs("broker", str(cluster["brokers"][0]["broker_id"]))
        except ConfigError:
            return {}

    def _configs(self, kind: str, name: str) -> dict[str, str]:
        found = self._ask(
            f"asking for the settings of {name}",
            lambda admin: admin.describe_configs([ConfigResource(kind, name)], config_filter="all"),
        )
        entries = found[kind][name]
        return {key: str(entry["value"]) for key, entry in entries.items() if entry["value"] is not None}

    def delete_records(self, before: Mapping[Place, int]) -> None:
        request = {TopicPartition(*place): offset for place, offset in before.items()}
        self._ask("dropping old records", lambda admin: admin.delete_records(request))

    def close(self) -> None:
        with self._producing:
            producer, self._producer = self._producer, None
        if producer is not None:
            producer.close(timeout=self._settings.request_seconds)
        with self._asking:
            admin, self._admin = self._admin, None
            if admin is not None:
                admin.close()


def _fetched(polled: Mapping[TopicPartition, Sequence[Any]], heard: Heard, doing: str) -> list[Fetched]:
    """Give the records that were polled.

    Raises:
        RetryLater, ConfigError: there are none, as brokers refuse us.
    """
    if polled:
        heard.answered()
    else:
        heard.check(doing)
    return [
        Fetched(place, one.offset, one.key, one.value, tuple(one.headers), one.timestamp)
        for place, records in ((_place(partition), records) for partition, records in polled.items())
        for one in records
    ]


class _Noted(ConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Notes what changed; it is called on the client's own thread, which must not be kept."""

    def __init__(self, changes: deque[Change]) -> None:
        self._changes = changes

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._note("assigned", assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self._note("revoked", revoked)

    def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        self._note("revoked", lost)

    def _note(self, kind: Any, partitions: Iterable[TopicPartition]) -> None:
        places = tuple(map(_place, partitions))
        if places:
            self._changes.append(Change(kind, places))


def _consumer(door: _Door, heard: Heard, **more: Any) -> KafkaConsumer:
    return door.open(
        heard,
        KafkaConsumer,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=FETCH_BYTES,
        max_partition_fetch_bytes=PARTITION_FETCH_BYTES,
        allow_auto_create_topics=False,
        metrics_enabled=False,
        **more,
    )


class _Subscriber:
    """See `stream.kafka_broker.Subscriber`."""

    def __init__(self, door: _Door, group: str, topics: Sequence[str]) -> None:
        self._door, self._settings = door, door.settings
        self._group, self._topics = group, list(topics)
        self._heard = Heard(door.settings)
        self._changes: deque[Change] = deque()
        self._consumer: KafkaConsumer | None = None

    def _open(self) -> KafkaConsumer:
        if self._consumer is None:
            session_ms = int(self._settings.session_seconds * 1000)
            self._consumer = _consumer(
                self._door,
                self._heard,
                group_id=self._group,
                partition_assignment_strategy=(CooperativeStickyAssignor,),
                session_timeout_ms=session_ms,
                heartbeat_interval_ms=min(3_000, session_ms // 3),
                max_poll_interval_ms=max(session_ms, int(self._settings.max_poll_seconds * 1000)),
            )
            self._consumer.subscribe(self._topics, listener=_Noted(self._changes))
            # A leader that does not know the topics yet would give nobody anything, for minutes.
            for topic in self._topics:
                self._consumer.partitions_for_topic(topic)
        return self._consumer

    def _do(self, doing: str, call: Callable[[KafkaConsumer], _T]) -> _T:
        try:
            return call(self._open())
        except kafka_errors.KafkaError as exc:
            raise _translated(exc, self._heard, f"{doing} as group {self._group}") from exc

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        timeout_ms = int(timeout_seconds * 1000)
        polled = self._do("reading", lambda consumer: consumer.poll(timeout_ms=timeout_ms, max_records=max_records))
        return _fetched(polled, self._heard, f"reading as group {self._group}")

    def joined(self) -> bool:
        # A member that was given nothing is not told so.
        return self._consumer is not None and self._consumer.group_metadata().generation_id >= 0

    def changes(self) -> Sequence[Change]:
        # One more may come meanwhile.
        return [self._changes.popleft() for _ in range(len(self._changes))]

    def pause(self, places: Iterable[Place]) -> None:
        self._do("pausing", lambda consumer: consumer.pause(*self._still(consumer, places)))

    def resume(self, places: Iterable[Place]) -> None:
        self._do("going on", lambda consumer: consumer.resume(*self._still(consumer, places)))

    def seek(self, offsets: Mapping[Place, int]) -> None:
        def seek(consumer: KafkaConsumer) -> None:
            for partition in self._still(consumer, offsets):
                consumer.seek(partition, offsets[_place(partition)])

        self._do("going back", seek)

    @staticmethod
    def _still(consumer: KafkaConsumer, places: Iterable[Place]) -> list[TopicPartition]:
        """Leave out what was taken away meanwhile."""
        assigned = consumer.assignment()
        return [one for one in (TopicPartition(*place) for place in places) if one in assigned]

    def commit(self, offsets: Mapping[Place, Committed]) -> None:
        request = {
            TopicPartition(*place): OffsetAndMetadata(committed.offset, committed.metadata + _METADATA_END, -1)
            for place, committed in offsets.items()
        }
        timeout_ms = int(self._settings.request_seconds * 1000)
        self._do("committing", lambda consumer: consumer.commit(request, timeout_ms=timeout_ms))

    def close(self) -> None:
        if self._consumer is not None:
            # A broker that is away forgets us by itself.
            with suppress(kafka_errors.KafkaError):
                self._consumer.close(autocommit=False)


class _Reader:
    """See `stream.kafka_broker.Reader`."""

    def __init__(self, door: _Door) -> None:
        self._door, self._heard = door, Heard(door.settings)
        self._consumer: KafkaConsumer | None = None
        self._places: tuple[Place, ...] = ()

    def _do(self, call: Callable[[KafkaConsumer], _T]) -> _T:
        try:
            if self._consumer is None:
                self._consumer = _consumer(self._door, self._heard)
            return call(self._consumer)
        except kafka_errors.KafkaError as exc:
            raise _translated(exc, self._heard, "reading") from exc

    def assign(self, offsets: Mapping[Place, int]) -> None:
        def assign(consumer: KafkaConsumer) -> None:
            consumer.assign([TopicPartition(*place) for place in offsets])
            for place, offset in offsets.items():
                consumer.seek(TopicPartition(*place), offset)

        self._places = tuple(offsets)
        self._do(assign)

    def poll(self, max_records: int, timeout_seconds: float) -> Sequence[Fetched]:
        timeout_ms = int(timeout_seconds * 1000)
        polled = self._do(lambda consumer: consumer.poll(timeout_ms=timeout_ms, max_records=max_records))
        return _fetched(polled, self._heard, "reading")

    def positions(self) -> Mapping[Place, int]:
        return self._do(
            lambda consumer: {place: int(consumer.position(TopicPartition(*place))) for place in self._places}
        )

    def close(self) -> None:
        if self._consumer is not None:
            with suppress(kafka_errors.KafkaError):
                self._consumer.close(autocommit=False)
