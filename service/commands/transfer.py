"""`soundings export` and `soundings import`: a whole store as one file, and out of it into a store of either kind."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast

from domain.documents import Document, Documents
from domain.errors import ConfigError
from domain.records import AuthorRetraction, Mention, Restoration, Withdrawal
from service.command import Command, add_config, add_data_dir, load_settings
from service.settings import Settings
from service.terminal import complain, safe, shorten

if TYPE_CHECKING:
    from search.transfer import Copied, Refused, Transferable
    from stream.protocol import Log

_SHOWN = 20
_SUBJECT_WIDTH = 200


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="file to write, lines of JSON, gzipped if its name ends in .gz; must not exist; - is standard output",
    )
    add_config(parser)
    add_data_dir(parser)


def _export(options: Namespace) -> int:
    from domain.clock import SystemClock
    from search.export_file import write_export, write_lines
    from search.transfer import dump_documents
    from service.alert_transfer import MOVED
    from service.components import open_store
    from service.progress import progress_view, tell_stage

    settings = load_settings(options)
    to_output = str(options.file) == "-"
    if to_output and sys.stdout.isatty():
        raise ConfigError("export: standard output is a terminal; name a file, or send it on with `| ...` or `> FILE`")
    # Looked at again when it is whole; who waited for that should not learn it then only.
    if not to_output and options.file.exists():
        raise ConfigError(f"{options.file} exists: nothing is overwritten, choose another name")
    # Over Elasticsearch opened as by a writer: that looks whether anything of ours is there.
    with (
        closing(open_store(settings, SystemClock(), read_only=settings.store.kind == "embedded")) as store,
        _documents(settings) as documents,
        progress_view("export") as view,
    ):
        of_alerts = dump_documents(documents, MOVED) if documents is not None else ()
        pieces, told = chain(_transferable(store).dump(), of_alerts), tell_stage(view, "pieces")
        if to_output:
            copied = write_lines(pieces, sys.stdout.buffer, told)
        else:
            copied = write_export(pieces, options.file, told)
    if to_output:
        complain([f"wrote {_pieces(copied)}"])
    else:
        print(f"Wrote {_pieces(copied)} to {safe(str(options.file))}.")
    return 0


@contextmanager
def _documents(settings: Settings) -> Iterator[Documents | None]:
    """Open what alerts keep, where there is something."""
    from service.components import open_documents
    from service.data_folder import DataFolder

    if settings.store.kind == "embedded" and not DataFolder(settings.data.dir).alerts.is_file():
        yield None
        return
    with closing(open_documents(settings)) as documents:
        yield documents


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file that `soundings export` wrote")
    add_config(parser)
    add_data_dir(parser)


def _import(options: Namespace) -> int:
    from domain.clock import SystemClock
    from ingest.known_gone import noting
    from search.export_file import FIRST_LINE, read_export
    from search.transfer import copy
    from service.components import open_documents, open_log, open_store
    from service.data_folder import DataFolder, FolderLock
    from service.progress import progress_view, tell_stage

    settings = load_settings(options)
    if not options.file.is_file():
        found = "is no file" if options.file.exists() else "there is no such file"
        raise ConfigError(f"{options.file}: {found}; expected one that `soundings export` wrote (it is read twice)")
    kinds = _kinds(options.file)
    log: Log | None = None
    with ExitStack() as stack:
        if settings.store.kind == "embedded":
            stack.enter_context(FolderLock.take(DataFolder(settings.data.dir)))
            if settings.log.kind == "embedded":
                # A folder has both: whoever reads it asks the log too.
                log = stack.enter_context(closing(open_log(settings, SystemClock(), role="import")))
        store = stack.enter_context(closing(open_store(settings, SystemClock())))
        documents = stack.enter_context(closing(open_documents(settings))) if kinds else None
        if documents is not None:
            for kind in kinds:
                # Whoever may not read them is told before anything is written.
                documents.get(kind, ["none"])
        with progress_view("import") as view:
            pieces = read_export(options.file)
            # What must not come back is kept out by the ledger of ingest too, where it is ours alone.
            known = pieces if log is None else noting(log, pieces)
            copied = copy(known, _transferable(store), tell_stage(view, "pieces"), documents=documents)
        store.refresh()
    print(f"Read {_pieces(copied)}: {copied.stored:,} stored, {copied.known:,} known already or forbidden.")
    if copied.refused:
        complain(_refusal(options.file, one, FIRST_LINE) for one in copied.refused[:_SHOWN])
        complain([f"{len(copied.refused):,} records were refused; the others are in"])
        return 1
    return 0


def _kinds(file: Path) -> set[str]:
    """Read a file to its end, and give the kinds of documents of alerts in it.

    Whether it is whole is known at its last line only, and then it would be half in.

    Raises:
        ConfigError: it is not.
    """
    from search.export_file import read_export
    from service.progress import progress_view, tell_stage

    kinds = set()
    with progress_view("check") as view:
        told = tell_stage(view, "pieces")
        for number, piece in enumerate(read_export(file), start=1):
            if isinstance(piece, Document):
                kinds.add(piece.kind)
            told(number)
    return kinds


def _refusal(file: Path, refused: Refused, first_line: int) -> str:
    record = refused.record
    if isinstance(record, AuthorRetraction | Restoration) and not getattr(record, "post_id", None):
        subject = f"author {record.author_key!r}"
    else:
        subject = f"post {getattr(record, 'post_id', '')!r}"
    if isinstance(record, Mention | Withdrawal):
        subject = f"mention {record.mention_id!r} of {subject}"
    # What an id says may be as long as it likes.
    shown = shorten(subject, _SUBJECT_WIDTH)[0]
    return f"{file}, line {refused.number - 1 + first_line}: {shown}: refused: {refused.error.detail}"


def _transferable(store: object) -> Transferable:
    # Both stores are; the pages and stages that only ask and write need not know.
    return cast("Transferable", store)


def _pieces(copied: Copied) -> str:
    return (
        f"{copied.mentions:,} mentions, {copied.story_posts:,} posts of stories, {copied.withdrawals:,} withdrawals, "
        f"{copied.retractions:,} retractions and {copied.documents:,} documents of alerts"
    )


EXPORT = Command(
    "export",
    "Write the whole store to one file.",
    "Mentions as last written, their stories, and what must not come back; alerts with what people said to them,\n"
    "subscriptions, silences and who agreed to be told. Works while everything runs; writes that come meanwhile may\n"
    "be in it or not. The outbox stays: a copy sends nothing that the original sends. The file holds what people\n"
    "wrote: only its owner can read it.",
    _export_arguments,
    _export,
)
IMPORT = Command(
    "import",
    "Put what `export` wrote into the store, which may be of the other kind.",
    "Ids, versions and stories stay. What the store knows in the same or a higher version is left as it is, so a run\n"
    "that was cut off is simply started again. The file is read to its end first: of one that is cut off, damaged or\n"
    "no export nothing goes in (exit code 2). Records that no store can hold, the same in both kinds (an empty or too\n"
    "long id, a version below 0, a number beyond 63 bits, a month that is none), are refused one by one with their\n"
    "line and id; all others go in (exit code 1). An embedded store must not be in use meanwhile. Over Elasticsearch\n"
    "a file with alerts wants a user that may write them, such as `it`.",
    _import_arguments,
    _import,
)
