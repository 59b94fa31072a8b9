"""Engagement in Elasticsearch while other workers write: what they do between our reading and our writing holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from fakes.elastic_stores import open_elastic, settings_for, wipe
from fakes.mentions import START, mention, retraction, withdrawal
from fakes.told import TEXT, told
from servers.elastic import ElasticServer

from domain.engagement import Engagement
from domain.records import Mention
from search.elastic import ElasticStore
from search.elastic_bulk import Bulk, ItemOutcome, Op
from search.store import SearchRequest

LATER = Engagement(at=START + timedelta(hours=1), likes=5)


@pytest.fixture
def stores(elastic_server: ElasticServer, prefix: str) -> Iterator[tuple[ElasticStore, ElasticStore]]:
    """Two workers over the same indices."""
    with (
        closing(open_elastic(elastic_server.url, prefix)) as first,
        closing(ElasticStore.open(settings_for(elastic_server.url, prefix))) as second,
    ):
        yield first, second
    wipe(settings_for(elastic_server.url, prefix))


def between(store: ElasticStore, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> None:
    """Have something happen once before the next write of a store."""
    write, due = store.bulk.write, [work]

    def late(self: Bulk, ops: Sequence[Op], **how: bool) -> list[ItemOutcome]:
        if ops and due:
            due.pop()()
        return write(ops, **how)

    monkeypatch.setattr(store.bulk, "write", late.__get__(store.bulk))


def found(store: ElasticStore) -> list[Mention]:
    store.refresh()
    return list(store.search(SearchRequest()).mentions)


def test_what_another_worker_removes_meanwhile_does_not_come_back(
    stores: tuple[ElasticStore, ElasticStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stores
    withdrawn, retracted = mention("1"), mention("2")
    first.write([withdrawn, retracted])
    between(first, monkeypatch, lambda: second.write([withdrawal(withdrawn), retraction(retracted)]))
    assert first.engage({one.post_id: LATER for one in (withdrawn, retracted)}) == 0
    assert (found(first), first.count(), first.get(withdrawn.mention_id)) == ([], 0, None)


def test_what_another_worker_edits_meanwhile_stays_and_gets_the_numbers_too(
    stores: tuple[ElasticStore, ElasticStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = stores
    one = mention(version=1)
    first.write([one])
    edited = replace(one, version=2, text="edited")
    between(first, monkeypatch, lambda: second.write([edited]))
    assert first.engage({one.post_id: LATER}) == 1
    assert found(first) == [replace(edited, likes=5, engagement_at=LATER.at)]


def test_a_story_that_another_worker_moves_meanwhile_stays_moved(
    stores: tuple[ElasticStore, ElasticStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit of one of a post's mentions moves the others to its new story, under the version that they have."""
    first, second = stores
    acme, globex = told("1", TEXT, "acme"), told("1", TEXT, "globex")
    first.write([acme, globex])
    edited = told("1", "something else altogether about bread and coffee above the clouds", "acme", version=1 << 40)
    between(first, monkeypatch, lambda: second.write([edited]))
    first.engage({acme.post_id: LATER})
    stories = {one.story_id for one in found(first)}
    before = {one.mention_id: one.likes for one in found(first)}
    assert len(stories) == 1
    assert before == {acme.mention_id: 5, globex.mention_id: 5}
    kept = second.get(edited.mention_id)
    assert kept is not None
    assert kept.text == edited.text
    assert stories == {kept.story_id}
