"""A stage that does what the record says: its value names the outcome, so a test scripts it by what it appends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from domain.errors import BackendDown, BadReason, BadRecord, RetryLater
from domain.records import Outcome
from stream.dead_letters import letter_of_record
from stream.protocol import LogRecord, OutRecord
from stream.stage import Finish, Handled

PARKED_AT = datetime(2026, 1, 5, tzinfo=UTC)


class ScriptedStage:
    """Reads `posts`, writes what is `ok` to `mentions`.

    Values: `ok`, `duplicate`, `filtered`, `parked` give that outcome; `poison` makes any batch that holds it fail
    with a fault of the code, `bad` with a BadRecord. `retry` gives RETRIED until it was met as often as
    `retries` says; `later` and `down` raise for the whole batch as often. `before` sees each batch first.
    """

    name = "enrich"
    group = "enrich"
    topics = ("posts",)

    def __init__(self, retries: int = 0, before: Callable[[Sequence[LogRecord]], None] | None = None) -> None:
        self._retries, self._before = retries, before
        self._met: dict[int, int] = {}
        self.calls: list[int] = []

    def handle(self, records: Sequence[LogRecord]) -> Sequence[Handled]:
        self.calls.append(len(records))
        if self._before is not None:
            self._before(records)
        for record in records:
            word = _word(record)
            if word == "poison":
                raise ZeroDivisionError("a fault of the code")
            if word == "bad":
                raise BadRecord(BadReason.WRONG_TYPE, "a fault of the record")
            if word in ("later", "down") and self._again(record):
                raise RetryLater("not now", 2.0) if word == "later" else BackendDown("nobody there")
        return [self._one(record) for record in records]

    def _again(self, record: LogRecord) -> bool:
        self._met[record.offset] = self._met.get(record.offset, 0) + 1
        return self._met[record.offset] <= self._retries

    def _one(self, record: LogRecord) -> Handled:
        word = _word(record)
        if word == "retry" and self._again(record):
            return Handled(Outcome.RETRIED, retry_after_seconds=1.0)
        if word == "parked":
            error = BadRecord(BadReason.MISSING_TEXT, "no text")
            return Handled(Outcome.PARKED, letter=letter_of_record(record, error, stage=self.name, at=PARKED_AT))
        if word in ("duplicate", "filtered"):
            return Handled(Outcome(word))
        return Handled(Outcome.OK, (OutRecord("mentions", record.key, record.value, record.run),))


class OverlappingScriptedStage(ScriptedStage):
    """The same, begun one batch ahead. A batch that begins with `stumble` cannot even be begun."""

    def begin(self, records: Sequence[LogRecord]) -> Finish:
        if _word(records[0]) == "stumble":
            raise ZeroDivisionError("a fault of the code")
        return partial(self.handle, records)


def _word(record: LogRecord) -> str:
    return record.value.decode().partition(" ")[0]
