"""`soundings backfill`: take what a source has of the past through every stage."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from datetime import UTC, datetime, timedelta

from service.command import Command, add_config, add_data_dir, add_engine, load_settings
from service.terminal import safe


def _moment(text: str) -> datetime:
    """Read a date or a time; without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"found {text!a}, expected a date such as 2026-03-01, or a time") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _end(text: str) -> datetime:
    """Read the end; a date is included."""
    moment = _moment(text)
    return moment + timedelta(days=1) if len(text) == len("2026-03-01") else moment


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--source", required=True, metavar="NAME", help="a live source that has a past to ask for")
    parser.add_argument(
        "--from", required=True, dest="start", type=_moment, metavar="TIME", help="a date or time, in UTC"
    )
    parser.add_argument(
        "--to", required=True, dest="end", type=_end, metavar="TIME", help="a date, included, or a time"
    )
    add_config(parser)
    add_data_dir(parser)
    add_engine(parser)
    parser.add_argument("--json", action="store_true", help="print the books as one JSON object")


def _run(options: Namespace) -> int:
    from domain.clock import SystemClock
    from service.access import perform
    from service.books import summary
    from service.data_folder import DataFolder
    from service.past import past_of, require_past

    # First of all: what no setting can mend is told before settings are asked for.
    require_past(options.source, options.start, options.end, SystemClock())
    settings = load_settings(options, brands=True)
    if settings.log.kind == "embedded" and not DataFolder(settings.data.dir).log.exists():
        # No brand was made there yet; told before the folder is made.
        settings.require_brands()
    # Before anything is opened: what it lacks is told to whoever stands here.
    past_of(settings, settings.brands, options.source, options.start, options.end, SystemClock())
    if settings.log.kind != "embedded":
        from service.cluster_tasks import backfill_on_cluster

        done = backfill_on_cluster(settings, options.source, options.start, options.end)
        print(json.dumps(done) if options.json else ", ".join(f"{name} {number}" for name, number in done.items()))
        return 0
    request = {
        "command": "backfill",
        "source": options.source,
        "start": options.start.isoformat(),
        "end": options.end.isoformat(),
    }
    books = perform(
        settings,
        "backfill",
        request,
        lambda pipeline, report: pipeline.backfill(options.source, options.start, options.end, report),
    )
    print(json.dumps(books) if options.json else "\n".join(map(safe, summary(books))))
    return 0


COMMAND = Command(
    "backfill",
    "Take what a source has of the past through every stage, and print its books.",
    "The source need not be enabled. What comes is marked as backfilled and raises no alert. Killed at any moment,\n"
    "the same command goes on where it was; finished, it is a new run in which all is duplicate or filtered. A source\n"
    "that gives only what is new says so.",
    _arguments,
    _run,
)
