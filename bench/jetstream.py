"""A local Jetstream through the real ingest stage into a real embedded log, its connections cut now and then.

`python -m bench.jetstream [--seconds 60] [--rate 2000] [--brands 500] [--matching 0.05] [--cut-every 20]`: a server in
a process of its own sends posts, and besides, for every hundred of them, ten deletions, a change of an account and one
of a handle. First the books are checked against what the server sent, outcome by outcome; which posts match is told by
a peer that asks every query about every text. Then it prints CPU time as a share of one core, and memory; and how much
of the same stream one core can take (CPU time), beside a peer that only receives and parses it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from bench.matching import make_brands, make_posts, naive
from domain.brand import Brand
from domain.clock import SystemClock
from domain.records import Outcome
from ingest.bluesky import BlueskySettings, BlueskySource
from ingest.jetstream import MAX_FRAME_BYTES, Server
from ingest.live import listen
from ingest.matching import BrandMatcher
from ingest.runner import RunnerSettings, books_of
from ingest.stage import IngestStage
from ingest.status import SourceWatch
from ingest.websocket import Closed, open_websocket
from stream.embedded import EmbeddedLog
from stream.protocol import LIVE_RUN

MOST_CPU_SHARE = 0.60
# What the process keeps is bounded: the events seen last (16 MB), the end of the log in memory and SQLite's cache of
# pages (together 80 MB). Reached after some minutes at 2,000 posts a second.
MOST_MEGABYTES = 200.0
# Texts that differ: more would only take the slow peer longer.
TEXTS = 2_000
# Of each hundred posts: how many deletions, and one change each of an account and of a handle, come with them.
DELETIONS = 10
_LEXICON = "network.bsky.jetstream.subscribeEvents"
_COLLECTION = "app.bsky.feed.post"
_STEP = 100 + DELETIONS + 2


@dataclass(frozen=True, slots=True)
class World:
    """Brands, and texts of which a known share names one."""

    brands: list[Brand]
    texts: list[str]
    matching: list[bool]


def make_world(brands: int, matching: float, seed: int = 7) -> World:
    """Make brands and texts; exactly the share `matching` of the texts matches, by the peer's word."""
    rng = random.Random(seed)
    made = make_brands(brands, rng)
    find = naive(made)
    wanted = round(TEXTS * matching)
    kept: dict[bool, list[str]] = {True: [], False: []}
    while len(kept[True]) < wanted or len(kept[False]) < TEXTS - wanted:
        for post in make_posts(200, made, 2 * matching, rng):
            found = bool(find(post))
            if len(kept[found]) < (wanted if found else TEXTS - wanted):
                kept[found].append(post.text)
    mixed = [(text, True) for text in kept[True]] + [(text, False) for text in kept[False]]
    rng.shuffle(mixed)
    return World(made, [text for text, _ in mixed], [found for _, found in mixed])


def expected(world: World, events: int) -> Counter[Outcome]:
    """Give the books of the first `events` events. A handle that changes is no record."""
    books: Counter[Outcome] = Counter()
    for at in range(events):
        block, place = divmod(at, _STEP)
        if place < 100:
            books[Outcome.OK if world.matching[(block * 100 + place) % TEXTS] else Outcome.FILTERED] += 1
        elif place < 100 + DELETIONS:
            books[Outcome.OK if world.matching[(block * 100 + place - 100) % TEXTS] else Outcome.FILTERED] += 1
        elif place == 100 + DELETIONS:
            books[Outcome.FILTERED] += 1
    return books


def frame(world: World, records: list[bytes], at: int, micros: int) -> bytes:
    """Give event number `at` as the server sends it."""
    block, place = divmod(at, _STEP)
    moment = datetime.fromtimestamp(micros / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = f'"seq":{at + 1},"did":"did:plc:author{at % 4999:018}","time":"{moment}","witnessedAt":"{moment}"'
    name = "commit" if place < 100 + DELETIONS else "account" if place == 100 + DELETIONS else "identity"
    if place < 100:
        body = f'"rev":"{at:013}","operation":"create","collection":"{_COLLECTION}","rkey":"{at:013}","cid":"bafyrei",'
        text = records[(block * 100 + place) % TEXTS]
        tail = body.encode() + b'"record":' + text.replace(b"2000-01-01T00:00:00.000Z", moment.encode())
    elif name == "commit":
        # One of the posts of this block, by the author that it had.
        gone = block * _STEP + place - 100
        head = head.replace(f"author{at % 4999:018}", f"author{gone % 4999:018}")
        tail = f'"rev":"{at:013}","operation":"delete","collection":"{_COLLECTION}","rkey":"{gone:013}"'.encode()
    else:
        inner = '"active":true' if name == "account" else '"handle":"somebody.example.com"'
        tail = f'"{name}":{{"did":"did:plc:x","seq":{at},"time":"{moment}",{inner}}}'.encode()
    start = f'{{"$type":"message","payload":{{"$type":"{_LEXICON}#{name}",{head},'.encode()
    return start + tail + b"}}"


def serve_forever(options: argparse.Namespace) -> None:
    """Serve the stream: event number n is due n / (events a second) after the first connection."""
    world = make_world(options.brands, options.matching)
    records = [
        json.dumps(
            {
                "$type": _COLLECTION,
                "text": text,
                "createdAt": "2000-01-01T00:00:00.000Z",
                "langs": ["en"],
                "facets": [
                    {
                        "index": {"byteStart": 0, "byteEnd": 4},
                        "features": [{"$type": "app.bsky.richtext.facet#tag", "tag": "news"}],
                    }
                ],
                "reply": {
                    end: {"uri": f"at://did:plc:{'a' * 24}/{_COLLECTION}/3kabc{end}", "cid": "bafyrei" + "a" * 52}
                    for end in ("root", "parent")
                },
            },
            separators=(",", ":"),
        ).encode()
        for text in world.texts
    ]
    total, per_second = options.events, options.rate * _STEP / 100
    began: list[float] = []

    def stream(connection: ServerConnection) -> None:
        assert connection.request is not None
        if not began:
            began.append(time.time())
        cursor = int(parse_qs(urlsplit(connection.request.path).query)["cursor"][0])
        at = cursor - 1 if cursor < 10**15 else max(0, int((cursor / 1e6 - began[0]) * per_second))
        opened = time.monotonic()
        try:
            while at < total:
                due = total if options.flood else min(total, int((time.time() - began[0]) * per_second))
                for number in range(at, due):
                    micros = int((began[0] + number / per_second) * 1e6)
                    connection.send(frame(world, records, number, micros), text=True)
                at = max(at, due)
                if options.cut_every and time.monotonic() - opened > options.cut_every:
                    connection.socket.shutdown(2)
                    return
                time.sleep(0.005)
            connection.recv()
        except ConnectionClosed:
            pass

    def choose(_: ServerConnection, offered: Any) -> Any:
        return next(iter(offered), None)

    server = serve(
        stream, "127.0.0.1", 0, compression=None, ping_interval=None, select_subprotocol=choose, close_timeout=0.2
    )
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()


@contextmanager
def server_process(options: argparse.Namespace, events: int, *, flood: bool) -> Iterator[str]:
    """Run the server; gives its address."""
    command = [sys.executable, "-m", "bench.jetstream", "--serve", "--events", str(events), "--rate", str(options.rate)]
    command += ["--brands", str(options.brands), "--matching", str(options.matching)]
    command += ["--flood"] if flood else ["--cut-every", str(options.cut_every)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def resident_megabytes() -> float:
    """Give the memory of this process that is in use now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(slots=True)
class Run:
    """What one run took."""

    seconds: float
    cpu_seconds: float
    by_part: dict[str, float]
    megabytes: list[float]
    errors: int


def run(address: str, world: World, events: int) -> Run:
    """Listen until all events are settled, and check the books."""
    clock = SystemClock()
    stop = threading.Event()
    wanted = expected(world, events)
    with tempfile.TemporaryDirectory() as folder, closing(EmbeddedLog.open(Path(folder) / "log", clock=clock)) as log:
        source = BlueskySource(BlueskySettings(hosts=(address,), allow_private=True), clock)
        stage = IngestStage(log, BrandMatcher(world.brands), clock)
        watch = SourceWatch(source.name, clock)
        listener = threading.Thread(
            target=listen,
            args=(source, stage, log, clock),
            kwargs={"stop": stop, "watch": watch, "settings": RunnerSettings(downstream=())},
            name="listener",
        )
        began, cpu = time.monotonic(), time.process_time()
        listener.start()
        megabytes = []
        own = time.thread_time()
        while sum(books_of(log, LIVE_RUN).outcomes.values()) < sum(wanted.values()) and listener.is_alive():
            time.sleep(0.25)
            megabytes.append(resident_megabytes())
        seconds, cpu = time.monotonic() - began, time.process_time() - cpu
        assert listener.ident is not None
        listening = time.clock_gettime(time.pthread_getcpuclockid(listener.ident))
        # Looking at the books and at the memory is ours.
        cpu -= time.thread_time() - own
        by_part = {"listen": listening, "receive": cpu - listening}
        stop.set()
        listener.join()
        books = {outcome: number for outcome, number in books_of(log, LIVE_RUN).outcomes.items() if number}
        assert books == dict(wanted), f"found {books}, expected {dict(wanted)}"
        return Run(seconds, cpu, by_part, megabytes, watch.look().errors)


def parsed_alone(address: str, events: int) -> float:
    """Give the seconds of CPU that receiving and parsing the same stream takes, and nothing else."""
    began = time.process_time()
    server = Server("bench", address, (2,))
    socket = open_websocket(server.address(2, 1), max_bytes=MAX_FRAME_BYTES, allow_private=True)
    left = events
    try:
        while left:
            for raw in socket.receive_many(512, 1.0):
                json.loads(raw)
                left -= 1
    except Closed:
        pass
    finally:
        socket.close()
    assert left == 0, f"{left} of {events} events did not come"
    return time.process_time() - began


def main() -> int:
    """Measure and print; gives the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=2_000, help="posts a second")
    parser.add_argument("--brands", type=int, default=500)
    parser.add_argument("--matching", type=float, default=0.05, help="share of posts that name a brand")
    parser.add_argument(
        "--cut-every", type=float, default=20.0, help="seconds after which a connection is cut; 0: never"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve_forever(options)
        return 0

    world = make_world(options.brands, options.matching)
    events = int(options.seconds * options.rate) // 100 * _STEP
    posts = events // _STEP * 100
    with server_process(options, events, flood=False) as address:
        paced = run(address, world, events)
    some = min(events, 200 * _STEP)
    with server_process(options, some, flood=True) as address:
        fast = run(address, world, some)
    with server_process(options, some, flood=True) as address:
        alone = parsed_alone(address, some)

    share = paced.cpu_seconds / paced.seconds
    half = len(paced.megabytes) // 2
    growth = max(paced.megabytes) - max(paced.megabytes[: half + 1])
    print(f"books checked: {events:,} events, {posts:,} of them posts, {options.matching:.0%} naming one of")
    print(f"  {options.brands} brands; each settled once, over {paced.errors} connections that were cut")
    print(f"posts a second      {posts / paced.seconds:>8,.0f} ({options.rate:,} were sent)")
    print(f"share of one core   {share:>8.0%} (wanted: under {MOST_CPU_SHARE:.0%})")
    for name, seconds in sorted(paced.by_part.items()):
        print(f"  {name:<18}{seconds / paced.seconds:>8.0%}")
    print(f"peak memory         {max(paced.megabytes):>8.0f} MB (wanted: under {MOST_MEGABYTES:.0f})")
    print(f"  of the second half {growth:>7.0f} MB")
    posts_fast = some // _STEP * 100
    print(f"not waited for      {posts_fast / fast.cpu_seconds:>8,.0f} posts a second of one core")
    print(f"received and parsed {posts_fast / alone:>8,.0f} posts a second of one core")
    print(f"ratio               {alone / fast.cpu_seconds:>8.2f}")
    result = {
        "posts_per_second": round(posts / paced.seconds, 1),
        "cpu_share": round(share, 3),
        "peak_megabytes": round(max(paced.megabytes), 1),
        "growth_megabytes": round(growth, 1),
        "fast_posts_per_second": round(posts_fast / fast.cpu_seconds, 1),
        "parsed_posts_per_second": round(posts_fast / alone, 1),
        "cuts": paced.errors,
        "cores": os.cpu_count(),
    }
    print(json.dumps(result))
    return 0 if share < MOST_CPU_SHARE and max(paced.megabytes) < MOST_MEGABYTES else 1


if __name__ == "__main__":
    sys.exit(main())
