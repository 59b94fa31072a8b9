"""`soundings ingest | enrich | index | alert | dashboard`: each stage, and the page, as a process of its own."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, add_engine, load_settings
from service.listening import listen, port_number
from service.settings import Settings
from service.terminal import complain

_ENDS = (
    "SIGTERM or Ctrl-C ends it after the batch at hand, with exit code 0. What it needs and does not find (log,\n"
    "store) is tried again for ten minutes, then it ends with exit code 1. `/readyz` on the health port says whether\n"
    "it is ready."
)


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument(
        "--health-port", type=port_number, metavar="PORT", help="port of /readyz and /metrics, 0 for a free one"
    )


def _settings(options: Namespace, role: str, *, brands: bool = False) -> Settings:
    """Read the configuration, and write the log as it says from here on."""
    from service.logs import configure_logging

    settings = load_settings(options, brands=brands)
    configure_logging(settings.logging, role)
    return settings


def _ingest_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", metavar="FILE", help="file to read, each worker the same")
    _arguments(parser)


def _ingest(options: Namespace) -> int:
    from service.ingest_worker import check_files, ingest
    from service.workers import run_process

    settings = _settings(options, "ingest", brands=True)
    check_files(options.files)
    return run_process(settings, "ingest", ["ingest"], lambda process: ingest(process, options.files))


def _enrich_arguments(parser: ArgumentParser) -> None:
    _arguments(parser)
    add_engine(parser)


def _enrich(options: Namespace) -> int:
    from service.workers import enrich, run_process

    return run_process(_settings(options, "enrich", brands=True), "enrich", ["enrich"], enrich)


def _index(options: Namespace) -> int:
    from service.workers import index, run_process

    return run_process(_settings(options, "index"), "index", ["index"], index)


def _dashboard_arguments(parser: ArgumentParser) -> None:
    _arguments(parser)
    parser.add_argument("--host", help="address to listen on (else web.host, else 127.0.0.1)")
    parser.add_argument(
        "--port", type=port_number, help="port to listen on, 0 for a free one (else web.port, else 8000)"
    )


def _dashboard(options: Namespace) -> int:
    from service.web_access import access_notes, access_problems
    from service.workers import dashboard, run_process

    settings = _settings(options, "dashboard")
    if problems := access_problems(settings.web):
        raise ConfigError(problems)
    complain(access_notes(settings.web))
    # Both ports are taken before either is told.
    with listen(settings.web.host, settings.web.port) as listening:
        return run_process(settings, "dashboard", [], lambda process: dashboard(process, listening))


def _alert(options: Namespace) -> int:
    from service.components import require_cluster
    from service.workers import alert, run_process

    settings = _settings(options, "alert")
    require_cluster(settings)
    return run_process(settings, "alert", [], alert)


INGEST = Command(
    "ingest",
    "Read sources into the log, as a worker of a cluster.",
    "Needs a log that machines share (log.kind = kafka). A source is read by one worker at a time; the others stand\n"
    "by, and one of them goes on where it was within half a minute when it dies. With FILEs it ends when they are\n"
    f"read, else it stays. {_ENDS}",
    _ingest_arguments,
    _ingest,
)
ENRICH = Command(
    "enrich",
    "Tag posts, as a worker of a cluster.",
    "Reads posts from the log and writes mentions to it; start more of them to share the work, up to one a partition.\n"
    + _ENDS,
    _enrich_arguments,
    _enrich,
)
INDEX = Command(
    "index",
    "Write mentions to the store, as a worker of a cluster.",
    "Start more of them to share the work, up to one a partition. Over Elasticsearch it also copies health documents\n"
    f"and dead letters (without text) for Kibana. {_ENDS}",
    _arguments,
    _index,
)
ALERT = Command(
    "alert",
    "Look at what is watched and tell subscribers, as a worker of a cluster.",
    "Start two of them: one works, the other goes on a minute and a half after it died. Nobody is told twice.\n"
    + _ENDS,
    _arguments,
    _alert,
)
DASHBOARD = Command(
    "dashboard",
    "Serve the page alone, over the configured log and store.",
    f"Only reads, so start as many as you like. {_ENDS}",
    _dashboard_arguments,
    _dashboard,
)
