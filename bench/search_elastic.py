"""The embedded store beside a real Elasticsearch with the same mentions: `python -m bench.search --elastic`."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from domain.aggregation import Aggregation
from domain.query import parse
from domain.query.ast import Keyword
from domain.records import Mention
from search.embedded import EmbeddedStore
from search.store import SearchRequest, Store

if TYPE_CHECKING:
    from bench.search import Cost
    from search.elastic import ElasticStore

ROOT = Path(__file__).resolve().parent.parent
BATCH = 1_000
REFRESHES = 20


@contextmanager
def filled(mentions: Callable[[int, int], Iterator[Mention]], number: int, chunk: int) -> Iterator[ElasticStore]:
    """Give a store over an Elasticsearch of its own that holds the mentions; both go afterwards."""
    sys.path.insert(0, str(ROOT / "tests"))
    from fakes.elastic_stores import set_up, settings_for
    from servers.elastic import ElasticServer

    from bench.search import cost
    from search.elastic import ElasticStore

    server = ElasticServer(heap="1g")
    try:
        server.start()
        settings = replace(settings_for(server.url, "bench-"), refresh_seconds=1.0)
        set_up(settings)
        with closing(ElasticStore.open(settings)) as store:
            passed = worked = 0.0
            for first in range(0, number, chunk):
                made = list(mentions(first, min(chunk, number - first)))

                def write(made: Sequence[Mention] = made, store: ElasticStore = store) -> None:
                    for place in range(0, len(made), BATCH):
                        store.write(made[place : place + BATCH])

                spent = cost(write)
                passed, worked = passed + spent.passed, worked + spent.worked
                print(f"\r  {first + len(made):>9,} written", end="", flush=True)
            store.refresh()
            print(f"\n  Elasticsearch: {number / passed:,.0f} mentions/s written, durable", end="")
            print(f" ({worked / number * 1e6:.0f} µs of processor each in our process)")
            yield store
    finally:
        server.close()


def compare(
    embedded: EmbeddedStore,
    elastic: ElasticStore,
    queries: Sequence[str],
    brands: Sequence[str],
    counts: Mapping[str, Aggregation],
    rounds: int,
) -> None:
    """Check that both answer alike, then print how long each takes."""
    from bench.search import cost, summary

    requests = [SearchRequest(node=parse(query), limit=50) for query in queries]
    for query, request in zip(queries, requests, strict=True):
        ours, theirs = embedded.search(request), elastic.search(request)
        if (ours.total, ours.mentions) != (theirs.total, theirs.mentions):
            raise SystemExit(f"the stores differ on {query}: {ours.total} and {theirs.total} matches")
    nodes = [Keyword("brand_id", brand) for brand in brands]
    for node in nodes:
        first, second = embedded.aggregate(node, counts), elastic.aggregate(node, counts)
        wrong = [name for name in counts if first[name] != second[name]]
        if wrong:
            raise SystemExit(f"the stores differ on {node.value}: {', '.join(wrong)}")
    print(f"  {len(queries)} searches and {len(counts)} counts of {len(brands)} brands: the same answers")
    for name, store in (("embedded", embedded), ("Elasticsearch", elastic)):
        searches = [cost(functools.partial(store.search, one)) for _ in range(rounds) for one in requests]
        print(f"  {name:13}: first 50 results: {summary(searches)}")
    for node in nodes:
        for name, store in (("embedded", embedded), ("Elasticsearch", elastic)):
            taken = [cost(functools.partial(store.aggregate, node, counts)) for _ in range(rounds)]
            print(f"  {name:13}: {len(counts)} counts of {node.value}: {summary(taken)}")


def until_found(store: Store, made: Iterator[Mention], wait: Callable[[float], object]) -> list[Cost]:
    """Give how long one new mention after the other takes from its write until a search finds it."""
    from bench.search import cost

    def write_and_find(one: Mention) -> None:
        store.write([one])
        node = Keyword("mention_id", one.mention_id)
        while store.search(SearchRequest(node=node, limit=1)).total == 0:
            wait(0.01)

    return [cost(functools.partial(write_and_find, one)) for one in itertools.islice(made, REFRESHES)]
