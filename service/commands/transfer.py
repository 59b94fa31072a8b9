"""`soundings export` and `soundings import`: a whole store as one file, and out of it into a store of either kind."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings
from service.terminal import complain, safe

if TYPE_CHECKING:
    from search.transfer import Copied, Transferable

_SHOWN = 20


def _export_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write, gzipped lines of JSON; must not exist")
    add_config(parser)
    add_data_dir(parser)


def _export(options: Namespace) -> int:
    from domain.clock import SystemClock
    from search.transfer import write_export
    from service.components import open_store
    from service.progress import progress_view, tell_stage

    settings = load_settings(options)
    if options.file.exists():
        raise ConfigError(f"{options.file} exists: nothing is overwritten, choose another name")
    # Over Elasticsearch opened as by a writer: that looks whether anything of ours is there.
    with (
        closing(open_store(settings, SystemClock(), read_only=settings.store.kind == "embedded")) as store,
        progress_view("export") as view,
    ):
        copied = write_export(_transferable(store).dump(), options.file, tell_stage(view, "pieces"))
    print(f"Wrote {_pieces(copied)} to {safe(str(options.file))}.")
    return 0


def _import_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file that `soundings export` wrote")
    add_config(parser)
    add_data_dir(parser)


def _import(options: Namespace) -> int:
    from domain.clock import SystemClock
    from search.transfer import copy, read_export
    from service.components import open_log, open_store
    from service.data_folder import DataFolder, FolderLock
    from service.progress import progress_view, tell_stage

    settings = load_settings(options)
    if not options.file.is_file():
        raise ConfigError(f"{options.file}: there is no such file")
    # Whether it is whole is known at its last line only, and then it would be half in.
    with progress_view("check") as view:
        told = tell_stage(view, "pieces")
        for number, _ in enumerate(read_export(options.file), start=1):
            told(number)
    with ExitStack() as stack:
        if settings.store.kind == "embedded":
            stack.enter_context(FolderLock.take(DataFolder(settings.data.dir)))
            if settings.log.kind == "embedded":
                # A folder has both: whoever reads it asks the log too.
                open_log(settings, SystemClock(), role="import").close()
        store = stack.enter_context(closing(open_store(settings, SystemClock())))
        with progress_view("import") as view:
            copied = copy(read_export(options.file), _transferable(store), tell_stage(view, "pieces"))
        store.refresh()
    print(f"Read {_pieces(copied)}: {copied.stored:,} stored, {copied.known:,} known already or forbidden.")
    if copied.refused:
        complain(f"refused: {one.detail}" for one in copied.refused[:_SHOWN])
        complain([f"{len(copied.refused):,} records were refused by the store; the others are in"])
        return 1
    return 0


def _transferable(store: object) -> Transferable:
    # Both stores are; the pages and stages that only ask and write need not know.
    return cast("Transferable", store)


def _pieces(copied: Copied) -> str:
    return (
        f"{copied.mentions:,} mentions, {copied.story_posts:,} posts of stories, {copied.withdrawals:,} withdrawals "
        f"and {copied.retractions:,} retractions"
    )


EXPORT = Command(
    "export",
    "Write the whole store to one file.",
    "Mentions as last written, their stories, and what must not come back. Works while everything runs; writes that\n"
    "come meanwhile may be in it or not. The file holds what people wrote: only its owner can read it.",
    _export_arguments,
    _export,
)
IMPORT = Command(
    "import",
    "Put what `export` wrote into the store, which may be of the other kind.",
    "Ids, versions and stories stay. What the store knows in the same or a higher version is left as it is, so a run\n"
    "that was cut off is simply started again. An embedded store must not be in use meanwhile. Exit code 1 when the\n"
    "store refused a record.",
    _import_arguments,
    _import,
)
