"""The embedded store with a million mentions while posts come in, beside SQLite's FTS5 measured in the same run.

`python -m bench.search [--mentions 1000000] [--rate 100] [--folder DIR]`: fills a store (kept and used again when
`--folder` is given), checks that both give the same results and counts, then reads from a second process, as the
dashboard does, while this one goes on writing `--rate` mentions a second. Mentions are made up from a seed: 20 words
of a Zipf vocabulary of 30,000, 20 brands of which the first has a quarter of all, 200,000 authors, 90 days; four of ten
tell one of 50,000 stories, the others are stories of their own. `--elastic` adds a real Elasticsearch (1 GB of heap)
with the same mentions: both must give the same results and counts.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import multiprocessing
import platform
import random
import resource
import shutil
import sqlite3
import tempfile
import threading
import time
from bisect import bisect
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

from bench import search_elastic
from domain import ids
from domain.aggregation import Aggregation, Buckets, Histogram, Result, Terms
from domain.clock import to_ms
from domain.fields import FIELDS
from domain.query import parse
from domain.query.ast import Keyword
from domain.records import SENTIMENTS, Mention
from search.embedded import EmbeddedStore
from search.store import SearchRequest

BATCH = 500
FIRST_PAGE = 50
CHUNK = 20_000
ROUNDS = 20
_START = datetime(2026, 1, 1, tzinfo=UTC)
_SPAN = timedelta(days=90)
# From everyday words to rare ones, alone and combined.
QUERIES = (
    *("*", "w0", "w5", "w50", "w500", "w5000", "w29999"),
    *("w1 w2", "w10 w20 w30", "w3 OR w4", "w7 -w8", "w100 OR w200 OR w300", '"w0 w1"', '"w2 w0"', "w12*"),
    *("brand:brand-0 w9", "brand:brand-10", "brand:brand-0 sentiment:negative", "w40 lang:de source:x", "tag:tag7"),
)
# What FTS5 can say as well, in its own words.
PEER_QUERIES = {
    "w5": "w5",
    "w500": "w500",
    "w5000": "w5000",
    "w1 w2": "w1 AND w2",
    "w10 w20 w30": "w10 AND w20 AND w30",
    "w3 OR w4": "w3 OR w4",
    "w7 -w8": "w7 NOT w8",
    '"w2 w0"': '"w2 w0"',
}
FACETS: dict[str, Aggregation] = {field.name: Terms(field.name) for field in FIELDS if field.facet}
TIMELINE: dict[str, Aggregation] = {"timeline": Histogram("published_at", 3600, {"sentiment": Terms("sentiment", 3)})}
# The one with a quarter of all mentions, and one in the middle.
BRANDS = ("brand-0", "brand-10")
PEER_FACETS = ("source", "lang", "sentiment", "author_handle")


class _Zipf:
    """Draws 0 to size - 1, the n-th with weight 1 / (n + flat)."""

    def __init__(self, size: int, flat: float, draw: random.Random) -> None:
        self._sums = list(itertools.accumulate(1 / (place + flat) for place in range(size)))
        self._random = draw.random

    def __call__(self) -> int:
        return bisect(self._sums, self._random() * self._sums[-1])


def made_up(number: int, *, first: int = 0, total: int = 1_000_000, seed: int = 1) -> Iterator[Mention]:
    """Make mentions `first` to `first + number - 1`."""
    draw = random.Random(seed + first)
    sizes = ((30_000, 3), (20, 1), (200_000, 20), (2_000, 3), (50_000, 5))
    word, brand, author, tag, story = (_Zipf(size, flat, draw) for size, flat in sizes)
    for place in range(first, first + number):
        post = f"bench:{place}"
        brand_id = f"brand-{brand()}"
        words = [f"w{word()}" for _ in range(20)]
        value = draw.choices((-1, 0, 1), (3, 5, 2))[0]
        published = _START + _SPAN * (place / total)
        yield Mention(
            mention_id=ids.mention_id(post, brand_id),
            post_id=post,
            brand_id=brand_id,
            brand=brand_id.title(),
            query_revision=1,
            version=ids.version(to_ms(published), 1),
            source=draw.choice(("x", "bluesky", "rss", "mastodon")),
            kind="post" if place % 3 else "reply",
            text=" ".join(words),
            tokens=" ".join(words),
            words=tuple(dict.fromkeys(words[:8])),
            collected_at=published + timedelta(seconds=3),
            enriched_at=published + timedelta(seconds=4),
            routing_month=published.strftime("%Y.%m"),
            published_at=published,
            url=f"https://example.org/{place}",
            domains=("example.org", f"d{tag()}.example") if place % 5 == 0 else ("example.org",),
            lang=draw.choices(("en", "de", "fr", "und"), (70, 12, 10, 8))[0],
            author_handle=f"author{author()}",
            author_followers=int(draw.paretovariate(0.6)),
            sentiment=SENTIMENTS[value + 1],
            sentiment_value=value,
            sentiment_score=value * 0.7,
            p_negative=0.1,
            p_neutral=0.2,
            p_positive=0.7,
            sentiment_reliable=True,
            post_sentiment=SENTIMENTS[value + 1],
            model="minilm-int8",
            hashtags=tuple({f"tag{tag()}" for _ in range(place % 3)}),
            story_id=f"story{story()}" if draw.random() < 0.4 else f"single{place}",
            location=f"city {tag()}" if place % 2 else None,
            likes=int(draw.paretovariate(1)) - 1,
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call took: seconds passed, and seconds that the process had a processor."""

    passed: float
    worked: float


def cost(call: Callable[[], object]) -> Cost:
    """Run a call and give what it took."""
    worked, passed = time.process_time(), time.perf_counter()
    call()
    return Cost(time.perf_counter() - passed, time.process_time() - worked)


def summary(costs: Sequence[Cost]) -> str:
    """Say how long calls took; the processor's part is what counts where the machine is busy with other things."""
    passed, worked = sorted(one.passed * 1e3 for one in costs), sorted(one.worked * 1e3 for one in costs)
    at95 = min(len(costs) - 1, int(0.95 * len(costs)))
    return (
        f"p50 {passed[len(costs) // 2]:6.1f} ms   p95 {passed[at95]:6.1f} ms   max {passed[-1]:6.1f} ms"
        f"   (processor: p50 {worked[len(costs) // 2]:.1f} ms, p95 {worked[at95]:.1f} ms)"
    )


def best(call: Callable[[], object]) -> float:
    """Give the least processor seconds of five calls."""
    return min(cost(call).worked for _ in range(5))


def fill(folder: Path, number: int) -> None:
    """Write the mentions through the store, as the index stage does, and print the rate."""
    with closing(EmbeddedStore.open(folder)) as store:
        first = store.count()
        if first >= number:
            return
        passed = worked = 0.0
        for begin in range(first, number, CHUNK):
            mentions = list(made_up(min(CHUNK, number - begin), first=begin, total=number))

            def write(mentions: list[Mention] = mentions) -> None:
                for place in range(0, len(mentions), BATCH):
                    store.write(mentions[place : place + BATCH])
                store.refresh()

            spent = cost(write)
            passed, worked = passed + spent.passed, worked + spent.worked
            print(f"\r  {begin + len(mentions):>9,} written", end="", flush=True)
    print(f"\n  {(number - first) / passed:,.0f} mentions/s written, durable and searchable", end="")
    print(f" ({worked / (number - first) * 1e6:.0f} µs of processor each, merges included)")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  peak memory {peak:,.0f} MB, with {CHUNK:,} made-up mentions and the index's mapped files in it")


class Peer:
    """The same mentions in SQLite: FTS5 for the text, columns and an index for the rest."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def fill(self, number: int) -> None:
        """Write the mentions in large transactions, and print the rate."""
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        run(
            "CREATE TABLE doc (row INTEGER PRIMARY KEY, mention_id, brand_id, ms INTEGER, source, lang, sentiment,"
            " author_handle)"
        )
        run("CREATE VIRTUAL TABLE words USING fts5(tokens, content='')")
        worked = 0.0
        for first in range(0, number, CHUNK):
            mentions = list(made_up(min(CHUNK, number - first), first=first, total=number))
            rows = [
                (
                    *(first + place, one.mention_id, one.brand_id, to_ms(one.published_at or one.collected_at)),
                    *(getattr(one, name) for name in PEER_FACETS),
                )
                for place, one in enumerate(mentions)
            ]
            texts = [(first + place, one.tokens) for place, one in enumerate(mentions)]
            worked += cost(functools.partial(self._insert, rows, texts)).worked
        worked += cost(lambda: run("CREATE INDEX doc_brand ON doc (brand_id)")).worked
        print(f"  FTS5: {worked / number * 1e6:.0f} µs of processor each, for text and eight columns only")

    def _insert(self, rows: list[tuple[Any, ...]], texts: list[tuple[int, str]]) -> None:
        with self._connection:
            self._connection.executemany("INSERT INTO doc VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._connection.executemany("INSERT INTO words (rowid, tokens) VALUES (?, ?)", texts)

    def count(self) -> int:
        """Count its mentions."""
        return int(self._connection.execute("SELECT count(*) FROM doc").fetchone()[0])

    def search(self, query: str) -> tuple[int, list[str]]:
        """Give the number of matches and the newest."""
        matching = "FROM doc WHERE row IN (SELECT rowid FROM words WHERE words MATCH ?)"
        ((total,),) = self._connection.execute(f"SELECT count(*) {matching}", (query,))
        newest = f"SELECT mention_id {matching} ORDER BY ms DESC, mention_id DESC LIMIT {FIRST_PAGE}"
        return total, [row[0] for row in self._connection.execute(newest, (query,))]

    def facet(self, brand_id: str, field: str) -> list[tuple[Any, ...]]:
        """Give the ten most frequent values."""
        sql = f"SELECT {field}, count(*) FROM doc WHERE brand_id = ? GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10"
        return self._connection.execute(sql, (brand_id,)).fetchall()

    def timeline(self, brand_id: str) -> list[tuple[Any, ...]]:
        """Count by hour and sentiment."""
        sql = "SELECT ms / 3600000, sentiment, count(*) FROM doc WHERE brand_id = ? GROUP BY 1, 2"
        return self._connection.execute(sql, (brand_id,)).fetchall()

    def everything_of(self, brand_id: str) -> None:
        """Ask for its facets and the timeline."""
        for field in PEER_FACETS:
            self.facet(brand_id, field)
        self.timeline(brand_id)


def stored(folder: Path) -> int:
    """Count the mentions of a store."""
    with closing(EmbeddedStore.open(folder, read_only=True)) as store:
        return store.count()


def compare(folder: Path, peer: Peer) -> None:
    """Check that both agree, then print the ratios of processor time; nobody writes meanwhile."""
    with closing(EmbeddedStore.open(folder, read_only=True)) as store:
        ours = theirs = 0.0
        for query, peer_query in PEER_QUERIES.items():
            request = SearchRequest(node=parse(query), limit=FIRST_PAGE)
            page, expected = store.search(request), peer.search(peer_query)
            if (page.total, [one.mention_id for one in page.mentions]) != expected:
                raise SystemExit(f"the stores differ on {query}: {page.total} and {expected[0]} matches")
            ours += best(functools.partial(store.search, request))
            theirs += best(functools.partial(peer.search, peer_query))
        print(f"  {len(PEER_QUERIES)} searches: the same results, {theirs / ours:.1f} times as fast")
        asked = {name: FACETS[name] for name in PEER_FACETS} | TIMELINE
        for brand_id in BRANDS:
            node = Keyword("brand_id", brand_id)
            answers = store.aggregate(node, asked)
            for name in PEER_FACETS:
                if _pairs(answers[name]) != peer.facet(brand_id, name):
                    raise SystemExit(f"the stores differ on {name} of {brand_id}")
            if _hours(answers["timeline"]) != sorted(peer.timeline(brand_id)):
                raise SystemExit(f"the stores differ on the timeline of {brand_id}")
            own = best(functools.partial(store.aggregate, node, asked))
            other = best(functools.partial(peer.everything_of, brand_id))
            print(f"  {len(asked)} counts of {brand_id}: the same values, {other / own:.1f} times as fast")


def _pairs(result: Result) -> list[tuple[Any, ...]]:
    assert isinstance(result, Buckets)
    return [(bucket.key, bucket.count) for bucket in result.buckets]


def _hours(result: Result) -> list[tuple[Any, ...]]:
    assert isinstance(result, Buckets)
    return sorted(
        (int(hour.key) // 3_600_000, *pair) for hour in result.buckets for pair in _pairs(hour.sub["sentiment"])
    )


def read(folder: str, results: Queue[Any]) -> None:
    """Search and count in a process of its own."""
    searches: list[Cost] = []
    counts: dict[str, list[Cost]] = {brand_id: [] for brand_id in BRANDS}
    with closing(EmbeddedStore.open(Path(folder), read_only=True)) as store:
        for turn in range(ROUNDS + 1):
            for query in QUERIES:
                spent = cost(functools.partial(_first_page, store, query))
                # The first turn only fills the caches.
                searches += [spent] if turn else []
            for brand_id, seen in counts.items():
                node = Keyword("brand_id", brand_id)
                spent = cost(functools.partial(store.aggregate, node, FACETS | TIMELINE))
                seen += [spent] if turn else []
        sizes = {one: store.search(SearchRequest(node=Keyword("brand_id", one), limit=1)).total for one in counts}
    results.put((searches, counts, sizes))


def _first_page(store: EmbeddedStore, query: str) -> None:
    store.search(SearchRequest(node=parse(query), limit=FIRST_PAGE))


def read_while_writing(folder: Path, number: int, rate: int) -> None:
    """Measure a reading process while this one writes."""
    context = multiprocessing.get_context("spawn")
    results: Queue[Any] = context.Queue()
    reader = context.Process(target=read, args=(str(folder), results))
    shown: list[Cost] = []
    with closing(EmbeddedStore.open(folder)) as store:
        reader.start()
        for first in itertools.count(store.count(), rate):
            batch = list(made_up(rate, first=first, total=number))
            spent = cost(functools.partial(_write_and_find, store, batch))
            shown.append(spent)
            if not results.empty() or not reader.is_alive():
                break
            threading.Event().wait(max(0.0, 1 - spent.passed))
        searches, counts, sizes = results.get()
        reader.join()
    print(f"  first {FIRST_PAGE} results with total and text: {summary(searches)}")
    for brand_id, seen in counts.items():
        print(f"  {len(FACETS)} facets and timeline of {sizes[brand_id]:,} mentions: {summary(seen)}")
    print(f"  written until found: {summary(shown)}")


def _write_and_find(store: EmbeddedStore, batch: list[Mention]) -> None:
    store.write(batch)
    node = Keyword("mention_id", batch[-1].mention_id)
    while store.search(SearchRequest(node=node, limit=1)).total == 0:
        threading.Event().wait(0.01)


def beside_elastic(folder: Path, number: int) -> None:
    """Compare with Elasticsearch, from one process and with nobody else writing."""

    def mentions(first: int, count: int) -> Iterator[Mention]:
        return made_up(count, first=first, total=number)

    with (
        closing(EmbeddedStore.open(folder)) as embedded,
        search_elastic.filled(mentions, embedded.count(), CHUNK) as elastic,
    ):
        search_elastic.compare(embedded, elastic, QUERIES, BRANDS, FACETS | TIMELINE, ROUNDS)
        late = made_up(search_elastic.REFRESHES, first=2 * number, total=number)
        found = search_elastic.until_found(elastic, late, threading.Event().wait)
        print(f"  Elasticsearch: written until found: {summary(found)}")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mentions", type=int, default=1_000_000)
    parser.add_argument("--rate", type=int, default=100, help="mentions a second that come in while reading")
    parser.add_argument("--folder", type=Path, help="keep the store here, and use it again")
    parser.add_argument("--elastic", action="store_true", help="compare with a real Elasticsearch too")
    chosen = parser.parse_args()
    folder: Path = chosen.folder or Path(tempfile.mkdtemp(prefix="soundings-bench-"))
    print(f"{chosen.mentions:,} mentions; {multiprocessing.cpu_count()} cores, {platform.machine()}")
    try:
        print("writing")
        fill(folder / "store", chosen.mentions)
        peer_path = folder / "peer.sqlite3"
        known = peer_path.exists()
        with closing(Peer(peer_path)) as peer:
            if not known:
                peer.fill(chosen.mentions)
            print("beside SQLite FTS5")
            if not known or peer.count() == stored(folder / "store"):
                compare(folder / "store", peer)
            else:
                print("  not compared: the kept store got more mentions while it was read")
        if chosen.elastic:
            print("beside Elasticsearch")
            beside_elastic(folder / "store", chosen.mentions)
        print(f"while {chosen.rate} mentions a second come in")
        read_while_writing(folder / "store", chosen.mentions, chosen.rate)
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
