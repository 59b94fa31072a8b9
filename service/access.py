"""How a command that writes gets at the data: through the pipeline that runs on the folder, or by opening it itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, Any

from domain.errors import Busy, ConfigError
from service.brand_check import query_problems
from service.control import ControlClient, Report, Request
from service.data_folder import DataFolder, FolderLock
from service.progress import progress_view
from service.settings import Settings
from service.terminal import complain

if TYPE_CHECKING:
    from service.pipeline import Pipeline

# A supervised pipeline that was killed is back within this time.
_RESTART_SECONDS = 10.0
_LOOK_SECONDS = 0.2


def perform(
    settings: Settings,
    title: str,
    request: Request,
    here: Callable[[Pipeline, Report], Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Do a piece of work with progress on standard error, and give its result.

    Args:
        settings: the configuration of this command.
        title: what the progress is of.
        request: what to ask of a running pipeline.
        here: what to do on a pipeline of our own when none runs.

    Raises:
        Busy: the folder is locked by a process that answers no requests.
        ConfigError, BackendDown: as the work.
    """
    folder = DataFolder(settings.data.dir)
    lock = _lock_or_client(folder)
    if isinstance(lock, ControlClient):
        try:
            with progress_view(title) as view:
                return lock.ask(request, view.update)
        finally:
            lock.close()
    with lock:
        return _here(settings, title, here)


def _lock_or_client(folder: DataFolder) -> FolderLock | ControlClient:
    deadline = time.monotonic() + _RESTART_SECONDS
    while True:
        client = ControlClient.connect(folder.root)
        if client is not None:
            return client
        try:
            return FolderLock.take(folder)
        except Busy:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_LOOK_SECONDS)


def _here(settings: Settings, title: str, here: Callable[[Pipeline, Report], Mapping[str, Any]]) -> Mapping[str, Any]:
    problems = [problem for brand in settings.brands for problem in query_problems(brand)]
    if problems:
        raise ConfigError(problems)
    from service.pipeline import FOREGROUND_PATIENCE_SECONDS, Pipeline

    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with (
            Pipeline(settings, patience_seconds=FOREGROUND_PATIENCE_SECONDS) as pipeline,
            progress_view(title) as view,
        ):
            complain(pipeline.notices)
            pipeline.start()
            return here(pipeline, view.update)
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
