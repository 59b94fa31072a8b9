"""Our bulk caller beside the helpers of the official client, on a real Elasticsearch and on a scripted one.

`python -m bench.bulk [--mentions 40000] [--chunk 500] [--rounds 3]`: writes the same made-up mentions, in requests of
the same number of documents, with `helpers.streaming_bulk` (one request after the other), `helpers.parallel_bulk` (two
at once) and ours in both ways; the order of the four changes from round to round. What the index holds afterwards is
compared first. Then a scripted server fails in ways that a real one does not show on command, and it is counted what
each of the three stored and what it said. At last what the store adds: looking at what is there before each write, and
stories. Ends with 1 where ours is slower than 0.9 of the faster one in its way of sending, or loses or misreports a
document.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from elasticsearch import Elasticsearch, helpers  # noqa: E402
from fakes.elastic_stores import set_up, settings_for, wipe  # noqa: E402
from fakes.scripted_bulk import RESET_AFTER_APPLYING, ScriptedBulk, scripted  # noqa: E402
from servers.elastic import ElasticServer  # noqa: E402

from bench.search import made_up  # noqa: E402
from domain.errors import BackendDown, RetryLater  # noqa: E402
from domain.records import Mention  # noqa: E402
from enrich.signature import signature  # noqa: E402
from search.elastic import ElasticStore  # noqa: E402
from search.elastic_bulk import Applied, Bulk, Op  # noqa: E402
from search.elastic_document import body_of  # noqa: E402
from search.elastic_http import Elastic  # noqa: E402
from search.elastic_settings import ElasticSettings  # noqa: E402
from search.store import SearchRequest, Written  # noqa: E402
from stream.codec import from_json, to_json  # noqa: E402

LEAST_RATIO = 0.9
INDEX = "bench-bulk-2026.03"
# A batch of the index stage.
BATCH = 256


@dataclass(frozen=True)
class Document:
    """What is written: as the client's helpers want it. Ours is made from it in the time that is measured."""

    doc_id: str
    version: int
    source: dict[str, Any]


def documents(number: int) -> list[Document]:
    """Make documents of mentions."""
    return [Document(one.mention_id, one.version, from_json(body_of(one))) for one in made_up(number)]


def actions(documents: Sequence[Document], index: str) -> Iterator[dict[str, Any]]:
    """Give documents as the helpers want them."""
    for one in documents:
        about = {"_op_type": "index", "_index": index, "_id": one.doc_id}
        yield {**about, "version": one.version, "version_type": "external", "_source": one.source}


def ops(documents: Sequence[Document], index: str) -> list[Op]:
    """Give documents as our caller wants them."""
    return [Op("index", index, one.doc_id, to_json(one.source), one.version) for one in documents]


def streaming(client: Elasticsearch, documents: Sequence[Document], chunk: int) -> None:
    """Write with the helper that sends one request after the other."""
    for ok, _ in helpers.streaming_bulk(client, actions(documents, INDEX), chunk_size=chunk):
        assert ok


def parallel(client: Elasticsearch, documents: Sequence[Document], chunk: int) -> None:
    """Write with the helper that sends two at once."""
    for ok, _ in helpers.parallel_bulk(client, actions(documents, INDEX), thread_count=2, chunk_size=chunk):
        assert ok


def ours(bulk: Bulk, documents: Sequence[Document], *, in_order: bool) -> None:
    """Write with ours; `bulk_bytes` makes the requests."""
    for outcome in bulk.write(ops(documents, INDEX), in_order=in_order):
        assert isinstance(outcome, Applied)


def processor_seconds(group: int) -> float:
    """Give the processor time that the processes of a group have taken."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Spent:
    """What a way of writing took: seconds passed, of our processor, of the server's."""

    passed: float
    worked: float
    served: float


@contextmanager
def a_server() -> Iterator[ElasticServer]:
    """A real one."""
    server = ElasticServer()
    try:
        server.start()
        yield server
    finally:
        server.close()


def spent_on(server: ElasticServer, call: Callable[[], object]) -> Spent:
    """Run a call and give what it took, the server's part until it had answered."""
    passed, worked, served = time.perf_counter(), time.process_time(), processor_seconds(server.process.pid)
    call()
    return Spent(
        time.perf_counter() - passed,
        time.process_time() - worked,
        processor_seconds(server.process.pid) - served,
    )


def held(elastic: Elastic) -> str:
    """Give a hash of all that the index holds."""
    elastic.ask("POST", f"/{INDEX}/_refresh", patient=True)
    found = sha256()
    after: list[Any] = []
    while True:
        body: dict[str, Any] = {"size": 5_000, "sort": ["mention_id"], "version": True}
        if after:
            body["search_after"] = after
        hits = elastic.ask("POST", f"/{INDEX}/_search", body).body["hits"]["hits"]
        if not hits:
            return found.hexdigest()
        for hit in hits:
            found.update(to_json([hit["_id"], hit["_version"], hit["_source"]]))
        after = hits[-1]["sort"]


def beside(server: ElasticServer, number: int, chunk: int, rounds: int) -> bool:
    """Compare the four ways on a real server; tell whether ours keep up."""
    made = documents(number)
    size = sum(len(one.lines()) for one in ops(made, INDEX)) // number
    settings = replace(settings_for(server.url, "bench-bulk-"), bulk_bytes=max(chunk * size, 100_000))
    elastic = Elastic(settings)
    client = Elasticsearch(server.url, request_timeout=60)
    bulk = Bulk(elastic, settings)
    mapping = from_json((ROOT / "search" / "mapping" / "mentions.json").read_bytes())["template"]
    mapping["settings"]["index"] |= {"number_of_replicas": 0, "refresh_interval": "1s"}
    ways: dict[str, Callable[[], None]] = {
        "streaming_bulk": lambda: streaming(client, made, chunk),
        "ours, one after the other": lambda: ours(bulk, made, in_order=True),
        "parallel_bulk, 2 threads": lambda: parallel(client, made, chunk),
        "ours, two in flight": lambda: ours(bulk, made, in_order=False),
    }
    spent: dict[str, list[Spent]] = {name: [] for name in ways}
    hashes = set()
    names = list(ways)
    for turn in range(rounds + 1):
        for name in names[turn % 4 :] + names[: turn % 4]:
            elastic.ask("DELETE", f"/{INDEX}", also=(404,), patient=True)
            elastic.ask("PUT", f"/{INDEX}", mapping, patient=True)
            took = spent_on(server, ways[name])
            # The first turn warms the server up, and is the one that is compared.
            if turn:
                spent[name].append(took)
            else:
                hashes.add(held(elastic))
    elastic.ask("DELETE", f"/{INDEX}", also=(404,), patient=True)
    bulk.close()
    elastic.close()
    client.close()
    print(f"{number:,} mentions of {size:,} bytes, {chunk} a request, {rounds} rounds, median")
    if len(hashes) != 1:
        print("  the indices differ")
        return False
    print("  all four leave the same index")
    rate = {name: number / statistics.median(one.passed for one in took) for name, took in spent.items()}
    for name, took in spent.items():
        worked = statistics.median(one.worked for one in took) / number * 1e6
        served = statistics.median(one.served for one in took) / number * 1e6
        print(f"  {name:26} {rate[name]:7,.0f}/s   processor: {worked:4.0f} µs here, {served:4.0f} µs there")
    one = rate["ours, one after the other"] / rate["streaming_bulk"]
    two = rate["ours, two in flight"] / rate["parallel_bulk, 2 threads"]
    print(f"  ours is {one:.2f} times as fast as streaming_bulk, {two:.2f} times as fast as parallel_bulk")
    return min(one, two) >= LEAST_RATIO


# --- where they are wrong


@dataclass(frozen=True)
class Told:
    """What a caller knows afterwards: documents that it was told are stored, and how it ended."""

    stored: int
    end: str


def by_helper(helper: Callable[..., Iterator[Any]], url: str, made: Sequence[Document], **options: Any) -> Told:
    """Write with a helper as its page says, catching whatever it raises."""
    client = Elasticsearch(url, request_timeout=2, max_retries=0)
    told, end = 0, "no error"
    try:
        for ok, _ in helper(client, actions(made, INDEX), chunk_size=10, **options):
            told += bool(ok)
    except Exception as exc:
        end = type(exc).__name__
    finally:
        client.close()
    return Told(told, end)


def by_ours(url: str, made: Sequence[Document]) -> Told:
    """Write with ours; a conflict after an answer that was lost is what the store reads back."""
    settings = ElasticSettings(hosts=(url,), request_timeout_seconds=2.0, bulk_bytes=100_000)
    elastic = Elastic(settings)
    bulk = Bulk(elastic, settings)
    told, end = 0, "no error"
    try:
        for place in range(0, len(made), 10):
            outcomes = bulk.write(ops(made[place : place + 10], INDEX))
            told += sum(isinstance(one, Applied) or getattr(one, "repeated", False) for one in outcomes)
    except (RetryLater, BackendDown) as exc:
        end = type(exc).__name__
    finally:
        bulk.close()
        elastic.close()
    return Told(told, end)


def faults() -> bool:
    """Count what each stores and says under faults; tell whether ours is right in all."""
    made = documents(30)
    rejected = (429, "es_rejected_execution_exception", "rejected")
    mapping = (400, "document_parsing_exception", "failed to parse field [likes]")
    scripts: dict[str, Callable[[], ScriptedBulk]] = {
        "one document of the first request is asked to wait (429)": lambda: ScriptedBulk(
            items={made[4].doc_id: [rejected]}
        ),
        "one document of the first request cannot be mapped (400)": lambda: ScriptedBulk(
            items={made[4].doc_id: [mapping]}
        ),
        "the second request is carried out, its answer is lost": lambda: ScriptedBulk(
            whole=[None, RESET_AFTER_APPLYING]
        ),
        "the second request is asked to wait (503)": lambda: ScriptedBulk(whole=[None, 503]),
    }
    right = True
    print("30 documents in 3 requests; stored by the server, told to the caller, and how it ended")
    for name, script in scripts.items():
        print(f"  {name}")
        possible = 29 if "400" in name else 30
        for way, write in {
            "streaming_bulk(max_retries=3)": lambda url: by_helper(
                helpers.streaming_bulk, url, made, max_retries=3, initial_backoff=0.01, max_backoff=0.02
            ),
            "parallel_bulk": lambda url: by_helper(helpers.parallel_bulk, url, made, thread_count=2),
            "ours": lambda url: by_ours(url, made),
        }.items():
            with scripted(script()) as server:
                told = write(server.url)
                stored = len(server.stored)
            print(f"    {way:30} {stored:2} stored, {told.stored:2} told, {told.end}")
            if way == "ours":
                right = right and (stored, told.stored, told.end) == (possible, possible, "no error")
    return right


# --- what the store adds


def with_store(server: ElasticServer, number: int) -> None:
    """Print what a mention costs through the store, without stories and with them."""
    plain = list(made_up(number))
    signed = [replace(one, signature=signature(one.tokens, one.domains).pack(), story_id=None) for one in plain]
    for name, mentions in {"without stories": plain, "with stories": signed, "as a repetition": signed}.items():
        settings = replace(settings_for(server.url, "bench-store-"), refresh_seconds=1.0)
        if name != "as a repetition":
            wipe(settings)
            set_up(settings)
        store = ElasticStore.open(settings)
        said: list[object] = []

        def write(store: ElasticStore = store, mentions: list[Mention] = mentions, said: list[object] = said) -> None:
            for place in range(0, number, BATCH):
                said.extend(store.write(mentions[place : place + BATCH]))

        took = spent_on(server, write)
        expected = Written.SUPERSEDED if name == "as a repetition" else Written.STORED
        assert said == [expected] * number
        store.refresh()
        assert store.search(SearchRequest(limit=1)).total == number
        print(
            f"  {name:18} {number / took.passed:6,.0f}/s   processor: {took.worked / number * 1e6:4.0f} µs here, "
            f"{took.served / number * 1e6:4.0f} µs there"
        )
        store.close()
    wipe(settings)


def main() -> int:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mentions", type=int, default=40_000)
    parser.add_argument("--chunk", type=int, default=500, help="documents a request")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with a_server() as server:
        keeps_up = beside(server, chosen.mentions, chosen.chunk, chosen.rounds)
        right = faults()
        print(f"through the store, {BATCH} mentions a call: {chosen.mentions // 2:,} mentions")
        with_store(server, chosen.mentions // 2)
    return 0 if keeps_up and right else 1


if __name__ == "__main__":
    sys.exit(main())
