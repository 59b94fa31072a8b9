"""Reading labelled texts of the user's own: CSV or TSV with a header, plain or gzipped.

Nothing in a file is trusted: a bad row is told by its line and left out, a bad file is one clear error.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from domain.errors import ConfigError
from domain.records import SENTIMENTS
from enrich.engine import POINTS, Passage
from enrich.labelled import places_of

Task: TypeAlias = Literal["post", "brand"]
Scale: TypeAlias = Literal["classes", "points"]

# An engine reads the first 10,000 characters; a cell beyond this is a quote that was never closed.
MAX_CELL = 4 * 1024 * 1024
_COLUMNS = ("text", "label", "id", "brand")
_CLASSES: dict[str, int] = {name: value for value, name in enumerate(SENTIMENTS, start=-1)}
_POINTS: dict[str, int] = {str(point): point for point in POINTS} | {"+1": 1, "+2": 2}
# Of many lines with the same fault, so many are named.
_NAMED = 5
_EXPECTED = "expected negative, neutral or positive, or -2 to 2"


@dataclass(frozen=True, slots=True)
class OwnRow:
    """One labelled text. `label` is in points, -2 to 2: classes are -1, 0 and 1. `brand` is "" where none was given."""

    line: int
    id: str
    text: str
    label: int
    brand: str

    def passage(self) -> Passage:
        """Give the text with the places of its brand."""
        return Passage(self.text, (places_of(self.brand, self.text),) if self.brand else ())


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: its line in the file and what is wrong with it."""

    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class OwnData:
    """What was read of a file: usable rows, unusable ones, the scale of its labels, whether it has a brand column."""

    rows: tuple[OwnRow, ...]
    bad: tuple[BadRow, ...]
    scale: Scale
    has_brands: bool


def read_own_data(path: Path) -> OwnData:
    """Read labelled texts.

    The header names the columns: `text` and `label`, and perhaps `id` and `brand`, in any order; others are left alone.
    A label is negative, neutral or positive, or a whole number from -2 to 2. Cells may be quoted unless tabs part them.

    Raises:
        ConfigError: the file cannot be read, has no such header, or mixes both kinds of labels.
    """
    content = _decoded(path)
    first = content.split("\n", 1)[0]
    columns, delimiter = _header(path, first)
    csv.field_size_limit(MAX_CELL)
    rows: list[OwnRow] = []
    bad: list[BadRow] = []
    seen: dict[Scale, list[int]] = {"classes": [], "points": []}
    for line, found in _cells(content, delimiter):
        if line == 1 or (isinstance(found, list) and not any(cell.strip() for cell in found)):
            continue
        problem = found if isinstance(found, str) else ""
        if isinstance(found, list) and len(found) != len(columns):
            problem = f"found {len(found)} cells, expected {len(columns)} as in the header"
        if problem or isinstance(found, str):
            bad.append(BadRow(line, problem))
            continue
        cells = dict(zip(columns, found, strict=True))
        label = cells["label"].strip().lower()
        if label in _CLASSES:
            seen["classes"].append(line)
        elif label in _POINTS:
            seen["points"].append(line)
        value = _CLASSES.get(label, _POINTS.get(label))
        if value is None:
            bad.append(BadRow(line, f"found the label {label[:40]!r}, {_EXPECTED}" if label else "has no label"))
        elif not cells["text"].strip():
            bad.append(BadRow(line, "has no text"))
        else:
            brand = cells.get("brand", "").strip()
            rows.append(OwnRow(line, cells.get("id", "").strip(), cells["text"], value, brand))
    if seen["classes"] and seen["points"]:
        raise ConfigError(
            f"{path}: both kinds of labels are in it, expected one kind: names in {_lines(seen['classes'])}, "
            f"points in {_lines(seen['points'])}"
        )
    return OwnData(tuple(rows), tuple(bad), "points" if seen["points"] else "classes", "brand" in columns)


def of_task(data: OwnData, task: Task) -> OwnData:
    """Give what can be used for a task: of brands, the rows that name one; the others join the bad rows."""
    if task == "post":
        return data
    without = [BadRow(row.line, "has no brand") for row in data.rows if not row.brand]
    bad = sorted([*data.bad, *without], key=lambda row: row.line)
    return OwnData(tuple(row for row in data.rows if row.brand), tuple(bad), data.scale, data.has_brands)


def _lines(lines: Sequence[int]) -> str:
    more = f" and {len(lines) - _NAMED} more" if len(lines) > _NAMED else ""
    return f"line{'' if len(lines) == 1 else 's'} {', '.join(map(str, lines[:_NAMED]))}{more}"


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
    except FileNotFoundError as exc:
        raise ConfigError(f"{path}: there is no such file; looked in {path.absolute().parent}") from exc
    except IsADirectoryError as exc:
        raise ConfigError(f"{path}: found a folder, expected a file") from exc
    except (gzip.BadGzipFile, EOFError, zlib.error) as exc:
        raise ConfigError(f"{path}: found damaged gzip data ({exc})") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror or exc}") from exc
    wide = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        content = raw.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: not UTF-8 at byte {exc.start}; save it as UTF-8") from exc
    # Lone carriage returns end lines too, as old spreadsheets wrote them; inside a quoted cell they mean the same.
    return content.replace("\r\n", "\n").replace("\r", "\n")


def _header(path: Path, line: str) -> tuple[list[str], str]:
    """Give the columns, and what stands between them: whatever yields the two that are needed."""
    for delimiter in (",", "\t", ";"):
        try:
            (cells,) = csv.reader([line], delimiter=delimiter, quoting=_quoting(delimiter)) if line.strip() else ([],)
        except (csv.Error, ValueError):
            continue
        columns = [cell.strip().strip('"').lower() for cell in cells]
        if "text" in columns and "label" in columns:
            twice = [name for name in _COLUMNS if columns.count(name) > 1]
            if twice:
                raise ConfigError(f"{path}: the header names the column {twice[0]} twice")
            # Only our columns need names that differ.
            return [name if name in _COLUMNS else f"{number}:{name}" for number, name in enumerate(columns)], delimiter
    shown = line if len(line) <= 80 else f"{line[:77]}..."
    raise ConfigError(
        f"{path}: the first line is {shown!r}, expected a header that names the columns text and label (and perhaps id "
        "and brand), parted by commas, tabs or semicolons"
    )


def _quoting(delimiter: str) -> Literal[0, 3]:
    return csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL


def _cells(content: str, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Give each row's first line and its cells, or what is wrong with it."""
    reader = csv.reader(
        io.StringIO(content, newline="\n"), delimiter=delimiter, quoting=_quoting(delimiter), strict=True
    )
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            told = str(exc)
            if "unexpected end" in told:
                told = "a quote is opened and never closed; nothing after it was read"
            yield line, told
