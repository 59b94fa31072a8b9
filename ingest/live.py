"""Listening to one live source: for ever, whatever it does; only the log can end it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

from domain.clock import Clock
from domain.errors import BackendDown, ConfigError, RetryLater
from domain.records import Outcome
from ingest.normalise import Normaliser
from ingest.runner import PAUSE_SECONDS, Brake, RunnerSettings, cursor_write, patiently, saved_cursor, sleep_until
from ingest.source import Acknowledged, Item, LiveReader, LiveSource, Placed
from ingest.stage import Handled, IngestStage
from ingest.status import SourceState, SourceWatch
from stream.park_cap import ParkWatch
from stream.protocol import LIVE_RUN, Log, Settlement

logger = logging.getLogger(__name__)

# Whoever mends a key or a setting waits no longer than this for it to be noticed.
REFUSED_SECONDS = 60.0
FLOOD_SECONDS = 600.0
_FAULT_SECONDS = 30.0
# While nothing comes, the place of a source is kept no more often than this.
PLACE_SECONDS = 10.0
# The same trouble is told again this often, where its reason changes.
_TELL_SECONDS = 60.0


def no_hold() -> str:
    """Nothing else keeps a source from being read."""
    return ""


def listen(
    source: LiveSource,
    stage: IngestStage,
    log: Log,
    clock: Clock,
    *,
    stop: threading.Event,
    watch: SourceWatch,
    settings: RunnerSettings | None = None,
    hold: Callable[[], str] = no_hold,
) -> None:
    """Read a live source until `stop`, going on at its settled cursor.

    A source that is away, that refuses us or that fails on something unexpected is tried again for ever, and `watch`
    says so; the others are not touched by it.

    Args:
        source: what to listen to.
        stage: where its items go.
        log: keeps the cursor, settled with each batch.
        clock: for waits.
        stop: ends it after the batch at hand.
        watch: told how the source fares.
        settings: sizes of batches and the stages that may be behind.
        hold: why nothing may be read right now, "" when it may (such as a disk that is nearly full).

    Raises:
        ConfigError: the time zone of the source does not exist.
        BackendDown: the log is broken or was away for ten minutes.
    """
    stage.took_over(source.name)
    listener = _Listener(source, stage, log, clock, stop, watch, settings or RunnerSettings(), hold)
    try:
        while not stop.is_set():
            listener.step()
    finally:
        listener.close()
        watch.stopped()


class _Listener:
    def __init__(
        self,
        source: LiveSource,
        stage: IngestStage,
        log: Log,
        clock: Clock,
        stop: threading.Event,
        watch: SourceWatch,
        settings: RunnerSettings,
        hold: Callable[[], str],
    ) -> None:
        self._source, self._stage, self._log, self._clock = source, stage, log, clock
        self._stop, self._watch, self._settings, self._hold = stop, watch, settings, hold
        self._normaliser = Normaliser(source.name, source.normalise)
        self._brake = Brake(log, settings, clock)
        self._park = ParkWatch(settings.park_cap)
        self._reader: LiveReader | None = None
        # When a cursor was settled last, and one that is to be settled without items.
        self._settled_at = float("-inf")
        self._place: str | None = None
        # What the program's log was last told, and when.
        self._told: SourceState | None = None
        self._told_at = 0.0

    def step(self) -> None:
        """Read and settle one batch, or wait for what stands in the way."""
        if held := self._held():
            self._wait(SourceState.PAUSED, held, PAUSE_SECONDS)
            return
        items = self._read()
        if self._stop.is_set():
            return
        if items:
            self._settle(items)
        elif self._place is not None:
            self._settle_place(self._place)

    def close(self) -> None:
        """Let go of the connection."""
        if self._reader is not None:
            reader, self._reader = self._reader, None
            try:
                reader.close()
            except Exception:
                # Nothing of it is needed any more, and what it says may quote what somebody wrote.
                logger.debug("source %s could not be closed well", self._source.name, exc_info=True)

    def _held(self) -> str:
        if held := self._hold():
            return held
        if patiently(self._brake.holds, True, "the log", self._clock, self._stop):
            return "a stage is far behind; reading goes on when it has caught up"
        return ""

    def _read(self) -> Sequence[Item]:
        self._place = None
        try:
            if self._reader is None:
                nowhere = cast("str | None", None)
                cursor = patiently(self._saved, nowhere, "the log", self._clock, self._stop)
                self._reader = self._source.open(cursor)
            items = self._reader.read(self._settings.batch_items) or ()
            vitals = self._reader.vitals()
            self._watch.got(items, vitals)
            if vitals.connected and self._told is not None:
                self._told = None
                logger.info("source %s is heard again", self._source.name)
            if not items and self._clock.monotonic() - self._settled_at >= PLACE_SECONDS:
                self._place = self._reader.place() if isinstance(self._reader, Placed) else None
            return items
        except RetryLater as exc:
            self._wait(SourceState.WAITING, str(exc), exc.after_seconds)
        except ConfigError as exc:
            self._wait(SourceState.REFUSED, exc.problems[0], REFUSED_SECONDS)
        except BackendDown as exc:
            self._wait(SourceState.WAITING, str(exc), _FAULT_SECONDS)
        except Exception as exc:
            # One source that fails on something that nobody thought of must not end the others. What the error says
            # may quote what somebody wrote: its type and place are told, its text only to those who debug.
            logger.exception("source %s failed on something that it did not expect", self._source.name)
            self._wait(SourceState.WAITING, f"failed on {type(exc).__name__}, which it did not expect", _FAULT_SECONDS)
            self.close()
        return ()

    def _saved(self) -> str | None:
        return saved_cursor(self._log, self._source.key)[0]

    def _settle(self, items: Sequence[Item]) -> None:
        state = [cursor_write(self._source.key, items[-1].cursor)]
        settle = partial(
            self._stage.handle, items, self._normaliser, source=self._source.name, run=LIVE_RUN, state=state
        )
        nothing: Handled | None = None
        handled = patiently(settle, nothing, "the log", self._clock, self._stop)
        if handled is None:
            # Asked to stop before it was settled: it is read again.
            return
        self._settled_at = self._clock.monotonic()
        if isinstance(self._reader, Acknowledged):
            self._reader.settled(handled.outcomes, handled.errors, handled.retracted)
        self._brake.wrote(handled.outcomes.count(Outcome.OK))
        if flood := self._park.exceeded(handled.outcomes):
            example = handled.errors[0].detail if handled.errors else ""
            self._park = ParkWatch(self._settings.park_cap)
            self._wait(SourceState.REFUSED, f"{flood} could not be read ({example})", FLOOD_SECONDS)

    def _settle_place(self, cursor: str) -> None:
        settlement = Settlement(source=self._source.name, state=[cursor_write(self._source.key, cursor)])
        patiently(partial(self._log.settle, settlement), None, "the log", self._clock, self._stop)
        self._settled_at = self._clock.monotonic()

    def _wait(self, state: SourceState, reason: str, seconds: float) -> None:
        vitals = self._reader.vitals() if self._reader is not None else None
        news, now = self._watch.trouble(state, reason, vitals), self._clock.monotonic()
        # Whoever tries one host after another has another reason each time.
        if news and (state is not self._told or now - self._told_at >= _TELL_SECONDS):
            self._told, self._told_at = state, now
            logger.warning("source %s is %s: %s", self._source.name, state.value, reason)
        sleep_until(max(seconds, PAUSE_SECONDS), self._clock, self._stop)
