"""A thousand rules over a million mentions: the first build of their counts, and a steady minute.

`python -m bench.alerts [--mentions 1000000] [--rules 1000] [--folder DIR] [--json]`: fills a store as `bench.search`
does (kept and used again when `--folder` is given), evaluates every rule for the first time, then minute by minute
while new mentions come in. 20 brands; a fifth of the rules watch whole brands by windows and metrics of their own, the
others a query each. The counts of each filter are held against a histogram of the store, asked for alone, before any
time is compared: what that costs for every rule is the peer. Wanted: first build under 60 s, a steady minute under 2 s.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alerts.counting import HISTORY
from alerts.evaluator import Evaluator
from alerts.event_time import published
from alerts.rule import BUCKET_SECONDS, Metric, Rule, Watch, watches
from bench.search import BATCH, made_up
from domain.aggregation import Buckets, Histogram
from domain.clock import to_ms
from domain.query.parser import parse
from domain.records import Mention
from search.embedded import EmbeddedStore
from search.sqlite_documents import SqliteDocuments
from service.alert_mentions import StoreMentions

END = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=90)
BRANDS = 20
MINUTES = 5
PER_MINUTE = 6_000
# Filters whose counts are held against the store's own.
CHECKED = 40
WINDOWS = (15, 30, 60, 120, 240)


class _Clock:
    """A time of day that is told."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def made_rules(number: int) -> list[Watch]:
    """Give as many watches: of five a brand's, one has no query."""
    names = {f"brand-{place}": f"Brand {place}" for place in range(BRANDS)}
    metrics = list(Metric)
    found: list[Watch] = []
    place = 0
    while len(found) < number:
        rule = Rule(
            rule_id=f"rule-{place}",
            brands=(f"brand-{place % BRANDS}",),
            query="" if place // BRANDS % 5 == 0 else f"w{place % 400} OR w{400 + place}",
            metric=metrics[place // BRANDS % len(metrics)],
            window_minutes=WINDOWS[place // (5 * BRANDS) % len(WINDOWS)],
        )
        found += watches((rule,), names, {rule.query: parse(rule.query)} if rule.query else {})
        place += 1
    return found


def fill(folder: Path, number: int) -> EmbeddedStore:
    """Open the store, filled up to `number` mentions."""
    store = EmbeddedStore.open(folder / "store")
    there = store.count()
    for first in range(there - there % BATCH, number, BATCH):
        store.write(list(made_up(BATCH, first=first, total=number)))
    store.refresh()
    return store


def check(evaluator: Evaluator, mentions: StoreMentions, found: list[Watch]) -> None:
    """See that counts are the store's own.

    Raises:
        AssertionError: a bucket differs.
    """
    start = END - HISTORY + timedelta(hours=1)
    step = max(len(found) // CHECKED, 1)
    for watch in found[::step]:
        node = published(watch.node, start, END)
        answer = mentions.aggregate(node, {"at": Histogram("published_at", BUCKET_SECONDS)})["at"]
        wanted = {int(row.key): row.count for row in answer.buckets} if isinstance(answer, Buckets) else {}
        series = evaluator.counts.series(watch.filter_id, to_ms(start), to_ms(END))
        counted = {
            series.start_ms + place * BUCKET_SECONDS * 1000: int(count)
            for place, count in enumerate(series.mentions)
            if count
        }
        assert counted == wanted, f"{watch.watch_id}: {len(counted)} buckets, the store has {len(wanted)}"


def alone(mentions: StoreMentions, found: list[Watch]) -> float:
    """Give what it costs in seconds to ask for every rule's last two days alone, as a rule of its own would."""
    began = time.perf_counter()
    for watch in found:
        node = published(watch.node, END - timedelta(days=2), END)
        mentions.aggregate(node, {"at": Histogram("published_at", BUCKET_SECONDS)})
    return time.perf_counter() - began


def measure(folder: Path, number: int, rules: int) -> dict[str, float | int | str]:
    """Run it; gives the figures."""
    found = made_rules(rules)
    with closing(fill(folder, number)) as store, closing(SqliteDocuments.open(_fresh(folder))) as documents:
        mentions, clock = StoreMentions(store), _Clock(END)
        evaluator = Evaluator(mentions, documents, clock)
        began = time.perf_counter()
        evaluator.evaluate(found, clock.at)
        first = time.perf_counter() - began
        check(evaluator, mentions, found)
        minutes = []
        for minute in range(1, MINUTES + 1):
            clock.at = END + timedelta(minutes=minute)
            store.write(_news(10 * number + store.count(), number, clock.at))
            store.refresh()
            began = time.perf_counter()
            evaluator.evaluate(found, clock.at)
            minutes.append(time.perf_counter() - began)
        again = Evaluator(mentions, documents, clock)
        began = time.perf_counter()
        again.evaluate(found, clock.at)
        restart = time.perf_counter() - began
        peer = alone(mentions, found)
    return {
        "mentions": number,
        "rules": len(found),
        "filters": len({watch.filter_id for watch in found}),
        "first_build_seconds": round(first, 2),
        "restart_seconds": round(restart, 2),
        "steady_minute_seconds": round(statistics.median(minutes), 3),
        "worst_minute_seconds": round(max(minutes), 3),
        "each_rule_alone_seconds": round(peer, 3),
        "steady_by_alone": round(statistics.median(minutes) / peer, 3),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "machine": platform.processor() or platform.machine(),
    }


def _fresh(folder: Path) -> Path:
    for file in folder.glob("alerts.db*"):
        file.unlink()
    return folder / "alerts.db"


def _news(first: int, number: int, at: datetime) -> list[Mention]:
    made = made_up(PER_MINUTE, first=first, total=number)
    step = timedelta(minutes=1) / PER_MINUTE
    return [
        replace(one, published_at=at - step * (PER_MINUTE - place), enriched_at=at) for place, one in enumerate(made)
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mentions", type=int, default=1_000_000)
    parser.add_argument("--rules", type=int, default=1_000)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soundings-bench-") as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        found = measure(folder, options.mentions, options.rules)
    if options.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name.replace('_', ' '):<26}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
