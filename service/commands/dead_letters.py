"""`soundings dead-letters`: what could not be processed, why, and once more."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings, positive
from service.terminal import complain, safe, table

# The beginning says what a record is; the whole of 16 MiB on a terminal helps nobody.
_SHOWN_BYTES = 4_000


def _arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    listed = actions.add_parser("list", help="list dead letters", description="List dead letters, oldest first.")
    listed.add_argument("--all", action="store_true", dest="resolved", help="those dealt with too")
    listed.add_argument("--run", metavar="RUN", dest="of_run", help="of this run alone")
    listed.add_argument("--after", type=positive, default=0, metavar="N", help="with a number above N")
    listed.add_argument("--limit", type=positive, default=50, metavar="N", help="at most N (default 50)")
    listed.add_argument("--json", action="store_true", help="print one JSON object a line")
    listed.set_defaults(action=_list)
    shown = actions.add_parser(
        "show", help="show one dead letter", description="Show one dead letter with its payload."
    )
    shown.add_argument("number", type=positive, metavar="N", help="number of the dead letter")
    shown.add_argument("--raw", action="store_true", help="write the payload's bytes as they are to standard output")
    shown.set_defaults(action=_show)
    retried = actions.add_parser(
        "retry", help="take dead letters up again", description="Take dead letters up again, as configured now."
    )
    retried.add_argument("numbers", type=positive, nargs="*", metavar="N", help="number of a dead letter")
    retried.add_argument("--all", action="store_true", dest="every", help="all that are open")
    retried.set_defaults(action=_retry)
    for action in (listed, shown, retried):
        add_config(action)
        add_data_dir(action)


def _run(options: Namespace) -> int:
    code: int = options.action(options)
    return code


def _list(options: Namespace) -> int:
    from service.components import open_reader
    from stream.protocol import RETRACTED, WHAT_IS_GONE

    with open_reader(load_settings(options)) as reader:
        rows = reader.log.dead_letters(
            after=options.after, limit=options.limit + 1, run=options.of_run, unresolved_only=not options.resolved
        )
    more, rows = len(rows) > options.limit, rows[: options.limit]
    for row in rows:
        letter = row.letter
        facts: dict[str, Any] = {
            "number": row.number,
            "stage": letter.stage,
            "reason": letter.reason,
            "position": letter.position,
            "detail": letter.detail,
            "parked_at": letter.parked_at.isoformat(),
            "run": letter.run,
            "payload_bytes": letter.payload_bytes,
            "resolution": row.resolution,
        }
        if options.json:
            print(json.dumps(facts))
        else:
            said = f"{letter.detail} ({row.resolution})" if row.resolution else letter.detail
            if row.resolution == RETRACTED:
                said = f"({WHAT_IS_GONE})"
            print(safe(f"{row.number:>6}  {letter.stage:<7} {letter.reason:<14} {letter.position}: {said}"))
    if not options.json:
        if not rows:
            print("No dead letters.")
        elif more:
            print(f"More: soundings dead-letters list --after {rows[-1].number}")
    return 0


def _show(options: Namespace) -> int:
    from service.components import open_reader

    with open_reader(load_settings(options)) as reader:
        row = reader.log.dead_letter(options.number)
    if row is None:
        raise ConfigError(f"there is no dead letter {options.number}; `soundings dead-letters list` shows them")
    letter = row.letter
    if options.raw:
        sys.stdout.buffer.write(letter.payload)
        sys.stdout.buffer.flush()
        return 0
    facts = [
        ("number", str(row.number)),
        ("stage", letter.stage),
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("position", letter.position),
        ("source", letter.source or "unknown"),
        ("post", letter.post_id or "unknown"),
        ("run", letter.run),
        ("parked", letter.parked_at.isoformat()),
        ("state", f"{row.resolution} at {row.resolved_at.isoformat()}" if row.resolved_at else "open"),
        ("payload", f"{letter.payload_bytes:,} bytes, SHA-256 {letter.payload_sha256}"),
    ]
    print("\n".join(table([(name, safe(value)) for name, value in facts], indent="")))
    print()
    for line in letter.payload[:_SHOWN_BYTES].decode("utf-8", "replace").splitlines():
        print(safe(line))
    if len(letter.payload) > _SHOWN_BYTES:
        print(f"… {letter.payload_bytes - _SHOWN_BYTES:,} bytes more; --raw writes what is kept")
    return 0


def _retry(options: Namespace) -> int:
    from service.access import perform
    from service.data_folder import DataFolder

    if bool(options.numbers) == options.every:
        raise ConfigError("retry: expected the numbers of dead letters, or --all")
    settings = load_settings(options)
    numbers = None if options.every else options.numbers
    if settings.log.kind != "embedded":
        from service.retrying import retry_on_cluster

        answer: Mapping[str, Any] = retry_on_cluster(settings, numbers)
    else:
        DataFolder(settings.data.dir).require()
        answer = perform(
            settings,
            "retry",
            {"command": "retry", "numbers": numbers},
            lambda pipeline, report: pipeline.retry(numbers, report),
        )
    outcomes = ", ".join(f"{number:,} {outcome}" for outcome, number in answer["retried"].items()) or "none"
    print(f"Taken up again: {outcomes}.")
    complain(answer["problems"])
    return 1 if answer["problems"] else 0


COMMAND = Command(
    "dead-letters",
    "List, show and retry records that could not be processed.",
    "A dead letter keeps the whole record with who, when, what and where. Retried, its new outcome takes the place of\n"
    "`parked` in the books of its run. Exit code 1 when a retried one stays parked; 2 when there is no letter of a\n"
    "number, and then none is taken up.",
    _arguments,
    _run,
)
