"""How commands come to alerts: the book over the documents that are configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime

from alerts.book import AlertBook
from alerts.health import KINDS
from domain.clock import SystemClock
from domain.errors import ConfigError
from service.brand_desk import brand_states
from service.components import open_documents
from service.settings import Settings
from service.settings_checks import nearest, show


@contextmanager
def open_book(settings: Settings) -> Iterator[tuple[AlertBook, datetime]]:
    """Open the book of alerts, beside whoever else has it open; gives it and the time of day.

    Raises:
        ConfigError, RetryLater, BackendDown: as the documents.
    """
    with closing(open_documents(settings)) as documents:
        yield AlertBook(documents), SystemClock().now()


def unknown_names(settings: Settings, brands: Sequence[str], rules: Sequence[str]) -> list[str]:
    """Say which brands and rules that a silence names are not there, one line each.

    Raises:
        ConfigError: of the brands, or of the rules, none is there: it would silence nothing.
        RetryLater, BackendDown: the log cannot be read.
    """
    known_brands = [state.brand.brand_id for state in brand_states(settings)] if brands else []
    known_rules = [*(rule.rule_id for rule in settings.alerts.rules), *KINDS]
    told, empty = [], False
    for noun, names, known in (("brand", brands, known_brands), ("rule", rules, known_rules)):
        strangers = [name for name in names if name not in known]
        told += [f"--{noun}: found {show(name)}; there is none of this id{nearest(name, known)}" for name in strangers]
        empty = empty or (bool(names) and len(strangers) == len(names))
    if empty:
        raise ConfigError(told)
    return told
