"""Replay, kill and resume for a while: the books must come out exact every time.

`python -m bench.soak --minutes 20`: each round writes a seeded file of posts (repeats, strangers, poison), replays it
with `soundings replay`, kills it with SIGKILL every few seconds, starts it again, and compares the books and the number
of stored mentions with what was written. Exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

CONFIG = """
[[brands]]
id = "acme"
name = "Acme"
query = 'acme OR @acme'

[[brands]]
id = "globex"
name = "Globex"
query = 'globex'
"""
_MOODS = ("love my {b}, great", "{b} is terrible and broken", "a {b} stood there", "hate {b}", "{b} works fine :)")


@dataclass
class Written:
    """What one file holds, counted while writing it."""

    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    mentions: int = 0


def write_posts(path: Path, posts: int, seed: int) -> Written:
    """Write JSON lines of which every row's outcome is known."""
    rng = random.Random(seed)
    written, kept = Written(), []
    with path.open("w", encoding="utf-8") as lines:
        for number in range(posts):
            dice = rng.random()
            if dice < 0.01:
                row, outcome = "{broken" + str(number), "parked"
            elif dice < 0.03 and kept:
                row, outcome = rng.choice(kept), "duplicate"
            else:
                brands = rng.choice(((), ("Acme",), ("Globex",), ("Acme", "Globex"), ("Acme",)))
                said = ". ".join(rng.choice(_MOODS).format(b=brand) for brand in brands) or "nothing of interest"
                row = json.dumps({
                    "id": f"{seed}-{number}",
                    "created_at": f"2026-10-{1 + number % 28:02d}T{number % 24:02d}:00:00Z",
                    "author": f"user{rng.randrange(500)}",
                    "text": f"{said} number {number}",
                })  # fmt: skip
                outcome = "matched" if brands else "filtered"
                written.mentions += len(brands)
                if brands:
                    kept.append(row)
            lines.write(row + "\n")
            written.sent += 1
            written.outcomes[outcome] += 1
    return written


def replay(folder: Path, posts: Path, config: Path, kill_after: float | None) -> dict[str, object] | None:
    """Run one replay; give its books, or None when it was killed first."""
    command = [sys.executable, "-m", "service.cli", "replay", str(posts), "--config", str(config)]
    command += ["--data-dir", str(folder), "--engine", "tiny", "--json"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    try:
        out, err = process.communicate(timeout=kill_after)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    if process.returncode != 0:
        raise SystemExit(f"soundings replay ended with {process.returncode}:\n{err}")
    books: dict[str, object] = json.loads(out)
    return books


def books_of_first_run(folder: Path, config: Path, second: dict[str, object]) -> dict[str, object]:
    """Check that a second run of the same file added nothing, and give the kept books of the first."""
    if second["matched"] or second["mentions"]:
        raise SystemExit(f"a second run of the same file brought something new: {second}")
    first = str(second["run"]).removesuffix("2") + "1"
    command = [sys.executable, "-m", "service.cli", "books", "--run", first, "--config", str(config)]
    command += ["--data-dir", str(folder), "--json"]
    kept = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    ingest = kept["stages"]["ingest"]
    named = {name: ingest[name] for name in ("duplicate", "filtered", "parked")}
    stored = {"mentions": kept["stages"]["index"]["ok"], "stored_total": kept["stored_total"]}
    return {"read": ingest["in"], "matched": ingest["ok"], **named, **stored}


def differences(books: dict[str, object], written: Written) -> list[str]:
    """Compare books with what was written; one line each."""
    expected = {
        "read": written.sent,
        **{name: written.outcomes[name] for name in ("matched", "filtered", "duplicate", "parked")},
        "mentions": written.mentions,
        "stored_total": written.mentions,
    }
    return [f"{key}: expected {number}, found {books[key]}" for key, number in expected.items() if books[key] != number]


def main(argv: Sequence[str]) -> int:
    """Soak; 0 when every round's books were exact."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--posts", type=int, default=60_000, help="posts a round")
    parser.add_argument("--kill-every", type=float, default=20.0, help="longest time between kills, in seconds")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(argv)

    rng = random.Random(args.seed)
    until = time.monotonic() + 60 * args.minutes
    rounds = kills = posts = 0
    while time.monotonic() < until:
        with tempfile.TemporaryDirectory(prefix="soundings-soak-") as name:
            folder = Path(name)
            file, config = folder / "posts.jsonl", folder / "soak.toml"
            config.write_text(CONFIG, encoding="utf-8")
            written = write_posts(file, args.posts, args.seed + rounds)
            books = None
            while books is None:
                ending = time.monotonic() >= until
                books = replay(folder / "data", file, config, None if ending else rng.uniform(1.5, args.kill_every))
                kills += books is None
            if str(books["run"]).endswith("-2"):
                # The kill came after the run had ended, before its books were printed: they are still kept.
                books = books_of_first_run(folder / "data", config, books)
            wrong = differences(books, written)
            if wrong:
                print(f"round {rounds + 1} (seed {args.seed + rounds}), after {kills} kills:", *wrong, sep="\n  ")
                return 1
            rounds, posts = rounds + 1, posts + written.sent
            print(f"round {rounds}: {written.sent:,} posts exact, {kills} kills so far", flush=True)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(json.dumps({"rounds": rounds, "kills": kills, "posts": posts, "peak_mb": round(peak), "books": "exact"}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
