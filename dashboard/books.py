"""The books as people read them: what became of every record, stage by stage, from the log's durable counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.records import Outcome
from stream.protocol import Count, Log

# What ends a record's way through a stage; a retried record is given again and ends later.
ENDS = (Outcome.OK, Outcome.DUPLICATE, Outcome.FILTERED, Outcome.PARKED)

# Counts and offsets are read one after the other while the pipeline works: books that seem wrong are read again.
READS = 3


@dataclass(frozen=True, slots=True)
class StageInfo:
    """A stage to show. `topics` is what its `group` reads; empty for a stage that reads a source.

    `came_in` counts, from another fact than the books, how many records ever came in (such as the ends of its
    topics); None where nothing else counts them.
    """

    name: str
    meaning: str = ""
    group: str = ""
    topics: tuple[str, ...] = ()
    came_in: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class StageBooks:
    """What became of the records of one stage. `waiting` came in and is not done yet."""

    info: StageInfo
    outcomes: Mapping[Outcome, int]
    waiting: int
    # From another fact than the outcomes; None where there is none.
    came_in: int | None
    reasons: Mapping[str, int]
    runs: Mapping[str, Mapping[Outcome, int]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many records met their end here."""
        return sum(self.outcomes[outcome] for outcome in ENDS)

    @property
    def entered(self) -> int:
        """How many records came in."""
        return self.done + self.waiting if self.came_in is None else self.came_in

    @property
    def missing(self) -> int:
        """How many records that came in are not accounted for: 0, or the books are wrong (negative: counted twice)."""
        return self.entered - self.done - self.waiting

    @property
    def balanced(self) -> bool:
        """Whether every record that came in is accounted for, and every parked one has its reason."""
        return self.missing == 0 and sum(self.reasons.values()) == self.outcomes[Outcome.PARKED]


def read_books(log: Log, stages: Sequence[StageInfo]) -> tuple[StageBooks, ...]:
    """Give the books of the stages shown, and of any other stage that has counts, after them.

    Raises:
        RetryLater, BackendDown: the log cannot be read.
    """
    for _ in range(READS):
        books = _read(log, stages)
        if all(stage.balanced for stage in books):
            break
    return books


def _read(log: Log, stages: Sequence[StageInfo]) -> tuple[StageBooks, ...]:
    counts = log.counts()
    shown = {stage.name: stage for stage in stages}
    for count in counts:
        shown.setdefault(count.stage, StageInfo(count.stage))
    return tuple(
        _books(
            stage,
            [count for count in counts if count.stage == stage.name],
            waiting=log.lag(stage.group, stage.topics) if stage.topics else 0,
            came_in=stage.came_in() if stage.came_in else None,
        )
        for stage in shown.values()
    )


def _books(stage: StageInfo, counts: Sequence[Count], *, waiting: int, came_in: int | None) -> StageBooks:
    outcomes = dict.fromkeys(Outcome, 0)
    reasons: dict[str, int] = {}
    runs: dict[str, dict[Outcome, int]] = {}
    for count in counts:
        outcomes[count.outcome] += count.number
        run = runs.setdefault(count.run, dict.fromkeys(Outcome, 0))
        run[count.outcome] += count.number
        if count.outcome is Outcome.PARKED and count.reason:
            reasons[count.reason] = reasons.get(count.reason, 0) + count.number
    most_first = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return StageBooks(stage, outcomes, waiting, came_in, most_first, runs)
