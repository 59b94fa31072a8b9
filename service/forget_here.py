"""A person's request, done to its end on one machine: store, dead letters, records of the log, write-ahead files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from domain.clock import Clock
from ingest.stage import IngestStage
from search.retractions import RetractionRow
from search.store import Store
from service.control import Report
from service.forget import ForgetRequest, already
from service.forget_known import look
from service.forgetting import Forgetting
from service.forgotten_records import overwrite_records
from stream.embedded import EmbeddedLog
from stream.letter_names import Subject
from stream.protocol import Log

_REPORT_SECONDS = 0.25
_LOOK_SECONDS = 0.02
# Readers that keep a write-ahead file from being cut, or a group that is behind, are waited for so long.
_PATIENCE_SECONDS = 5.0


class ForgetHere:
    """What a pipeline does for `soundings forget`. Thread-safe."""

    def __init__(
        self,
        log: Log,
        store: Store,
        stage: IngestStage,
        forgetting: Forgetting,
        clock: Clock,
        check: Callable[[], None],
    ) -> None:
        """Prepare; `check` raises what ended a stage."""
        self._log, self._store, self._stage, self._forgetting = log, store, stage, forgetting
        self._clock, self._check = clock, check

    def perform(self, request: ForgetRequest, report: Report) -> dict[str, Any]:
        """Retract what a person asks for; returns once nothing of it can be found.

        Returns:
            `id`; how many `mentions` and dead `letters` went; `already`: what to say where it was asked for before;
            `hints`: what may have been meant where nothing is known of it; `cut`: whether no file holds it any more
            but those of the search index.

        Raises:
            ConfigError: its source is none of ours, and nothing of it is or was stored.
            RetryLater, BackendDown: a store or a stage failed; the same request again ends it.
        """
        known = look(self._store, request)
        letters = self._forgetting.about(Subject(request.kind, request.source, request.key))
        since = self._clock.now()
        key = request.perform(self._stage)
        told = time.monotonic()

        def waits() -> None:
            nonlocal told
            self._check()
            if time.monotonic() - told >= _REPORT_SECONDS:
                told = time.monotonic()
                report({"stages": {"forget": {"done": 0, "total": 1}}})

        while not (done := [one for one in self._done(since) if (one.key, one.asked_by) == (key, request.asked_by)]):
            waits()
            self._clock.sleep(_LOOK_SECONDS)
        self._forgetting.step()
        return {
            "id": key,
            "mentions": done[0].mentions,
            "letters": letters,
            "already": "" if known.asked_before is None else already(known.asked_before),
            "hints": list(known.hints),
            "cut": self._overwrite(request, waits),
        }

    def _done(self, since: datetime) -> Sequence[RetractionRow]:
        # The ledger counts in milliseconds.
        return self._store.retractions(done_since=since - timedelta(milliseconds=1))

    def _overwrite(self, request: ForgetRequest, waits: Callable[[], None]) -> bool:
        """Overwrite what the files of one machine hold of it; tells whether nobody was in the way."""
        until = time.monotonic() + _PATIENCE_SECONDS
        done = not isinstance(self._log, EmbeddedLog)
        while True:
            if isinstance(self._log, EmbeddedLog) and not done:
                done = overwrite_records(self._log, request, self._clock.now(), waits)
            # Anyway: what was overwritten just now stands in such a file, and the file behind it holds what was there.
            if self._forgetting.cut(anyway=True) and done:
                return True
            if time.monotonic() >= until:
                return False
            waits()
            self._clock.sleep(_LOOK_SECONDS)
