"""Dead letters of what was retracted lose what they held: looked for beside the stages, every few seconds."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from domain.clock import Clock, from_ms, to_ms
from domain.errors import BackendDown, RetryLater
from search.retractions import RetractionRow
from search.store import Store
from stream.letter_names import LetterNames, Subject
from stream.protocol import RETRACTED, DeadLetterRow, Log, Settlement, StateWrite

logger = logging.getLogger(__name__)

SPACE = "forgetting"
_STATE = "swept"
_LOOK_SECONDS = 10.0
# Payloads may have 16 MiB each.
_LETTERS_AT_ONCE = 50
_ROWS = 10_000
# Workers that write the ledger do not share a clock, and a letter may be parked a moment after its post is gone.
_OVERLAP = timedelta(minutes=15)


class Forgetting:
    """Finds the letters of retractions that are done, and those letters that came after. Repeats change nothing."""

    def __init__(
        self, log: Log, store: Store, clock: Clock, tell: Callable[[Sequence[DeadLetterRow]], None] | None = None
    ) -> None:
        """Look on a log for what a store retracted; `tell` is told of the letters as they are then."""
        self._log, self._store, self._clock, self._tell = log, store, clock, tell
        # Rows that were looked for in every letter up to a number.
        self._swept: frozenset[str] = frozenset()
        self._up_to = 0
        self._lock = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Look until `stop`; what is away is asked again in peace."""
        while not stop.wait(_LOOK_SECONDS):
            try:
                self.step()
            except (RetryLater, BackendDown) as exc:
                logger.warning("dead letters of what was retracted wait: %s", exc)

    def step(self) -> int:
        """Look once; gives how many letters lost what they held. Thread-safe.

        Raises:
            RetryLater, BackendDown.
        """
        with self._lock:
            return self._look()

    def _look(self) -> int:
        rows = self._store.retractions(_ROWS, done_since=self._since())
        fresh = LetterNames(_subject(row) for row in rows if row.row_id not in self._swept)
        known = LetterNames(_subject(row) for row in rows if row.row_id in self._swept)
        is_fresh = any(row.row_id not in self._swept for row in rows)
        number, forgotten = 0 if is_fresh else self._up_to, 0
        while rows and (letters := self._letters_after(number)):
            number = letters[-1].number
            found = [
                row.number
                for row in letters
                if row.resolution != RETRACTED
                and (fresh.names(row.letter) or (row.number > self._up_to and known.names(row.letter)))
            ]
            if found:
                forgotten += self._log.forget_dead_letters(found, self._clock.now())
                if self._tell is not None:
                    self._tell([row for one in found if (row := self._log.dead_letter(one)) is not None])
        self._up_to = max(self._up_to, number)
        self._swept = frozenset(row.row_id for row in rows)
        done = [row.done_at for row in rows if row.done_at is not None]
        if is_fresh and done:
            mark = str(to_ms(max(done) - _OVERLAP)).encode()
            self._log.settle(Settlement(state=[StateWrite(SPACE, _STATE, mark)]))
        return forgotten

    def _since(self) -> datetime:
        """Give from when on rows may have been done that nobody looked for."""
        mark = self._log.state(SPACE, [_STATE]).get(_STATE)
        return from_ms(0 if mark is None else int(mark))

    def _letters_after(self, number: int) -> Sequence[DeadLetterRow]:
        return self._log.dead_letters(after=number, limit=_LETTERS_AT_ONCE, unresolved_only=False)


def _subject(row: RetractionRow) -> Subject:
    return Subject(row.subject, row.source, row.key)
