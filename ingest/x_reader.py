"""Reads X within a daily budget: its stream, recent search for what that missed, removals now and then."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from queue import Empty, Full, Queue
from typing import Any, TypeAlias, TypeVar

from domain.clock import Clock
from domain.errors import BadReason, BadRecord, ConfigError, RetryLater
from ingest.source import Content, Extent, Gap, Item, Vitals
from ingest.x_budget import Budget
from ingest.x_client import FaultKind, StreamEvents, StreamLine, XClient, XFault
from ingest.x_compliance import Compliance
from ingest.x_ladder import Ladder
from ingest.x_post import dump, first_id, id_time, is_retweet, read_json, read_post, rewound
from ingest.x_rules import TAG, XRules
from ingest.x_search import post_id, search_since
from ingest.x_state import XState
from net.failure import UNEXPECTED

logger = logging.getLogger(__name__)

QUEUE_LINES = 1_000
# Posts that were given lately, and authors that were paid for today.
MAX_GIVEN = 65_536
# The stream may give a post some time after a newer one.
OVERLAP_SECONDS = 60.0
# How often a search after a gap is tried before the gap is left as it is.
SEARCH_TRIES = 3
METHOD = "recent search"
_WAIT_SECONDS = 0.2
# How long the stream waits before it asks again whether what came is paid.
_ROOM_SECONDS = 0.01

_Key = TypeVar("_Key")


class _Connection(StreamEvents):
    """The stream in a thread of its own, into a queue, waiting while that is full or holds all that can be paid.

    Into the queue go lines; itself with None when X took us, and with the error when the stream is over. `room` says
    how many lines may wait there; whoever takes one says `task_done` once it is paid.
    """

    def __init__(self, client: XClient, queue: Queue[_Told], room: Callable[[], int]) -> None:
        self._client, self._queue, self._room = client, queue, room
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="x stream", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        error: XFault | ConfigError = XFault(FaultKind.NETWORK, "X ended the stream")
        try:
            self._client.listen(self)
        except (XFault, ConfigError) as exc:
            error = exc
        except Exception:
            # What a client fails on may quote what somebody wrote: the log tells its type and place, a reason nothing.
            logger.exception("the client of X failed on something that it did not expect")
            error = XFault(FaultKind.NETWORK, f"the client {UNEXPECTED}")
        self._put((self, error))

    def opened(self) -> None:
        self._go_on()
        self._put((self, None))

    def line(self, line: StreamLine) -> None:
        # Nothing is taken off the connection that the budget of today may not pay for.
        while not self._closed.is_set() and self._queue.unfinished_tasks >= self._room():
            self._closed.wait(_ROOM_SECONDS)
        self._go_on()
        self._put(line)

    def _go_on(self) -> None:
        # It may have been closed before there was anything to hang up.
        if self._closed.is_set():
            raise XFault(FaultKind.NETWORK, "the stream was given up")

    def _put(self, told: _Told) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(told, timeout=_WAIT_SECONDS)
                return
            except Full:
                continue

    def close(self) -> None:
        self._closed.set()
        self._client.hang_up()


_Told: TypeAlias = StreamLine | tuple[_Connection, XFault | ConfigError | None]


class XReader:
    """`ingest.source.LiveReader` over X."""

    def __init__(
        self,
        client: XClient,
        rules: XRules,
        state: XState,
        clock: Clock,
        *,
        budget: Budget,
        ladder: Ladder,
        compliance: Compliance,
        recover_posts: int,
        reason: str,
    ) -> None:
        self._client, self._rules, self._state, self._clock = client, rules, state, clock
        self._budget, self._ladder, self._compliance = budget, ladder, compliance
        self._recover_posts = recover_posts
        self._queue: Queue[_Told] = Queue(QUEUE_LINES)
        self._connection: _Connection | None = None
        self._error: XFault | ConfigError | None = None
        self._waiting: list[Item] = []
        self._next_rules: XRules | None = None
        self._synchronised = self._open = False
        self._errors = self._search_tries = 0
        self._notes: list[str] = []
        self._event_at: datetime | None = None
        self._given: OrderedDict[int, None] = OrderedDict.fromkeys(state.ids)
        self._authors: OrderedDict[str, None] = OrderedDict()
        # A gap that begins because the budget is spent is not filled: that would spend tomorrow's on it.
        self._deaf_since, self._saving = state.heard_at, self._exhausted
        self._reason = self._spent() if self._saving else reason
        # What kept it deaf after that.
        self._then = ""
        self._placed_ms = state.heard_ms
        state.meter.roll(clock.now())

    def read(self, max_items: int) -> Sequence[Item]:
        """As the protocol."""
        self._roll()
        if not self._waiting:
            self._raise_pending()
            if not self._exhausted:
                self._connect()
            elif self._connection is not None:
                self._save()
            self._drain(max_items)
            if self._open or self._exhausted:
                self._waiting += self._compliance.step()
            if not self._waiting:
                self._raise_pending()
                self._wait_for_tomorrow()
        given, self._waiting = self._waiting[:max_items], self._waiting[max_items:]
        return given

    def ask_for(self, rules: XRules) -> None:
        """Ask for other brands from the next `read` on. Called from any thread."""
        self._next_rules = rules

    def _raise_pending(self) -> None:
        error, self._error = self._error, None
        if isinstance(error, XFault):
            raise RetryLater(str(error), self._ladder.next(error)) from error
        if error is not None:
            raise error

    # The budget

    def _roll(self) -> None:
        if self._state.meter.roll(self._clock.now()):
            self._authors.clear()

    @property
    def _exhausted(self) -> bool:
        return self._budget.is_spent(self._state.meter)

    def _room(self) -> int:
        """Say how many lines of the stream may wait to be paid. Called from the thread of the stream."""
        return self._budget.surely(self._state.meter)

    def _pay(self, envelope: Mapping[str, Any]) -> None:
        """Count a post, and its author where it came along for the first time today."""
        cost = self._budget.price_per_post
        data = envelope.get("data")
        author = data.get("author_id") if isinstance(data, Mapping) and "includes" in envelope else None
        if isinstance(author, str) and author not in self._authors:
            _remember(self._authors, author)
            cost += self._budget.price_per_author
        self._state.meter.add(cost)

    def _save(self) -> None:
        """Hang up for today; what came already is paid for, and still given."""
        self._hang_up(self._clock.now(), self._spent())
        self._saving = True

    def _wait_for_tomorrow(self) -> None:
        if self._exhausted and self._queue.empty():
            now = self._clock.now()
            midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
            wait = min((midnight - now).total_seconds(), self._compliance.wait_seconds())
            raise RetryLater(f"{self._spent()}; it goes on at {midnight:%Y-%m-%d} 00:00 UTC", max(wait, 1.0))

    def _spent(self) -> str:
        budget = self._budget
        return f"the daily budget of {budget.daily:g} {budget.currency} is spent (source.x.daily_budget)"

    # The stream

    def _connect(self) -> None:
        if self._next_rules is not None:
            # X takes them while the stream goes on.
            self._rules, self._next_rules, self._synchronised = self._next_rules, None, False
        if self._connection is not None and self._synchronised:
            return
        try:
            if not self._synchronised:
                self._synchronise()
                self._synchronised = True
        except (XFault, ConfigError) as exc:
            self._errors += 1
            self._error, self._then = exc, _told(exc)
            self._raise_pending()
        if self._connection is None:
            self._connection = _Connection(self._client, self._queue, self._room)

    def _synchronise(self) -> None:
        """Bring the app's rules to ours: what stays is not touched, and others' are left alone."""
        wanted = {rule.tag: rule for rule in self._rules.rules}
        present = self._client.rules()
        ours = [rule for rule in present if str(rule.get("tag", "")).startswith(TAG)]
        kept = {
            rule["tag"] for rule in ours if rule["tag"] in wanted and rule.get("value") == wanted[rule["tag"]].value
        }
        if gone := [str(rule["id"]) for rule in ours if rule["tag"] not in kept]:
            self._client.delete_rules(gone)
        self._notes = []
        if new := [rule for tag, rule in wanted.items() if tag not in kept]:
            self._notes += self._client.add_rules(new)
        if len(present) > len(ours):
            self._notes.append(f"{len(present) - len(ours)} rules of this app are not ours, and cost as well")
        if self._rules.notes:
            self._notes.append(f"{len(self._rules.notes)} parts of queries cannot be asked of X; see `soundings check`")

    def _drain(self, max_items: int) -> None:
        wait = _WAIT_SECONDS
        while len(self._waiting) < max_items:
            try:
                told = self._queue.get(timeout=wait) if wait else self._queue.get_nowait()
            except Empty:
                return
            wait = 0.0
            try:
                if not self._hear(told):
                    return
            finally:
                self._queue.task_done()

    def _hear(self, told: _Told) -> bool:
        """Take one thing from the queue, and tell whether there may be more."""
        if isinstance(told, StreamLine):
            self._waiting += self._line(told.data)
        elif told[0] is not self._connection:
            # Of one that was given up already.
            return True
        elif told[1] is None:
            self._opened()
        else:
            self._ended(told[1])
            return False
        return True

    def _opened(self) -> None:
        self._open = True
        if self._deaf_since is not None:
            self._fill(self._deaf_since)
        if self._open:
            self._deaf_since, self._search_tries, self._then = None, 0, ""
            self._state.heard(self._clock.now())

    def _ended(self, error: XFault | ConfigError) -> None:
        if isinstance(error, XFault) and error.status == 409:
            # There may be no rules any more.
            self._synchronised = False
        self._errors += 1
        self._error = error
        if not self._open:
            self._then = _told(error)
        self._hang_up(self._state.heard_at or self._clock.now(), _told(error))

    def _hang_up(self, since: datetime, reason: str) -> None:
        """From here on it is a gap, unless it is one already."""
        if self._connection is not None:
            self._connection.close()
        if self._deaf_since is None and self._open:
            self._deaf_since, self._reason, self._saving = since, reason, False
        self._connection, self._open = None, False

    def _line(self, data: bytes) -> Iterator[Item]:
        self._ladder.reset()
        self._state.heard(self._clock.now())
        if not data.strip():
            return
        envelope = read_json(data)
        if not isinstance(envelope, Mapping):
            self._errors += 1
            yield self._item("?", BadRecord(BadReason.NOT_JSON, "a line of the stream is no JSON object"), data)
        elif "data" in envelope:
            yield from self._post(envelope, data)
        else:
            # X says why it is about to end the stream.
            self._errors += 1

    def _post(self, envelope: Mapping[str, Any], raw: bytes) -> Iterator[Item]:
        number, now, data = post_id(envelope), self._clock.now(), envelope.get("data")
        if number and number in self._given:
            return
        self._pay(envelope)
        _remember(self._given, number)
        if not isinstance(data, Mapping) or is_retweet(data):
            return
        content = read_post(envelope, seen_at=now)
        self._state.newest_id = max(self._state.newest_id, number)
        self._state.heard(now)
        if known := first_id(data):
            self._state.keep(int(known))
        written = id_time(str(number))
        if written is not None and (self._event_at is None or written > self._event_at):
            self._event_at = min(written, now)
        yield self._item(str(number), content, raw)

    def _item(self, name: str, content: Content, raw: bytes) -> Item:
        return Item(position=f"x:{name}", cursor=self._state.cursor(), raw=raw, content=content)

    # Gaps

    def _fill(self, since: datetime) -> None:
        """Search for what was written while nobody listened, then tell the gap."""
        now, reason = self._clock.now(), self._reason + (f"; then {self._then}" if self._then else "")
        recovered, method = None, ""
        if not self._saving:
            try:
                recovered, method = self._search(since, now)
            except (XFault, ConfigError) as exc:
                self._errors += 1
                self._search_tries += 1
                if isinstance(exc, XFault) and self._search_tries < SEARCH_TRIES:
                    self._error = exc
                    self._hang_up(since, self._reason)
                    return
                reason = f"{reason}; recent search: {_told(exc)}"
        # A clock that was set back makes no gap that ends before it began.
        gap = Gap(start=min(since, now), end=now, reason=reason, recovered=recovered, method=method)
        self._waiting.append(self._item("gap", gap, b""))

    def _search(self, since: datetime, now: datetime) -> tuple[int, str]:
        newest = str(self._state.newest_id) if self._state.newest_id else ""
        most = min(self._recover_posts, self._budget.affordable(self._state.meter))
        found = search_since(
            self._client,
            self._rules.searches,
            since_id=rewound(newest, OVERLAP_SECONDS),
            start=since,
            now=now,
            most=most,
        )
        items = [item for envelope in found.posts for item in self._post(envelope, dump(envelope))]
        self._waiting += items
        return len(items), METHOD if found.whole else f"{METHOD}, not all of it (at most {most:,} posts of seven days)"

    def extent(self) -> Extent | None:
        """A live source has no end."""
        return None

    def vitals(self) -> Vitals:
        """As the protocol."""
        notes = [*self._notes, *([self._compliance.note] if self._compliance.note else [])]
        return Vitals(
            connected=self._open,
            event_at=self._event_at,
            errors=self._errors + self._compliance.errors,
            spent_today=self._state.meter.spent,
            currency=self._budget.currency,
            note="; ".join(notes),
        )

    def place(self) -> str | None:
        """As `ingest.source.Placed`: when X last gave a sign of life."""
        if self._waiting or self._state.heard_ms == self._placed_ms:
            return None
        self._placed_ms = self._state.heard_ms
        return self._state.cursor()

    def close(self) -> None:
        """As the protocol."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self._compliance.fetcher.close()


def _remember(known: OrderedDict[_Key, None], key: _Key) -> None:
    known[key] = None
    if len(known) > MAX_GIVEN:
        known.popitem(last=False)


def _told(error: XFault | ConfigError) -> str:
    return error.problems[0] if isinstance(error, ConfigError) else str(error)
