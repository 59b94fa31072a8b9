"""Stores over a real Elasticsearch for tests: each prefix is a store of its own, removed afterwards."""

from __future__ import annotations

from dataclasses import replace

from search.elastic import ElasticStore
from search.elastic_http import Elastic
from search.elastic_settings import ElasticSettings
from search.elastic_setup import FIXED, prepare


def settings_for(url: str, prefix: str) -> ElasticSettings:
    """Give settings for a node that has no second one for replicas, and for tests that do not wait a second."""
    return ElasticSettings(hosts=(url,), prefix=prefix, replicas=0, refresh_seconds=0.1)


def set_up(settings: ElasticSettings) -> None:
    """Do what `soundings setup` does."""
    elastic = Elastic(settings)
    try:
        prepare(elastic, settings)
    finally:
        elastic.close()


def open_elastic(url: str, prefix: str) -> ElasticStore:
    """Set up a prefix and open its store."""
    settings = settings_for(url, prefix)
    set_up(settings)
    return ElasticStore.open(settings)


def wipe(settings: ElasticSettings) -> None:
    """Remove all that a prefix has, so that the node stays small."""
    elastic = Elastic(replace(settings, request_timeout_seconds=60.0))
    try:
        answer = elastic.ask("GET", f"/{settings.prefix}*/_alias", also=(404,), patient=True)
        if answer.status == 200 and answer.body:
            elastic.ask("DELETE", f"/{','.join(answer.body)}", also=(404,), patient=True)
        templates = ",".join(f"{settings.prefix}{name}" for name in ("mentions", *FIXED))
        elastic.ask("DELETE", f"/_index_template/{templates}", also=(404,), patient=True)
    finally:
        elastic.close()
