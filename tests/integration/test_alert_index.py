"""The index of alerts that Kibana shows, on a real Elasticsearch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fakes.alert_texts import alert as made_up
from fakes.elastic_stores import set_up, settings_for, wipe
from servers.elastic import ElasticServer

from alerts.projection import projection
from alerts.records import Alert
from domain.errors import BackendDown
from search.alert_index import AlertIndex
from search.elastic import ElasticStore
from search.elastic_http import Elastic
from search.elastic_settings import ElasticSettings
from search.embedded import EmbeddedStore
from service.components import alert_publisher

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def alert(number: int, brand: str = "acme") -> Alert:
    began = NOON + timedelta(hours=number)
    name = f"{number:014d}-{brand}"
    told = began + timedelta(seconds=40)
    return made_up(
        alert_id=name, rule_id="r", brand_id=brand, brand=brand.title(), started_at=began, fired_at=told, peak_at=began
    )


@pytest.fixture
def settings(elastic_server: ElasticServer, prefix: str) -> Iterator[ElasticSettings]:
    settings = settings_for(elastic_server.url, prefix)
    set_up(settings)
    yield settings
    wipe(settings)


@pytest.fixture
def store(settings: ElasticSettings) -> Iterator[ElasticStore]:
    store = ElasticStore.open(settings)
    yield store
    store.close()


@pytest.fixture
def index(store: ElasticStore) -> AlertIndex:
    return AlertIndex(store.bulk, store.names)


@pytest.fixture
def elastic(store: ElasticStore) -> Elastic:
    return store.elastic


def shown(elastic: Elastic, settings: ElasticSettings) -> list[dict[str, object]]:
    name = settings.names.alerts
    elastic.ask("POST", f"/{name}/_refresh")
    hits = elastic.ask("POST", f"/{name}/_search", {"sort": ["alert_id"], "size": 100}).body["hits"]["hits"]
    return [hit["_source"] for hit in hits]


def test_an_alert_is_one_document_however_often_it_is_published(
    index: AlertIndex, elastic: Elastic, settings: ElasticSettings
) -> None:
    index.publish([])
    for _ in range(3):
        index.publish([projection(alert(1)), projection(alert(2))])
    over = replace(alert(1), resolved_at=NOON + timedelta(hours=3))
    index.publish([projection(over)])
    assert [(one["alert_id"], one["state"]) for one in shown(elastic, settings)] == [
        ("00000000000001-acme", "resolved"),
        ("00000000000002-acme", "firing"),
    ]


def test_alerts_are_counted_by_flat_fields(index: AlertIndex, elastic: Elastic, settings: ElasticSettings) -> None:
    index.publish([projection(alert(n, brand)) for n, brand in enumerate(["acme", "acme", "umbrella"])])
    elastic.ask("POST", f"/{settings.names.alerts}/_refresh")
    body = {
        "size": 0,
        "aggs": {"brand": {"terms": {"field": "brand"}, "aggs": {"after": {"max": {"field": "told_after_seconds"}}}}},
    }
    buckets = elastic.ask("POST", f"/{settings.names.alerts}/_search", body).body["aggregations"]["brand"]["buckets"]
    assert [(one["key"], one["doc_count"], one["after"]["value"]) for one in buckets] == [
        ("Acme", 2, 40.0),
        ("Umbrella", 1, 40.0),
    ]


def test_what_the_evaluator_publishes_is_shown_where_the_store_is_elasticsearch(
    store: ElasticStore, elastic: Elastic, settings: ElasticSettings, tmp_path: Path
) -> None:
    alert_publisher(store)([alert(3)])
    assert [one["brand"] for one in shown(elastic, settings)] == ["Acme"]
    with closing(EmbeddedStore.open(tmp_path / "store")) as embedded:
        alert_publisher(embedded)([alert(4)])
    assert len(shown(elastic, settings)) == 1


def test_a_field_that_the_mapping_has_not_is_said_and_not_dropped(index: AlertIndex) -> None:
    with pytest.raises(BackendDown, match="soundings setup"):
        index.publish([{"alert_id": "a", "invented": 1}])
