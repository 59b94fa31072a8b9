"""Standard input kept in the data folder while it is replayed, so that a killed replay of it can go on too."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from domain.errors import BackendDown
from service.data_folder import DataFolder, require_room

_BLOCK_BYTES = 1 << 20
# What a kill left behind is of no use a day later.
STALE_SECONDS = 86_400.0


@contextmanager
def spooled(stream: BinaryIO, folder: DataFolder, floor_mb: int) -> Iterator[Path]:
    """Copy a stream to its end into a file named `stdin`, which goes away afterwards.

    Raises:
        BackendDown: the disk is full.
        ConfigError: the data folder cannot be used.
    """
    folder.create()
    require_room(folder.root, floor_mb)
    folder.spool.mkdir(mode=0o700, exist_ok=True)
    for old in folder.spool.iterdir():
        if time.time() - old.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(dir=folder.spool))
    try:
        path = place / "stdin"
        try:
            with path.open("wb") as file:
                while block := stream.read(_BLOCK_BYTES):
                    file.write(block)
        except OSError as exc:
            if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise BackendDown(f"{folder.spool}: no room left to keep standard input; make room and try again") from exc
        yield path
    finally:
        shutil.rmtree(place, ignore_errors=True)
