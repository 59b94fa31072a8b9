"""The pipeline: every stage as a thread over one data folder, and the work that commands ask of it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from domain.brand import Brand, BrandState
from domain.clock import Clock, SystemClock
from domain.documents import Documents
from domain.errors import BackendDown, Busy, ConfigError, ServiceError
from domain.records import Topic
from enrich.language import FastTextLanguage
from enrich.stage import EnrichStage
from ingest.matching import BrandMatcher
from ingest.normalise import Normaliser, NormaliserSettings
from ingest.runner import IngestResult, Progress, RunnerSettings, run_source
from ingest.source import Source
from ingest.stage import IngestStage
from search.embedded import EmbeddedStore
from search.stage import IndexStage
from service import runs
from service.alerting import Alerting
from service.books import run_books
from service.brands import BrandBook, change
from service.components import (
    alert_publisher,
    build_engine,
    file_source,
    live_sources,
    open_documents,
    open_log,
    open_store,
    require_one_process,
)
from service.control import Report
from service.data_folder import DataFolder, require_room
from service.engagement import refresher_of
from service.forget import ForgetRequest
from service.forget_here import ForgetHere
from service.forgetting import Forgetting
from service.garbage import rare_collections
from service.live import LiveSources
from service.mirror import mirror_events
from service.operations import Operations
from service.past import past_of
from service.prometheus import Meter
from service.rematches import Rematches
from service.rematching import Rematch, Standing, kept_posts, standings
from service.rematching import told as rematch_told
from service.retrying import retry_letters
from service.settings import Settings
from service.stages import STAGE_NAMES, STAGES
from service.tally import GROUP as TALLY_GROUP
from service.tally import TOPICS as TALLY_TOPICS
from service.tally import keep_tally
from stream.embedded import EmbeddedLog
from stream.worker import Worker, WorkerSettings

log = logging.getLogger(__name__)

BATCH_RECORDS = 512
# Some seconds of work for the enrich stage: enough to keep it busy, little enough to be read again after a kill.
MAX_LAG = 4_000
POLL_SECONDS = 0.2
# A supervised pipeline is patient with a dependency; somebody who waits at a terminal wants to be told.
PATIENCE_SECONDS = 600.0
FOREGROUND_PATIENCE_SECONDS = 15.0
REPORT_SECONDS = 0.25
DISK_LOOK_SECONDS = 1.0
PRUNE_SECONDS = 3600.0

# Who reads topics, and so may be behind.
_READERS = (*((stage.group, stage.topics) for stage in STAGES if stage.topics), (TALLY_GROUP, TALLY_TOPICS))


class Pipeline:
    """All stages over one data folder, whose lock the caller holds. Use it as a context manager."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        patience_seconds: float = PATIENCE_SECONDS,
        operations: Operations | None = None,
        listens: bool = False,
    ):
        """Open log, store and engine; nothing runs before `start`.

        Args:
            settings: the configuration.
            clock: the machine's by default.
            patience_seconds: how long a stage tries again.
            operations: what machines see of it; nothing by default.
            listens: whether it listens to the live sources that are enabled.

        Raises:
            ConfigError, Busy, BackendDown: what stands in the way.
        """
        self.settings = settings
        self._clock = clock or SystemClock()
        self._patience = patience_seconds
        self._running = ExitStack()
        self._stop = threading.Event()
        self._failure: ServiceError | None = None
        self._failed = threading.Event()
        self._threads: list[threading.Thread] = []
        self._replaying = threading.Lock()
        self._rematches = Rematches()
        # Brands whose rematch waits for its turn.
        self._asked: set[str] = set()
        self._listens = listens
        # Set by whoever wants the configuration read again at once.
        self.read_again = threading.Event()
        self._operations = operations
        self._observer = operations.watch if operations is not None else None
        require_one_process(
            settings, "`soundings ingest FILE` reads a file, `enrich`, `index` and `dashboard` do the rest"
        )
        self._folder = DataFolder(settings.data.dir)
        self._folder.create()
        file_source(settings, "-")
        self._log = open_log(settings, self._clock, role="pipeline")
        try:
            self.book = BrandBook(self._log, settings, writes=True)
            self.notices = self.book.notices
            if listens:
                self.book.require_brands()
            self._engine = build_engine(settings.engine)
            self._ingest = IngestStage(self._log, BrandMatcher(self.book.active), self._clock, self._observer)
            self._enrich = EnrichStage(self._engine, FastTextLanguage(), self._named(), self._clock)
            sources = live_sources(settings, self.book.active, self._clock) if listens else []
            runner = RunnerSettings(batch_items=BATCH_RECORDS, max_lag=MAX_LAG, downstream=_READERS)
            self.live = LiveSources(sources, settings, self._log, self._clock, runner, operations)
            self._store = open_store(settings, self._clock)
            meter = operations.meter if operations is not None else None
            self._engagement = refresher_of(settings, self._store, self._clock, meter) if listens else None
            files = [one for one in (self._log, self._store) if isinstance(one, EmbeddedLog | EmbeddedStore)]
            self._forgetting = Forgetting(self._log, self._store, self._clock, files=files)
            self._forget = ForgetHere(self._log, self._store, self._ingest, self._forgetting, self._clock, self.check)
            self._documents, self._alerting = self._alerts(meter) if listens else (None, None)
        except BaseException:
            self._log.close()
            raise

    def _alerts(self, meter: Meter | None) -> tuple[Documents | None, Alerting | None]:
        """Open what alerts are kept in, and build what looks at them; nothing where they are switched off."""
        if not self.settings.alerts.enabled:
            return None, None
        try:
            documents = open_documents(self.settings)
        except BackendDown as exc:
            # Listening is worth more than alerts: what is damaged here is told, and stops nothing else.
            log.error("alerts do not run: %s", exc)
            return None, None
        alerting = Alerting(
            self.settings,
            self._log,
            self._store,
            documents,
            lambda: self.book.active,
            self._clock,
            publish=alert_publisher(self._store),
            meter=meter,
            # Whoever writes to the data folder is one.
            holder="pipeline" if self.settings.store.kind == "embedded" else "",
        )
        return documents, alerting

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        """Start the stages."""
        self._running.enter_context(rare_collections())
        stages = (self._enrich, IndexStage(self._store, self._clock))
        worker = WorkerSettings(
            batch_records=BATCH_RECORDS, poll_seconds=POLL_SECONDS, retry_budget_seconds=self._patience
        )
        for stage in stages:
            run = Worker(self._log, stage, clock=self._clock, settings=worker, observer=self._observer).run
            self._begin(stage.name, lambda run=run: run(self._stop))  # type: ignore[misc]
        self._begin("tally", lambda: keep_tally(self._log, self._stop))
        self._begin("prune", self._prune)
        self._begin("brands", lambda: self.book.watch(self._stop, self._listen_for, again=self.read_again))
        self._begin("forgetting", partial(self._forgetting.run, self._stop))
        self._begin("events", lambda: mirror_events(self._log, self._store, None, self._stop))
        if self._engagement is not None:
            self._begin("engagement", partial(self._engagement.run, self._stop))
        if self._alerting is not None:
            self._begin("alerts", partial(self._alerting.run, self._stop))
        for source in self.live.sources:
            self._begin(f"source {source.name}", partial(self.live.listen, source, self._ingest, self._stop))
        if self.live.sources:
            self._begin("heartbeats", partial(self.live.beat, self._stop))
        if self._listens:
            self._go_on_rematching()
        if self._operations is not None:
            self._operations.opened(
                log=self._log,
                shown=STAGE_NAMES,
                store=self._store,
                documents=self._documents,
                model=self._engine.name,
                # The model was loaded, or we would not be here.
                parts={"engine": lambda: None},
                stages=(self.check,),
            )

    def _named(self) -> Mapping[str, Brand]:
        return {brand.brand_id: brand for brand in self.book.brands}

    def _listen_for(self, states: Sequence[BrandState]) -> None:
        """Put brands that changed into every part; each takes them at once, between two batches."""
        active = tuple(state.brand for state in states if not state.paused)
        # First the names: what is matched from here on finds them.
        self._enrich.name_by({state.brand.brand_id: state.brand for state in states})
        self._ingest.match_by(BrandMatcher(active))
        self.live.ask_for(active)
        self.settings = replace(self.settings, brands=self.book.file_brands)

    def change_brands(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Do what `service.brands.change` does; it holds for every part when this returns."""
        try:
            return change(self.book, request)
        finally:
            self.book.tell(self._listen_for)

    def _begin(self, name: str, work: Callable[[], object]) -> None:
        def guarded() -> None:
            try:
                work()
            except ServiceError as exc:
                self._fail(exc)
            except Exception:
                log.exception("stage %s failed on something that it did not expect", name)
                self._fail(BackendDown(f"stage {name} failed on something that it did not expect; see above"))

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _fail(self, error: ServiceError) -> None:
        if self._failure is None:
            self._failure = error
        self._failed.set()

    def _prune(self) -> None:
        retention = timedelta(days=self.settings.data.log_retention_days)
        while True:
            self._log.prune(retention, self._clock.now())
            if self._stop.wait(PRUNE_SECONDS):
                return

    def check(self) -> None:
        """Raise what ended a stage, if one ended."""
        if self._failure is not None:
            raise self._failure

    def wait(self, stop: threading.Event) -> None:
        """Block until `stop`.

        Raises:
            ServiceError: what ended a stage.
        """
        while not stop.wait(POLL_SECONDS):
            self.check()

    def close(self) -> None:
        """Let every stage finish its batch, then release the files."""
        self._stop.set()
        # Wakes whoever waits for it.
        self.read_again.set()
        for thread in self._threads:
            thread.join()
        if self._operations is not None:
            self._operations.let_go()
        self._running.close()
        if self._documents is not None:
            self._documents.close()
        self._store.close()
        self._log.close()

    # --- what commands ask for

    def replay(self, path: Path, report: Report, *, shown: str | None = None) -> dict[str, Any]:
        """Take a file through every stage to the end and give its books.

        Args:
            path: the file.
            report: told of progress; what it raises ends the replay, which can be resumed.
            shown: how the file is named to people; its path by default.

        Raises:
            Busy: another replay runs.
            ConfigError: the file cannot be read, no row of it maps, or too many are bad.
            BackendDown: a stage failed, or the disk is full; resumable.
        """
        if not self._replaying.acquire(blocking=False):
            raise Busy("the running pipeline replays another file; try again when that is done")
        try:
            return self._replay(path, report, shown or str(path))
        finally:
            self._replaying.release()

    def _replay(self, path: Path, report: Report, shown: str) -> dict[str, Any]:
        self.book.require_brands()
        require_room(self._folder.root, self.settings.data.disk_floor_mb)
        source = file_source(self.settings, str(path))
        # Opening it first: a file that cannot be read at all leaves no run behind.
        source.open(None).close()
        return self._read_to_end(source, source.settings.normalise, runs.begin(self._log, path), report, shown)

    def _read_to_end(
        self, source: Source, normalise: NormaliserSettings, run: runs.Run, report: Report, shown: str
    ) -> dict[str, Any]:
        """Take a source that ends through every stage and give the books of its run."""
        started = time.monotonic()
        watch = _Watch(self, report, source.name)
        with self._operations.reading(source.name) if self._operations is not None else nullcontext():
            result = run_source(
                source,
                Normaliser(source.name, normalise),
                self._ingest,
                self._log,
                self._clock,
                run=run.run_id,
                settings=RunnerSettings(batch_items=BATCH_RECORDS, max_lag=MAX_LAG, downstream=_READERS),
                on_progress=watch.read,
            )
        for group, topics in _READERS:
            while self._log.lag(group, topics) > 0:
                watch.look()
                self._clock.sleep(0.02)
        self.check()
        watch.done()
        # A past in which nobody wrote anything is no mistake of a mapping.
        unreadable = result.nothing_mapped and (run.is_file or result.books.read > 0)
        if unreadable:
            # The next attempt starts at the beginning, with a better mapping.
            runs.finish(self._log, run)
        if unreadable or result.flood is not None:
            refuse_the_unreadable(result, shown)
        self._store.refresh()
        books = run_books(
            self._log,
            self._store,
            run,
            file=shown,
            brands=self.book.brands,
            engine=self._engine.name,
            seconds=time.monotonic() - started,
        )
        if result.finished:
            # Last of all: whoever is cut off before it asks again and gets the same books.
            runs.finish(self._log, run)
        return books

    def retry(self, numbers: list[int] | None, report: Report) -> dict[str, Any]:
        """Take up dead letters again: those numbered, or all that are open.

        Returns:
            `retried`: outcome -> number, and `problems`: what stayed parked or cannot be retried, one line each.
        """

        def on_letter(done: int) -> None:
            self.check()
            report({"stages": {"retry": {"done": done, "total": None}}})

        answer = retry_letters(self._log, self._ingest, self.settings, self._clock, numbers, on_letter)
        for group, topics in _READERS:
            while self._log.lag(group, topics) > 0:
                self.check()
                self._clock.sleep(0.02)
        return answer

    def rematch(self, brand_id: str, report: Report) -> dict[str, Any]:
        """Hold the posts that are kept against a brand's query as it is now; see `service.rematching`.

        Where that goes on already, whoever asked for it, its progress and its answer are given; `joined` says so.

        Raises:
            Busy: another brand is held against them.
            ConfigError: there is no such brand, or it is paused.
        """
        return self._rematches.join(brand_id, report, self._rematch, self._going_on)

    def _rematch(self, brand_id: str, report: Report) -> dict[str, Any]:
        started = time.monotonic()

        def told(now: Standing) -> None:
            report({"stages": {"rematch": {"done": now.looked, "total": max(now.total, now.looked)}}})

        work = Rematch(brand_id, self.book, self._ingest, self._log, self._store, self._clock, self._going_on)
        end, resumed = work.run(told)
        self._caught_up()
        kept = kept_posts(self._store)
        return rematch_told(brand_id, end, resumed=resumed, seconds=time.monotonic() - started, kept=kept)

    def begin_rematch(self, brand_id: str) -> dict[str, Any]:
        """Rematch without anybody waiting for it; `service.rematching.standing` says how far it is.

        Raises:
            ConfigError: there is no such brand, or it is paused.
        """
        if self.book.state(brand_id).paused:
            raise ConfigError(f"brand {brand_id}: is paused; resume it first")

        def work() -> None:
            try:
                while (turn := self._rematches.take(brand_id)) is None:
                    self._going_on()
                    self._clock.sleep(POLL_SECONDS)
                # From here on the posts that were kept meanwhile are new again to whoever asks.
                self._asked.discard(brand_id)
                self._rematches.work(turn, self._rematch, lambda progress: None)
            except (ConfigError, Interrupted) as exc:
                log.warning("brand %s is not rematched: %s", brand_id, exc)
            finally:
                self._asked.discard(brand_id)

        if brand_id not in self._asked:
            self._asked.add(brand_id)
            self._begin(f"rematch {brand_id}", work)
        return {"brand_id": brand_id}

    def _go_on_rematching(self) -> None:
        """Go on with what was cut off."""
        names = [state.brand.brand_id for state in self.book.states if not state.paused]
        for brand_id, now in standings(self._log, names).items():
            if not now.done:
                self.begin_rematch(brand_id)

    def backfill(self, name: str, start: datetime, end: datetime, report: Report) -> dict[str, Any]:
        """Take what a live source has of `[start, end)` through every stage, and give its books.

        Raises:
            Busy: a replay or another backfill runs.
            ConfigError: the source has no past to ask for, or nothing of that time.
            BackendDown: a stage failed, or the disk is full; resumable.
        """
        self.book.require_brands()
        source, normalise = past_of(self.settings, self.book.active, name, start, end, self._clock)
        if not self._replaying.acquire(blocking=False):
            raise Busy("the running pipeline replays a file or fills up; try again when that is done")
        try:
            require_room(self._folder.root, self.settings.data.disk_floor_mb)
            run = runs.begin_span(self._log, name, start, end)
            shown = f"{name} from {start.isoformat()} to {end.isoformat()}"
            return self._read_to_end(source, normalise, run, report, shown)
        finally:
            self._replaying.release()

    def _going_on(self) -> None:
        self.check()
        if self._stop.is_set():
            raise Interrupted("the pipeline stops; it goes on when the same command runs again")

    def _caught_up(self) -> None:
        """Wait until the stages that read what we wrote have caught up, and what they stored can be found."""
        for group, topics in _READERS:
            while self._log.lag(group, topics) > 0:
                self._going_on()
                self._clock.sleep(0.02)
        self._store.refresh()

    def forget(self, request: ForgetRequest, report: Report) -> dict[str, Any]:
        """Retract what a person asks for, everywhere; see `service.forget_here`."""
        return self._forget.perform(request, report)

    def reindex(self, report: Report) -> dict[str, Any]:
        """Build the search index again from the truth."""
        started = time.monotonic()
        store = self._store
        if not isinstance(store, EmbeddedStore):
            raise ConfigError("reindex: Elasticsearch keeps its index itself; there is nothing to build again")

        def progress(done: int, total: int) -> None:
            report({"stages": {"reindex": {"done": done, "total": total}}})

        store.reindex(progress)
        return {"mentions": self._store.count(), "seconds": round(time.monotonic() - started, 3)}


class Interrupted(ServiceError):
    """The pipeline stops while something runs that goes on later."""


class _Watch:
    """Turns what a replay does into progress, looks after the disk, and notices a stage that ended."""

    def __init__(self, pipeline: Pipeline, report: Report, source: str) -> None:
        self._pipeline, self._report, self._source = pipeline, report, source
        self._items = 0
        self._total: int | None = None
        self._posts = self._base("enrich", Topic.POSTS.value)
        self._mentions = self._base("index", Topic.MENTIONS.value)
        self._reported = self._looked = 0.0

    def _base(self, group: str, topic: str) -> int:
        return self._pipeline._log.appended(topic) - self._pipeline._log.lag(group, (topic,))

    def read(self, progress: Progress) -> None:
        """Take note of how far reading has come."""
        operations = self._pipeline._operations
        if operations is not None and progress.items > self._items:
            operations.got(self._source)
        self._items = progress.items
        extent = progress.extent
        if extent is not None and extent.total is not None and extent.done:
            self._total = round(progress.items * extent.total / extent.done)
        self.look()

    def look(self) -> None:
        """Report now and then, and raise what must end the replay."""
        self._pipeline.check()
        now = time.monotonic()
        if now - self._looked >= DISK_LOOK_SECONDS:
            self._looked = now
            require_room(self._pipeline._folder.root, self._pipeline.settings.data.disk_floor_mb)
        if now - self._reported >= REPORT_SECONDS:
            self._reported = now
            self._report({"stages": self._stages()})

    def done(self) -> None:
        """Report the end."""
        self._total = self._items
        self._report({"stages": self._stages()})

    def _stages(self) -> Mapping[str, Mapping[str, int | None]]:
        pipeline = self._pipeline
        stages: dict[str, Mapping[str, int | None]] = {"read": {"done": self._items, "total": self._total}}
        for name, topic, base in (("enrich", "posts", self._posts), ("index", "mentions", self._mentions)):
            total = pipeline._log.appended(topic) - base
            stages[name] = {"done": total - pipeline._log.lag(name, (topic,)), "total": total}
        return stages


def refuse_the_unreadable(result: IngestResult, shown: str) -> None:
    """Make a wrong file or mapping loud.

    Raises:
        ConfigError: no row of it maps, or too many are bad.
    """
    advice = "`soundings try FILE` shows how it is read; see [source.file.columns]"
    if result.nothing_mapped and not result.books.read:
        raise ConfigError(f"{shown}: holds no row at all; expected posts, one a row")
    if result.nothing_mapped:
        why = ", ".join(f"{number:,} {reason}" for reason, number in sorted(result.books.reasons.items()))
        examples = [f"  such as {example}" for example in result.examples[:3]]
        raise ConfigError([f"{shown}: no row can be read as a post ({why}); {advice}", *examples])
    if result.flood is not None:
        examples = [f"  such as {example}" for example in result.examples[:3]]
        raise ConfigError(
            [
                f"{shown}: stopped, for {result.flood} could not be read; {advice}. What was read before is kept; the "
                "same command goes on after the bad rows, and `soundings dead-letters retry --all` takes them up again",
                *examples,
            ]
        )
