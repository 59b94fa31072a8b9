"""A whole replay beside its sentiment stage alone, measured in turn in processes of their own.

`python -m bench.replay FILE [--config examples/airlines.toml] [--engine int8] [--repeats 3]`: checks the books of every
replay first, then prints posts per second, peak memory, CPU time per stage and the ratio, as a table and as JSON.
Ends with exit code 1 when the ratio is below 0.70 or the memory above 1 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.clock import SystemClock
from enrich.engine import Passage
from enrich.naming import BrandPlaces
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.source import RawPost
from service.components import build_engine, file_source
from service.pipeline import BATCH_RECORDS, Pipeline
from service.settings import Settings, load

LEAST_RATIO = 0.70
MOST_MEGABYTES = 1000.0
# `ru_maxrss` is in KiB on Linux and in bytes on macOS.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def settings_of(options: argparse.Namespace, folder: str) -> Settings:
    """Give the configuration of a replay into `folder`."""
    return load(Path(options.config), environ={}, overrides={"data.dir": folder, "engine.kind": options.engine})


def replay_alone(options: argparse.Namespace) -> dict[str, Any]:
    """Replay the file here; gives its books with peak memory (MB) and CPU seconds by thread."""
    with tempfile.TemporaryDirectory() as folder, Pipeline(settings_of(options, folder)) as pipeline:
        pipeline.start()
        began = time.thread_time()
        books = pipeline.replay(Path(options.file), lambda progress: None)
        cpu = {"ingest": time.thread_time() - began}
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and thread.ident is not None:
                cpu[thread.name] = time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
        books["cpu_seconds"] = {name: round(seconds, 2) for name, seconds in cpu.items() if seconds >= 0.01}
        books["cpu_seconds_all"] = round(time.process_time(), 2)
        books["peak_megabytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT / 1e6
        return books


def sentiment_alone(options: argparse.Namespace) -> dict[str, Any]:
    """Score the file's posts as the enrich stage would and do nothing else; gives posts and seconds."""
    settings = settings_of(options, ".")
    source = file_source(settings, options.file)
    normaliser = Normaliser(source.name, source.settings.normalise)
    reader = source.open(None)
    matcher = BrandMatcher(settings.brands)
    places = BrandPlaces({brand.brand_id: brand for brand in settings.brands})
    passages: list[Passage] = []
    now = SystemClock().now()
    while items := reader.read(BATCH_RECORDS):
        posts = [normaliser.normalise(item.content, now) for item in items if isinstance(item.content, RawPost)]
        passages += [places.passage(post, matcher.match(post)) for post in posts]
    reader.close()
    engine = build_engine(settings.engine)
    engine.predict(passages[:8])
    began = time.perf_counter()
    for start in range(0, len(passages), BATCH_RECORDS):
        engine.predict(passages[start : start + BATCH_RECORDS])
    return {"posts": len(passages), "seconds": time.perf_counter() - began}


def in_process(options: argparse.Namespace, part: str) -> dict[str, Any]:
    """Run one part in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "bench.replay",
        options.file,
        "--config",
        options.config,
        "--engine",
        options.engine,
    ]
    done = subprocess.run([*command, "--part", part], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def check(books: Mapping[str, Any], posts: int) -> None:
    """Make sure that a replay did all its work before its speed is believed."""
    assert books["read"] == posts == books["duplicate"] + books["filtered"] + books["matched"] + books["parked"], books
    assert books["parked"] == 0, books
    assert books["stages"]["enrich"]["in"] == books["stages"]["enrich"]["ok"] == books["matched"], books
    assert books["stages"]["index"]["in"] == books["mentions"] == books["stored_total"], books


def main() -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--config", default="examples/airlines.toml")
    parser.add_argument("--engine", default="int8", choices=("int8", "exact", "tiny"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--part", choices=("replay", "sentiment"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(replay_alone(options) if options.part == "replay" else sentiment_alone(options)))
        return 0

    rounds: list[tuple[float, float]] = []
    megabytes = 0.0
    books: dict[str, Any] = {}
    for number in range(1, options.repeats + 1):
        alone = in_process(options, "sentiment")
        books = in_process(options, "replay")
        check(books, alone["posts"])
        rounds.append((alone["posts"] / alone["seconds"], books["read"] / books["seconds"]))
        megabytes = max(megabytes, books["peak_megabytes"])
        print(
            f"round {number}: sentiment alone {rounds[-1][0]:,.0f} posts/s, whole replay {rounds[-1][1]:,.0f} posts/s"
        )
    ratio = statistics.median(whole / alone for alone, whole in rounds)
    result = {
        "engine": books["engine"],
        "posts": books["read"],
        "mentions": books["mentions"],
        "sentiment_alone_posts_per_second": round(statistics.median(alone for alone, _ in rounds), 1),
        "replay_posts_per_second": round(statistics.median(whole for _, whole in rounds), 1),
        "ratio": round(ratio, 3),
        "peak_megabytes": round(megabytes, 1),
        "cpu_seconds": books["cpu_seconds"],
        "cpu_seconds_all": books["cpu_seconds_all"],
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
    }
    print(f"\nbooks checked: {books['read']:,} read, {books['mentions']:,} mentions stored")
    print(f"sentiment alone  {result['sentiment_alone_posts_per_second']:>8} posts/s (median of {options.repeats})")
    print(f"whole replay     {result['replay_posts_per_second']:>8} posts/s")
    print(f"ratio            {ratio:>8.2f} (wanted: {LEAST_RATIO} or more)")
    print(f"peak memory      {megabytes:>8.0f} MB (wanted: under {MOST_MEGABYTES:.0f})")
    for name, seconds in books["cpu_seconds"].items():
        print(f"  CPU {name:<16}{seconds:>7.2f} s")
    print(f"  CPU whole process   {books['cpu_seconds_all']:>7.2f} s")
    print(json.dumps(result))
    return 0 if ratio >= LEAST_RATIO and megabytes < MOST_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
