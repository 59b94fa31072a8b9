"""The command line and a file of posts, fresh for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.cluster import Cluster
from e2e.command_line import PATIENCE_SECONDS, Soundings, make_posts, make_soundings, write_posts
from fakes.elastic_stores import settings_for, wipe
from servers.elastic import ElasticServer
from servers.kafka import KafkaServer


@pytest.fixture
def soundings(tmp_path: Path) -> Iterator[Soundings]:
    """The command line over an empty data folder."""
    made = make_soundings(tmp_path)
    yield made
    for process in made.running:
        if process.poll() is None:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


@pytest.fixture
def another(tmp_path_factory: pytest.TempPathFactory) -> Soundings:
    """A second one, apart from the first."""
    return make_soundings(tmp_path_factory.mktemp("another"))


@pytest.fixture
def posts_file(tmp_path: Path) -> Path:
    """A small file of posts."""
    return write_posts(tmp_path / "posts.jsonl", make_posts(300))


@pytest.fixture
def cluster(kafka_server: KafkaServer, elastic_server: ElasticServer, tmp_path: Path, prefix: str) -> Iterator[Cluster]:
    """A cluster that is set up, with no worker yet; what it made is removed afterwards."""
    cluster = Cluster(tmp_path, kafka_server.address, elastic_server.url, prefix)
    done = cluster.run("setup")
    assert done.returncode == 0, done.stderr
    yield cluster
    cluster.stop()
    wipe(settings_for(elastic_server.url, prefix))
