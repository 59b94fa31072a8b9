"""Posts per second of the sentiment engine beside the Hugging Face `pipeline` on the same weights, in one run.

    python -m bench.sentiment POSTS.jsonl.gz [--peer-python PYTHON_WITH_TORCH]

The peer runs in a process of its own: `pipeline` at its defaults (float32, one text at a time, its own choice of
threads) on a checkpoint rebuilt from the shipped weights, so it needs the extra `torch` and nothing else. Labels are
compared before speed is. Runs alternate, the best of each counts: on a shared machine noise only slows down.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from domain.records import SENTIMENTS
from enrich.engine import FloatArray, Passage
from enrich.model_text import model_text
from enrich.onnx_engine import SHIPPED_MODEL, OnnxEngine, OnnxSettings

LEAST_RATIO = 15.0
LEAST_AGREEMENT = 0.98
# Posts that one call gets, as the worker hands them over.
CALL = 512

# The peer's whole program: read texts, answer one line per round. It cannot share our process: torch's threads and
# ours would stand in each other's way.
PEER = """
import json, sys, time
from transformers import pipeline
from transformers.utils import logging
logging.set_verbosity_error()
folder = sys.argv[1]
texts = json.load(open(sys.argv[2], encoding="utf-8"))
classify = pipeline("text-classification", model=folder, tokenizer=folder)
classify(texts[:20])
for _ in sys.stdin:
    started, worked = time.perf_counter(), time.process_time()
    found = classify(texts)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "labels": [row["label"] for row in found]}), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One measured run over all texts. `cpu_seconds` counts all threads: it tells work from waiting."""

    seconds: float
    cpu_seconds: float
    labels: list[str]


def read_texts(path: Path) -> list[str]:
    """Read the `text` of every line of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in lines]


def _timed(engine: OnnxEngine, texts: Sequence[str]) -> Round:
    started, worked = time.perf_counter(), time.process_time()
    passages = [Passage(text) for text in texts]
    found = [engine.predict(passages[start : start + CALL]).probs for start in range(0, len(texts), CALL)]
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    return Round(seconds, cpu, [SENTIMENTS[i] for i in np.concatenate(found).argmax(axis=1)])


def _peer(python: str, folder: Path, texts: Sequence[str], scratch: Path) -> subprocess.Popen[str]:
    checkpoint, file = scratch / "checkpoint", scratch / "texts.json"
    subprocess.run([python, "-m", "enrich.export", "--restore", str(folder), "--out", str(checkpoint)], check=True)
    # The pipeline reads what the engine reads: prepared texts; preparing them is counted on our side only.
    file.write_text(json.dumps([model_text(text) for text in texts]), encoding="utf-8")
    return subprocess.Popen(
        [python, "-c", PEER, str(checkpoint), str(file)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"},
    )


def _ask(peer: subprocess.Popen[str]) -> Round:
    if peer.stdin is None or peer.stdout is None:
        raise RuntimeError("the peer has no pipes")
    peer.stdin.write("go\n")
    peer.stdin.flush()
    line = peer.stdout.readline()
    if not line:
        raise RuntimeError("the Hugging Face pipeline ended early: is the torch extra installed in its Python?")
    answer = json.loads(line)
    return Round(answer["seconds"], answer["cpu_seconds"], answer["labels"])


def places_at_words(text: str, brands: int) -> Passage:
    """Ask about so many brands, as if some words spread over the text named them."""
    words = [found.span() for found in re.finditer(r"\w+", text)] or [(0, 0)]
    chosen = [words[len(words) * k // brands] for k in range(brands)]
    return Passage(text, tuple((place,) if place[0] < place[1] else () for place in chosen))


def brand_labels(engine: OnnxEngine, texts: Sequence[str], brands: int) -> float:
    """Give brand labels per second with so many brands a post."""
    passages = [places_at_words(text, brands) for text in texts]
    started = time.perf_counter()
    for start in range(0, len(passages), CALL):
        engine.predict(passages[start : start + CALL])
    return brands * len(passages) / (time.perf_counter() - started)


# A process of its own: from its start to a first label, then its memory after many.
COLD = """
import json, resource, sys
from pathlib import Path
from enrich.engine import Passage
from enrich.language import FastTextLanguage
from enrich.onnx_engine import OnnxEngine, OnnxSettings
engine = OnnxEngine(OnnxSettings(folder=Path(sys.argv[1])))
engine.predict([Passage("what a lovely day")])
print(flush=True)
language = FastTextLanguage()
texts = json.load(open(sys.argv[2], encoding="utf-8"))
for start in range(0, len(texts), 512):
    engine.predict([Passage(text) for text in texts[start : start + 512]])
    [language.identify(text) for text in texts[start : start + 512]]
try:
    # What `getrusage` says counts the process that started this one, from before it became another program.
    (peak,) = (line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print(int(peak) * 1024 / 1e6, flush=True)
except OSError:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, flush=True)
"""


def cold(folder: Path, texts: Sequence[str]) -> dict[str, float]:
    """Give the seconds from the start of a process to its first label (best of three), and its peak memory in MB."""
    seconds, megabytes = [], 0.0
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "texts.json"
        file.write_text(json.dumps(list(texts)), encoding="utf-8")
        for _ in range(3):
            started = time.perf_counter()
            command = [sys.executable, "-c", COLD, str(folder), str(file)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()
                seconds.append(time.perf_counter() - started)
                megabytes = max(megabytes, float(process.stdout.readline()))
    return {"cold_start_seconds": round(min(seconds), 2), "peak_megabytes": round(megabytes)}


def flips(build: Callable[..., OnnxEngine], texts: Sequence[str]) -> dict[str, float]:
    """Give the share of labels that change with the batch, against one post at a time, and the largest score change."""
    passages = [Passage(text) for text in texts]

    def run(batch_tokens: int, call: int) -> FloatArray:
        engine = build(batch_tokens=batch_tokens)
        found = [engine.predict(passages[start : start + call]).probs for start in range(0, len(texts), call)]
        return np.concatenate(found)

    alone = run(1, 1)
    result: dict[str, float] = {}
    for batch_tokens, call in ((256, 64), (256, 512), (4096, len(texts))):
        probs = run(batch_tokens, call)
        changed = float(np.mean(probs.argmax(axis=1) != alone.argmax(axis=1)))
        result[f"labels_changed_calls_of_{call}_batches_of_{batch_tokens}"] = changed
        result["largest_score_change"] = max(
            result.get("largest_score_change", 0.0), float(np.abs(probs - alone).max())
        )
    return result


def measure(texts: Sequence[str], folder: Path, peer_python: str | None, rounds: int) -> dict[str, Any]:
    """Measure both arithmetics, the cache, batch dependence and, where it can run, the peer."""

    def build(*, exact: bool = False, cache_size: int = 0, batch_tokens: int = 256) -> OnnxEngine:
        return OnnxEngine(OnnxSettings(folder=folder, exact=exact, cache_size=cache_size, batch_tokens=batch_tokens))

    engines = {"int8": build(), "fp32": build(exact=True)}
    for engine in engines.values():
        engine.predict([Passage(text) for text in texts[:64]])
    best: dict[str, Round] = {}
    with tempfile.TemporaryDirectory() as scratch:
        peer = _peer(peer_python, folder, texts, Path(scratch)) if peer_python else None
        for _ in range(rounds):
            found = {name: _timed(engine, texts) for name, engine in engines.items()}
            found["int8 with cache"] = _timed(build(cache_size=50_000), texts)
            if peer is not None:
                found["pipeline"] = _ask(peer)
            for name, round_ in found.items():
                if name not in best or round_.seconds < best[name].seconds:
                    best[name] = round_
        if peer is not None and peer.stdin is not None:
            peer.stdin.close()
            peer.wait()
    reference = best["fp32"].labels
    result: dict[str, Any] = {
        "posts": len(texts),
        "cores": os.cpu_count(),
        "posts_per_second": {name: round(len(texts) / r.seconds, 1) for name, r in best.items()},
        "cpu_milliseconds_per_post": {name: round(r.cpu_seconds / len(texts) * 1e3, 2) for name, r in best.items()},
        "label_agreement_with_fp32": {
            name: float(np.mean([a == b for a, b in zip(r.labels, reference, strict=True)])) for name, r in best.items()
        },
        "int8_across_batches": flips(build, texts[:1000]),
        "brand_labels_per_second": {
            f"{number} a post": round(max(brand_labels(build(), texts, number) for _ in range(rounds)), 1)
            for number in (1, 3)
        },
        **cold(folder, texts),
    }
    if "pipeline" in best:
        result["ratio_to_pipeline"] = {
            name: round(best["pipeline"].seconds / r.seconds, 2) for name, r in best.items() if name != "pipeline"
        }
    return result


def main(argv: Sequence[str]) -> int:
    """Print a table and, last, one line of JSON; 1 when labels disagree or the ratio is too low."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.sentiment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("posts", type=Path, help="gzipped JSONL with a `text` on each line")
    parser.add_argument("--folder", type=Path, default=SHIPPED_MODEL, help="engine folder")
    parser.add_argument("--peer-python", help="a Python with the torch extra; without it only our side is measured")
    parser.add_argument("--limit", type=int, default=4_000, help="posts to use, spread over the file")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args(argv)
    texts = read_texts(args.posts)
    texts = texts[:: max(1, len(texts) // args.limit)][: args.limit]
    result = measure(texts, args.folder, args.peer_python, args.rounds)
    for name, speed in result["posts_per_second"].items():
        ratio = result.get("ratio_to_pipeline", {}).get(name)
        agreement = result["label_agreement_with_fp32"][name]
        cpu = result["cpu_milliseconds_per_post"][name]
        times = f"  {ratio:.2f} times" if ratio else ""
        print(f"{name:18}{speed:>9.1f} posts/s {cpu:>7.2f} ms CPU/post  agreement {agreement:.4f}{times}")
    print(f"{'brand labels/s':18}", result["brand_labels_per_second"])
    print(f"{'cold start':18}{result['cold_start_seconds']:>9.2f} s, at most {result['peak_megabytes']} MB resident")
    print(json.dumps(result))
    agreed = min(result["label_agreement_with_fp32"].values()) >= LEAST_AGREEMENT
    fast = "ratio_to_pipeline" not in result or result["ratio_to_pipeline"]["int8"] >= LEAST_RATIO
    return 0 if agreed and fast else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
