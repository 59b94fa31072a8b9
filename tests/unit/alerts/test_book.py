"""The book of alerts asked by people, who may type anything."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from alerts.book import AlertBook
from domain.errors import ConfigError
from search.sqlite_documents import SqliteDocuments

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[AlertBook]:
    documents = SqliteDocuments.open(tmp_path / "documents.db")
    yield AlertBook(documents)
    documents.close()


@pytest.mark.parametrize("odd", ["", "x" * 5_000, "ü x", "a\nb", "\udcff", "nobody"])
def test_of_an_id_that_nothing_can_have_there_is_none(book: AlertBook, odd: str) -> None:
    for ask in (
        lambda: book.alert(odd),
        lambda: book.acknowledge(odd, "ann", NOW),
        lambda: book.mark(odd, "noise", "ann", NOW),
        lambda: book.end_silence(odd),
        lambda: book.unsubscribe(odd),
    ):
        with pytest.raises(ConfigError, match="there is none of this id"):
            ask()
