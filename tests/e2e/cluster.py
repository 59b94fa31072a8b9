"""A cluster of real workers over the Kafka and the Elasticsearch that all tests share, under names of its own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from e2e.command_line import CONFIG, PATIENCE_SECONDS, ROOT
from fakes.elastic_stores import settings_for

from domain import ids
from domain.errors import RetryLater
from search.elastic import ElasticStore
from search.store import MAX_PAGE, SearchRequest
from stream import kafka
from stream.kafka_log import KafkaLog
from stream.kafka_settings import KafkaSettings
from stream.protocol import OutRecord, Settlement

GROUPS = (("enrich", ("posts",)), ("index", ("mentions",)))
_NAMED = {"acme": "@acme", "globex": "globexico"}


@dataclass
class Worker:
    """One worker: its process, and where it writes its log."""

    role: str
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def runs(self) -> bool:
        return self.process.poll() is None

    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def health(self) -> str:
        """Give the address of the health port, "" before it is there."""
        for line in self.text().splitlines():
            if "health and metrics at " in line:
                return line.rpartition(" ")[2].removesuffix("/metrics")
        return ""

    def is_ready(self) -> bool:
        address = self.health()
        if not address:
            return False
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=10):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def megabytes(self) -> float:
        """Give the resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024

    def stop(self) -> int:
        """Ask it to stop; gives its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Cluster:
    """Topics, groups and indices under a prefix, and the workers started on them."""

    folder: Path
    broker: str
    elastic: str
    prefix: str
    client: str = "kafka"
    partitions: int = 4
    engine: str = "tiny"
    max_lag: int = KafkaSettings().max_lag
    request_seconds: float = 5.0
    brands: str = CONFIG
    workers: list[Worker] = field(default_factory=list)
    # More of the environment.
    extra: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.folder / "soundings.toml"
        self.config.write_text(self.brands, encoding="utf-8")

    @property
    def environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SOUNDINGS_")}
        return {
            **kept,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
            "PYTHONUNBUFFERED": "1",
            # A client library that crashes says where.
            "PYTHONFAULTHANDLER": "1",
            "SOUNDINGS_CONFIG": str(self.config),
            "SOUNDINGS_LOG_KIND": self.client,
            "SOUNDINGS_STORE_KIND": "elastic",
            "SOUNDINGS_KAFKA_BOOTSTRAP_SERVERS": self.broker,
            "SOUNDINGS_KAFKA_PREFIX": self.prefix,
            "SOUNDINGS_KAFKA_PARTITIONS": str(self.partitions),
            "SOUNDINGS_KAFKA_SOURCE_PARTITIONS": "2",
            # Workers are killed here, and nobody waits a quarter of a minute each time.
            "SOUNDINGS_KAFKA_SESSION_SECONDS": "3",
            "SOUNDINGS_KAFKA_REQUEST_SECONDS": str(self.request_seconds),
            "SOUNDINGS_KAFKA_MAX_LAG": str(self.max_lag),
            "SOUNDINGS_ELASTIC_HOSTS": self.elastic,
            "SOUNDINGS_ELASTIC_PREFIX": self.prefix,
            "SOUNDINGS_ELASTIC_REPLICAS": "0",
            "SOUNDINGS_ELASTIC_RETRY_SECONDS": "5",
            "SOUNDINGS_ENGINE_KIND": self.engine,
            **self.extra,
        }

    def run(
        self, *arguments: str, data: str = "cli", more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, with `more` in its environment."""
        return subprocess.run(
            [sys.executable, "-m", "service.cli", *arguments],
            cwd=self.folder,
            env={**self.environment, "SOUNDINGS_DATA_DIR": str(self.folder / data), **(more or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def start(self, role: str, *arguments: str, die_at: tuple[str, int] | None = None) -> Worker:
        """Start a worker; with `die_at`, one that dies at a step, the so-many-th time that it is met."""
        number = len(self.workers)
        module = ["-m", "service.cli"] if die_at is None else ["-m", "e2e.failing_worker", die_at[0], str(die_at[1])]
        output = self.folder / f"{role}-{number}.log"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [sys.executable, *module, role, "--health-port", "0", *arguments],
                cwd=self.folder,
                env={**self.environment, "SOUNDINGS_DATA_DIR": str(self.folder / f"data-{role}")},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )
        worker = Worker(role, process, output)
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """Kill what still runs."""
        for worker in self.workers:
            if worker.runs:
                worker.kill()

    def log(self) -> KafkaLog:
        """Open the log beside the workers."""
        settings = KafkaSettings(bootstrap_servers=self.broker, prefix=self.prefix, partitions=self.partitions)
        return KafkaLog(kafka.open_broker(settings), settings)

    def store(self) -> ElasticStore:
        """Open the store beside the workers."""
        return ElasticStore.open(settings_for(self.elastic, self.prefix), read_only=True)

    def append(self, topic: str, values: Iterable[bytes]) -> None:
        """Append records as nobody of ours would: poison for the stage that reads the topic."""
        with closing(self.log()) as log:
            log.settle(Settlement(outputs=[OutRecord(topic, f"x:{n}", value) for n, value in enumerate(values)]))

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until a condition holds; on the way no worker may end by a fault of its own."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            with suppress(RetryLater):
                if condition():
                    return
            assert time.monotonic() < deadline, f"{what}: it did not happen\n{self.ends()}"
            time.sleep(0.1)

    def wait_until_done(self, log: KafkaLog) -> None:
        """Wait until no stage is behind."""
        self.wait_for(lambda: all(log.lag(group, topics) == 0 for group, topics in GROUPS), "the end of the work")

    def ends(self) -> str:
        """Give the end of each worker's log."""
        return "\n".join(f"--- {worker.output.name}\n{worker.text()[-1_500:]}" for worker in self.workers)

    def check_codes(self) -> None:
        """See that workers ended as they were told to: stopped, or killed by a test."""
        codes = Counter(worker.process.poll() for worker in self.workers)
        assert set(codes) <= {None, 0, -signal.SIGKILL}, f"{codes}\n{self.ends()}"


@dataclass(frozen=True)
class Expected:
    """What must become of the rows of a file: the mentions, and how many rows met which end in ingest."""

    mentions: frozenset[tuple[str, str]]
    ingest: Mapping[str, int]
    poison: int


def write_file(path: Path, rows: int, *, poison: float = 0.01, seed: int = 11) -> Expected:
    """Write rows of which every outcome is known: most name a brand or two, some come twice, some are poison."""
    chance = random.Random(seed)
    mentions: set[tuple[str, str]] = set()
    ends: Counter[str] = Counter()
    kept: list[str] = []
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            dice = chance.random()
            if dice < poison:
                bad = ({"id": f"p{number}", "created_at": "never", "text": "@acme"}, {"id": f"p{number}", "text": [1]})
                line, end = (f"{{broken {number}" if number % 3 == 0 else json.dumps(bad[number % 2])), "parked"
            elif dice < poison + 0.02 and kept:
                line, end = chance.choice(kept), "duplicate"
            else:
                brands = chance.choice(((), ("acme",), ("globex",), ("acme", "globex")))
                said = (
                    " and ".join({"acme": "@acme", "globex": "globexico"}[brand] for brand in brands) or "the weather"
                )
                line = json.dumps(
                    {
                        "id": f"p{number}",
                        "platform": "x",
                        "created_at": f"2026-03-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
                        "author": f"user{number % 500}",
                        "text": f"{said} {chance.choice(('great', 'awful', 'arrived', 'broke'))} {number} {dice:.9f}",
                    }
                )
                end = "ok" if brands else "filtered"
                post = ids.post_id("x", f"p{number}")
                mentions.update((post, brand) for brand in brands)
                if brands:
                    kept.append(line)
            ends[end] += 1
            stream.write(line + "\n")
    return Expected(frozenset(mentions), dict(ends), ends["parked"])


def stored(store: ElasticStore) -> Counter[tuple[str, str]]:
    """Give how often each mention is found, by post and brand."""
    store.refresh()
    found: Counter[tuple[str, str]] = Counter()
    cursor = None
    while True:
        page = store.search(SearchRequest(cursor=cursor, limit=MAX_PAGE))
        found.update((mention.post_id, mention.brand_id) for mention in page.mentions)
        cursor = page.next_cursor
        if cursor is None:
            assert page.total == sum(found.values()) == store.count()
            return found


def letters(log: KafkaLog) -> Counter[tuple[str, str]]:
    """Give how often each record lies in the dead letters, by stage and position."""
    found: Counter[tuple[str, str]] = Counter()
    number = 0
    while rows := log.dead_letters(after=number, limit=500, unresolved_only=False):
        number = rows[-1].number
        found.update((row.letter.stage, row.letter.position) for row in rows)
    return found


def check_books(log: KafkaLog, expected: Expected, poison: Mapping[str, int]) -> None:
    """See that every record of every stage has exactly one end in the books, and each mention one `ok` of index.

    Ingest's are those of the file. What a stage appended twice because it was killed is a duplicate to index alone.
    """
    books: dict[str, Counter[str]] = {"ingest": Counter(), "enrich": Counter(), "index": Counter()}
    for count in log.counts():
        if count.stage in books:
            books[count.stage][count.outcome.value] += count.number
    assert dict(+books["ingest"]) == dict(expected.ingest)
    for stage, topic in (("enrich", "posts"), ("index", "mentions")):
        assert sum(books[stage].values()) == log.appended(topic), (stage, books)
        assert books[stage]["parked"] == poison.get(stage, 0), (stage, books)
    assert books["index"]["ok"] == len(expected.mentions), books


def check_exactly_once(cluster: Cluster, expected: Expected, poison: Mapping[str, int] | None = None) -> None:
    """See that every post is indexed exactly once or in the dead letters, none in both, none missing."""
    poison = poison or {}
    with closing(cluster.store()) as store, closing(cluster.log()) as log:
        found = stored(store)
        assert {pair for pair, times in found.items() if times > 1} == set()
        assert expected.mentions - set(found) == set()
        assert set(found) - expected.mentions == set()
        parked = letters(log)
        assert {place for place, times in parked.items() if times > 1} == set()
        assert Counter(stage for stage, _ in parked) == Counter({"ingest": expected.poison, **poison})
        check_books(log, expected, poison)
