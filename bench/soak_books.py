"""What the books, the gaps and the store must be after `bench.live_soak`, from what the server said and was asked.

Whoever asks for the stream names the place up to which he has it: so the server's own record tells what a process
heard, what it heard again after another was killed, and what nobody heard. Nothing here is a tolerance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.soak_stream import COLLECTION, SOMEBODY, Event, Stream, micros_of
from domain import ids
from domain.records import Outcome


@dataclass(frozen=True, slots=True)
class Heard:
    """Events `[start, end)` were heard by a process, the `life`-th, in one connection."""

    life: int
    start: int
    end: int


@dataclass
class Hearing:
    """What was heard in all connections; of each loss the first event that was lost, and the first after it."""

    heard: list[Heard] = field(default_factory=list)
    losses: list[tuple[int, int]] = field(default_factory=list)


def hearing(stream: Stream, lives: Sequence[int], end: int) -> Hearing:
    """Tell what was heard.

    Args:
        stream: the server.
        lives: how many had asked when each process began, the first one's 0 included.
        end: the place of the last process in the end: so many events.
    """
    told = Hearing()
    # Up to where whoever asks has it: `place` events.
    place = 0
    begins: list[tuple[int, int]] = []
    for at, ask in enumerate(stream.asks):
        life = sum(start <= at for start in lives)
        number = stream.place(ask.cursor)
        if number is not None:
            _close(told, begins, place, number + 1)
            place = number + 1
        began = ask.began
        if number is not None:
            # A number of another count is of no use: it is asked for by time next.
            begins = [] if began is None or began != number else [(life, number + 1)]
        else:
            begins = [] if began is None else [(life, began)]
    _close(told, begins, place, end)
    return told


def _close(told: Hearing, begins: list[tuple[int, int]], place: int, end: int) -> None:
    for life, start in begins:
        if end > start:
            told.heard.append(Heard(life, start, end))
            if start > place:
                told.losses.append((place, start))


@dataclass
class Expected:
    """What must be found. `again` is the part of `outcomes` that was counted before: told apart, not forgiven.

    `missed`: what was lost, in a gap that must be on record. `texts`: mention id -> text, of what is stored.
    `gone`: posts that were deleted and must have left a tombstone.
    """

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    again: Counter[Outcome] = field(default_factory=Counter)
    missed: set[int] = field(default_factory=set)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    bad: dict[bytes, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def expect(stream: Stream, told: Hearing) -> Expected:
    """Work out what must be found, one event after the other."""
    events, expected, ledger = stream.said, Expected(), _Ledger()
    for start, end in told.losses:
        expected.missed.update(range(start, end))
        gap = micros_of(events, start - 1), micros_of(events, end)
        expected.gaps.append((gap[0] // 1000, gap[1] // 1000))
        for at in range(start, end):
            if not gap[0] <= events[at].micros <= gap[1]:
                expected.problems.append(f"event {at} was lost and lies in no gap")
    counted: set[int] = set()
    for event in _settled(events, told):
        outcome = ledger.take(event)
        expected.outcomes[outcome] += 1
        if event.key in counted:
            expected.again[outcome] += 1
        counted.add(event.key)
    expected.missed = {
        events[at].key for at in expected.missed if events[at].kind != "identity" and events[at].key not in counted
    }
    for event in events:
        if event.kind == "bad":
            expected.bad[event.payload] = event.key
        elif event.kind != "identity" and event.key not in counted and event.key not in expected.missed:
            expected.problems.append(f"event {event.key} was neither heard nor lost")
    for n, row in ledger.rows.items():
        if row.leaves_tombstone:
            expected.gone.add(_post_id(n))
        for brand in () if row.gone else row.brands:
            expected.texts[ids.mention_id(_post_id(n), brand)] = row.text
    expected.problems += _against_the_truth(events, expected, ledger)
    return expected


def _settled(events: Sequence[Event], told: Hearing) -> Iterator[Event]:
    """Give what is counted, in order: a process drops what it heard before, and knows nothing of the one before it."""
    life, known = 0, set[int]()
    for heard in told.heard:
        if heard.life != life:
            life, known = heard.life, set()
        for event in events[heard.start : heard.end]:
            if event.kind not in ("bad", "identity") and event.key not in known:
                known.add(event.key)
                yield event


@dataclass(slots=True)
class _Row:
    revision_ms: int
    brands: tuple[str, ...]
    text: str
    gone: bool = False
    leaves_tombstone: bool = False


@dataclass
class _Ledger:
    """The seen ledger as its contract says: `ingest.stage.IngestStage`."""

    rows: dict[int, _Row] = field(default_factory=dict)
    # Removed before they were known: what comes after is not taken.
    removed: set[int] = field(default_factory=set)

    def take(self, event: Event) -> Outcome:
        row, revision_ms = self.rows.get(event.n), event.revision // 1000
        if event.kind == "delete":
            if row is None:
                self.removed.add(event.n)
                return Outcome.FILTERED
            if row.gone:
                return Outcome.DUPLICATE
            row.gone = row.leaves_tombstone = True
            return Outcome.OK
        if row is None:
            if not event.brands:
                return Outcome.FILTERED
            self.rows[event.n] = _Row(revision_ms, event.brands, event.text, gone=event.n in self.removed)
            return Outcome.FILTERED if event.n in self.removed else Outcome.OK
        if row.gone or revision_ms <= row.revision_ms:
            return Outcome.DUPLICATE
        said = bool(event.brands or row.brands)
        row.revision_ms, row.brands, row.text = revision_ms, event.brands, event.text
        return Outcome.OK if said else Outcome.FILTERED


def _against_the_truth(events: Sequence[Event], expected: Expected, ledger: _Ledger) -> list[str]:
    """See that of every post of which nothing was missed its newest edit is kept, and nothing of one deleted."""
    newest: dict[int, Event] = {}
    gone: set[int] = set()
    touched: set[int] = set()
    for event in events:
        if event.kind in ("bad", "identity"):
            continue
        if event.key in expected.missed:
            touched.add(event.n)
        if event.kind == "delete":
            gone.add(event.n)
        elif event.n not in newest or event.revision // 1000 > newest[event.n].revision // 1000:
            newest[event.n] = event
    problems = []
    for n, event in newest.items():
        if n in touched:
            continue
        row = ledger.rows.get(n)
        kept = row is not None and not row.gone and bool(row.brands)
        wanted = n not in gone and bool(event.brands)
        if kept != wanted or (row is not None and kept and (row.text, row.brands) != (event.text, event.brands)):
            problems.append(f"post {n}: what is kept is not its newest edit")
    return problems


def _post_id(n: int) -> str:
    return ids.post_id("bluesky", f"at://{SOMEBODY}/{COLLECTION}/3kpost{n}")
