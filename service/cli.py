"""The command line: finds the command, runs it, and turns errors into one clear line and an exit code.

Exit codes: 0 done; 1 a dependency failed or the disk filled up, the same command may work later, or a part was not done
or not found, as the command says; 2 the operator must mend something (arguments, configuration, a busy port, a locked
or full folder, a file or backup that is unreadable or damaged); 130 interrupted.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import NoReturn

from domain.errors import Busy, ConfigError, QueryError, ServiceError
from service.command import Command
from service.commands import (
    alerts,
    backfill,
    backup,
    books,
    brands,
    check,
    dead_letters,
    doctor,
    evaluate,
    init,
    months,
    preview,
    reindex,
    rematch,
    replay,
    retractions,
    search,
    setup,
    tag,
    trace,
    train,
    transfer,
    try_file,
    up,
    workers,
)
from service.terminal import caret, complain, safe, shorten
from service.version import version

COMMANDS: tuple[Command, ...] = (
    up.COMMAND,
    replay.COMMAND,
    try_file.COMMAND,
    tag.COMMAND,
    search.COMMAND,
    books.COMMAND,
    init.COMMAND,
    check.COMMAND,
    brands.COMMAND,
    preview.COMMAND,
    rematch.COMMAND,
    backfill.COMMAND,
    alerts.COMMAND,
    dead_letters.COMMAND,
    trace.COMMAND,
    retractions.FORGET,
    retractions.RETRACTIONS,
    reindex.COMMAND,
    transfer.EXPORT,
    transfer.IMPORT,
    backup.BACKUP,
    backup.RESTORE,
    evaluate.COMMAND,
    train.COMMAND,
    setup.COMMAND,
    doctor.COMMAND,
    months.MIGRATE,
    months.DROP_MONTHS,
    workers.INGEST,
    workers.ENRICH,
    workers.INDEX,
    workers.ALERT,
    workers.DASHBOARD,
)

EXIT_FAILED = 1
EXIT_OPERATOR = 2
EXIT_INTERRUPTED = 130
_PATH_WIDTH = 200


class _Parser(ArgumentParser):
    """argparse repeats arguments in its errors."""

    def error(self, message: str) -> NoReturn:
        super().error(safe(message))


def build_parser() -> ArgumentParser:
    """Build the parser of all commands."""
    parser = _Parser(
        prog="soundings",
        description="Listen to what people say about brands: posts in, tagged mentions out, found again, nothing lost.",
    )
    parser.add_argument("--version", action="version", version=f"soundings {version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = commands.add_parser(
            command.name,
            help=command.summary,
            description=f"{command.summary}\n\n{command.description}",
            formatter_class=RawDescriptionHelpFormatter,
        )
        command.arguments(added)
        added.set_defaults(run=command.run)
    return parser


def _query_last(arguments: list[str]) -> list[str]:
    """Let a query begin with a minus, as in `search -giveaway`: these commands have no short option but -h."""
    dashed = [place for place, text in enumerate(arguments) if re.match(r"-[^-]", text) and text != "-h"]
    if arguments[:1] not in (["search"], ["preview"]) or "--" in arguments or len(dashed) != 1:
        return arguments
    (place,) = dashed
    return [*arguments[:place], *arguments[place + 1 :], "--", arguments[place]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    options = build_parser().parse_args(_query_last(list(sys.argv[1:] if arguments is None else arguments)))
    try:
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except QueryError as exc:
        return _fail(caret(exc), EXIT_OPERATOR)
    except ConfigError as exc:
        return _fail(exc.problems, EXIT_OPERATOR)
    except Busy as exc:
        return _fail([str(exc)], EXIT_OPERATOR)
    except ServiceError as exc:
        return _fail([str(exc)], EXIT_FAILED)
    except KeyboardInterrupt:
        return _fail(["interrupted; nothing is lost: run the same command again to go on"], EXIT_INTERRUPTED)
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as exc:
        if exc.filename is not None:
            # A path that cannot even be looked up: a name too long, a folder above it that may not be entered.
            return _fail([f"{shorten(str(exc.filename), _PATH_WIDTH)[0]}: {exc.strerror}"], EXIT_OPERATOR)
        # The rooms translate their own: what comes this far is our output that cannot be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail([f"cannot write the output: {exc.strerror or exc}"], EXIT_FAILED)


def _fail(lines: Sequence[str], code: int) -> int:
    complain(lines, logging.ERROR)
    return code


if __name__ == "__main__":
    sys.exit(main())
