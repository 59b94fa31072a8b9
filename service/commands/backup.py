"""`soundings backup` and `soundings restore`: the data folder of a single machine, copied and put back."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import NamedTuple

from domain.errors import ConfigError
from service.command import Command, add_config, add_data_dir, load_settings
from service.settings import Settings
from service.terminal import safe


def _backup_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write; must not exist, or be empty")
    add_config(parser)
    add_data_dir(parser)


def _backup(options: Namespace) -> int:
    from domain.clock import SystemClock
    from service.data_folder import DataFolder
    from service.manifest import write_manifest
    from service.progress import progress_view, tell_stage
    from service.unfinished import unfinished
    from stream.sqlite_backup import copy_database, seal_of

    source = DataFolder(_embedded(load_settings(options)).data.dir)
    source.require()
    target = Path(options.folder)
    _refuse_within(target, source.root, "a backup in the data folder is lost with it; name a folder elsewhere")
    _refuse_what_is_there(target, "back up into a new folder")
    made_at = SystemClock().now()
    with unfinished(target) as folder:
        with progress_view("backup") as view:
            files = {}
            for name, part in _parts().items():
                if (source.root / name).is_file():
                    (folder.root / name).parent.mkdir(mode=0o700, exist_ok=True)
                    copy_database(source.root / name, folder.root / name, tell_stage(view, part.told))
                    files[name] = seal_of(folder.root / name)
        write_manifest(folder.root, made_at, files)
    DataFolder(target).lock.unlink(missing_ok=True)
    print(f"Backed up {safe(str(source.root))} to {safe(str(target))}.")
    return 0


def _restore_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that `soundings backup` wrote")
    add_config(parser)
    add_data_dir(parser)


def _restore(options: Namespace) -> int:
    from domain.clock import SystemClock
    from search.embedded import EmbeddedStore
    from service.manifest import damaged, read_manifest
    from service.progress import progress_view, tell_stage
    from service.unfinished import unfinished
    from stream.sqlite_backup import put_back

    backup, target = Path(options.folder), Path(_embedded(load_settings(options)).data.dir)
    if not backup.is_dir():
        found = "is no folder" if backup.exists() else "there is no such folder"
        raise ConfigError(f"{backup}: {found}; `soundings backup DIR` makes one")
    _refuse_within(target, backup, "the backup stays as it is; name a folder elsewhere with --data-dir")
    _refuse_what_is_there(target, "restore into a new one with --data-dir, or move it away first")
    parts = _parts()
    manifest = read_manifest(backup, {name: part.schema for name, part in parts.items()})
    with unfinished(target) as folder, progress_view("restore") as view:
        for name, seal in manifest.files.items():
            (folder.root / name).parent.mkdir(mode=0o700, exist_ok=True)
            try:
                put_back(backup / name, folder.root / name, seal, tell_stage(view, f"{parts[name].told}, bytes"))
            except ConfigError as exc:
                raise damaged(backup, exc) from exc
        if folder.store.is_dir():
            # Opening it builds the index, which readers need.
            EmbeddedStore.open(folder.store, clock=SystemClock()).close()
    made_at = f"{manifest.made_at:%Y-%m-%d %H:%M} UTC"
    print(f"Restored {safe(str(backup))}, made at {made_at}, to {safe(str(target))}.")
    return 0


class _Part(NamedTuple):
    """A file of a backup: what it is called in the progress, and the schema that this program writes."""

    told: str
    schema: int


def _parts() -> dict[str, _Part]:
    """Give the files of a backup by their path in the data folder.

    The log comes first: what the store has beyond it is found done when the log is read again, while what it lacks
    would be missing. What alerts keep comes last: counts are mended from the store.
    """
    from search.embedded import TRUTH_FILE
    from search.sqlite_documents import DOCUMENTS_SCHEMA
    from search.truth import TRUTH_SCHEMA
    from service.data_folder import DataFolder
    from stream.embedded_file import SCHEMA

    folder = DataFolder(Path())
    return {
        folder.log.as_posix(): _Part("log", SCHEMA),
        (folder.store / TRUTH_FILE).as_posix(): _Part("store", TRUTH_SCHEMA),
        folder.alerts.as_posix(): _Part("alerts", DOCUMENTS_SCHEMA),
    }


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


def _refuse_within(folder: Path, other: Path, instead: str) -> None:
    if folder.resolve().is_relative_to(other.resolve()):
        raise ConfigError(f"{folder} lies in {other}: {instead}")


def _refuse_what_is_there(folder: Path, instead: str) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder: nothing is overwritten; {instead}")


BACKUP = Command(
    "backup",
    "Copy the data folder while it is in use.",
    "Log, stored mentions and what alerts keep (subscriptions, silences, the outbox), each as it is at one moment and\n"
    "checked, and a manifest with the length and the SHA-256 of each; the search index is left out: `restore` builds\n"
    "it. The folder is there when it is whole; what a kill leaves is DIR.unfinished, which the next backup to DIR\n"
    "removes. For a single machine: on a cluster use Elasticsearch's snapshots, or `soundings export`.",
    _backup_arguments,
    _backup,
)
RESTORE = Command(
    "restore",
    "Put a backup in the place of the data folder, which must not exist or be empty.",
    "Every byte is held against the backup's manifest. A backup that is damaged, unfinished or of a newer version is\n"
    "refused with exit code 2, and nothing of it is put in place. `soundings up` then goes on where the backup was\n"
    "made: what was read since is read again, and what comes twice changes nothing.",
    _restore_arguments,
    _restore,
)
