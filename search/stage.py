"""The index stage: mentions, withdrawals and retractions from the log into a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from domain.clock import Clock, SystemClock
from domain.errors import BadReason, BadRecord
from domain.records import AuthorRetraction, Mention, Outcome, Restoration, Retraction, Topic, Withdrawal
from search.retractions import Record
from search.store import Store, Written
from stream.dead_letters import letter_of_record
from stream.protocol import LogRecord
from stream.stage import Handled

_OK: Final = Handled(Outcome.OK)
_DUPLICATE: Final = Handled(Outcome.DUPLICATE)


class IndexStage:
    """`stream.stage.Stage` that writes the topic of mentions to a store.

    A record that comes again after a crash is OK as it was the first time, so a crash does not change the books. A
    mention that another record brought before is a DUPLICATE: an earlier stage did its work twice.
    """

    name = "index"
    group = "index"
    topics: tuple[str, ...] = (Topic.MENTIONS.value,)

    def __init__(self, store: Store, clock: Clock | None = None) -> None:
        self._store, self._clock = store, clock or SystemClock()

    def handle(self, records: Sequence[LogRecord]) -> Sequence[Handled]:
        handled = [_OK] * len(records)
        places: list[int] = []
        writes: list[Record] = []
        for place, record in enumerate(records):
            try:
                writes.append(_decoded(record))
                places.append(place)
            except BadRecord as exc:
                handled[place] = self._parked(record, exc)
        encoded = [records[place].value for place in places]
        outcomes = self._store.write(writes, encoded=encoded) if writes else ()
        for place, written in zip(places, outcomes, strict=True):
            if isinstance(written, BadRecord):
                handled[place] = self._parked(records[place], written)
            elif written is Written.REPEATED:
                handled[place] = _DUPLICATE
        return handled

    def _parked(self, record: LogRecord, error: BadRecord) -> Handled:
        letter = letter_of_record(record, error, stage=self.name, at=self._clock.now())
        return Handled(Outcome.PARKED, letter=letter)


def _decoded(record: LogRecord) -> Record:
    decoded = record.read()
    if isinstance(decoded, Mention | Withdrawal | Retraction | AuthorRetraction | Restoration):
        return decoded
    found = type(decoded).__name__
    raise BadRecord(BadReason.BAD_SCHEMA, f"found a {found}, expected a mention, withdrawal or retraction")
