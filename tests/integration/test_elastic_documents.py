"""Documents in Elasticsearch when answers are lost: what was made is told from what somebody else made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from fakes.document_stores import set_up_documents
from fakes.elastic_stores import settings_for, wipe
from fakes.faulty_proxy import Fault, FaultyProxy, faulty
from servers.elastic import ElasticServer

from domain.documents import ABSENT, Change, Conflict
from domain.errors import ConfigError, RetryLater
from search.elastic_documents import ElasticDocuments
from search.elastic_settings import ElasticSettings


@pytest.fixture
def settings(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticSettings]:
    set_up_documents(elastic_server.url, prefix)
    settings = settings_for(elastic_server.url, prefix)
    yield settings
    wipe(settings)


@pytest.fixture
def documents(settings: ElasticSettings) -> Iterator[ElasticDocuments]:
    """Documents without any fault between: somebody else."""
    documents = ElasticDocuments.open(settings)
    yield documents
    documents.close()


@pytest.fixture
def proxy(settings: ElasticSettings) -> Iterator[FaultyProxy]:
    with faulty(settings.hosts[0]) as proxy:
        yield proxy


@pytest.fixture
def behind(settings: ElasticSettings, proxy: FaultyProxy) -> Iterator[ElasticDocuments]:
    """The same documents behind the proxy."""
    documents = ElasticDocuments.open(replace(settings, hosts=(proxy.url,), retry_seconds=3.0))
    yield documents
    documents.close()


def once(proxy: FaultyProxy, fault: Fault) -> None:
    """Let the next bulk meet a fault, and all else pass."""
    met: list[int] = []

    def judge(number: int, path: str, body: bytes) -> Fault:
        if path.startswith("/_bulk") and not met:
            met.append(number)
            return fault
        return Fault.NONE

    proxy.judge = judge


@pytest.mark.parametrize("fault", [Fault.UNANSWERED, Fault.LOST, Fault.HALVED])
def test_a_change_whose_answer_was_lost_is_made_once_and_is_no_conflict(
    behind: ElasticDocuments, proxy: FaultyProxy, fault: Fault
) -> None:
    once(proxy, fault)
    behind.apply([Change("k", f"d{n}", {"n": 1}, ABSENT) for n in range(10)])
    read = behind.scan("k")
    assert [one.body["n"] for one in read] == [1] * 10
    once(proxy, fault)
    behind.apply([Change("k", one.doc_id, {"n": 2}, one.revision) for one in read])
    read = behind.scan("k")
    assert [one.body["n"] for one in read] == [2] * 10
    once(proxy, fault)
    behind.apply([Change("k", one.doc_id, None, one.revision) for one in read])
    assert behind.scan("k") == []


def test_somebody_else_is_found_out_though_an_answer_was_lost(
    behind: ElasticDocuments, documents: ElasticDocuments, proxy: FaultyProxy
) -> None:
    documents.apply([Change("k", "theirs", {"by": "them"}), Change("k", "ours", {"by": "them"})])
    read = documents.get("k", ["theirs", "ours"])
    documents.apply([Change("k", "theirs", {"by": "them again"})])
    once(proxy, Fault.UNANSWERED)
    with pytest.raises(Conflict) as caught:
        behind.apply([Change("k", one.doc_id, {"by": "us"}, one.revision) for one in read.values()])
    assert caught.value.ids == ("theirs",)
    assert {one.doc_id: one.body["by"] for one in documents.scan("k")} == {"theirs": "them again", "ours": "us"}


def test_a_server_that_is_gone_asks_for_patience_and_nothing_is_taken_as_changed(
    behind: ElasticDocuments, documents: ElasticDocuments, proxy: FaultyProxy
) -> None:
    proxy.judge = lambda number, path, body: Fault.LOST
    with pytest.raises(RetryLater):
        behind.apply([Change("k", "one", {"n": 1}, ABSENT)])
    with pytest.raises(RetryLater):
        behind.get("k", ["one"])
    with pytest.raises(RetryLater):
        behind.scan("k")
    proxy.mend()
    behind.apply([Change("k", "one", {"n": 1}, ABSENT)])
    assert documents.get("k", ["one"])["one"].body == {"n": 1}


def test_documents_are_there_after_the_server_was_killed(
    documents: ElasticDocuments, elastic_server: ElasticServer
) -> None:
    documents.apply([Change("k", f"d{n}", {"n": n}, ABSENT) for n in range(50)])
    read = documents.get("k", ["d1"])["d1"]
    elastic_server.kill()
    elastic_server.start()
    assert [one.body["n"] for one in documents.scan("k", prefix="d4")] == [4, *range(40, 50)]
    # What was read before can be changed after: a revision outlives the server.
    documents.apply([Change("k", "d1", {"n": -1}, read.revision)])
    with pytest.raises(Conflict):
        documents.apply([Change("k", "d1", {"n": -2}, read.revision)])


def test_where_setup_has_not_run_since_there_are_documents_it_is_said(settings: ElasticSettings) -> None:
    with pytest.raises(ConfigError, match="soundings setup"):
        ElasticDocuments.open(replace(settings, prefix=f"{settings.prefix}other-"))
