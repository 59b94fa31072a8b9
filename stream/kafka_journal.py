"""Settlements without offsets, as of a source: one record says all of it, so it is there or not.

The record (the journal) holds the cumulative counts and the writes of state. After it the writes follow as records of
their own, for compaction; whoever takes a source over writes those of its last journal again, so it does not matter
where its last owner died.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from domain.clock import Clock, to_ms
from domain.records import DeadLetter, Outcome
from stream.kafka_broker import Broker, ToSend
from stream.kafka_layout import SOURCES, Layout
from stream.kafka_letters import DeadTopic, SentBefore
from stream.kafka_view import Journal, KafkaView, journal_key, state_key
from stream.protocol import Count, Settlement, StateWrite


@dataclass(slots=True)
class _Writer:
    """One line of journals: of a source that we own, or of this process for what belongs to no source of ours."""

    name: str
    source: str
    epoch: int = 0
    counts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    dead_from: int = 0
    before: SentBefore = field(default_factory=SentBefore)
    wrote: bool = False


class Journals:
    """Thread-safe: settlements of one process follow each other."""

    def __init__(self, broker: Broker, layout: Layout, view: KafkaView, dead: DeadTopic, clock: Clock) -> None:
        self._broker, self._layout, self._view, self._dead, self._clock = broker, layout, view, dead, clock
        self._lock = threading.Lock()
        self._owned: dict[str, _Writer] = {}
        # Of settlements outside any claim: each process has a line of its own, or two would overwrite each other.
        self._process = secrets.token_hex(8)
        self._free: dict[str, _Writer] = {}

    def take_over(self, sources: Sequence[str]) -> None:
        """Go on where the last owners of these sources stopped, redoing their last settlement."""
        with self._lock:
            for source in sources:
                name = f"source/{source}"
                last = self._view.journal(name)
                writer = _Writer(name, source)
                if last is not None:
                    writer.epoch = last.epoch + 1
                    writer.counts.update({(s, run, outcome, why): n for s, run, outcome, why, n in last.counts})
                    writer.dead_from = last.dead_from
                    self._write_state(source, last.state)
                self._owned[source] = writer

    def send_letters(self, source: str, owned: bool, letters: Sequence[DeadLetter]) -> None:
        """Append dead letters; those of a source that we own are not appended twice."""
        if not letters:
            return
        if not owned:
            self._dead.send(letters)
            return
        with self._lock:
            writer = self._writer(source, owned)
            since = self._dead.send_new(
                letters, writer.before, writer.dead_from, lambda letter: letter.source == source
            )
            writer.dead_from = writer.dead_from if since is None else since

    def settle(self, settlement: Settlement, owned: bool) -> None:
        """Write the journal, then what it says."""
        with self._lock:
            writer = self._writer(settlement.source, owned)
            counts = Counter(writer.counts)
            for count in settlement.counts:
                counts[count.stage, count.run, count.outcome.value, count.reason] += count.number
            last = {(write.space, write.key): write for write in settlement.state}
            journal = Journal(
                writer.epoch,
                tuple((*key, number) for key, number in counts.items()),
                tuple(last.values()),
                writer.dead_from,
            )
            self._write(writer, journal)
            writer.counts = counts
            self._write_state(settlement.source, journal.state)

    def forget_letters(self, source: str) -> None:
        """Look for letters in the topic again: a settlement failed after some may have been appended."""
        with self._lock:
            if source in self._owned:
                self._owned[source].before = SentBefore()

    def _writer(self, source: str, owned: bool) -> _Writer:
        if owned:
            return self._owned[source]
        return self._free.setdefault(source, _Writer(f"process/{self._process}/{source}", source))

    def _write(self, writer: _Writer, journal: Journal) -> None:
        place = self._layout.place(SOURCES, writer.source)
        writer.wrote = True
        self._broker.send([ToSend(place, journal_key(writer.name), journal.write(), (), self._now_ms())])

    def _write_state(self, source: str, state: Sequence[StateWrite]) -> None:
        place, now_ms = self._layout.place(SOURCES, source), self._now_ms()
        self._broker.send([ToSend(place, state_key(one.space, one.key), one.value, (), now_ms) for one in state])

    def write_state(self, source: str, state: Sequence[StateWrite]) -> None:
        """Write state that is settled by something else, such as an offset."""
        self._write_state(source, list({(write.space, write.key): write for write in state}.values()))

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())

    def counts(self) -> list[Count]:
        """Give the counts of all journals, ours and others'."""
        return [
            Count(stage, run, Outcome(outcome), number, reason)
            for journal in self._view.journals().values()
            for stage, run, outcome, reason, number in journal.counts
        ]

    def slim(self) -> None:
        """Leave of our own lines only what counts: their state is written, and nobody takes them over."""
        with self._lock:
            for writer in self._free.values():
                if writer.wrote:
                    counts = tuple((*key, number) for key, number in writer.counts.items())
                    place = self._layout.place(SOURCES, writer.source)
                    value = replace(Journal(), counts=counts).write() if counts else None
                    self._broker.send([ToSend(place, journal_key(writer.name), value, (), self._now_ms())])
            self._free.clear()
