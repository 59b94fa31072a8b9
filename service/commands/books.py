"""`soundings books`: what became of every record, stage by stage."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings


def _arguments(parser: ArgumentParser) -> None:
    add_config(parser)
    add_data_dir(parser)
    parser.add_argument("--run", metavar="RUN", dest="of_run", help="the books of this run alone")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _run(options: Namespace) -> int:
    from service.books import overall, stage_lines
    from service.components import open_reader
    from service.settings_checks import nearest

    settings = load_settings(options)
    with open_reader(settings) as reader:
        known = sorted({count.run for count in reader.log.counts()})
        if options.of_run is not None and options.of_run not in known:
            hint = nearest(options.of_run, known) or f"; there are {', '.join(known[-5:]) or 'none'}"
            raise ConfigError(f"--run: found no run {options.of_run}{hint}")
        books = overall(reader.log, reader.store, options.of_run)
    if options.json:
        print(json.dumps(books))
        return 0
    print("\n".join(stage_lines(books["stages"])))
    print(f"  stored: {books['stored_total']:,} mentions; dead letters open: {books['dead_letters_open']:,}")
    return 0


COMMAND = Command(
    "books",
    "Show what became of every record, stage by stage.",
    "Read from durable counts, so the numbers are exact after any crash. Works beside a running pipeline.",
    _arguments,
    _run,
)
