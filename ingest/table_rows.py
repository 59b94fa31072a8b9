"""Rows of a CSV or TSV file, strictly: an unbalanced quote costs its own line, never the rest of the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from domain.errors import BadReason, BadRecord
from ingest.json_rows import decode
from ingest.lines import Line

# A quoted cell may hold line breaks, but one that runs on for longer is an unbalanced quote.
MAX_ROW_LINES = 1000
MAX_ROW_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row: its cells or why it has none, its original bytes and the last line that belongs to it."""

    cells: tuple[str, ...] | BadRecord
    raw: bytes
    number: int
    last: Line


def table_rows(lines: Iterator[Line | None], *, delimiter: str, quoting: bool) -> Iterator[TableRow | None]:
    """Cut lines into rows of cells (RFC 4180); without `quoting` a quote is a character like any other.

    A quote opens a cell only at its beginning and must be followed by the delimiter or the end of the line when
    it closes. Where that fails, the first line alone is refused and reading goes on with the next one: a lost
    quote cannot swallow the rows after it. Blank lines are skipped. None passes through (see `split_lines`).
    """
    again: deque[Line | None] = deque()

    def next_line() -> Line | None:
        return again.popleft() if again else next(lines)

    while True:
        try:
            line = next_line()
        except StopIteration:
            return
        if line is None:
            yield None
            continue
        if line.error is not None:
            yield TableRow(line.error, line.raw, line.number, line)
            continue
        row = _RowParser(delimiter, quoting)
        taken: list[Line | None] = [line]
        raws = [line.raw]
        size = len(line.raw)
        try:
            complete = row.feed(decode(line.raw).removesuffix("\r"))
            while not complete:
                try:
                    more = next_line()
                except StopIteration:
                    raise _unbalanced("the end of the file") from None
                taken.append(more)
                if more is None:
                    continue
                if more.error is not None:
                    raise _unbalanced("a line that cannot be read")
                raws.append(more.raw)
                size += len(more.raw) + 1
                if len(raws) > MAX_ROW_LINES or size > MAX_ROW_BYTES:
                    raise _unbalanced(f"{MAX_ROW_LINES:,} lines or {MAX_ROW_BYTES:,} bytes")
                complete = row.feed(decode(more.raw).removesuffix("\r"))
        except BadRecord as exc:
            again.extendleft(reversed(taken[1:]))
            yield TableRow(exc, line.raw, line.number, line)
            continue
        cells = tuple(row.cells)
        if cells != ("",):
            last = next(part for part in reversed(taken) if part is not None)
            yield TableRow(cells, b"\n".join(raws), line.number, last)


def _unbalanced(where: str) -> BadRecord:
    return BadRecord(BadReason.BAD_ROW, f"a quoted cell opens on this line and does not close before {where}")


class _RowParser:
    """The cells of one row, line by line. Each character is looked at once."""

    def __init__(self, delimiter: str, quoting: bool) -> None:
        self.cells: list[str] = []
        self._delimiter, self._quoting = delimiter, quoting
        # The parts of a quoted cell that is still open.
        self._open: list[str] | None = None

    def feed(self, line: str) -> bool:
        """Take one more line; True when the row ends with it.

        Raises:
            BadRecord: something stands between a closing quote and the delimiter.
        """
        if self._open is None and (not self._quoting or '"' not in line):
            self.cells.extend(line.split(self._delimiter))
            return True
        position = 0
        while True:
            if self._open is None and not line.startswith('"', position):
                end = line.find(self._delimiter, position)
                self.cells.append(line[position:] if end < 0 else line[position:end])
                if end < 0:
                    return True
                position = end + 1
                continue
            if self._open is None:
                self._open = []
                position += 1
            closed = self._read_quoted(line, position)
            if closed is None:
                return False
            if closed == len(line):
                return True
            position = closed + 1

    def _read_quoted(self, line: str, position: int) -> int | None:
        """Read on in the open cell; gives where its delimiter stands, or None when it goes on after this line."""
        parts = self._open
        assert parts is not None
        while True:
            quote = line.find('"', position)
            if quote < 0:
                parts.append(line[position:] + "\n")
                return None
            parts.append(line[position:quote])
            if line.startswith('"', quote + 1):
                parts.append('"')
                position = quote + 2
                continue
            after = quote + 1
            if after < len(line) and not line.startswith(self._delimiter, after):
                found = f"found {line[after : after + 10]!r} after the closing quote of cell {len(self.cells) + 1}"
                raise BadRecord(BadReason.BAD_ROW, f"{found}, expected {self._delimiter!r} or the end of the line")
            self.cells.append("".join(parts))
            self._open = None
            return after
