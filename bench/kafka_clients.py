"""Both Kafka clients on one real broker: messages a second and CPU seconds per 100,000, as the log uses them.

`python -m bench.kafka_clients`. Each client first reads what the other one wrote, and the two must be equal. Then each
appends in settlements of 500 records, reads in polls of 500, and moves records through a settlement with offsets and
books, in turns and in processes of their own; the median of the rounds is shown. CPU is the client's alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fakes.kafka_world import CLIENTS, KafkaWorld  # noqa: E402
from servers.kafka import KafkaServer  # noqa: E402

from domain.records import Outcome  # noqa: E402
from stream.protocol import Count, LogRecord, OutRecord, Settlement  # noqa: E402

BATCH = 500
# Bytes of a matched post as the codec writes it, the mean of real ones.
VALUE_BYTES = 680
PARTITIONS = 4


def values(number: int) -> Iterator[tuple[str, bytes]]:
    """Give keys and values that compress about as well as posts do."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(5_000)]
    for n in range(number):
        text = f'{{"type":"matched_post","post_id":"x:{n}","text":"'
        while len(text) < VALUE_BYTES:
            text += chance.choice(words) + " "
        yield f"x:{n}", text[:VALUE_BYTES].encode()


def batches(number: int) -> list[list[OutRecord]]:
    """Give the records in settlements."""
    records = [OutRecord("posts", key, value) for key, value in values(number)]
    return [records[at : at + BATCH] for at in range(0, number, BATCH)]


def measured(number: int, work: Callable[[], object]) -> dict[str, float]:
    """Do the work; give messages a second and CPU seconds per 100,000."""
    began, cpu = time.perf_counter(), time.process_time()
    work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {"per_second": number / seconds, "cpu_per_100000": cpu * 100_000 / number}


def read_all(world: KafkaWorld, group: str, number: int, each: Callable[[list[LogRecord]], None]) -> None:
    """Read as a new group until `number` records came."""
    log = world.open()
    consumer = log.consumer(group, ["posts"])
    got = 0
    while got < number:
        records = list(consumer.poll(BATCH, 5.0))
        got += len(records)
        each(records)
    log.close()


def digest(world: KafkaWorld, group: str, number: int) -> str:
    """Give one hash over all that a client reads, whatever the order of the partitions."""
    rows: list[bytes] = []
    read_all(
        world, group, number, lambda records: rows.extend(f"{r.key} {r.offset} ".encode() + r.value for r in records)
    )
    return hashlib.sha256(b"\n".join(sorted(rows))).hexdigest()


def one(client: str, address: str, prefix: str, number: int) -> dict[str, dict[str, float]]:
    """Measure one client in this process."""
    world = KafkaWorld(address, prefix, client, partitions=PARTITIONS)
    world.prepare()
    work = batches(number)
    log = world.open()
    log.settle(Settlement(outputs=work[0][:1]))

    def append() -> None:
        for outputs in work:
            log.settle(Settlement(outputs=outputs))

    found = {"append": measured(number, append)}
    consumer = log.consumer("read", ["posts"])
    while not (first := consumer.poll(BATCH, 5.0)):
        pass

    def read() -> None:
        got = len(first)
        while got < number + 1:
            got += len(consumer.poll(BATCH, 5.0))

    found["read"] = measured(number + 1 - len(first), read)
    consumer.close()
    mover = log.consumer("move", ["posts"])
    while not (moved := mover.poll(BATCH, 5.0)):
        pass

    def move() -> None:
        records, done = moved, 0
        while True:
            settlement = Settlement(group="move", counts=[Count("move", "live", Outcome.OK, len(records))])
            settlement.outputs = [OutRecord("mentions", record.key, record.value) for record in records]
            settlement.offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
            log.settle(settlement)
            done += len(records)
            if done > number:
                return
            records = mover.poll(BATCH, 5.0)

    found["move"] = measured(number + 1, move)
    log.close()
    return found


def compare(server: KafkaServer, number: int) -> None:
    """See that each client reads what the other one wrote, byte for byte and in the same places.

    Raises:
        SystemExit: they differ.
    """
    digests = set()
    for writer in CLIENTS:
        world = KafkaWorld(server.address, f"compare-{writer}-", writer, partitions=PARTITIONS)
        world.prepare()
        log = world.open()
        for outputs in batches(number):
            log.settle(Settlement(outputs=outputs))
        log.close()
        for reader in CLIENTS:
            theirs = KafkaWorld(server.address, world.prefix, reader, partitions=PARTITIONS)
            digests.add(digest(theirs, f"compare-{reader}", number))
    if len(digests) != 1:
        raise SystemExit("the clients do not read the same records at the same places")
    print(f"both clients read the same {number:,} records at the same places, whoever wrote them")


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=40_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=3, metavar=("CLIENT", "ADDRESS", "PREFIX"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(*options.one, options.records)))
        return 0
    server = KafkaServer()
    found: dict[str, dict[str, list[dict[str, float]]]] = {client: {} for client in CLIENTS}
    try:
        server.start()
        compare(server, 5_000)
        for turn in range(options.rounds):
            for client in CLIENTS:
                task = ["--one", client, server.address, f"bench-{client}-{turn}-", "--records", str(options.records)]
                command = [sys.executable, "-W", "ignore", "-m", "bench.kafka_clients", *task]
                done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
                for name, figures in json.loads(done.stdout).items():
                    found[client].setdefault(name, []).append(figures)
    finally:
        server.close()
    show(found, options.records)
    return 0


def show(found: dict[str, dict[str, list[dict[str, float]]]], number: int) -> None:
    """Print medians and ratios."""
    print(f"{number:,} records of {VALUE_BYTES} bytes, {PARTITIONS} partitions, batches of {BATCH}; medians")
    print(f"{'':<10}{'client':<15}{'messages/s':>12}{'CPU s per 100,000':>20}")
    for name in ("append", "read", "move"):
        medians = {}
        for client in CLIENTS:
            rounds = found[client][name]
            medians[client] = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
            rate, cpu = medians[client]["per_second"], medians[client]["cpu_per_100000"]
            print(f"{name:<10}{client:<15}{rate:>12,.0f}{cpu:>20.2f}")
        first, second = medians.values()
        print(
            f"{'':<10}{'ratio':<15}{first['per_second'] / second['per_second']:>12.1f}"
            f"{second['cpu_per_100000'] / first['cpu_per_100000']:>20.1f}"
        )


if __name__ == "__main__":
    sys.exit(main())
