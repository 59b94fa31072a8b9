"""The stores that the contract is held against. Elasticsearch joins by one more entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from search.embedded import EmbeddedStore
from search.store import Store


@pytest.fixture(params=["embedded"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Open the store of this test; what was opened before is closed first, its data stays."""
    opened: list[Store] = []

    def open_it() -> Store:
        while opened:
            opened.pop().close()
        opened.append(EmbeddedStore.open(tmp_path / "store"))
        return opened[-1]

    yield open_it
    while opened:
        opened.pop().close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()
