"""The tally: how many mentions each run brought, by brand and sentiment and by what is wrong with them, durably."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from domain.errors import BadRecord
from domain.records import Mention, Topic
from stream.codec import glance
from stream.protocol import Log, LogRecord, Settlement, StateWrite

GROUP = "tally"
TOPICS = (Topic.MENTIONS.value,)
BATCH_RECORDS = 512
_POLL_SECONDS = 0.2
_SPACE = "tally"
_NOTES_SPACE = "tally-notes"
# A mention that no engine tagged.
UNTAGGED = "untagged"

# Of these a mention's sentiment says less: a language without a model, a text that was read only in part.
UNRELIABLE, TRUNCATED = "unreliable", "truncated"

Tally = dict[str, dict[str, int]]


def read_tally(log: Log, run: str) -> Mapping[str, Mapping[str, int]]:
    """Give the mentions of a run: brand id -> sentiment (or "untagged") -> number."""
    found = log.state(_SPACE, [run]).get(run)
    tally: Tally = {} if found is None else json.loads(found)
    return tally


def read_notes(log: Log, run: str) -> Mapping[str, int]:
    """Give how many mentions of a run are `unreliable` and `truncated`."""
    found = log.state(_NOTES_SPACE, [run]).get(run)
    notes: dict[str, int] = {} if found is None else json.loads(found)
    return {note: notes.get(note, 0) for note in (UNRELIABLE, TRUNCATED)}


def keep_tally(log: Log, stop: threading.Event) -> None:
    """Count mentions as they come, until `stop`. Counts and offset are settled together, so nothing counts twice.

    Raises:
        BackendDown: the log cannot be read or written.
    """
    consumer = log.consumer(GROUP, TOPICS)
    try:
        while not stop.is_set():
            records = consumer.poll(BATCH_RECORDS, _POLL_SECONDS)
            if records:
                log.settle(_count(log, records))
    finally:
        consumer.close()


def _count(log: Log, records: Sequence[LogRecord]) -> Settlement:
    runs = sorted({record.run for record in records})
    tallies: dict[str, Tally] = {run: json.loads(raw) for run, raw in log.state(_SPACE, runs).items()}
    noted: dict[str, dict[str, int]] = {run: json.loads(raw) for run, raw in log.state(_NOTES_SPACE, runs).items()}
    offsets = {(record.topic, record.partition): record.offset + 1 for record in records}
    met = Counter((record.run, facts) for record in records if (facts := _facts(record)) is not None)
    for (run, facts), number in met.items():
        brand = tallies.setdefault(run, {}).setdefault(facts.brand_id, {})
        brand[facts.sentiment] = brand.get(facts.sentiment, 0) + number
        notes = noted.setdefault(run, {})
        for note in facts.notes:
            notes[note] = notes.get(note, 0) + number
    writes = [StateWrite(_SPACE, run, json.dumps(tally).encode()) for run, tally in tallies.items()]
    writes += [StateWrite(_NOTES_SPACE, run, json.dumps(notes).encode()) for run, notes in noted.items()]
    return Settlement(group=GROUP, state=writes, offsets=offsets)


class _Facts(NamedTuple):
    """What is counted of a mention."""

    brand_id: str
    sentiment: str
    reliable: bool
    truncated: bool

    @property
    def notes(self) -> list[str]:
        notes = [] if self.reliable else [UNRELIABLE]
        return [*notes, TRUNCATED] if self.truncated else notes


def _facts(record: LogRecord) -> _Facts | None:
    """Give what is counted of a record, or None when it is no mention."""
    content = record.content
    if isinstance(content, Mention):
        sentiment = content.sentiment or UNTAGGED
        return _Facts(content.brand_id, sentiment, content.sentiment_reliable, content.truncated)
    try:
        document = glance(record.value)
    except BadRecord:
        # The index stage reads the same record and parks it.
        return None
    if document.get("type") != "mention":
        return None
    return _Facts(
        brand_id=str(document.get("brand_id")),
        sentiment=str(document.get("sentiment", UNTAGGED)),
        reliable=bool(document.get("sentiment_reliable")),
        truncated=bool(document.get("truncated")),
    )
