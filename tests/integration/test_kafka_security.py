"""The log over Kafka by TLS and SCRAM, through either client: what lets us in, and what is said when nothing does."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest
from fakes.kafka_world import CLIENTS, KafkaWorld
from servers.certificates import KEY_PASSWORD
from servers.kafka import SASL_PASSWORD, SASL_USER, KafkaServer

from domain.errors import ConfigError, RetryLater
from domain.records import Outcome
from service.logs import configure_logging
from service.settings import LoggingSettings
from stream.kafka_broker import Broker, Place, ToSend
from stream.kafka_log import KafkaLog
from stream.protocol import Consumer, Count, LogRecord, OutRecord, Settlement

ROOT = Path(__file__).resolve().parents[2]
WRONG = "not-this-one"
# Several attempts of a client fit in.
REQUEST_SECONDS = 2.0
PATIENCE_SECONDS = 60.0

Way = dict[str, str]


def by_scram(server: KafkaServer) -> Way:
    return {
        "bootstrap_servers": server.scram_address,
        "security_protocol": "SASL_SSL",
        "sasl_username": SASL_USER,
        "sasl_password": SASL_PASSWORD,
        "ca_file": str(server.certificates.authority),
    }


def by_certificate(server: KafkaServer) -> Way:
    return {
        "bootstrap_servers": server.tls_address,
        "security_protocol": "SSL",
        "ca_file": str(server.certificates.authority),
        "certificate_file": str(server.certificates.client_certificate),
        "key_file": str(server.certificates.client_key),
    }


def by_locked_key(server: KafkaServer, password: str = KEY_PASSWORD) -> Way:
    return by_certificate(server) | {"key_file": str(server.certificates.locked_key), "key_password": password}


def under_another_name(way: Way) -> Way:
    return way | {"bootstrap_servers": way["bootstrap_servers"].replace("127.0.0.1", "localhost")}


WAYS: Mapping[str, Callable[[KafkaServer], Way]] = {
    "SCRAM-SHA-512, the default": by_scram,
    "SCRAM-SHA-256": lambda server: by_scram(server) | {"sasl_mechanism": "SCRAM-SHA-256"},
    "a certificate": by_certificate,
    "a certificate whose key is locked": by_locked_key,
}

SIGN_IN = r"does not let the user \w+ in, asking for topics \(.+\): check \[kafka\] sasl_username, sasl_password"
TLS = r"no TLS connection, asking for topics \(.*{}.*\): check that \[kafka\] ca_file"
REFUSED: Mapping[str, tuple[Callable[[KafkaServer], Way], str]] = {
    "a wrong password": (lambda server: by_scram(server) | {"sasl_password": WRONG}, SIGN_IN),
    "a wrong user": (lambda server: by_scram(server) | {"sasl_username": "nobody"}, SIGN_IN),
    "a mechanism that the broker does not have": (
        lambda server: by_scram(server) | {"sasl_mechanism": "PLAIN"},
        SIGN_IN.replace(".+", ".*[Uu]nsupported.*"),
    ),
    "no CA, and the system's knows nobody": (
        lambda server: by_scram(server) | {"ca_file": ""},
        TLS.format("certificate verify failed"),
    ),
    "another CA": (
        lambda server: by_scram(server) | {"ca_file": str(server.certificates.stranger)},
        TLS.format("certificate verify failed"),
    ),
    "a name that is not in the certificate": (
        lambda server: under_another_name(by_scram(server)),
        TLS.format("certificate verify failed"),
    ),
    "no certificate of ours": (
        lambda server: by_certificate(server) | {"certificate_file": "", "key_file": ""},
        TLS.format("alert bad certificate"),
    ),
}


@pytest.fixture(params=CLIENTS)
def world(request: pytest.FixtureRequest, kafka_server: KafkaServer, prefix: str) -> KafkaWorld:
    world = KafkaWorld(kafka_server.address, prefix, request.param)
    world.prepare()
    return world


def threads() -> tuple[set[threading.Thread], int]:
    """Give the threads of Python's, and how many librdkafka has beside them."""
    gc.collect()
    names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir() if task.exists()]
    return set(threading.enumerate()), sum(name.startswith("rdk:") for name in names)


@pytest.fixture
def no_thread_stays() -> Iterator[None]:
    before, native_before = threads()
    yield
    deadline = time.monotonic() + PATIENCE_SECONDS
    # What ends by itself may take a moment.
    while (now := threads()) and (now[0] - before or now[1] > native_before) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert now[0] - before == set()
    assert now[1] <= native_before


def refusal(call: Callable[[], object], kind: type[Exception] = ConfigError) -> str:
    """Give what is said; without the traceback, which would keep clients alive."""
    with pytest.raises(kind) as error:
        call()
    return str(error.value)


def opened(world: KafkaWorld, way: Way) -> None:
    """Open the log as a process does when it starts."""
    broker = world.broker(request_seconds=REQUEST_SECONDS, **way)
    try:
        KafkaLog(broker, world.settings)
    finally:
        broker.close()


def sent(world: KafkaWorld, way: Way) -> None:
    broker = world.broker(request_seconds=REQUEST_SECONDS, **way)
    try:
        broker.send([ToSend(Place(f"{world.prefix}posts", 0), b"x:1", b"one", (), 1)])
    finally:
        broker.close()


def read(world: KafkaWorld, way: Way) -> None:
    """Poll until something is said: nothing else ever comes of it."""
    broker = world.broker(request_seconds=REQUEST_SECONDS, **way)
    member = broker.subscriber(f"{world.prefix}g", [f"{world.prefix}posts"])
    deadline = time.monotonic() + PATIENCE_SECONDS
    try:
        while time.monotonic() < deadline:
            assert not member.poll(1, 0.5)
    finally:
        member.close()
        broker.close()


def read_all(consumer: Consumer, number: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(records) < number and time.monotonic() < deadline:
        records += consumer.poll(number - len(records), 0.5)
    return records


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.usefixtures("no_thread_stays")
def test_records_are_appended_read_and_settled_by(name: str, world: KafkaWorld, kafka_server: KafkaServer) -> None:
    log = world.open(**WAYS[name](kafka_server))
    posts = [OutRecord("posts", f"x:{n}", str(n).encode()) for n in range(20)]
    log.settle(Settlement(outputs=posts))
    consumer = log.consumer("g", ["posts"])
    records = read_all(consumer, 20)
    assert sorted(record.value for record in records) == sorted(post.value for post in posts)
    settlement = Settlement(group="g", counts=[Count("g", "live", Outcome.OK, 20)])
    settlement.offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
    log.settle(settlement)
    # As one who comes in by the other door sees it.
    onlooker = world.open()
    assert (onlooker.lag("g", ["posts"]), list(onlooker.counts())) == (0, settlement.counts)
    for one in (consumer, log, onlooker):
        one.close()


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.usefixtures("no_thread_stays")
def test_a_start_with_this_says_what_to_mend(name: str, world: KafkaWorld, kafka_server: KafkaServer) -> None:
    way, words = REFUSED[name]
    said = refusal(lambda: opened(world, way(kafka_server)))
    assert re.search(words, said), said
    assert WRONG not in said
    assert SASL_PASSWORD not in said


@pytest.mark.parametrize("name", ["a wrong password", "no certificate of ours"])
@pytest.mark.parametrize("call", [sent, read])
@pytest.mark.usefixtures("no_thread_stays")
def test_who_appends_or_reads_first_hears_it_too(
    call: Callable[[KafkaWorld, Way], None], name: str, world: KafkaWorld, kafka_server: KafkaServer
) -> None:
    said = refusal(lambda: call(world, REFUSED[name][0](kafka_server)))
    assert ("does not let the user" if name == "a wrong password" else "alert bad certificate") in said
    assert WRONG not in said


@pytest.mark.usefixtures("no_thread_stays")
def test_a_broker_that_speaks_no_tls_or_nothing_else_gives_no_answer(
    world: KafkaWorld, kafka_server: KafkaServer
) -> None:
    for way in (
        by_certificate(kafka_server) | {"bootstrap_servers": kafka_server.address},
        {"bootstrap_servers": kafka_server.tls_address},
    ):
        said = refusal(lambda way=way: opened(world, way), RetryLater)  # type: ignore[misc]
        assert "did not answer, asking for topics" in said
        assert "that [kafka] security_protocol is what it speaks there" in said


def test_files_that_are_about_to_be_replaced_end_no_process_that_runs(
    world: KafkaWorld, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    """A client that is made meanwhile waits for them, or has no need of them."""
    way = by_certificate(kafka_server)
    for setting in ("ca_file", "certificate_file", "key_file"):
        copy = tmp_path / setting
        copy.write_bytes(Path(way[setting]).read_bytes())
        way[setting] = str(copy)
    whole = (tmp_path / "certificate_file").read_bytes()
    topic = Place(f"{world.prefix}posts", 0)
    calls: list[Callable[[Broker], object]] = [
        lambda broker: broker.send([ToSend(topic, b"x:1", b"one", (), 1)]),
        lambda broker: broker.group_offsets(f"{world.prefix}g", [topic]),
        lambda broker: broker.reader().close(),
        lambda broker: broker.subscriber(f"{world.prefix}g", [topic.topic]).close(),
    ]
    for call in calls:
        with closing(world.broker(**way)) as broker:
            (tmp_path / "certificate_file").write_bytes(whole[: len(whole) // 2])
            with suppress(RetryLater):
                call(broker)
            (tmp_path / "certificate_file").write_bytes(whole)
            call(broker)


def test_a_file_that_cannot_be_used_is_named_before_anybody_is_asked(
    world: KafkaWorld, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    good, nowhere, empty = by_certificate(kafka_server), str(tmp_path / "nowhere.pem"), tmp_path / "empty.pem"
    empty.touch()
    for setting in ("ca_file", "certificate_file", "key_file"):
        said = refusal(lambda setting=setting: world.broker(**good | {setting: nowhere}))  # type: ignore[misc]
        assert said == f"kafka.{setting}: {nowhere} cannot be read (No such file or directory)"
        said = refusal(lambda setting=setting: world.broker(**good | {setting: str(empty)}))  # type: ignore[misc]
        assert str(empty) in said
    other_key = str(kafka_server.certificates.server_keystore)
    assert "key values mismatch" in refusal(lambda: world.broker(**good | {"key_file": other_key}))


def test_a_locked_key_asks_nobody_for_its_password(world: KafkaWorld, kafka_server: KafkaServer) -> None:
    locked = str(kafka_server.certificates.locked_key)
    for password, words in (("", "kafka.key_password (found none)"), (WRONG, "kafka.key_password")):
        said = refusal(lambda password=password: world.broker(**by_locked_key(kafka_server, password)))  # type: ignore[misc]
        assert said.startswith("kafka.certificate_file, key_file: ")
        assert locked in said
        assert said.endswith(words)
        assert WRONG not in said


@pytest.fixture
def debug_log() -> Iterator[io.StringIO]:
    """Give where all is written that the program says at its most talkative."""
    root, loggers = logging.getLogger(), ("kafka", "elastic_transport", "urllib3")
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(LoggingSettings("text", "debug"), "doctor", stream)
    yield stream
    root.handlers[:], root.level = handlers, level
    for name in loggers:
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.captureWarnings(False)


def test_the_log_of_the_program_holds_no_password_at_any_level(
    world: KafkaWorld, kafka_server: KafkaServer, debug_log: io.StringIO
) -> None:
    # Of all mechanisms this one alone sends the password itself.
    plain = {
        "bootstrap_servers": kafka_server.sasl_address,
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": SASL_USER,
    }
    opened(world, plain | {"sasl_password": SASL_PASSWORD})
    refusal(lambda: opened(world, plain | {"sasl_password": WRONG}))
    opened(world, by_locked_key(kafka_server))
    for secret in (SASL_PASSWORD, WRONG, KEY_PASSWORD):
        assert secret not in debug_log.getvalue()


def test_the_doctor_says_what_to_mend_of_a_wrong_password(
    world: KafkaWorld, kafka_server: KafkaServer, tmp_path: Path
) -> None:
    way = REFUSED["a wrong password"][0](kafka_server)
    settings = {"log_kind": world.client, "data_dir": str(tmp_path), "kafka_prefix": world.prefix}
    settings["kafka_request_seconds"] = str(REQUEST_SECONDS)
    settings |= {f"kafka_{name}": value for name, value in way.items()}
    settings |= {"store_kind": "elastic", "elastic_hosts": "http://127.0.0.1:1", "elastic_retry_seconds": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "doctor", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **{f"SOUNDINGS_{k.upper()}": v for k, v in settings.items()}},
        capture_output=True,
        text=True,
        check=False,
    )
    (log,) = [one for one in map(json.loads, done.stdout.splitlines()) if one["part"] == "log"]
    (problem,) = log["problems"]
    assert f"does not let the user {SASL_USER} in" in problem
    assert problem.endswith("check [kafka] sasl_username, sasl_password and sasl_mechanism")
    assert done.returncode == 2
    assert WRONG not in done.stdout + done.stderr
