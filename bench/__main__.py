"""Every benchmark in turn: `python -m bench`. Each compares outputs first, then prints ratios against a peer.

The real posts and labels are looked for in `../shared/data`; BENCH_TORCH_PYTHON names a Python with the torch
extra for the Hugging Face peer of the sentiment stage (without it only our side is measured).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
POSTS = DATA / "mentions" / "us-airlines-2015.jsonl.gz"
_PARTS = ("train.tsv.gz", "dev.tsv.gz")
TEXTS = [str(DATA / "sentiment" / part) for part in _PARTS]
BRANDS = [str(DATA / "brand-sentiment" / part) for part in _PARTS]


def main() -> int:
    """Run them all; the number that failed."""
    peer = os.environ.get("BENCH_TORCH_PYTHON")
    benches = [
        ["bench.quality", "--texts", *TEXTS, "--brands", *BRANDS],
        ["bench.behaviour"],
        ["bench.sentiment", str(POSTS), *(["--peer-python", peer] if peer else [])],
        ["bench.replay", str(POSTS)],
        ["bench.matching"],
        ["bench.jetstream"],
        ["bench.language", str(POSTS)],
        ["bench.search", "--elastic"],
        ["bench.bulk"],
        ["bench.alerts"],
        ["bench.stories"],
        ["bench.spikes"],
        ["bench.kafka_clients"],
        ["bench.cluster", str(POSTS)],
    ]
    failed = 0
    for module, *arguments in benches:
        print(f"\n== python -m {module} {' '.join(arguments)}", flush=True)
        failed += subprocess.run([sys.executable, "-m", module, *arguments], cwd=ROOT, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
