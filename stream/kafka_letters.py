"""Dead letters on the broker: one partition, so a letter's number is its offset + 1; the value is the original bytes.

A worker that dies between its letters and its commit leaves letters whose records come again. They are found before
the first letter is sent after such a moment, and are not sent twice.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from domain.clock import Clock, to_ms
from domain.errors import RetryLater
from domain.records import DeadLetter
from stream.dead_letters import KEPT_OF_LARGER
from stream.kafka_broker import Broker, Fetched, Place, Reader, ToSend
from stream.kafka_layout import DEAD, Layout
from stream.kafka_settings import MAX_PAYLOAD_BYTES

LETTER_HEADER = "letter"
READ_AT_ONCE = 200
PATIENCE_SECONDS = 5.0
TRIES = 3


def write_letter(letter: DeadLetter, place: Place, at_ms: int) -> ToSend:
    """Give the record of a letter; one that is over the limit keeps its beginning, and its length and hash anyway."""
    payload = letter.payload
    if len(payload) > MAX_PAYLOAD_BYTES:
        payload = payload[:KEPT_OF_LARGER]
    about = asdict(replace(letter, payload=b""))
    del about["payload"]
    about["parked_at"] = letter.parked_at.isoformat()
    header = json.dumps(about, separators=(",", ":")).encode("utf-8")
    key = None if letter.post_id is None else letter.post_id.encode("utf-8", "surrogatepass")
    return ToSend(place, key, payload, ((LETTER_HEADER, header),), at_ms)


def read_letter(record: Fetched) -> DeadLetter:
    """Give the letter back."""
    about = json.loads(dict(record.headers)[LETTER_HEADER])
    about["parked_at"] = datetime.fromisoformat(about["parked_at"])
    return DeadLetter(payload=record.value or b"", **about)


def identity(letter: DeadLetter) -> str:
    """Give what two letters of the same record, stage and run share."""
    return "\n".join((letter.stage, letter.run, letter.position, letter.payload_sha256))


@dataclass(slots=True)
class SentBefore:
    """Letters of a worker's records that may lie in the topic already, because it or its predecessor was cut off.

    `looked` tells whether the topic was read since that may have happened. `found` maps a letter's identity to its
    offset.
    """

    looked: bool = False
    found: dict[str, int] = field(default_factory=dict)


class DeadTopic:
    """Thread-safe."""

    def __init__(self, broker: Broker, layout: Layout, clock: Clock) -> None:
        self._broker, self._clock = broker, clock
        (self._place,) = layout.places(DEAD)
        self._reader: Reader | None = None
        self._lock = threading.Lock()

    def end(self) -> int:
        """Give how many letters there ever were."""
        return self._broker.ends([self._place])[self._place]

    def send(self, letters: Sequence[DeadLetter]) -> int | None:
        """Append letters; gives the offset after the last one, None when there was none to append."""
        at_ms = to_ms(self._clock.now())
        offsets = self._broker.send([write_letter(letter, self._place, at_ms) for letter in letters])
        return max(offsets) + 1 if offsets else None

    def send_new(
        self, letters: Sequence[DeadLetter], before: SentBefore, dead_from: int, ours: Callable[[DeadLetter], bool]
    ) -> int | None:
        """Append those letters that a worker that was cut off did not append before.

        Args:
            letters: of one settlement.
            before: what is known to lie there; looked up when it is not.
            dead_from: where to look from.
            ours: whether a letter is of a record that is ours and not settled.

        Returns:
            From where on letters of what is not settled yet may lie, once this settlement is; None when nothing
            new is known.
        """
        if not letters:
            return None
        end = self.end()
        if not before.looked:
            with closing(self._letters(dead_from, end)) as rows:
                before.found = {identity(letter): offset for offset, letter in rows if ours(letter)}
            before.looked = True
        sent = self.send([letter for letter in letters if identity(letter) not in before.found])
        for letter in letters:
            before.found.pop(identity(letter), None)
        return min(before.found.values(), default=end if sent is None else sent)

    def rows(self, after: int, at_once: int) -> Generator[tuple[int, DeadLetter], None, None]:
        """Give (number, letter) with a number above `after`, oldest first, read `at_once` at a time. Close it."""
        for offset, letter in self._letters(after, self.end(), max(1, min(at_once, READ_AT_ONCE))):
            yield offset + 1, letter

    def _letters(
        self, start: int, end: int, at_once: int = READ_AT_ONCE
    ) -> Generator[tuple[int, DeadLetter], None, None]:
        start = max(start, self._broker.beginnings([self._place])[self._place])
        if start >= end:
            return
        with self._lock:
            self._begin(start)
            heard_at, tries = time.monotonic(), 0
            while self._reader is not None and (position := self._reader.positions()[self._place]) < end:
                fetched = self._reader.poll(at_once, 0.5)
                if fetched:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > PATIENCE_SECONDS:
                    # A client may stop asking when the broker was away for a moment: a new one does ask.
                    self._drop_reader()
                    heard_at, tries = time.monotonic(), tries + 1
                    if tries == TRIES:
                        raise RetryLater("the broker gives no dead letters: look at its log", 1.0)
                    self._begin(position)
                for record in fetched:
                    if record.offset < end:
                        yield record.offset, read_letter(record)

    def _begin(self, offset: int) -> None:
        if self._reader is None:
            self._reader = self._broker.reader()
        self._reader.assign({self._place: offset})

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Release the connection."""
        with self._lock:
            self._drop_reader()
