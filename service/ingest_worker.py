"""`soundings ingest`: reads files into the log, on the one worker that owns their source; others stand by."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from domain.errors import ConfigError
from domain.records import Topic
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser
from ingest.runner import IngestResult, Progress, RunnerSettings, run_source
from ingest.stage import IngestStage
from service import runs
from service.components import file_source
from service.data_folder import require_room
from service.pipeline import refuse_the_unreadable
from service.revisions import settle_revisions
from service.source_owner import SourceOwner
from service.terminal import announce, complain
from service.workers import BATCH_RECORDS, Process
from stream.kafka_log import KafkaLog
from stream.protocol import Log

log = logging.getLogger(__name__)

LAG_LOOK_SECONDS = 1.0
DISK_LOOK_SECONDS = 1.0
DOWNSTREAM = (("enrich", (Topic.POSTS.value,)), ("index", (Topic.MENTIONS.value,)))


def ingest(process: Process, files: Sequence[Path]) -> None:
    """Read files to their end, one after the other, whenever their source is ours; without files, wait to be stopped.

    A file that another worker has read to its end while this one stood by is not read again.
    """
    settings = process.settings
    settings.require_brands()
    source_name = file_source(settings, "-").name
    stream = process.open_log()
    assert isinstance(stream, KafkaLog)
    if not files:
        # It claims nothing: whoever is started with a file reads it at once.
        log.info("no source is configured and no file was named: standing by")
        process.operations.opened(log=stream, shown=("ingest",))
        process.stop.wait()
        return
    before = process.patiently(lambda: {path: runs.last(stream, path) for path in files})
    with SourceOwner(stream, source_name, process.stop, process.clock) as owner:
        process.operations.opened(log=stream, shown=("ingest",), stages=(owner.check_alive, owner.check_member))
        left = list(files)
        while left and (lost := owner.wait()) is not None:
            brands, notices = process.patiently(lambda: settle_revisions(stream, settings.require_brands()))
            complain(notices)
            stage = IngestStage(stream, BrandMatcher(brands), process.clock, process.operations.watch)
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
            settings=RunnerSettings(
                batch_items=BATCH_RECORDS,
                max_lag=settings.kafka.max_lag,
                downstream=DOWNSTREAM,
                lag_look_seconds=LAG_LOOK_SECONDS,
            ),
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
