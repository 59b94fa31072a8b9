"""Workers that are killed, groups that never come to rest, a broker that goes away: nothing lost, books exact.

The workers are processes of their own with a toy stage; the broker is real. Chance is seeded.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from fakes.kafka_world import CLIENTS, KafkaWorld
from servers.kafka import KafkaServer

from domain.errors import RetryLater
from domain.records import Outcome
from stream.kafka_log import KafkaLog
from stream.protocol import OutRecord, Settlement

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("poll", "mentions", "dead", "commit", "committed")
PATIENCE_SECONDS = 180.0


class Cluster:
    """A log, what was appended to it, and worker processes that come and go."""

    def __init__(self, server: KafkaServer, prefix: str, client: str) -> None:
        self.server = server
        self.world = KafkaWorld(server.address, prefix, client, partitions=4)
        self.world.prepare()
        # Looks on through the default client, whatever the workers use: both read and write the same log.
        onlooker = KafkaWorld(server.address, prefix, "kafka", partitions=4)
        self.log = KafkaLog(onlooker.broker_of(onlooker.fast_settings), onlooker.fast_settings)
        self.posts = 0
        self.workers: list[subprocess.Popen[bytes]] = []

    def append(self, number: int) -> None:
        """Append posts, every hundredth of them poison, as often as it takes."""
        values = [f"{'parked' if n % 100 == 7 else 'ok'} {n}" for n in range(self.posts, self.posts + number)]
        outputs = [OutRecord("posts", f"x:{value}", value.encode()) for value in values]
        self.patiently(lambda: self.log.settle(Settlement(outputs=outputs)))
        self.posts += number

    @staticmethod
    def patiently(call: Callable[[], object]) -> object:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return call()
            except RetryLater:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def start(self, cut: Sequence[object] | None = None) -> subprocess.Popen[bytes]:
        task = {
            "address": self.world.address,
            "prefix": self.world.prefix,
            "client": self.world.client,
            "partitions": self.world.partitions,
            "cut": cut,
        }
        worker = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "fakes.kafka_worker", json.dumps(task)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
            stdin=subprocess.PIPE,
        )
        self.workers.append(worker)
        return worker

    def stop(self, worker: subprocess.Popen[bytes]) -> None:
        """Let a worker finish its batch and leave."""
        assert worker.stdin is not None
        worker.stdin.close()
        assert worker.wait(PATIENCE_SECONDS) == 0
        self.workers.remove(worker)

    def settled(self) -> int:
        return sum(count.number for count in self.log.counts())

    def await_settled(self, number: int) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (settled := self.patiently(self.settled)) != number:
            assert isinstance(settled, int)
            assert settled < number, f"the books say {settled} of {number} posts"
            assert time.monotonic() < deadline, f"{settled} of {number} settled; workers {self.codes()}"
            assert set(self.codes()) <= {None, -signal.SIGKILL}
            time.sleep(0.2)

    def codes(self) -> list[int | None]:
        return [worker.poll() for worker in self.workers]

    def check(self) -> None:
        """Every post was settled once; it went on, or is a dead letter exactly once; none did both."""
        poison = {f"parked {n}" for n in range(self.posts) if n % 100 == 7}
        fine = {f"ok {n}" for n in range(self.posts)} - {value.replace("parked", "ok") for value in poison}
        by_outcome = {count.outcome: count.number for count in self.log.counts()}
        assert by_outcome == {Outcome.OK: len(fine), Outcome.PARKED: len(poison)}
        assert self.log.lag("enrich", ["posts"]) == 0
        letters = Counter(row.letter.payload.decode() for row in self.log.dead_letters(limit=self.posts))
        assert letters == dict.fromkeys(poison, 1)
        reader = self.log.consumer("check", ["mentions"])
        mentions: set[str] = set()
        while records := reader.poll(2_000, 5.0):
            mentions.update(record.value.decode() for record in records)
        assert mentions == fine

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.wait()
            assert worker.stdin is not None
            worker.stdin.close()
        self.log.close()


@pytest.fixture(params=CLIENTS)
def cluster(request: pytest.FixtureRequest, kafka_server: KafkaServer, prefix: str) -> Iterator[Cluster]:
    cluster = Cluster(kafka_server, prefix, request.param)
    try:
        yield cluster
    finally:
        cluster.close()


def test_workers_killed_at_every_step_lose_nothing_and_the_books_are_exact(cluster: Cluster) -> None:
    chance = random.Random(20_260_105)
    cuts = [(step, chance.randint(1, 4)) for step in STEPS for _ in range(2)]
    chance.shuffle(cuts)
    cluster.append(2_000)
    killed: list[subprocess.Popen[bytes]] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    running = [cluster.start(cuts.pop()) for _ in range(2)]
    while cuts or running:
        assert time.monotonic() < deadline, f"{len(killed)} were killed, left {cuts}"
        for worker in list(running):
            if worker.poll() is None:
                continue
            assert worker.returncode == -signal.SIGKILL
            running.remove(worker)
            killed.append(worker)
            # There is always something left to be killed for.
            cluster.append(400)
            if cuts:
                running.append(cluster.start(cuts.pop()))
        time.sleep(0.05)
    assert len(killed) == 2 * len(STEPS)
    for _ in range(2):
        cluster.start()
    cluster.await_settled(cluster.posts)
    cluster.check()


def test_members_that_come_and_go_all_the_time_lose_nothing_and_the_books_are_exact(cluster: Cluster) -> None:
    chance = random.Random(7)
    for _ in range(2):
        cluster.start()
    for _ in range(8):
        cluster.append(500)
        if len(cluster.workers) > 2 and (len(cluster.workers) == 4 or chance.random() < 0.5):
            cluster.stop(chance.choice(cluster.workers))
        else:
            cluster.start()
        time.sleep(chance.uniform(0.2, 1.5))
    cluster.await_settled(cluster.posts)
    cluster.check()


def test_a_broker_that_is_restarted_killed_and_paused_costs_nothing_and_workers_go_on_by_themselves(
    cluster: Cluster,
) -> None:
    for _ in range(2):
        cluster.start()
    cluster.append(1_000)
    cluster.await_settled(cluster.posts)
    for fault in (cluster.server.restart, _kill_and_start, _pause):
        cluster.append(500)
        _call(fault, cluster.server)
        cluster.append(500)
        cluster.await_settled(cluster.posts)
    assert cluster.codes() == [None, None]
    for worker in cluster.workers:
        assert _resident_mib(worker.pid) < 250
    cluster.check()


def _call(fault: Callable[..., None], server: KafkaServer) -> None:
    fault() if fault == server.restart else fault(server)


def _kill_and_start(server: KafkaServer) -> None:
    server.kill()
    server.start()


def _pause(server: KafkaServer) -> None:
    server.pause()
    try:
        # Longer than the clients' requests and sessions.
        time.sleep(8.0)
    finally:
        server.resume()


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024
