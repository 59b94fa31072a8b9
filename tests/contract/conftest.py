"""The stores that the contract is held against: one in a folder, one over a real Elasticsearch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.elastic_stores import open_elastic, settings_for, wipe

from search.elastic import ElasticStore
from search.embedded import EmbeddedStore
from search.store import Store

# Opens the store of a name: the same name finds the same data.
OpenNamed = Callable[[str], Store]


@pytest.fixture(params=["embedded", "elastic"])
def open_named(request: pytest.FixtureRequest, tmp_path: Path, prefix: str) -> Iterator[OpenNamed]:
    """Open stores of one kind, each name a store of its own; all are closed and removed after the test."""
    opened: list[Store] = []
    prefixes: set[str] = set()
    url = request.getfixturevalue("elastic_server").url if request.param == "elastic" else ""

    def open_it(name: str) -> Store:
        if url:
            own = f"{prefix}{name}-"
            opened.append(ElasticStore.open(settings_for(url, own)) if own in prefixes else open_elastic(url, own))
            prefixes.add(own)
        else:
            opened.append(EmbeddedStore.open(tmp_path / name))
        return opened[-1]

    yield open_it
    for store in opened:
        store.close()
    for own in prefixes:
        wipe(settings_for(url, own))


@pytest.fixture
def open_store(open_named: OpenNamed) -> Callable[[], Store]:
    """Open the store of this test; what was opened before is closed first, its data stays."""
    opened: list[Store] = []

    def open_it() -> Store:
        while opened:
            opened.pop().close()
        opened.append(open_named("store"))
        return opened[-1]

    return open_it


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture
def fresh_store(open_named: OpenNamed) -> Callable[[], Store]:
    """Give an empty store at each call."""
    numbers = itertools.count(1)
    return lambda: open_named(f"fresh{next(numbers)}")
