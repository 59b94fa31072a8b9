"""One index worker over one partition gives the stories that one data folder has, however its records are batched."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.elastic_stores import open_elastic, settings_for, wipe
from fakes.kafka_world import KafkaWorld
from fakes.mentions import START
from fakes.told import busy_day, told
from servers.elastic import ElasticServer
from servers.kafka import KafkaServer

from domain.clock import SystemClock
from domain.records import Mention, Retraction, Topic, Withdrawal
from search.elastic import ElasticStore
from search.embedded import EmbeddedStore
from search.stage import IndexStage
from search.transfer import StoryPost, Transferable
from stream.codec import encode
from stream.protocol import OutRecord, Settlement
from stream.worker import Worker, WorkerSettings

Record = Mention | Withdrawal | Retraction


@pytest.fixture
def elastic_store(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticStore]:
    store = open_elastic(elastic_server.url, prefix)
    yield store
    store.close()
    wipe(settings_for(elastic_server.url, prefix))


def chains(seed: int) -> list[Record]:
    """Give posts of which each is like the one before it in words, in an order of arrival that is not that of time."""
    draw = random.Random(seed)
    vocabulary = [f"{a}{b}{c}" for a in "bdgkm" for b in "aeiou" for c in "lnrst"]
    posts: list[Record] = []
    for chain in range(40):
        words = draw.sample(vocabulary, 12)
        for link in range(12):
            words[draw.randrange(12)] = draw.choice(vocabulary)
            at = START + timedelta(minutes=draw.randrange(40_000))
            text = " ".join(words) if link % 5 else "thanks united"
            posts.append(told(f"c{chain}-{link}", text, published_at=at))
    draw.shuffle(posts)
    return posts


def content(store: Transferable) -> tuple[dict[str, str | None], dict[str, StoryPost]]:
    """Give the story of each mention, and where each post stands with the words kept of it."""
    pieces = list(store.dump())
    mentions = {one.mention_id: one.story_id for one in pieces if isinstance(one, Mention)}
    return mentions, {one.post_id: one for one in pieces if isinstance(one, StoryPost)}


def test_a_worker_over_one_partition_gives_the_stories_of_a_data_folder(
    kafka_server: KafkaServer, elastic_store: ElasticStore, prefix: str, tmp_path: Path
) -> None:
    records = [*chains(1), *busy_day(3, like_a_log=True)]
    world = KafkaWorld(kafka_server.address, prefix)
    world.prepare()
    with closing(world.open()) as log, closing(EmbeddedStore.open(tmp_path)) as embedded:
        outputs = [OutRecord(Topic.MENTIONS, record.post_id, encode(record)) for record in records]
        log.settle(Settlement(outputs=outputs))
        worker = Worker(log, IndexStage(elastic_store), clock=SystemClock(), settings=WorkerSettings(batch_records=70))
        worker.drain()
        worker.close()
        for start in range(0, len(records), 33):
            embedded.write(records[start : start + 33])
        mentions, posts = content(elastic_store)
        assert (mentions, posts) == content(embedded)
    assert len(set(mentions.values())) < len(posts)
    # What is kept of a post is its words, but for those that say too little to be compared.
    assert {bool(one.said) for one in posts.values() if one.place.keys} == {True}
    assert {one.said for one in posts.values() if not one.place.keys} == {""}


def test_another_order_of_arrival_may_give_other_stories_and_loses_none_of_the_posts(tmp_path: Path) -> None:
    """The reason that several partitions differ from one."""
    first = chains(1)
    found = []
    for number, records in enumerate((first, [*reversed(first)])):
        with closing(EmbeddedStore.open(tmp_path / str(number))) as store:
            store.write([replace(one) for one in records])
            found.append(content(store))
    assert found[0][1].keys() == found[1][1].keys()
    assert len(set(found[0][0].values())) != len(set(found[1][0].values()))
