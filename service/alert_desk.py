"""How commands come to alerts: the book over the documents that are configured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime

from alerts.book import AlertBook
from domain.clock import SystemClock
from service.components import open_documents
from service.settings import Settings


@contextmanager
def open_book(settings: Settings) -> Iterator[tuple[AlertBook, datetime]]:
    """Open the book of alerts, beside whoever else has it open; gives it and the time of day.

    Raises:
        ConfigError, RetryLater, BackendDown: as the documents.
    """
    with closing(open_documents(settings)) as documents:
        yield AlertBook(documents), SystemClock().now()
