"""Books beside offsets: outcome counts that only ever grow, written into the metadata of an offset commit.

A commit stores offset and metadata together or not at all, and only for the member that owns the partition. So a
record is counted exactly once, however often it was read. The counts are totals since the beginning and not
additions: a commit that is repeated because nobody knows whether it arrived changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from domain.errors import ConfigError
from domain.records import Outcome
from stream.protocol import Count

VERSION = 1
# A broker takes 4,096 characters by default (offset.metadata.max.bytes); what we write is ASCII.
METADATA_CHARS = 4_000

# Of one run: "stage/outcome" or "stage/outcome/reason" -> how many.
RunTotals: TypeAlias = dict[str, int]


def key_of(count: Count) -> str:
    """Give the key of a count within its run."""
    return "/".join((count.stage, count.outcome.value, count.reason) if count.reason else (count.stage, count.outcome))


def counts_of(run: str, totals: Mapping[str, int]) -> Iterator[Count]:
    """Give the counts of a run back."""
    for key, number in totals.items():
        stage, outcome, *reason = key.split("/", 2)
        yield Count(stage, run, Outcome(outcome), number, reason[0] if reason else "")


@dataclass(slots=True)
class Totals:
    """What one group's commit for one partition says.

    `moved` tells that totals of other runs lie in the topic `books`. `dead_from`: no letter of a record that is not
    committed lies before this offset of the topic `dead`.
    """

    runs: dict[str, RunTotals] = field(default_factory=dict)
    moved: bool = False
    dead_from: int = 0

    @staticmethod
    def read(metadata: str) -> Totals:
        """Read what `write` wrote; an empty text is an empty book.

        Raises:
            ConfigError: a newer version wrote it, or another program.
        """
        if not metadata:
            return Totals()
        try:
            found = json.loads(metadata)
            if found["v"] != VERSION:
                raise ValueError(found["v"])
            return Totals(found.get("r", {}), found.get("m", False), found.get("d", 0))
        except (ValueError, KeyError, TypeError) as exc:
            raise ConfigError(
                "the offsets of this group were committed by another program or a newer Soundings "
                f"(found {metadata[:40]!r}): upgrade this worker, or give [kafka] another prefix"
            ) from exc

    def write(self) -> str:
        """Give the metadata of the commit."""
        document: dict[str, object] = {"v": VERSION}
        if self.moved:
            document["m"] = True
        if self.dead_from:
            document["d"] = self.dead_from
        if self.runs:
            document["r"] = self.runs
        return json.dumps(document, separators=(",", ":"))

    def copy(self) -> Totals:
        """Give another one with the same totals, to be changed and committed."""
        return Totals({run: dict(totals) for run, totals in self.runs.items()}, self.moved, self.dead_from)

    def add(self, counts: Iterable[Count], before: Mapping[str, RunTotals]) -> None:
        """Add counts; `before` has the totals of runs that were moved, where they go on."""
        for count in counts:
            if count.run not in self.runs:
                self.runs[count.run] = dict(before.get(count.run, {}))
            totals = self.runs[count.run]
            key = key_of(count)
            totals[key] = totals.get(key, 0) + count.number

    def too_long(self) -> bool:
        """Tell whether a broker would refuse this."""
        return len(self.write()) > METADATA_CHARS
