"""`soundings replay`: a file through every stage to the end, and its books."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, add_engine, load_settings
from service.terminal import safe

if TYPE_CHECKING:
    from service.settings import Settings

STDIN = "-"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="JSON lines, CSV or TSV, plain or gzipped; - is standard input")
    add_config(parser)
    add_data_dir(parser)
    add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print the books as one JSON object")


def request(settings: Settings, path: Path, shown: str, engine: str | None) -> dict[str, Any]:
    """Give what to ask of a running pipeline."""
    from service.settings import fingerprint

    return {
        "command": "replay",
        "path": str(path.resolve()),
        "shown": shown,
        "engine": engine,
        "settings": fingerprint(settings) if settings.origin is not None else None,
    }


def _run(options: Namespace) -> int:
    from service.access import perform
    from service.books import summary
    from service.components import require_one_process
    from service.data_folder import DataFolder
    from service.spool import spooled

    settings = load_settings(options)
    require_one_process(settings, "`soundings ingest FILE`")
    if not DataFolder(settings.data.dir).log.exists():
        # No pipeline ran there yet, so the brands must be ours; told before the folder is made.
        settings = load_settings(options, brands=True)
        settings.require_brands()
    given = Path(options.file)
    keep: AbstractContextManager[Path]
    if options.file == STDIN:
        keep = spooled(sys.stdin.buffer, DataFolder(settings.data.dir), settings.data.disk_floor_mb)
    elif given.is_dir():
        raise ConfigError(f"{given}: found a folder, expected a file")
    elif given.exists() and not given.is_file():
        # A named pipe can be read once only; a run reads its file to name it, and again when it goes on.
        keep = spooled(given.open("rb"), DataFolder(settings.data.dir), settings.data.disk_floor_mb)
    elif given.exists():
        keep = nullcontext(given)
    else:
        raise ConfigError(f"{given}: there is no such file; looked in {given.resolve().parent}")
    with keep as path:
        shown = "standard input" if options.file == STDIN else str(given)
        books = perform(
            settings,
            "replay",
            request(settings, path, shown, options.engine),
            lambda pipeline, report: pipeline.replay(path, report, shown=shown),
        )
    print(json.dumps(books) if options.json else "\n".join(map(safe, summary(books))))
    return 0


COMMAND = Command(
    "replay",
    "Take a file through every stage to the end, and print its books.",
    "Killed at any moment, the same command goes on where it was and ends with the same books. A finished file again\n"
    "is a new run: all of it is duplicate or filtered, and nothing is added. Exit code 2 when no row can be read as a\n"
    "post. When a pipeline runs on the data folder (`soundings up`), that one does the work.",
    _arguments,
    _run,
)
