"""Killed with `kill -9` at seeded moments, the log has every record once, wherever the kill fell."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from fakes.clock import FakeClock
from fakes.stages import ScriptedStage

from stream.embedded import EmbeddedLog
from stream.worker import Worker

ROOT = Path(__file__).resolve().parents[3]
CHAIN = Path(__file__).with_name("chain_process.py")
KILLS = 10

_spec = importlib.util.spec_from_file_location("chain_process", CHAIN)
assert _spec is not None
assert _spec.loader is not None
chain = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(chain)

BECOMES = {"poison": "parked"}


def run_and_kill(path: Path, seed: int) -> dict[str, int]:
    """Let the chain work, kill it after a seeded number of lines; give the last number of each kind that it told."""
    lines = random.Random(seed).randint(1, 60)
    told = {"appended": 0, "settled": 0}
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, str(CHAIN), str(path), str(seed)], stdout=subprocess.PIPE, text=True, env=environment
    )
    with process:
        assert process.stdout is not None
        for _ in range(lines):
            kind, number = process.stdout.readline().split()
            told[kind] = int(number)
        process.kill()
        # What it said before it died was durable too.
        for line in process.stdout.read().splitlines(keepends=True):
            if line.endswith("\n"):
                kind, number = line.split()
                told[kind] = int(number)
    assert process.returncode == -9
    return told


def check(path: Path, told: dict[str, int]) -> None:
    """See that offsets, outputs, books and dead letters all tell of the same records."""
    log = EmbeddedLog.open(path, clock=FakeClock())
    appended = int(log.state("cursor", ["numbers"]).get("numbers", b"0"))
    assert log.appended("posts") == appended >= told["appended"]
    settled = appended - log.lag("enrich", ["posts"])
    assert settled >= told["settled"]
    words = [chain.word(number) for number in range(settled)]
    expected = Counter(BECOMES.get(word, word) for word in words)
    books: Counter[str] = Counter()
    for count in log.counts():
        books[count.outcome.value] += count.number
    assert books == expected
    consumer = log.consumer("check", ["mentions"])
    mentions: list[str] = []
    while some := consumer.poll(10_000, 0.0):
        mentions += [record.value.decode() for record in some]
    assert mentions == [f"ok {number}" for number, word in enumerate(words) if word == "ok"]
    letters = [row.letter.payload.decode() for row in log.dead_letters(limit=1_000_000)]
    assert letters == [f"{word} {n}" for n, word in enumerate(words) if word in ("parked", "poison")]
    log.close()


def test_ten_kills_at_seeded_moments_lose_and_double_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    for seed in range(KILLS):
        check(path, run_and_kill(path, seed))
    log = EmbeddedLog.open(path, clock=FakeClock())
    Worker(log, ScriptedStage(), clock=FakeClock()).drain()
    appended = log.appended("posts")
    log.close()
    assert appended > 0
    check(path, {"appended": appended, "settled": appended})
