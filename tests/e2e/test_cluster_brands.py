"""Brands that change on a cluster: every worker takes them up; kept posts are held against them by who owns them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from e2e.cluster import Cluster, Worker
from fakes.live_hackernews import HackerNewsWorld, environment, open_hackernews

ROWS = (
    {"id": "1", "platform": "x", "text": "@acme mug is fine", "created_at": "2026-03-01T12:00:00Z"},
    {"id": "2", "platform": "x", "text": "@acme lid leaks", "created_at": "2026-03-01T12:00:00Z"},
    {"id": "3", "platform": "x", "text": "globexico mug", "created_at": "2026-03-01T12:00:00Z"},
)


@pytest.fixture
def world() -> Iterator[HackerNewsWorld]:
    with open_hackernews() as world:
        yield world


def result(cluster: Cluster, *arguments: str) -> Any:
    """Run a command that must succeed; gives the JSON that it prints."""
    done = cluster.run(*arguments, "--json")
    assert done.returncode == 0, done.stderr + cluster.ends()
    return json.loads(done.stdout)


def found(cluster: Cluster, brand: str) -> list[str]:
    with closing(cluster.store()) as store:
        store.refresh()
    answer = result(cluster, "search", "", "--brand", brand, "--limit", "500")
    return sorted(mention["post_id"] for mention in answer["mentions"])


def rematch(cluster: Cluster, brand: str) -> tuple[int, int]:
    did = result(cluster, "rematch", brand)
    with closing(cluster.log()) as log:
        cluster.wait_until_done(log)
    return did["added"], did["withdrawn"]


def has_taken_up(cluster: Cluster, worker: Worker, world: HackerNewsWorld, number: int, brand: str) -> None:
    """Publish until a post is found by a brand that was made while the worker ran."""

    def try_once() -> bool:
        nonlocal number
        world.publish([number], text="a teapot, number {n}")
        number += 1
        return bool(found(cluster, brand))

    cluster.wait_for(try_once, f"{brand} in {worker.role}")


def test_brands_change_on_every_worker_and_kept_posts_are_rematched_by_their_owners(
    cluster: Cluster, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(world).items():
        monkeypatch.setitem(cluster.extra, name, value)
    index, enrich, first = cluster.start("index"), cluster.start("enrich"), cluster.start("ingest")
    file = cluster.folder / "posts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    read = cluster.run("ingest", str(file), "--health-port", "0")
    assert read.returncode == 0, read.stderr
    world.publish(range(10), text="@acme mug {n}")
    cluster.wait_for(lambda: len(found(cluster, "acme")) == 12, "what both sources gave")

    made = result(cluster, "brands", "add", "Mug Works", "--query", "mug")["brand"]
    assert (made["brand_id"], made["file"]) == ("mug-works", "")
    assert rematch(cluster, "mug-works") == (12, 0)
    before = found(cluster, "mug-works")
    assert before == sorted(["x:1", "x:3", *(f"hackernews:{1_000_000 + n}" for n in range(10))])
    names = {one["brand"] for one in result(cluster, "search", "", "--brand", "mug-works")["mentions"]}
    assert names == {"Mug Works"}

    # There and back again, by another worker in the middle.
    result(cluster, "brands", "edit", "mug-works", "--query", "lid")
    second = cluster.start("ingest")
    cluster.wait_for(second.is_ready, "the other worker")
    first.kill()
    assert rematch(cluster, "mug-works") == (1, 12)
    assert found(cluster, "mug-works") == ["x:2"]
    result(cluster, "brands", "edit", "mug-works", "--query", "mug")
    assert rematch(cluster, "mug-works") == (12, 1)
    assert found(cluster, "mug-works") == before
    assert rematch(cluster, "mug-works") == (0, 0)

    # A live post is found by a brand that was made while its worker ran.
    result(cluster, "brands", "add", "Teapots", "--query", "teapot")
    has_taken_up(cluster, second, world, 500, "teapots")

    refused = cluster.run("brands", "edit", "acme", "--query", "other")
    assert refused.returncode == 2
    assert "belongs to" in refused.stderr
    assert [worker.stop() for worker in (second, enrich, index)] == [0, 0, 0]


def test_the_past_of_a_source_is_read_by_its_owner(
    cluster: Cluster, world: HackerNewsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(world).items():
        monkeypatch.setitem(cluster.extra, name, value)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    for hour in range(3):
        at = int((start + timedelta(hours=hour, minutes=30)).timestamp())
        world.publish(range(hour * 20, hour * 20 + 20), text="@acme of old {n}", at=at)
    # Something new: whoever listens begins there, and not with what is old.
    world.publish([500], text="the weather {n}")
    workers = [cluster.start(role) for role in ("index", "enrich", "ingest")]
    asked = ("backfill", "--source", "hackernews", "--from", "2026-03-01", "--to", "2026-03-01")
    books = result(cluster, *asked)
    assert (books["in"], books["ok"]) == (60, 60)
    with closing(cluster.log()) as log:
        cluster.wait_until_done(log)
    assert len(found(cluster, "acme")) == 60
    again = result(cluster, *asked)
    assert (again["ok"], again["duplicate"]) == (0, 60)
    assert again["run"] != books["run"]
    assert [worker.stop() for worker in reversed(workers)] == [0, 0, 0]
