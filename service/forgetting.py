"""What a retraction leaves to be done beside the stages, every few seconds: its dead letters, and write-ahead files."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

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


class KeepsWal(Protocol):
    """A file of one machine with a write-ahead file, in which what is gone may stand for hours."""

    def cut_wal(self) -> bool:
        """Empty the write-ahead file; False where a reader is in the way.

        Raises:
            BackendDown: the disk is full or broken.
        """


class Forgetting:
    """Finds the letters of retractions that are done, and those letters that came after. Repeats change nothing."""

    def __init__(
        self,
        log: Log,
        store: Store,
        clock: Clock,
        tell: Callable[[Sequence[DeadLetterRow]], None] | None = None,
        files: Sequence[KeepsWal] = (),
    ) -> None:
        """Look on a log for what a store retracted.

        Args:
            log: with the letters.
            store: with the ledger.
            clock: for when letters were resolved.
            tell: told of the letters as they are then.
            files: whose write-ahead files are cut after each retraction.
        """
        self._log, self._store, self._clock, self._tell = log, store, clock, tell
        # Those that may still hold what is gone; at the start all, for a kill leaves such files.
        self._files, self._uncut = tuple(files), list(files)
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
            forgotten = self._look()
        self.cut()
        return forgotten

    def about(self, subject: Subject) -> int:
        """Count the letters that are about a subject and still hold something.

        Raises:
            RetryLater, BackendDown.
        """
        names, number, found = LetterNames([subject]), 0, 0
        while letters := self._letters_after(number):
            number = letters[-1].number
            found += sum(row.resolution != RETRACTED and names.names(row.letter) for row in letters)
        return found

    def cut(self, *, anyway: bool = False) -> bool:
        """Cut write-ahead files that may hold what is gone, or all `anyway`; tells whether none is left. Thread-safe.

        Raises:
            BackendDown.
        """
        with self._lock:
            uncut = self._files if anyway else self._uncut
            self._uncut = [file for file in uncut if not file.cut_wal()]
            return not self._uncut

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
        if is_fresh or forgotten:
            self._uncut = list(self._files)
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
