"""`soundings ingest`: reads sources into the log, each on the one worker that owns it; others stand by."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from domain.brand import BrandState
from domain.errors import ConfigError
from domain.records import Topic
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.runner import IngestResult, Progress, RunnerSettings, run_source
from ingest.source import LiveSource
from ingest.stage import IngestStage
from service import runs
from service.brands import BrandBook
from service.cluster_tasks import TASKS, TaskRunner
from service.components import file_source, live_sources
from service.data_folder import require_room
from service.live import LiveSources
from service.pipeline import refuse_the_unreadable
from service.settings import Settings
from service.source_owner import FILES_GROUP, SourceOwner
from service.terminal import announce, complain
from service.workers import BATCH_RECORDS, Process, beside
from stream.kafka_log import KafkaLog
from stream.protocol import Log

log = logging.getLogger(__name__)

LAG_LOOK_SECONDS = 1.0
DISK_LOOK_SECONDS = 1.0
DOWNSTREAM = (("enrich", (Topic.POSTS.value,)), ("index", (Topic.MENTIONS.value,)))


def ingest(process: Process, files: Sequence[Path]) -> None:
    """Read files to their end, one after the other, whenever their source is ours; without files, listen for ever.

    A file that another worker has read to its end while this one stood by is not read again.
    """
    if files:
        _read_files(process, files)
    else:
        _listen(process)


def _listen(process: Process) -> None:
    """Listen to the live sources that are ours, until told to stop."""
    settings = process.settings
    # Before anything is opened: a missing key is told to whoever stands here.
    live_sources(settings, settings.brands, process.clock)
    stream = _open(process)
    stage, book = _stage(process, stream)
    sources = live_sources(settings, book.active, process.clock)
    if not sources:
        log.info("no source is enabled and no file was named: standing by for what commands ask")
    live = LiveSources(sources, settings, stream, process.clock, _runner(settings), process.operations)
    with SourceOwner(stream, [*(source.name for source in sources), TASKS], process.stop, process.clock) as owner:
        failed: list[BaseException] = []

        def hear(source: LiveSource) -> None:
            try:
                while (lost := owner.wait(source.name)) is not None:
                    live.listen(source, stage, lost)
            except BaseException as exc:
                failed.append(exc)
                process.stop.set()

        threads = [threading.Thread(target=hear, args=(source,), name=f"source {source.name}") for source in sources]
        threads.append(threading.Thread(target=live.beat, args=(process.stop,), name="heartbeats"))
        brands = _Brands(process, book, stage, live)
        threads.append(threading.Thread(target=brands.watch, name="brands"))
        tasks = TaskRunner(
            settings, stream, stage, book, brands.take_up, owner, _runner(settings), process.stop, process.clock
        )
        threads.append(threading.Thread(target=tasks.run, name="tasks"))
        process.operations.opened(log=stream, shown=("ingest",), stages=(owner.check_alive, owner.check_member))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        owner.check_alive()


def _open(process: Process) -> KafkaLog:
    stream = process.open_log()
    assert isinstance(stream, KafkaLog)
    return stream


def _stage(process: Process, stream: Log) -> tuple[IngestStage, BrandBook]:
    book = process.patiently(lambda: BrandBook(stream, process.settings, writes=True))
    complain(book.notices)
    book.require_brands()
    return IngestStage(stream, BrandMatcher(book.active), process.clock, process.operations.watch), book


class _Brands:
    """Puts brands that change in force in this worker."""

    def __init__(self, process: Process, book: BrandBook, stage: IngestStage, live: LiveSources | None = None) -> None:
        self._process, self._book, self._stage, self._live = process, book, stage, live

    def watch(self) -> None:
        """Look until told to stop."""
        self._book.watch(self._process.stop, self._listen_for, again=self._process.read_again)

    def take_up(self) -> None:
        """Put the brands as they are now in force before this returns.

        Raises:
            RetryLater, BackendDown: the log cannot be read.
        """
        self._book.look()
        self._book.tell(self._listen_for)

    def _listen_for(self, states: Sequence[BrandState]) -> None:
        active = tuple(state.brand for state in states if not state.paused)
        self._stage.match_by(BrandMatcher(active))
        if self._live is not None:
            self._live.ask_for(active)


def _runner(settings: Settings) -> RunnerSettings:
    return RunnerSettings(
        batch_items=BATCH_RECORDS,
        max_lag=settings.kafka.max_lag,
        downstream=DOWNSTREAM,
        lag_look_seconds=LAG_LOOK_SECONDS,
    )


def _read_files(process: Process, files: Sequence[Path]) -> None:
    source_name = file_source(process.settings, "-").name
    stream = _open(process)
    before = process.patiently(lambda: {path: runs.last(stream, path) for path in files})
    with SourceOwner(stream, [source_name], process.stop, process.clock, FILES_GROUP) as owner:
        process.operations.opened(log=stream, shown=("ingest",), stages=(owner.check_alive, owner.check_member))
        left = list(files)
        while left and (lost := owner.wait(source_name)) is not None:
            stage, book = _stage(process, stream)
            beside(process, "brands", _Brands(process, book, stage).watch)
            while left and not lost.is_set():
                if _is_done(process, stream, left[0], before) or _read(process, stream, stage, left[0], lost):
                    left.pop(0)
        owner.check_alive()


def _is_done(process: Process, stream: Log, path: Path, before: Mapping[Path, runs.Last]) -> bool:
    """Tell whether another worker finished this file since we were started."""
    now = process.patiently(lambda: runs.last(stream, path))
    done = now.done and now != before[path]
    if done:
        announce(f"{path}: read by another worker")
    return done


def _read(process: Process, stream: Log, stage: IngestStage, path: Path, lost: threading.Event) -> bool:
    """Read one file; False when it was not read to its end, because it went to another worker or we stop."""
    settings, operations = process.settings, process.operations
    root, floor = settings.data.dir, settings.data.disk_floor_mb
    looked = 0.0
    items = 0

    def progress(now: Progress) -> None:
        nonlocal looked, items
        if now.items > items:
            items = now.items
            operations.got(source.name)
        if process.clock.monotonic() - looked >= DISK_LOOK_SECONDS:
            looked = process.clock.monotonic()
            require_room(root, floor)

    source = file_source(settings, str(path))
    source.open(None).close()
    run = process.patiently(lambda: runs.begin(stream, path))
    with operations.reading(source.name):
        result = run_source(
            source,
            Normaliser(source.name, source.settings.normalise),
            stage,
            stream,
            process.clock,
            run=run.run_id,
            settings=_runner(settings),
            stop=lost,
            on_progress=progress,
        )
    if result.finished or result.flood is not None:
        if result.nothing_mapped or result.finished:
            process.patiently(lambda: runs.finish(stream, run))
        refuse_the_unreadable(result, str(path))
        announce(_told(path, run, result))
    return result.finished


def _told(path: Path, run: runs.Run, result: IngestResult) -> str:
    outcomes = ", ".join(f"{outcome.value} {number:,}" for outcome, number in result.books.outcomes.items() if number)
    again = ", resumed" if run.resumed else ""
    return f"{path}: read {result.books.read:,} ({outcomes or 'nothing'}; run {run.run_id}{again})"


def check_files(files: Sequence[Path]) -> None:
    """See that files can be read more than once: a worker that takes over reads them again.

    Raises:
        ConfigError: all that cannot.
    """
    if wrong := [f"{path}: there is no such file" for path in files if not path.is_file()]:
        raise ConfigError(wrong)
