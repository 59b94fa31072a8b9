"""What to read and how: the file source's settings, and what a file turns out to be by name and content."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from domain.errors import BadRecord, ConfigError
from ingest.byte_stream import UTF8_BOM
from ingest.json_rows import parse_object
from ingest.lines import Line
from ingest.normalise import NormaliserSettings
from ingest.table_rows import table_rows

Format = Literal["auto", "jsonl", "csv", "tsv"]

STDIN = "-"
# Rows from which the columns of a JSONL file are learnt.
SAMPLE_ROWS = 1000
_SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv",
}  # fmt: skip
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSettings:
    """What to read and how.

    `path`: a file, or "-" for standard input. `format`: told by name and content when "auto". `name`: the source of
    rows that name none. `columns`: our field names (`ingest.source.RAW_FIELDS`) to their column, or the dotted
    path into JSON; "" switches a guess off. `header`: the columns of a table that has no header line.
    `delimiter`: one character, found in the header line when "". `quoting`: whether a table's cells may be
    quoted; None means yes for CSV, no for TSV, where a tweet's quotes are just characters. `encoding`: "auto" is
    UTF-8, or UTF-16 where a byte order mark says so. `normalise`: how values are read.
    """

    path: str
    format: Format = "auto"
    name: str = "file"
    columns: Mapping[str, str] = field(default_factory=dict)
    header: tuple[str, ...] = ()
    delimiter: str = ""
    quoting: bool | None = None
    encoding: str = "auto"
    normalise: NormaliserSettings = field(default_factory=lambda: NormaliserSettings(backfilled=True))


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file turned out to be. `start` and `line` are where its rows begin."""

    format: Format
    delimiter: str = ""
    quoting: bool = False
    header: tuple[str, ...] = ()
    header_line: bytes = b""
    start: int = 0
    line: int = 0


def find_shape(settings: FileSettings, sample: bytes, *, name: str | None = None) -> Shape:
    """Tell format, delimiter and header from the settings, then the name, then the beginning of the content.

    Args:
        settings: what is known.
        sample: the beginning, decompressed and in UTF-8; the whole first line, at least.
        name: the file's name; None for the settings' own.

    Raises:
        ConfigError: a table without a readable header line.
    """
    file_format = settings.format
    if file_format == "auto":
        path = Path(settings.path if name is None else name)
        suffix = (path.with_suffix("") if path.suffix.lower() in (".gz", ".gzip") else path).suffix.lower()
        file_format = _SUFFIXES.get(suffix, "auto")
    mark = len(UTF8_BOM) if sample.startswith(UTF8_BOM) else 0
    end = sample.find(b"\n", mark)
    first = sample[mark:] if end < 0 else sample[mark:end]
    if file_format == "auto":
        if first.lstrip()[:1] in (b"{", b"["):
            file_format = "jsonl"
        else:
            file_format = "tsv" if b"\t" in first else "csv"
    if file_format == "jsonl":
        return Shape("jsonl", start=mark)
    quoting = settings.quoting if settings.quoting is not None else file_format == "csv"
    delimiter = settings.delimiter or ("\t" if file_format == "tsv" else _find_delimiter(first))
    if settings.header:
        return Shape(file_format, delimiter, quoting, settings.header, start=mark)
    header = _read_header(settings.path, first, delimiter, quoting)
    return Shape(file_format, delimiter, quoting, header, first, mark + len(first) + (end >= 0), 1)


def sample_rows(shape: Shape, sample: bytes, *, ended: bool) -> tuple[Sequence[Mapping[str, object]], bool]:
    """Give rows to learn the columns from, and whether these are all the columns there are.

    Args:
        shape: what the file is.
        sample: its beginning.
        ended: the sample is the whole file.
    """
    if shape.format != "jsonl":
        return ([dict.fromkeys(shape.header, "")] if shape.header else []), True
    rows: list[Mapping[str, object]] = []
    lines = sample[shape.start :].split(b"\n", SAMPLE_ROWS)
    for line in lines[:SAMPLE_ROWS]:
        # A bad line is told in its place, when it is read.
        with suppress(BadRecord):
            rows.append(parse_object(line))
    return rows, ended and len(lines) <= SAMPLE_ROWS


def _read_header(path: str, line: bytes, delimiter: str, quoting: bool) -> tuple[str, ...]:
    if not line.strip():
        return ()
    row = next(table_rows(iter((Line(line, 1, len(line)),)), delimiter=delimiter, quoting=quoting), None)
    if row is None or isinstance(row.cells, BadRecord):
        why = row.cells.detail if row is not None and isinstance(row.cells, BadRecord) else "it is empty"
        raise ConfigError(f"{path}: the first line is no header: {why}; name the columns with `header`")
    names = tuple(cell.strip() or f"column {number}" for number, cell in enumerate(row.cells, start=1))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"{path}: the header has {', '.join(repeated[:5])} twice; expected each column once")
    return names


def _find_delimiter(line: bytes) -> str:
    return max(_DELIMITERS, key=lambda sign: line.count(sign.encode()))


def settings_problems(settings: FileSettings) -> list[str]:
    """Give what is wrong with the settings, one line each."""
    problems = []
    if settings.format not in ("auto", "jsonl", "csv", "tsv"):
        problems.append(f"format = {settings.format!r}: expected auto, jsonl, csv or tsv")
    if len(settings.delimiter) > 1 or settings.delimiter in ('"', "\n", "\r"):
        problems.append(f"delimiter = {settings.delimiter!r}: expected one character that is no quote or line break")
    if len(set(settings.header)) != len(settings.header):
        problems.append("header: expected each column once")
    if settings.encoding != "auto":
        try:
            codecs.lookup(settings.encoding)
            "".encode(settings.encoding)
        except (LookupError, TypeError):
            problems.append(f"encoding = {settings.encoding!r}: unknown; try utf-8, utf-16 or cp1252")
    return problems
