"""A process that appends numbered records and moves them from `posts` to `mentions` until it is killed.

Started by test_embedded_kill.py with the path of the log and a seed. Says `appended N` and `settled N` only once
that is durable.
"""

from __future__ import annotations

import logging
import os
import random
import sys
import threading
from pathlib import Path

from domain.clock import SystemClock
from stream.embedded import EmbeddedLog
from stream.observer import SettledBatch
from stream.protocol import OutRecord, Settlement, StateWrite
from stream.worker import Worker, WorkerSettings

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fakes.stages import ScriptedStage

WORDS = ("ok", "ok", "ok", "duplicate", "filtered", "parked", "poison")


def word(number: int) -> str:
    """Give what becomes of record `number`: the same in every process, and in no order."""
    return random.Random(number).choice(WORDS)


def say(line: str) -> None:
    """Write a whole line at once: two threads talk, and a kill may come between."""
    os.write(1, f"{line}\n".encode())


def append_forever(log: EmbeddedLog, chance: random.Random) -> None:
    """Append records from where the cursor stands, moving the cursor in the same settlement, as a source does."""
    next_number = int(log.state("cursor", ["numbers"]).get("numbers", b"0"))
    while True:
        numbers = range(next_number, next_number + chance.randint(1, 40))
        next_number = numbers.stop
        log.settle(
            Settlement(
                outputs=[OutRecord("posts", f"x:{n % 11}", f"{word(n)} {n}".encode()) for n in numbers],
                state=[StateWrite("cursor", "numbers", str(next_number).encode())],
            )
        )
        say(f"appended {next_number}")


def main(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    logging.basicConfig(level=logging.ERROR)
    log = EmbeddedLog.open(path)
    threading.Thread(target=append_forever, args=(log, chance), daemon=True).start()
    done = sum(count.number for count in log.counts())

    class Teller:
        def settled(self, batch: SettledBatch) -> None:
            nonlocal done
            done += sum(count.number for count in batch.counts)
            say(f"settled {done}")

        def retried(self, stage: str, records: int, trouble: str) -> None:
            raise AssertionError(trouble)

        def at_rest(self, stage: str) -> None:
            raise AssertionError(stage)

    settings = WorkerSettings(batch_records=chance.randint(1, 64))
    Worker(log, ScriptedStage(), clock=SystemClock(), settings=settings, observer=Teller()).run(threading.Event())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
