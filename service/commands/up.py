"""`soundings up`: the pipeline and the page, kept running."""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from domain.errors import BackendDown, Busy, ConfigError, ServiceError
from service.command import Command, add_config, add_data_dir, add_engine, load_settings
from service.data_folder import ORPHAN_SECONDS
from service.listening import address_of, listen, port_number
from service.terminal import complain, safe

if TYPE_CHECKING:
    from domain.brand import Brand
    from service.data_folder import FolderLock
    from service.settings import Settings
    from service.supervisor import Supervisor

# Before an interrupted replay is asked for again.
_AGAIN_SECONDS = 2.0
# Brands that are named when it starts.
_MOST_NAMED = 5


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)
    add_engine(parser)
    parser.add_argument(
        "--brand",
        action="append",
        metavar="NAME",
        help="listen for this name, without a configuration: to the sources that need no key; may be repeated",
    )
    parser.add_argument("--replay", type=Path, metavar="FILE", help="replay this file once it runs, then keep serving")
    parser.add_argument("--host", help="address to listen on (else web.host, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=port_number, help="port to listen on, 0 for a free one (else web.port, else 8000)"
    )


def _replay(path: Path, settings: Settings, supervisor: Supervisor) -> None:
    """Have the pipeline replay a file; again after the pipeline was restarted, until it is done."""
    from service.books import summary
    from service.commands.replay import request
    from service.control import ControlClient
    from service.progress import progress_view

    while not supervisor.stopping.is_set():
        client = ControlClient.connect(settings.data.dir)
        if client is None:
            supervisor.stopping.wait(0.2)
            continue
        try:
            with progress_view("replay") as view:
                books = client.ask(request(settings, path, str(path), None), view.update)
        except ConfigError as exc:
            complain(exc.problems)
            return
        except ServiceError as exc:
            # The pipeline went away, or has no room; the run goes on where it was when it is back.
            if not supervisor.stopping.is_set():
                complain([str(exc)])
            supervisor.stopping.wait(_AGAIN_SECONDS)
            continue
        finally:
            client.close()
        print("\n".join(map(safe, summary(books))), flush=True)
        return


def _run(options: Namespace) -> int:
    from domain.clock import SystemClock
    from service.channels import channel_warnings, routes
    from service.child import Task
    from service.components import live_sources, require_one_process
    from service.data_folder import DataFolder, FolderLock, require_room
    from service.logs import configure_logging
    from service.supervisor import ChildSpec, Supervisor
    from service.web_access import access_notes, access_problems

    settings, brands = _settings(options)
    configure_logging(settings.logging, "up")
    require_one_process(settings, "`soundings ingest`, `enrich`, `index` and `dashboard`")
    problems = access_problems(settings.web)
    if problems:
        raise ConfigError(problems)
    complain(access_notes(settings.web))
    replay: Path | None = options.replay
    if replay is not None and not replay.is_file():
        raise ConfigError(f"{replay}: there is no such file; --replay needs one that can be read again")
    # Before anything runs: a missing key or secret is told to whoever stands here.
    live_sources(settings, brands, SystemClock())
    if settings.alerts.enabled:
        routes(settings.alerts.channels, settings.web.public_url, SystemClock())
        complain(channel_warnings(settings.alerts))
    folder = DataFolder(settings.data.dir)
    folder.create()
    try:
        require_room(folder.root, settings.data.disk_floor_mb)
    except BackendDown as exc:
        # Starting a pipeline again and again makes no room.
        raise ConfigError(str(exc)) from exc
    with (
        FolderLock.take(folder) as lock,
        _listen(lock, settings.web.host, settings.web.port) as listening,
        _listen(lock, settings.health.host, settings.health.port, "health.port") as health,
    ):
        supervisor = Supervisor(
            [
                ChildSpec("pipeline", Task(settings, health.fileno()).encode(), (lock.descriptor, health.fileno())),
                # The page reads what the pipeline makes, so it waits for it once.
                ChildSpec("web", Task(settings, listening.fileno()).encode(), (listening.fileno(),), after="pipeline"),
            ]
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stop())
        # Of a terminal it says that whoever stood there is gone; of a service, that its configuration changed.
        at_terminal = sys.stdin is not None and sys.stdin.isatty()
        hung_up = supervisor.stop if at_terminal else supervisor.read_again
        signal.signal(signal.SIGHUP, lambda *_: hung_up())
        lines = (
            f"Soundings serves {address_of(listening)} (data in {safe(str(settings.data.dir))}; Ctrl-C stops it)",
            f"Health and metrics: {address_of(health)}/metrics",
            *_listens_to(settings, brands),
        )
        threading.Thread(target=_announce, args=(supervisor, lines), daemon=True).start()
        if replay is not None:
            threading.Thread(target=_replay, args=(replay, settings, supervisor), daemon=True).start()
        code = supervisor.run()
    if code == 0:
        print("Soundings stopped; everything is kept in the data folder.", flush=True)
    return code


def _listen(lock: FolderLock, host: str, port: int, setting: str = "web.port") -> socket.socket:
    """Take a port; where children of a supervisor that was killed have it still, in a moment."""
    until = time.monotonic() + (ORPHAN_SECONDS if lock.waited else 0.0)
    while True:
        try:
            return listen(host, port, setting)
        except Busy:
            if time.monotonic() >= until:
                raise
            time.sleep(0.2)


def _settings(options: Namespace) -> tuple[Settings, Sequence[Brand]]:
    """Read the configuration, or make one of the names given; with all brands that are matched.

    Where no configuration names a brand, the sources that need no key are listened to.
    """
    from service.brand_desk import brand_states
    from service.data_folder import DataFolder

    settings = _named(options) if options.brand else load_settings(options, brands=True)
    if not settings.brands and not DataFolder(settings.data.dir).log.is_file():
        settings.require_brands()
    states = brand_states(settings)
    if not states:
        settings.require_brands()
    if options.brand or settings.origin is None:
        from service.sources import KEYLESS

        settings = replace(settings, sources=replace(settings.sources, enabled=settings.sources.enabled or KEYLESS))
    return settings, [state.brand for state in states if not state.paused]


def _named(options: Namespace) -> Settings:
    from service.brand_check import query_problems
    from service.commands.init import brands_named

    settings = load_settings(options)
    if settings.brands:
        raise ConfigError(
            f"--brand: {settings.origin} has brands of its own: leave --brand out, or name another file with --config"
        )
    brands = brands_named(options.brand)
    if problems := [problem for brand in brands for problem in query_problems(brand)]:
        raise ConfigError(problems)
    return replace(settings, brands=brands)


def _listens_to(settings: Settings, brands: Sequence[Brand]) -> list[str]:
    """Say to what and for what, also what was made by command, page or API."""
    if not settings.sources.enabled:
        return []
    shown = [safe(brand.name) for brand in brands[:_MOST_NAMED]]
    if len(brands) > _MOST_NAMED:
        shown.append(f"{len(brands) - _MOST_NAMED:,} more")
    return [f"Listening to {', '.join(settings.sources.enabled)} for {', '.join(shown) or 'no brand: all are paused'}"]


def _announce(supervisor: Supervisor, lines: Sequence[str]) -> None:
    ready = supervisor.ready("web")
    while not supervisor.stopping.is_set():
        if ready.wait(0.2):
            print("\n".join(lines), flush=True)
            return


COMMAND = Command(
    "up",
    "Run the pipeline and serve the page, until stopped.",
    "Two processes over one data folder: the pipeline (all stages, the only writer) and the page (reader). Each is\n"
    "started again when it fails. SIGTERM or Ctrl-C stops both. The brands of the configuration are read again by\n"
    "themselves when the file changes, and at once on SIGHUP.",
    _arguments,
    _run,
)
