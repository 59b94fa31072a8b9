"""Posts a second through a real Kafka and a real Elasticsearch, beside the embedded mode and the sentiment stage alone.

`python -m bench.cluster FILE [--config examples/airlines.toml] [--engine int8] [--repeats 3]`: in turn the sentiment
stage alone, a replay in one process, and `soundings ingest | enrich | index`, one worker each, from the first post in
Kafka until the last mention is settled. All on this machine, the servers too: where cores are few, processor time of
our own processes says what the two hops cost us, and that of the servers what they would take from machines of theirs.
Books are checked before any speed is believed. Prints ratios and processor times, as a table and as JSON; exit code 1
when the two hops cost more than a quarter of the embedded mode's speed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from e2e.cluster import Cluster  # noqa: E402
from fakes.elastic_stores import settings_for, wipe  # noqa: E402
from servers.elastic import ElasticServer  # noqa: E402
from servers.kafka import KafkaServer  # noqa: E402

LEAST_RATIO = 0.75
LOOK_SECONDS = 0.1
# A server is the process group of the pid that it tells.
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Give the processor time of a process and of those that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS


def cpu_of_group(leader: int) -> float:
    """Give the processor time of the processes in a process group: a server starts others."""
    total = 0.0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[2]) == leader:
                total += sum(map(int, fields[11:13])) / _TICKS
    return total


def peer(options: argparse.Namespace, part: str) -> dict[str, Any]:
    """Run a part of `bench.replay` in a process of its own."""
    command = [sys.executable, "-m", "bench.replay", options.file, "--part", part]
    command += ["--config", options.config, "--engine", options.engine]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def through_the_cluster(
    options: argparse.Namespace, kafka: KafkaServer, elastic: ElasticServer, prefix: str
) -> dict[str, Any]:
    """Take the file through one worker of each stage; gives seconds, books and processor time by process."""
    with tempfile.TemporaryDirectory() as name:
        brands = Path(options.config).read_text(encoding="utf-8")
        cluster = Cluster(Path(name), kafka.address, elastic.url, prefix, engine=options.engine, brands=brands)
        servers = {"kafka": kafka.process.pid, "elasticsearch": elastic.process.pid}
        try:
            done = cluster.run("setup")
            if done.returncode != 0:
                raise SystemExit(done.stderr)
            workers = {role: cluster.start(role) for role in ("enrich", "index")}
            for role, worker in workers.items():
                cluster.wait_for(worker.is_ready, f"the {role} worker")
            before = {name: cpu_of_group(group) for name, group in servers.items()}
            workers["ingest"] = ingest = cluster.start("ingest", str(Path(options.file).resolve()))
            with closing(cluster.log()) as log:
                cluster.wait_for(lambda: log.appended("posts") > 0, "the first post")
                began = time.monotonic()
                cpu = {"ingest": 0.0}

                def has_read() -> bool:
                    # Afterwards nobody can ask any more.
                    cpu["ingest"] = cpu_seconds(ingest.process.pid)
                    return ingest.process.poll() == 0

                cluster.wait_for(has_read, "the end of reading")
                cluster.wait_until_done(log)
                seconds = time.monotonic() - began
                counts = log.counts()
            cpu |= {role: cpu_seconds(one.process.pid) for role, one in workers.items() if one.runs}
            cpu |= {name: cpu_of_group(group) - before[name] for name, group in servers.items()}
            with closing(cluster.store()) as store:
                stored = store.count()
            codes = [worker.stop() for worker in workers.values() if worker.runs]
            if any(codes):
                raise SystemExit(cluster.ends())
        finally:
            cluster.stop()
            wipe(settings_for(elastic.url, prefix))
    books: dict[str, Counter[str]] = {}
    for count in counts:
        books.setdefault(count.stage, Counter())[count.outcome.value] += count.number
    return {"seconds": seconds, "books": books, "stored": stored, "cpu_seconds": cpu}


def check(found: Mapping[str, Any], embedded: Mapping[str, Any]) -> None:
    """Make sure that the cluster did what the embedded mode did."""
    books = found["books"]
    for stage in ("ingest", "enrich", "index"):
        for outcome in ("ok", "duplicate", "filtered", "parked"):
            assert books[stage][outcome] == embedded["stages"][stage][outcome], (stage, outcome, books, embedded)
    assert found["stored"] == embedded["stored_total"], (found["stored"], embedded["stored_total"])


def main() -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--config", default="examples/airlines.toml")
    parser.add_argument("--engine", default="int8", choices=("int8", "exact", "tiny"))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    kafka, elastic = KafkaServer(), ElasticServer()
    rounds: list[dict[str, float]] = []
    cpu: dict[str, list[float]] = {}
    try:
        kafka.start()
        elastic.start()
        for number in range(1, options.repeats + 1):
            alone, embedded = peer(options, "sentiment"), peer(options, "replay")
            found = through_the_cluster(options, kafka, elastic, f"bench{number}-")
            check(found, embedded)
            posts = embedded["read"]
            rounds.append(
                {
                    "sentiment": alone["posts"] / alone["seconds"],
                    "embedded": posts / embedded["seconds"],
                    "cluster": posts / found["seconds"],
                }
            )
            for name, seconds in {**found["cpu_seconds"], "embedded, all": embedded["cpu_seconds_all"]}.items():
                cpu.setdefault(name, []).append(seconds)
            shown = ", ".join(f"{name} {speed:,.0f}" for name, speed in rounds[-1].items())
            print(f"round {number}: posts/s: {shown}", flush=True)
    finally:
        kafka.close()
        elastic.close()
    speeds = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    to_embedded = statistics.median(one["cluster"] / one["embedded"] for one in rounds)
    to_sentiment = statistics.median(one["cluster"] / one["sentiment"] for one in rounds)
    print(f"\nbooks checked: {posts:,} read, {embedded['stored_total']:,} mentions, the same in both modes")
    print(f"sentiment alone   {speeds['sentiment']:>8,.0f} posts/s (median of {options.repeats})")
    print(f"embedded          {speeds['embedded']:>8,.0f} posts/s")
    print(f"cluster           {speeds['cluster']:>8,.0f} posts/s")
    print(f"cluster/embedded  {to_embedded:>8.2f} (wanted: {LEAST_RATIO} or more)")
    print(f"cluster/sentiment {to_sentiment:>8.2f}")
    own = sum(statistics.median(cpu[role]) for role in ("ingest", "enrich", "index"))
    own_ratio = own / statistics.median(cpu["embedded, all"])
    print(f"CPU of our workers / CPU of the embedded mode {own_ratio:>6.2f}")
    for name, seconds in cpu.items():
        print(f"  CPU {name:<16}{statistics.median(seconds):>7.2f} s")
    print(
        json.dumps(
            {
                "engine": options.engine,
                "posts": posts,
                "posts_per_second": {name: round(speed, 1) for name, speed in speeds.items()},
                "cluster_to_embedded": round(to_embedded, 3),
                "cluster_to_sentiment": round(to_sentiment, 3),
                "cpu_of_workers_to_embedded": round(own_ratio, 3),
                "cpu_seconds": {name: round(statistics.median(seconds), 2) for name, seconds in cpu.items()},
                "cores": os.cpu_count(),
            }
        )
    )
    return 0 if to_embedded >= LEAST_RATIO else 1


if __name__ == "__main__":
    sys.exit(main())
