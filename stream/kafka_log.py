"""The log over Kafka, for either client: topics, groups, dead letters, books and state of many processes.

A settlement is durable in this order: outputs acknowledged by every replica that must, dead letters, then one write
that makes it count: the commit of the offsets with the books in it, or the journal of a source. A crash in between
repeats work: outputs come again under the same ids, letters are found and not sent again, the books do not move.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from domain.clock import Clock, SystemClock, from_ms, to_ms
from domain.errors import RetryLater, ServiceError
from stream.kafka_broker import Broker, Committed, LostPartitions, Place, ToSend
from stream.kafka_journal import Journals
from stream.kafka_layout import BOOKS, Layout
from stream.kafka_letters import DeadTopic, SentBefore
from stream.kafka_member import RUN_HEADER, Member, record_of
from stream.kafka_settings import MAX_RECORD_BYTES, KafkaSettings
from stream.kafka_sources import SOURCE_GROUP, SourceClaim
from stream.kafka_totals import RunTotals, Totals, counts_of
from stream.kafka_view import KafkaView, group_key, moved_key, resolved_key
from stream.protocol import LIVE_RUN, RETRACTED, Consumer, Count, DeadLetterRow, LogRecord, OutRecord, Settlement

# What a broker adds around a record, and its headers; generous.
_AROUND_A_RECORD = 4 * 1024
# Looking for the records of a key.
_READ_AT_ONCE = 2_000
_PATIENCE_SECONDS = 20.0


class KafkaLog:
    """See `stream.protocol.Log`. Each process has its own; the topics are there already (`kafka_setup.prepare`)."""

    def __init__(
        self, broker: Broker, settings: KafkaSettings, *, clock: Clock | None = None, view: Path | None = None
    ) -> None:
        """Open the log on a broker.

        Args:
            broker: of `stream.kafka` or `stream.kafka_python`; closed with the log.
            settings: the same that the broker was opened with.
            clock: for `appended_at`; the machine's by default.
            view: a file for what is derived from the topics of state, of this process alone; in memory by default,
                and then read from the beginning by each process that asks for state or books.

        Raises:
            ConfigError: topics are missing, or the broker refuses us.
            RetryLater: it does not answer.
        """
        self._broker, self._settings, self._clock = broker, settings, clock or SystemClock()
        self._layout = Layout.of_broker(broker, settings)
        self._view = KafkaView(broker, self._layout, self._clock, view)
        self._dead = DeadTopic(broker, self._layout, self._clock)
        self._journals = Journals(broker, self._layout, self._view, self._dead, self._clock)
        self._moved = _MovedTotals(self)
        self._members: list[Member] = []
        self._claims: list[SourceClaim] = []
        self._letters_before: dict[Member, tuple[int, SentBefore]] = {}
        self._known_groups: set[tuple[str, tuple[str, ...]]] = set()
        self._lock = threading.Lock()
        self._closed = False

    # --- reading

    def consumer(self, group: str, topics: Sequence[str]) -> Consumer:
        """Join a group with the first poll; from now on `prune` keeps what the group has not settled.

        Raises:
            RetryLater: the broker does not answer.
        """
        self._check_open()
        self._register(group, tuple(topics))
        member = Member(self._broker, self._layout, group, topics, self._moved, self._forget)
        with self._lock:
            self._members.append(member)
        return member

    def _register(self, group: str, topics: tuple[str, ...]) -> None:
        """Make a group known to whoever counts or prunes, before it reads anything."""
        if (group, topics) in self._known_groups:
            return
        known = set(self._view.groups().get(group, ()))
        if not known.issuperset(topics):
            value = json.dumps(sorted(known.union(topics))).encode()
            (place,) = self._layout.places(BOOKS)
            self._broker.send([ToSend(place, group_key(group), value, (), self._now_ms())])
        self._known_groups.add((group, topics))

    def _forget(self, closed: Member | SourceClaim) -> None:
        with self._lock:
            if isinstance(closed, SourceClaim):
                self._claims = [claim for claim in self._claims if claim is not closed]
            else:
                self._members = [member for member in self._members if member is not closed]
                self._letters_before.pop(closed, None)

    def claim(self, sources: Sequence[str], group: str = SOURCE_GROUP) -> SourceClaim:
        """Give a claim on sources, by the names that settlements carry in `source`; see `SourceClaim.owned`.

        All workers of one `group` claim the same sources, or some would be given what they do not read.
        """
        self._check_open()
        claim = SourceClaim(self._broker, self._layout, sources, self._journals.take_over, self._forget, group)
        with self._lock:
            self._claims.append(claim)
        return claim

    def state(self, space: str, keys: Sequence[str]) -> Mapping[str, bytes]:
        return self._view.state(space, keys)

    def counts(self) -> Sequence[Count]:
        totals: Counter[tuple[str, str, str, str]] = Counter()
        for count in [*self._journals.counts(), *self._group_counts()]:
            totals[count.stage, count.run, count.outcome, count.reason] += count.number
        return [
            Count(stage, run, outcome, number, reason)  # type: ignore[arg-type]
            for (stage, run, outcome, reason), number in totals.items()
        ]

    def _group_counts(self) -> Iterable[Count]:
        for group in self._view.groups():
            for place, committed in self._group_offsets(group).items():
                totals = Totals.read(committed.metadata)
                moved = self._view.moved(group, place, committed.offset) if totals.moved else {}
                # What the commit says is newer than what was moved before it.
                for run, numbers in {**moved, **totals.runs}.items():
                    yield from counts_of(run, numbers)

    def _group_offsets(self, group: str) -> Mapping[Place, Committed]:
        places = [place for topic in self._view.groups()[group] for place in self._layout.places(topic)]
        return self._broker.group_offsets(self._layout.group(group), places)

    def lag(self, group: str, topics: Sequence[str]) -> int:
        places = [place for topic in dict.fromkeys(topics) for place in self._layout.places(topic)]
        committed = self._broker.group_offsets(self._layout.group(group), places)
        ends, beginnings = self._broker.ends(places), self._broker.beginnings(places)
        return sum(
            ends[place] - max(beginnings[place], committed[place].offset if place in committed else 0)
            for place in places
        )

    def appended(self, topic: str) -> int:
        return sum(self._broker.ends(self._layout.places(topic)).values())

    def records_of(self, topic: str, key: str) -> Sequence[LogRecord]:
        place = self._layout.place(topic, key)
        start, end = self._broker.beginnings([place])[place], self._broker.ends([place])[place]
        wanted = key.encode("utf-8", "surrogatepass")
        found: list[LogRecord] = []
        with closing(self._broker.reader()) as reader:
            reader.assign({place: start})
            heard_at = time.monotonic()
            while reader.positions()[place] < end:
                fetched = reader.poll(_READ_AT_ONCE, 0.5)
                if fetched:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > _PATIENCE_SECONDS:
                    raise RetryLater(f"the broker stopped giving records of {place.topic}: look at its log", 1.0)
                found += [record_of(self._layout, one) for one in fetched if one.key == wanted and one.offset < end]
        return found

    def dead_letters(
        self, *, after: int = 0, limit: int = 50, run: str | None = None, unresolved_only: bool = True
    ) -> Sequence[DeadLetterRow]:
        found: list[DeadLetterRow] = []
        with closing(self._dead.rows(after, limit)) as rows:
            for number, letter in rows:
                if len(found) >= limit:
                    break
                if run is not None and letter.run != run:
                    continue
                resolved = self._view.resolutions([number]).get(number)
                if not (resolved and unresolved_only):
                    at, how = (from_ms(resolved[0]), resolved[1]) if resolved else (None, None)
                    if how == RETRACTED:
                        letter = replace(letter, payload=b"", detail="")
                    found.append(DeadLetterRow(number, letter, at, how))
        return found

    def dead_letter(self, number: int) -> DeadLetterRow | None:
        rows = self.dead_letters(after=number - 1, limit=1, unresolved_only=False) if number > 0 else []
        return rows[0] if rows and rows[0].number == number else None

    # --- writing

    def settle(self, settlement: Settlement) -> None:
        """Make a settlement durable.

        Raises:
            LostPartitions: a RetryLater: records of it belong to another member or owner by now; rewind and go on.
            RetryLater: the broker did not answer; nothing of it counts as done.
            ConfigError: the broker refuses us.
            ValueError: offsets without a group or never given, a record that is too large, or the log is closed.
        """
        self._check_open()
        if settlement.offsets and not settlement.group:
            raise ValueError("a settlement with offsets needs its group, found none")
        if settlement.offsets:
            self._settle_offsets(settlement)
        else:
            self._settle_source(settlement)

    def _settle_offsets(self, settlement: Settlement) -> None:
        offsets = {
            Place(self._layout.name(topic), partition): offset
            for (topic, partition), offset in settlement.offsets.items()
        }
        member = self._member(settlement.group, offsets)
        member.check(offsets)
        changes, before = self._letters_before.get(member, (-1, SentBefore()))
        if changes != member.changes:
            before = SentBefore()
        # Whatever fails from here on leaves it open which letters were appended.
        self._letters_before.pop(member, None)
        self._append(settlement.outputs)
        self._journals.write_state(settlement.source, settlement.state)
        dead_from = self._dead.send_new(
            settlement.dead,
            before,
            member.dead_from(offsets),
            lambda letter: member.is_unsettled(letter.position),
        )
        member.commit(offsets, settlement.counts, dead_from)
        self._letters_before[member] = (member.changes, before)

    def _member(self, group: str, offsets: Iterable[Place]) -> Member:
        with self._lock:
            members = [member for member in self._members if member.group == group]
        for member in members:
            if all(member.owns(place) for place in offsets):
                return member
        raise LostPartitions(f"no member of group {group} in this process has all that is to be settled", 0.0)

    def _settle_source(self, settlement: Settlement) -> None:
        source = settlement.source
        with self._lock:
            claim = next((claim for claim in self._claims if source and claim.covers(source)), None)
        owned = claim is not None
        if claim is not None:
            claim.confirm(source)
        try:
            self._append(settlement.outputs)
            self._journals.send_letters(source, owned, settlement.dead)
            if settlement.state or settlement.counts:
                if claim is not None and (settlement.outputs or settlement.dead):
                    # Sending may have taken long enough for another worker to take the source over.
                    claim.confirm(source)
                self._journals.settle(settlement, owned)
        except ServiceError:
            self._journals.forget_letters(source)
            raise

    def _append(self, outputs: Sequence[OutRecord]) -> None:
        now_ms = self._now_ms()
        records = []
        for record in outputs:
            key = record.key.encode("utf-8", "surrogatepass")
            if len(record.value) + len(key) + _AROUND_A_RECORD > MAX_RECORD_BYTES:
                raise ValueError(
                    f"cannot append {len(record.value)} bytes to {record.topic}: {MAX_RECORD_BYTES} is most"
                )
            headers = () if record.run == LIVE_RUN else ((RUN_HEADER, record.run.encode()),)
            place = self._layout.place(record.topic, record.key)
            records.append(ToSend(place, key, record.value, headers, now_ms))
        self._broker.send(records)

    def resolve_dead_letters(self, numbers: Iterable[int], resolution: str, at: datetime) -> int:
        end = self._dead.end()
        wanted = {number for number in numbers if 0 < number <= end}
        still_open = sorted(wanted - self._view.resolutions(wanted).keys())
        value = json.dumps({"at_ms": to_ms(at), "resolution": resolution}).encode()
        (place,) = self._layout.places(BOOKS)
        self._broker.send([ToSend(place, resolved_key(number), value, (), self._now_ms()) for number in still_open])
        return len(still_open)

    def forget_dead_letters(self, numbers: Iterable[int], at: datetime) -> int:
        """Give payload and detail no more. On the broker they stay until `dead_retention_hours` are over."""
        end = self._dead.end()
        wanted = {number for number in numbers if 0 < number <= end}
        gone = {number for number, (_, how) in self._view.resolutions(wanted).items() if how == RETRACTED}
        value = json.dumps({"at_ms": to_ms(at), "resolution": RETRACTED}).encode()
        (place,) = self._layout.places(BOOKS)
        now_ms = self._now_ms()
        self._broker.send([ToSend(place, resolved_key(number), value, (), now_ms) for number in sorted(wanted - gone)])
        return len(wanted - gone)

    def prune(self, retention: timedelta, now: datetime) -> int:
        """Drop what is old and settled; the broker drops what is older than its own retention, settled or not."""
        groups = self._view.groups()
        topics = sorted({topic for topics in groups.values() for topic in topics})
        settled = {group: self._group_offsets(group) for group in groups}
        before: dict[Place, int] = {}
        dropped = 0
        for topic in topics:
            places = self._layout.places(topic)
            beginnings, ends = self._broker.beginnings(places), self._broker.ends(places)
            young = self._broker.offsets_at(places, to_ms(now - retention))
            for place in places:
                stop = ends[place] if young[place] is None else young[place] or 0
                for group, of_topics in groups.items():
                    if topic in of_topics:
                        committed = settled[group].get(place)
                        stop = min(stop, committed.offset if committed else 0)
                if stop > beginnings[place]:
                    before[place] = stop
                    dropped += stop - beginnings[place]
        if before:
            self._broker.delete_records(before)
        return dropped

    def close(self) -> None:
        """Leave all groups and claims, and release the connections. Closing twice is fine."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            members, claims = list(self._members), list(self._claims)
        for member in members:
            member.close()
        for claim in claims:
            claim.close()
        with suppress(RetryLater):
            self._journals.slim()
        self._view.close()
        self._dead.close()
        self._broker.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ValueError("the log is closed")

    def _now_ms(self) -> int:
        return to_ms(self._clock.now())


class _MovedTotals:
    """See `stream.kafka_member.MovedTotals`: the topic `books`."""

    def __init__(self, log: KafkaLog) -> None:
        self._log = log

    def read(self, group: str, place: Place, committed: int) -> Mapping[str, RunTotals]:
        return self._log._view.moved(group, place, committed)

    def write(self, group: str, place: Place, offset: int, runs: Mapping[str, RunTotals]) -> None:
        (books,) = self._log._layout.places(BOOKS)
        value = json.dumps(runs, separators=(",", ":")).encode()
        self._log._broker.send([ToSend(books, moved_key(group, place, offset), value, (), self._log._now_ms())])
