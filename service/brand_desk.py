"""How commands and the page change brands: through the pipeline that runs, or in the log itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from domain.brand import BrandState
from domain.clock import SystemClock
from domain.errors import BackendDown, RetryLater
from service.brand_file import BrandFile
from service.brands import LOOK_SECONDS, BrandBook, change
from service.cluster_tasks import ask_for_rematch, together
from service.components import open_log
from service.control import ControlClient
from service.data_folder import DataFolder, FolderLock
from service.prices import prices
from service.rematching import standings
from service.settings import Settings
from stream.protocol import Log


def change_brands(settings: Settings, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """Change brands for a command; see `service.brands.change`.

    Raises:
        ConfigError, Busy, RetryLater, BackendDown: as the change, or the data folder is used by something else.
    """
    if settings.log.kind == "embedded":
        client = ControlClient.connect(settings.data.dir)
        if client is not None:
            with closing(client):
                return client.ask({"command": "brands", **request}, lambda progress: None)
    with _writing(settings) as log:
        return change(BrandBook(log, settings, writes=True, rereads=False), request)


def brand_states(settings: Settings) -> Sequence[BrandState]:
    """Give all brands, of the configuration and made here, beside whoever writes; without a log those alone.

    Raises:
        ConfigError: there are none, and nothing was ever stored where the log should be.
        RetryLater, BackendDown: the log cannot be read.
    """
    folder = DataFolder(settings.data.dir)
    if settings.log.kind == "embedded" and settings.brands and not folder.log.is_file():
        name = BrandFile(settings, aloud=False).name
        return [BrandState(brand=brand, file=name) for brand in settings.brands]
    with closing(open_log(settings, SystemClock(), role="cli", read_only=True)) as log:
        return BrandBook(log, settings, writes=False, rereads=False).states


@contextmanager
def _writing(settings: Settings) -> Iterator[Log]:
    if settings.log.kind == "embedded":
        with (
            FolderLock.take(DataFolder(settings.data.dir)),
            closing(open_log(settings, SystemClock(), role="cli")) as log,
        ):
            yield log
    else:
        with closing(open_log(settings, SystemClock(), role="cli")) as log:
            yield log


class ServiceDesk:
    """See `dashboard.brand_desk.BrandDesk`: over a log that may be open for reading only. Thread-safe."""

    def __init__(self, log: Log, settings: Settings) -> None:
        self._log, self._settings = log, settings
        # Where machines share a log, whoever changes it settles; in one folder the pipeline does.
        self._alone = settings.log.kind != "embedded"
        self._book = BrandBook(log, settings, writes=False)
        self._looked = time.monotonic()
        self._lock = threading.Lock()

    def states(self) -> Sequence[BrandState]:
        """Give the brands as they are, a few seconds old at most; as they were while the log cannot be read."""
        with self._lock:
            due = time.monotonic() - self._looked >= LOOK_SECONDS
            if due:
                self._looked = time.monotonic()
        if due:
            self._look()
        return self._book.states

    def _look(self) -> None:
        try:
            self._book.look()
        except (RetryLater, BackendDown):
            # The page says by other means that the log is away.
            return

    def change(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Do what `service.brands.change` does."""
        try:
            if self._alone:
                return change(BrandBook(self._log, self._settings, writes=True), request)
            return self._ask({"command": "brands", **request})
        finally:
            self._look()

    def rematch(self, brand_id: str) -> None:
        """Have the posts that are kept held against a brand's query; nobody waits for it."""
        if self._alone:
            ask_for_rematch(self._log, self._book, brand_id)
        else:
            self._ask({"command": "rematch", "brand_id": brand_id, "wait": False})

    def rematches(self) -> Mapping[str, Mapping[str, Any]]:
        """Tell how far the last rematch of each brand came; of none while the log cannot be read."""
        names = [state.brand.brand_id for state in self._book.states]
        try:
            found = together(self._log, self._settings, names) if self._alone else standings(self._log, names)
        except (RetryLater, BackendDown):
            return {}
        shown = ("looked", "added", "withdrawn", "older", "total", "done", "query_revision")
        return {brand_id: {name: getattr(now, name) for name in shown} for brand_id, now in found.items()}

    def prices(self) -> Mapping[str, tuple[float, str]]:
        """Give what a post costs, by source."""
        return {price.source: (price.a_post, price.currency) for price in prices(self._settings)}

    def _ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        client = ControlClient.connect(self._settings.data.dir)
        if client is None:
            raise BackendDown("the pipeline does not run right now; try again in a moment")
        with closing(client):
            return client.ask(request, lambda progress: None)
