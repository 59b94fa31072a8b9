"""Reading labelled texts: the training and development files of the sentiment model."""

from __future__ import annotations

import csv
import gzip
import html
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.records import SENTIMENTS
from domain.text import token_texts, tokens
from enrich.engine import POINTS, Passage, Stretch


@dataclass(frozen=True, slots=True)
class LabelledText:
    """One row of a training file. `label` counts into `SENTIMENTS`."""

    id: str
    label: int
    text: str


@dataclass(frozen=True, slots=True)
class LabelledBrand:
    """One row of a file about brands: the feeling of a text towards a topic. `label` counts into `POINTS`."""

    id: str
    topic: str
    label: int
    text: str

    def passage(self) -> Passage:
        """Give the text with the places of the topic."""
        return Passage(self.text, (places_of(self.topic, self.text),))


def places_of(topic: str, text: str) -> tuple[Stretch, ...]:
    """Give where the folded tokens of a topic stand one after the other in a text: as the matcher finds a phrase."""
    found, wanted = tokens(text), token_texts(topic)
    folded, size = [token.text for token in found], len(wanted)
    starts = [at for at in range(len(found) - size + 1) if wanted and folded[at : at + size] == wanted]
    return tuple((found[at].start, found[at + size - 1].end) for at in starts)


def _unquoted(text: str) -> str:
    """Undo the export's quoting: outer quotes, escaped or doubled quotes, and HTML entities."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].replace('\\""', '"').replace('""', '"')
    return html.unescape(text)


def _rows(path: Path, columns: str, labels: tuple[str, ...], place: int) -> Iterator[list[str]]:
    """Read rows of a gzipped TSV without header whose column `place` is one of `labels`."""
    width = len(columns.split(", "))
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), start=1):
            if len(row) != width or row[place] not in labels:
                expected = f"expected {columns} with a label of {labels}"
                raise ValueError(f"{path}, line {number}: {expected}, found {row[: place + 1]}")
            yield row


def read_labelled(path: Path) -> list[LabelledText]:
    """Read `id, label, text` rows from a gzipped TSV without header.

    Raises:
        ValueError: a row has not three columns or an unknown label; the line number is named.
    """
    labels: tuple[str, ...] = SENTIMENTS
    rows = _rows(path, "id, label, text", labels, 1)
    return [LabelledText(row[0], labels.index(row[1]), _unquoted(row[2])) for row in rows]


def read_labelled_brands(path: Path) -> list[LabelledBrand]:
    """Read `id, topic, score, text` rows (scores -2 to 2) from a gzipped TSV without header.

    Raises:
        ValueError: as for `read_labelled`.
    """
    labels = tuple(str(point) for point in POINTS)
    rows = _rows(path, "id, topic, score, text", labels, 2)
    return [LabelledBrand(row[0], row[1], labels.index(row[2]), _unquoted(row[3])) for row in rows]
