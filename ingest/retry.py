"""A dead letter of the ingest stage once more: the same path, with the mapping or the bytes mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.clock import Clock
from domain.errors import BadReason, BadRecord, ConfigError
from domain.records import Outcome
from ingest.normalise import Normaliser
from ingest.source import Item
from ingest.stage import STAGE, IngestStage
from stream.protocol import RETRACTED, WHAT_IS_GONE, DeadLetterRow, Log, StateWrite

# Numbers of letters whose retry is settled, so that a crash before they are resolved cannot count them twice.
SPACE = "retried"


class Rereader(Protocol):
    """A source that reads its own dead letters again: `ingest.file.FileSource`, or any live source."""

    @property
    def name(self) -> str:
        """The source of posts that do not name their own."""

    def reread(self, payload: bytes, position: str, *, id_owed: bool = False) -> Item:
        """As `ingest.source.LiveSource.reread`."""


@dataclass(frozen=True, slots=True)
class Retry:
    """What a retry came to. With PARKED the letter stays open, and `error` says why."""

    outcome: Outcome
    error: BadRecord | None = None


def refuse_resolved(row: DeadLetterRow) -> None:
    """See that nobody dealt with a letter yet.

    Raises:
        ConfigError: somebody did.
    """
    if row.resolution == RETRACTED:
        raise ConfigError(f"is about {WHAT_IS_GONE}")
    if row.resolved_at is not None:
        raise ConfigError(f"was {row.resolution} already")


def retry_letter(
    row: DeadLetterRow,
    source: Rereader,
    normaliser: Normaliser,
    stage: IngestStage,
    log: Log,
    clock: Clock,
    *,
    payload: bytes | None = None,
) -> Retry:
    """Take a parked item up again.

    In the books of its run the new outcome takes the place of PARKED, so their sum stays what was read.

    Args:
        row: the letter, of stage `ingest`.
        source: that gave it, as configured now; nothing else of it is read.
        normaliser: of that source.
        stage: where it goes.
        log: where the letter lies.
        clock: for when it was resolved.
        payload: corrected bytes; None takes the letter's own.

    Raises:
        ConfigError: it is another stage's letter, was dealt with already, holds only the beginning of what came, or the
            payload is not exactly one row. Which letter it is, the message leaves to whoever asked.
        BackendDown: nothing was settled.
    """
    letter = row.letter
    if letter.stage != STAGE:
        raise ConfigError(f"is of stage {letter.stage}, expected {STAGE}")
    refuse_resolved(row)
    if payload is None and len(letter.payload) < letter.payload_bytes:
        kept = f"{len(letter.payload):,} of {letter.payload_bytes:,} bytes"
        raise ConfigError(f"keeps {kept}: correct the file and replay it instead")
    key = str(row.number)
    if not log.state(SPACE, [key]):
        owed = letter.reason == BadReason.MISSING_ID.value
        item = source.reread(letter.payload if payload is None else payload, letter.position, id_owed=owed)
        name = letter.source or source.name
        handled = stage.handle_again(item, normaliser, letter, source=name, state=[StateWrite(SPACE, key, b"1")])
        outcome = handled.outcomes[0]
        if outcome is Outcome.PARKED:
            return Retry(outcome, handled.errors[0])
    else:
        outcome = Outcome.DUPLICATE
    log.resolve_dead_letters([row.number], "retried", clock.now())
    return Retry(outcome)
