"""The outbox: what is to be told and is not yet, kept in documents until it is, or until its time is over.

A message goes out at least once, under one key. It stands in two documents: `outbox`, which says what became of it and
is changed by compare-and-set alone, and `due`, by which what waits is found by channel. Whichever of the two a crash
leaves behind, the other is mended: by the next pass, or by the next `mend`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from alerts.records import Notification
from alerts.stored import notification_body, notification_of
from domain.clock import from_ms, to_ms
from domain.documents import ABSENT, MAX_SCAN, Change, Conflict, Document, Documents

KIND: Final = "outbox"
DUE: Final = "due"
# What became of a message can be looked up for so long; a key that comes again later would be sent again.
KEPT: Final = timedelta(days=30)


class State(StrEnum):
    """What became of a message."""

    WAITING = "waiting"
    SENT = "sent"
    # The other side will never take it.
    REFUSED = "refused"
    # Nobody took it within its time.
    GIVEN_UP = "given_up"
    # There was nothing to tell any more, or nobody who may be told.
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message and how it fares. `next_at`: not tried before; `why`: what was said when it last failed."""

    notification: Notification
    state: State = State.WAITING
    tries: int = 0
    next_at: datetime
    done_at: datetime | None = None
    why: str = ""
    revision: str = ABSENT


@dataclass(frozen=True, slots=True)
class Trouble:
    """How a channel fares: messages that wait though they were tried, since when, and how many were lost lately."""

    channel: str
    waiting: int
    since: datetime | None
    lost: int
    why: str


class Outbox:
    """Keeps messages and what became of them. Thread-safe and safe between processes, as its documents are."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def change(self, notification: Notification) -> Change:
        """Give the change that puts a message in; a conflict says that it was put before.

        It is found by `put` of the same message, else by the next `mend`.
        """
        body = _body(Entry(notification=notification, next_at=notification.created_at))
        return Change(KIND, notification.notification_id, body, ABSENT)

    def put(self, notifications: Sequence[Notification]) -> None:
        """Take messages in; those that were put before, sent or not, stay as they are.

        Raises:
            RetryLater, BackendDown: some may be in; the same call again goes on.
        """
        for begin in range(0, len(notifications), MAX_SCAN // 2):
            part = notifications[begin : begin + MAX_SCAN // 2]
            known = self._documents.get(KIND, [one.notification_id for one in part])
            waiting = [one for one in part if _entry(one, known.get(one.notification_id)).state is State.WAITING]
            if waiting:
                self._documents.apply([Change(DUE, _due_id(one), notification_body(one)) for one in waiting])

    def mend(self) -> int:
        """See that all that waits is due; gives how much was not."""
        waiting = [each.notification for each in self.entries() if each.state is State.WAITING]
        due: set[str] = set()
        after = ""
        while waiting and (page := self._documents.scan(DUE, after=after)):
            after = page[-1].doc_id
            due.update(each.doc_id for each in page)
        lost = [one for one in waiting if _due_id(one) not in due]
        self.put(lost)
        return len(lost)

    def due(self, channel: str, now: datetime) -> list[Entry]:
        """Give the messages of a channel that may be tried now, the oldest first.

        Mends what a crash left: messages that are done are due no more.
        """
        found: list[Entry] = []
        after = ""
        while page := self._documents.scan(DUE, prefix=f"{channel}/", after=after):
            after = page[-1].doc_id
            notifications = [notification_of(each.doc_id.rpartition("-")[2], each.body) for each in page]
            known = self._documents.get(KIND, [one.notification_id for one in notifications])
            done = []
            for notification in notifications:
                entry = _entry(notification, known.get(notification.notification_id))
                if entry.state is not State.WAITING:
                    done.append(Change(DUE, _due_id(notification), None))
                elif entry.next_at <= now:
                    found.append(entry)
            if done:
                self._documents.apply(done)
        return found

    def claim(self, entry: Entry, now: datetime, seconds: float) -> Entry | None:
        """Take a message for one try; nobody else tries it for `seconds`. None where somebody else was first."""
        return self._change(replace(entry, tries=entry.tries + 1, next_at=now + timedelta(seconds=seconds)))

    def postpone(self, entry: Entry, until: datetime, why: str) -> None:
        """The try failed: again at `until`."""
        self._change(replace(entry, next_at=until, why=why))

    def finish(self, entry: Entry, state: State, now: datetime, why: str = "") -> None:
        """Say what became of a message, for good."""
        if self._change(replace(entry, state=state, done_at=now, next_at=now, why=why)) is not None:
            self._documents.apply([Change(DUE, _due_id(entry.notification), None)])

    def entries(self) -> list[Entry]:
        """Give every message of the last 30 days, the newest first, save those put in and not tried yet."""
        found = []
        after = ""
        while page := self._documents.scan(KIND, after=after):
            after = page[-1].doc_id
            found += [_entry(notification_of(each.doc_id, each.body), each) for each in page]
        return sorted(found, key=lambda each: (each.notification.created_at, each.revision), reverse=True)

    def tally(self) -> Mapping[tuple[str, State], int]:
        """Count messages by channel and what became of them; waiting ones are those that are due."""
        counts: Counter[tuple[str, State]] = Counter(
            (each.notification.channel, each.state) for each in self.entries() if each.state is not State.WAITING
        )
        after = ""
        while page := self._documents.scan(DUE, after=after):
            after = page[-1].doc_id
            counts.update((each.doc_id.partition("/")[0], State.WAITING) for each in page)
        return counts

    def troubles(self, now: datetime, lately: timedelta = timedelta(days=1)) -> list[Trouble]:
        """Give the channels that do not take what they are given: what `it` is to be told, by another channel."""
        by_channel: dict[str, list[Entry]] = {}
        for entry in self.entries():
            stuck = entry.state is State.WAITING and bool(entry.why)
            lost = entry.state in (State.REFUSED, State.GIVEN_UP)
            if stuck or (lost and entry.done_at is not None and now - entry.done_at <= lately):
                by_channel.setdefault(entry.notification.channel, []).append(entry)
        troubles = []
        for channel, entries in sorted(by_channel.items()):
            waiting = [each.notification.created_at for each in entries if each.state is State.WAITING]
            troubles.append(
                Trouble(channel, len(waiting), min(waiting, default=None), len(entries) - len(waiting), entries[0].why)
            )
        return troubles

    def forget(self, now: datetime) -> int:
        """Drop what was done with 30 days ago; gives how many messages."""
        old = [each for each in self.entries() if each.done_at is not None and now - each.done_at > KEPT]
        for begin in range(0, len(old), 500):
            part = old[begin : begin + 500]
            self._documents.apply([Change(KIND, each.notification.notification_id, None) for each in part])
        return len(old)

    def _change(self, entry: Entry) -> Entry | None:
        """Put an entry in the place of the one it was read from; None where that was changed meanwhile."""
        notification_id = entry.notification.notification_id
        try:
            self._documents.apply([Change(KIND, notification_id, _body(entry), entry.revision)])
        except Conflict:
            return None
        written = self._documents.get(KIND, [notification_id]).get(notification_id)
        # Who changed it in between has it now.
        if written is None or dict(written.body) != _body(entry):
            return None
        return replace(entry, revision=written.revision)


def _due_id(notification: Notification) -> str:
    return f"{notification.channel}/{to_ms(notification.created_at):014d}-{notification.notification_id}"


def _body(entry: Entry) -> dict[str, Any]:
    return notification_body(entry.notification) | {
        "state": entry.state.value,
        "tries": entry.tries,
        "next_ms": to_ms(entry.next_at),
        "done_ms": None if entry.done_at is None else to_ms(entry.done_at),
        "why": entry.why,
    }


def _entry(notification: Notification, known: Document | None) -> Entry:
    if known is None:
        return Entry(notification=notification, next_at=notification.created_at)
    body = known.body
    done = body["done_ms"]
    return Entry(
        notification=notification,
        state=State(body["state"]),
        tries=int(body["tries"]),
        next_at=from_ms(body["next_ms"]),
        done_at=None if done is None else from_ms(done),
        why=str(body["why"]),
        revision=known.revision,
    )
