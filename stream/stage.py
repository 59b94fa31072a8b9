"""What a stage is to the worker loop: a name, the topics it reads, and a function from records to outcomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

from domain.records import DeadLetter, Outcome
from stream.protocol import LogRecord, OutRecord


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of one record.

    `outputs` go on with OK, DUPLICATE and FILTERED; `letter` comes with PARKED and only with it (build it
    with `stream.dead_letters.letter_of_record`). RETRIED gives the record again after `retry_after_seconds`
    (None: the worker's own backoff).
    """

    outcome: Outcome
    outputs: tuple[OutRecord, ...] = ()
    letter: DeadLetter | None = None
    retry_after_seconds: float | None = None

    def __post_init__(self) -> None:
        if (self.letter is not None) != (self.outcome is Outcome.PARKED):
            raise ValueError(f"a dead letter comes with PARKED and only with it, found {self.outcome.value}")
        if self.outputs and self.outcome in (Outcome.PARKED, Outcome.RETRIED):
            raise ValueError(f"a record that was {self.outcome.value} has no outputs, found {len(self.outputs)}")


class Stage(Protocol):
    """One step of the flow. The worker calls it from one thread."""

    @property
    def name(self) -> str:
        """Under which the books are kept, such as `enrich`."""

    @property
    def group(self) -> str:
        """The consumer group that it reads with; usually its name."""

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics it reads."""

    def handle(self, records: Sequence[LogRecord]) -> Sequence[Handled]:
        """Give exactly one outcome per record, in order; 1 or more records, which may come again after a crash.

        A record that cannot be processed is best returned as PARKED; raising is for what the stage did not expect.

        Raises:
            BadRecord: the worker halves the batch until it finds the record, and parks it with this reason.
            RetryLater, BackendDown: not the records' fault; the worker backs off and gives the batch again.
            Exception: as BadRecord, parked as ENGINE_FAILED.
        """


Finish: TypeAlias = Callable[[], Sequence[Handled]]


@runtime_checkable
class OverlappingStage(Stage, Protocol):
    """A stage that works on a batch beside its caller: the worker begins the next one before it settles this one."""

    def begin(self, records: Sequence[LogRecord]) -> Finish:
        """Start on a batch and return at once; what it gives waits for the work and answers as `handle` does.

        A batch may never be finished: after a failure the worker drops it and gives its records again.
        """
