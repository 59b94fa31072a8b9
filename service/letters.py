"""Dead letters once more: an ingest letter is read again, a letter of another stage goes back on its topic."""

from __future__ import annotations

from domain.clock import Clock
from domain.errors import ConfigError
from domain.records import Outcome
from ingest.normalise import Normaliser
from ingest.retry import SPACE, Rereader, Retry, refuse_resolved, retry_letter
from ingest.stage import STAGE as INGEST
from ingest.stage import IngestStage
from stream.protocol import Count, DeadLetterRow, Log, OutRecord, Settlement, StateWrite


def retry_one(
    row: DeadLetterRow, source: Rereader, normaliser: Normaliser, stage: IngestStage, log: Log, clock: Clock
) -> Retry:
    """Take one dead letter up again. A crash at any point counts and appends it once.

    Raises:
        ConfigError: it was dealt with, holds only the beginning of what came, or does not say where it came from.
        BackendDown: nothing was settled.
    """
    letter = row.letter
    if letter.stage == INGEST:
        return retry_letter(row, source, normaliser, stage, log, clock)
    refuse_resolved(row)
    if len(letter.payload) < letter.payload_bytes:
        raise ConfigError("keeps only the beginning of the record: replay its file instead")
    topic = letter.position.partition("/")[0]
    if topic == letter.position or letter.post_id is None:
        raise ConfigError(f"came from {letter.position}, which is no place on the log")
    key = str(row.number)
    if not log.state(SPACE, [key]):
        # Back on its topic it is counted by its stage as a record that came in, so it leaves the books as parked.
        log.settle(
            Settlement(
                outputs=[OutRecord(topic, letter.post_id, letter.payload, letter.run)],
                counts=[Count(letter.stage, letter.run, Outcome.PARKED, -1, letter.reason)],
                state=[StateWrite(SPACE, key, b"1")],
            )
        )
    log.resolve_dead_letters([row.number], "retried", clock.now())
    return Retry(Outcome.RETRIED)
