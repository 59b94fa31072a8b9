"""A short soak of live listening: `make soak` runs the long one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FAULTS = "malformed,cut,order,lose,again,kill-pipeline,restart,kill-up-anew"


def test_a_source_that_fails_all_the_time_ends_with_exact_books() -> None:
    command = [sys.executable, "-m", "bench.live_soak", "--faults", FAULTS, "--every", "2", "--rate", "100"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["books"], figures["faults"], figures["kills"], figures["gaps"]) == ("exact", 8, 2, 1)
    # None of these kinds was left out.
    kinds = ("matched", "filtered", "duplicate", "parked", "in_gaps", "again_filtered", "again_duplicate", "deleted")
    assert all(figures[kind] for kind in kinds), figures
