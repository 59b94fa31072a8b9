"""The file source: JSONL, CSV or TSV, plain or gzipped, from a path or standard input."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from domain.errors import BadReason, BadRecord, ConfigError
from ingest.byte_stream import gunzip, is_gzip, is_utf16, raw_chunks, to_utf8, with_start
from ingest.columns import Columns
from ingest.file_shape import STDIN, FileSettings, Shape, find_shape, sample_rows, settings_problems
from ingest.json_rows import parse_object
from ingest.lines import MAX_LINE_BYTES, Line, split_lines
from ingest.source import Extent, Item, RawPost
from ingest.table_rows import TableRow, table_rows

# Enough to know the columns, little enough to look at before starting.
SAMPLE_BYTES = 1024 * 1024
_FINGERPRINT_BYTES = 64 * 1024


class FileSource:
    """A file or standard input as a source. Building it checks the settings and opens nothing.

    `only_regular` refuses links, pipes and devices: for a path that others may have made.

    Raises:
        ConfigError: settings that cannot be used, all of them.
    """

    def __init__(self, settings: FileSettings, *, stdin: BinaryIO | None = None, only_regular: bool = False) -> None:
        problems = settings_problems(settings)
        try:
            Columns(settings.columns)
        except ConfigError as exc:
            problems.extend(exc.problems)
        if problems:
            raise ConfigError(problems)
        self.settings = settings
        self._stdin, self._only_regular = stdin, only_regular

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def key(self) -> str:
        path = self.settings.path
        return f"file:{path if path == STDIN else Path(path).resolve()}"

    def can_resume(self, cursor: str) -> bool:
        """As the protocol; standard input never, a file while its size and first 64 KiB are the same."""
        if self.settings.path == STDIN:
            return False
        try:
            # Opening a pipe would wait for its writer.
            if not Path(self.settings.path).is_file():
                return False
            with _open(Path(self.settings.path), only_regular=self._only_regular) as file:
                fingerprint = _fingerprint(file)
            return fingerprint != "" and json.loads(cursor)["file"] == fingerprint
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def open(self, cursor: str | None) -> FileReader:
        """As the protocol.

        Raises:
            ConfigError: the file is missing, unreadable or a damaged gzip, or a configured column is not in it.
        """
        settings = self.settings
        place = json.loads(cursor) if cursor is not None and self.can_resume(cursor) else None
        if settings.path == STDIN:
            file, size, fingerprint = self._stdin or sys.stdin.buffer, None, ""
        else:
            file, size, fingerprint = _open_file(settings.path, only_regular=self._only_regular)
        try:
            return self._start(file, size, fingerprint, place)
        except BaseException:
            if settings.path != STDIN:
                file.close()
            raise

    def _start(self, file: BinaryIO, size: int | None, fingerprint: str, place: Mapping[str, int] | None) -> FileReader:
        settings = self.settings
        start, chunks = with_start(raw_chunks(file), 4)
        plain = True
        if is_gzip(start):
            plain = False
            if size is not None:
                _require_whole_gzip(settings.path, file)
                chunks = raw_chunks(file)
            start, chunks = with_start(gunzip(chunks), 4)
        encoding = "utf-16" if settings.encoding == "auto" and is_utf16(start) else settings.encoding
        if encoding not in ("auto", "utf-8"):
            plain = False
            chunks = to_utf8(chunks, encoding)
        sample, chunks = _sample(chunks, wait=settings.path != STDIN)
        shape = find_shape(settings, sample)
        columns = Columns(settings.columns)
        rows, whole = sample_rows(shape, sample, ended=size is not None and len(sample) < SAMPLE_BYTES)
        columns.learn(rows, whole=whole)
        offset, line = (place["offset"], place["line"]) if place is not None else (shape.start, shape.line)
        if plain and size is not None:
            file.seek(offset)
            chunks = raw_chunks(file)
        else:
            chunks = _skip(chunks, offset)
        lines = split_lines(chunks, offset=offset, number=line)
        items = _items(settings, shape, columns, lines, fingerprint)
        return FileReader(items, file, size, owned=settings.path != STDIN)

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        """Read one row again from a dead letter's payload (for a table: its header line, then the row).

        Args:
            payload: as kept, or as corrected by hand.
            position: the dead letter's, whose file name may tell the format.
            id_owed: a row without an id stays bad; else it gets a hash, as in a file that has no ids at all.

        Raises:
            ConfigError: the payload holds no row, or more than one.
        """
        shape = find_shape(self.settings, payload, name=position.rpartition(":")[0])
        columns = Columns(self.settings.columns)
        rows, whole = sample_rows(shape, payload, ended=True)
        columns.learn(rows, whole=whole)
        columns.has_id = columns.has_id or id_owed
        lines = split_lines(iter((payload[shape.start :],)), offset=shape.start, number=shape.line)
        items = [item for item in _items(self.settings, shape, columns, lines, "") if item is not None]
        if len(items) != 1:
            raise ConfigError(f"found {len(items)} rows in the dead letter from {position}, expected exactly one")
        return replace(items[0], position=position)

    def columns_of(self, item: Item) -> Mapping[str, str]:
        """Tell which column each field of an item was read from; nothing for an item that holds no row."""
        shape = find_shape(self.settings, item.raw, name=item.position.rpartition(":")[0])
        rows, _ = sample_rows(shape, item.raw, ended=True)
        return Columns(self.settings.columns).sources(rows[0]) if rows else {}


class FileReader:
    """An opened file. `read` blocks on standard input until a line or the end comes."""

    def __init__(self, items: Iterator[Item | None], file: BinaryIO, size: int | None, *, owned: bool) -> None:
        self._items, self._file, self._size, self._owned = items, file, size, owned

    def read(self, max_items: int) -> Sequence[Item] | None:
        items: list[Item] = []
        for item in self._items:
            if item is not None:
                items.append(item)
            # What is there is handed on before waiting for more.
            if len(items) >= max_items or (item is None and items):
                return items
        return items or None

    def extent(self) -> Extent | None:
        if self._size is None:
            return None
        return Extent(min(self._file.tell(), self._size), self._size)

    def close(self) -> None:
        if self._owned:
            self._file.close()


def _items(
    settings: FileSettings, shape: Shape, columns: Columns, lines: Iterator[Line | None], fingerprint: str
) -> Iterator[Item | None]:
    label = "stdin" if settings.path == STDIN else Path(settings.path).name

    def item(first: int, last: Line, raw: bytes, content: RawPost | BadRecord) -> Item:
        # Written as JSON by hand: one for each row, of digits only.
        cursor = f'{{"file": "{fingerprint}", "offset": {last.end}, "line": {last.number}}}'
        size, digest = (last.size, last.sha256) if last.size > MAX_LINE_BYTES else (None, None)
        return Item(
            position=f"{label}:{first}", cursor=cursor, raw=raw, content=content, raw_bytes=size, raw_sha256=digest
        )

    if shape.format == "jsonl":
        for line in lines:
            if line is None:
                yield None
            elif line.error is not None or line.raw.strip():
                yield item(line.number, line, line.raw, _read_json(line, columns))
        return
    prefix = shape.header_line + b"\n" if shape.header_line else b""
    for row in table_rows(lines, delimiter=shape.delimiter, quoting=shape.quoting):
        if row is None:
            yield None
        else:
            raw = row.raw if row.last.size > MAX_LINE_BYTES else prefix + row.raw
            yield item(row.number, row.last, raw, _read_cells(row, shape.header, columns))


def _read_json(line: Line, columns: Columns) -> RawPost | BadRecord:
    if line.error is not None:
        return line.error
    try:
        row = parse_object(line.raw)
    except BadRecord as exc:
        return exc
    return _raw_post(row, columns, line.raw.strip())


def _read_cells(row: TableRow, header: tuple[str, ...], columns: Columns) -> RawPost | BadRecord:
    if isinstance(row.cells, BadRecord):
        return row.cells
    if len(row.cells) != len(header):
        return BadRecord(BadReason.BAD_ROW, f"found {len(row.cells)} cells, expected {len(header)} as in the header")
    return _raw_post(dict(zip(header, row.cells, strict=True)), columns, row.raw)


def _raw_post(row: Mapping[str, object], columns: Columns, raw: bytes) -> RawPost:
    fields, attrs = columns.apply(row)
    if columns.has_id:
        fields.setdefault("id", "")
        return RawPost(fields=fields, attrs=attrs)
    return RawPost(fields=fields, attrs=attrs, row=raw.decode("utf-8", "replace"))


def _sample(chunks: Iterator[bytes], *, wait: bool) -> tuple[bytes, Iterator[bytes]]:
    """Look at the beginning without losing it; damage found there is told again in its place."""
    taken: list[bytes] = []
    damage: BadRecord | None = None
    size = 0
    try:
        for chunk in chunks:
            taken.append(chunk)
            size += len(chunk)
            # From a pipe, one whole line is all that can be waited for.
            if size >= SAMPLE_BYTES or (not wait and b"\n" in chunk):
                break
    except BadRecord as exc:
        damage = exc
    return b"".join(taken), chain(taken, _raise(damage) if damage is not None else chunks)


def _raise(damage: BadRecord) -> Iterator[bytes]:
    raise damage
    yield b""


def _skip(chunks: Iterator[bytes], count: int) -> Iterator[bytes]:
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
        count = max(0, count - len(chunk))


def _open_file(path: str, *, only_regular: bool) -> tuple[BinaryIO, int | None, str]:
    """Open a file; gives it with its size and fingerprint (None and "" for a named pipe or a device)."""
    try:
        file = _open(Path(path), only_regular=only_regular)
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: there is no such file; looked in {Path(path).resolve().parent}") from exc
    except IsADirectoryError as exc:
        raise ConfigError(f"{path}: found a folder, expected a file") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be opened: {exc.strerror}") from exc
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        if only_regular:
            file.close()
            raise ConfigError(f"{path}: found a pipe or a device, expected a file")
        return file, None, ""
    return file, status.st_size, _fingerprint(file)


def _open(path: Path, *, only_regular: bool) -> BinaryIO:
    # Without waiting for the writer of a pipe.
    more = os.O_NOFOLLOW | os.O_NONBLOCK if only_regular else 0
    return path.open("rb") if not more else open(path, "rb", opener=lambda name, flags: os.open(name, flags | more))


def _require_whole_gzip(path: str, file: BinaryIO) -> None:
    """Read a gzip to its end before anything of it is used: damage is certain only at the checksum there."""
    file.seek(0)
    try:
        for _ in gunzip(raw_chunks(file)):
            pass
    except BadRecord as exc:
        raise ConfigError(
            f"{path}: {exc.detail}; nothing of it was read. Fetch or pack it again; what `gzip -dc` still gives can "
            "be replayed as a file of its own"
        ) from exc
    file.seek(0)


def _fingerprint(file: BinaryIO) -> str:
    """Identify an open file by its size and its first 64 KiB; "" for what is no regular file."""
    status = os.fstat(file.fileno())
    if not stat.S_ISREG(status.st_mode):
        return ""
    return f"{status.st_size}:{sha256(os.pread(file.fileno(), _FINGERPRINT_BYTES, 0)).hexdigest()[:32]}"
