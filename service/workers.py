"""The stages as processes of their own: each over the configured log and store, with its health port.

A worker that is told to stop finishes its batch, settles it, leaves its group and exits 0. One whose dependency is away
is not ready, tries again for ten minutes and exits 1, for whoever supervises it to start it again.
"""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from domain.brand import BrandState
from domain.clock import Clock, SystemClock
from domain.errors import BackendDown, ConfigError, RetryLater, ServiceError
from service.brands import BrandBook
from service.components import (
    alert_publisher,
    build_engine,
    health_index,
    open_documents,
    open_log,
    open_reader,
    open_store,
    require_cluster,
)
from service.engagement import refresher_of
from service.forgetting import Forgetting
from service.garbage import rare_collections
from service.listening import address_of, listen
from service.mirror import mirror_events, mirror_letters
from service.operations import Operations
from service.patience import BUDGET_SECONDS, Stopped, patiently
from service.settings import Settings
from service.stages import STAGE_NAMES, StageName
from service.terminal import announce
from stream.protocol import Log
from stream.stage import Stage
from stream.worker import Worker, WorkerSettings

log = logging.getLogger(__name__)

_T = TypeVar("_T")

BATCH_RECORDS = 512
POLL_SECONDS = 0.5


@dataclass(slots=True)
class Process:
    """What every worker has: when to stop, what machines see of it, and what is closed in the end."""

    settings: Settings
    role: str
    operations: Operations
    closing: ExitStack
    clock: Clock = field(default_factory=SystemClock)
    stop: threading.Event = field(default_factory=threading.Event)
    # The configuration is to be read again at once.
    read_again: threading.Event = field(default_factory=threading.Event)

    def open_log(self) -> Log:
        """Open the log, waiting for it.

        Raises:
            Stopped: told to stop meanwhile.
            ConfigError, Busy, BackendDown: as the log; BackendDown after ten minutes.
        """
        opened = self.patiently(lambda: open_log(self.settings, self.clock, role=self.role))
        return self.closing.enter_context(closing(opened))

    def patiently(self, call: Callable[[], _T]) -> _T:
        """Call until it succeeds, for ten minutes.

        Raises:
            Stopped: told to stop meanwhile.
            BackendDown: what it needs is still away.
        """
        return patiently(call, self.stop, self.clock)


def run_process(settings: Settings, role: str, stages: Sequence[StageName], work: Callable[[Process], None]) -> int:
    """Run a worker, whose log is configured, until it is told to stop or its work ends; gives the exit code 0.

    Args:
        settings: the configuration.
        role: what it is.
        stages: the stages that run in it.
        work: opens what it needs, tells `operations.opened`, and works until `stop`.

    Raises:
        ConfigError, Busy, BackendDown: what ended it.
    """
    if stages:
        require_cluster(settings)
    listening = listen(settings.health.host, settings.health.port, "health.port")
    with ExitStack() as opened, Operations(settings, role, stages, listening) as operations:
        process = Process(settings, role, operations, opened)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: process.stop.set())
        signal.signal(signal.SIGHUP, lambda *_: process.read_again.set())
        announce(f"soundings {role}: health and metrics at {address_of(listening)}/metrics")
        try:
            with suppress(Stopped), rare_collections():
                work(process)
        except ServiceError:
            raise
        except Exception as exc:
            # What it says may quote what somebody wrote; the log names type and place.
            log.exception("the %s worker failed on something that it did not expect", role)
            raise BackendDown(f"{role} failed on {type(exc).__name__}, which it did not expect; see its log") from exc
        finally:
            process.stop.set()
            process.read_again.set()
            # What it tells of is about to be closed.
            operations.let_go()
            opened.close()
    log.info("stopped")
    return 0


def enrich(process: Process) -> None:
    """Tag posts until told to stop."""
    from enrich.language import FastTextLanguage
    from enrich.stage import EnrichStage

    settings = process.settings
    engine = build_engine(settings.engine)
    stream = process.open_log()
    book = process.patiently(lambda: BrandBook(stream, settings, writes=False))
    book.require_brands()

    def look() -> None:
        book.look()
        book.tell(rename)

    brands = {brand.brand_id: brand for brand in book.brands}
    stage = EnrichStage(engine, FastTextLanguage(), brands, process.clock, unknown=look)

    def rename(states: Sequence[BrandState]) -> None:
        stage.name_by({state.brand.brand_id: state.brand for state in states})

    beside(process, "brands", lambda: book.watch(process.stop, rename, again=process.read_again))
    worker = _join(process, stream, stage)
    process.operations.opened(
        log=stream,
        shown=("enrich",),
        model=engine.name,
        # It was loaded, or we would not be here.
        parts={"engine": lambda: None},
        stages=(lambda: _check_joined(worker),),
    )
    worker.run(process.stop)


def index(process: Process) -> None:
    """Write mentions to the store until told to stop; to Elasticsearch also what Kibana shows of the pipeline."""
    from search.stage import IndexStage

    settings, clock = process.settings, process.clock
    store = process.patiently(lambda: open_store(settings, clock))
    process.closing.enter_context(closing(store))
    stream = process.open_log()
    worker = _join(process, stream, IndexStage(store, clock))
    process.operations.opened(log=stream, shown=("index",), store=store, stages=(lambda: _check_joined(worker),))
    health = health_index(store)
    beside(process, "mirror-events", partial(mirror_events, stream, store, health, process.stop))
    forgetting = Forgetting(stream, store, clock, health.write_letters if health is not None else None)
    beside(process, "forgetting", partial(forgetting.run, process.stop))
    engagement = refresher_of(settings, store, clock, process.operations.meter)
    if engagement is not None:
        beside(process, "engagement", partial(engagement.run, process.stop))
    if health is not None:
        beside(process, "mirror-letters", partial(mirror_letters, stream, health, process.stop))
    worker.run(process.stop)


def alert(process: Process) -> None:
    """Look at what is watched and tell whoever asked for it, until told to stop; one of several works at a time."""
    from service.alerting import Alerting

    settings, clock = process.settings, process.clock
    if not settings.alerts.enabled:
        raise ConfigError("alerts.enabled: is false, so there is nothing to do here")
    store = process.patiently(lambda: open_store(settings, clock, read_only=True))
    process.closing.enter_context(closing(store))
    documents = process.patiently(lambda: open_documents(settings))
    process.closing.enter_context(closing(documents))
    stream = process.open_log()
    book = process.patiently(lambda: BrandBook(stream, settings, writes=False))
    beside(process, "brands", lambda: book.watch(process.stop, lambda states: None, again=process.read_again))
    alerting = Alerting(
        settings,
        stream,
        store,
        documents,
        lambda: book.active,
        clock,
        publish=alert_publisher(store),
        meter=process.operations.meter,
    )
    process.operations.opened(log=stream, shown=(), store=store, documents=documents)
    alerting.run(process.stop)


def beside(process: Process, name: str, work: Callable[[], None]) -> None:
    """Run something beside the stage; it ends before log and store are closed."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    process.closing.callback(thread.join)


def dashboard(process: Process, listening: socket.socket) -> None:
    """Serve the page on a socket that listens already, until told to stop."""
    from service.web_server import WebServer

    settings = process.settings
    reader = process.patiently(lambda: process.closing.enter_context(open_reader(settings, role="dashboard")))
    address = address_of(listening)

    def ready() -> None:
        process.operations.opened(log=reader.log, shown=STAGE_NAMES, store=reader.store)
        announce(f"Soundings serves {address}")

    server = WebServer(reader.app(), ready)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    if not process.stop.is_set():
        server.serve(listening)


def _join(process: Process, stream: Log, stage: Stage) -> Worker:
    """Give the worker of a stage, a member of its group."""
    worker = WorkerSettings(batch_records=BATCH_RECORDS, poll_seconds=POLL_SECONDS, retry_budget_seconds=BUDGET_SECONDS)
    watch = process.operations.watch
    return process.patiently(lambda: Worker(stream, stage, clock=process.clock, settings=worker, observer=watch))


def _check_joined(worker: Worker) -> None:
    """See that the group knows the worker.

    Raises:
        RetryLater: it does not yet.
    """
    if not worker.joined():
        raise RetryLater("the group has not given this worker its share yet", 1.0)
