"""The score of the Numenta Anomaly Benchmark: what a detector's flags on labelled series are worth.

After Lavin and Ahmad, "Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark" (2015), with
the three profiles and the probation of its published configuration; an implementation of our own.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

# How much of a series may pass before flags count: 15 % of its rows, of 5,000 rows at most.
PROBATION: Final = 0.15
PROBATION_ROWS: Final = 5_000
# How far behind a window, in its own widths, a flag costs all that a false one can.
FAR_BEHIND: Final = 3.0


@dataclass(frozen=True, slots=True)
class Profile:
    """What a hit is worth, and what a false flag and a missed window cost."""

    hit: float
    false_positive: float
    miss: float


PROFILES: Final[Mapping[str, Profile]] = {
    "standard": Profile(1.0, 0.11, 1.0),
    "low_fp": Profile(1.0, 0.22, 1.0),
    "low_fn": Profile(1.0, 0.11, 2.0),
}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A series with labels: one row each five minutes, and windows as numbers of their first and last row."""

    name: str
    times: tuple[datetime, ...]
    values: tuple[int, ...]
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """How many rows at the start do not count."""
        return probation_rows(len(self.times))

    @property
    def counted_windows(self) -> tuple[tuple[int, int], ...]:
        """The windows that end after the probation: those that can be hit."""
        return tuple(window for window in self.windows if window[1] >= self.probation)


@dataclass(frozen=True, slots=True)
class Score:
    """The sum of what flags are worth, beside the least (no flag at all) and the most that there is."""

    raw: float
    windows: int
    false_positives: int
    hits: int
    profile: Profile

    @property
    def normalised(self) -> float:
        """From 0 (no flag at all) to 100 (every window hit in its first row, and nothing else); it may be below 0."""
        least, most = -self.profile.miss * self.windows, self.profile.hit * self.windows
        return 100 * (self.raw - least) / (most - least) if self.windows else 0.0


def probation_rows(rows: int) -> int:
    """Give how many of a series' rows do not count."""
    return math.floor(PROBATION * min(rows, PROBATION_ROWS))


def scaled_sigmoid(position: float) -> float:
    """Give what a flag is worth at a place relative to a window: -1 its first row, 0 its end, above 0 behind it."""
    return -1.0 if position >= FAR_BEHIND else 2 / (1 + math.exp(5 * position)) - 1


def score(series: Iterable[tuple[Labelled, Sequence[int]]], profile: Profile) -> Score:
    """Score the flags on all series together, as the benchmark does.

    Args:
        series: each with the numbers of the rows that were flagged, in any order.
        profile: what hits are worth and mistakes cost.
    """
    raw, windows, false_positives, hits = 0.0, 0, 0, 0
    for labelled, flags in series:
        counted = sorted({row for row in flags if labelled.probation <= row < len(labelled.times)})
        windows += len(labelled.counted_windows)
        for start, end in labelled.counted_windows:
            # The first flag is the one that is worth most, as worth falls with time.
            first = next((row for row in counted if start <= row <= end), None)
            if first is None:
                raw -= profile.miss
                continue
            hits += 1
            raw += profile.hit * scaled_sigmoid(-(end - first + 1) / (end - start + 1)) / scaled_sigmoid(-1.0)
        for row in counted:
            if any(start <= row <= end for start, end in labelled.windows):
                continue
            false_positives += 1
            behind = [window for window in labelled.windows if window[1] < row]
            position = (row - behind[-1][1]) / (behind[-1][1] - behind[-1][0]) if behind else FAR_BEHIND
            raw += profile.false_positive * scaled_sigmoid(position)
    return Score(raw, windows, false_positives, hits, profile)


def read_folder(folder: Path) -> list[Labelled]:
    """Read every `*.csv.gz` of a folder with the labels of its `windows.json`, by name."""
    labels = json.loads((folder / "windows.json").read_text(encoding="utf-8"))
    return [_read(path, labels[path.name.removesuffix(".gz")]) for path in sorted(folder.glob("*.csv.gz"))]


def _read(path: Path, labels: Sequence[tuple[str, str]]) -> Labelled:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [(datetime.fromisoformat(row["timestamp"]), int(float(row["value"]))) for row in csv.DictReader(file)]
    times = tuple(moment.replace(tzinfo=UTC) for moment, _ in rows)
    windows = []
    for start, end in labels:
        first, last = (datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (start, end))
        inside = [number for number, moment in enumerate(times) if first <= moment <= last]
        windows.append((inside[0], inside[-1]))
    return Labelled(path.name.removesuffix(".csv.gz"), times, tuple(value for _, value in rows), tuple(windows))
