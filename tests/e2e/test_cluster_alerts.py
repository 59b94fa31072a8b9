"""Alerts of a cluster: of two workers one works, the other goes on when it dies, and nobody is told twice."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from e2e.cluster import Cluster
from e2e.test_alerts import CONFIG, SECRET, told
from fakes.alert_world import crisis, usual
from fakes.elastic_stores import settings_for
from fakes.hook_server import serve_hooks

from alerts.evaluator import EVALUATOR, STATUS
from domain.documents import Documents
from search.elastic import ElasticStore
from search.elastic_documents import ElasticDocuments


def status(documents: Documents) -> Mapping[str, object]:
    found = documents.get(STATUS, [EVALUATOR]).get(EVALUATOR)
    return found.body if found is not None else {}


def test_of_two_workers_one_tells_and_the_other_goes_on_when_it_dies(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cluster.extra, "SOUNDINGS_CHANNEL_HOOK_SECRET", SECRET)
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    begin = (now - timedelta(days=10)).replace(minute=0)
    elastic = settings_for(cluster.elastic, cluster.prefix)
    with serve_hooks() as hooks, closing(ElasticDocuments.open(elastic)) as documents:
        cluster.config.write_text(CONFIG.format(url=f"{hooks.address}/hook"), encoding="utf-8")
        with closing(ElasticStore.open(elastic)) as store:
            said = [*usual(begin, 10), *crisis(now - timedelta(minutes=31))]
            for place in range(0, len(said), 500):
                store.write([replace(one, routing_month=f"{now:%Y.%m}") for one in said[place : place + 500]])
            store.refresh()
        workers = [cluster.start("alert"), cluster.start("alert")]
        cluster.wait_for(lambda: bool(told(hooks, "firing")), "the alert")
        holder = str(status(documents)["holder"])
        [working] = [worker for worker in workers if holder.endswith(f"/{worker.process.pid}")]
        working.kill()
        cluster.wait_for(lambda: status(documents)["holder"] != holder, "the other worker")
        looked = status(documents)["at_ms"]
        cluster.wait_for(lambda: status(documents)["at_ms"] != looked, "another look")
        assert len(hooks.came) == 1
        listed = cluster.run("alerts", "list", "--json")
        assert listed.returncode == 0, listed.stderr
        [alert] = [json.loads(line) for line in listed.stdout.splitlines()]
        assert alert["brand_id"] == "acme"
        # The same alert lies where Kibana looks.
        with closing(cluster.store()) as store:
            address = f"{cluster.elastic}/{store.names.alerts}/_doc/{alert['alert_id']}"
        with urllib.request.urlopen(address, timeout=60) as answer:
            assert json.loads(answer.read())["_source"]["brand_id"] == "acme"
        [left] = [worker for worker in workers if worker.runs]
        assert left.stop() == 0
