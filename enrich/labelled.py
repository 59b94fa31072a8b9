"""Reading labelled texts: the training and development files of the sentiment model."""

from __future__ import annotations

import csv
import gzip
import html
from dataclasses import dataclass
from pathlib import Path

from domain.records import SENTIMENTS


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One row of a training file. `label` counts into `SENTIMENTS`."""

    id: str
    label: int
    text: str


def _unquoted(text: str) -> str:
    """Undo the export's quoting: outer quotes, escaped or doubled quotes, and HTML entities."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\""', '"').replace('""', '"')
    return html.unescape(text)


def read_labelled(path: Path) -> list[LabelledText]:
    """Read `id, label, text` rows from a gzipped TSV without header.

    Raises:
        ValueError: a row has not three columns or an unknown label; the line number is named.
    """
    rows = []
    labels: tuple[str, ...] = SENTIMENTS
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if len(row) != 3 or row[1] not in labels:
                expected = f"expected id, label, text with a label of {labels}"
                raise ValueError(f"{path}, line {number}: {expected}, found {row[:2]}")
            rows.append(LabelledText(row[0], labels.index(row[1]), _unquoted(row[2])))
    return rows
