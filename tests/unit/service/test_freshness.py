"""Freshness is measured on what a search finds, not on what was written."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from fakes.mentions import mention

from domain.clock import SystemClock
from domain.records import Mention
from search.embedded import EmbeddedStore
from service.freshness import FreshnessProbe
from service.prometheus import Meter
from stream.codec import encode
from stream.protocol import LogRecord


def record_of(one: Mention) -> LogRecord:
    return LogRecord("mentions", 0, 0, one.post_id, encode(one), "live", one.collected_at)


def number(meter: Meter, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", meter.text().decode(), re.MULTILINE)
    assert found
    return float(found.group(1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    store = EmbeddedStore.open(tmp_path / "store")
    yield store
    store.close()


def measure(store: EmbeddedStore, one: Mention) -> Meter:
    """Write a mention, offer it, and wait until it was found."""
    meter = Meter()
    probe = FreshnessProbe(store, meter, SystemClock(), sample_seconds=0.0)
    store.write([one])
    probe.offer([record_of(one)])
    while number(meter, "soundings_search_delay_seconds_count") == 0:
        time.sleep(0.02)
    probe.close()
    return meter


def test_a_mention_that_is_found_was_collected_and_published_some_time_ago(store: EmbeddedStore) -> None:
    now = SystemClock().now()
    made = mention("p1", "acme", collected_at=now - timedelta(seconds=10), published_at=now - timedelta(seconds=50))
    meter = measure(store, made)
    assert number(meter, "soundings_search_delay_seconds_sum") >= 10
    assert number(meter, "soundings_search_freshness_seconds_sum") >= 50
    assert number(meter, "soundings_search_freshness_seconds_count") == 1


def test_how_old_a_backfilled_post_was_says_nothing_about_us(store: EmbeddedStore) -> None:
    made = replace(mention("p1", "acme", collected_at=SystemClock().now()), backfilled=True)
    assert number(measure(store, made), "soundings_search_freshness_seconds_count") == 0


def test_what_is_not_found_is_not_measured(store: EmbeddedStore) -> None:
    meter = Meter()
    probe = FreshnessProbe(store, meter, SystemClock(), sample_seconds=0.0)
    probe.offer([record_of(mention("p1", "acme"))])
    probe.offer([LogRecord("mentions", 0, 1, "x", b"broken", "live", SystemClock().now())])
    probe.offer([])
    probe.close()
    assert number(meter, "soundings_search_delay_seconds_count") == 0
