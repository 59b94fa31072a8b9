"""The worker loop: polls, calls a stage, settles; with retry, parking and the books."""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from domain.clock import Clock
from domain.errors import BackendDown, BadReason, BadRecord, Busy, ConfigError, RetryLater
from domain.records import Outcome
from stream.dead_letters import letter_of_record
from stream.observer import Observer, SettledBatch
from stream.park_cap import ParkCap, ParkWatch
from stream.protocol import Count, Log, LogRecord, Settlement
from stream.stage import Finish, Handled, OverlappingStage, Stage

__all__ = ["Handled", "Stage", "Worker", "WorkerSettings"]

logger = logging.getLogger(__name__)

_Partition: TypeAlias = tuple[str, int]

# What stands still when the log itself is in trouble.
_POLLING: _Partition = ("", 0)
_SETTLING: _Partition = ("", 1)

# A waiting worker looks at its stop flag this often, so that stopping is prompt.
_SLICE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker goes about its stage.

    `retry_budget_seconds` is how long a partition may stand still before the worker gives up. Waits grow from
    `first_wait_seconds`, doubling up to `most_wait_seconds`, each drawn evenly from zero to that (full jitter).
    """

    batch_records: int = 256
    poll_seconds: float = 0.5
    retry_budget_seconds: float = 600.0
    first_wait_seconds: float = 0.5
    most_wait_seconds: float = 30.0
    park_cap: ParkCap = field(default_factory=ParkCap)

    def __post_init__(self) -> None:
        if self.batch_records < 1 or min(self.retry_budget_seconds, self.poll_seconds) < 0:
            raise ValueError("expected batch_records >= 1 and no negative seconds")
        if not 0 < self.first_wait_seconds <= self.most_wait_seconds:
            raise ValueError(
                f"expected 0 < first_wait_seconds <= most_wait_seconds, "
                f"found {self.first_wait_seconds} and {self.most_wait_seconds}"
            )


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch that the stage works on, or will when it is finished."""

    records: Sequence[LogRecord]
    finish: Finish
    since: float


class Worker:
    """Runs one stage on one log, in one thread; of an overlapping stage it begins one batch ahead.

    Every record leaves with exactly one final outcome, settled together with its outputs. Of each partition the
    records before the first RETRIED one are settled; that one and those after it come again after a wait.
    The cap on parking counts from the start of this worker.
    """

    def __init__(
        self,
        log: Log,
        stage: Stage,
        *,
        clock: Clock,
        settings: WorkerSettings | None = None,
        observer: Observer | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        """Join the stage's group.

        Args:
            log: where records come from and go to.
            stage: what is done to them.
            clock: for waits and for when letters were parked.
            settings: see `WorkerSettings`.
            observer: told of every settlement and of everything that is tried again.
            jitter: source of chance for the waits.
        """
        self._log, self._stage, self._clock = log, stage, clock
        self._settings = settings or WorkerSettings()
        self._observer = observer
        # Chance spreads retries; nothing secret hangs on it.
        self._jitter = jitter or random.Random()  # noqa: S311
        self._consumer = log.consumer(stage.group, stage.topics)
        self._watch = ParkWatch(self._settings.park_cap)
        # Since when a partition stands still, and when it was last met: one that another worker took is not met again.
        self._stuck_since: dict[_Partition, tuple[float, float]] = {}
        self._ahead: _Begun | None = None
        self._attempts = 0
        self._resume_at = 0.0
        self._trouble = ""
        # Something was tried again since a batch was settled, or there was nothing to do.
        self._troubled = False

    def step(self, timeout_seconds: float = 0.0) -> int:
        """Do one batch, waiting up to `timeout_seconds` for records; give how many got their final outcome.

        While it waits to retry it does nothing and gives 0 at once.

        Raises:
            BackendDown: a partition stood still for the retry budget, or the log itself failed.
            ConfigError: the cap on parked records was reached; the batch that reached it is settled, so that its
                dead letters can be looked at.
            ValueError: the stage broke its contract.
        """
        if self.waiting_seconds() > 0:
            # An empty poll tells a broker that we are alive, and loses nothing.
            with suppress(RetryLater):
                self._consumer.poll(0, 0.0)
            return 0
        begun, self._ahead = self._ahead, None
        if begun is None:
            try:
                begun = self._begin(timeout_seconds)
            except RetryLater as exc:
                self._trouble = str(exc)
                self._back_off([_POLLING], exc.after_seconds, records=0)
                return 0
            self._stuck_since.pop(_POLLING, None)
        if begun is None:
            self._rest_from_trouble()
            return 0
        if isinstance(self._stage, OverlappingStage):
            # A log in trouble says so again when this batch is done.
            with suppress(RetryLater):
                self._ahead = self._begin(0.0)
        self._trouble = ""
        return self._settle(begun, self._outcomes(begun.records, begun.finish))

    def _rest_from_trouble(self) -> None:
        """After a poll that gave nothing, see whether what was tried again is over; another may have seen to it."""
        if not self._troubled:
            return
        with suppress(RetryLater):
            if self._stuck_since and self._log.lag(self._stage.group, self._stage.topics) > 0:
                return
            self._stuck_since.clear()
            self._attempts, self._troubled = 0, False
            if self._observer is not None:
                self._observer.at_rest(self._stage.name)

    def _begin(self, timeout_seconds: float) -> _Begun | None:
        """Poll a batch and begin it, if there is one."""
        records = self._consumer.poll(self._settings.batch_records, timeout_seconds)
        if not records:
            return None
        since = self._clock.monotonic()
        finish: Finish = partial(self._stage.handle, records)
        if isinstance(self._stage, OverlappingStage):
            try:
                finish = self._stage.begin(records)
            except Exception:
                # Handling it fails in the same way, and then the record at fault is looked for.
                logger.debug("stage %s could not begin a batch", self._stage.name, exc_info=True)
        return _Begun(records, finish, since)

    def joined(self) -> bool:
        """Tell whether the group gave this worker its share, which may be nothing."""
        return self._consumer.joined()

    def waiting_seconds(self) -> float:
        """Give how long the worker still waits before its next try; 0 when it does not."""
        return max(0.0, self._resume_at - self._clock.monotonic())

    def drain(self, stop: threading.Event | None = None) -> int:
        """Work until the group has no lag, or until `stop`; give how many records got their final outcome.

        Raises:
            As `step`.
        """
        handled = 0
        while not (stop and stop.is_set()) and self._log.lag(self._stage.group, self._stage.topics) > 0:
            handled += self.step()
            self._rest()
        return handled

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then leave the group.

        Raises:
            As `step`.
        """
        try:
            while not stop.is_set():
                self.step(self._settings.poll_seconds)
                self._rest()
        finally:
            self.close()

    def close(self) -> None:
        """Leave the group; what was not settled comes again to the next member."""
        self._consumer.close()

    def _rest(self) -> None:
        self._clock.sleep(min(self.waiting_seconds(), _SLICE_SECONDS))

    def _outcomes(self, records: Sequence[LogRecord], finish: Finish) -> list[Handled]:
        """Give one outcome per record, halving a batch that fails until the record at fault stands alone."""
        try:
            handled = list(finish())
        except (RetryLater, BackendDown) as exc:
            self._trouble = str(exc)
            after = exc.after_seconds if isinstance(exc, RetryLater) else None
            return [Handled(Outcome.RETRIED, retry_after_seconds=after)] * len(records)
        except (ConfigError, Busy):
            raise
        except Exception as exc:
            if len(records) == 1:
                return [self._park(records[0], exc)]
            middle = len(records) // 2
            first = self._outcomes(records[:middle], partial(self._stage.handle, records[:middle]))
            if any(one.outcome is Outcome.RETRIED for one in first):
                # The backend is struggling: leave the other half alone until the next try.
                return first + [Handled(Outcome.RETRIED)] * (len(records) - middle)
            return first + self._outcomes(records[middle:], partial(self._stage.handle, records[middle:]))
        if len(handled) != len(records):
            raise ValueError(f"stage {self._stage.name} gave {len(handled)} outcomes for {len(records)} records")
        return handled

    def _park(self, record: LogRecord, exc: Exception) -> Handled:
        if isinstance(exc, BadRecord):
            error = exc
        else:
            error = BadRecord(BadReason.ENGINE_FAILED, f"{type(exc).__name__}: {exc}")
            place = f"{record.topic}/{record.partition}@{record.offset}"
            logger.warning("stage %s failed on %s with %s: parked", self._stage.name, place, type(exc).__name__)
            # The message and the trace may hold the text of a post.
            logger.debug("what stage %s met at %s", self._stage.name, place, exc_info=exc)
        letter = letter_of_record(record, error, stage=self._stage.name, at=self._clock.now())
        return Handled(Outcome.PARKED, letter=letter)

    def _settle(self, begun: _Begun, handled: Sequence[Handled]) -> int:
        """Settle the done prefix of each partition, and wait when something is left to retry."""
        settlement = Settlement(group=self._stage.group)
        numbers: Counter[tuple[str, Outcome, str]] = Counter()
        stuck: list[_Partition] = []
        asked_seconds = 0.0
        final: list[Outcome] = []
        done: list[LogRecord] = []
        for record, one in zip(begun.records, handled, strict=True):
            partition = (record.topic, record.partition)
            if partition in stuck:
                continue
            if one.outcome is Outcome.RETRIED:
                stuck.append(partition)
                asked_seconds = max(asked_seconds, one.retry_after_seconds or 0.0)
                continue
            self._check_run(record, one)
            settlement.outputs += one.outputs
            if one.letter is not None:
                settlement.dead.append(one.letter)
            numbers[record.run, one.outcome, one.letter.reason if one.letter else ""] += 1
            settlement.offsets[partition] = record.offset + 1
            final.append(one.outcome)
            done.append(record)
        settlement.counts = [
            Count(self._stage.name, run, outcome, number, reason) for (run, outcome, reason), number in numbers.items()
        ]
        if final:
            try:
                self._log.settle(settlement)
            except RetryLater as exc:
                self._trouble = str(exc)
                self._back_off([_SETTLING], exc.after_seconds, records=len(begun.records))
                return 0
            self._attempts = 0
            self._troubled = False
            self._stuck_since.pop(_SETTLING, None)
            for partition in settlement.offsets:
                self._stuck_since.pop(partition, None)
            if self._observer is not None:
                seconds = self._clock.monotonic() - begun.since
                self._observer.settled(SettledBatch(self._stage.name, settlement.counts, seconds, done))
            self._stop_a_flood(final, settlement)
        if stuck:
            self._back_off(stuck, asked_seconds, records=len(begun.records) - len(final))
        return len(final)

    def _check_run(self, record: LogRecord, one: Handled) -> None:
        """See that what a record leaves behind belongs to its run: the books of a replay are its own."""
        runs = {output.run for output in one.outputs}
        if one.letter is not None:
            runs.add(one.letter.run)
        if runs - {record.run}:
            raise ValueError(f"stage {self._stage.name} answered run {record.run!r} with records of {sorted(runs)}")

    def _stop_a_flood(self, final: Sequence[Outcome], settlement: Settlement) -> None:
        found = self._watch.exceeded(final)
        if found is not None:
            reasons = Counter(letter.reason for letter in settlement.dead)
            raise ConfigError(
                f"stage {self._stage.name} could not process {found} (lately {reasons.most_common(1)[0][0]}), so it "
                "stopped before it parks more: look at the dead letters, mend the cause, start again, retry them"
            )

    def _back_off(self, stuck: Sequence[_Partition], asked_seconds: float, *, records: int) -> None:
        """Wait before the next try, or give up after the budget."""
        now = self._clock.monotonic()
        budget = self._settings.retry_budget_seconds
        for partition in stuck:
            since, met = self._stuck_since.get(partition, (now, now))
            self._stuck_since[partition] = (since if now - met <= budget else now, now)
        left = min(self._stuck_since[partition][0] for partition in stuck) + budget - now
        trouble = self._trouble or "the stage asked to retry"
        if self._observer is not None:
            self._observer.retried(self._stage.name, records, trouble)
        if left <= 0:
            raise BackendDown(f"stage {self._stage.name} made no progress for {budget:.0f} s: {trouble}")
        most = min(self._settings.most_wait_seconds, self._settings.first_wait_seconds * 2.0 ** min(self._attempts, 60))
        # Never past the budget, whatever the backend asks for.
        wait = min(max(asked_seconds, self._jitter.uniform(0.0, most)), left)
        self._attempts += 1
        self._troubled = True
        self._resume_at = now + wait
        # What was begun ahead comes again too.
        self._ahead = None
        self._consumer.rewind()
        logger.warning("stage %s tries again in %.1f s: %s", self._stage.name, wait, trouble)
