"""Workers killed with SIGKILL at every step of their work: nothing is lost, nothing is there twice."""

from __future__ import annotations

import random
import signal
from contextlib import closing
from pathlib import Path

from e2e.cluster import Cluster, check_exactly_once, write_file
from e2e.failing_worker import STEPS

ROWS = 50_000
# Records that nobody of ours writes: they cannot be read by the stage that they wait for.
POISON = 20


def test_killed_at_every_step_each_post_is_indexed_once_or_a_dead_letter(cluster: Cluster, tmp_path: Path) -> None:
    """50,000 posts, one in a hundred poison; at each step its workers are killed, in a seeded order.

    Until all are dead only workers run that are about to die, two of each stage: they take over from each other.
    """
    file = tmp_path / "posts.jsonl"
    expected = write_file(file, ROWS)
    cluster.append("posts", [b"{poison %d" % number for number in range(POISON)])
    cluster.append("mentions", [b"[poison %d]" % number for number in range(POISON)])
    chance = random.Random(20261125)
    kills = [(role, (step, chance.randint(2, 6))) for step, roles in STEPS.items() for role in roles]
    chance.shuffle(kills)
    left = {role: [die_at for one, die_at in kills if one == role] for role in ("ingest", "enrich", "index")}

    def keep_running() -> None:
        """Start workers for those that died, up to two of a stage; the last ones of each live to its end."""
        for role, die_at in left.items():
            mine = [worker for worker in cluster.workers if worker.role == role]
            running = sum(worker.runs for worker in mine)
            if role == "ingest" and (running or (mine and mine[-1].process.returncode == 0)):
                continue
            while running < (1 if role == "ingest" else 2):
                cluster.start(
                    role, *([str(file)] if role == "ingest" else []), die_at=die_at.pop(0) if die_at else None
                )
                running += 1

    def killed() -> int:
        return sum(worker.process.poll() == -signal.SIGKILL for worker in cluster.workers)

    def is_done() -> bool:
        keep_running()
        has_read = any(worker.role == "ingest" and worker.process.poll() == 0 for worker in cluster.workers)
        return has_read and killed() == len(kills) and log.lag("enrich", ["posts"]) == 0

    with closing(cluster.log()) as log:
        cluster.wait_for(is_done, "the end of the work")
        cluster.wait_until_done(log)
    for worker in cluster.workers:
        if worker.runs:
            assert worker.stop() == 0
    cluster.check_codes()
    check_exactly_once(cluster, expected, {"enrich": POISON, "index": POISON})
