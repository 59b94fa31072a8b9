"""`soundings setup`: what log and store need before anything runs."""

from __future__ import annotations

import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import closing

from service.command import Command, add_config, add_data_dir, load_settings
from service.settings import Settings
from service.terminal import safe

# A broker and an Elasticsearch that are started together with us are up by then.
PATIENCE_SECONDS = 120.0


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)


def _run(options: Namespace) -> int:
    from domain.clock import SystemClock
    from service.patience import patiently

    settings = load_settings(options)
    for part in (_log, _store):

        def done() -> list[str]:
            return list(part(settings))  # noqa: B023  called at once

        for line in patiently(done, threading.Event(), SystemClock(), PATIENCE_SECONDS):
            print(safe(line), flush=True)
    return 0


def _log(settings: Settings) -> Iterator[str]:
    """Create the topics that are missing."""
    if settings.log.kind == "embedded":
        yield "log: a file in the data folder, which is made when it is needed"
        return
    from service.components import open_broker
    from stream.kafka_setup import prepare

    with closing(open_broker(settings)) as broker:
        prepared = prepare(broker, settings.kafka)
    for topic in prepared.created:
        yield f"topic {topic}: created"
    for finding in prepared.differing:
        yield f"note: {finding}"
    if not prepared.created:
        yield f"topics {settings.kafka.prefix}*: all there"


def _store(settings: Settings) -> Iterator[str]:
    """Install templates and make the indices that are always there."""
    if settings.store.kind == "embedded":
        yield "store: a folder in the data folder, which is made when it is needed"
        return
    from search.elastic_http import Elastic
    from search.elastic_setup import prepare

    with closing(Elastic(settings.elastic)) as elastic:
        yield from prepare(elastic, settings.elastic)


COMMAND = Command(
    "setup",
    "Make the topics, templates and indices that log and store need.",
    "Run it once before the first worker, and after each upgrade; running it again changes nothing. Indices that are\n"
    "there are given new fields, replicas and refresh interval; what else differs is told and left as it is. Needs\n"
    "more rights than any worker. Waits two minutes for what is starting.",
    _arguments,
    _run,
)
