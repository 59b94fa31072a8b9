"""A folder into which somebody drops files, well and badly."""

from __future__ import annotations

import gzip
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fakes.live_worlds import Fault

from domain.clock import SystemClock
from ingest.folder import FolderSettings, FolderSource


class FolderWorld:
    # A copy that ended early, and a file that is none of ours.
    faults = frozenset({Fault.CUT, Fault.MALFORMED})

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names = itertools.count()

    def source(self) -> FolderSource:
        settings = FolderSettings(path=str(self.folder), poll_seconds=0.02, settle_seconds=0.02)
        return FolderSource(settings, SystemClock())

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        rows = [json.dumps({"id": f"row-{n}", "text": text.format(n=n)}) for n in numbers]
        self.drop("posts.jsonl", "\n".join(rows).encode())

    def publish_bad(self) -> None:
        self.drop("bad.jsonl", b'{"id": "row-999", "text": ["no text"]}')

    def fail(self, fault: Fault) -> None:
        if fault is Fault.CUT:
            self.drop("cut.jsonl.gz", gzip.compress(b'{"id": "row-1", "text": "acme"}\n' * 100)[:-9])
        else:
            self.drop("picture.png", b"\x89PNG\r\n" + bytes(range(256)) * 100)

    def drop(self, name: str, content: bytes) -> Path:
        """Write under another name, then rename: as it should be done."""
        path = self.folder / f"{next(self._names):04d}-{name}"
        unfinished = path.with_name(f"{path.name}.part")
        unfinished.write_bytes(content)
        return unfinished.rename(path)


@contextmanager
def open_folder() -> Iterator[FolderWorld]:
    """Make a folder for one test."""
    with tempfile.TemporaryDirectory() as folder:
        yield FolderWorld(Path(folder))
