"""`soundings backup` and `soundings restore`: the data folder of a single machine, copied and put back."""

from __future__ import annotations

import os
import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from domain.errors import BackendDown, ConfigError
from service.command import Command, add_config, add_data_dir, load_settings
from service.settings import Settings
from service.terminal import safe


def _backup_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write; must not exist, or be empty")
    add_config(parser)
    add_data_dir(parser)


def _backup(options: Namespace) -> int:
    from search.embedded_backup import backup_store
    from service.data_folder import DataFolder
    from service.progress import progress_view, tell_stage
    from stream.sqlite_backup import copy_database

    source = DataFolder(_embedded(load_settings(options)).data.dir)
    source.require()
    target = DataFolder(options.folder)
    _refuse_what_is_there(target.root, "back up into a new folder")
    target.create()
    with progress_view("backup") as view:
        # The log first: what the store has beyond it is found done when the log is read again.
        copy_database(source.log, target.log, tell_stage(view, "log"))
        if source.store.is_dir():
            backup_store(source.store, target.store, tell_stage(view, "store"))
    print(f"Backed up {safe(str(source.root))} to {safe(str(target.root))}.")
    return 0


def _restore_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that `soundings backup` wrote")
    add_config(parser)
    add_data_dir(parser)


def _restore(options: Namespace) -> int:
    from domain.clock import SystemClock
    from search.embedded import EmbeddedStore
    from search.embedded_backup import restore_store
    from service.data_folder import DataFolder
    from service.progress import progress_view, tell_stage
    from stream.sqlite_backup import copy_database

    backup = DataFolder(options.folder)
    if not backup.log.is_file():
        raise ConfigError(f"{backup.root}: holds no backup (no {backup.log.name}); `soundings backup DIR` makes one")
    target = Path(_embedded(load_settings(options)).data.dir)
    _refuse_what_is_there(target, "restore into a new one with --data-dir, or move it away first")
    # It takes its name when it is whole: a kill leaves no half of it, and what it leaves is begun again.
    partial = DataFolder(target.with_name(f"{target.name}.restoring"))
    try:
        shutil.rmtree(partial.root, ignore_errors=True)
        partial.create()
        with progress_view("restore") as view:
            copy_database(backup.log, partial.log, tell_stage(view, "log"))
            if backup.store.is_dir():
                restore_store(backup.store, partial.store, tell_stage(view, "store"))
                # Opening it builds the index, which readers need.
                EmbeddedStore.open(partial.store, clock=SystemClock()).close()
        os.rename(partial.root, target)
    except OSError as exc:
        raise BackendDown(f"{target}: cannot be made of {partial.root}: {exc.strerror or exc}") from exc
    print(f"Restored {safe(str(backup.root))} to {safe(str(target))}.")
    return 0


def _embedded(settings: Settings) -> Settings:
    """Give the settings back if all state lies in the data folder.

    Raises:
        ConfigError: it does not.
    """
    if (settings.log.kind, settings.store.kind) != ("embedded", "embedded"):
        raise ConfigError(
            f"log.kind is {settings.log.kind} and store.kind {settings.store.kind}: this copies a data folder alone; "
            "Elasticsearch has snapshots, `soundings export` writes any store to a file, and Kafka keeps replicas"
        )
    return settings


def _refuse_what_is_there(folder: Path, instead: str) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder: nothing is overwritten; {instead}")


BACKUP = Command(
    "backup",
    "Copy the data folder while it is in use.",
    "Log and stored mentions, each as it is at one moment and checked; the search index is left out: `restore` builds\n"
    "it. For a single machine: on a cluster use Elasticsearch's snapshots, or `soundings export`.",
    _backup_arguments,
    _backup,
)
RESTORE = Command(
    "restore",
    "Put a backup in the place of the data folder, which must not exist or be empty.",
    "The folder is there when it is whole. `soundings up` then goes on where the backup was made: what was read since\n"
    "is read again, and what comes twice changes nothing.",
    _restore_arguments,
    _restore,
)
