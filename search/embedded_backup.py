"""Backup and restore of the embedded store: its truth alone, for the index is built again from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from domain.errors import ConfigError
from search.embedded import TRUTH_FILE
from stream.sqlite_backup import copy_database

Progress = Callable[[int, int], None]


def backup_store(folder: Path, target: Path, progress: Progress | None = None) -> Path:
    """Copy the store in `folder` into the folder `target` while a process writes to it; give the file.

    Where the log is backed up too, it comes first: what the store has beyond the log is found done when the log is
    read again, while what it lacks would be missing.

    Raises:
        ConfigError: there is no store, or the target has one.
        BackendDown: the disk is full or broken.
    """
    target.mkdir(parents=True, exist_ok=True)
    copy_database(folder / TRUTH_FILE, target / TRUTH_FILE, progress)
    return target / TRUTH_FILE


def restore_store(backup: Path, folder: Path, progress: Progress | None = None) -> None:
    """Put what `backup_store` made into `folder`, where no store is; the next writer builds the index.

    Raises:
        ConfigError: there is no backup, or the folder has a store.
        BackendDown: the disk is full or broken.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: a store is restored beside nothing else; move it away first")
    folder.mkdir(parents=True, exist_ok=True)
    copy_database(backup / TRUTH_FILE, folder / TRUTH_FILE, progress)
