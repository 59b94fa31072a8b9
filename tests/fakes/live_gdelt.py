"""The bulk files of GDELT: a list of the newest, and a zip archive for each quarter of an hour."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from fakes.live_worlds import Fault, FaultyHandler, serve_http

from domain.clock import Clock, SystemClock
from ingest.gdelt import EVERY, FIRST, GdeltSettings, GdeltSource


def stamp_of(moment: datetime) -> str:
    """Write a time as GDELT does."""
    return moment.strftime("%Y%m%d%H%M%S")


def zipped(*tables: bytes, name: str = "table.csv") -> bytes:
    """Pack tables."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, table in enumerate(tables):
            archive.writestr(f"{number}.{name}", table)
    return packed.getvalue()


def row(
    stamp: str,
    number: int | str,
    *,
    title: str | None,
    url: str | None = None,
    collection: str = "1",
    translation: str = "",
    extras: str = "",
    themes: str = "",
) -> str:
    """Write a row of the knowledge graph, version 2.1: 27 columns."""
    cells = [""] * 27
    cells[0], cells[1], cells[2], cells[3] = f"{stamp}-{number}", stamp, collection, "news.example"
    cells[4] = f"https://www.news.example/post-{number}" if url is None else url
    cells[7], cells[17], cells[25] = themes, "wc:400,c1.1:2", translation
    cells[26] = extras + (f"<PAGE_TITLE>{title}</PAGE_TITLE>" if title is not None else "")
    return "\t".join(cells)


class GdeltWorld:
    """`files` by name; the newest is at `at`, of which the list says `md5` where that is not its own."""

    faults = frozenset(Fault) - {Fault.STALE}

    def __init__(self) -> None:
        self.clock: Clock = SystemClock()
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.due: deque[Fault] = deque()
        self.md5: str | None = None
        self.lists: dict[str, bytes] = {}
        self.settings = GdeltSettings(poll_seconds=0.05, allow_private=True)
        self.begin(timedelta(hours=12))

    def begin(self, ago: timedelta) -> None:
        """Have the newest file be an empty one of that long ago."""
        now = self.clock.now()
        self.at = now - ago - (now - ago - FIRST) % EVERY
        self.files = {f"{stamp_of(self.at)}.gkg.csv.zip": zipped(b"")}

    def source(self) -> GdeltSource:
        return GdeltSource(self.settings, self.clock)

    def publish(self, numbers: Sequence[int], *, text: str = "post {n} about acme") -> None:
        stamp = stamp_of(self.at + EVERY)
        self.add([row(stamp, 1_000_000 + n, title=text.format(n=n)) for n in numbers])

    def publish_bad(self) -> None:
        self.add(["20261125\tone column too few"])

    def add(self, rows: Sequence[str], *, suffix: str = "") -> None:
        """Have a file of the next quarter of an hour appear; of the translated feed one of the same quarter."""
        at = self.at if suffix else self.at + EVERY
        self.files[f"{stamp_of(at)}{suffix}.gkg.csv.zip"] = zipped("".join(f"{line}\n" for line in rows).encode())
        self.at = at

    def skip(self, files: int = 1) -> None:
        """Have no file of the next quarters of an hour."""
        self.at += files * EVERY

    def fail(self, fault: Fault) -> None:
        self.due.append(fault)

    def answer(self, path: str) -> tuple[int, Mapping[str, str], bytes]:
        name = path.rsplit("/", 1)[-1]
        self.asked.append(name)
        date = {"Date": self.clock.now().strftime("%a, %d %b %Y %H:%M:%S GMT")}
        if name in self.lists:
            return 200, date, self.lists[name]
        if name.startswith("lastupdate"):
            suffix = ".translation" if "translation" in name else ""
            newest = max((file for file in self.files if (".translation" in file) == bool(suffix)), default="")
            md5 = self.md5 or hashlib.md5(self.files.get(newest, b""), usedforsecurity=False).hexdigest()
            where = "http://data.gdeltproject.org/gdeltv2/"
            lines = [f"11 {'0' * 32} {where}{newest[:14]}{suffix}.export.CSV.zip", f"12 {md5} {where}{newest}"]
            return 200, date, "".join(f"{line}\n" for line in lines).encode()
        if name in self.files:
            return 200, {"Content-Type": "application/zip"}, self.files[name]
        return 404, {}, b"<Error/>"


@contextmanager
def open_gdelt() -> Iterator[GdeltWorld]:
    """Serve it."""
    world = GdeltWorld()

    class Handler(FaultyHandler):
        faults = world.due

        def answer(self) -> tuple[int, Mapping[str, str], bytes]:
            return world.answer(self.path)

    with serve_http(Handler) as address:
        world.settings = GdeltSettings(address=f"{address}/gdeltv2", poll_seconds=0.05, allow_private=True)
        yield world
