"""Workers that come and go, a broker that restarts, an Elasticsearch that is away: all goes on by itself."""

from __future__ import annotations

import random
import time
from contextlib import closing
from pathlib import Path

import pytest
from e2e.cluster import Cluster, Worker, check_exactly_once, write_file
from servers.elastic import ElasticServer
from servers.kafka import KafkaServer

ROWS = 8_000
# How long Elasticsearch is away; a worker must hold out for ten minutes.
AWAY_SECONDS = 60.0
# What a worker may grow by while it waits. Without a bound it would read on: the topic holds far more.
MOST_MEGABYTES_MORE = 100.0


def test_two_to_four_workers_come_and_go_and_every_post_is_there_once(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "posts.jsonl"
    expected = write_file(file, ROWS)
    chance = random.Random(7)
    running: dict[str, list[Worker]] = {role: [cluster.start(role) for _ in range(2)] for role in ("enrich", "index")}
    ingest = cluster.start("ingest", str(file))
    with closing(cluster.log()) as log:

        def storm_is_over() -> bool:
            """Do the next change, as fast as the group follows: start one, stop one, or both at once."""
            role = chance.choice(("enrich", "index"))
            workers = running[role]
            if len(workers) < 4 and chance.random() < 0.6:
                workers.append(cluster.start(role))
                cluster.wait_for(workers[-1].is_ready, f"another {role}")
            elif len(workers) > 2:
                leaving = workers.pop(chance.randrange(len(workers)))
                assert leaving.stop() == 0, leaving.text()
            return ingest.process.poll() == 0 and log.lag("enrich", ["posts"]) == 0

        cluster.wait_for(storm_is_over, "the end of the storm")
        cluster.wait_until_done(log)
    for worker in cluster.workers:
        if worker.runs:
            assert worker.stop() == 0
    cluster.check_codes()
    check_exactly_once(cluster, expected)


def test_the_broker_is_restarted_in_the_middle(cluster: Cluster, tmp_path: Path, kafka_server: KafkaServer) -> None:
    file = tmp_path / "posts.jsonl"
    expected = write_file(file, ROWS)
    workers = [cluster.start("enrich"), cluster.start("index"), cluster.start("ingest", str(file))]
    with closing(cluster.log()) as log:
        cluster.wait_for(lambda: log.appended("mentions") > ROWS // 10, "the middle of the work")
        kafka_server.restart()
        cluster.wait_for(lambda: workers[2].process.poll() == 0, "the end of reading")
        cluster.wait_until_done(log)
    assert [worker.stop() for worker in workers[:2]] == [0, 0]
    check_exactly_once(cluster, expected)


def test_elasticsearch_is_away_for_a_minute(cluster: Cluster, tmp_path: Path, elastic_server: ElasticServer) -> None:
    """The index worker is not ready, holds no more than before, and goes on by itself."""
    file = tmp_path / "posts.jsonl"
    expected = write_file(file, ROWS)
    index, enrich = cluster.start("index"), cluster.start("enrich")
    cluster.wait_for(index.is_ready, "the index worker")
    ingest = cluster.start("ingest", str(file))
    with closing(cluster.log()) as log:
        cluster.wait_for(lambda: log.lag("index", ["mentions"]) < log.appended("mentions"), "the first mentions")
        elastic_server.stop()
        before = index.megabytes()
        until = time.monotonic() + AWAY_SECONDS
        cluster.wait_for(lambda: not index.is_ready(), "that it is not ready")
        most = before
        while time.monotonic() < until:
            assert index.runs, index.text()
            most = max(most, index.megabytes())
            time.sleep(1.0)
        assert not index.is_ready()
        assert enrich.is_ready()
        elastic_server.process.start()
        cluster.wait_for(lambda: ingest.process.poll() == 0, "the end of reading")
        cluster.wait_until_done(log)
        cluster.wait_for(index.is_ready, "that it is ready again")
    assert most - before < MOST_MEGABYTES_MORE
    assert [index.stop(), enrich.stop()] == [0, 0]
    check_exactly_once(cluster, expected)


def test_a_source_goes_on_at_its_cursor_on_another_worker_when_its_owner_dies(cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "posts.jsonl"
    expected = write_file(file, ROWS)
    # No stage takes what is read, so the owner pauses in the middle of the file.
    cluster.max_lag = ROWS // 8
    owner = cluster.start("ingest", str(file))
    with closing(cluster.log()) as log:
        cluster.wait_for(lambda: log.appended("posts") > 0, "the first posts")
        standby = cluster.start("ingest", str(file))
        cluster.wait_for(standby.is_ready, "the other worker")
        assert "is read here now" not in standby.text()
        assert owner.runs, owner.text()
        owner.kill()
        enrich, index = cluster.start("enrich"), cluster.start("index")
        cluster.wait_for(lambda: standby.process.poll() == 0, "the end of reading")
        assert "resumed" in standby.text()
        cluster.wait_for(lambda: log.lag("enrich", ["posts"]) == 0, "enrich")
        cluster.wait_until_done(log)
    assert [enrich.stop(), index.stop()] == [0, 0]
    check_exactly_once(cluster, expected)


def test_workers_are_not_ready_while_the_broker_hangs_however_long_they_wait_for_its_answer(
    cluster: Cluster, kafka_server: KafkaServer
) -> None:
    """Frozen, a broker refuses nothing: what is asked of it only never comes back."""
    cluster.request_seconds = 120
    roles = (("ingest",), ("enrich",), ("index",), ("dashboard", "--port", "0"))
    workers = [cluster.start(*role) for role in roles]
    cluster.wait_for(lambda: all(worker.is_ready() for worker in workers), "that all are ready")
    kafka_server.pause()
    try:
        cluster.wait_for(lambda: not any(worker.is_ready() for worker in workers), "that none is ready")
        assert not any("did not answer" in worker.text() for worker in workers), cluster.ends()
    finally:
        kafka_server.resume()
    cluster.wait_for(lambda: all(worker.is_ready() for worker in workers), "that all are ready again")
    assert [worker.stop() for worker in workers] == [0] * 4


@pytest.mark.parametrize("client", ["kafka", "kafka-python"])
def test_an_idle_worker_is_ready_again_after_the_broker_hung_though_no_record_comes(
    cluster: Cluster, kafka_server: KafkaServer, client: str
) -> None:
    cluster.client, cluster.request_seconds = client, 2.0
    worker = cluster.start("enrich")
    cluster.wait_for(worker.is_ready, "that it is ready")
    kafka_server.pause()
    try:
        cluster.wait_for(lambda: "stage enrich tries again" in worker.text(), "that its poll fails")
        cluster.wait_for(lambda: not worker.is_ready(), "that it is not ready")
    finally:
        kafka_server.resume()
    cluster.wait_for(worker.is_ready, "that it is ready again")
    assert worker.stop() == 0
